"""The detector's errors, measured on rendered people (`rendered_detections.py`), for use on synthetic keypoints.

Errors depend on posture and viewpoint: the detector guesses hidden wrists and confuses crossed legs. So each entry
holds a posture with the errors of all 33 keypoints, and entries are drawn by posture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.blazepose import MIRROR_LANDMARK
from biopose_cli.body.kinematics import (
    NUM_BETAS,
    Pose,
    PosedBody,
    build_kinematic_chain,
    forward_kinematics,
    read_csv,
)
from biopose_cli.body.model import MIRROR_JOINT, Body
from biopose_cli.detect.blazepose import LIMBS
from biopose_cli.geometry import roi as geometry
from biopose_cli.geometry import so3
from biopose_cli.geometry.camera import perspective_divide
from biopose_cli.io.npz import NpzArrays
from biopose_cli.io.results import LANDMARKS
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.rendered_detections import RenderedDetections
from biopose_cli.typing import Array

NUM_NEIGHBORS = 16  # nearest entries; one is drawn for the legs, one for the arms, one for trunk and head
# Errors are never reused unchanged: reuse let the network memorise entries by their 33 confidences.
_ROTATION_STD, _LOG_SCALE_STD, _JITTER_STD = 0.35, 0.3, 0.5  # rad; of logarithms; px of the crop
_LOGIT_STD = 0.5  # of confidences, as logits
_MIN_CONFIDENCE = 1e-3
_LIMB_GROUPS = [
    np.union1d(pairs, [0] if 11 in pairs else []).astype(int) for pairs in LIMBS
]  # the nose belongs to no pair
_LIMB_JOINTS = ("hip", "shoulder", "elbow", "wrist", "knee", "ankle", "foot")
# joints by which postures are compared: the others lie between these
_POSTURE_JOINTS = [
    INDEX["head"],
    *(INDEX[f"{side}_{name}"] for side in ("left", "right") for name in _LIMB_JOINTS),
]
# m, (up, forward): what scripts/fit_landmarks.py adds to the renders' hips and knees because real people's sit lower
# and further forward (docs/how/mesh.md). The bank is of errors made on renders. Against the shifted landmarks they
# would contain that shift as an error of its own, and a network that learns from shifted landmarks with these errors on
# them would learn to take it off again. So here the landmarks are where renders have them.
_LANDMARK_BIAS = {"hip": (-0.015, 0.010), "knee": (-0.006, 0.0)}


@dataclass(frozen=True)
class KeypointErrorBank(NpzArrays):
    """N looks at people. `residual` (N, 33, 2): detected keypoint minus the body's landmark, px of the 256 px crop, in
    the crop's axes; `confidence` (N, 33); `posture` (N, 24, 3) m: joints from the pelvis as the crop shows them, in the
    axes of a camera that looks at the crop's centre and is rolled with it (x right, y down, z away)."""

    residual: Array
    confidence: Array
    posture: Array

    @staticmethod
    def from_detections(detections: RenderedDetections, body: Body) -> KeypointErrorBank:
        """Errors of `detections` of people with `body`'s shapes."""
        residual, posture = [], []
        for k, (joints, _, rendered_landmarks) in enumerate(posed_landmarks(detections, body)):
            pred_and_gt = (detections.keypoints[k], project(detections, k, rendered_landmarks))
            pred, gt = (geometry.to_crop(points, detections.roi[k]) for points in pred_and_gt)
            crop_rotation = (
                _view_direction(detections.roi[k], detections.focal[k], detections.size) @ detections.rotation[k]
            )
            residual.append(pred - gt)
            posture.append((joints - joints[0]) @ crop_rotation.T)
        return KeypointErrorBank(
            np.array(residual, np.float32),
            detections.confidence.astype(np.float32),
            np.array(posture, np.float32),
        )

    def draw(self, posture: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw errors (B, 33, 2), px of the crop, and confidences (B, 33) for postures (B, 24, 3), axes as in the bank.

        Legs, arms, and trunk with head each take the errors of one of `NUM_NEIGHBORS` near entries, slightly rotated
        and scaled. Half of the postures are compared with the mirrored bank: the posture is mirrored, then its errors
        are mirrored back. So left and right have the same error distribution.
        """
        count = len(posture)
        flip = torch.rand(count, generator=random) < 0.5
        query = torch.where(
            flip[:, None, None], posture[:, list(MIRROR_JOINT)] * posture.new_tensor([-1.0, 1, 1]), posture
        )
        entries, half_squares, residuals, confidences = self._tensors
        # half the squared distance, without the term common to all entries
        distance = torch.addmm(half_squares, query[:, _POSTURE_JOINTS].flatten(1).float(), entries.T, alpha=-1)
        # the nearest entry of each of NUM_NEIGHBORS groups: as good as the nearest of all, and faster
        neighbors = NUM_NEIGHBORS * distance.unflatten(1, (-1, NUM_NEIGHBORS)).argmin(1) + torch.arange(NUM_NEIGHBORS)
        neighbors = neighbors[:, : len(residuals)]  # of a bank with fewer entries, the other groups are empty
        residual, confidence = torch.empty(count, LANDMARKS, 2), torch.empty(count, LANDMARKS)
        for limbs in _LIMB_GROUPS:
            pick = torch.randint(neighbors.shape[1], (count, 1), generator=random)
            entry = neighbors.gather(1, pick)
            residual[:, limbs] = _jitter(residuals[entry, limbs], random)
            confidence[:, limbs] = confidences[entry, limbs]
        residual += _JITTER_STD * torch.randn(residual.shape, generator=random)
        logit_noise = _LOGIT_STD * torch.randn(confidence.shape, generator=random)
        confidence = (confidence.logit(_MIN_CONFIDENCE) + logit_noise).sigmoid()
        mirrored = residual[:, MIRROR_LANDMARK] * residual.new_tensor([-1.0, 1])
        return (
            torch.where(flip[:, None, None], mirrored, residual),
            torch.where(flip[:, None], confidence[:, MIRROR_LANDMARK], confidence),
        )

    def split(self, every: int) -> tuple[KeypointErrorBank, KeypointErrorBank]:
        """Split off the last one in `every` entries, for validation.

        The split is by position, because people who share a room are adjacent. A bank that is too small is returned
        twice.
        """
        count = len(self.posture) // every
        if not count:
            return self, self
        train, held_out = (
            KeypointErrorBank(*(getattr(self, field.name)[chosen] for field in fields(self)))
            for chosen in (slice(-count), slice(-count, None))
        )
        return train, held_out

    @cached_property
    def _tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compared positions (M, 45), half their squared length (M), residuals and confidences (N).

        M is N rounded up to a multiple of `NUM_NEIGHBORS`; the padding is infinitely far.
        """
        postures = torch.as_tensor(self.posture)[:, _POSTURE_JOINTS].flatten(1)
        padding = (0, -len(postures) % NUM_NEIGHBORS)
        return (
            torch.nn.functional.pad(postures, (0, 0, *padding)),
            torch.nn.functional.pad(postures.square().sum(1) / 2, padding, value=torch.inf),
            torch.as_tensor(self.residual),
            torch.as_tensor(self.confidence),
        )


def _jitter(residual: Tensor, random: torch.Generator) -> Tensor:
    """Errors (B, L, 2), each person's rotated and scaled as a whole."""
    angle, scale = torch.randn(2, len(residual), 1, generator=random)
    angle, scale = _ROTATION_STD * angle, (_LOG_SCALE_STD * scale).exp()
    x, y = residual.unbind(-1)
    rotated = torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y], -1)
    jittered: Tensor = scale[..., None] * rotated
    return jittered


def correct_landmark_bias(detections: RenderedDetections, body: Body) -> Array:
    """Detected keypoints (N, 33, 2) px on rendered people, shifted to where they would be on real people.

    The shift is the projection of `_LANDMARK_BIAS`.
    """
    shifts = [
        project(detections, k, real_landmarks) - project(detections, k, rendered_landmarks)
        for k, (_, real_landmarks, rendered_landmarks) in enumerate(posed_landmarks(detections, body))
    ]
    return np.asarray(detections.keypoints + np.array(shifts))


def posed_landmarks(detections: RenderedDetections, body: Body) -> Iterator[tuple[Array, Array, Array]]:
    """Joints (24, 3), landmarks (33, 3) of real people, and landmarks (33, 3) of renders, per person; world, m."""
    chain, shift = build_kinematic_chain(body), _landmark_bias()
    zero_shape = np.zeros(chain.num_shape_params)
    with torch.no_grad():
        mean_stature, statures = (
            body.stature(torch.zeros(NUM_BETAS)),
            body.stature(torch.as_tensor(detections.betas).float()),
        )
    for k, relative_stature in enumerate((statures / mean_stature).double().numpy()):
        shape_params = zero_shape.copy()
        shape_params[:NUM_BETAS] = detections.betas[k]
        posed = forward_kinematics(
            chain,
            Pose(
                so3.axis_angle_to_matrix(detections.pose[k : k + 1]),
                detections.transl[k : k + 1],
                shape_params,
            ),
        )
        yield (
            posed.joints[0],
            posed.landmarks[0],
            _without_bias(posed, chain.parent_joint, relative_stature * shift),
        )


def project(detections: RenderedDetections, k: int, points: Array) -> Array:
    """Project points (33, 3), world, to image k, px."""
    camera_points = points @ detections.rotation[k].T + detections.translation[k]
    return np.asarray(perspective_divide(camera_points) * detections.focal[k] + detections.size / 2)


def _landmark_bias() -> Array:
    """`_LANDMARK_BIAS` for every landmark, (33, 3) m, in the axes of its parent joint."""
    shift = np.zeros((LANDMARKS, 3))
    for landmark, row in enumerate(read_csv("landmarks.csv")):
        shift[landmark, 1:] = _LANDMARK_BIAS.get(row["group"], (0, 0))
    return shift


def _without_bias(posed: PosedBody, parent_joint: Array, shift: Array) -> Array:
    """Landmarks (33, 3) of one posed body, body frame, minus a shift (33, 3) in their parent joints' axes."""
    rotated_shift = posed.rotations[0, parent_joint] @ shift[..., None]
    return np.asarray(posed.landmarks[0] - rotated_shift[..., 0])


def _view_direction(roi: Array, focal: float, size: Array) -> Array:
    """(3, 3): from the camera's axes to those of one that points at the ROI's centre and is rolled with it."""
    ray = np.array([*(roi[:2] - size / 2) / focal, 1.0])
    roll = so3.axis_angle_to_matrix(np.array([0, 0, -roi[3]]))
    return np.asarray(roll @ so3.rotation_between(ray, np.array([0, 0, 1.0])))
