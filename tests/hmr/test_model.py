"""MQ-HMR: what holds for any weights, its file, and the mean with the mirror image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from biopose_cli.body.blazepose import MIRROR_LANDMARK
from biopose_cli.body.kinematics import FIXED_JOINTS, build_kinematic_chain
from biopose_cli.body.model import load_body
from biopose_cli.body.smpl_torch import SMPLKinematics
from biopose_cli.errors import AssetError, SettingError
from biopose_cli.hmr.checkpoint import load_network, save_network
from biopose_cli.hmr.model import MQHMR, MQHMRConfig
from biopose_cli.hmr.predict import ImageFeatures, predict_smpl
from biopose_cli.hmr.virtual_camera import VirtualCamera, camera_from_keypoints, flip_camera
from biopose_cli.training.mqhmr import new_network

COUNT = 3
LIFTER = MQHMRConfig(hidden=32, blocks=1, layers=0)
WHOLE = MQHMRConfig(
    hidden=32, blocks=1, queries=6, width=16, layers=2, heads=2, feature_layers="encoder8 encoder16", points=2
)
PAPER = MQHMRConfig(keypoints=False, queries=6, width=16, layers=2, heads=2, encoder="tiny", scales="1 4", points=2)
UNKNOWN = torch.full((COUNT,), torch.nan)
MATRIX = np.array([[900.0, 0, 320], [0, 900, 240], [0, 0, 1]])


def network(size: MQHMRConfig, strength: float = 0.3) -> MQHMR:
    """Weights of a network that was trained a little: heads and gates do not give zero."""
    torch.manual_seed(0)
    net = new_network(size).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if any(part in name for part in ("head", "gate")):
                parameter.normal_(0, strength)
    return net


def detections() -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (N, 33, 2) px and confidence (N, 33)."""
    rng = np.random.default_rng(0)
    keypoints = rng.normal(size=(COUNT, 33, 2)) * 40 + (320, 240)
    keypoints[:, 11:13, 1] -= 90
    return keypoints, rng.random((COUNT, 33))


@pytest.fixture
def camera() -> VirtualCamera:
    keypoints, confidence = detections()
    flat = (keypoints - (320, 240)) / 900
    return camera_from_keypoints(torch.as_tensor(flat).float(), torch.as_tensor(confidence).float())


def feature_maps(size: MQHMRConfig = WHOLE) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    if size.encoder:
        return [torch.randint(0, 256, (COUNT, 256, 256, 3), generator=random, dtype=torch.uint8)]
    cells = ((8, 272), (16, 160))
    return [torch.randn(COUNT, side, side, channels, generator=random) for side, channels in cells]


@pytest.mark.parametrize("size", [LIFTER, WHOLE, PAPER])
def test_a_body_comes_out_whatever_goes_in(size: MQHMRConfig, camera: VirtualCamera) -> None:
    found = network(size)(camera, UNKNOWN, feature_maps(size) if size.image_inputs else None)
    assert found.betas.shape == (COUNT, 10)
    assert found.tokens.shape[:2] == (COUNT, size.queries if size.layers else 0)
    assert (found.pelvis[:, 2] > 0).all()
    unit = torch.eye(3).expand(COUNT, 24, 3, 3)
    torch.testing.assert_close(found.rotations @ found.rotations.transpose(-1, -2), unit, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(found.rotations), torch.ones(COUNT, 24), atol=1e-5, rtol=0)
    assert torch.equal(found.rotations[:, list(FIXED_JOINTS)], unit[:, list(FIXED_JOINTS)])


def test_rotations_are_exact_where_the_products_are_not(camera: VirtualCamera) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        found = network(LIFTER)(camera, UNKNOWN).rotations
    unit = torch.eye(3).expand(COUNT, 24, 3, 3)
    torch.testing.assert_close(found @ found.transpose(-1, -2), unit, atol=1e-5, rtol=0)


def test_each_input_matters_and_each_may_be_absent(camera: VirtualCamera) -> None:
    made, places = network(WHOLE), 0.5 + 0.2 * camera.normalized_keypoints
    answers = [
        made(camera, UNKNOWN),
        made(camera, torch.full((COUNT,), 1.5)),
        made(camera, UNKNOWN, feature_maps()),
        made(camera, UNKNOWN, feature_maps(), places),
    ]
    for i, one in enumerate(answers):
        for other in answers[i + 1 :]:
            assert (one.rotations - other.rotations).abs().max() > 1e-5


def test_a_closed_gate_leaves_the_image_out(camera: VirtualCamera) -> None:
    made = network(WHOLE)
    with torch.no_grad():
        for layer in made.decoder.layers:  # type: ignore[union-attr]
            layer.image_gate.zero_()
    torch.testing.assert_close(made(camera, UNKNOWN, feature_maps()).rotations, made(camera, UNKNOWN).rotations)


def test_the_papers_network_uses_the_image_alone(camera: VirtualCamera) -> None:
    made = network(PAPER)
    other = VirtualCamera(camera.rotation, camera.half_fov_tan, camera.normalized_keypoints + 1, camera.confidence)
    crops = feature_maps(PAPER)
    found = made(camera, UNKNOWN, crops)
    torch.testing.assert_close(made(other, UNKNOWN, crops).rotations, found.rotations)
    assert (made(camera, UNKNOWN, [255 - crop for crop in crops]).rotations - found.rotations).abs().max() > 1e-5


def test_queries_learn_from_the_output(camera: VirtualCamera) -> None:
    made = network(WHOLE)
    made(camera, UNKNOWN, feature_maps(), 0.5 + 0.2 * camera.normalized_keypoints).rotations.square().sum().backward()
    made.zero_grad()
    found = made(camera, UNKNOWN, feature_maps())
    (found.pelvis.sum() + found.rotation_std.sum()).backward()
    silent = {name for name, parameter in made.named_parameters() if parameter.grad is None}
    assert not silent


def test_a_mirrored_person_is_recovered_mirrored() -> None:
    keypoints, confidence = detections()
    made = network(WHOLE)
    plain = predict_smpl(made, keypoints, confidence, MATRIX, 1.7)
    flipped = (keypoints * (-1, 1) + (640, 0))[:, MIRROR_LANDMARK]
    other = predict_smpl(made, flipped, confidence[:, MIRROR_LANDMARK], MATRIX, 1.7)
    mirror = np.diag([-1.0, 1, 1])
    np.testing.assert_allclose(other.pelvis, plain.pelvis @ mirror, atol=1e-4)
    np.testing.assert_allclose(other.betas, plain.betas, atol=1e-5)
    np.testing.assert_allclose(other.rotations[:, 0], mirror @ plain.rotations[:, 0] @ mirror, atol=1e-3)
    np.testing.assert_allclose(other.rotations[:, 1], mirror @ plain.rotations[:, 2] @ mirror, atol=1e-3)
    np.testing.assert_allclose(other.rotation_std[:, 1], plain.rotation_std[:, 2], atol=1e-5)


def test_the_file_gives_the_network_back(tmp_path: Path, camera: VirtualCamera) -> None:
    made, path = network(WHOLE), tmp_path / "weights.safetensors"
    save_network(path, made, {"why": "test"})
    again = load_network(path)
    assert again.config == WHOLE
    torch.testing.assert_close(again(camera, UNKNOWN).rotations, made(camera, UNKNOWN).rotations, atol=0.02, rtol=0)
    path.write_bytes(b"nothing")
    with pytest.raises(AssetError, match="cannot be read"):
        load_network(path)


def test_weights_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_network(path, network(WHOLE), {})
    with safe_open(path, framework="pt") as stored:
        about = json.loads(stored.metadata()["mqhmr"])
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    save_file(tensors, path, {"mqhmr": json.dumps(about | {"format_version": about["format_version"] - 1})})
    with pytest.raises(AssetError, match="another version"):
        load_network(path)


def test_the_estimate_of_a_segment_does_not_depend_on_the_others(camera: VirtualCamera) -> None:
    """The thigh's six numbers turn the thigh; the shank stays as it is in the view."""
    made = network(LIFTER)
    figure = SMPLKinematics(build_kinematic_chain(load_body()))
    before = made(camera, UNKNOWN).rotations
    with torch.no_grad():
        made.mean_pose_6d[1] += torch.tensor([0.3, 0, 0, 0, -0.4, 0])
    after = made(camera, UNKNOWN).rotations
    turned, again = figure.global_rotations(before), figure.global_rotations(after)
    assert (again[:, 1] - turned[:, 1]).abs().max() > 0.05
    others = [joint for joint in range(24) if joint != 1]
    torch.testing.assert_close(again[:, others], turned[:, others], atol=1e-5, rtol=0)


def test_images_matter_and_flipped_images_agree() -> None:
    """Exchanging a picture for its mirror image gives the mirrored body: the mean of both looks has no sides."""
    taps = MQHMRConfig(hidden=32, blocks=1, queries=6, width=16, layers=1, heads=2, feature_layers="encoder8", points=2)
    made = network(taps)
    keypoints, confidence = detections()
    rng = np.random.default_rng(3)
    roi = np.tile([320.0, 240, 300, 0], (COUNT, 1))
    own = ImageFeatures(roi, keypoints, [rng.normal(size=(COUNT, 2, 8, 8, 272)).astype(np.float16)])
    found = predict_smpl(made, keypoints, confidence, MATRIX, image_features=own)
    assert np.abs(found.rotations - predict_smpl(made, keypoints, confidence, MATRIX).rotations).max() > 1e-4
    flipped = keypoints[:, MIRROR_LANDMARK] * (-1, 1) + (640, 0)
    other = ImageFeatures(roi, flipped, [one[:, ::-1] for one in own.feature_maps])
    mirror = predict_smpl(made, flipped, confidence[:, MIRROR_LANDMARK], MATRIX, image_features=other)
    np.testing.assert_allclose(mirror.pelvis * (-1, 1, 1), found.pelvis, atol=1e-5)
    np.testing.assert_allclose(mirror.betas, found.betas, atol=1e-5)


def test_the_first_map_is_that_of_the_unflipped_image() -> None:
    """The mean of both looks is the mean of what the network says of either with its own map."""
    made = network(
        MQHMRConfig(hidden=32, blocks=1, queries=6, width=16, layers=1, heads=2, feature_layers="encoder8", points=2)
    )
    keypoints, confidence = detections()
    flat = torch.as_tensor((keypoints - (320, 240)) / 900).float()
    straight = camera_from_keypoints(flat, torch.as_tensor(confidence).float())
    both = [straight, flip_camera(straight, torch.as_tensor(MIRROR_LANDMARK))]
    roi = np.tile([320.0, 240, 300, 0], (COUNT, 1))
    maps = np.random.default_rng(3).normal(size=(COUNT, 2, 8, 8, 272)).astype(np.float32)
    places = torch.as_tensor((keypoints - (320, 240)) / 300 + 0.5).float()
    there = [places, torch.stack([1 - places[:, MIRROR_LANDMARK, 0], places[:, MIRROR_LANDMARK, 1]], -1)]
    with torch.no_grad():
        betas = [made(both[k], UNKNOWN, [torch.as_tensor(maps[:, k])], there[k]).betas for k in (0, 1)]
    found = predict_smpl(made, keypoints, confidence, MATRIX, image_features=ImageFeatures(roi, keypoints, [maps]))
    np.testing.assert_allclose(found.betas, (betas[0] + betas[1]).numpy() / 2, atol=1e-5)
    aside = predict_smpl(made, keypoints, confidence, MATRIX, image_features=ImageFeatures(roi, keypoints + 60, [maps]))
    assert np.abs(aside.betas - found.betas).max() > 1e-5  # it looks where the picture shows them


def test_of_no_frames_there_are_no_bodies() -> None:
    found = predict_smpl(
        network(MQHMRConfig(hidden=32, blocks=1, layers=0)), np.zeros((0, 33, 2)), np.zeros((0, 33)), MATRIX
    )
    assert found.rotations.shape == (0, 24, 3, 3)


def test_without_keypoints_the_square_decides_where_the_body_is() -> None:
    made = network(
        MQHMRConfig(keypoints=False, queries=6, width=16, layers=1, heads=2, feature_layers="encoder8", points=2)
    )
    keypoints, confidence = detections()
    maps = [np.zeros((COUNT, 2, 8, 8, 272), np.float16)]
    near, far = (
        predict_smpl(
            made,
            keypoints,
            confidence,
            MATRIX,
            image_features=ImageFeatures(np.tile([x, 240.0, side, 0.2], (COUNT, 1)), keypoints, maps),
        )
        for x, side in ((320.0, 300.0), (500.0, 100.0))
    )
    assert (far.pelvis[:, 2] > 2 * near.pelvis[:, 2]).all()
    assert (far.pelvis[:, 0] > near.pelvis[:, 0] + 0.1).all()
    other = predict_smpl(
        made,
        keypoints + 30,
        confidence,
        MATRIX,
        image_features=ImageFeatures(np.tile([320.0, 240, 300, 0.2], (COUNT, 1)), keypoints, maps),
    )
    np.testing.assert_array_equal(other.rotations, near.rotations)
    with pytest.raises(SettingError, match="needs images"):
        predict_smpl(made, keypoints, confidence, MATRIX)
