"""Landmarks for the evaluation of mesh recovery, errors over them, and their table.

They are 16 of BlazePose's landmarks: shoulders, elbows, wrists, hips, knees, ankles, heels and foot indices of both
sides (11 to 16 and 23 to 32). Their root is the midpoint of the hip landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from biopose_cli.body.kinematics import read_csv
from biopose_cli.metrics import pose
from biopose_cli.typing import Array

LIMB_LANDMARKS = (*range(11, 17), *range(23, 33))
LIMB_LANDMARK_NAMES = tuple(read_csv("landmarks.csv")[k]["name"] for k in LIMB_LANDMARKS)
_HIPS = tuple(LIMB_LANDMARKS.index(k) for k in (23, 24))  # the hips
ANGLE_TRIPLES = {
    "left_knee": (23, 25, 27),
    "right_knee": (24, 26, 28),
    "left_elbow": (11, 13, 15),
    "right_elbow": (12, 14, 16),
}


def landmark_errors(pred: Array, gt: Array) -> dict[str, Any]:
    """Errors of landmarks (N, 33, 3) m, camera axes.

    `mpjpe_mm` and `pa_mpjpe_mm` over the 16 points, and per point under `by_point`; `knee_deg` and `elbow_deg`, the
    mean error of the angle between the limb's two segments, and per side under `angles_deg`.
    """
    pred_limbs, gt_limbs = pred[:, LIMB_LANDMARKS], gt[:, LIMB_LANDMARKS]
    root_aligned = pose.point_errors(pose.root_relative(pred_limbs, _HIPS), pose.root_relative(gt_limbs, _HIPS))
    procrustes_aligned = pose.point_errors(pose.procrustes_align(pred_limbs, gt_limbs), gt_limbs)
    triples = list(ANGLE_TRIPLES.values())
    angle_errors = np.abs(pose.joint_angles(pred, triples) - pose.joint_angles(gt, triples)).mean(axis=0)
    angles = dict(zip(ANGLE_TRIPLES, angle_errors.tolist(), strict=True))
    per_landmark = 1000 * np.stack([root_aligned.mean(axis=0), procrustes_aligned.mean(axis=0)], axis=1)
    return {
        "mpjpe_mm": pose.mpjpe(pred_limbs, gt_limbs, _HIPS),
        "pa_mpjpe_mm": pose.pa_mpjpe(pred_limbs, gt_limbs),
        "knee_deg": (angles["left_knee"] + angles["right_knee"]) / 2,
        "elbow_deg": (angles["left_elbow"] + angles["right_elbow"]) / 2,
        "angles_deg": angles,
        "by_point": {
            name: {"mpjpe_mm": float(d), "pa_mpjpe_mm": float(a)}
            for name, (d, a) in zip(LIMB_LANDMARK_NAMES, per_landmark, strict=True)
        },
    }


def mean_of_reports(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Element-wise mean of nested reports with the same keys."""
    return {
        key: mean_of_reports([report[key] for report in reports])
        if isinstance(value, dict)
        else float(np.mean([report[key] for report in reports]))
        for key, value in reports[0].items()
    }


def format_report(report: dict[str, Any]) -> list[str]:
    """Format the report of `mqhmr.evaluate` as a table: a line per method, and per view of it."""
    columns = (
        "mpjpe_mm",
        "pa_mpjpe_mm",
        "knee_deg",
        "elbow_deg",
        "joints_mpjpe_mm",
        "joints_pa_mpjpe_mm",
        "mve_mm",
    )
    headers = ("MPJPE mm", "PA mm", "knee deg", "elbow deg", "joints mm", "PA mm", "MVE mm")
    table = []
    for section in ("rendered", "rendered_perturbed", "real", "images_rendered", "images_real"):
        if section not in report:
            continue
        title = f"{section.replace('_', ', ')}, {report[section]['frames']} frames"
        table.append(f"{title:<28}" + "".join(f"{head:>11}" for head in headers))
        for method, metrics_by_name in report[section].items():
            if method == "frames":
                continue
            rows = {method: metrics_by_name.get("mean", metrics_by_name)}
            rows |= {f"  {view}": metrics_row for view, metrics_row in metrics_by_name.get("views", {}).items()}
            rows |= {
                f"  subject {number}": subject for number, subject in metrics_by_name.get("by_subject", {}).items()
            }
            rows |= (
                {"  mean of subjects": metrics_by_name["subjects_mean"]} if "subjects_mean" in metrics_by_name else {}
            )
            for name, figures in rows.items():
                cells = (f"{figures[c]:>11.1f}" if c in figures else " " * 11 for c in columns)
                table.append((f"{name:<28}" + "".join(cells)).rstrip())
    return table
