"""`biopose train mqhmr`: the network from synthetic views without end, or from rendered pictures (`sights.py`).

Resumable, and deterministic by its seed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch

from biopose_cli import assets, turns
from biopose_cli.body.model import Body, load_body
from biopose_cli.errors import SettingError
from biopose_cli.mesh.figure import Figure
from biopose_cli.mesh.kinematics import JOINTS, MOVING, load_chain
from biopose_cli.mesh.network import MQHMR, Size
from biopose_cli.mesh.prior import mean_pose
from biopose_cli.mesh.taps import DEFAULT
from biopose_cli.mesh.weights import load_network, save_network
from biopose_cli.progress import Progress
from biopose_cli.training import pictures
from biopose_cli.training.doubt import learn_doubt, read
from biopose_cli.training.keypoint_noise import Bank
from biopose_cli.training.log import RunLog
from biopose_cli.training.mesh_losses import MeshLosses, Weights
from biopose_cli.training.pairs import captured_motions
from biopose_cli.training.postures import Postures
from biopose_cli.training.render import load_actor
from biopose_cli.training.retarget import Motion
from biopose_cli.training.run import Run, check_rules, claim, read_toml
from biopose_cli.training.sights import Sights
from biopose_cli.training.views import Batch, Views

SHIPPED = Path(__file__).parent / "configs" / "mqhmr.toml"
_CHECKED = (8, 512)  # batches of views of held-out motion
_POSES = 200_000  # from which pictures are drawn
_HELD_OUT = 25  # of so many pictures, one is of held-out subjects
_FOR_CHECKS = 10  # of so many of the detector's errors, one


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
            "without keypoints there must be taps": config.keypoints or bool(taps),
        },
    )
    return config


def train(config: Config, motion: Path, folder: Path, progress: Progress, begin: Path | None = None) -> Path:
    """Measure the detector's errors (once), train, and write `mqhmr.safetensors` into `folder`; returns its path.

    A run that was cut goes on from its last checkpoint when called again with the same configuration.

    motion: the folder with the motion-capture archives. begin: weights of a smaller network, to go on from; what it
    lacks starts as nothing.

    Raises
    ------
    SettingError
        `folder` holds a run of another configuration, `motion` lacks the archives, or `begin` does not fit or is
        missing.
    AssetError
        `begin` is not the weights of a network.
    """
    if config.frozen and begin is None:
        raise SettingError("frozen = true needs weights to begin with", "Name them with --begin")
    claim(folder, config, begin)
    body = load_body()
    progress.start("motion capture", None)
    motions, held = captured_motions(motion, body)
    postures = Postures(motions, config.captured, config.held, config.changed, config.crossed, config.wide)
    source, tests = (_pictured if config.pictures else _synthetic)(
        config, folder, body, postures, held, progress
    )
    torch.manual_seed(config.seed)
    network = new_network(config.size)
    if network.neck is not None:
        network.neck.measure(_maps(source.batch(0)))
    if begin is not None:
        _take(network, begin, frozen=config.frozen)
    run = Run(network, config, folder)
    losses = MeshLosses(Figure(load_chain(body)), config.weights)
    progress.start("training", config.steps, "steps")
    progress.advance(run.step)
    with RunLog(folder, run.step if run.step else None) as log, ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(source.batch, run.step)
        while run.step < config.steps:
            batch = coming.result()
            if run.step + 1 < config.steps:  # the next is made while the network learns from this one
                coming = ahead.submit(source.batch, run.step + 1)
            with torch.autocast("cpu", torch.bfloat16, enabled=config.mixed):
                found = read(network, batch)
            loss = losses(found, batch)
            run.descend(loss)
            if run.step % 50 == 0:
                parts = losses.errors(found, batch)
                log.scalars(run.step, {"loss": loss.item()} | {f"train/{k}": v for k, v in parts.items()})
            if run.step % config.check_every == 0 or run.step == config.steps:
                log.scalars(run.step, _checked(run.averaged(), losses, tests))
                run.save()  # after the row: a run that goes on from here keeps it
            progress.advance()
    path = folder / "mqhmr.safetensors"
    network = run.averaged()
    learn_doubt(network, source, config.steps, config.doubt_steps, progress)
    save_network(path, network, {"config": asdict(config)})
    return path


Source = tuple[Views | Sights, list[Batch]]  # of batches to learn from, and those of held-out subjects


def _synthetic(
    config: Config, folder: Path, body: Body, postures: Postures, held: list[Motion], progress: Progress
) -> Source:
    bank = _bank(folder / "bank.npz", config, postures, body, progress)
    learned, kept = bank.apart(_FOR_CHECKS)
    checks = Views(body, Postures(held, 1.0, 0.0, 0.0), kept, _CHECKED[1], config.seed + 1)
    tests = [checks.batch(number) for number in range(_CHECKED[0])]
    return Views(body, postures, learned, config.batch, config.seed), tests


def _pictured(
    config: Config, folder: Path, body: Body, postures: Postures, held: list[Motion], progress: Progress
) -> Source:
    of_held = np.concatenate([motion.pose for motion in held])
    subjects = np.repeat([motion.subject for motion in held], [len(motion.pose) for motion in held])
    share = max(1, config.pictures // _HELD_OUT)
    sets = [
        _rendered(folder / "pictures", postures, config.pictures, config.seed, DEFAULT, progress),
        pictures.make(
            folder / "held_out",
            load_actor(),
            _detector(progress),
            of_held,
            subjects,
            share,
            config.seed + 30_000,
            DEFAULT,
            progress,
            processes=os.cpu_count() or 1,
        ),
    ]
    taps = config.taps.split()
    learn, check = (
        Sights(body, one, config.batch, config.seed, taps, keypoints=config.keypoints) for one in sets
    )
    parts = np.array_split(np.arange(len(check)), -(-len(check) // _CHECKED[1]))
    rng = np.random.default_rng((config.seed, 3))
    return learn, [check.part(part, rng) for part in parts]


def _maps(batch: Batch) -> list[torch.Tensor]:
    assert batch.maps is not None
    return batch.maps


def _bank(path: Path, config: Config, postures: Postures, body: Body, progress: Progress) -> Bank:
    """The detector's errors on rendered people, from `path` if they are there."""
    if not path.exists():
        seen = _rendered(path.parent / "looks", postures, config.looks, config.seed, (), progress)
        Bank.of(seen.looks, body).save(path)
    return Bank.load(path)


def _rendered(
    folder: Path, postures: Postures, count: int, seed: int, taps: Sequence[str], progress: Progress
) -> pictures.Pictures:
    """Pictures of people in these postures, and what the detector sees of them."""
    poses = postures.draw(_POSES, np.random.default_rng((seed, 2)))
    everybody = np.full(len(poses), "training")
    return pictures.make(
        folder,
        load_actor(),
        _detector(progress),
        poses,
        everybody,
        count,
        seed,
        taps,
        progress,
        processes=os.cpu_count() or 1,
    )


def _detector(progress: Progress) -> Path:
    return assets.ensure(assets.needed("heavy"), progress)["heavy"]


def new_network(size: Size) -> MQHMR:
    """An untrained network that counts from standing with the arms down."""
    vectors = np.zeros((len(MOVING), 3))
    vectors[0, 0] = np.pi  # upright in a picture, whose y axis points down, facing the camera
    vectors[1:] = mean_pose()
    mean = turns.of_vectors(torch.as_tensor(vectors).float())
    hands = torch.eye(3).expand(JOINTS - len(MOVING), 3, 3)
    mean = Figure(load_chain(load_body())).turned(torch.cat([mean, hands])[None])[0, list(MOVING)]
    return MQHMR(size, torch.cat([mean[..., 0], mean[..., 1]], -1))


def _take(network: MQHMR, begin: Path, *, frozen: bool) -> None:
    """The weights in `begin`, for all parts that both have; frozen: never to be changed."""
    known = load_network(begin).state_dict()
    own = network.state_dict()
    if any(name not in own or own[name].shape != value.shape for name, value in known.items()):
        raise SettingError(
            f"--begin {begin} is another network than the one to be trained", "Give both the same sizes"
        )
    network.load_state_dict(own | known)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not (frozen and name in known))


def _checked(network: MQHMR, losses: MeshLosses, tests: list[Batch]) -> dict[str, float]:
    """The network's errors on held-out subjects."""
    with torch.no_grad():
        parts = [losses.errors(read(network, test), test) for test in tests]
    return {f"held_out/{key}": float(np.mean([part[key] for part in parts])) for key in parts[0]}
