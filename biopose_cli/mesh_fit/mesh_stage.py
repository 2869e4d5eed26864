"""The mesh stage: one body fitted to a clip's keypoints, `--mesh mqhmr` near what a network says of every frame,
`--mesh fit` from nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from biopose_cli.body.kinematics import BETAS, JOINTS, Chain, Pose, load_chain, place
from biopose_cli.body.model import Body, load_body
from biopose_cli.errors import SettingError
from biopose_cli.geometry import so3
from biopose_cli.hmr.checkpoint import shipped
from biopose_cli.hmr.model import MQHMR
from biopose_cli.io.results import Detection, Mesh
from biopose_cli.mesh_fit import network_prior
from biopose_cli.mesh_fit.costs import ShapePrior
from biopose_cli.mesh_fit.fit import ITERATIONS, fit_clip
from biopose_cli.mesh_fit.network_prior import fit_guided, guide
from biopose_cli.mesh_fit.observations import Observations, observe
from biopose_cli.mesh_fit.windows import in_windows, sample, spans
from biopose_cli.progress import Progress
from biopose_cli.settings import Settings
from biopose_cli.typing import Array

METHODS = ("mqhmr", "fit")
_SHORTEST, _TALLEST = 0.5, 2.5  # m
# betas and landmark deviations, in their standard deviations: keypoint errors repeat themselves from frame to frame, so
# the clip tells less about the shape than its number of frames makes believe
_SHAPE_SPREAD = 0.35
_STATURE_KNOWN, _STATURE_UNKNOWN = 0.002, 0.03  # m
_FRONTAL = np.cos(np.radians(25))  # of the angle between the line of sight and where the pelvis points
_FACING = (
    "seen from the front or behind: how far the knees are bent is a guess; film from the side or at an angle"
)
_UNSURE = "the stature is unknown, an adult's mean is assumed: angles hold, lengths are to scale only; give --height"


def run(detection: Detection, settings: Settings, progress: Progress, network: MQHMR | None = None) -> Mesh:
    """Fit the body of `settings.body` to the keypoints of `detection`: one shape, a pose and a place per frame.

    network: for `--mesh mqhmr`, instead of the one that comes with BioPose.

    Raises
    ------
    SettingError
        `--mesh`, `--height` or `--device` is not possible.
    AssetError
        The network's weights are not there.
    PersonError
        Too few frames hold keypoints.
    BodyFileError
        The body file cannot be used.
    """
    if settings.mesh not in METHODS:
        raise SettingError(f"--mesh {settings.mesh} does not exist", f"Choose from: {', '.join(METHODS)}")
    body = load_body(settings.body)
    chain = load_chain(body)
    shape = shape_prior(body, settings.height)
    seen = observe(detection)
    if settings.mesh == "mqhmr":
        told = guide(network or shipped(settings.device), seen, settings.height)
        iterations = network_prior.ITERATIONS

        def fit(frames: slice | Array, known: Array | None = None) -> Pose:
            return fit_guided(chain, seen.part(frames), shape, told.part(frames), progress.advance, known)
    else:
        iterations = ITERATIONS

        def fit(frames: slice | Array, known: Array | None = None) -> Pose:
            return fit_clip(chain, seen.part(frames), shape, progress.advance, known)

    frames = len(seen.time)
    windows = spans(frames)
    progress.start("mesh", iterations * (1 if len(windows) == 1 else 1 + len(windows)), unit="iterations")
    if len(windows) == 1:
        pose = fit(windows[0])
    else:
        known = fit(sample(frames)).shape
        pose = in_windows(frames, lambda window: fit(window, known))
    return Mesh(**fields(body, chain, pose, seen, settings.height))


def shape_prior(body: Body, height: float | None) -> ShapePrior:
    """The prior on the shape of `body`, held to `height` (m), or near the mean: one view hardly shows size.

    Raises
    ------
    SettingError
        No human has that height.
    """
    if height is not None and not _SHORTEST <= height <= _TALLEST:
        raise SettingError(f"--height {height:g} is not possible", f"Give metres, {_SHORTEST} to {_TALLEST}")
    betas = torch.zeros(BETAS, requires_grad=True)
    stature = body.stature(betas)
    (gradient,) = torch.autograd.grad(stature.sum(), betas)
    mean = float(stature.detach())
    known, sigma = (mean, _STATURE_UNKNOWN) if height is None else (height, _STATURE_KNOWN)
    return ShapePrior(_SHAPE_SPREAD, mean, gradient.double().numpy(), known, sigma)


def fields(body: Body, chain: Chain, pose: Pose, seen: Observations, height: float | None) -> dict[str, Any]:
    """The values of a `Mesh` artefact."""
    vectors = so3.log(pose.rotations)
    with torch.no_grad():
        stature = float(body.stature(torch.tensor(pose.shape[:BETAS], dtype=torch.float32)))
    return {
        "body_pose": vectors[:, 1:JOINTS],
        "global_orient": continuous(vectors[:, 0]),
        "betas": pose.shape[:BETAS],
        "landmark_shape": pose.shape[BETAS:],
        "transl": pose.transl,
        "query_tokens": np.zeros((len(vectors), 0, 0)),
        "reprojection_px": reprojection_error(chain, pose, seen),
        "stature_m": stature,
        "stature_source": "--height" if height is not None else "assumed: about the adult mean",
        "warnings": warnings(chain, pose, seen, height),
    }


def warnings(chain: Chain, pose: Pose, seen: Observations, height: float | None) -> tuple[str, ...]:
    """What to say of a body that the keypoints do not tell. A leg seen end on looks like a short one."""
    pelvis = (pose.transl + chain.rest[0])[seen.usable]
    along = (pose.rotations[seen.usable, 0, :, 2] * pelvis).sum(1) / np.linalg.norm(pelvis, axis=1)
    frontal = np.abs(along) > _FRONTAL
    found = [(_UNSURE, height is None), (_FACING, frontal.mean() > 0.5)]
    return tuple(text for text, holds in found if holds)


def reprojection_error(chain: Chain, pose: Pose, seen: Observations) -> Array:
    """Confidence-weighted mean distance of the keypoints from the body's, (T) px; 0 where nothing was seen."""
    points = place(chain, pose).landmarks
    image = points[..., :2] / np.maximum(points[..., 2:], 0.1) * np.diag(seen.matrix)[:2] + seen.matrix[:2, 2]
    distance = np.linalg.norm(image - seen.keypoints, axis=-1)
    return np.asarray((seen.weight * distance).sum(1) / np.maximum(seen.weight.sum(1), 1e-9))


def continuous(vectors: Array) -> Array:
    """Rotation vectors (T,3) without the jumps of a turn past half a circle; the rotations are the same."""
    result = np.array(vectors)
    for t in range(1, len(result)):
        angle = np.linalg.norm(result[t])
        if angle < 1e-6:
            continue
        other = result[t] * (1 - 2 * np.pi / angle)
        if np.linalg.norm(other - result[t - 1]) < np.linalg.norm(result[t] - result[t - 1]):
            result[t] = other
    return result
