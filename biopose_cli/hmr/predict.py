"""MQ-HMR on the keypoints of a clip: every frame by itself, seen straight and in a mirror.

N frames; camera frame: OpenCV's; m, px.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from biopose_cli.body.blazepose import MIRROR_LANDMARK
from biopose_cli.body.kinematics import ACTIVE_JOINTS
from biopose_cli.body.model import MIRROR_JOINT
from biopose_cli.errors import SettingError
from biopose_cli.geometry import so3_torch
from biopose_cli.geometry.roi import CROP_SIZE, to_crop
from biopose_cli.hmr.model import MQHMR, SMPLPrediction
from biopose_cli.hmr.virtual_camera import (
    VirtualCamera,
    camera_from_keypoints,
    camera_from_roi,
    flip_camera,
    flip_points,
    flip_rotations,
)
from biopose_cli.typing import Array

_MIRROR_ACTIVE = [ACTIVE_JOINTS.index(MIRROR_JOINT[joint]) for joint in ACTIVE_JOINTS]
CHUNK_SIZE = 512  # frames in work at once


@dataclass(frozen=True)
class SMPLEstimates:
    """`rotations` (N, 24, 3, 3): SMPL's, the root's in the camera frame. `betas` (N, 10). `pelvis` (N, 3) m: the pelvis
    joint in the camera frame. `rotation_std` (N, 22, 3) rad: by how much the rotations of `ACTIVE_JOINTS` may be
    wrong, about each axis of the joint."""

    rotations: Array
    betas: Array
    pelvis: Array
    rotation_std: Array

    def select(self, frames: Array | slice) -> SMPLEstimates:
        """Return the same of these frames only."""
        return SMPLEstimates(self.rotations[frames], self.betas[frames], self.pelvis[frames], self.rotation_std[frames])


@dataclass(frozen=True)
class ImageFeatures:
    """N frames as the detector's network saw them. `roi` (N, 4) px: where it looked (`geometry/roi.py`). `keypoints`
    (N, 33, 2) px: where in the picture, with the lens's distortion, it found them. `feature_maps`: for each of the
    network's layers (N, 2, side, side, channels), of the crop and of its mirror image (`backbones/blazepose.py`)."""

    roi: Array
    keypoints: Array
    feature_maps: list[Array]


def predict_smpl(
    network: MQHMR,
    keypoints: Array,
    confidence: Array,
    camera_matrix: Array,
    stature: float | None = None,
    image_features: ImageFeatures | None = None,
) -> SMPLEstimates:
    """What the network says of each frame: the mean of the picture and its mirror image.

    keypoints: (N, 33, 2) px without lens distortion, finite. confidence: (N, 33). camera_matrix: (3, 3) or
    (N, 3, 3). stature: m. image_features: for a network that looks at pictures; without, it does with the keypoints.
    Computed where the network is.

    Raises
    ------
    SettingError
        The network knows no keypoints, and there are no pictures.
    """
    if image_features is None and not network.config.keypoints:
        raise SettingError("this network sees pictures only", "Choose one that knows keypoints")
    device = network.mean_pose_6d.device
    camera_matrix = np.broadcast_to(camera_matrix, (len(keypoints), 3, 3))
    focal = np.stack([camera_matrix[:, 0, 0], camera_matrix[:, 1, 1]], -1)[:, None]
    normalized = torch.as_tensor((keypoints - camera_matrix[:, None, :2, 2]) / focal).float().to(device)
    confidence_tensor = torch.as_tensor(confidence).float().to(device)
    parts = []
    with torch.inference_mode():
        for start in range(0, max(1, len(normalized)), CHUNK_SIZE):
            chunk = slice(start, start + CHUNK_SIZE)
            statures = torch.full((len(normalized[chunk]),), torch.nan if stature is None else stature, device=device)
            view = camera_from_keypoints(normalized[chunk], confidence_tensor[chunk])
            if image_features is None:
                parts.append(_predict_with_flip(network, view, statures))
                continue
            roi, keypoint_locations = image_features.roi[chunk], None
            if network.config.keypoints:
                crop_points = [
                    to_crop(k, r) / CROP_SIZE for k, r in zip(image_features.keypoints[chunk], roi, strict=True)
                ]
                keypoint_locations = _tensor(np.array(crop_points), device)
            else:
                view = camera_from_roi(
                    *(_tensor(x, device) for x in (roi, camera_matrix[chunk, 0, 0], camera_matrix[chunk, :2, 2]))
                )
            feature_maps = [_tensor(feature_map[chunk], device) for feature_map in image_features.feature_maps]
            parts.append(_predict_with_flip(network, view, statures, feature_maps, keypoint_locations))
    return SMPLEstimates(*(torch.cat(values).cpu().double().numpy() for values in zip(*parts, strict=True)))


def _predict_with_flip(
    network: MQHMR,
    view: VirtualCamera,
    stature: Tensor,
    feature_maps: list[Tensor] | None = None,
    keypoint_locations: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rotations, betas, pelvis and `rotation_std` in the camera frame, of the view and its mirror image together."""
    mirror_landmark = torch.as_tensor(MIRROR_LANDMARK, device=stature.device)
    features, flipped_features = (
        None if feature_maps is None else [feature_map[:, k] for feature_map in feature_maps] for k in (0, 1)
    )
    flipped_locations = None if keypoint_locations is None else flip_points(keypoint_locations, mirror_landmark)
    pred = network(view, stature, features, keypoint_locations)
    flipped_pred = _unflip(network(flip_camera(view, mirror_landmark), stature, flipped_features, flipped_locations))
    rotations = so3_torch.project_to_so3(pred.rotations + flipped_pred.rotations)
    pelvis = (pred.pelvis + flipped_pred.pelvis) / 2
    camera_from_view = view.rotation.transpose(1, 2)
    rotations = torch.cat([(camera_from_view @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
    betas, rotation_std = (
        (getattr(pred, name) + getattr(flipped_pred, name)) / 2 for name in ("betas", "rotation_std")
    )
    return rotations, betas, (camera_from_view @ pelvis[..., None])[..., 0], rotation_std


def _unflip(pred: SMPLPrediction) -> SMPLPrediction:
    """What was recovered from a mirror image, for the picture itself."""
    sign = pred.pelvis.new_tensor([-1.0, 1, 1])
    return SMPLPrediction(
        flip_rotations(pred.rotations[:, list(MIRROR_JOINT)]),
        pred.betas,
        pred.pelvis * sign,
        pred.tokens,
        pred.rotation_std[:, _MIRROR_ACTIVE],
    )


def _tensor(values: Array, device: torch.device) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values)).float().to(device)
