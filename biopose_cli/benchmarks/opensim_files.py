"""Results judged by OpenSim: it loads every file, and its own inverse kinematics gives our angles back."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.benchmarks.markdown import markdown_table
from biopose_cli.errors import OutputError
from biopose_cli.io.storage import is_rotation, read_motion
from biopose_cli.io.trc import read_trc
from biopose_cli.progress import Progress
from biopose_cli.skeleton.euler_branches import nearest_branch
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.opensim_ik import run_tool
from biopose_cli.skeleton.osim import load_model, opensim, silence_output

MAX_DIFFERENCE = 0.5  # degrees, mean over coordinates and frames


def check(folders: Sequence[Path], progress: Progress) -> dict[str, Any]:
    """Let OpenSim read the files of results folders and solve their inverse kinematics with its default settings.

    Returns
    -------
    dict
        `ok`: whether all are in order. `clips`: by clip `ok`; `warnings`, lines of OpenSim's log while it loads the
        model; `mot_rows`, `mot_table_rows`, `trc_rows`, each as OpenSim reads them and as they are in the file; and
        `ik_difference_deg`, the mean absolute difference of its angles from ours.

    Raises
    ------
    OutputError
        A folder holds no results.
    MotionFileError, ModelFileError
        A file in it is damaged.
    """
    for folder in folders:
        for kind in ("mot", "osim", "trc"):
            if not (path := folder / f"{folder.resolve().name}.{kind}").is_file():
                raise OutputError(f"there is no file {path}", "Name a clip's folder that `biopose run` wrote")
    progress.start("OpenSim", len(folders), "clips")
    clips = {}
    for folder in folders:
        clips[folder.resolve().name] = _check_clip(folder.resolve())
        progress.advance()
    return {"ok": all(clip["ok"] for clip in clips.values()), "clips": clips}


def _check_clip(folder: Path) -> dict[str, Any]:
    osim, mot, trc = (folder / f"{folder.name}.{kind}" for kind in ("osim", "mot", "trc"))
    load_model(osim)  # raises on a damaged file
    motion, markers = read_motion(mot), read_trc(trc)
    warnings = _loading_warnings(osim)
    rows = {
        "mot_rows": [opensim.Storage(str(mot)).getSize(), len(motion.time)],
        "mot_table_rows": [opensim.TimeSeriesTable(str(mot)).getNumRows(), len(motion.time)],
        "trc_rows": [opensim.MarkerData(str(trc)).getNumFrames(), len(markers.time)],
    }
    difference = _ik_difference(osim, trc, mot)
    agree = all(found == written for found, written in rows.values())
    ok = agree and not warnings and difference < MAX_DIFFERENCE
    return {"ok": ok, "warnings": warnings} | rows | {"ik_difference_deg": difference}


def _loading_warnings(osim: Path) -> list[str]:
    """OpenSim's log while it loads a model, warnings and above, absent bone meshes left out."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "opensim.log"
        opensim.Logger.addFileSink(str(log))
        opensim.Logger.setLevelString("Warn")
        with silence_output():
            opensim.Model(str(osim)).initSystem()
        opensim.Logger.setLevelString("Off")
        opensim.Logger.removeFileSink()
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [line for line in lines if line.strip() and not re.search(r"\.(vtp|stl|obj)\b", line)]


def _ik_difference(osim: Path, trc: Path, mot: Path) -> float:
    """Mean absolute difference over rotations and common frames, degrees; an arm's other name is no difference."""
    spec = extract_model(load_model(osim))
    time, names, q = run_tool(trc, osim)
    ours = read_motion(mot)
    rows = np.searchsorted(time, ours.time - 1e-6)
    angles = [is_rotation(name) and not name.endswith("_beta") for name in spec.coordinates]
    our_q = np.stack([ours[name] for name in spec.coordinates], axis=1)
    our_q[:, angles] = np.radians(our_q[:, angles])
    opensim_q = nearest_branch(spec, q[rows][:, [names.index(name) for name in spec.coordinates]], our_q)
    angle_difference = np.degrees(np.abs(opensim_q - our_q))[:, angles]
    return float(np.minimum(angle_difference, np.abs(360 - angle_difference)).mean())


def format_report(report: dict[str, Any]) -> str:
    """A Markdown table, one row a clip, and below it OpenSim's warnings."""
    table = markdown_table(
        ("clip", "warnings", ".mot rows", ".trc rows", "IK difference, degrees"),
        [
            (
                name,
                str(len(clip["warnings"])),
                "{} of {}".format(*clip["mot_rows"]),
                "{} of {}".format(*clip["trc_rows"]),
                f"{clip['ik_difference_deg']:.2f}",
            )
            for name, clip in report["clips"].items()
        ],
    )
    lines = [f"{name}: {line}" for name, clip in report["clips"].items() for line in clip["warnings"]]
    return "\n".join((table, *lines))
