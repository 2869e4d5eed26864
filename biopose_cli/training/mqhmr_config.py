"""What a training run of MQ-HMR depends on, and its file."""

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
    """A training run: everything that its result depends on. Defaults are for a test of minutes."""

    seed: int = 0
    num_detections: int = 200  # rendered people on which the detector's errors are measured
    steps: int = 200
    std_steps: int = 100  # then, for what it says of its own errors
    batch_size: int = 512  # views
    learning_rate: float = 1e-3
    warmup_steps: int = 100  # steps
    weight_decay: float = 0.01
    ema_decay: float = 0.995  # of the weights over the steps: what is kept is this mean
    mocap_fraction: float = 0.6  # share of poses from motion capture
    static_fraction: float = 0.12  # of poses that are held quietly
    perturbed_fraction: float = 0.5  # of poses whose joints are turned at random
    recombined_fraction: float = 0.0  # of poses whose arms, or all above the hips, are those of another
    random_fraction: float = 0.0  # of poses some of whose limbs are anywhere within their ranges
    mixed_precision: bool = True  # the large products in bfloat16 while training
    num_images: int = (
        0  # rendered, with the maps of `feature_layers`: the training data instead of synthetic views, if any
    )
    keypoints: bool = True
    freeze_init: bool = False  # what --init-from gives stays as it is
    hidden: int = 1024
    blocks: int = 3
    queries: int = 96
    width: int = 128
    layers: int = 0
    heads: int = 4
    feature_layers: str = ""
    encoder: str = ""  # of images, instead of `feature_layers`: the size of a vision transformer, "tiny" to "huge"
    scales: str = "1 4 8 16"  # of its maps
    rotations_weight: float = 1.0
    betas_weight: float = 0.02
    joints_weight: float = 10.0
    reprojection_weight: float = 2.0
    val_every: int = 200  # steps between validations on the held-out subjects, and checkpoints

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
    """The configuration in a TOML file with the keys of `TrainConfig`.

    Raises
    ------
    SettingError
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
            f"feature_layers are of {', '.join(DEFAULT_LAYERS)}, with blanks between": set(feature_layers)
            <= set(DEFAULT_LAYERS),
            "feature_layers need num_images and layers": not feature_layers
            or (config.num_images > 0 and config.layers > 0),
            f"encoder is one of {', '.join(VIT_CONFIGS)}, instead of feature_layers": not config.encoder
            or (config.encoder in VIT_CONFIGS and not feature_layers),
            f"scales are of {', '.join(map(str, AREA_SCALES))}, with blanks between": bool(config.scales)
            and set(config.scales.split()) <= set(map(str, AREA_SCALES)),
            "an encoder needs num_images and layers": not config.encoder
            or (config.num_images > 0 and config.layers > 0),
            "without keypoints there must be feature_layers or an encoder": config.keypoints
            or config.network_config.num_levels > 0,
        },
    )
    return config
