"""The detector's errors, measured on rendered people (`rendered_detections.py`), to be put on synthetic keypoints.

An error depends on the posture and on where it is seen from: a hidden wrist is guessed, crossed legs are confused. So
errors are kept with the posture at which they were made, all 33 of a person together, and drawn by posture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

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
from biopose_cli.io.atomic import atomic_write
from biopose_cli.io.results import LANDMARKS
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.rendered_detections import RenderedDetections
from biopose_cli.typing import Array

NUM_NEIGHBORS = 16  # near entries, of which one is drawn for the legs, one for the arms, one for the rest
# No error comes twice as it is in the bank: a network would know the entry by its 33 confidences, and by it the posture
_ROTATION_STD, _LOG_SCALE_STD, _JITTER_STD = 0.35, 0.3, 0.5  # rad, of logarithms, px of the crop
_LOGIT_STD = 0.5  # of confidences, as logits
_MIN_CONFIDENCE = 1e-3
_LIMB_GROUPS = [np.union1d(pairs, [0] if 11 in pairs else []).astype(int) for pairs in LIMBS]  # the nose is in no pair
_LIMB_JOINTS = ("hip", "shoulder", "elbow", "wrist", "knee", "ankle", "foot")
# by what postures are compared: the other joints lie between these
_POSTURE_JOINTS = [
    INDEX["head"],
    *(INDEX[f"{side}_{name}"] for side in ("left", "right") for name in _LIMB_JOINTS),
]
# m, (up, forward): what scripts/fit_landmarks.py adds to the renders' hips and knees because real people's sit lower
# and further forward (docs/how/mesh.md). The bank is of errors made on renders. Against the shifted landmarks they
# would contain that shift as an error of its own, and a network that learns from shifted landmarks with these errors
# on them would learn to take it off again. So here the landmarks are where renders have them.
_LANDMARK_BIAS = {"hip": (-0.015, 0.010), "knee": (-0.006, 0.0)}


@dataclass(frozen=True)
class KeypointErrorBank:
    """N looks at people. `residual` (N, 33, 2): detected keypoint minus the body's landmark, px of the 256 px crop, in
    the crop's axes; `confidence` (N, 33); `posture` (N, 24, 3) m: joints from the pelvis as the crop shows them, in the
    axes of a camera that looks at the crop's centre and is rolled with it (x right, y down, z away)."""

    residual: Array
    confidence: Array
    posture: Array

    @staticmethod
    def from_detections(detections: RenderedDetections, body: Body) -> KeypointErrorBank:
        """The errors in `detections` of people of `body`'s shapes."""
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

    def save(self, path: Path) -> None:
        """Write all arrays to `path` (.npz), atomically."""
        with atomic_write(path) as temporary:
            np.savez_compressed(temporary, **{field.name: getattr(self, field.name) for field in fields(self)})

    @staticmethod
    def load(path: Path) -> KeypointErrorBank:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            return KeypointErrorBank(**{field.name: stored[field.name] for field in fields(KeypointErrorBank)})

    def draw(self, posture: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """Errors (B, 33, 2), px of the crop, and confidences (B, 33) for postures (B, 24, 3) as the bank has them.

        Legs, arms, and trunk with head each err as in one of `NUM_NEIGHBORS` near entries, a little turned and
        scaled. Half of the postures are compared with the mirrored bank (that is, they are mirrored, and so is what is
        found), so that left and right err alike.
        """
        count = len(posture)
        flip = torch.rand(count, generator=random) < 0.5
        query = torch.where(
            flip[:, None, None], posture[:, list(MIRROR_JOINT)] * posture.new_tensor([-1.0, 1, 1]), posture
        )
        entries, half_squares, residuals, confidences = self._tensors
        # half the squared distance, but for what is the same for all entries
        distance = torch.addmm(half_squares, query[:, _POSTURE_JOINTS].flatten(1).float(), entries.T, alpha=-1)
        # the nearest of each of as many groups: as good as the nearest of all, and found sooner
        neighbors = NUM_NEIGHBORS * distance.unflatten(1, (-1, NUM_NEIGHBORS)).argmin(1) + torch.arange(NUM_NEIGHBORS)
        neighbors = neighbors[:, : len(residuals)]  # of a bank of less entries the other groups are empty
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
        """All but the last entries, one of `every`, and these: to learn from the one and check with the other (people
        who share a room follow each other). A bank that is too small for that is both."""
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
        """Compared places (M, 45), half their squared length (M), residuals and confidences (N); M is a multiple of
        `NUM_NEIGHBORS`, and what is more than N infinitely far."""
        postures = torch.as_tensor(self.posture)[:, _POSTURE_JOINTS].flatten(1)
        padding = (0, -len(postures) % NUM_NEIGHBORS)
        return (
            torch.nn.functional.pad(postures, (0, 0, *padding)),
            torch.nn.functional.pad(postures.square().sum(1) / 2, padding, value=torch.inf),
            torch.as_tensor(self.residual),
            torch.as_tensor(self.confidence),
        )


def _jitter(residual: Tensor, random: torch.Generator) -> Tensor:
    """Errors (B, L, 2), each person's turned and scaled as a whole."""
    angle, scale = torch.randn(2, len(residual), 1, generator=random)
    angle, scale = _ROTATION_STD * angle, (_LOG_SCALE_STD * scale).exp()
    x, y = residual.unbind(-1)
    rotated = torch.stack([angle.cos() * x - angle.sin() * y, angle.sin() * x + angle.cos() * y], -1)
    jittered: Tensor = scale[..., None] * rotated
    return jittered


def correct_landmark_bias(detections: RenderedDetections, body: Body) -> Array:
    """The keypoints (N, 33, 2) px that the detector found on people of `body`'s shapes, moved to where real people's
    would be: by what `_LANDMARK_BIAS` is in the picture."""
    shifts = [
        project(detections, k, real_landmarks) - project(detections, k, rendered_landmarks)
        for k, (_, real_landmarks, rendered_landmarks) in enumerate(posed_landmarks(detections, body))
    ]
    return np.asarray(detections.keypoints + np.array(shifts))


def posed_landmarks(detections: RenderedDetections, body: Body) -> Iterator[tuple[Array, Array, Array]]:
    """Everybody's joints (24, 3), landmarks (33, 3) as real people have them, and as renders show them; world, m."""
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
    """Points (33, 3) of the world in picture k, px."""
    camera_points = points @ detections.rotation[k].T + detections.translation[k]
    return np.asarray(camera_points[:, :2] / camera_points[:, 2:] * detections.focal[k] + detections.size / 2)


def _landmark_bias() -> Array:
    """`_LANDMARK_BIAS` for every landmark, (33, 3) m in the axes of its parent joint."""
    shift = np.zeros((LANDMARKS, 3))
    for landmark, row in enumerate(read_csv("landmarks.csv")):
        shift[landmark, 1:] = _LANDMARK_BIAS.get(row["group"], (0, 0))
    return shift


def _without_bias(posed: PosedBody, parent_joint: Array, shift: Array) -> Array:
    """The landmarks (33, 3) of one posed body, in its frame, without a shift (33, 3) in their parent joints' axes."""
    rotated_shift = posed.rotations[0, parent_joint] @ shift[..., None]
    return np.asarray(posed.landmarks[0] - rotated_shift[..., 0])


def _view_direction(roi: Array, focal: float, size: Array) -> Array:
    """(3, 3): from the camera's axes to those of one that looks at the ROI's centre and is rolled with it."""
    ray = np.array([*(roi[:2] - size / 2) / focal, 1.0])
    roll = so3.axis_angle_to_matrix(np.array([0, 0, -roi[3]]))
    return np.asarray(roll @ so3.rotation_between(ray, np.array([0, 0, 1.0])))
