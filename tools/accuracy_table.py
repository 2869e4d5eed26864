"""Compare several results with one reference: a table by clip, and one by coordinate.

    python tools/accuracy_table.py REF.mot results/a/a.mot results/b/b.mot

The figures are those of `biopose compare EST.mot REF.mot --shift 0` (degrees; legs are hip flexion, adduction,
rotation, knee and ankle of both sides).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from biopose_cli.io.storage import read_motion
from biopose_cli.metrics.compare import GROUPS, compare


def main() -> None:
    reference = read_motion(Path(sys.argv[1]))
    reports = {
        Path(path).stem: compare(read_motion(Path(path)), reference, shift=0.0).as_json() for path in sys.argv[2:]
    }
    print("| clip | legs MAE | offset removed | RMSE | r |\n|---|---|---|---|---|")
    keys = ("mae", "mae_offset_removed", "rmse", "r")
    rows = {name: [report["groups"]["legs"][key] for key in keys] for name, report in reports.items()}
    for name, row in {**rows, "**mean**": np.mean(list(rows.values()), axis=0)}.items():
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in row) + " |")
    print(f"\n| coordinate, MAE / offset removed | {' | '.join(reports)} | mean |\n|---{'|---' * (len(reports) + 1)}|")
    for coordinate in GROUPS["legs"]:
        cells = [
            (
                report["coordinates"][coordinate]["mae"],
                report["coordinates"][coordinate]["mae_offset_removed"],
            )
            for report in reports.values()
        ]
        cells.append(tuple(np.mean(cells, axis=0)))
        print(f"| {coordinate} | " + " | ".join(f"{mae:.1f} / {removed:.1f}" for mae, removed in cells) + " |")


if __name__ == "__main__":
    main()
