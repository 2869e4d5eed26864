"""The export stage: the files that the user asked for. `docs/guide/outputs.md` describes them.

A `.mot` must not have a hole: `NAME.mot` holds the longest unbroken part of the angles, and the other parts go to
`NAME_part2.mot`, `NAME_part3.mot` and so on, in order of time, each with its own `_sd.sto`. The `.trc` has them all in
one file, without rows for the hole; so has `NAME_angles.csv`, with empty cells in the hole's rows.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from biopose_cli.errors import SolverError
from biopose_cli.export.summary import write_summary
from biopose_cli.geometry.runs import frame_gaps, runs
from biopose_cli.io.atomic import atomic_write, translate_os_errors
from biopose_cli.io.results import Detection, JointKinematics, Refined
from biopose_cli.io.storage import write_mot
from biopose_cli.io.tables import write_angles_csv
from biopose_cli.io.trc import write_trc
from biopose_cli.io.video.probe import VideoInfo
from biopose_cli.progress import NullProgress, Progress
from biopose_cli.render.overlay import write_overlay
from biopose_cli.settings import Settings


def run(
    info: VideoInfo,
    detection: Detection,
    refined: Refined,
    kinematics: JointKinematics,
    settings: Settings,
    folder: Path,
    name: str,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the files of `name` into `folder`, each one atomically, and remove parts of an earlier run.

    Returns
    -------
    The files, in the order of writing; the summary is last and contains the others' checksums.

    Raises
    ------
    SolverError
        No frame has joint angles.
    VideoError, BodyFileError, DiskFullError, OutputError
    """
    progress = progress or NullProgress()
    parts = motion_parts(kinematics)
    if not parts:
        raise SolverError(f"no frame of {name} has joint angles", "Check stages/detect.npz, or try another --person")
    motions = [folder / f"{name}.mot"] + [folder / f"{name}_part{i}.mot" for i in range(2, len(parts) + 1)]
    std_deg = kinematics.std_deg
    std_files = [path.with_name(f"{path.stem}_sd.sto") for path in motions if std_deg]
    table = folder / f"{name}_angles.csv"
    model, markers = folder / f"{name}.osim", folder / f"{name}.trc"
    overlay, summary = folder / f"{name}_overlay.mp4", folder / f"{name}_summary.json"

    progress.start("files", len(motions) + len(std_files) + 3, unit="files")
    _remove_old_parts(folder, name, keep=motions)  # no old standard deviations beside new angles, even if stopped here
    for path, part in zip(motions, parts, strict=True):
        write_mot(path, kinematics.time[part], [str(c) for c in kinematics.coordinates], kinematics.file_values[part])
        progress.advance()
    for path, part in zip(std_files, parts, strict=False):
        write_mot(path, kinematics.time[part], list(std_deg), np.stack([std[part] for std in std_deg.values()], axis=1))
        progress.advance()
    write_angles_csv(table, kinematics)
    progress.advance()
    with atomic_write(model) as temporary:
        temporary.write_text(kinematics.model_xml, encoding="utf-8", newline="\n")
    progress.advance()
    positions = np.where(kinematics.valid[:, None, None], kinematics.markers, np.nan)
    write_trc(markers, kinematics.time, [str(m) for m in kinematics.marker_names], positions)
    progress.advance()
    write_overlay(overlay, info, detection, refined, kinematics, settings, progress)

    notes = warnings(kinematics, name)
    for note in notes:
        progress.note(note)
    files = [*motions, *std_files, table, model, markers, overlay]
    write_summary(summary, info, detection, refined, kinematics, settings, files, notes)
    return [*files, summary]


def motion_parts(kinematics: JointKinematics) -> list[slice]:
    """The unbroken parts of the angles as slices of frames: the longest first, then the others in order of time."""
    valid = kinematics.valid & np.isfinite(kinematics.q).all(axis=1)
    parts = [slice(*run) for run in runs(valid, breaks=frame_gaps(kinematics.time))]
    longest = max(parts, key=lambda part: part.stop - part.start, default=None)
    return sorted(parts, key=lambda part: (part is not longest, part.start))


def warnings(kinematics: JointKinematics, name: str) -> tuple[str, ...]:
    """Warnings about the files, one line each."""
    parts = motion_parts(kinematics)
    if len(parts) < 2:
        return ()
    spans = ", ".join(f"{kinematics.time[p.start]:.2f} to {kinematics.time[p.stop - 1]:.2f} s" for p in parts)
    files = f"{len(parts)} files, {name}.mot to {name}_part{len(parts)}.mot"
    return (f"the person was hidden, or the video has a gap, for too long: the angles are in {files} ({spans})",)


def _remove_old_parts(folder: Path, name: str, keep: list[Path]) -> None:
    if not folder.is_dir():
        return
    pattern = re.compile(re.escape(name) + r"(_part\d+(\.mot|_sd\.sto)|_sd\.sto)")
    for path in folder.iterdir():
        if pattern.fullmatch(path.name) and path not in keep:
            with translate_os_errors(path):
                path.unlink()
