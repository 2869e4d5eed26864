import hashlib
import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from biopose_cli.errors import VideoError
from biopose_cli.io.video.describe import describe
from biopose_cli.io.video.probe import content_hash, probe, square_pixels
from tests.helpers.video_files import APPLE, add_track_metadata, make, make_sound


def test_reports_the_files_properties(tmp_path):
    info = probe(make(tmp_path / "a.mp4", frames=30))
    assert (info.width, info.height, info.rotation, info.mirrored) == (320, 240, 0, False)
    assert (info.codec, info.pixel_format, info.has_audio, info.interlaced) == (
        "h264",
        "yuv420p",
        False,
        False,
    )
    assert info.frame_count == 30
    assert info.duration == pytest.approx(1.0)
    assert info.frame_rate == pytest.approx(30.0)
    assert not info.variable_rate
    assert info.focal_px is None
    assert info.focal_tag is None
    assert info.warnings == ()


@pytest.mark.parametrize("name", ["with space é.mp4", "50%03d.mp4", "12:30.mp4"])
def test_names_that_ffmpeg_would_read_otherwise(tmp_path, name, monkeypatch):
    if os.name == "nt" and ":" in name:
        pytest.skip("Windows has no such names")
    (tmp_path / name).write_bytes(make(tmp_path / "a.mp4", frames=2).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert probe(type(tmp_path)(name)).frame_count == 2


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "a.mp4", "does not exist"),
        (b"", "a.mp4", "empty"),
        (b"hello\n" * 100, "a.mp4", "not a video"),
        (b"hello\n" * 100, "a.txt", "text"),
        (bytes(range(256)) * 100, "a.mov", "not a video"),
        (b"1\n00:00:01,000 --> 00:00:02,000\nhi\n", "a.srt", "no images"),
    ],
)
def test_files_that_are_no_video_are_refused_in_one_line(tmp_path, content, name, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=message) as caught:
        probe(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_refuses_a_folder(tmp_path):
    with pytest.raises(VideoError, match="is a folder"):
        probe(tmp_path)


def test_refuses_sound_only(tmp_path):
    with pytest.raises(VideoError, match="sound but no images"):
        probe(make_sound(tmp_path / "a.m4a"))


def test_a_cover_image_is_not_a_video(tmp_path):
    with pytest.raises(VideoError, match="sound but no images"):
        probe(make_sound(tmp_path / "a.mp3", cover=True))


def test_a_still_image_is_refused(tmp_path):
    make(tmp_path / "a.png", frames=1, codec="png", pixels="rgb24", layout="image2")
    with pytest.raises(VideoError, match="single image"):
        probe(tmp_path / "a.png")


def test_refuses_a_recording_without_its_index(tmp_path):
    whole = make(tmp_path / "a.mp4", frames=60).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: whole.rindex(b"moov") - 4])
    with pytest.raises(VideoError, match="cut off while it was saved"):
        probe(tmp_path / "cut.mp4")


def test_warns_of_a_truncated_file(tmp_path):
    whole = make(tmp_path / "a.mp4", frames=60, muxing={"movflags": "faststart"}).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    info = probe(tmp_path / "cut.mp4")
    assert 0 < info.frame_count < 60
    assert "cut off" in info.warnings[0]


def test_an_unsupported_rotation_angle_is_refused(tmp_path):
    make(tmp_path / "a.mp4", prepare=lambda stream: stream.set_display_rotation(37))
    with pytest.raises(VideoError, match=r"rotated by -3[67] degrees"):
        probe(tmp_path / "a.mp4")


def test_pixels_are_made_square_without_losing_lines(tmp_path):
    def anamorphic(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)

    info = probe(make(tmp_path / "a.mp4", prepare=anamorphic))
    assert (info.width, info.height) == (465, 240)
    assert square_pixels(720, 576, Fraction(8, 9)) == (720, 648)
    assert square_pixels(720, 576, None) == (720, 576)


def test_content_hash_is_of_the_bytes_and_needs_no_ffmpeg(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"not a video at all")
    assert content_hash(path) == hashlib.sha256(b"not a video at all").hexdigest()
    with pytest.raises(VideoError, match="does not exist"):
        content_hash(tmp_path / "b.mp4")
    loaded = "import sys, biopose_cli.io.video.probe; print({'av', 'cv2', 'torch', 'opensim'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_focal_length_from_the_track_as_iphones_write_it(tmp_path):
    path = make(tmp_path / "a.mov", width=640, height=360)
    add_track_metadata(path, APPLE, b"26.00mm")
    info = probe(path)
    assert info.focal_px == pytest.approx(26.0 / np.hypot(36, 24) * np.hypot(640, 480))
    assert info.focal_tag == f"{APPLE} = 26.00mm"
    assert describe(info)["focal_source"] == "metadata"
    assert describe(info)["warnings"] == []


@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mkv"])
def test_focal_length_from_the_files_own_tags(tmp_path, name):
    make(
        tmp_path / name,
        metadata={APPLE: "52"},
        muxing={"movflags": "use_metadata_tags"} if name != "a.mkv" else {},
    )
    assert probe(tmp_path / name).focal_px == pytest.approx(52.0 / np.hypot(36, 24) * np.hypot(320, 240))


def test_describe_names_the_assumed_focal_length_and_the_remedy(tmp_path):
    facts = describe(probe(make(tmp_path / "a.mp4")))
    assert facts["focal_source"] == "default"
    assert facts["fov_deg"] == pytest.approx(60.0)
    assert "--focal" in facts["warnings"][0]


def test_a_name_that_no_file_can_have_is_an_error_of_the_users(tmp_path):
    with pytest.raises(VideoError, match=r"cannot be read|does not exist"):
        probe(tmp_path / ("a" * 300 + ".mp4"))


@pytest.mark.parametrize(("rate", "warned"), [("240.000000", True), ("30.0", False), ("fast", False)])
def test_slow_motion_is_reported(tmp_path, rate, warned):
    """Telephones store how fast they filmed; the file plays at 30 pictures a second."""
    tags = {"com.android.capture.fps": rate}
    info = probe(make(tmp_path / "a.mp4", frames=30, metadata=tags, muxing={"movflags": "use_metadata_tags"}))
    assert any("slow motion" in text and "--capture-rate 240" in text for text in info.warnings) == warned
