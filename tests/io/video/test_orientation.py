import numpy as np
import pytest

from biopose_cli.io.video.orientation import Orientation, from_display_matrix
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import read_frames
from tests.helpers.video_files import corners, make, number, picture

UNIT = 65536  # 16.16 fixed point


def matrix(a, b, c, d):
    return np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30])


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_rotation_is_applied_exactly_once(tmp_path, clockwise):
    make(tmp_path / "a.mp4", prepare=lambda stream: stream.set_display_rotation(-clockwise))
    info = probe(tmp_path / "a.mp4")
    assert (info.rotation, info.mirrored, info.warnings) == (clockwise, False, ())
    assert (info.width, info.height) == ((240, 320) if clockwise in {90, 270} else (320, 240))
    image = next(read_frames(info)).image
    assert image.shape == (info.height, info.width, 3)
    assert image.flags.c_contiguous
    turned = {
        0: ["red", "green", "blue", "white"],
        90: ["blue", "red", "white", "green"],
        180: ["white", "blue", "green", "red"],
        270: ["green", "white", "red", "blue"],
    }
    assert corners(image) == turned[clockwise]


def test_iphone_portrait_matrix_turns_clockwise():
    assert from_display_matrix(matrix(0, UNIT, -UNIT, 0)) == Orientation(90)


@pytest.mark.parametrize(
    ("degrees", "horizontal", "vertical", "expected"),
    [
        (0, True, False, ["green", "red", "white", "blue"]),
        (0, False, True, ["blue", "white", "red", "green"]),
        (90, True, False, ["white", "green", "blue", "red"]),
        (-90, True, False, ["red", "blue", "green", "white"]),
    ],
)
def test_mirrored_pictures_look_as_in_players_and_are_warned_of(
    tmp_path, degrees, horizontal, vertical, expected
):
    make(
        tmp_path / "a.mp4", prepare=lambda stream: stream.set_display_rotation(degrees, horizontal, vertical)
    )
    info = probe(tmp_path / "a.mp4")
    assert info.mirrored
    assert "left and right" in info.warnings[0]
    assert corners(next(read_frames(info)).image) == expected


def test_every_quarter_turn_and_flip_agrees_with_the_matrix():
    # The matrix is the turn (clockwise, as y points down) after the flip, acting on column vectors.
    for turn in range(4):
        for flip in (1, -1):
            cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][turn]
            linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([flip, 1])
            found = from_display_matrix(matrix(*(UNIT * linear.T.ravel())))
            assert found == Orientation(90 * turn, flip < 0)


def test_odd_matrices():
    assert (
        from_display_matrix(matrix(2 * UNIT, 0, 0, UNIT)) == Orientation()
    )  # a scale: FFmpeg makes it the pixels' shape
    assert from_display_matrix(matrix(0, 0, 0, 0)) == Orientation()
    assert from_display_matrix(matrix(UNIT, UNIT, -UNIT, UNIT)) is None
    assert from_display_matrix(matrix(UNIT, 0, UNIT, UNIT)) is None


def test_the_test_pictures_hold_their_number():
    assert all(number(picture(n)) == n for n in (0, 1, 2, 341, 1023))
    assert corners(picture(5)) == ["red", "green", "blue", "white"]
