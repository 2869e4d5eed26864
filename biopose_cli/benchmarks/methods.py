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
class MonocularInput:
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
    camera_matrix: Array
    landmarks_3d: Array
    distorted_keypoints: Array


@dataclass(frozen=True)
class Estimate:
    """N bodies: SMPL's `rotations` (N, 24, 3, 3), each relative to the parent's and the root's to the camera; `betas`
    (N, 10); `transl` (N, 3) m, camera frame; and, where they are known, the landmarks' `deviations` (N, D) in standard
    deviations (`body/kinematics.py`)."""

    rotations: Array
    betas: Array
    transl: Array
    landmark_offsets: Array | None = None

    def select(self, frames: Array | slice) -> Estimate:
        """Return the same of these frames only."""
        landmark_offsets = None if self.landmark_offsets is None else self.landmark_offsets[frames]
        return Estimate(self.rotations[frames], self.betas[frames], self.transl[frames], landmark_offsets)


FrameMethod = Callable[[MonocularInput], Estimate]  # from frames by themselves
ClipMethod = Callable[[Detection], Estimate]  # from a clip, all its frames


def from_rendered(detections: RenderedDetections) -> tuple[MonocularInput, Estimate]:
    """What was seen of rendered people, and the truth, before the camera. Keypoints are where real people's would be
    (`synthesis/keypoint_error_bank.py`), as the truth's landmarks are."""
    count = len(detections.pose)
    camera_matrix = np.zeros((count, 3, 3))
    camera_matrix[:, 0, 0] = camera_matrix[:, 1, 1] = detections.focal
    camera_matrix[:, :2, 2] = np.asarray(detections.size) / 2
    camera_matrix[:, 2, 2] = 1
    inputs = MonocularInput(
        correct_landmark_bias(detections, load_body()),
        detections.confidence,
        detections.roi,
        camera_matrix,
        detections.landmarks_3d,
        detections.keypoints,
    )
    chain = build_kinematic_chain(load_body())
    rotations = so3.axis_angle_to_matrix(detections.pose)
    rotations[:, 0] = detections.rotation @ rotations[:, 0]
    pelvis = (
        chain.rest_joints[0] + detections.betas @ chain.joint_shapedirs[0, :, :NUM_BETAS].T
    )  # the root turns about it
    transl = np.einsum("nij,nj->ni", detections.rotation, detections.transl + pelvis) + detections.translation - pelvis
    return inputs, Estimate(rotations, detections.betas.astype(np.float64), transl)


def from_detection(detection: Detection, frames: Array) -> MonocularInput:
    """These frames of a clip, each by itself."""
    observations = build_observations(detection).select(frames)
    return MonocularInput(
        keypoints=observations.keypoints,
        confidence=observations.confidence,
        roi=detection.roi[frames].astype(np.float64),
        camera_matrix=np.broadcast_to(detection.camera_matrix, (len(frames), 3, 3)),
        landmarks_3d=detection.landmarks_3d[frames].astype(np.float64),
        distorted_keypoints=detection.keypoints_2d[frames].astype(np.float64),
    )


def optimization(detection: Detection) -> Estimate:
    """The mesh stage's `--mesh fit` on a clip, without the refinement after it."""
    return from_mesh(mesh_stage.run(detection, Settings(mesh="fit"), NullProgress()))


def network_prior(path: Path) -> ClipMethod:
    """The mesh stage's `--mesh mqhmr` with the weights in `path`: the network and the fit after it.

    Raises AssetError as `load_network`.
    """
    network = load_network(path)

    def run(detection: Detection) -> Estimate:
        return from_mesh(mesh_stage.run(detection, Settings(mesh="mqhmr"), NullProgress(), network))

    return run


def frame_optimization(inputs: MonocularInput) -> Estimate:
    """The same fit on every frame by itself, with a shape of its own: what it is worth without time."""
    body = load_body()
    chain, prior = build_kinematic_chain(body), mesh_stage.build_shape_prior(body, None)
    poses = [
        fit_clip(
            chain,
            Observations(
                time=np.zeros(1),
                keypoints=inputs.keypoints[row].astype(np.float64),
                confidence=inputs.confidence[row].astype(np.float64),
                sigma=landmark_std() * inputs.roi[row, 2:3] / CROP_SIZE,
                weight=inputs.confidence[row].astype(np.float64) ** 2,
                frame_weight=np.ones(1),
                landmarks_3d=inputs.landmarks_3d[row].astype(np.float64),
                usable=np.ones(1, np.bool_),
                measured=np.ones(1, np.bool_),
                camera_matrix=inputs.camera_matrix[row.start],
            ),
            prior,
        )
        for row in (slice(k, k + 1) for k in range(len(inputs.landmarks_3d)))
    ]
    shape_params = np.array([pose.shape_params for pose in poses])
    return Estimate(
        rotations=np.concatenate([pose.rotations for pose in poses]),
        betas=shape_params[:, :NUM_BETAS],
        transl=np.concatenate([pose.transl for pose in poses]),
        landmark_offsets=shape_params[:, NUM_BETAS:],
    )


def regression(path: Path, feature_maps: Mapping[str, Array] | None = None) -> FrameMethod:
    """MQ-HMR alone, frame by frame, with the weights in `path`.

    maps: of the frames that it will be asked for, by the names of `backbones/blazepose.py`, each (N, 2, side, side,
    channels); a network that looks at none does without.

    Raises AssetError as `load_network`, and SettingError if the network needs maps and there are none.
    """
    network, chain = load_network(path), build_kinematic_chain(load_body())
    layers = [] if feature_maps is None else [feature_maps[layer] for layer in network.config.image_inputs]

    def run(inputs: MonocularInput) -> Estimate:
        image_features = ImageFeatures(inputs.roi, inputs.distorted_keypoints, layers) if layers else None
        estimates = recover_bodies(
            network, inputs.keypoints, inputs.confidence, inputs.camera_matrix, image_features=image_features
        )
        rest_pelvis = chain.rest_joints[0] + estimates.betas @ chain.joint_shapedirs[0, :, :NUM_BETAS].T
        return Estimate(estimates.rotations, estimates.betas, estimates.pelvis - rest_pelvis)

    return run


def from_mesh(mesh: Mesh) -> Estimate:
    """Convert the artefact of a mesh stage, float32 axis-angle vectors, into an estimate."""
    axis_angles = np.concatenate([mesh.global_orient[:, None], mesh.body_pose], axis=1).astype(np.float64)
    shape_params = np.concatenate([mesh.betas, mesh.landmark_offsets]).astype(np.float64)
    return from_pose(Pose(so3.axis_angle_to_matrix(axis_angles), mesh.transl.astype(np.float64), shape_params))


def from_pose(pose: Pose) -> Estimate:
    """Convert a fitted pose with one shape into an estimate with a shape per frame."""
    shape_params = np.tile(pose.shape_params, (len(pose.transl), 1))
    return Estimate(pose.rotations, shape_params[:, :NUM_BETAS], pose.transl, shape_params[:, NUM_BETAS:])
