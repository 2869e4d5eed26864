"""Alignment of two motions in time: the shift between their clocks, and samples at common times."""

from __future__ import annotations

import numpy as np
from scipy.signal import correlate, correlation_lags, find_peaks

from biopose_cli.errors import MotionFileError
from biopose_cli.typing import Array

GRID_STEP = 0.01  # s, of the search for a shift; the peak is then interpolated
MIN_OVERLAP = 0.5  # of the shorter motion: with less, chance decides
MIN_CORRELATION = 0.5  # of correlation: below it the curves do not determine the shift
CORRELATION_TIE = 0.003  # of correlation: strides are alike; of shifts this close to the best, the smallest is taken
MAX_GAP = 0.1  # s (or three frames): no interpolation across longer gaps
TIME_TOL = 1e-6  # s, of times in files


def find_shift(estimate_time: Array, estimate: Array, reference_time: Array, reference: Array) -> float | None:
    """Seconds to add to EST's times for the best agreement of the curves, or None if nothing agrees.

    Agreement is Pearson's correlation of all angles together, each without its mean: angles with large motion have
    large weights, and offsets have none. All shifts with an overlap of half the shorter motion are tried. Of the peaks
    within `CORRELATION_TIE` of the highest, the one nearest to 0 is taken, because strides are alike.

    Parameters
    ----------
    estimate_time, reference_time : (T) s
    estimate, reference : (T, D) degrees, the same angles, continuous
    """
    estimate_grid, reference_grid = (
        np.arange(t[0], t[-1] + TIME_TOL, GRID_STEP) for t in (estimate_time, reference_time)
    )
    if min(len(estimate_grid), len(reference_grid)) < 10:
        return None
    correlation, overlap = _correlation_by_lag(
        resample(estimate_grid, estimate_time, estimate), resample(reference_grid, reference_time, reference)
    )
    correlation[overlap < MIN_OVERLAP * min(len(estimate_grid), len(reference_grid))] = -1.0
    if correlation.max() < MIN_CORRELATION:
        return None
    shifts = (
        correlation_lags(len(reference_grid), len(estimate_grid)) * GRID_STEP + reference_time[0] - estimate_time[0]
    )
    peaks, _ = find_peaks(np.pad(correlation, 1, constant_values=-2.0))
    peaks = peaks[correlation[peaks - 1] >= correlation.max() - CORRELATION_TIE] - 1
    best = int(peaks[np.argmin(np.abs(shifts[peaks]))])
    return float(shifts[best] + GRID_STEP * _parabola_vertex(correlation, best))


def _correlation_by_lag(estimate: Array, reference: Array) -> tuple[Array, Array]:
    """Pooled correlation over the overlap, and its number of samples, for each lag of `correlation_lags`."""
    estimate, reference = estimate - estimate.mean(axis=0), reference - reference.mean(axis=0)
    estimate_ones, reference_ones = np.ones(len(estimate)), np.ones(len(reference))
    n = np.round(correlate(reference_ones, estimate_ones))
    covariance, estimate_power, reference_power = np.zeros((3, len(n)))
    for e, r in zip(estimate.T, reference.T, strict=True):
        estimate_sum, reference_sum = correlate(reference_ones, e), correlate(r, estimate_ones)
        covariance += correlate(r, e) - estimate_sum * reference_sum / n
        estimate_power += correlate(reference_ones, e**2) - estimate_sum**2 / n
        reference_power += correlate(r**2, estimate_ones) - reference_sum**2 / n
    power = np.sqrt(np.maximum(estimate_power, 0) * np.maximum(reference_power, 0))
    return np.where(power > n * estimate.shape[1] * 1e-4, covariance / np.maximum(power, 1e-9), -1.0), n


def _parabola_vertex(values: Array, peak: int) -> float:
    """Position of the vertex of the parabola through a peak and its neighbours, in samples from the peak."""
    if not 0 < peak < len(values) - 1 or values[peak - 1 : peak + 2].min() <= -1:
        return 0.0
    before, at, after = values[peak - 1 : peak + 2]
    curvature = before - 2 * at + after
    return float(0.5 * (before - after) / curvature) if curvature < 0 else 0.0


def common_times(estimate: Array, reference: Array, time_range: tuple[float, float] | None) -> Array:
    """Times (s) of the comparison: those of the motion with fewer samples.

    They lie within both motions and the range, and outside gaps.

    Raises
    ------
    MotionFileError
        There are fewer than two such times.
    """
    first, last = max(estimate[0], reference[0]), min(estimate[-1], reference[-1])
    if time_range is not None:
        first, last = max(first, time_range[0]), min(last, time_range[1])
    inside = [t[(t >= first - TIME_TOL) & (t <= last + TIME_TOL)] for t in (estimate, reference)]
    times: Array = inside[0] if len(inside[0]) < len(inside[1]) else inside[1]
    times = times[~(_in_gap(times, estimate) | _in_gap(times, reference))]
    if len(times) < 2:
        requested = f"; the requested range is {time_range[0]:g} to {time_range[1]:g} s" if time_range else ""
        raise MotionFileError(
            f"the motions have no time in common: EST (shifted) is from {estimate[0]:.3f} to {estimate[-1]:.3f} s, "
            f"REF from {reference[0]:.3f} to {reference[-1]:.3f} s{requested}",
            "Change --shift or --range",
        )
    return times


def _in_gap(times: Array, sample_times: Array) -> Array:
    """Whether times are in a gap of a motion that is too long for interpolation."""
    if len(sample_times) < 2:
        return np.zeros(len(times), np.bool_)
    max_gap = max(MAX_GAP, 3 * float(np.median(np.diff(sample_times))))
    after = np.clip(np.searchsorted(sample_times, times), 1, len(sample_times) - 1)
    nearest = np.minimum(np.abs(sample_times[after] - times), np.abs(times - sample_times[after - 1]))
    in_gap: Array = (sample_times[after] - sample_times[after - 1] > max_gap) & (nearest > TIME_TOL)
    return in_gap


def resample(times: Array, sample_times: Array, values: Array) -> Array:
    """Linear interpolation (N, D) of `values` at `times`."""
    return np.stack([np.interp(times, sample_times, column) for column in values.T], axis=1)
