"""Batches of rendered images: detected keypoints, feature maps, and the true body.

As in `SyntheticDataset`, a batch depends only on the seed and its number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.blazepose import MIRROR_LANDMARK
from biopose_cli.body.kinematics import NUM_BETAS, KinematicChain, build_kinematic_chain
from biopose_cli.body.model import MIRROR_JOINT, Body
from biopose_cli.body.smpl_torch import SMPLKinematics
from biopose_cli.geometry import roi as geometry
from biopose_cli.geometry import so3_torch
from biopose_cli.hmr.virtual_camera import (
    VirtualCamera,
    camera_from_keypoints,
    camera_from_roi,
    flip_camera,
    flip_points,
    flip_rotations,
)
from biopose_cli.synthesis.keypoint_error_bank import correct_landmark_bias
from biopose_cli.synthesis.rendered_detections import RenderedDetections
from biopose_cli.synthesis.rendered_images import RenderedImages
from biopose_cli.training.synthetic_dataset import STATURE_FRACTION, STATURE_STD, MQHMRBatch
from biopose_cli.typing import Array

_FLIP = torch.tensor([-1.0, 1, 1])


class RenderedDataset:
    """Batches of `batch_size` rendered images, original and mirrored.

    Parameters
    ----------
    body : body model of the images
    images : rendered images with their detections
    batch_size : images per batch
    seed : of all random choices
    layers : feature layers whose maps are read
    keypoints : False leaves the keypoints out; the view is then the detector's region of interest
    """

    def __init__(
        self,
        body: Body,
        images: RenderedImages,
        batch_size: int,
        seed: int,
        layers: Sequence[str],
        *,
        keypoints: bool = True,
    ) -> None:
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.layers = layers
        chain = build_kinematic_chain(body)
        labels = _labels(body, chain, images.detections, keypoints)
        self.labels = _concatenate(labels, _mirror(labels, SMPLKinematics(chain)))

    def __len__(self) -> int:
        return 2 * len(self.images)

    def batch(self, step: int) -> MQHMRBatch:
        """Batch number `step`."""
        rng = np.random.default_rng((self.seed, step))
        return self.select(rng.integers(0, len(self), self.batch_size), rng)

    def select(self, samples: Array, rng: np.random.Generator) -> MQHMRBatch:
        """Batch of the samples with indices `samples` (N); those from `len(self.images)` on are mirrored.

        Half of the statures are given, with an error.
        """
        index, count = torch.as_tensor(samples), len(self.images)
        noise = torch.as_tensor(rng.normal(0, STATURE_STD, len(samples))).float()
        has_stature = torch.as_tensor(rng.random(len(samples)) < STATURE_FRACTION)
        feature_maps = self.images.gather_maps(samples % count, samples >= count, self.layers)
        labels = self.labels
        return MQHMRBatch(
            view=VirtualCamera(*(getattr(labels.view, f.name)[index] for f in fields(VirtualCamera))),
            stature=torch.where(has_stature, labels.stature[index] + noise, torch.nan),
            rotations=labels.rotations[index],
            betas=labels.betas[index],
            pelvis=labels.pelvis[index],
            joints=labels.joints[index],
            landmarks=labels.landmarks[index],
            feature_maps=[torch.as_tensor(layer_maps) for layer_maps in feature_maps] or None,
            keypoint_locations=None if labels.keypoint_locations is None else labels.keypoint_locations[index],
        )


def _concatenate(first: MQHMRBatch, second: MQHMRBatch) -> MQHMRBatch:
    def both(name: str) -> Tensor:
        return torch.cat([getattr(first, name), getattr(second, name)])

    views = (torch.cat([getattr(first.view, f.name), getattr(second.view, f.name)]) for f in fields(VirtualCamera))
    return MQHMRBatch(
        view=VirtualCamera(*views),
        stature=both("stature"),
        rotations=both("rotations"),
        betas=both("betas"),
        pelvis=both("pelvis"),
        joints=both("joints"),
        landmarks=both("landmarks"),
        keypoint_locations=None if first.keypoint_locations is None else both("keypoint_locations"),
    )


def _labels(body: Body, chain: KinematicChain, detections: RenderedDetections, keypoints: bool) -> MQHMRBatch:
    """All detections with their labels, not mirrored."""
    focal, center = _tensor(detections.focal), torch.as_tensor(detections.size).float() / 2
    local, betas, pelvis = _to_camera(chain, detections)
    joints, landmarks = SMPLKinematics(chain)(local, betas)
    normalized_keypoints = (_tensor(correct_landmark_bias(detections, body)) - center) / focal[:, None, None]
    if keypoints:
        view = camera_from_keypoints(normalized_keypoints, _tensor(detections.confidence))
    else:
        view = camera_from_roi(_tensor(detections.roi), focal, center.expand(len(focal), 2))
    rotation = view.rotation
    crop_keypoints = [
        geometry.to_crop(k, r) / geometry.CROP_SIZE for k, r in zip(detections.keypoints, detections.roi, strict=True)
    ]
    with torch.no_grad():
        stature = body.stature(betas)
    return MQHMRBatch(
        view=view,
        stature=stature,
        rotations=torch.cat([(rotation @ local[:, 0])[:, None], local[:, 1:]], 1),
        betas=betas,
        pelvis=(rotation @ pelvis[..., None])[..., 0],
        joints=joints @ rotation.transpose(1, 2),
        landmarks=landmarks @ rotation.transpose(1, 2),
        keypoint_locations=_tensor(np.array(crop_keypoints)) if keypoints else None,
    )


def _to_camera(chain: KinematicChain, detections: RenderedDetections) -> tuple[Tensor, Tensor, Tensor]:
    """Rotations (N, 24, 3, 3) with the root's in the camera frame, betas (N, 10), and pelvis (N, 3) m, camera frame."""
    camera, betas = _tensor(detections.rotation), _tensor(detections.betas)
    local = so3_torch.axis_angle_to_matrix(_tensor(detections.pose))
    local = torch.cat([(camera @ local[:, 0])[:, None], local[:, 1:]], 1)
    rest_pelvis = _tensor(chain.rest_joints[0]) + betas @ _tensor(chain.joint_shapedirs[0, :, :NUM_BETAS]).T
    pelvis = (camera @ (_tensor(detections.transl) + rest_pelvis)[..., None])[..., 0] + _tensor(detections.translation)
    return local, betas, pelvis


def _mirror(batch: MQHMRBatch, smpl: SMPLKinematics) -> MQHMRBatch:
    mirror_landmark = torch.as_tensor(MIRROR_LANDMARK)
    rotations = flip_rotations(batch.rotations[:, list(MIRROR_JOINT)])
    joints, landmarks = smpl(rotations, batch.betas)
    return replace(
        batch,
        view=flip_camera(batch.view, mirror_landmark),
        rotations=rotations,
        pelvis=batch.pelvis * _FLIP,
        joints=joints,
        landmarks=landmarks,
        keypoint_locations=None
        if batch.keypoint_locations is None
        else flip_points(batch.keypoint_locations, mirror_landmark),
    )


def _tensor(values: Array) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values)).float()
