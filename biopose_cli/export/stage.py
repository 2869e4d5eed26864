"""The export stage: the files that the user asked for. `docs/outputs.md` describes them.

A `.mot` must not have a hole: `NAME.mot` holds the longest unbroken part of the angles, and the other parts go to
`NAME_part2.mot`, `NAME_part3.mot` and so on, in order of time, each with its own `_sd.sto`. The `.trc` has them all in
one file, without rows for the hole.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from biopose_cli.errors import SolverError
from biopose_cli.export.summary import deviations, write_summary
from biopose_cli.geometry.runs import holes
from biopose_cli.io.atomic import explained, replacing
from biopose_cli.io.results import Detection, Joints, Refined
from biopose_cli.io.storage import write_mot
from biopose_cli.io.trc import write_trc
from biopose_cli.io.video.probe import VideoInfo
from biopose_cli.progress import Progress
from biopose_cli.render.overlay import write_overlay
from biopose_cli.settings import Settings
from biopose_cli.typing import Array


def run(
    info: VideoInfo,
    detection: Detection,
    refined: Refined,
    joints: Joints,
    settings: Settings,
    folder: Path,
    name: str,
    progress: Progress,
) -> list[Path]:
    """Write `name`'s files into `folder`, each one atomically, and remove parts that an earlier run left behind.

    Returns
    -------
    The files, in the order of writing; the summary is last and knows the others' checksums.

    Raises
    ------
    SolverError
        No frame has joint angles.
    VideoError, BodyFileError, DiskFullError, OutputError
    """
    parts = motion_parts(joints)
    if not parts:
        raise SolverError(
            f"no frame of {name} has joint angles", "Look at stages/detect.npz, or try another --person"
        )
    motions = [folder / f"{name}.mot"] + [folder / f"{name}_part{i}.mot" for i in range(2, len(parts) + 1)]
    names, degrees = deviations(joints)
    doubts = [path.with_name(f"{path.stem}_sd.sto") for path in motions if names]
    model, markers = folder / f"{name}.osim", folder / f"{name}.trc"
    overlay, summary = folder / f"{name}_overlay.mp4", folder / f"{name}_summary.json"

    progress.start("files", len(motions) + len(doubts) + 2, unit="files")
    _remove_old_parts(
        folder, name, keep=motions
    )  # no old standard deviations beside new angles, even if stopped here
    values = _file_units(joints)
    for path, part in zip(motions, parts, strict=True):
        write_mot(path, joints.time[part], [str(c) for c in joints.coordinates], values[part])
        progress.advance()
    for path, part in zip(doubts, parts, strict=False):
        write_mot(path, joints.time[part], names, degrees[part])
        progress.advance()
    with replacing(model) as temporary:
        temporary.write_text(joints.model_xml, encoding="utf-8", newline="\n")
    progress.advance()
    positions = np.where(joints.valid[:, None, None], joints.markers, np.nan)
    write_trc(markers, joints.time, [str(m) for m in joints.marker_names], positions)
    progress.advance()
    write_overlay(overlay, info, detection, refined, joints, settings, progress)

    notes = warnings(joints, name)
    for note in notes:
        progress.note(note)
    files = [*motions, *doubts, model, markers, overlay]
    write_summary(summary, info, detection, refined, joints, settings, files, notes)
    return [*files, summary]


def motion_parts(joints: Joints) -> list[slice]:
    """The unbroken parts of the angles as slices of frames: the longest first, then the others in order of time."""
    known = np.flatnonzero(joints.valid & np.isfinite(joints.q).all(axis=1))
    last = np.union1d(holes(joints.time), known[np.flatnonzero(np.diff(known) > 1)])
    runs = np.split(known, np.searchsorted(known, last, side="right"))
    parts = [slice(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)]
    longest = max(parts, key=lambda part: part.stop - part.start, default=None)
    return sorted(parts, key=lambda part: (part is not longest, part.start))


def warnings(joints: Joints, name: str) -> tuple[str, ...]:
    """What the user should know about the files, one line each."""
    parts = motion_parts(joints)
    if len(parts) < 2:
        return ()
    spans = ", ".join(f"{joints.time[p.start]:.2f} to {joints.time[p.stop - 1]:.2f} s" for p in parts)
    files = f"{len(parts)} files, {name}.mot to {name}_part{len(parts)}.mot"
    return (f"out of sight, or a hole in the video, for too long: the angles are in {files} ({spans})",)


def _file_units(joints: Joints) -> Array:
    """(T, D) values in degrees and m. Coupled coordinates (the patella's) are not `rotational`: they stay in rad."""
    q = joints.q.astype(np.float64)
    return np.where(joints.rotational, np.rad2deg(q), q)


def _remove_old_parts(folder: Path, name: str, keep: list[Path]) -> None:
    if not folder.is_dir():
        return
    pattern = re.compile(re.escape(name) + r"(_part\d+(\.mot|_sd\.sto)|_sd\.sto)")
    for path in folder.iterdir():
        if pattern.fullmatch(path.name) and path not in keep:
            with explained(path):
                path.unlink()
