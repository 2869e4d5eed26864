"""What a training run of MQ-HMR depends on, and its file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from biopose_cli.hmr.backbones.blazepose import DEFAULT
from biopose_cli.hmr.backbones.vit import SIZES
from biopose_cli.hmr.image_encoder import SCALES
from biopose_cli.hmr.model import Size
from biopose_cli.training.mqhmr_losses import Weights
from biopose_cli.training.trainer import check_rules, read_toml

SHIPPED = Path(__file__).parent / "configs" / "mqhmr.toml"


@dataclass(frozen=True)
class Config:
    """A training run: everything that its result depends on. Defaults are for a test of minutes."""

    seed: int = 0
    looks: int = 200  # rendered people on which the detector's errors are measured
    steps: int = 200
    doubt_steps: int = 100  # then, for what it says of its own errors
    batch: int = 512  # views
    learning_rate: float = 1e-3
    warm_up: int = 100  # steps
    weight_decay: float = 0.01
    average: float = 0.995  # of the weights over the steps: what is kept is this mean
    captured: float = 0.6  # share of poses from motion capture
    held: float = 0.12  # of poses that are held quietly
    changed: float = 0.5  # of poses whose joints are turned at random
    crossed: float = 0.0  # of poses whose arms, or all above the hips, are those of another
    wide: float = 0.0  # of poses some of whose limbs are anywhere within their ranges
    mixed: bool = True  # the large products in bfloat16 while training
    pictures: int = (
        0  # rendered, with the maps of `taps`: what is learned from instead of synthetic views, if any
    )
    keypoints: bool = True
    frozen: bool = False  # what --begin gives stays as it is
    hidden: int = 1024
    blocks: int = 3
    queries: int = 96
    width: int = 128
    layers: int = 0
    heads: int = 4
    taps: str = ""
    encoder: str = (
        ""  # of pictures, in the place of `taps`: the size of a vision transformer, "tiny" to "huge"
    )
    scales: str = "1 4 8 16"  # of its maps
    rotations_weight: float = 1.0
    betas_weight: float = 0.02
    points_weight: float = 10.0
    picture_weight: float = 2.0
    check_every: int = 200  # steps between looks at the held-out subjects, and checkpoints

    @property
    def size(self) -> Size:
        return Size(
            **{field.name: getattr(self, field.name) for field in fields(Size) if hasattr(self, field.name)}
        )

    @property
    def weights(self) -> Weights:
        return Weights(self.rotations_weight, self.betas_weight, self.points_weight, self.picture_weight)


def read_config(path: Path | None) -> Config:
    """The configuration in a TOML file with the keys of `Config`.

    Raises
    ------
    SettingError
    """
    config = read_toml(path, Config)
    taps = config.taps.split()
    check_rules(
        path,
        {
            "width must be a multiple of heads": config.width % config.heads == 0,
            "captured, held, changed, crossed and wide are shares, 0 to 1": all(
                0 <= share <= 1
                for share in (config.captured, config.held, config.changed, config.crossed, config.wide)
            )
            and config.captured + config.held <= 1,
            f"taps are of {', '.join(DEFAULT)}, with blanks between": set(taps) <= set(DEFAULT),
            "taps are maps of pictures and need layers": not taps
            or (config.pictures > 0 and config.layers > 0),
            f"encoder is one of {', '.join(SIZES)}, in the place of taps": not config.encoder
            or (config.encoder in SIZES and not taps),
            f"scales are of {', '.join(map(str, SCALES))}, with blanks between": bool(config.scales)
            and set(config.scales.split()) <= set(map(str, SCALES)),
            "an encoder sees pictures and needs layers": not config.encoder
            or (config.pictures > 0 and config.layers > 0),
            "without keypoints there must be taps or an encoder": config.keypoints or config.size.maps > 0,
        },
    )
    return config
