from fractions import Fraction

import numpy as np
import pytest

from biopose_cli.errors import SettingError
from biopose_cli.io.video.clock import build_clock

MS = Fraction(1, 1000)


def clock(*stamps, decoding=None, rate=Fraction(10), reorders=False, first=None):
    decoding = decoding or [None] * len(stamps)
    return build_clock(list(zip(stamps, decoding, strict=True)), MS, rate, reorders, first)


def test_stamps_are_true_and_start_at_zero():
    built, notes = clock(5000, 5040, 5200, 5210)
    np.testing.assert_allclose(built.times, [0.0, 0.04, 0.2, 0.21])
    assert notes == ()
    assert built.varies(0.001)


def test_reordered_packets_are_put_in_the_order_of_showing():
    built, notes = clock(0, 200, 100, 400, 300, reorders=True)
    np.testing.assert_allclose(built.times, [0.0, 0.1, 0.2, 0.3, 0.4])
    assert not built.counted
    assert notes == ()
    assert [built.index(-1, 0), built.index(0, 100), built.index(1, 400)] == [0, 1, 4]


def test_repeated_stamps_are_spread_up_to_the_next():
    built, notes = clock(0, 100, 100, 100, 400, 400)
    np.testing.assert_allclose(built.times, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert "3 frames had the same time stamp" in notes[0]
    shown = [-1, 0, 1, 2, 3]
    stamps = [0, 100, 100, 100, 400]
    assert [built.index(*pair) for pair in zip(shown, stamps, strict=True)] == [0, 1, 2, 3, 4]


def test_missing_presentation_stamps_are_taken_from_decoding():
    built, notes = clock(0, None, 300, decoding=[0, 100, 300])
    np.testing.assert_allclose(built.times, [0.0, 0.1, 0.3])
    assert built.counted
    assert notes == ()


def test_without_stamps_the_headers_rate_is_used_with_a_warning():
    built, notes = clock(None, None, None, rate=Fraction(50))
    np.testing.assert_allclose(built.times, [0.0, 0.02, 0.04])
    assert "50 frames/s were assumed" in notes[0]
    assert built.index(4, None) == 5


def test_stamps_that_jump_back_are_not_sorted_into_each_other():
    built, notes = clock(*range(0, 5000, 100), *range(0, 5000, 100))
    np.testing.assert_allclose(built.times, np.arange(100) * 0.1)
    assert "decrease" in notes[0]


def test_frames_before_the_first_decodable_one_do_not_count():
    built, _ = clock(0, 100, 200, 300, first=200)
    np.testing.assert_allclose(built.times, [0.0, 0.1])


@pytest.mark.parametrize("seed", range(20))
def test_time_strictly_increases_whatever_the_stamps(seed):
    random = np.random.default_rng(seed)
    stamps = random.integers(0, 400, 200)
    stamps = np.sort(stamps) if seed % 2 else stamps
    built, _ = clock(*(int(s) for s in stamps))
    assert np.all(np.diff(built.times) > 0)
    assert built.times[0] == 0.0
    previous = -1
    for stamp in random.permutation(stamps):
        index = built.index(previous, int(stamp))
        assert index > previous
        assert built.time(index) > (built.time(previous) if previous >= 0 else -1.0)
        previous = index


def test_rounding_to_milliseconds_is_not_a_variable_rate():
    assert not clock(*(round(i * 1000 / 30) for i in range(50)))[0].varies(0.001)
    assert not clock(*(round(i * 1000 / 240) for i in range(50)))[0].varies(0.001)
    assert clock(*(round(i * 1000 / 30) for i in range(50) if i != 20))[0].varies(0.001)


def test_window():
    built, _ = clock(*range(0, 1000, 100))
    assert built.duration == pytest.approx(1.0)
    assert built.window(None, None) == (0, 9)
    assert built.window(0.3, 0.5) == (3, 5)
    assert built.window(0.25, 1.0) == (3, 9)
    assert built.window(None, 1.05) == (0, 9)


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        (-0.1, None, "--start -0.1 s is outside"),
        (float("nan"), None, "outside"),
        (1.5, None, "outside the video. The video lasts 1.00 s"),
        (None, 2.0, "--end 2 s is outside"),
        (0.5, 0.5, "not before"),
        (0.7, 0.2, "not before"),
        (0.11, 0.19, "no frame between"),
        (None, 0.0, None),
    ],
)
def test_a_window_outside_the_video_is_refused(start, end, message):
    built, _ = clock(*range(0, 1000, 100))
    if message is None:
        assert built.window(start, end) == (0, 0)
        return
    with pytest.raises(SettingError, match=message):
        built.window(start, end)
