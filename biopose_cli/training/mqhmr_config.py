"""Configuration of an MQ-HMR training run, and its TOML file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from biopose_cli.hmr.backbones.blazepose import DEFAULT_LAYERS
from biopose_cli.hmr.backbones.vit import VIT_CONFIGS
from biopose_cli.hmr.image_encoder import AREA_SCALES
from biopose_cli.hmr.model import MQHMRConfig
from biopose_cli.training.mqhmr_losses import LossWeights
from biopose_cli.training.trainer import check_rules, read_toml

DEFAULT_CONFIG = Path(__file__).parent / "configs" / "mqhmr.toml"
_RENAMED = {  # keys of earlier versions
    "looks": "num_detections",
    "doubt_steps": "std_steps",
    "batch": "batch_size",
    "warm_up": "warmup_steps",
    "average": "ema_decay",
    "captured": "mocap_fraction",
    "held": "static_fraction",
    "changed": "perturbed_fraction",
    "crossed": "recombined_fraction",
    "wide": "random_fraction",
    "mixed": "mixed_precision",
    "pictures": "num_images",
    "frozen": "freeze_init",
    "taps": "feature_layers",
    "points_weight": "joints_weight",
    "picture_weight": "reprojection_weight",
    "check_every": "val_every",
}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that the result of a training run depends on. The defaults are for a test of a few minutes."""

    seed: int = 0
    num_detections: int = 200  # rendered people on which the detector's errors are measured
    steps: int = 200
    std_steps: int = 100  # final steps, which train only the standard deviation
    batch_size: int = 512  # views
    learning_rate: float = 1e-3
    warmup_steps: int = 100  # steps
    weight_decay: float = 0.01
    ema_decay: float = 0.995  # decay per step of the moving average of the weights, which is the result
    mocap_fraction: float = 0.6  # fraction of poses from motion capture
    static_fraction: float = 0.12  # fraction of poses of people who stand still
    perturbed_fraction: float = 0.5  # fraction of poses with random joint rotations added
    recombined_fraction: float = 0.0  # fraction of poses with the arms or the upper body of another pose
    random_fraction: float = 0.0  # fraction of poses with some limbs drawn at random within their ranges
    mixed_precision: bool = True  # large matrix products in bfloat16 during training
    num_images: int = 0  # rendered images with maps of `feature_layers`; 0: train on synthetic views
    keypoints: bool = True
    freeze_init: bool = False  # do not train the weights from --init-from
    hidden: int = 1024
    blocks: int = 3
    queries: int = 96
    width: int = 128
    layers: int = 0
    heads: int = 4
    feature_layers: str = ""
    encoder: str = ""  # size of a vision transformer, "tiny" to "huge", instead of `feature_layers`
    scales: str = "1 4 8 16"  # area scales of its feature maps
    rotations_weight: float = 1.0
    betas_weight: float = 0.02
    joints_weight: float = 10.0
    reprojection_weight: float = 2.0
    val_every: int = 200  # steps between validations, which also write checkpoints

    @property
    def network_config(self) -> MQHMRConfig:
        """The part of the configuration that defines the network."""
        return MQHMRConfig(
            **{field.name: getattr(self, field.name) for field in fields(MQHMRConfig) if hasattr(self, field.name)}
        )

    @property
    def loss_weights(self) -> LossWeights:
        """The weights of the terms of the loss."""
        return LossWeights(self.rotations_weight, self.betas_weight, self.joints_weight, self.reprojection_weight)


def read_config(path: Path | None) -> TrainConfig:
    """Read a TOML file with the keys of `TrainConfig`; None: the defaults.

    Raises
    ------
    SettingError
        An unknown key, a wrong type or a value outside its range.
    """
    config = read_toml(path, TrainConfig, _RENAMED)
    feature_layers = config.feature_layers.split()
    check_rules(
        path,
        {
            "width must be a multiple of heads": config.width % config.heads == 0,
            "the fractions of views must be 0 to 1, mocap_fraction and static_fraction together too": all(
                0 <= fraction <= 1
                for fraction in (
                    config.mocap_fraction,
                    config.static_fraction,
                    config.perturbed_fraction,
                    config.recombined_fraction,
                    config.random_fraction,
                )
            )
            and config.mocap_fraction + config.static_fraction <= 1,
            f"feature_layers must be among {', '.join(DEFAULT_LAYERS)}, space-separated": set(feature_layers)
            <= set(DEFAULT_LAYERS),
            "feature_layers need num_images and layers": not feature_layers
            or (config.num_images > 0 and config.layers > 0),
            f"encoder must be one of {', '.join(VIT_CONFIGS)}, and excludes feature_layers": not config.encoder
            or (config.encoder in VIT_CONFIGS and not feature_layers),
            f"scales must be among {', '.join(map(str, AREA_SCALES))}, space-separated": bool(config.scales)
            and set(config.scales.split()) <= set(map(str, AREA_SCALES)),
            "encoder needs num_images and layers": not config.encoder or (config.num_images > 0 and config.layers > 0),
            "keypoints = false needs feature_layers or encoder": config.keypoints
            or config.network_config.num_levels > 0,
        },
    )
    return config
