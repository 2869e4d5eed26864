"""How well bodies are recovered in 3D from one view: on rendered people, whose truth is exact, and on four real views.

Compared are the 16 landmarks of `points.py`, a body's as `body/kinematics.py` carries them.

`blazepose`, the landmark network's own 3D, is always measured, and on the real views a `floor`: our body fitted to the
true landmarks themselves, by its shape alone (`floor_betas`, all that a network can say) and with the landmarks' own
deviations (`floor`). What it leaves is the definitions' and the triangulation's error, not the view's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biopose_cli.benchmarks.camera_views import RealView, fitted_to_truth
from biopose_cli.benchmarks.held_out import load_looks
from biopose_cli.benchmarks.methods import Estimate, Recover, RecoverClip, of_clip, rendered, seen_frames
from biopose_cli.body.kinematics import NUM_BETAS, build_kinematic_chain
from biopose_cli.body.model import Body, load_body
from biopose_cli.body.smpl_torch import SMPLKinematics
from biopose_cli.geometry import so3
from biopose_cli.metrics import pose
from biopose_cli.metrics.points import LIMBS, NAMES, mean, points_errors
from biopose_cli.progress import Progress
from biopose_cli.synthesis.rendered_detections import RenderedDetections
from biopose_cli.typing import Array

_PART = 64  # frames whose whole meshes are in memory


def evaluate(
    looks: Path | None,
    views: Sequence[RealView],
    recover: Mapping[str, Recover],
    recover_clip: Mapping[str, RecoverClip],
    progress: Progress,
) -> dict[str, Any]:
    """Errors of every method.

    Parameters
    ----------
    looks
        File of rendered people (`synthesis/rendered_detections.py`), or None.
    views
        The real views; may be empty.
    recover, recover_clip
        Methods by name; those of clips are measured on the real views only.

    Returns
    -------
    dict
        `points`: the 16 names. `rendered`: `frames`, and by method `points_errors`' figures, a body's also
        `body_errors`'; `by_subject` and `subjects_mean`, the first of these for each who moved so, and their mean.
        `rendered_turned`: the same on people whose recorded poses were changed at random. `real`:
        `frames`; `floor_betas` and `floor` with the figures on one view; by method `views`, the figures by view, and
        `mean` over the views. What was not measured is absent.

    Raises
    ------
    SettingError
        `looks` cannot be read.
    """
    judge = Judge(load_body())
    report: dict[str, Any] = {"points": list(NAMES)}
    if looks is not None:
        seen = load_looks(looks)
        for name, part in (
            ("rendered", seen.select(~seen.perturbed)),
            ("rendered_turned", seen.select(seen.perturbed)),
        ):
            if len(part):
                report[name] = _on_rendered(judge, part, recover, progress)
    if views:
        report["real"] = _on_views(judge, views, recover, recover_clip, progress)
    return report


class Judge:
    """Places bodies and compares them."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.chain = build_kinematic_chain(body)
        self.figure = SMPLKinematics(self.chain)
        self.skin = np.unique(body.faces)  # without the helper vertices, which are in no face

    def landmarks(self, estimate: Estimate) -> Array:
        """(N, 33, 3) m from the pelvis joint, camera axes."""
        return self._placed(estimate)[1]

    def body_errors(self, estimate: Estimate, truth: Estimate) -> dict[str, float]:
        """`joints_mpjpe_mm` and `joints_pa_mpjpe_mm` of SMPL's 24 joints, and `mve_mm` over the whole skin, both from
        the pelvis joint."""
        joints, true_joints = self._placed(estimate)[0], self._placed(truth)[0]
        parts = [slice(k, k + _PART) for k in range(0, len(joints), _PART)]
        vertex = [
            pose.mve(
                self._vertices(estimate.part(p)),
                self._vertices(truth.part(p)),
                joints[p, 0],
                true_joints[p, 0],
            )
            for p in parts
        ]
        return {
            "joints_mpjpe_mm": pose.mpjpe(joints, true_joints, [0]),
            "joints_pa_mpjpe_mm": pose.pa_mpjpe(joints, true_joints),
            "mve_mm": float(np.average(vertex, weights=[len(joints[p]) for p in parts])),
        }

    def _placed(self, estimate: Estimate) -> tuple[Array, Array]:
        shape = estimate.betas
        if estimate.deviations is not None:
            shape = np.concatenate([shape, estimate.deviations], axis=1)
        with torch.no_grad():
            joints, landmarks = self.figure(_tensor(estimate.rotations), _tensor(shape))
        return joints.double().numpy(), landmarks.double().numpy()

    def _vertices(self, estimate: Estimate) -> Array:
        """(N, V, 3) m from the pelvis joint."""
        vectors, betas = _tensor(so3.matrix_to_axis_angle(estimate.rotations)), _tensor(estimate.betas)
        pelvis = self.chain.rest_joints[0] + estimate.betas @ self.chain.joint_shapedirs[0, :, :NUM_BETAS].T
        with torch.no_grad():
            vertices = self.body.vertices(vectors[:, 1:], vectors[:, 0], betas, _tensor(-pelvis))
        return vertices[:, self.skin].double().numpy()


def _on_rendered(
    judge: Judge, looks: RenderedDetections, recover: Mapping[str, Recover], progress: Progress
) -> dict[str, Any]:
    frames, truth = rendered(looks)
    landmarks = judge.landmarks(truth)

    def figures(points: Array) -> dict[str, Any]:
        return points_errors(points, landmarks) | {
            "by_subject": {
                str(subject): points_errors(
                    points[looks.subject == subject], landmarks[looks.subject == subject]
                )
                for subject in np.unique(looks.subject)
            }
        }

    report: dict[str, Any] = {
        "frames": len(landmarks),
        "blazepose": figures(frames.world.astype(np.float64)),
    }
    progress.start("rendered people", len(recover), "methods")
    for name, method in recover.items():
        estimate = method(frames)
        report[name] = figures(judge.landmarks(estimate)) | judge.body_errors(estimate, truth)
        progress.advance()
    for name in ("blazepose", *recover):
        report[name]["subjects_mean"] = mean(list(report[name]["by_subject"].values()))
    return report


def _on_views(
    judge: Judge,
    views: Sequence[RealView],
    recover: Mapping[str, Recover],
    recover_clip: Mapping[str, RecoverClip],
    progress: Progress,
) -> dict[str, Any]:
    report: dict[str, Any] = {"frames": sum(len(view.frames) for view in views)}
    progress.start("real views", 1 + len(views), "views")
    for name, deviations in (("floor_betas", False), ("floor", True)):
        pose = fitted_to_truth(views[0], judge.body, LIMBS, deviations=deviations)
        report[name] = points_errors(judge.landmarks(of_clip(pose)), views[0].truth)
    progress.advance()
    found: dict[str, dict[str, Any]] = {}
    for view in views:
        frames = seen_frames(view.detection, view.frames)
        estimates = {name: method(frames) for name, method in recover.items()}
        estimates |= {name: clip(view.detection).part(view.frames) for name, clip in recover_clip.items()}
        points = {name: judge.landmarks(estimate) for name, estimate in estimates.items()}
        for name, own in ({"blazepose": frames.world} | points).items():
            found.setdefault(name, {})[view.name] = points_errors(own, view.truth)
        progress.advance()
    return report | {name: {"views": own, "mean": mean(list(own.values()))} for name, own in found.items()}


def _tensor(values: Array) -> torch.Tensor:
    return torch.as_tensor(np.array(values), dtype=torch.float32)
