"""The refine stage of the fitted body: keypoints that disagree count less, and planted feet stand still."""

from __future__ import annotations

import numpy as np

from biopose_cli.body.kinematics import BETAS, MOVING, Pose, load_chain, place
from biopose_cli.body.model import load_body
from biopose_cli.geometry import so3
from biopose_cli.hmr.checkpoint import shipped
from biopose_cli.io.results import Detection, Mesh, Refined
from biopose_cli.mesh_fit.contact import Planted, planted
from biopose_cli.mesh_fit.costs import Term
from biopose_cli.mesh_fit.fit import pose_terms, reprojection
from biopose_cli.mesh_fit.mesh_stage import fields, shape_prior
from biopose_cli.mesh_fit.network_prior import guide, guided_terms
from biopose_cli.mesh_fit.observations import observe
from biopose_cli.mesh_fit.solver import minimise
from biopose_cli.mesh_fit.windows import in_windows, spans
from biopose_cli.progress import Progress
from biopose_cli.settings import Settings

ITERATIONS = 20
_DELTA = 2.0  # standard deviations from which a keypoint counts less
_CREEP = 0.05  # m/s
# rad/s: how fast somebody who is not seen parts from the way between what was seen before and after. Gaps of 7 and 14
# frames in a walk: knees and hips are off by 6 to 15 degrees on average (a development measurement)
_UNSEEN = 1.0


def run(detection: Detection, mesh: Mesh, settings: Settings, progress: Progress) -> Refined:
    """Refine `mesh` on the keypoints of `detection`; `loss` is the energy at the start and after every iteration.

    A clip longer than a window keeps the shape of `mesh`, and the loss is of the first window.

    Raises
    ------
    SettingError, PersonError, BodyFileError, AssetError
    """
    body = load_body(settings.body)
    chain = load_chain(body)
    shape = shape_prior(body, settings.height)
    seen = observe(detection)
    vectors = np.concatenate([mesh.global_orient[:, None], mesh.body_pose], axis=1)
    known_shape = np.zeros(chain.shapes)
    known_shape[: BETAS + len(mesh.landmark_shape)] = np.concatenate([mesh.betas, mesh.landmark_shape])
    start = Pose(so3.exp(vectors), mesh.transl.astype(np.float64), known_shape)
    still = planted(seen, place(chain, start).landmarks)
    told = None
    if settings.mesh == "mqhmr":
        told = guide(shipped(settings.device), seen, settings.height)
    frames = len(seen.time)
    loss: list[float] = []

    def solve(span: slice, first: Pose, free_shape: bool) -> Pose:
        part = seen.part(span)
        likely = (
            pose_terms(part, shape, standing=True)
            if told is None
            else guided_terms(part, shape, told.part(span))
        )
        terms: list[Term] = [
            reprojection(part, _DELTA),
            Planted(part.time, still[span][: len(part.time) - 1], _CREEP),
            *likely,
        ]
        pose, history = minimise(
            chain, first.part(span), terms, ITERATIONS, free_shape=free_shape, on_iteration=progress.advance
        )
        loss[:] = loss or history
        return pose

    windows = spans(frames)
    progress.start("refine", ITERATIONS * len(windows), unit="iterations")
    if len(windows) == 1:
        pose = solve(windows[0], start, True)
    else:
        pose = in_windows(frames, lambda span: solve(span, start, False))
    spread = np.zeros((0, len(MOVING), 3))
    if told is not None:
        spread = np.hypot(told.spread, _UNSEEN * seen.away[:, None, None])
    values = fields(body, chain, pose, seen, settings.height)
    return Refined(**values, loss=np.array(loss), spread=spread)
