from __future__ import annotations

import numpy as np

from biopose_cli.detect.gaps import fill, fillable

TIME = np.arange(12) / 10
SEEN = np.array([0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 1], bool)


def test_only_gaps_within_the_limit_are_filled() -> None:
    assert np.flatnonzero(fillable(TIME, SEEN, 0.3)).tolist() == [3, 4, 6]
    assert np.flatnonzero(fillable(TIME, SEEN, 0.2)).tolist() == [6]
    assert np.flatnonzero(fillable(TIME, SEEN, 10.0)).tolist() == [3, 4, 6, 8, 9, 10]
    assert not fillable(TIME, SEEN, 0.0).any()


def test_the_limit_is_in_seconds_also_at_a_variable_rate() -> None:
    time = np.array([0.0, 0.1, 0.2, 1.2, 1.3])
    assert fillable(time, np.array([1, 0, 1, 1, 1], bool), 0.25).tolist() == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert not fillable(time, np.array([1, 1, 0, 1, 1], bool), 0.25).any()


def test_filled_values_lie_on_a_line_in_time() -> None:
    time = np.array([0.0, 0.1, 0.4, 0.5])
    values = np.array([[[1.0, 5.0]], [[np.nan, np.nan]], [[np.nan, np.nan]], [[2.0, 0.0]]])
    seen = np.array([True, False, False, True])
    filled = fill(values, time, seen, np.array([False, True, False, False]))
    np.testing.assert_allclose(filled[1], [[1.2, 4.0]])
    assert np.isnan(filled[2]).all()
    np.testing.assert_array_equal(filled[[0, 3]], values[[0, 3]])
