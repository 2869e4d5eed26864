"""Comparison of two motions: errors per joint angle and per group, over their common time.

Values of an angle, all in degrees except `r`:

- `mae`, `rmse`: mean absolute and root mean square of EST - REF
- `offset`: mean of EST - REF; `mae_offset_removed`: the mean absolute difference without it
- `r`: Pearson's correlation; null where either curve is constant
- `rom_estimate`, `rom_reference`, `rom_error`: the ranges of motion (maximum minus minimum) and EST's minus REF's
- `n`: samples compared

Values of a group are the means over its angles (`r`: over the angles that have one; `rom_error`: of absolute values).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from biopose_cli.errors import MotionFileError, SettingError
from biopose_cli.geometry.euler_branches import nearest_branch_of_any
from biopose_cli.io.atomic import atomic_write
from biopose_cli.io.results import LEG_COORDINATES
from biopose_cli.io.storage import Motion, is_rotation
from biopose_cli.metrics.alignment import common_times, find_shift, resample
from biopose_cli.metrics.conventions import THREE_AXIS_JOINTS, in_heading_frame, to_canonical
from biopose_cli.typing import Array

PELVIS = ("pelvis_tilt", "pelvis_list", "pelvis_rotation")


def _both_sides(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{side}" for side in ("r", "l") for name in names)


GROUPS = {
    "legs": _both_sides(*LEG_COORDINATES),
    "pelvis": PELVIS,
    "trunk": ("lumbar_extension", "lumbar_bending", "lumbar_rotation"),
    "neck": ("neck_extension", "neck_bending", "neck_rotation"),
    "arms": _both_sides("arm_flex", "arm_add", "arm_rot", "elbow_flex", "pro_sup"),
    "wrists": _both_sides("wrist_flex", "wrist_dev"),
    "feet": _both_sides("subtalar_angle", "mtp_angle"),
}
# over a group
_AVERAGED_KEYS = ("mae", "rmse", "mae_offset_removed", "r", "rom_error", "sd", "within_two_sd")
PLOT_FORMATS = (".png", ".jpg", ".pdf", ".svg")
CONSTANT_STD = 1e-3  # degrees of standard deviation: a curve below it counts as constant and has no correlation


@dataclass(frozen=True)
class Comparison:
    """EST against REF.

    Attributes
    ----------
    coordinates, groups
        Figures by name, see the module's text.
    shift_s, shift_source
        s, added to EST's times; "given", "found" or "none found".
    time
        (N) s, of REF's clock.
    estimate, reference, estimate_std
        (N, D) degrees, columns in the order of `coordinates`; the standard deviations are NaN where not known.
    notes
        Conversions made and what to beware of, one line each.
    """

    coordinates: dict[str, dict[str, float | int | None]]
    groups: dict[str, dict[str, float | int | None]]
    shift_s: float
    shift_source: str
    time: Array
    estimate: Array
    reference: Array
    estimate_std: Array
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values, as printed by `biopose compare --json`."""
        return {
            "groups": self.groups,
            "coordinates": self.coordinates,
            "shift_s": self.shift_s,
            "shift_source": self.shift_source,
            "range_s": [float(self.time[0]), float(self.time[-1])],
            "samples": len(self.time),
            "notes": list(self.notes),
        }


def compare(
    estimate: Motion,
    reference: Motion,
    shift: float | None = None,
    time_range: tuple[float, float] | None = None,
    estimate_std: Motion | None = None,
) -> Comparison:
    """Compare the joint angles common to two motions.

    Parameters
    ----------
    estimate, reference
        Of any of the models in `conventions`; EST and REF below.
    shift
        s, added to EST's times (0: both have the same clock); None: the shift at which the legs, or all angles if
        there are no legs, correlate best (`alignment.find_shift`).
    time_range
        s, of REF's clock: compare only from the first to the second.
    estimate_std
        The standard deviations of EST's angles, under its names and on its clock.

    Raises
    ------
    MotionFileError
        No angle in common, or no time in common.
    """
    (estimate, estimate_notes), (reference, reference_notes) = to_canonical(estimate), to_canonical(reference)
    notes = [f"EST: {note}" for note in (*estimate.warnings, *estimate_notes)]
    notes += [f"REF: {note}" for note in (*reference.warnings, *reference_notes)]
    names = _common_names(estimate, reference)
    estimate_values, reference_values = (
        np.unwrap(np.stack([motion[name] for name in names], axis=1), period=360, axis=0)
        for motion in (estimate, reference)
    )
    shift_source = "given"
    if shift is None:
        legs = [i for i, name in enumerate(names) if name in GROUPS["legs"]] or list(range(len(names)))
        found_shift = find_shift(estimate.time, estimate_values[:, legs], reference.time, reference_values[:, legs])
        shift, shift_source = (0.0, "none found") if found_shift is None else (found_shift, "found")
        notes.append(_shift_note(found_shift))
    estimate_time = estimate.time + shift
    time = common_times(estimate_time, reference.time, time_range)
    estimate_values, reference_values = (
        resample(time, estimate_time, estimate_values),
        resample(time, reference.time, reference_values),
    )
    std = _std_at(names, time - shift, estimate_std)

    if set(PELVIS) <= set(names):
        columns = [names.index(name) for name in PELVIS]
        estimate_pelvis, estimate_heading = in_heading_frame(estimate_values[:, columns])
        reference_pelvis, reference_heading = in_heading_frame(reference_values[:, columns])
        # only one was rotated: the angles differ in meaning
        if estimate_heading is not None and reference_heading is not None:
            estimate_values[:, columns], reference_values[:, columns] = estimate_pelvis, reference_pelvis
            std[:, columns[:2]] = _std_along_heading(std[:, columns[:2]], estimate_heading)
        notes += _heading_note(estimate_heading, reference_heading)
    notes += _use_nearest_branch(names, estimate_values, reference_values)
    estimate_values -= 360 * np.round((estimate_values - reference_values).mean(axis=0) / 360)
    coordinates = {
        name: _metrics(estimate_values[:, i], reference_values[:, i], std[:, i]) for i, name in enumerate(names)
    }
    constant = [name for i, name in enumerate(names) if reference_values[:, i].std() < CONSTANT_STD]
    if constant:
        notes.append(f"constant in REF: {', '.join(constant)}")
    groups = {
        group: _means([coordinates[name] for name in members if name in coordinates])
        for group, members in GROUPS.items()
        if set(members) & set(coordinates)
    }
    return Comparison(
        coordinates,
        groups,
        float(shift),
        shift_source,
        time,
        estimate_values,
        reference_values,
        std,
        tuple(notes),
    )


def _common_names(estimate: Motion, reference: Motion) -> tuple[str, ...]:
    """Angles in both motions, by group, then those of no group.

    Translations are left out: their origin is arbitrary.
    """
    common = {name for name in estimate.names if name in reference.names and is_rotation(name)}
    grouped = [name for members in GROUPS.values() for name in members if name in common]
    names = (*grouped, *(name for name in reference.names if name in common and name not in grouped))
    if not names:
        raise MotionFileError(
            f"the two motions have no joint angle in common: {', '.join(estimate.names[:6])}, ... "
            f"against {', '.join(reference.names[:6])}, ..."
        )
    return names


def _std_at(names: tuple[str, ...], time: Array, estimate_std: Motion | None) -> Array:
    """EST's standard deviations (N, D) at `time` (N) of its clock; NaN for angles and times without."""
    std = np.full((len(time), len(names)), np.nan)
    for i, name in enumerate(names):
        if estimate_std is not None and name in estimate_std.names:
            std[:, i] = np.interp(time, estimate_std.time, estimate_std[name], left=np.nan, right=np.nan)
    return np.where(std >= 0, std, np.nan)


def _std_along_heading(std: Array, heading: float) -> Array:
    """Standard deviations of tilt and list (N, 2) in a heading's frame, degrees, as if they were independent."""
    cos_squared, sin_squared = np.cos(np.radians(heading)) ** 2, np.sin(np.radians(heading)) ** 2
    return np.asarray(np.sqrt(cos_squared * std**2 + sin_squared * std[:, ::-1] ** 2))


def _shift_note(shift: float | None) -> str:
    if shift is None:
        return "no time shift could be determined from the curves: none is applied (--shift sets it)"
    return f"a time shift of {shift:+.3f} s was found by correlation (--shift sets it; 0: same clock)"


def _heading_note(estimate_heading: float | None, reference_heading: float | None) -> list[str]:
    if estimate_heading is None or reference_heading is None:
        return ["no heading (lying or walking in a circle): pelvis angles are compared as in the files"]
    if max(abs(estimate_heading), abs(reference_heading)) < 10:
        return []
    headings = f"EST {estimate_heading:.0f}, REF {reference_heading:.0f} degrees"
    return [f"pelvis tilt and list are relative to each motion's mean heading ({headings})"]


def _use_nearest_branch(names: tuple[str, ...], estimate: Array, reference: Array) -> list[str]:
    """Move EST's angles, in place, to the Euler branch nearer to REF; returns a note per joint."""
    notes = []
    for joint in THREE_AXIS_JOINTS:
        if not set(joint) <= set(names):
            continue
        columns = [names.index(name) for name in joint]
        estimate[:, columns], changed = nearest_branch_of_any(estimate[:, columns], reference[:, columns], 180.0)
        if changed.any():
            notes.append(
                f"{', '.join(joint)}: in {changed.sum()} of {len(changed)} frames, EST's equivalent angles for the "
                "same posture are compared, because they are nearer to REF"
            )
    return notes


def _metrics(estimate: Array, reference: Array, estimate_std: Array) -> dict[str, float | int | None]:
    error = estimate - reference
    offset = error.mean()
    varies = estimate.std() >= CONSTANT_STD and reference.std() >= CONSTANT_STD
    has_std = bool(np.isfinite(estimate_std).all())
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "mae_offset_removed": float(np.abs(error - offset).mean()),
        "r": float(np.corrcoef(estimate, reference)[0, 1]) if varies else None,
        "offset": float(offset),
        "rom_estimate": float(np.ptp(estimate)),
        "rom_reference": float(np.ptp(reference)),
        "rom_error": float(np.ptp(estimate) - np.ptp(reference)),
        "sd": float(estimate_std.mean()) if has_std else None,
        "within_two_sd": float(np.mean(np.abs(error) <= 2 * estimate_std)) if has_std else None,
        "n": len(error),
    }


def _means(members: list[dict[str, float | int | None]]) -> dict[str, float | int | None]:
    def mean(key: str) -> float | None:
        values = [abs(v) if key == "rom_error" else v for m in members if (v := m[key]) is not None]
        return float(np.mean(values)) if values else None

    return {key: mean(key) for key in _AVERAGED_KEYS} | {"n": len(members)}


def plot(comparison: Comparison, path: Path) -> None:
    """Save a plot of both motions, one small axes per angle.

    The format follows `path`'s suffix. Bands show one and two standard deviations of EST.

    Raises
    ------
    SettingError, DiskFullError, OutputError
    """
    if path.suffix.lower() not in PLOT_FORMATS:
        raise SettingError(f"--plot {path} is not an image format", f"Use the suffix {', '.join(PLOT_FORMATS)}")
    columns = 5
    rows = -(-len(comparison.coordinates) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.1 * rows + 0.8), layout="constrained")
    for i, (name, metrics) in enumerate(comparison.coordinates.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        estimate, std = comparison.estimate[:, i], comparison.estimate_std[:, i]
        for num_std, opacity in (
            (2, 0.15),
            (1, 0.25),
        ):  # standard deviations; nothing where they are unknown
            band = (comparison.time, estimate - num_std * std, estimate + num_std * std)
            axes.fill_between(*band, color="tab:orange", alpha=opacity, linewidth=0)
        axes.plot(comparison.time, comparison.reference[:, i], color="black", linewidth=1.5, label="REF")
        axes.plot(comparison.time, estimate, color="tab:orange", linewidth=1.2, label="EST")
        errors = f"MAE {metrics['mae']:.1f}, without offset {metrics['mae_offset_removed']:.1f}"
        axes.set_title(f"{name}\n{errors}", size=8)
        axes.tick_params(labelsize=7)
        axes.margins(x=0)
    figure.axes[0].legend(fontsize=7, frameon=False)
    figure.suptitle(f"Degrees over seconds of REF's clock; EST shifted by {comparison.shift_s:+.3f} s", size=10)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
