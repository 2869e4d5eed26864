"""How far skeleton and body markers lie apart, for the same clips under two settings.

    biopose run CLIPS --out results
    biopose run CLIPS --out results_opensim --ik opensim
    python tools/residual_table.py results results_opensim

Root mean square over frames and markers, mm, from the folders' stages/neurik.npz; and the angles' mean difference.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from biopose_cli.io.results import JointKinematics


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    options = parser.parse_args()
    print(
        f"| clip | frames | {options.one.name}, mm | {options.other.name}, mm | angles differ by, degrees |"
    )
    print("|---|---|---|---|---|")
    for folder in sorted(options.one.iterdir()):
        path, other = (out / folder.name / "stages" / "neurik.npz" for out in (options.one, options.other))
        if not (path.is_file() and other.is_file()):
            continue
        pair = [JointKinematics.load(file)[0] for file in (path, other)]
        residuals = " | ".join(f"{1000 * np.sqrt(np.nanmean(j.marker_residual**2)):.2f}" for j in pair)
        turns = (pair[0].q - pair[1].q)[:, pair[0].rotational]
        apart = np.degrees(np.abs((turns + np.pi) % (2 * np.pi) - np.pi))
        print(f"| {folder.name} | {int(pair[0].valid.sum())} | {residuals} | {np.nanmean(apart):.2f} |")


if __name__ == "__main__":
    main()
