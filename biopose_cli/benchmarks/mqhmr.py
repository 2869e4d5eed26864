"""Accuracy of 3D body recovery from one view: on rendered people with exact ground truth, and on four real views.

The errors are those of the 16 landmarks of `metrics/points.py`, placed on the body as in `body/kinematics.py`.

`blazepose`, the landmark network's own 3D, is always evaluated. On the real views, a lower bound is evaluated too: our
body fitted to the true landmarks, by its shape alone (`floor_betas`, the best a network can reach) and with the
landmarks' offsets (`floor`). Its error is due to definitions and triangulation, not to the view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biopose_cli.benchmarks.camera_views import CameraView, fit_to_ground_truth
from biopose_cli.benchmarks.held_out import load_detections
from biopose_cli.benchmarks.methods import (
    ClipMethod,
    Estimate,
    FrameMethod,
    from_detection,
    from_pose,
    from_rendered,
)
from biopose_cli.body.kinematics import NUM_BETAS, build_kinematic_chain
from biopose_cli.body.model import Body, load_body
from biopose_cli.body.smpl_torch import SMPLKinematics
from biopose_cli.geometry import so3
from biopose_cli.metrics import pose
from biopose_cli.metrics.points import LIMB_LANDMARK_NAMES, LIMB_LANDMARKS, landmark_errors, mean_of_reports
from biopose_cli.progress import Progress
from biopose_cli.synthesis.rendered_detections import RenderedDetections
from biopose_cli.typing import Array

_CHUNK = 64  # frames whose full meshes are in memory


def evaluate(
    detections_path: Path | None,
    views: Sequence[CameraView],
    frame_methods: Mapping[str, FrameMethod],
    clip_methods: Mapping[str, ClipMethod],
    progress: Progress,
) -> dict[str, Any]:
    """Errors of every method.

    Parameters
    ----------
    detections_path : file of rendered people (`synthesis/rendered_detections.py`), or None
    views : the real views; may be empty
    frame_methods : by name
    clip_methods : by name; evaluated on the real views only
    progress : reports the current method

    Returns
    -------
    dict
        `points`: the 16 names. `rendered`: `frames`, and by method the values of `landmark_errors` and, for bodies, of
        `body_errors`; `by_subject` and `subjects_mean`: the former per subject of the motion, and their mean.
        `rendered_perturbed`: the same on people whose poses had random rotations added. `real`: `frames`; `floor_betas`
        and `floor` with the values on one view; by method `views`, the values per view, and `mean` over the views. What
        was not evaluated is absent.

    Raises
    ------
    SettingError
        `detections_path` cannot be read.
    """
    evaluator = Evaluator(load_body())
    report: dict[str, Any] = {"points": list(LIMB_LANDMARK_NAMES)}
    if detections_path is not None:
        detections = load_detections(detections_path)
        for name, subset in (
            ("rendered", detections.select(~detections.perturbed)),
            ("rendered_perturbed", detections.select(detections.perturbed)),
        ):
            if len(subset):
                report[name] = _evaluate_rendered(evaluator, subset, frame_methods, progress)
    if views:
        report["real"] = _evaluate_real_views(evaluator, views, frame_methods, clip_methods, progress)
    return report


class Evaluator:
    """Computes joints, landmarks and vertices of estimates, and their errors."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.chain = build_kinematic_chain(body)
        self.smpl = SMPLKinematics(self.chain)
        self.skin_vertices = np.unique(body.faces)  # without the helper vertices, which belong to no face

    def landmarks(self, estimate: Estimate) -> Array:
        """Landmarks (N, 33, 3), m, relative to the pelvis joint, camera axes."""
        return self._joints_and_landmarks(estimate)[1]

    def body_errors(self, pred: Estimate, gt: Estimate) -> dict[str, float]:
        """`joints_mpjpe_mm` and `joints_pa_mpjpe_mm` of SMPL's 24 joints, and `mve_mm`, all relative to the pelvis."""
        pred_joints, gt_joints = self._joints_and_landmarks(pred)[0], self._joints_and_landmarks(gt)[0]
        chunks = [slice(k, k + _CHUNK) for k in range(0, len(pred_joints), _CHUNK)]
        vertex_errors = [
            pose.mve(
                self._vertices(pred.select(p)),
                self._vertices(gt.select(p)),
                pred_joints[p, 0],
                gt_joints[p, 0],
            )
            for p in chunks
        ]
        return {
            "joints_mpjpe_mm": pose.mpjpe(pred_joints, gt_joints, [0]),
            "joints_pa_mpjpe_mm": pose.pa_mpjpe(pred_joints, gt_joints),
            "mve_mm": float(np.average(vertex_errors, weights=[len(pred_joints[p]) for p in chunks])),
        }

    def _joints_and_landmarks(self, estimate: Estimate) -> tuple[Array, Array]:
        shape_params = estimate.betas
        if estimate.landmark_offsets is not None:
            shape_params = np.concatenate([shape_params, estimate.landmark_offsets], axis=1)
        with torch.no_grad():
            joints, landmarks = self.smpl(_tensor(estimate.rotations), _tensor(shape_params))
        return joints.double().numpy(), landmarks.double().numpy()

    def _vertices(self, estimate: Estimate) -> Array:
        """Vertices (N, V, 3), m, relative to the pelvis joint."""
        axis_angles, betas = _tensor(so3.matrix_to_axis_angle(estimate.rotations)), _tensor(estimate.betas)
        pelvis = self.chain.rest_joints[0] + estimate.betas @ self.chain.joint_shapedirs[0, :, :NUM_BETAS].T
        with torch.no_grad():
            vertices = self.body.vertices(axis_angles[:, 1:], axis_angles[:, 0], betas, _tensor(-pelvis))
        return vertices[:, self.skin_vertices].double().numpy()


def _evaluate_rendered(
    evaluator: Evaluator,
    detections: RenderedDetections,
    frame_methods: Mapping[str, FrameMethod],
    progress: Progress,
) -> dict[str, Any]:
    inputs, gt = from_rendered(detections)
    gt_landmarks = evaluator.landmarks(gt)

    def landmark_report(pred: Array) -> dict[str, Any]:
        return landmark_errors(pred, gt_landmarks) | {
            "by_subject": {
                str(subject): landmark_errors(
                    pred[detections.subject == subject], gt_landmarks[detections.subject == subject]
                )
                for subject in np.unique(detections.subject)
            }
        }

    report: dict[str, Any] = {
        "frames": len(gt_landmarks),
        "blazepose": landmark_report(inputs.landmarks_3d.astype(np.float64)),
    }
    progress.start("rendered people", len(frame_methods), "methods")
    for name, method in frame_methods.items():
        pred = method(inputs)
        report[name] = landmark_report(evaluator.landmarks(pred)) | evaluator.body_errors(pred, gt)
        progress.advance()
    for name in ("blazepose", *frame_methods):
        report[name]["subjects_mean"] = mean_of_reports(list(report[name]["by_subject"].values()))
    return report


def _evaluate_real_views(
    evaluator: Evaluator,
    views: Sequence[CameraView],
    frame_methods: Mapping[str, FrameMethod],
    clip_methods: Mapping[str, ClipMethod],
    progress: Progress,
) -> dict[str, Any]:
    report: dict[str, Any] = {"frames": sum(len(view.frames) for view in views)}
    progress.start("real views", 1 + len(views), "views")
    for name, fit_offsets in (("floor_betas", False), ("floor", True)):
        pose = fit_to_ground_truth(views[0], evaluator.body, LIMB_LANDMARKS, fit_offsets=fit_offsets)
        report[name] = landmark_errors(evaluator.landmarks(from_pose(pose)), views[0].gt_landmarks)
    progress.advance()
    errors: dict[str, dict[str, Any]] = {}
    for view in views:
        inputs = from_detection(view.detection, view.frames)
        estimates = {name: method(inputs) for name, method in frame_methods.items()}
        estimates |= {name: clip(view.detection).select(view.frames) for name, clip in clip_methods.items()}
        landmarks = {name: evaluator.landmarks(estimate) for name, estimate in estimates.items()}
        for name, pred in ({"blazepose": inputs.landmarks_3d} | landmarks).items():
            errors.setdefault(name, {})[view.name] = landmark_errors(pred, view.gt_landmarks)
        progress.advance()
    return report | {
        name: {"views": views, "mean": mean_of_reports(list(views.values()))} for name, views in errors.items()
    }


def _tensor(values: Array) -> torch.Tensor:
    return torch.as_tensor(np.array(values), dtype=torch.float32)
