"""The refine stage of the fitted body: outlier keypoints are down-weighted, and planted feet stay in place."""

from __future__ import annotations

import numpy as np

from biopose_cli.body.kinematics import (
    ACTIVE_JOINTS,
    NUM_BETAS,
    Pose,
    build_kinematic_chain,
    forward_kinematics,
)
from biopose_cli.body.model import load_body
from biopose_cli.geometry import so3
from biopose_cli.hmr.checkpoint import load_pretrained
from biopose_cli.io.results import Detection, Mesh, Refined
from biopose_cli.mesh_fit.contact import FootContact, detect_contacts
from biopose_cli.mesh_fit.costs import Cost
from biopose_cli.mesh_fit.fit import prior_costs, reprojection_cost
from biopose_cli.mesh_fit.mesh_stage import artifact_fields, build_shape_prior
from biopose_cli.mesh_fit.network_prior import network_prior_costs, run_network
from biopose_cli.mesh_fit.observations import build_observations
from biopose_cli.mesh_fit.solver import levenberg_marquardt
from biopose_cli.mesh_fit.windows import solve_in_windows, window_slices
from biopose_cli.progress import Progress
from biopose_cli.settings import Settings

ITERATIONS = 20
_KEYPOINT_DELTA = 2.0  # standard deviations beyond which a keypoint is down-weighted
_CREEP_SIGMA = 0.05  # m/s
# rad/s: growth of the deviation from interpolated motion while a person is hidden. Gaps of 7 and 14 frames in a walk:
# knees and hips are off by 6 to 15 degrees on average (a development measurement)
_UNOBSERVED_DRIFT = 1.0


def run(detection: Detection, mesh: Mesh, settings: Settings, progress: Progress) -> Refined:
    """Refine `mesh` on the keypoints of `detection`; `loss` is the energy at the start and after every iteration.

    A clip longer than a window keeps the shape of `mesh`, and the loss is of the first window.

    Raises
    ------
    SettingError, PersonError, BodyFileError, AssetError
    """
    body = load_body(settings.body)
    chain = build_kinematic_chain(body)
    prior = build_shape_prior(body, settings.height)
    observations = build_observations(detection)
    axis_angles = np.concatenate([mesh.global_orient[:, None], mesh.body_pose], axis=1)
    shape_params = np.zeros(chain.num_shape_params)
    shape_params[: NUM_BETAS + len(mesh.landmark_offsets)] = np.concatenate([mesh.betas, mesh.landmark_offsets])
    init = Pose(so3.axis_angle_to_matrix(axis_angles), mesh.transl.astype(np.float64), shape_params)
    contacts = detect_contacts(observations, forward_kinematics(chain, init).landmarks)
    predictions = None
    if settings.mesh == "mqhmr":
        predictions = run_network(load_pretrained(settings.device), observations, settings.height)
    frames = len(observations.time)
    loss: list[float] = []

    def solve(window: slice, init_pose: Pose, free_shape: bool) -> Pose:
        chunk = observations.select(window)
        priors = (
            prior_costs(chunk, prior, standing=True)
            if predictions is None
            else network_prior_costs(chunk, prior, predictions.select(window))
        )
        costs: list[Cost] = [
            reprojection_cost(chunk, _KEYPOINT_DELTA),
            FootContact(chunk.time, contacts[window][: len(chunk.time) - 1], _CREEP_SIGMA),
            *priors,
        ]
        pose, history = levenberg_marquardt(
            chain,
            init_pose.select(window),
            costs,
            ITERATIONS,
            free_shape=free_shape,
            on_iteration=progress.advance,
        )
        loss[:] = loss or history
        return pose

    windows = window_slices(frames)
    progress.start("refine", ITERATIONS * len(windows), unit="iterations")
    if len(windows) == 1:
        pose = solve(windows[0], init, True)
    else:
        pose = solve_in_windows(frames, lambda span: solve(span, init, False))
    rotation_std = np.zeros((0, len(ACTIVE_JOINTS), 3))
    if predictions is not None:
        rotation_std = np.hypot(
            predictions.rotation_std, _UNOBSERVED_DRIFT * observations.time_to_measurement[:, None, None]
        )
    values = artifact_fields(body, chain, pose, observations, settings.height)
    return Refined(**values, loss=np.array(loss), rotation_std=rotation_std)
