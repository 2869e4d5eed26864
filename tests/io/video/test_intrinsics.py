import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.errors import SettingError
from biopose_cli.io.video.focal import focal_from_tags, focal_px
from biopose_cli.io.video.intrinsics import DEFAULT_FOV, fov_from_focal, resolve_intrinsics
from biopose_cli.io.video.probe import VideoInfo
from biopose_cli.settings import Settings

INFO = VideoInfo(Path("a.mp4"), 1080, 1920, 90, 100, 3.3, 30.0, False, "h264", "yuv420p", None, None, False)
FILE = {
    "camera_matrix": [[900, 0, 539.5], [0, 905, 959.5], [0, 0, 1]],
    "dist_coeffs": [0.1, -0.2, 0.001, 0.002],
    "image_size": [1080, 1920],
}


def camera(**settings):
    return resolve_intrinsics(INFO, Settings(**settings))


def write_intrinsics(tmp_path, changes, name="camera.json"):
    path = tmp_path / name
    path.write_text(json.dumps({k: v for k, v in (FILE | changes).items() if v is not None}))
    return path


def test_default_is_reported_as_assumed():
    found = camera()
    assert found.source == "default"
    assert fov_from_focal(found.matrix[0, 0], INFO) == pytest.approx(DEFAULT_FOV)
    assert "assumed" in found.warnings[0]
    assert "--intrinsics" in found.warnings[0]
    np.testing.assert_allclose(found.matrix[:2, 2], [540, 960])
    np.testing.assert_array_equal(found.dist, np.zeros(5))


def test_order_of_preference(tmp_path):
    known = replace(INFO, focal_px=1500.0)
    assert resolve_intrinsics(known, Settings()).source == "metadata"
    assert resolve_intrinsics(known, Settings()).warnings == ()
    assert resolve_intrinsics(known, Settings(focal=1400.0)).matrix[0, 0] == 1400.0
    assert resolve_intrinsics(known, Settings(fov=90.0)).matrix[1, 1] == pytest.approx(960.0)
    assert resolve_intrinsics(known, Settings(intrinsics=write_intrinsics(tmp_path, {}))).source == "--intrinsics"


def test_options_contradict_each_other():
    with pytest.raises(SettingError, match="--focal and --fov contradict"):
        camera(focal=1000.0, fov=60.0)


@pytest.mark.parametrize("focal", [26.0, 83.0, 22000.0])
def test_impossible_focal_lengths(focal):
    with pytest.raises(SettingError, match=r"--focal .* not possible .* not millimetres"):
        camera(focal=focal)


def test_file_in_json_and_toml_agree(tmp_path):
    first = camera(intrinsics=write_intrinsics(tmp_path, {}))
    toml = tmp_path / "camera.toml"
    toml.write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in FILE.items()))
    second = camera(intrinsics=toml)
    np.testing.assert_array_equal(first.matrix, second.matrix)
    np.testing.assert_array_equal(first.dist, second.dist)
    # OpenCV's pixel centres are at whole numbers: its (539.5, 959.5) is the middle of the image.
    np.testing.assert_allclose(first.matrix, [[900, 0, 540], [0, 905, 960], [0, 0, 1]])
    np.testing.assert_allclose(first.dist, [0.1, -0.2, 0.001, 0.002, 0])


def test_file_is_scaled_to_the_video(tmp_path):
    small = {"camera_matrix": [[450, 0, 269.5], [0, 452.5, 479.5], [0, 0, 1]], "image_size": [540, 960]}
    found = camera(intrinsics=write_intrinsics(tmp_path, small))
    np.testing.assert_allclose(found.matrix, [[900, 0, 540], [0, 905, 960], [0, 0, 1]])


def test_distortion_is_optional_and_five_numbers_pass(tmp_path):
    np.testing.assert_array_equal(
        camera(intrinsics=write_intrinsics(tmp_path, {"dist_coeffs": None})).dist, np.zeros(5)
    )
    five = [0.1, 0.2, 0.3, 0.4, 0.5]
    np.testing.assert_array_equal(camera(intrinsics=write_intrinsics(tmp_path, {"dist_coeffs": five})).dist, five)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"camera_matrx": 1}, "unknown key 'camera_matrx'.*Did you mean 'camera_matrix'"),
        ({"K": 1}, "unknown key 'K'"),
        ({"camera_matrix": None}, "camera_matrix is missing"),
        ({"image_size": None}, "image_size is missing"),
        ({"camera_matrix": [[1, 2], [3, 4]]}, "camera_matrix must be 3 rows of 3 numbers"),
        ({"camera_matrix": [[1, 2, 3], [3, 4]]}, "camera_matrix must be 3 rows of 3 numbers"),
        (
            {"camera_matrix": [["900", 0, 1], [0, 9, 1], [0, 0, 1]]},
            "camera_matrix must be 3 rows of 3 numbers",
        ),
        ({"camera_matrix": [[math.nan, 0, 540], [0, 900, 960], [0, 0, 1]]}, "3 rows of 3 numbers"),
        ({"camera_matrix": [[900, 0, 540], [0, 900, 960], [0, 0, 2]]}, r"must be \[\[fx"),
        ({"camera_matrix": [[900, 5, 540], [0, 900, 960], [0, 0, 1]]}, r"must be \[\[fx"),
        ({"camera_matrix": [[-900, 0, 540], [0, 900, 960], [0, 0, 1]]}, "focal lengths -900 and 900"),
        ({"camera_matrix": [[26, 0, 540], [0, 26, 960], [0, 0, 1]]}, "not millimetres"),
        ({"camera_matrix": [[900, 0, 5400], [0, 900, 960], [0, 0, 1]]}, "principal point"),
        ({"dist_coeffs": [0] * 8}, "dist_coeffs must be 4 or 5 numbers.*not supported"),
        ({"dist_coeffs": "none"}, "dist_coeffs must be"),
        ({"image_size": [0, 0]}, "is not a size"),
        ({"image_size": [1080]}, "image_size must be"),
        (
            {"image_size": [1440, 1920], "camera_matrix": [[900, 0, 720], [0, 900, 960], [0, 0, 1]]},
            "1440x1920 does not fit the video's 1080x1920",
        ),
        (
            {"image_size": [1920, 1080], "camera_matrix": [[900, 0, 960], [0, 900, 540], [0, 0, 1]]},
            "1920x1080 does not fit.*upright",
        ),
    ],
)
def test_refuses_a_wrong_file_in_one_line(tmp_path, changes, message):
    with pytest.raises(SettingError, match=message) as caught:
        camera(intrinsics=write_intrinsics(tmp_path, changes))
    assert "\n" not in str(caught.value)
    assert "camera.json" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"{", "a.json", "not valid JSON"),
        (b"[1, 2]", "a.json", "must hold the keys"),
        (b"x = = 1", "a.toml", "not valid TOML"),
        (b"\xff\xfe\x00", "a.json", "not a text file"),
    ],
)
def test_files_that_are_no_intrinsics_are_refused(tmp_path, content, name, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingError, match=message):
        camera(intrinsics=tmp_path / name)


def test_equivalent_focal_length_is_of_the_sensor_around_the_frame():
    # A 26 mm lens on a 4:3 sensor sees 67.3 degrees along its long side; a 16:9 video keeps that, also upright.
    whole = focal_px(26.0, 1920, 1440)
    assert math.degrees(2 * math.atan(960 / whole)) == pytest.approx(67.3, abs=0.05)
    assert focal_px(26.0, 1920, 1080) == pytest.approx(whole)
    assert focal_px(26.0, 1080, 1920) == pytest.approx(whole)
    assert focal_px(26.0, 1440, 1440) == pytest.approx(whole)  # a square is cut from the long side
    assert focal_px(52.0, 1920, 1080) == pytest.approx(2 * whole)


@pytest.mark.parametrize(
    ("name", "value", "millimetres"),
    [
        ("com.apple.quicktime.camera.focal_length.35mm_equivalent", "26", 26.0),
        ("com.apple.quicktime.camera.focal_length.35mm_equivalent-eng", " 50.00mm", 50.0),
        ("FocalLengthIn35mmFilm", "24", 24.0),
        ("COM.APPLE.QUICKTIME.CAMERA.FOCAL_LENGTH.35MM_EQUIVALENT", "13.5", 13.5),
        ("FocalLengthIn35mmFormat", "28 mm", 28.0),
        ("com.apple.quicktime.camera.lens_model", "iPhone 13 back camera 5.1mm f/1.6", None),
        ("FocalLength", "5.1", None),  # of the real sensor, whose size is not known
        ("FocalLengthIn35mmFilm", "0", None),  # EXIF: unknown
        ("FocalLengthIn35mmFilm", "-13", None),
        ("FocalLengthIn35mmFilm", "wide", None),
        ("FocalLengthIn35mmFilm", "99999", None),
    ],
)
def test_which_tags_count(name, value, millimetres):
    found = focal_from_tags({"encoder": "35", name: value}, 1920, 1080)
    if millimetres is None:
        assert found is None
    else:
        assert found == (pytest.approx(focal_px(millimetres, 1920, 1080)), f"{name} = {value.strip()}")
