"""MQ-HMR: SMPL pose, shape and camera from one view of a person (paper, section 3.2).

The paper's part: K pose queries, initially zero, pass L decoder layers: self-attention, deformable attention to the
multi-scale maps of an image encoder, and a feed-forward layer (`decoder.py`). Heads predict rotations, shape and camera
from them. Ours, and the default: the detected keypoints are an input too. A residual network (`Lifter`) lifts them to
an initial pose, and returns tokens to which the queries attend; the queries' output is added to that pose. Each input
is optional: without keypoints the initial pose is a learned constant, and the network is the paper's.

Rotations are predicted in the view frame, not relative to the parent: a segment's appearance then does not depend on
the others, which needs less training data.

N people; the view frame of `virtual_camera.py` (x right, y down, z forward); m.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from biopose_cli.body.kinematics import ACTIVE_JOINTS, NUM_BETAS, NUM_JOINTS
from biopose_cli.body.smpl_io import SMPL_PARENTS
from biopose_cli.geometry import so3_torch
from biopose_cli.hmr.backbones.blazepose import RAW_CROP, FeatureNeck, layer_channels
from biopose_cli.hmr.backbones.vit import ViT, ViTEncoder
from biopose_cli.hmr.decoder import Decoder
from biopose_cli.hmr.virtual_camera import VirtualCamera
from biopose_cli.io.results import LANDMARKS

_NUM_ROTATIONS = len(ACTIVE_JOINTS)  # the hands' roots stay straight
_PARENTS = [ACTIVE_JOINTS.index(SMPL_PARENTS[joint - 1]) for joint in ACTIVE_JOINTS[1:]]
_PARAM_DIM = 6 * _NUM_ROTATIONS + NUM_BETAS + 3
_STATURE_MEAN, _STATURE_STD = 1.70, 0.10  # m
_HALF_EXTENT = 0.65  # m: approximate half-extent of a view at the person
_INPUT_DIM = 3 * LANDMARKS + 6
_INIT_STD = 0.3  # rad
_LOG_STD_RANGE = math.log(0.01), math.log(2.0)  # rad, range of the predicted standard deviation


@dataclass(frozen=True)
class MQHMRConfig:
    """The network's dimensions.

    `hidden`, `blocks`: of the lifter. `queries`, `width`, `layers`, `heads`: of the decoder; no layers: the lifter
    alone. `feature_layers`: of the detector's network (`hmr/backbones/blazepose.py`), names separated by spaces; or
    `encoder`: size of a vision transformer (`hmr/backbones/vit.py`), with the `scales` of its maps; neither: no images.
    `points`: sampling points per head and map.
    """

    keypoints: bool = True
    hidden: int = 1024
    blocks: int = 3
    queries: int = 96
    width: int = 128
    layers: int = 3
    heads: int = 4
    feature_layers: str = ""
    encoder: str = ""
    scales: str = "1 4 8 16"
    points: int = 4

    @property
    def num_levels(self) -> int:
        """Number of feature maps."""
        return len((self.scales if self.encoder else self.feature_layers).split())

    @property
    def image_inputs(self) -> list[str]:
        """Names of the image inputs, as in `hmr/backbones/blazepose.py`."""
        return [RAW_CROP] if self.encoder else self.feature_layers.split()


@dataclass(frozen=True)
class SMPLPrediction:
    """Predictions for N people.

    `rotations` (N, 24, 3, 3): SMPL's, relative to the parent, the root's in the view frame. `betas` (N, 10). `pelvis`
    (N, 3) m: the pelvis joint in the view frame. `tokens` (N, K, width): the queries after the last layer.
    `rotation_std` (N, 22, 3) rad: standard deviation of the rotations of `ACTIVE_JOINTS`, about each axis of the joint.
    """

    rotations: Tensor
    betas: Tensor
    pelvis: Tensor
    tokens: Tensor
    rotation_std: Tensor


class MQHMR(nn.Module):
    """The network.

    `mean_pose_6d` (22, 6): global rotations of the mean pose (first two columns), to which predictions are added.
    `log_std_head`, trained last (`training/uncertainty_head.py`), predicts the standard deviation per frame.
    """

    mean_pose_6d: Tensor

    def __init__(self, config: MQHMRConfig, mean_pose_6d: Tensor) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean_pose_6d", mean_pose_6d.float())
        self.init_params = nn.Parameter(torch.zeros(_PARAM_DIM))
        self.lifter = Lifter(config) if config.keypoints else None
        self.decoder = (
            Decoder(
                config.queries,
                config.width,
                config.layers,
                config.heads,
                config.num_levels,
                config.points,
                _NUM_ROTATIONS + 2,
            )
            if config.layers
            else None
        )
        self.neck = (
            FeatureNeck(layer_channels(config.feature_layers.split()), config.width) if config.feature_layers else None
        )
        scales = tuple(int(scale) for scale in config.scales.split())
        self.encoder = ViTEncoder(ViT(config.encoder), config.width, scales) if config.encoder else None
        if self.decoder is not None:
            self.pose_head = _zero_init(nn.Linear(config.width, 6))
            self.shape_head = _zero_init(nn.Linear(config.width, NUM_BETAS))
            self.camera_head = _zero_init(nn.Linear(config.width, 3))
        self.log_std_head = _zero_init(
            nn.Linear(config.hidden if config.keypoints else config.width, 3 * _NUM_ROTATIONS)
        )
        nn.init.constant_(self.log_std_head.bias, math.log(_INIT_STD))

    def forward(
        self,
        view: VirtualCamera,
        stature: Tensor,
        feature_maps: list[Tensor] | None = None,
        keypoint_locations: Tensor | None = None,
    ) -> SMPLPrediction:
        """Predict N people.

        Parameters
        ----------
        view : keypoints in the virtual camera
        stature : (N) m, NaN where unknown
        feature_maps : of the layers, each (N, H, W, channels); for an encoder, the crops (N, 256, 256, 3), RGB 0..255
        keypoint_locations : (N, 33, 2), positions on the maps, 0..1
        """
        params = self.init_params.expand(len(stature), -1)
        memory = features = None
        if self.lifter is not None:
            lifted, memory, features = self.lifter(view, stature)
            params = params + lifted
        tokens = params.new_zeros(len(params), 0, self.config.width)
        if self.decoder is not None:
            if feature_maps is not None and self.neck is not None:
                feature_maps = self.neck(feature_maps)
            elif feature_maps is not None and self.encoder is not None:
                feature_maps = self.encoder(feature_maps[0].movedim(-1, 1).float() / 255)
            tokens, readout = self.decoder(len(params), memory, feature_maps, keypoint_locations)
            rotation_tokens, shape_token, camera_token = readout.split([_NUM_ROTATIONS, 1, 1], dim=1)
            residuals = [
                self.pose_head(rotation_tokens).flatten(1),
                self.shape_head(shape_token[:, 0]),
                self.camera_head(camera_token[:, 0]),
            ]
            params = params + torch.cat(residuals, 1)
        log_std = self.log_std_head(tokens.mean(1) if features is None else features).float().clamp(*_LOG_STD_RANGE)
        # bfloat16, used in training, would change rotations by half a degree
        with torch.autocast(params.device.type, enabled=False):
            return self._to_smpl(params.float(), view, tokens, log_std.exp().unflatten(1, (_NUM_ROTATIONS, 3)))

    def _to_smpl(self, params: Tensor, view: VirtualCamera, tokens: Tensor, rotation_std: Tensor) -> SMPLPrediction:
        rot6d, betas, camera = params.split([6 * _NUM_ROTATIONS, NUM_BETAS, 3], dim=1)
        global_rotations = so3_torch.rotation_6d_to_matrix(self.mean_pose_6d + rot6d.unflatten(1, (_NUM_ROTATIONS, 6)))
        local_rotations = torch.cat(
            [
                global_rotations[:, :1],
                global_rotations[:, _PARENTS].transpose(-1, -2) @ global_rotations[:, 1:],
            ],
            1,
        )
        identity = torch.eye(3, dtype=params.dtype, device=params.device).expand(
            len(params), NUM_JOINTS - _NUM_ROTATIONS, 3, 3
        )
        depth = _HALF_EXTENT * camera[:, 0].exp() / view.half_fov_tan
        offset_xy = camera[:, 1:] * (view.half_fov_tan * depth)[:, None]
        pelvis = torch.cat([offset_xy, depth[:, None]], 1)
        return SMPLPrediction(torch.cat([local_rotations, identity], 1), betas, pelvis, tokens, rotation_std)


class Lifter(nn.Module):
    """2D-to-3D lifting: from keypoints in the view to initial pose parameters and a token per keypoint."""

    def __init__(self, config: MQHMRConfig) -> None:
        super().__init__()
        self.in_proj = nn.Linear(_INPUT_DIM, config.hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(config.hidden),
                nn.Linear(config.hidden, config.hidden),
                nn.GELU(),
                nn.Linear(config.hidden, config.hidden),
            )
            for _ in range(config.blocks)
        )
        last = nn.Linear(config.hidden, _PARAM_DIM)
        with torch.no_grad():
            last.weight.mul_(0.1)
        self.head = nn.Sequential(nn.LayerNorm(config.hidden), last)
        self.emit_tokens = config.layers > 0
        if self.emit_tokens:
            self.keypoint_proj = nn.Linear(3, config.width)
            self.global_proj = nn.Linear(config.hidden, config.width)
            self.keypoint_embed = nn.Parameter(0.02 * torch.randn(LANDMARKS, config.width))

    def forward(self, view: VirtualCamera, stature: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Parameters (N, P); tokens (N, 33, width) if there is a decoder; and hidden features (N, hidden)."""
        points = torch.cat([view.normalized_keypoints, view.confidence[..., None]], -1)
        has_stature = torch.isfinite(stature)
        stature_z = torch.where(has_stature, (stature - _STATURE_MEAN) / _STATURE_STD, 0.0)
        scalars = [
            view.half_fov_tan.log()[:, None],
            view.up,
            stature_z[:, None],
            has_stature[:, None].to(stature_z),
        ]
        x = self.in_proj(torch.cat([points.flatten(1), *scalars], 1))
        for block in self.blocks:
            x = x + block(x)
        norm, last = self.head
        features = norm(x)
        if not self.emit_tokens:
            return last(features), None, features
        return (
            last(features),
            self.keypoint_proj(points) + self.keypoint_embed + self.global_proj(x)[:, None],
            features,
        )


def _zero_init(layer: nn.Linear) -> nn.Linear:
    """Initialise a head with zeros, so that its output is 0 before training."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
