"""The fit near what a network says: what the network gets right stays, what the keypoints show is corrected."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from biopose_cli.body.kinematics import ACTIVE_JOINTS, Pose, forward_kinematics
from biopose_cli.geometry import so3
from biopose_cli.hmr.predict import SMPLEstimates
from biopose_cli.mesh_fit import mesh_stage
from biopose_cli.mesh_fit.network_prior import fit_with_network_prior, initial_pose_from_network, run_network
from biopose_cli.mesh_fit.observations import build_observations
from biopose_cli.training.mqhmr import new_network
from biopose_cli.training.mqhmr_config import TrainConfig
from biopose_cli.typing import Array
from tests.helpers.stick_body import Clip, StickBody, make_detection

SIGMA = np.radians(8.0)


def noisy_predictions(clip: Clip, noise: float = 0.0) -> SMPLEstimates:
    """A network that knows the truth, but for some rad of noise about every axis."""
    noise_vectors = noise * np.random.default_rng(3).normal(size=(len(clip.detection.time), len(ACTIVE_JOINTS), 3))
    rotations = clip.pose.rotations.copy()
    rotations[:, list(ACTIVE_JOINTS)] = rotations[:, list(ACTIVE_JOINTS)] @ so3.axis_angle_to_matrix(noise_vectors)
    pelvis = forward_kinematics(clip.chain, clip.pose).joints[:, 0]
    return SMPLEstimates(
        rotations, np.zeros((len(pelvis), 10)), pelvis, np.full((len(pelvis), len(ACTIVE_JOINTS), 3), SIGMA)
    )


def fit(clip: Clip, guided: SMPLEstimates) -> Pose:
    shape_prior = mesh_stage.build_shape_prior(
        StickBody(), float(StickBody().stature(np.asarray(clip.pose.shape_params)))
    )  # type: ignore[arg-type]
    return fit_with_network_prior(clip.chain, build_observations(clip.detection), shape_prior, guided)


def joint_error(clip: Clip, pose: Pose) -> float:
    """Mean distance of the joints, both from the pelvis, m."""
    pred, gt = (forward_kinematics(clip.chain, one).joints for one in (pose, clip.pose))
    return float(np.linalg.norm(pred - pred[:, :1] - gt + gt[:, :1], axis=-1).mean())


def test_exact_predictions_are_kept(clip: Clip) -> None:
    assert joint_error(clip, fit(clip, noisy_predictions(clip))) < 0.01


def test_keypoints_and_time_correct_a_noisy_network(clip: Clip) -> None:
    noisy = noisy_predictions(clip, 0.14)
    before = joint_error(clip, initial_pose_from_network(clip.chain, build_observations(clip.detection), noisy))
    assert joint_error(clip, fit(clip, noisy)) < 0.5 * before


def test_depth_is_the_networks(clip: Clip) -> None:
    """Seen from the front, a thigh lifted towards the camera is a short thigh: only the network knows."""
    lifted = clip.pose.rotations.copy()
    lifted[:, 1] = so3.axis_angle_to_matrix(np.array([-0.6, 0, 0]))
    lifted[:, 4] = so3.axis_angle_to_matrix(np.array([0.9, 0, 0]))
    network = noisy_predictions(dataclasses.replace(clip, pose=dataclasses.replace(clip.pose, rotations=lifted)))
    found = fit(clip, network)
    plain = fit(clip, noisy_predictions(clip))
    assert (
        np.degrees(
            so3.matrix_to_axis_angle(found.rotations[:, 4])[:, 0]
            - so3.matrix_to_axis_angle(plain.rotations[:, 4])[:, 0]
        ).mean()
        > 2
    )


def test_where_the_predicted_std_is_large_the_keypoints_decide(clip: Clip) -> None:
    """Every second frame's knee is wrong; the network knows it in one case and not in the other."""
    right = noisy_predictions(clip)
    wrong = right.rotations.copy()
    wrong[::2, 5] = wrong[::2, 5] @ so3.axis_angle_to_matrix(np.array([0.5, 0, 0]))
    doubt = right.rotation_std.copy()
    doubt[::2, ACTIVE_JOINTS.index(5), 0] = 5 * SIGMA
    sure, unsure = (
        fit(clip, dataclasses.replace(right, rotations=wrong, rotation_std=spread))
        for spread in (right.rotation_std, doubt)
    )

    def off(pose: Pose) -> float:
        turns = np.swapaxes(clip.pose.rotations[::2, 5], -1, -2) @ pose.rotations[::2, 5]
        return float(np.abs(so3.matrix_to_axis_angle(turns)[:, 0]).mean())

    assert off(unsure) < 0.5 * off(sure)


def test_pushing_off_is_not_smoothed_away(clip: Clip) -> None:
    """An ankle that goes up by 30 degrees and back within a third of a second keeps most of it."""
    time = np.arange(20) / 30
    push = np.radians(30) * np.exp(-(((time - time[10]) / 0.07) ** 2))
    rotations = clip.pose.rotations[:1].repeat(20, axis=0)
    rotations[:, 7] = rotations[:, 7] @ so3.axis_angle_to_matrix(push[:, None] * [1, 0, 0])
    pose = Pose(rotations, clip.pose.transl[:1].repeat(20, axis=0), clip.pose.shape_params)
    pushing = Clip(clip.chain, pose, make_detection(clip.chain, pose, time))
    ankle = so3.matrix_to_axis_angle(fit(pushing, noisy_predictions(pushing)).rotations[:, 7])[:, 0]
    assert np.ptp(ankle) > np.radians(26)


def test_undetected_frames_are_interpolated(clip: Clip) -> None:
    network = new_network(TrainConfig(hidden=32, blocks=1).network_config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    gap = np.zeros(20, bool)
    gap[8:12] = True
    detection = dataclasses.replace(clip.detection, visible=~gap)
    whole, holed = (run_network(network, build_observations(d), None) for d in (clip.detection, detection))
    np.testing.assert_allclose(holed.rotations[~gap], whole.rotations[~gap], atol=1e-5)
    assert (
        pelvis_rotation_angle(holed.rotations[7], holed.rotations[9])
        <= pelvis_rotation_angle(whole.rotations[7], whole.rotations[12]) + 1e-6
    )
    assert np.isfinite(holed.pelvis).all()


def test_interpolated_frames_have_little_weight(clip: Clip) -> None:
    """In interpolated frames the network says nothing of its own, and what is put there is no measurement."""
    between = np.zeros(20, bool)
    between[8:12] = True
    network = noisy_predictions(clip)
    network.rotations[between, 1] = network.rotations[between, 1] @ so3.axis_angle_to_matrix(np.array([0.5, 0, 0]))
    errors = []
    for filled in (False, True):
        detection = dataclasses.replace(clip.detection, interpolated=between & filled)
        pose = fit(dataclasses.replace(clip, detection=detection), network)
        off = so3.matrix_to_axis_angle(np.swapaxes(clip.pose.rotations, -1, -2) @ pose.rotations)
        errors.append(np.linalg.norm(off[between, 1], axis=-1).mean())
    assert errors[1] < 0.6 * errors[0]


def pelvis_rotation_angle(first: Array, second: Array) -> float:
    """Of the pelvis, rad."""
    return float(np.linalg.norm(so3.matrix_to_axis_angle(first[0].T @ second[0])))
