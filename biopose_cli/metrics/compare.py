"""One motion against another: errors per joint angle and by group, over their common time.

An angle's figures, all in degrees but `r`:

- `mae`, `rmse`: mean absolute and root mean square of EST - REF
- `offset`: mean of EST - REF; `mae_offset_removed`: the mean absolute difference without it
- `r`: Pearson's correlation; null where either curve is constant
- `rom_est`, `rom_ref`, `rom_error`: the ranges of motion (greatest minus least) and EST's minus REF's
- `n`: samples compared

A group's figures are the plain means over its angles (of `r`: over the angles that have one; `rom_error`: of the
absolute values).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from biopose_cli.errors import MotionFileError, SettingError
from biopose_cli.io.atomic import atomic_write
from biopose_cli.io.results import LEG_COORDINATES
from biopose_cli.io.storage import Motion, is_rotation
from biopose_cli.metrics.alignment import common_times, find_shift, sample
from biopose_cli.metrics.conventions import THREE_TURNS, about_own_heading, canonical, named_as
from biopose_cli.typing import Array

PELVIS = ("pelvis_tilt", "pelvis_list", "pelvis_rotation")


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{side}" for side in ("r", "l") for name in names)


GROUPS = {
    "legs": _both(*LEG_COORDINATES),
    "pelvis": PELVIS,
    "trunk": ("lumbar_extension", "lumbar_bending", "lumbar_rotation"),
    "neck": ("neck_extension", "neck_bending", "neck_rotation"),
    "arms": _both("arm_flex", "arm_add", "arm_rot", "elbow_flex", "pro_sup"),
    "wrists": _both("wrist_flex", "wrist_dev"),
    "feet": _both("subtalar_angle", "mtp_angle"),
}
_AVERAGED = ("mae", "rmse", "mae_offset_removed", "r", "rom_error", "sd", "within_two_sd")  # over a group
PICTURES = (".png", ".jpg", ".pdf", ".svg")
STILL = 1e-3  # degrees of standard deviation: below it a curve is constant, and nothing correlates with it


@dataclass(frozen=True)
class Comparison:
    """EST against REF.

    coordinates, groups : figures by name, see the module's text
    shift_s : s added to EST's times; `shift_source` is "given", "found" or "none found"
    time : (N) s, of REF's clock; est, ref : (N, D) degrees, columns in the order of `coordinates`
    doubt : (N, D) degrees, EST's standard deviations; NaN where they are not known
    notes : conversions made and what to beware of, one line each
    """

    coordinates: dict[str, dict[str, float | int | None]]
    groups: dict[str, dict[str, float | int | None]]
    shift_s: float
    shift_source: str
    time: Array
    est: Array
    ref: Array
    doubt: Array
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values: what `biopose compare --json` prints."""
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
    est: Motion,
    ref: Motion,
    shift: float | None = None,
    time_range: tuple[float, float] | None = None,
    doubt: Motion | None = None,
) -> Comparison:
    """Compare the joint angles that both motions have.

    Parameters
    ----------
    est, ref : of any of the models in `conventions`
    shift : s, added to EST's times (0: both have the same clock); None: the shift at which the legs, or all angles
        if there are no legs, correlate best (`align.find_shift`)
    time_range : s, of REF's clock: compare only from the first to the second
    doubt : the standard deviations of EST's angles, under its names and on its clock

    Raises
    ------
    MotionFileError
        No angle in common, or no time in common.
    """
    (est, est_notes), (ref, ref_notes) = canonical(est), canonical(ref)
    notes = [f"EST: {note}" for note in (*est.warnings, *est_notes)]
    notes += [f"REF: {note}" for note in (*ref.warnings, *ref_notes)]
    names = _common_names(est, ref)
    est_values, ref_values = (
        np.unwrap(np.stack([motion[name] for name in names], axis=1), period=360, axis=0)
        for motion in (est, ref)
    )
    source = "given"
    if shift is None:
        legs = [i for i, name in enumerate(names) if name in GROUPS["legs"]] or list(range(len(names)))
        found = find_shift(est.time, est_values[:, legs], ref.time, ref_values[:, legs])
        shift, source = (0.0, "none found") if found is None else (found, "found")
        notes.append(_shift_note(found))
    est_time = est.time + shift
    time = common_times(est_time, ref.time, time_range)
    est_values, ref_values = sample(time, est_time, est_values), sample(time, ref.time, ref_values)
    unsure = _deviations(names, time - shift, doubt)

    if set(PELVIS) <= set(names):
        columns = [names.index(name) for name in PELVIS]
        est_pelvis, est_heading = about_own_heading(est_values[:, columns])
        ref_pelvis, ref_heading = about_own_heading(ref_values[:, columns])
        if est_heading is not None and ref_heading is not None:  # one turned, one not: two different angles
            est_values[:, columns], ref_values[:, columns] = est_pelvis, ref_pelvis
            unsure[:, columns[:2]] = _about_heading(unsure[:, columns[:2]], est_heading)
        notes += _heading_note(est_heading, ref_heading)
    notes += _rename(names, est_values, ref_values)
    est_values -= 360 * np.round((est_values - ref_values).mean(axis=0) / 360)
    coordinates = {
        name: _figures(est_values[:, i], ref_values[:, i], unsure[:, i]) for i, name in enumerate(names)
    }
    still = [name for i, name in enumerate(names) if ref_values[:, i].std() < STILL]
    if still:
        notes.append(f"REF holds constant: {', '.join(still)}")
    groups = {
        group: _means([coordinates[name] for name in members if name in coordinates])
        for group, members in GROUPS.items()
        if set(members) & set(coordinates)
    }
    return Comparison(
        coordinates, groups, float(shift), source, time, est_values, ref_values, unsure, tuple(notes)
    )


def _common_names(est: Motion, ref: Motion) -> tuple[str, ...]:
    """The angles in both motions, by group, then those of no group. Positions are left out: their origin is
    anybody's."""
    common = {name for name in est.names if name in ref.names and is_rotation(name)}
    grouped = [name for members in GROUPS.values() for name in members if name in common]
    names = (*grouped, *(name for name in ref.names if name in common and name not in grouped))
    if not names:
        raise MotionFileError(
            f"the two motions have no joint angle in common: {', '.join(est.names[:6])}, ... "
            f"against {', '.join(ref.names[:6])}, ..."
        )
    return names


def _deviations(names: tuple[str, ...], time: Array, doubt: Motion | None) -> Array:
    """(N, D) EST's standard deviations at `time` (N) of its clock; NaN for angles and times without."""
    unsure = np.full((len(time), len(names)), np.nan)
    for i, name in enumerate(names):
        if doubt is not None and name in doubt.names:
            unsure[:, i] = np.interp(time, doubt.time, doubt[name], left=np.nan, right=np.nan)
    return np.where(unsure >= 0, unsure, np.nan)


def _about_heading(deviations: Array, heading: float) -> Array:
    """Standard deviations of tilt and list (N, 2) as seen along a heading, degrees; as if they were independent."""
    along, across = np.cos(np.radians(heading)) ** 2, np.sin(np.radians(heading)) ** 2
    return np.asarray(np.sqrt(along * deviations**2 + across * deviations[:, ::-1] ** 2))


def _shift_note(found: float | None) -> str:
    if found is None:
        return "the curves do not tell a time shift: both clocks were taken as they are (--shift sets it)"
    return f"a time shift of {found:+.3f} s was found by correlation (--shift sets it; 0: same clock)"


def _heading_note(est: float | None, ref: float | None) -> list[str]:
    if est is None or ref is None:
        return [
            "no heading (lying or turning in a circle): pelvis angles are compared as they are in the files"
        ]
    if max(abs(est), abs(ref)) < 10:
        return []
    return [
        f"pelvis tilt and list are about each motion's own mean heading (EST {est:.0f}, REF {ref:.0f} degrees)"
    ]


def _rename(names: tuple[str, ...], est: Array, ref: Array) -> list[str]:
    """Put EST's angles, in place, under the names of their postures that are nearer to REF; a note per joint."""
    notes = []
    for joint in THREE_TURNS:
        if not set(joint) <= set(names):
            continue
        columns = [names.index(name) for name in joint]
        est[:, columns], renamed = named_as(est[:, columns], ref[:, columns])
        if renamed.any():
            notes.append(
                f"{', '.join(joint)}: in {renamed.sum()} of {len(renamed)} frames EST's other three angles for the "
                "same posture are compared, which are nearer to REF"
            )
    return notes


def _figures(est: Array, ref: Array, doubt: Array) -> dict[str, float | int | None]:
    error = est - ref
    offset = error.mean()
    moving = est.std() >= STILL and ref.std() >= STILL
    told = bool(np.isfinite(doubt).all())
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "mae_offset_removed": float(np.abs(error - offset).mean()),
        "r": float(np.corrcoef(est, ref)[0, 1]) if moving else None,
        "offset": float(offset),
        "rom_est": float(np.ptp(est)),
        "rom_ref": float(np.ptp(ref)),
        "rom_error": float(np.ptp(est) - np.ptp(ref)),
        "sd": float(doubt.mean()) if told else None,
        "within_two_sd": float(np.mean(np.abs(error) <= 2 * doubt)) if told else None,
        "n": len(error),
    }


def _means(members: list[dict[str, float | int | None]]) -> dict[str, float | int | None]:
    def mean(key: str) -> float | None:
        values = [abs(v) if key == "rom_error" else v for m in members if (v := m[key]) is not None]
        return float(np.mean(values)) if values else None

    return {key: mean(key) for key in _AVERAGED} | {"n": len(members)}


def plot(comparison: Comparison, path: Path) -> None:
    """Save the curves of both motions, one small axes per angle, as a picture of the format of `path`'s suffix. Bands
    are of one and two standard deviations of EST.

    Raises
    ------
    SettingError, DiskFullError, OutputError
    """
    if path.suffix.lower() not in PICTURES:
        raise SettingError(
            f"--plot {path} is no picture's name", f"Let it end in one of {', '.join(PICTURES)}"
        )
    columns = 5
    rows = -(-len(comparison.coordinates) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.1 * rows + 0.8), layout="constrained")
    for i, (name, figures) in enumerate(comparison.coordinates.items()):
        axes = figure.add_subplot(rows, columns, i + 1)
        est, unsure = comparison.est[:, i], comparison.doubt[:, i]
        for wide, shade in ((2, 0.15), (1, 0.25)):  # standard deviations; nothing where they are not known
            band = (comparison.time, est - wide * unsure, est + wide * unsure)
            axes.fill_between(*band, color="tab:orange", alpha=shade, linewidth=0)
        axes.plot(comparison.time, comparison.ref[:, i], color="black", linewidth=1.5, label="REF")
        axes.plot(comparison.time, est, color="tab:orange", linewidth=1.2, label="EST")
        errors = f"MAE {figures['mae']:.1f}, without offset {figures['mae_offset_removed']:.1f}"
        axes.set_title(f"{name}\n{errors}", size=8)
        axes.tick_params(labelsize=7)
        axes.margins(x=0)
    figure.axes[0].legend(fontsize=7, frameon=False)
    figure.suptitle(
        f"Degrees over seconds of REF's clock; EST shifted by {comparison.shift_s:+.3f} s", size=10
    )
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
