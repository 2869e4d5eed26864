"""Let OpenSim judge results: does it load every file, and does its own inverse kinematics give our angles back?

    python tools/check_results.py results/*

For each clip's folder: warnings while the .osim loads (absent bone meshes aside), rows of the .mot and .trc that
OpenSim reads against those in the file, and the mean difference, in degrees, between our .mot and what OpenSim's
InverseKinematicsTool makes, with default settings, of our .trc and .osim. Exit code 1 if anything is wrong.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import numpy as np

from biopose_cli.io.storage import is_rotation, read_motion
from biopose_cli.io.trc import read_trc
from biopose_cli.skeleton.euler_branches import nearest_branch
from biopose_cli.skeleton.extract import extract_model
from biopose_cli.skeleton.opensim_ik import run_tool
from biopose_cli.skeleton.osim import load_model, opensim, silence_output

LARGEST_DIFFERENCE = 0.5  # degrees, mean over coordinates and frames


def main() -> int:
    folders = [Path(argument) for argument in sys.argv[1:]]
    print("| clip | warnings | .mot rows | .trc rows | IK difference, degrees |\n|---|---|---|---|---|")
    sound = [check(folder) for folder in folders if (folder / f"{folder.name}.mot").is_file()]
    return int(not all(sound))


def check(folder: Path) -> bool:
    name = folder.name
    osim, mot, trc = (folder / f"{name}.{kind}" for kind in ("osim", "mot", "trc"))
    warnings = loading_warnings(osim)
    motion, markers = read_motion(mot), read_trc(trc)
    read_mot = opensim.Storage(str(mot)).getSize()
    read_table = opensim.TimeSeriesTable(str(mot)).getNumRows()
    read_markers = opensim.MarkerData(str(trc)).getNumFrames()
    difference = ik_difference(osim, trc, mot)
    print(
        f"| {name} | {len(warnings)} | {read_mot} of {len(motion.time)} | {read_markers} of {len(markers.time)} "
        f"| {difference:.2f} |"
    )
    for line in warnings:
        print(f"  {line}")
    rows = read_mot == read_table == len(motion.time) and read_markers == len(markers.time)
    return rows and not warnings and difference < LARGEST_DIFFERENCE


def loading_warnings(osim: Path) -> list[str]:
    """What OpenSim's log says at the level of warnings and above, absent bone meshes left out."""
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


def ik_difference(osim: Path, trc: Path, mot: Path) -> float:
    """Mean absolute difference over rotations and common frames, degrees; an arm's other name is no difference."""
    table = extract_model(load_model(osim))
    time, names, q = run_tool(trc, osim)
    ours = read_motion(mot)
    rows = np.searchsorted(time, ours.time - 1e-6)
    angles = [is_rotation(name) and not name.endswith("_beta") for name in table.coordinates]
    own = np.stack([ours[name] for name in table.coordinates], axis=1)
    own[:, angles] = np.radians(own[:, angles])
    again = nearest_branch(table, q[rows][:, [names.index(name) for name in table.coordinates]], own)
    turns = np.degrees(np.abs(again - own))[:, angles]
    return float(np.minimum(turns, np.abs(360 - turns)).mean())


if __name__ == "__main__":
    sys.exit(main())
