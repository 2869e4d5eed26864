"""The points that mesh recovery is judged by, its errors over them, and their table.

They are 16 of BlazePose's landmarks: shoulders, elbows, wrists, hips, knees, ankles, heels and foot indices of both
sides (11 to 16 and 23 to 32). Their root is the middle of the hip landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biopose_cli.body.kinematics import read_csv
from biopose_cli.metrics import pose
from biopose_cli.typing import Array

LIMBS = (*range(11, 17), *range(23, 33))
NAMES = tuple(read_csv("landmarks.csv")[k]["name"] for k in LIMBS)
_ROOT = tuple(LIMBS.index(k) for k in (23, 24))  # the hips
ANGLES = {
    "left_knee": (23, 25, 27),
    "right_knee": (24, 26, 28),
    "left_elbow": (11, 13, 15),
    "right_elbow": (12, 14, 16),
}


def points_errors(points: Array, truth: Array) -> dict[str, Any]:
    """Of landmarks (N, 33, 3) m, camera axes: `mpjpe_mm` and `pa_mpjpe_mm` over the 16 points, the same for each under
    `by_point`; `knee_deg` and `elbow_deg`, the mean error of the angle between the limb's two halves, and each side's
    under `angles_deg`."""
    limbs, true_limbs = points[:, LIMBS], truth[:, LIMBS]
    direct = pose.point_errors(pose.rooted(limbs, _ROOT), pose.rooted(true_limbs, _ROOT))
    aligned = pose.point_errors(pose.procrustes(limbs, true_limbs), true_limbs)
    triples = list(ANGLES.values())
    turned = np.abs(pose.joint_angles(points, triples) - pose.joint_angles(truth, triples)).mean(axis=0)
    angles = dict(zip(ANGLES, turned.tolist(), strict=True))
    each = 1000 * np.stack([direct.mean(axis=0), aligned.mean(axis=0)], axis=1)
    return {
        "mpjpe_mm": pose.mpjpe(limbs, true_limbs, _ROOT),
        "pa_mpjpe_mm": pose.pa_mpjpe(limbs, true_limbs),
        "knee_deg": (angles["left_knee"] + angles["right_knee"]) / 2,
        "elbow_deg": (angles["left_elbow"] + angles["right_elbow"]) / 2,
        "angles_deg": angles,
        "by_point": {
            name: {"mpjpe_mm": float(d), "pa_mpjpe_mm": float(a)}
            for name, (d, a) in zip(NAMES, each, strict=True)
        },
    }


def mean(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of equal nested figures, each."""
    return {
        key: mean([own[key] for own in figures])
        if isinstance(value, dict)
        else float(np.mean([own[key] for own in figures]))
        for key, value in figures[0].items()
    }


def lines(report: dict[str, Any]) -> list[str]:
    """The figures of `mqhmr.evaluate` as a table: a line for every method, and for each view of it."""
    columns = (
        "mpjpe_mm",
        "pa_mpjpe_mm",
        "knee_deg",
        "elbow_deg",
        "joints_mpjpe_mm",
        "joints_pa_mpjpe_mm",
        "mve_mm",
    )
    heads = ("MPJPE mm", "PA mm", "knee deg", "elbow deg", "joints mm", "PA mm", "MVE mm")
    table = []
    for part in ("rendered", "rendered_turned", "real", "images_rendered", "images_real"):
        if part not in report:
            continue
        title = f"{part.replace('_', ', ')}, {report[part]['frames']} frames"
        table.append(f"{title:<28}" + "".join(f"{head:>11}" for head in heads))
        for method, figures in report[part].items():
            if method == "frames":
                continue
            rows = {method: figures.get("mean", figures)}
            rows |= {f"  {view}": own for view, own in figures.get("views", {}).items()}
            rows |= {f"  subject {number}": own for number, own in figures.get("by_subject", {}).items()}
            rows |= {"  mean of subjects": figures["subjects_mean"]} if "subjects_mean" in figures else {}
            for name, own in rows.items():
                cells = (f"{own[c]:>11.1f}" if c in own else " " * 11 for c in columns)
                table.append((f"{name:<28}" + "".join(cells)).rstrip())
    return table
