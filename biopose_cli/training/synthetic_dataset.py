"""Synthetic views without end: random people in random poses before phone-like cameras, as a detector would see them.

A batch depends on the seed and its number only, so a run that is resumed sees what an uninterrupted one sees.
N views; camera and view frames are OpenCV's (x right, y down, z forward); m.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.kinematics import NUM_BETAS, build_kinematic_chain
from biopose_cli.body.model import Body
from biopose_cli.body.smpl_torch import SMPLKinematics
from biopose_cli.geometry import so3_torch
from biopose_cli.geometry.roi import CROP_MARGIN, CROP_SIZE
from biopose_cli.hmr.virtual_camera import HIPS, VirtualCamera, camera_from_keypoints
from biopose_cli.synthesis.keypoint_error_bank import KeypointErrorBank
from biopose_cli.synthesis.pose_sampler import PoseSampler

POOL_SIZE = 1 << 16  # poses at once
POOL_REFRESH_BATCHES = 200  # batches after which they are drawn anew
_SHAPE_LIMIT = 2.5  # standard deviations of a shape component
_LANDMARK_OFFSET_STD = 0.8  # of the landmarks' own places, in units of `kinematics.LANDMARK_STD`
_MIN_DISTANCE, _MAX_DISTANCE = 1.6, 10.0  # m
_OFFSET_STD = (18.0, 9.0)  # degrees, standard deviation of where the person is in the picture
_PITCH_MEAN_STD, _ROLL_STD = (4.0, 10.0), 5.0  # degrees: mean and spread, downwards; spread
_STEEP_FRACTION, _STEEP_PITCH_STD = (
    0.1,
    30.0,
)  # share of cameras that look steeply down or up, and their spread
STATURE_FRACTION = 0.5  # share of people whose stature is given
STATURE_STD = 0.01  # m, error of a given stature
_OUTLINE_SCALE = 1.07  # of the outermost landmark's distance from the hips: the skin's (median of rendered people)


@dataclass(frozen=True)
class MQHMRBatch:
    """Input `view` and `stature` (N, NaN where not given); truth, in the view frame: `rotations` (N, 24, 3, 3), `betas`
    (N, 10), `pelvis` (N, 3), and from these `joints` (N, 24, 3) and `landmarks` (N, 33, 3) from the pelvis. Of pictures
    also the layers' `feature_maps`, each (N, H, W, channels), and `keypoint_locations` (N, 33, 2) on them."""

    view: VirtualCamera
    stature: Tensor
    rotations: Tensor
    betas: Tensor
    pelvis: Tensor
    joints: Tensor
    landmarks: Tensor
    feature_maps: list[Tensor] | None = None
    keypoint_locations: Tensor | None = None

    def to(self, device: torch.device) -> MQHMRBatch:
        """The same there."""
        tensors = {f.name: value.to(device) for f in fields(self) if isinstance(value := getattr(self, f.name), Tensor)}
        feature_maps = (
            None if self.feature_maps is None else [feature_map.to(device) for feature_map in self.feature_maps]
        )
        return replace(self, view=self.view.to(device), feature_maps=feature_maps, **tensors)


class SyntheticDataset:
    """Batches of `batch_size` views. error_bank: the detector's errors."""

    def __init__(
        self, body: Body, pose_sampler: PoseSampler, error_bank: KeypointErrorBank, batch_size: int, seed: int
    ) -> None:
        self.pose_sampler, self.error_bank, self.batch_size, self.seed = (
            pose_sampler,
            error_bank,
            batch_size,
            seed,
        )
        self.chain = build_kinematic_chain(body)
        self.smpl = SMPLKinematics(self.chain)
        zero = torch.zeros(NUM_BETAS, requires_grad=True)
        stature = body.stature(zero)
        (self.stature_gradient,) = torch.autograd.grad(stature.sum(), zero)
        self.mean_stature = float(stature.detach())
        self._pool: tuple[int, Tensor] = (-1, torch.zeros(0))

    def batch(self, step: int) -> MQHMRBatch:
        """The batch number `step`."""
        random = torch.Generator().manual_seed(int(np.random.default_rng((self.seed, step)).integers(2**62)))
        pool = self._pose_pool(step // POOL_REFRESH_BATCHES)
        with torch.no_grad():
            chosen = torch.randint(len(pool), (self.batch_size,), generator=random)
            return self._make_batch(pool[chosen], random)

    def _pose_pool(self, pool_number: int) -> Tensor:
        """Rotations (POOL_SIZE, 24, 3, 3)."""
        if self._pool[0] != pool_number:
            axis_angles = self.pose_sampler.draw(POOL_SIZE, np.random.default_rng((self.seed, pool_number, 1)))
            self._pool = (pool_number, so3_torch.axis_angle_to_matrix(torch.as_tensor(axis_angles)))
        return self._pool[1]

    def _make_batch(self, rotations: Tensor, random: torch.Generator) -> MQHMRBatch:
        def normal(*shape: int) -> Tensor:
            return torch.randn(self.batch_size, *shape, generator=random)

        def uniform() -> Tensor:
            return torch.rand(self.batch_size, generator=random)

        betas = normal(NUM_BETAS).clamp(-_SHAPE_LIMIT, _SHAPE_LIMIT)
        landmark_offsets = _LANDMARK_OFFSET_STD * normal(self.chain.num_shape_params - NUM_BETAS)
        camera = _sample_cameras(self.batch_size, random)
        rotations = torch.cat([(camera @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
        joints, landmarks = self.smpl(rotations, betas)
        _, individual_landmarks = self.smpl(rotations, torch.cat([betas, landmark_offsets], 1))

        offset = torch.deg2rad(normal(2) * torch.tensor(_OFFSET_STD)).clamp(-0.6, 0.6).tan()
        direction = torch.nn.functional.normalize(torch.cat([offset, torch.ones(self.batch_size, 1)], 1), dim=1)
        distance = _MIN_DISTANCE * (_MAX_DISTANCE / _MIN_DISTANCE) ** uniform()
        pelvis = distance[:, None] * direction
        points = individual_landmarks + pelvis[:, None]
        keypoints = points[..., :2] / points[..., 2:].clamp(min=0.2)
        view = self._add_keypoint_errors(keypoints, joints, random)

        view_rotation = view.rotation
        stature = self.mean_stature + betas @ self.stature_gradient + STATURE_STD * normal()
        return MQHMRBatch(
            view=view,
            stature=torch.where(uniform() < STATURE_FRACTION, stature, torch.nan),
            rotations=torch.cat([(view_rotation @ rotations[:, 0])[:, None], rotations[:, 1:]], 1),
            betas=betas,
            pelvis=(view_rotation @ pelvis[..., None])[..., 0],
            joints=joints @ view_rotation.transpose(1, 2),
            landmarks=landmarks @ view_rotation.transpose(1, 2),
        )

    def _add_keypoint_errors(self, keypoints: Tensor, joints: Tensor, random: torch.Generator) -> VirtualCamera:
        """The view of keypoints (N, 33, 2) with the detector's errors on them."""
        exact = camera_from_keypoints(keypoints, torch.ones(keypoints.shape[:2]))
        residual, confidence = self.error_bank.draw(joints @ exact.rotation.transpose(1, 2), random)
        image_points = exact.normalized_keypoints * exact.half_fov_tan[:, None, None]
        extent = _OUTLINE_SCALE * torch.linalg.vector_norm(
            image_points - image_points[:, HIPS].mean(1, keepdim=True), dim=-1
        ).amax(1)
        image_points = image_points + residual * (2 * CROP_MARGIN * extent / CROP_SIZE)[:, None, None]
        rays = torch.cat([image_points, torch.ones_like(image_points[..., :1])], -1) @ exact.rotation
        return camera_from_keypoints(rays[..., :2] / rays[..., 2:].clamp(min=0.1), confidence)


def _sample_cameras(count: int, random: torch.Generator) -> Tensor:
    """Camera from world (y up), (N, 3, 3): any heading, nearly level, nearly upright."""
    heading = 2 * torch.pi * torch.rand(count, generator=random)
    pitch, roll = torch.randn(2, count, generator=random)
    pitch_std = torch.where(torch.rand(count, generator=random) < _STEEP_FRACTION, _STEEP_PITCH_STD, _PITCH_MEAN_STD[1])
    pitch, roll = torch.deg2rad(_PITCH_MEAN_STD[0] + pitch_std * pitch), torch.deg2rad(_ROLL_STD * roll)
    zero = torch.zeros(count)
    angles = (
        torch.stack([zero, zero, roll], 1),
        torch.stack([pitch, zero, zero], 1),
        torch.stack([zero, heading, zero], 1),
    )
    level = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # facing the person: x right, y down, z away
    rotation_z, rotation_x, rotation_y = (so3_torch.axis_angle_to_matrix(angle) for angle in angles)
    camera: Tensor = rotation_z @ rotation_x @ level @ rotation_y
    return camera
