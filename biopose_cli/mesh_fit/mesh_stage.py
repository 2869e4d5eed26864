"""The mesh stage: one body fitted to a clip's keypoints.

`--mesh mqhmr` fits near the network's predictions for every frame, `--mesh fit` without initial values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from biopose_cli.body.kinematics import (
    NUM_BETAS,
    NUM_JOINTS,
    KinematicChain,
    Pose,
    build_kinematic_chain,
    forward_kinematics,
)
from biopose_cli.body.model import Body, load_body
from biopose_cli.errors import SettingError
from biopose_cli.geometry import so3
from biopose_cli.geometry.camera import MIN_DEPTH, project
from biopose_cli.hmr.checkpoint import load_pretrained
from biopose_cli.hmr.model import MQHMR
from biopose_cli.io.results import Detection, Mesh
from biopose_cli.mesh_fit import network_prior
from biopose_cli.mesh_fit.costs import ShapePrior
from biopose_cli.mesh_fit.fit import ITERATIONS, fit_clip
from biopose_cli.mesh_fit.network_prior import fit_with_network_prior, run_network
from biopose_cli.mesh_fit.observations import Observations, build_observations
from biopose_cli.mesh_fit.windows import shape_frames, solve_in_windows, window_slices
from biopose_cli.progress import Progress
from biopose_cli.settings import Settings
from biopose_cli.typing import Array

METHODS = ("mqhmr", "fit")
_MIN_HEIGHT, _MAX_HEIGHT = 0.5, 2.5  # m
# betas and landmark offsets, in their standard deviations: keypoint errors are correlated in time, so a clip constrains
# the shape less than its number of frames suggests
_SHAPE_SIGMA = 0.35
_GIVEN_STATURE_SIGMA, _ASSUMED_STATURE_SIGMA = 0.002, 0.03  # m
_FRONTAL_COS = np.cos(np.radians(25))  # of the angle between the line of sight and the direction of the pelvis
_FRONTAL_WARNING = (
    "seen from the front or behind: knee flexion is unreliable, and whoever stands still is taken to stand straight; "
    "film from the side or at an angle"
)
_STATURE_WARNING = (
    "the stature is unknown, an adult's mean is assumed: lengths are correct only up to scale; give --height"
)


def run(detection: Detection, settings: Settings, progress: Progress, network: MQHMR | None = None) -> Mesh:
    """Fit the body of `settings.body` to the keypoints of `detection`: one shape, pose and translation per frame.

    network: for `--mesh mqhmr`; None: the shipped one.

    Raises
    ------
    SettingError
        `--mesh`, `--height` or `--device` is invalid.
    AssetError
        The network's weights are missing.
    PersonError
        Too few frames have keypoints.
    BodyFileError
        The body file cannot be used.
    """
    if settings.mesh not in METHODS:
        raise SettingError(f"--mesh {settings.mesh} does not exist", f"Choose from: {', '.join(METHODS)}")
    body = load_body(settings.body)
    chain = build_kinematic_chain(body)
    prior = build_shape_prior(body, settings.height)
    observations = build_observations(detection)
    if settings.mesh == "mqhmr":
        predictions = run_network(network or load_pretrained(settings.device), observations, settings.height)
        iterations = network_prior.ITERATIONS

        def fit(frames: slice | Array, fixed_shape: Array | None = None) -> Pose:
            return fit_with_network_prior(
                chain,
                observations.select(frames),
                prior,
                predictions.select(frames),
                progress.advance,
                fixed_shape,
            )
    else:
        iterations = ITERATIONS

        def fit(frames: slice | Array, fixed_shape: Array | None = None) -> Pose:
            return fit_clip(chain, observations.select(frames), prior, progress.advance, fixed_shape)

    frames = len(observations.time)
    windows = window_slices(frames)
    progress.start("mesh", iterations * (1 if len(windows) == 1 else 1 + len(windows)), unit="iterations")
    if len(windows) == 1:
        pose = fit(windows[0])
    else:
        shape_params = fit(shape_frames(frames)).shape_params
        pose = solve_in_windows(frames, lambda window: fit(window, shape_params))
    return Mesh(**artifact_fields(body, chain, pose, observations, settings.height))


def build_shape_prior(body: Body, height: float | None) -> ShapePrior:
    """Prior on the shape of `body`, with stature `height` (m) or near the mean, since one view hardly constrains size.

    Raises
    ------
    SettingError
        The height is impossible.
    """
    if height is not None and not _MIN_HEIGHT <= height <= _MAX_HEIGHT:
        raise SettingError(f"--height {height:g} is not possible", f"Give metres, {_MIN_HEIGHT} to {_MAX_HEIGHT}")
    betas = torch.zeros(NUM_BETAS, requires_grad=True)
    stature = body.stature(betas)
    (gradient,) = torch.autograd.grad(stature.sum(), betas)
    mean = float(stature.detach())
    target, sigma = (mean, _ASSUMED_STATURE_SIGMA) if height is None else (height, _GIVEN_STATURE_SIGMA)
    return ShapePrior(_SHAPE_SIGMA, mean, gradient.double().numpy(), target, sigma)


def artifact_fields(
    body: Body, chain: KinematicChain, pose: Pose, observations: Observations, height: float | None
) -> dict[str, Any]:
    """Fields of a `Mesh` result."""
    axis_angles = so3.matrix_to_axis_angle(pose.rotations)
    with torch.no_grad():
        stature = float(body.stature(torch.tensor(pose.shape_params[:NUM_BETAS], dtype=torch.float32)))
    return {
        "body_pose": axis_angles[:, 1:NUM_JOINTS],
        "global_orient": unwrap_axis_angles(axis_angles[:, 0]),
        "betas": pose.shape_params[:NUM_BETAS],
        "landmark_offsets": pose.shape_params[NUM_BETAS:],
        "transl": pose.transl,
        "query_tokens": np.zeros((len(axis_angles), 0, 0)),
        "reprojection_px": reprojection_error(chain, pose, observations),
        "stature_m": stature,
        "stature_source": "--height" if height is not None else "assumed: about the adult mean",
        "warnings": warnings(chain, pose, observations, height),
    }


def warnings(chain: KinematicChain, pose: Pose, observations: Observations, height: float | None) -> tuple[str, ...]:
    """Warnings about what the keypoints do not determine. A leg seen end-on looks like a short one."""
    pelvis = (pose.transl + chain.rest_joints[0])[observations.usable]
    facing_cos = (pose.rotations[observations.usable, 0, :, 2] * pelvis).sum(1) / np.linalg.norm(pelvis, axis=1)
    frontal = np.abs(facing_cos) > _FRONTAL_COS
    candidates = [(_STATURE_WARNING, height is None), (_FRONTAL_WARNING, frontal.mean() > 0.5)]
    return tuple(text for text, holds in candidates if holds)


def reprojection_error(chain: KinematicChain, pose: Pose, observations: Observations) -> Array:
    """Confidence-weighted mean distance of the keypoints from the body's, (T) px; 0 where nothing was seen."""
    points = forward_kinematics(chain, pose).landmarks
    projected = project(points, observations.camera_matrix, MIN_DEPTH)
    distance = np.linalg.norm(projected - observations.keypoints, axis=-1)
    return np.asarray((observations.weight * distance).sum(1) / np.maximum(observations.weight.sum(1), 1e-9))


def unwrap_axis_angles(axis_angles: Array) -> Array:
    """Remove jumps of full turns from rotation vectors (T,3); the rotations stay the same."""
    result = np.array(axis_angles)
    for t in range(1, len(result)):
        angle = np.linalg.norm(result[t])
        if angle < 1e-6:
            continue
        equivalent = result[t] * (1 - 2 * np.pi / angle)
        if np.linalg.norm(equivalent - result[t - 1]) < np.linalg.norm(result[t] - result[t - 1]):
            result[t] = equivalent
    return result
