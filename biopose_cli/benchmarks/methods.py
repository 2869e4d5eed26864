"""Ways to recover bodies from what the detector saw, frame by frame or of a clip: what `mqhmr.py` compares.

N frames, camera frame (OpenCV's), m, px.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biopose_cli.body.kinematics import NUM_BETAS, Pose, build_kinematic_chain, landmark_std
from biopose_cli.body.model import load_body
from biopose_cli.geometry import so3
from biopose_cli.geometry.roi import CROP_SIZE
from biopose_cli.hmr.checkpoint import load_network
from biopose_cli.hmr.predict import ImageFeatures
from biopose_cli.hmr.predict import predict_smpl as recover_bodies
from biopose_cli.io.results import Detection, Mesh
from biopose_cli.mesh_fit import mesh_stage
from biopose_cli.mesh_fit.fit import fit_clip
from biopose_cli.mesh_fit.observations import Observations, build_observations
from biopose_cli.progress import NullProgress
from biopose_cli.settings import Settings
from biopose_cli.synthesis.keypoint_error_bank import correct_landmark_bias
from biopose_cli.synthesis.rendered_detections import RenderedDetections
from biopose_cli.typing import Array


@dataclass(frozen=True)
class Frames:
    """N frames, each by itself: what a detector tells of one person.

    keypoints : (N, 33, 2) px, without lens distortion
    confidence : (N, 33), 0..1
    roi : (N, 4) where the landmark network looked: centre x, y, side (px), rotation (rad, clockwise in the image)
    matrix : (N, 3, 3) px, of the camera
    world : (N, 33, 3) m, the landmark network's own 3D from the hips' middle, camera axes
    raw : (N, 33, 2) px, the keypoints where they were found in the picture
    """

    keypoints: Array
    confidence: Array
    roi: Array
    matrix: Array
    world: Array
    raw: Array


@dataclass(frozen=True)
class Estimate:
    """N bodies: SMPL's `rotations` (N, 24, 3, 3), each relative to the parent's and the root's to the camera; `betas`
    (N, 10); `transl` (N, 3) m, camera frame; and, where they are known, the landmarks' `deviations` (N, D) in standard
    deviations (`body/kinematics.py`)."""

    rotations: Array
    betas: Array
    transl: Array
    deviations: Array | None = None

    def part(self, frames: Array | slice) -> Estimate:
        deviations = None if self.deviations is None else self.deviations[frames]
        return Estimate(self.rotations[frames], self.betas[frames], self.transl[frames], deviations)


Recover = Callable[[Frames], Estimate]  # from frames by themselves
RecoverClip = Callable[[Detection], Estimate]  # from a clip, all its frames


def rendered(looks: RenderedDetections) -> tuple[Frames, Estimate]:
    """What was seen of rendered people, and the truth, before the camera. Keypoints are where real people's would be
    (`synthesis/keypoint_error_bank.py`), as the truth's landmarks are."""
    count = len(looks.pose)
    matrix = np.zeros((count, 3, 3))
    matrix[:, 0, 0] = matrix[:, 1, 1] = looks.focal
    matrix[:, :2, 2] = np.asarray(looks.size) / 2
    matrix[:, 2, 2] = 1
    frames = Frames(
        correct_landmark_bias(looks, load_body()),
        looks.confidence,
        looks.roi,
        matrix,
        looks.landmarks_3d,
        looks.keypoints,
    )
    chain = build_kinematic_chain(load_body())
    rotations = so3.axis_angle_to_matrix(looks.pose)
    rotations[:, 0] = looks.rotation @ rotations[:, 0]
    pelvis = (
        chain.rest_joints[0] + looks.betas @ chain.joint_shapedirs[0, :, :NUM_BETAS].T
    )  # the root turns about it
    transl = np.einsum("nij,nj->ni", looks.rotation, looks.transl + pelvis) + looks.translation - pelvis
    return frames, Estimate(rotations, looks.betas.astype(np.float64), transl)


def seen_frames(detection: Detection, frames: Array) -> Frames:
    """These frames of a clip, each by itself."""
    seen = build_observations(detection).select(frames)
    return Frames(
        keypoints=seen.keypoints,
        confidence=seen.confidence,
        roi=detection.roi[frames].astype(np.float64),
        matrix=np.broadcast_to(detection.camera_matrix, (len(frames), 3, 3)),
        world=detection.landmarks_3d[frames].astype(np.float64),
        raw=detection.keypoints_2d[frames].astype(np.float64),
    )


def fit(detection: Detection) -> Estimate:
    """The mesh stage's `--mesh fit` on a clip, without the refinement after it."""
    return of_mesh(mesh_stage.run(detection, Settings(mesh="fit"), NullProgress()))


def guided_by(path: Path) -> RecoverClip:
    """The mesh stage's `--mesh mqhmr` with the weights in `path`: the network and the fit after it.

    Raises AssetError as `load_network`.
    """
    network = load_network(path)

    def fitted(detection: Detection) -> Estimate:
        return of_mesh(mesh_stage.run(detection, Settings(mesh="mqhmr"), NullProgress(), network))

    return fitted


def fit_frames(frames: Frames) -> Estimate:
    """The same fit on every frame by itself, with a shape of its own: what it is worth without time."""
    body = load_body()
    chain, shape = build_kinematic_chain(body), mesh_stage.build_shape_prior(body, None)
    poses = [
        fit_clip(
            chain,
            Observations(
                time=np.zeros(1),
                keypoints=frames.keypoints[one].astype(np.float64),
                confidence=frames.confidence[one].astype(np.float64),
                sigma=landmark_std() * frames.roi[one, 2:3] / CROP_SIZE,
                weight=frames.confidence[one].astype(np.float64) ** 2,
                frame_weight=np.ones(1),
                landmarks_3d=frames.world[one].astype(np.float64),
                usable=np.ones(1, np.bool_),
                measured=np.ones(1, np.bool_),
                camera_matrix=frames.matrix[one.start],
            ),
            shape,
        )
        for one in (slice(k, k + 1) for k in range(len(frames.world)))
    ]
    shapes = np.array([pose.shape_params for pose in poses])
    return Estimate(
        rotations=np.concatenate([pose.rotations for pose in poses]),
        betas=shapes[:, :NUM_BETAS],
        transl=np.concatenate([pose.transl for pose in poses]),
        deviations=shapes[:, NUM_BETAS:],
    )


def by_network(path: Path, maps: Mapping[str, Array] | None = None) -> Recover:
    """MQ-HMR alone, frame by frame, with the weights in `path`.

    maps: of the frames that it will be asked for, by the names of `backbones/blazepose.py`, each (N, 2, side, side,
    channels); a network that looks at none does without.

    Raises AssetError as `load_network`, and SettingError if the network needs maps and there are none.
    """
    network, chain = load_network(path), build_kinematic_chain(load_body())
    taps = [] if maps is None else [maps[tap] for tap in network.config.image_inputs]

    def recovered(frames: Frames) -> Estimate:
        pictures = ImageFeatures(frames.roi, frames.raw, taps) if taps else None
        bodies = recover_bodies(
            network, frames.keypoints, frames.confidence, frames.matrix, image_features=pictures
        )
        rest = chain.rest_joints[0] + bodies.betas @ chain.joint_shapedirs[0, :, :NUM_BETAS].T
        return Estimate(bodies.rotations, bodies.betas, bodies.pelvis - rest)

    return recovered


def of_mesh(mesh: Mesh) -> Estimate:
    vectors = np.concatenate([mesh.global_orient[:, None], mesh.body_pose], axis=1).astype(np.float64)
    shape = np.concatenate([mesh.betas, mesh.landmark_offsets]).astype(np.float64)
    return of_clip(Pose(so3.axis_angle_to_matrix(vectors), mesh.transl.astype(np.float64), shape))


def of_clip(pose: Pose) -> Estimate:
    shapes = np.tile(pose.shape_params, (len(pose.transl), 1))
    return Estimate(pose.rotations, shapes[:, :NUM_BETAS], pose.transl, shapes[:, NUM_BETAS:])
