"""Two motions on one clock: the shift between their clocks, and samples at common times."""

from __future__ import annotations

import numpy as np
from scipy.signal import correlate, correlation_lags, find_peaks

from biopose_cli.errors import MotionFileError
from biopose_cli.typing import Array

STEP = 0.01  # s, of the search for a shift; the peak is then interpolated
LEAST_OVERLAP = 0.5  # of the shorter motion: less would let chance decide
LEAST_AGREEMENT = 0.5  # of correlation: below it the curves say nothing about the clocks
TIE = 0.003  # of correlation: strides are alike, and of shifts that agree as well the smallest is taken
LONGEST_HOLE = 0.1  # s (or three frames): samples farther apart are not interpolated between
ROUNDING = 1e-6  # s, of times in files


def find_shift(est_time: Array, est: Array, ref_time: Array, ref: Array) -> float | None:
    """The seconds to add to EST's times for the best agreement of the curves, or None when nothing agrees.

    Agreement is Pearson's correlation of all angles together, each without its mean: angles that move much count
    much, and offsets do not count. Every shift is tried that leaves half of the shorter motion in common. Of the
    peaks as high as the highest (within `TIE`) the one nearest to 0 is taken, because strides are alike.

    Parameters
    ----------
    est_time, ref_time : (T) s
    est, ref : (T, D) degrees, the same angles, continuous
    """
    est_grid, ref_grid = (np.arange(t[0], t[-1] + ROUNDING, STEP) for t in (est_time, ref_time))
    if min(len(est_grid), len(ref_grid)) < 10:
        return None
    agreement, samples = _agreement_by_lag(sample(est_grid, est_time, est), sample(ref_grid, ref_time, ref))
    agreement[samples < LEAST_OVERLAP * min(len(est_grid), len(ref_grid))] = -1.0
    if agreement.max() < LEAST_AGREEMENT:
        return None
    shifts = correlation_lags(len(ref_grid), len(est_grid)) * STEP + ref_time[0] - est_time[0]
    peaks, _ = find_peaks(np.pad(agreement, 1, constant_values=-2.0))
    peaks = peaks[agreement[peaks - 1] >= agreement.max() - TIE] - 1
    best = int(peaks[np.argmin(np.abs(shifts[peaks]))])
    return float(shifts[best] + STEP * _vertex(agreement, best))


def _agreement_by_lag(est: Array, ref: Array) -> tuple[Array, Array]:
    """Pooled correlation over the overlap, and its number of samples, for each lag of `correlation_lags`."""
    est, ref = est - est.mean(axis=0), ref - ref.mean(axis=0)
    est_ones, ref_ones = np.ones(len(est)), np.ones(len(ref))
    n = np.round(correlate(ref_ones, est_ones))
    covariance, est_power, ref_power = np.zeros((3, len(n)))
    for e, r in zip(est.T, ref.T, strict=True):
        est_sum, ref_sum = correlate(ref_ones, e), correlate(r, est_ones)
        covariance += correlate(r, e) - est_sum * ref_sum / n
        est_power += correlate(ref_ones, e**2) - est_sum**2 / n
        ref_power += correlate(r**2, est_ones) - ref_sum**2 / n
    power = np.sqrt(np.maximum(est_power, 0) * np.maximum(ref_power, 0))
    return np.where(power > n * est.shape[1] * 1e-4, covariance / np.maximum(power, 1e-9), -1.0), n


def _vertex(values: Array, peak: int) -> float:
    """Where the parabola through a peak and its neighbours is highest, in samples from the peak."""
    if not 0 < peak < len(values) - 1 or values[peak - 1 : peak + 2].min() <= -1:
        return 0.0
    before, at, after = values[peak - 1 : peak + 2]
    bend = before - 2 * at + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0


def common_times(est: Array, ref: Array, time_range: tuple[float, float] | None) -> Array:
    """The times (s) at which to compare: those of the motion with fewer, inside both motions and the range, outside
    the holes of both.

    Raises
    ------
    MotionFileError
        Fewer than two such times.
    """
    first, last = max(est[0], ref[0]), min(est[-1], ref[-1])
    if time_range is not None:
        first, last = max(first, time_range[0]), min(last, time_range[1])
    inside = [t[(t >= first - ROUNDING) & (t <= last + ROUNDING)] for t in (est, ref)]
    times: Array = inside[0] if len(inside[0]) < len(inside[1]) else inside[1]
    times = times[~(_in_hole(times, est) | _in_hole(times, ref))]
    if len(times) < 2:
        asked = f"; asked for {time_range[0]:g} to {time_range[1]:g} s" if time_range else ""
        raise MotionFileError(
            f"the motions have no time in common: EST (shifted) is from {est[0]:.3f} to {est[-1]:.3f} s, "
            f"REF from {ref[0]:.3f} to {ref[-1]:.3f} s{asked}",
            "Change --shift or --range",
        )
    return times


def _in_hole(times: Array, own: Array) -> Array:
    """Whether a time lies where a motion has no samples for so long that interpolation would invent them."""
    if len(own) < 2:
        return np.zeros(len(times), np.bool_)
    longest = max(LONGEST_HOLE, 3 * float(np.median(np.diff(own))))
    after = np.clip(np.searchsorted(own, times), 1, len(own) - 1)
    nearest = np.minimum(np.abs(own[after] - times), np.abs(times - own[after - 1]))
    hole: Array = (own[after] - own[after - 1] > longest) & (nearest > ROUNDING)
    return hole


def sample(times: Array, own: Array, values: Array) -> Array:
    """(N, D) `values` at `times`, by linear interpolation."""
    return np.stack([np.interp(times, own, column) for column in values.T], axis=1)
