"""How well bodies are recovered in 3D from one view: on rendered people, whose truth is exact, and on four real views.

Compared are the 16 landmarks of `points.py`, a body's as `mesh/kinematics.py` carries them.

`blazepose`, the landmark network's own 3D, is always measured, and on the real views a `floor`: our body fitted to the
true landmarks themselves, by its shape alone (`floor_betas`, all that a network can say) and with the landmarks' own
deviations (`floor`). What it leaves is the definitions' and the triangulation's error, not the view's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biopose_cli.artifact import Array, Detection, Mesh
from biopose_cli.body.camera import undistort
from biopose_cli.body.model import Body, load_body
from biopose_cli.detect.roi import CROP
from biopose_cli.evaluation import metrics
from biopose_cli.evaluation.held_out import load_looks
from biopose_cli.evaluation.points import LIMBS, NAMES, mean, points_errors
from biopose_cli.evaluation.views import RealView, fitted_to_truth
from biopose_cli.mesh import rotation, stage
from biopose_cli.mesh.figure import Figure
from biopose_cli.mesh.fit import fit_clip
from biopose_cli.mesh.kinematics import BETAS, Pose, landmark_noise, load_chain
from biopose_cli.mesh.observe import Observations
from biopose_cli.mesh.predict import recover as recover_bodies
from biopose_cli.mesh.weights import load_network
from biopose_cli.progress import Progress, Silent
from biopose_cli.settings import Settings
from biopose_cli.training.looks import Looks

_PART = 64  # frames whose whole meshes are in memory


@dataclass(frozen=True)
class Frames:
    """N frames, each by itself: what a detector tells of one person.

    keypoints : (N, 33, 2) px, without lens distortion
    confidence : (N, 33), 0..1
    roi : (N, 4) where the landmark network looked: centre x, y, side (px), rotation (rad, clockwise in the image)
    matrix : (N, 3, 3) px, of the camera
    world : (N, 33, 3) m, the landmark network's own 3D from the hips' middle, camera axes
    """

    keypoints: Array
    confidence: Array
    roi: Array
    matrix: Array
    world: Array


@dataclass(frozen=True)
class Estimate:
    """N bodies: SMPL's `rotations` (N, 24, 3, 3), each relative to the parent's and the root's to the camera; `betas`
    (N, 10); `transl` (N, 3) m, camera frame; and, where they are known, the landmarks' `deviations` (N, D) in standard
    deviations (`mesh/kinematics.py`)."""

    rotations: Array
    betas: Array
    transl: Array
    deviations: Array | None = None

    def part(self, frames: Array | slice) -> Estimate:
        deviations = None if self.deviations is None else self.deviations[frames]
        return Estimate(self.rotations[frames], self.betas[frames], self.transl[frames], deviations)


Recover = Callable[[Frames], Estimate]  # from frames by themselves
RecoverClip = Callable[[Detection], Estimate]  # from a clip, all its frames


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
        File of rendered people (`training/looks.py`), or None.
    views
        The real views; may be empty.
    recover, recover_clip
        Methods by name; those of clips are measured on the real views only.

    Returns
    -------
    dict
        `points`: the 16 names. `rendered`: `frames`, and by method `points_errors`' figures, a body's also
        `body_errors`'. `real`: `frames`; `floor_betas` and `floor` with the figures on one view; by method `views`,
        the figures by view, and `mean` over the views. What was not measured is absent.

    Raises
    ------
    SettingError
        `looks` cannot be read.
    """
    judge = Judge(load_body())
    report: dict[str, Any] = {"points": list(NAMES)}
    if looks is not None:
        frames, truth = rendered(load_looks(looks))
        report["rendered"] = _on_rendered(judge, frames, truth, recover, progress)
    if views:
        report["real"] = _on_views(judge, views, recover, recover_clip, progress)
    return report


class Judge:
    """Places bodies and compares them."""

    def __init__(self, body: Body) -> None:
        self.body = body
        self.chain = load_chain(body)
        self.figure = Figure(self.chain)
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
            metrics.mve(
                self._vertices(estimate.part(p)),
                self._vertices(truth.part(p)),
                joints[p, 0],
                true_joints[p, 0],
            )
            for p in parts
        ]
        return {
            "joints_mpjpe_mm": metrics.mpjpe(joints, true_joints, [0]),
            "joints_pa_mpjpe_mm": metrics.pa_mpjpe(joints, true_joints),
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
        vectors, betas = _tensor(rotation.log(estimate.rotations)), _tensor(estimate.betas)
        pelvis = self.chain.rest[0] + estimate.betas @ self.chain.rest_shapes[0, :, :BETAS].T
        with torch.no_grad():
            vertices = self.body.vertices(vectors[:, 1:], vectors[:, 0], betas, _tensor(-pelvis))
        return vertices[:, self.skin].double().numpy()


def rendered(looks: Looks) -> tuple[Frames, Estimate]:
    """What was seen of rendered people, and the truth, before the camera."""
    count = len(looks.pose)
    matrix = np.zeros((count, 3, 3))
    matrix[:, 0, 0] = matrix[:, 1, 1] = looks.focal
    matrix[:, :2, 2] = np.asarray(looks.size) / 2
    matrix[:, 2, 2] = 1
    frames = Frames(looks.keypoints, looks.confidence, looks.roi, matrix, looks.world)
    chain = load_chain(load_body())
    rotations = rotation.exp(looks.pose)
    rotations[:, 0] = looks.rotation @ rotations[:, 0]
    pelvis = chain.rest[0] + looks.betas @ chain.rest_shapes[0, :, :BETAS].T  # the root turns about it
    transl = np.einsum("nij,nj->ni", looks.rotation, looks.transl + pelvis) + looks.translation - pelvis
    return frames, Estimate(rotations, looks.betas.astype(np.float64), transl)


def seen_frames(detection: Detection, frames: Array) -> Frames:
    """These frames of a clip, each by itself."""
    raw = detection.keypoints_2d[frames].astype(np.float64)
    return Frames(
        keypoints=undistort(raw, detection.camera_matrix, detection.dist_coeffs),
        confidence=detection.confidence[frames].astype(np.float64),
        roi=detection.roi[frames].astype(np.float64),
        matrix=np.broadcast_to(detection.camera_matrix, (len(frames), 3, 3)),
        world=detection.landmarks_3d[frames].astype(np.float64),
    )


def fit(detection: Detection) -> Estimate:
    """The mesh stage's `--mesh fit` on a clip, without the refinement after it."""
    return of_mesh(stage.run(detection, Settings(mesh="fit"), Silent()))


def fit_frames(frames: Frames) -> Estimate:
    """The same fit on every frame by itself, with a shape of its own: what it is worth without time."""
    body = load_body()
    chain, shape = load_chain(body), stage.shape_prior(body, None)
    poses = [
        fit_clip(
            chain,
            Observations(
                time=np.zeros(1),
                keypoints=frames.keypoints[one].astype(np.float64),
                sigma=landmark_noise() * frames.roi[one, 2:3] / CROP,
                weight=frames.confidence[one].astype(np.float64) ** 2,
                share=np.ones(1),
                guess=frames.world[one].astype(np.float64),
                usable=np.ones(1, np.bool_),
                matrix=frames.matrix[one.start],
            ),
            shape,
        )
        for one in (slice(k, k + 1) for k in range(len(frames.world)))
    ]
    shapes = np.array([pose.shape for pose in poses])
    return Estimate(
        rotations=np.concatenate([pose.rotations for pose in poses]),
        betas=shapes[:, :BETAS],
        transl=np.concatenate([pose.transl for pose in poses]),
        deviations=shapes[:, BETAS:],
    )


def by_network(path: Path) -> Recover:
    """MQ-HMR alone, frame by frame, with the weights in `path`. Raises AssetError as `load_network`."""
    network, chain = load_network(path), load_chain(load_body())

    def recovered(frames: Frames) -> Estimate:
        bodies = recover_bodies(network, frames.keypoints, frames.confidence, frames.matrix)
        rest = chain.rest[0] + bodies.betas @ chain.rest_shapes[0, :, :BETAS].T
        return Estimate(bodies.rotations, bodies.betas, bodies.pelvis - rest)

    return recovered


def of_mesh(mesh: Mesh) -> Estimate:
    vectors = np.concatenate([mesh.global_orient[:, None], mesh.body_pose], axis=1).astype(np.float64)
    shape = np.concatenate([mesh.betas, mesh.landmark_shape]).astype(np.float64)
    return _of_clip(Pose(rotation.exp(vectors), mesh.transl.astype(np.float64), shape))


def _of_clip(pose: Pose) -> Estimate:
    shapes = np.tile(pose.shape, (len(pose.transl), 1))
    return Estimate(pose.rotations, shapes[:, :BETAS], pose.transl, shapes[:, BETAS:])


def _on_rendered(
    judge: Judge, frames: Frames, truth: Estimate, recover: Mapping[str, Recover], progress: Progress
) -> dict[str, Any]:
    landmarks = judge.landmarks(truth)
    report: dict[str, Any] = {
        "frames": len(landmarks),
        "blazepose": points_errors(frames.world.astype(np.float64), landmarks),
    }
    progress.start("rendered people", len(recover), "methods")
    for name, method in recover.items():
        estimate = method(frames)
        report[name] = points_errors(judge.landmarks(estimate), landmarks) | judge.body_errors(
            estimate, truth
        )
        progress.advance()
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
        report[name] = points_errors(judge.landmarks(_of_clip(pose)), views[0].truth)
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
