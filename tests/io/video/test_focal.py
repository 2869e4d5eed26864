import struct

import numpy as np
import pytest

from biopose_cli.io.video.focal import track_tags
from tests.helpers.video_files import APPLE, add_track_metadata, box, make


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (1, b"26.00mm", "26.00mm"),
        (1, b"\xff26", "�26"),
        (21, b"\x00\x1a", "26"),
        (22, b"\x1a", "26"),
        (23, struct.pack(">f", 26.5), "26.5"),
        (24, struct.pack(">d", 26.25), "26.25"),
    ],
)
@pytest.mark.parametrize("full", [True, False])
def test_reads_values_of_the_usual_types(tmp_path, kind, value, text, full):
    path = make(tmp_path / "a.mov", frames=2)
    add_track_metadata(path, APPLE, value, kind, full)
    assert track_tags(path, 1) == {APPLE: text}
    assert track_tags(path, 2) == {}


def test_a_plain_file_has_no_track_tags(tmp_path):
    assert track_tags(make(tmp_path / "a.mp4", frames=2), 1) == {}


def test_boxes_with_64_bit_sizes(tmp_path):
    path = make(tmp_path / "a.mov", frames=2)
    add_track_metadata(path, APPLE, b"26")
    data = path.read_bytes()
    large = struct.pack(">I4sQ", 1, b"free", 16 + 1000) + bytes(1000)
    path.write_bytes(large + data)
    assert track_tags(path, 1) == {APPLE: "26"}


@pytest.mark.parametrize("seed", range(30))
def test_damaged_boxes_are_passed_over(tmp_path, seed):
    path = make(tmp_path / "a.mov", frames=2)
    add_track_metadata(path, APPLE, b"26")
    data = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    start = data.rindex(b"moov") - 4
    for place in random.integers(start, len(data), 12):
        data[place] = random.integers(0, 256)
    path.write_bytes(data[: random.integers(start, len(data))] if seed % 2 else data)
    assert set(track_tags(path, 1)) <= {APPLE} or len(track_tags(path, 1)) <= 1


def test_a_box_that_claims_to_be_endless_is_no_header(tmp_path):
    path = tmp_path / "a.mov"
    path.write_bytes(struct.pack(">I4sQ", 1, b"mdat", (1 << 63) - 1) + bytes(100))
    assert track_tags(path, 1) == {}
    path.write_bytes(struct.pack(">I4s", 0, b"mdat") + bytes(100))
    assert track_tags(path, 1) == {}
    path.write_bytes(box(b"moov", b"trak"))
    assert track_tags(path, 1) == {}
