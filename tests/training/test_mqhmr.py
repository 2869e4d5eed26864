"""A very small training run of MQ-HMR: it learns, and goes on after a cut as if nothing had been."""

from __future__ import annotations

import csv
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from biopose_cli.body.kinematics import ACTIVE_JOINTS
from biopose_cli.body.model import load_body
from biopose_cli.errors import SettingError
from biopose_cli.geometry import so3_torch
from biopose_cli.hmr.backbones.vit import ViT
from biopose_cli.hmr.checkpoint import load_network, save_network
from biopose_cli.hmr.model import SMPLPrediction
from biopose_cli.hmr.virtual_camera import VirtualCamera
from biopose_cli.progress import NullProgress
from biopose_cli.synthesis import rendered_images
from biopose_cli.synthesis.keypoint_error_bank import KeypointErrorBank
from biopose_cli.synthesis.mocap import INDEX
from biopose_cli.synthesis.pose_sampler import PoseSampler
from biopose_cli.synthesis.retarget import Motion
from biopose_cli.training import datasets, mqhmr, mqhmr_config, synthetic_dataset
from biopose_cli.training.mqhmr import train
from biopose_cli.training.mqhmr_config import DEFAULT_CONFIG, TrainConfig, read_config
from biopose_cli.training.mqhmr_losses import MQHMRLosses
from biopose_cli.training.synthetic_dataset import MQHMRBatch, SyntheticDataset
from biopose_cli.training.trainer import lock_config
from biopose_cli.training.uncertainty_head import fit_std_head, forward
from tests.helpers.mocap_archives import small_archives
from tests.training.test_neurik import StopAfter

TINY = TrainConfig(
    steps=40, batch_size=32, warmup_steps=5, learning_rate=3e-3, ema_decay=0.8, hidden=32, blocks=1,
    layers=1, queries=4, width=16, heads=2, val_every=20, mixed_precision=False, std_steps=10,
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_dataset, "POOL_SIZE", 64)
    monkeypatch.setattr(synthetic_dataset, "POOL_REFRESH_BATCHES", 15)
    monkeypatch.setattr(datasets, "_VAL_BATCHES", (2, 16))


@pytest.fixture(scope="module")
def motion(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return small_archives(shared, tmp_path_factory.mktemp("motion"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder that has the detector's errors already."""
    rng = np.random.default_rng(0)
    path = tmp_path / "run"
    path.mkdir()
    residual = rng.normal(size=(12, 33, 2)).astype(np.float32)
    posture = rng.normal(size=(12, 24, 3)).astype(np.float32)
    KeypointErrorBank(residual, np.full((12, 33), 0.8, np.float32), posture).save(path / "bank.npz")
    return path


def checks(folder: Path) -> list[float]:
    with (folder / "log.csv").open(encoding="utf-8") as file:
        return [float(row["held_out/mpjpe_mm"]) for row in csv.DictReader(file) if row["held_out/mpjpe_mm"]]


@pytest.mark.slow
def test_it_learns_and_a_cut_run_ends_with_the_same_weights(motion: Path, folder: Path, tmp_path: Path) -> None:
    path = train(TINY, motion, folder, NullProgress())
    errors = checks(folder)
    assert errors[-1] < errors[0]
    other = tmp_path / "cut"
    other.mkdir()
    (other / "bank.npz").write_bytes((folder / "bank.npz").read_bytes())
    with pytest.raises(KeyboardInterrupt):
        train(TINY, motion, other, StopAfter(30))
    again = load_network(train(TINY, motion, other, NullProgress())).state_dict()
    for name, value in load_network(path).state_dict().items():
        assert torch.equal(value, again[name]), name
    with pytest.raises(SettingError, match="another configuration"):
        train(replace(TINY, steps=50), motion, folder, NullProgress())
    with pytest.raises(SettingError, match="another configuration or other weights"):
        train(TINY, motion, folder, NullProgress(), init_from=path)


def test_nonsense_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for text, message in (
        ("steps = 0", "1 or more"),
        ("mocap_fraction = 0.9\nstatic_fraction = 0.3", "fractions"),
        ("width = 30\nheads = 4", "multiple"),
        ("layers = 'two'", "type int"),
        ("encoder = 'giant'\nnum_images = 8\nlayers = 1", "encoder must be one of"),
        ("encoder = 'tiny'\nlayers = 1", "needs num_images"),
        (
            "encoder = 'tiny'\nfeature_layers = 'encoder8'\nnum_images = 8\nlayers = 1",
            "excludes feature_layers",
        ),
        ("scales = '1 3'", "scales must be"),
        ("keypoints = false", "needs feature_layers or encoder"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SettingError, match=message):
            read_config(path)
    assert read_config(None) == TrainConfig()
    assert read_config(DEFAULT_CONFIG).steps * read_config(DEFAULT_CONFIG).batch_size >= 10_000_000


def test_a_key_of_earlier_versions_is_refused_with_its_name_of_today(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    names = [field.name for field in fields(TrainConfig)]
    for old, new in mqhmr_config._RENAMED.items():
        assert old not in names
        assert new in names
        path.write_text(f"{old} = 1", encoding="utf-8")
        with pytest.raises(SettingError, match=f"'{old}'.*'{new}' now"):
            read_config(path)
    path.write_text("warm-up = 3", encoding="utf-8")
    with pytest.raises(SettingError, match="'warmup_steps' now"):
        read_config(path)


@pytest.mark.slow
def test_detector_errors_are_measured_when_no_bank_exists(
    motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendered_images, "SHARD_SIZE", 6)
    monkeypatch.setattr(rendered_images, "GROUP_SIZE", 3)
    monkeypatch.setattr(datasets, "_NUM_POSES", 20)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    train(replace(TINY, steps=1, num_detections=6, val_every=1), motion, tmp_path / "new", NullProgress())
    bank = KeypointErrorBank.load(tmp_path / "new" / "bank.npz")
    assert 1 <= len(bank.residual) <= 6
    assert np.median(np.abs(bank.residual[bank.confidence > 0.5])) < 15  # px of 256: these are the same people


def test_a_larger_network_starts_from_a_smaller_ones_output(tmp_path: Path) -> None:
    torch.manual_seed(3)
    small_config, large = (mqhmr.new_network(replace(TINY, layers=layers).network_config).eval() for layers in (0, 1))
    save_network(tmp_path / "small.safetensors", small_config, {})
    small_config = load_network(tmp_path / "small.safetensors")  # in half precision
    mqhmr._load_weights(large, tmp_path / "small.safetensors", freeze=True)
    view = VirtualCamera(torch.eye(3).expand(4, 3, 3), torch.full((4,), 0.2), torch.randn(4, 33, 2), torch.rand(4, 33))
    with torch.no_grad():
        first, then = (network(view, torch.full((4,), torch.nan)) for network in (small_config, large))
    torch.testing.assert_close(first.rotations, then.rotations)
    learning = {name.split(".")[0] for name, own in large.named_parameters() if own.requires_grad}
    assert learning == {"lifter", "decoder", "pose_head", "shape_head", "camera_head"}
    assert not large.lifter.in_proj.weight.requires_grad
    with pytest.raises(SettingError, match="--init-from"):
        mqhmr._load_weights(
            mqhmr.new_network(replace(TINY, hidden=16).network_config),
            tmp_path / "small.safetensors",
            freeze=False,
        )


def test_the_likeliest_spread_of_normal_errors_is_their_deviation() -> None:
    rng, sigma = np.random.default_rng(0), 0.1 * torch.ones(4000, 22, 3)
    vectors = torch.as_tensor(0.1 * rng.normal(size=(4000, 24, 3)))
    truth = so3_torch.axis_angle_to_matrix(torch.as_tensor(rng.normal(size=(4000, 24, 3))))
    batch = MQHMRBatch(None, torch.zeros(0), truth, *[torch.zeros(0)] * 4)  # type: ignore[arg-type]

    def unlikely(times: float) -> float:
        rotations = truth @ so3_torch.axis_angle_to_matrix(vectors)
        found = SMPLPrediction(rotations, torch.zeros(0), torch.zeros(0), torch.zeros(0), times * sigma)
        return MQHMRLosses.rotation_nll(found, batch).item()

    assert unlikely(0.9) > unlikely(1.0) < unlikely(1.1)


def test_the_std_head_learns_the_error_size_and_changes_nothing_else(
    folder: Path,
) -> None:
    pose = np.random.default_rng(0).normal(0, 0.1, size=(50, 24, 3))
    pose[:, 0] = 0
    postures = PoseSampler([Motion("made up", "00", "clip", 60.0, pose, np.zeros((50, 3)))], 1.0, 0.0, 0.0)
    network = mqhmr.new_network(TINY.network_config).eval()
    source = SyntheticDataset(load_body(), postures, KeypointErrorBank.load(folder / "bank.npz"), 64, 1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    test = source.batch(900)
    first = MQHMRLosses.rotation_nll(forward(network, test), test).item()
    fit_std_head(network, source, 0, 60, NullProgress())
    assert MQHMRLosses.rotation_nll(forward(network, test), test).item() < first - 0.3
    spread = forward(network, test).rotation_std.mean((0, 2))
    assert spread[0] > 1.5 * spread[list(ACTIVE_JOINTS).index(INDEX["spine2"])]  # an untrained one knows no heading
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"log_std_head.weight", "log_std_head.bias"}


def test_a_frozen_beginning_must_be_given(motion: Path, folder: Path) -> None:
    with pytest.raises(SettingError, match="--init-from"):
        train(replace(TINY, freeze_init=True), motion, folder, NullProgress())


def test_a_frozen_run_goes_on_from_the_same_beginning_only(tmp_path: Path) -> None:
    weights, config = tmp_path / "weights.safetensors", replace(TINY, freeze_init=True)
    with pytest.raises(SettingError, match="cannot be read"):
        lock_config(tmp_path, config, weights)
    weights.write_bytes(b"one")
    lock_config(tmp_path, config, weights)
    lock_config(tmp_path, config, weights)
    weights.write_bytes(b"other")
    with pytest.raises(SettingError, match="another configuration or other weights"):
        lock_config(tmp_path, config, weights)


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendered_images, "SHARD_SIZE", 2)
    monkeypatch.setattr(rendered_images, "GROUP_SIZE", 2)
    monkeypatch.setattr(datasets, "_NUM_POSES", 20)
    monkeypatch.setattr("os.cpu_count", lambda: 1)


@pytest.mark.slow
@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize("keypoints", [True, False])
def test_it_learns_from_images(keypoints: bool, motion: Path, tmp_path: Path) -> None:
    config = replace(
        TINY,
        steps=6,
        val_every=3,
        batch_size=4,
        num_images=4,
        keypoints=keypoints,
        feature_layers="encoder8",
        learning_rate=1e-2,
    )
    network = load_network(train(config, motion, tmp_path, NullProgress()))
    assert (network.lifter is not None) == keypoints
    assert network.neck is not None
    assert network.neck.projections[0].std.std() > 0  # the maps were measured
    assert network.decoder.layers[0].image_gate.abs().max() > 0  # and looked at
    assert len(checks(tmp_path)) == 2


@pytest.mark.usefixtures("few_images")
def test_a_vision_transformer_learns_from_crops_and_starts_from_a_published_backbone(
    motion: Path, tmp_path: Path
) -> None:
    """The paper's network with the smallest of its encoders."""
    torch.manual_seed(4)
    published = ViT("tiny")
    with torch.no_grad():
        published.pos_embed.normal_(0, 0.02)
    weights = {f"backbone.{name}": value for name, value in published.state_dict().items()}
    torch.save({"state_dict": weights}, tmp_path / "vit.pth")
    paper = read_config(DEFAULT_CONFIG.with_name("mqhmr_vit_huge.toml"))
    assert not paper.keypoints
    tiny = {"encoder": "tiny", "scales": "1 4", "queries": 6, "width": 16, "heads": 2, "layers": 1}
    config = replace(
        paper, num_images=2, steps=2, std_steps=1, val_every=1, batch_size=2, mixed_precision=False, **tiny
    )
    path = train(config, motion, tmp_path / "run", NullProgress(), backbone=tmp_path / "vit.pth")
    network = load_network(path)
    assert network.encoder is not None
    assert network.config.image_inputs == ["crop"]
    learned, before = network.encoder.backbone.state_dict(), published.state_dict()
    moved = [float((learned[name] - before[name]).abs().max()) for name in before]
    assert 0 < max(moved) < 0.01  # it started there and has learned
    with pytest.raises(SettingError, match='encoder = "tiny"'):
        train(
            replace(config, encoder="small"),
            motion,
            tmp_path / "other",
            NullProgress(),
            backbone=tmp_path / "vit.pth",
        )
