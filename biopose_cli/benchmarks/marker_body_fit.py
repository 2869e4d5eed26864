"""Fit of the body to real markers, as in MoSh (Loper et al., ACM Trans. Graph. 33, 2014).

A real marker is never exactly at our site of that name: it is a ball on a stem, over a shoe, or placed by another
definition. So each marker has a constant offset in the rest pose, carried by the skin, small by its prior, and
estimated with the shape over the whole trial. An offset common to all markers of a foot is equivalent to a rotated
ankle, one of the pelvis to a bent spine. Only a static trial with known posture separates them (flat feet, straight
spine, knees and ankles without axial rotation). It is added as one frame. It does not suffice alone: standing shows
neither the hip's axial rotation nor the length of the thigh.

Solver, limits and pose prior are those of the mesh stage. Frame: y up, m.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from biopose_cli.benchmarks.marker_lbs import SkinPoints, build_marker_body, build_skin_points, sole_vertices
from biopose_cli.body.kinematics import ACTIVE_JOINTS, NUM_BETAS, NUM_JOINTS, KinematicChain, Pose
from biopose_cli.body.markers import MARKER_NAMES, MARKERS
from biopose_cli.body.model import JOINT_NAMES, Body
from biopose_cli.geometry import so3
from biopose_cli.geometry.rigid import align_points
from biopose_cli.mesh_fit import priors
from biopose_cli.mesh_fit.costs import Cost, ShapePrior, State, add_joint_blocks, pseudo_huber
from biopose_cli.mesh_fit.mesh_stage import build_shape_prior
from biopose_cli.mesh_fit.solver import levenberg_marquardt
from biopose_cli.optim.banded import BandedNormalEquations
from biopose_cli.typing import Array

MARKER_SIGMA = 0.01  # m, of a marker about its position on moving skin
TRUNK_MARKER_SIGMA = 0.02  # m, the same on torso and shoulders, which no spine of three joints follows
STATIC_MARKER_SIGMA = 0.003  # m, the same on a person standing still
OFFSET_STD = 0.005  # m, standard deviation of a marker's offset from our site
FOOT_OFFSET_STD = 0.015  # m, the same on a foot: shoes, and marker sets with other definitions
FREE_OFFSET_STD = 0.03  # m, the same at sites without a bony landmark
FREE_SITES = ("TH1", "TH2", "TB1", "TB2", "UA1", "UA2", "FHD", "BHD")  # without the side's letter
HUBER_DELTA = 6.0  # in units of sigma: beyond, a marker counts as an outlier
SOLE_SIGMA = 0.003  # m, of a sole's heel and ball about a plane floor
LIMIT_WEIGHT = 0.01  # low, otherwise the spine's limits hold markers on a flexed trunk and tilt the pelvis
PRIOR_WEIGHT = 0.01  # of a pose: markers observe nearly everything, and frames are not independent
EFFECTIVE_FRAMES = 10.0  # number of independent frames in a trial, as evidence on shape and offsets
GIVEN_STATURE_SIGMA, ASSUMED_STATURE_SIGMA = 0.01, 0.07  # m
PASS_ITERATIONS = (15, 40)
# Degrees, standard deviation of a joint's angles about its axes, static and moving; markers hardly observe them
JOINT_ANGLE_STD = (
    ("spine", "xyz", 1.0, 10.0),
    ("collar", "xyz", 3.0, 5.0),
    ("knee", "yz", 2.0, 4.0),
    ("ankle", "yz", 3.0, 6.0),
    ("foot", "xyz", 1.0, 10.0),
)
# Degrees, the same for joints that no marker observes, if none is on these bodies of the skeleton
UNOBSERVED_JOINT_STD = (
    ("foot", "toes", 1.0),
    ("neck", "head", 4.0),
    ("head", "head", 4.0),
    ("wrist", "hand", 4.0),
)


@dataclass(frozen=True)
class FittedBody:
    """The body in T frames.

    `betas` (10), `body_pose` (T,23,3) and `global_orient` (T,3) rad, `transl` (T,3) m; `offsets` (N,3) m, of the
    markers from our sites, axes of the T-pose; `residual` (T,N) m, NaN where a marker is missing.
    """

    betas: Array
    body_pose: Array
    global_orient: Array
    transl: Array
    offsets: Array
    residual: Array


@dataclass(frozen=True)
class MarkerCost:
    """Sites with their offsets match the markers `target` (T,P,3) m, NaN where missing, with std `sigma` (T,P) m."""

    skin: SkinPoints
    target: Array
    sigma: Array

    def _residual(self, state: State) -> Array:
        return np.nan_to_num((self.skin.positions(state) - self.target) / self.sigma[..., None])

    def energy(self, state: State) -> float:
        """Return this cost at `state`."""
        loss, _ = pseudo_huber((self._residual(state) ** 2).sum(-1), HUBER_DELTA)
        return float(0.5 * loss.sum())

    def add_to(self, state: State, system: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""
        residual = self._residual(state)
        _, down = pseudo_huber((residual**2).sum(-1), HUBER_DELTA)
        scale = np.sqrt(down) * np.isfinite(self.target[..., 0])
        by_pose, by_shape = ((scale / self.sigma)[..., None, None] * d for d in self.skin.jacobian(state))
        frames, rows = len(residual), 3 * residual.shape[1]
        system.add_local(
            by_pose.reshape(frames, rows, -1),
            (scale[..., None] * residual).reshape(frames, -1),
            by_shape.reshape(frames, rows, -1),
        )


@dataclass(frozen=True)
class FlatFootCost:
    """Heel and ball of a sole are at the same height.

    skin : heel and ball of each foot, in turn
    weight : (T) of the frames
    """

    skin: SkinPoints
    frame_weight: Array

    def _height_difference(self, values: Array) -> Array:
        """Height of heel minus ball: (T,2F,3,...) -> (T,F,...)."""
        height = values[:, ::2, 1] - values[:, 1::2, 1]
        return np.asarray(height * np.sqrt(self.frame_weight).reshape(-1, *[1] * (height.ndim - 1)) / SOLE_SIGMA)

    def energy(self, state: State) -> float:
        """Return this cost at `state`."""
        return float(0.5 * (self._height_difference(self.skin.positions(state)) ** 2).sum())

    def add_to(self, state: State, system: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""
        by_pose, by_shape = (self._height_difference(d) for d in self.skin.jacobian(state))
        system.add_local(by_pose, self._height_difference(self.skin.positions(state)), by_shape)


@dataclass(frozen=True)
class ZeroAnglePrior:
    """Rotation vectors are small: `inverse_std` (J,3) 1/rad, `frame_weight` (T) of the frames."""

    inverse_std: Array
    frame_weight: Array

    def _scale(self) -> Array:
        return np.asarray(np.sqrt(self.frame_weight)[:, None, None] * self.inverse_std)

    def energy(self, state: State) -> float:
        """Return this cost at `state`."""
        return float(0.5 * ((self._scale() * state.axis_angles) ** 2).sum())

    def add_to(self, state: State, system: BandedNormalEquations) -> None:
        """Add the Gauss-Newton model at `state`."""
        scale = self._scale()
        blocks = scale[..., None] * so3.right_jacobian_inverse(state.axis_angles)
        transposed = np.swapaxes(blocks, -1, -2)
        add_joint_blocks(system.blocks[0], transposed @ blocks, first=1)
        gradient = transposed @ (scale * state.axis_angles)[..., None]
        system.gradient[:, 3:-3] += gradient.reshape(len(scale), -1)


def fit_body(
    body: Body,
    target: Array,
    sites: tuple[str, ...],
    height: float | None,
    static_markers: Array | None = None,
) -> FittedBody:
    """Fit the default body to markers.

    Parameters
    ----------
    body : the default body
    target : (T,N,3) m, y up; NaN where a marker is missing
    sites : the virtual marker (of `MARKERS`) of each marker; three or more on the pelvis
    height : m, of the person; None: unknown
    static_markers : (N,3) m, the same markers in a static trial: upright, feet flat; None: no static trial

    Raises
    ------
    SolverError
        The markers have no finite values.
    """
    chain, mesh = build_marker_body(body, len(sites))
    columns = [MARKER_NAMES.index(site) for site in sites]
    skin = build_skin_points(mesh, body.marker_vertices[columns], _offset_std(sites))
    soles = build_skin_points(mesh, sole_vertices(body, mesh))
    frames = len(target)
    sigma, evidence_scale = (
        np.tile(_marker_sigma(sites), (frames, 1)),
        np.sqrt(min(1.0, EFFECTIVE_FRAMES / frames)),
    )
    motion_weight, static_weight = np.ones(frames), np.zeros(frames)
    if static_markers is not None:  # one more frame, the last, weighted like an independent one
        target = np.concatenate([target, static_markers[None]])
        sigma = np.append(sigma, np.full((1, len(sites)), STATIC_MARKER_SIGMA * evidence_scale), axis=0)
        motion_weight, static_weight = (
            np.append(motion_weight, 0.0),
            np.append(static_weight, 1 / evidence_scale**2),
        )
    frame_weight = motion_weight + static_weight
    costs: list[Cost] = [
        MarkerCost(skin, target, sigma),
        FlatFootCost(soles, static_weight),
        priors.joint_limits(LIMIT_WEIGHT * frame_weight),
        priors.pose_prior(PRIOR_WEIGHT * frame_weight, standing=True),
        ZeroAnglePrior(_inverse_angle_std(sites, static=False), motion_weight),
        ZeroAnglePrior(_inverse_angle_std(sites, static=True), static_weight),
        _shape_prior(body, height, evidence_scale),
    ]
    pose = _initial_pose(chain, skin, target, sites)
    for iterations, free_shape in zip(PASS_ITERATIONS, (False, True), strict=True):
        pose, _ = levenberg_marquardt(chain, pose, costs, iterations, free_shape=free_shape)
    axis_angles = so3.matrix_to_axis_angle(pose.rotations)[:frames]
    residual = np.linalg.norm(skin.positions(State(chain, pose)) - target, axis=-1)
    return FittedBody(
        betas=pose.shape_params[:NUM_BETAS],
        body_pose=axis_angles[:, 1:],
        global_orient=axis_angles[:, 0],
        transl=pose.transl[:frames],
        offsets=_offset_std(sites)[:, None] * pose.shape_params[NUM_BETAS:].reshape(-1, 3),
        residual=residual[:frames],
    )


def _inverse_angle_std(sites: tuple[str, ...], *, static: bool) -> Array:
    """Inverse standard deviations (J,3), 1/rad, of joint angles that markers hardly or never observe."""
    result = np.zeros((len(ACTIVE_JOINTS) - 1, 3))
    names = [JOINT_NAMES[joint].split("_")[-1] for joint in ACTIVE_JOINTS[1:]]
    observed = {MARKERS[MARKER_NAMES.index(site)].segment.split("_")[0] for site in sites}
    rows = [
        (part, axes, static_std if static else moving_std) for part, axes, static_std, moving_std in JOINT_ANGLE_STD
    ]
    rows += [(part, "xyz", std) for part, segment, std in UNOBSERVED_JOINT_STD if segment not in observed]
    for part, axes, std in rows:
        joints = [k for k, name in enumerate(names) if name.startswith(part)]
        result[np.ix_(joints, ["xyz".index(axis) for axis in axes])] = 1 / np.radians(std)
    return result


def _offset_std(sites: tuple[str, ...]) -> Array:
    """Standard deviation (N), m, of a marker's offset from our site."""

    def site_std(site: str) -> float:
        if site[1:] in FREE_SITES:
            return FREE_OFFSET_STD
        foot = MARKERS[MARKER_NAMES.index(site)].segment.startswith(("calcn", "toes"))
        return FOOT_OFFSET_STD if foot else OFFSET_STD

    return np.array([site_std(site) for site in sites])


def _marker_sigma(sites: tuple[str, ...]) -> Array:
    """Standard deviation (N), m, of a marker's distance from its position in motion."""
    torso = [MARKERS[MARKER_NAMES.index(site)].segment == "torso" for site in sites]
    return np.where(torso, TRUNK_MARKER_SIGMA, MARKER_SIGMA)


def _initial_pose(chain: KinematicChain, skin: SkinPoints, target: Array, sites: tuple[str, ...]) -> Pose:
    """The mean pose, with its pelvis aligned to the pelvis markers (Kabsch, frame by frame)."""
    frames = len(target)
    pelvis = [MARKERS[MARKER_NAMES.index(site)].segment == "pelvis" for site in sites]
    rest_pelvis, pelvis_target = skin.rest_points[pelvis], target[:, pelvis]
    weights = np.isfinite(pelvis_target[..., 0]).astype(float)
    alignment = align_points(rest_pelvis, np.nan_to_num(pelvis_target), weights)
    rotations = np.broadcast_to(np.eye(3), (frames, NUM_JOINTS, 3, 3)).copy()
    rotations[:, list(ACTIVE_JOINTS[1:])] = so3.axis_angle_to_matrix(priors.mean_pose())
    rotations[:, 0] = alignment.rotation
    pelvis_joint = alignment.apply(chain.rest_joints[:1])[:, 0]
    return Pose(rotations, pelvis_joint - chain.rest_joints[0], np.zeros(chain.num_shape_params))


def _shape_prior(body: Body, height: float | None, evidence_scale: float) -> ShapePrior:
    """Prior of betas and offsets, in standard deviations, all multiplied by `evidence_scale`."""
    shape = build_shape_prior(body, height)
    stature = GIVEN_STATURE_SIGMA if height else ASSUMED_STATURE_SIGMA
    return replace(shape, shape_sigma=evidence_scale, stature_sigma=evidence_scale * stature)
