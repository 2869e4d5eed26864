import errno

import av
import numpy as np
import pytest

from biopose_cli.errors import DiskFullError, OutputError
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import read_frames
from biopose_cli.io.video.writer import VideoWriter
from tests.helpers.video_files import corners, number, picture


def test_round_trip_keeps_pictures_and_variable_times(tmp_path):
    times = np.array([3.0, 3.0333, 3.1, 3.11, 3.5, 3.5167])
    with VideoWriter(tmp_path / "new" / "a.mp4", 320, 240) as writer:
        for index, time in enumerate(times):
            writer.write(picture(index), time)
    info = probe(tmp_path / "new" / "a.mp4")
    found = list(read_frames(info))
    np.testing.assert_allclose([frame.time for frame in found], times - 3.0, atol=2e-5)
    assert [number(frame.image) for frame in found] == list(range(6))
    assert corners(found[0].image) == ["red", "green", "blue", "white"]
    assert info.variable_rate
    difference = np.abs(found[0].image.astype(int) - picture(0))
    assert np.median(difference) <= 3  # the colours come back as they were


def test_file_is_what_players_expect(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 321, 241) as writer:
        for index in range(5):
            writer.write(picture(index, 321, 241), index / 30)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays while it loads
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert (stream.codec_context.name, frame.format.name) == ("h264", "yuv420p")
        assert (frame.width, frame.height) == (322, 242)
        assert (frame.colorspace, frame.color_range) == (1, 1)


def test_padding_repeats_the_border(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 33, 21) as writer:
        writer.write(np.full((21, 33, 3), 200, np.uint8), 0.0)
    image = next(read_frames(probe(tmp_path / "a.mp4"))).image
    assert image.shape == (22, 34, 3)
    assert np.abs(image.astype(int) - 200).max() <= 4


def test_nothing_appears_when_the_block_fails(tmp_path):
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "a.mp4", 64, 48) as writer:
        writer.write(picture(0, 64, 48), 0.0)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_survives_a_failure(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"older")
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "a.mp4", 64, 48) as writer:
        writer.write(picture(0, 64, 48), 0.0)
        raise RuntimeError
    assert (tmp_path / "a.mp4").read_bytes() == b"older"


def test_refuses_wrong_pictures_and_times(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 64, 48) as writer:
        writer.write(picture(0, 64, 48), 1.0)
        with pytest.raises(ValueError, match="does not come after"):
            writer.write(picture(1, 64, 48), 1.0)
        with pytest.raises(ValueError, match="expected uint8"):
            writer.write(picture(1, 48, 64), 2.0)
        with pytest.raises(ValueError, match="expected uint8"):
            writer.write(picture(1, 64, 48).astype(np.float32), 2.0)


def test_pictures_may_be_closer_than_a_tick(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 64, 48) as writer:
        for index, time in enumerate((0.0, 3e-6, 6e-6, 0.1)):
            writer.write(picture(index, 64, 48), time)
    assert probe(tmp_path / "a.mp4").frame_count == 4


def test_refuses_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"), VideoWriter(tmp_path / "file" / "a.mp4", 64, 48):
        pass


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    class Full:
        def mux(self, packets):
            raise OSError(errno.ENOSPC, "No space left on device")

    with (
        pytest.raises(DiskFullError, match="no space left"),
        VideoWriter(tmp_path / "a.mp4", 64, 48) as writer,
    ):
        writer._container = Full()
        writer.write(picture(0, 64, 48), 0.0)
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_frames_is_a_mistake(tmp_path):
    with pytest.raises(ValueError, match="no frame"), VideoWriter(tmp_path / "a.mp4", 64, 48):
        pass
    assert list(tmp_path.iterdir()) == []
