"""The transformation from the camera to OpenSim's ground frame.

Camera: OpenCV (x right, y down, z forward). Ground: x forward, y up, z to the subject's right, floor at y =
0, the origin under the pelvis in the first frame. All in m; T frames, K sole points.

`--camera-pitch` and `--camera-roll` define the vertical. An angle that is not given is near level, and is estimated
from the person's balance (`balance.py`) and from the footholds: they lie on one floor, so footholds that are spread
widely enough in a direction determine the tilt in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from biopose_cli.geometry.camera import roll_pitch_from_up
from biopose_cli.geometry.runs import runs
from biopose_cli.typing import Array

CONTACT_SPEED = 0.4  # m/s: a sole point slower than this may be in contact (a swinging foot moves at 2 to 4 m/s)
CONTACT_HEIGHT = 0.06  # m above the lowest sole point of the frame
FOOTHOLD_HEIGHT_STD = 0.03  # m, standard deviation of a foothold's height in a fitted body; our choice
CAMERA_TILT_PRIOR = np.radians([3.0, 6.0])  # rad, standard deviation of a camera's roll and pitch; our choice
BALANCE_STD = np.radians(2.5)  # rad, standard deviation of the vertical estimated from balance, about each axis
MIN_STD_REDUCTION = 2.0  # footholds count if they reduce the standard deviation by this factor; our choice
MAX_TILT = np.radians(15.0)  # rad: a steeper "floor" is stairs or a mistake
MIN_WALK_DISTANCE = 0.6  # m: a person who moves this far walks
MIN_HORIZONTAL_FACING = 0.5  # of a unit vector horizontal, or less: the pelvis faces up or down, over 60 degrees
MAX_WALK_ANGLE = np.radians(45.0)  # rad: walking forward means within this angle of the pelvis's direction


@dataclass(frozen=True)
class Ground:
    """`matrix` (4, 4): ground = matrix @ camera. `roll_pitch_deg`: (roll, pitch), as used."""

    matrix: Array
    roll_pitch_deg: tuple[float, float]
    warnings: tuple[str, ...]


def camera_to_ground(
    time: Array,
    pelvis: Array,
    facing: Array,
    trunk: Array,
    soles: Array,
    pitch: float | None = None,
    roll: float | None = None,
    balance_up: Array | None = None,
) -> Ground:
    """Transformation from camera to ground for a clip.

    time: (T) s. pelvis: (T, 3) m. facing: (T, 3) unit vectors, where the pelvis faces. trunk: (T, 3) unit
    vectors square to them, the pelvis's own up. soles: (T, K, 3) m, points under the feet. pitch, roll: degrees,
    positive if the camera points down, and if it is rolled clockwise; None: unknown. balance_up: (3) unit,
    vertical estimated from balance; None: none. All vectors in the camera frame, without NaN.
    """
    tilt, sigma = _tilt_prior(pitch, roll, balance_up)
    footholds = _footholds(time, soles, up_vector(*tilt))
    warnings: tuple[str, ...] = ()
    if sigma.any() and len(footholds):
        tilt, warnings = _tilt_from_floor(footholds, tilt, sigma)
    up = up_vector(*tilt)
    heights = footholds @ up if len(footholds) else np.min(soles @ up, axis=1)
    floor = float(np.median(heights)) if len(footholds) else float(np.percentile(heights, 10))
    forward = _heading(pelvis, facing, trunk, up)
    rotation = np.stack([forward, up, np.cross(forward, up)])
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = -rotation @ (pelvis[0] - (pelvis[0] @ up - floor) * up)
    return Ground(matrix, (float(np.degrees(tilt[0])), float(np.degrees(tilt[1]))), warnings)


def up_vector(roll: float, pitch: float) -> Array:
    """Up (3) in the frame of a camera with this roll and pitch in rad."""
    return np.array([-np.sin(roll) * np.cos(pitch), -np.cos(roll) * np.cos(pitch), -np.sin(pitch)])


def _tilt_prior(pitch: float | None, roll: float | None, balance_up: Array | None) -> tuple[Array, Array]:
    """Roll and pitch (2), rad, as given or from balance and the prior, and their standard deviations (2), rad."""
    free = np.array([roll is None, pitch is None])
    tilt = np.radians([roll or 0.0, pitch or 0.0])
    sigma = np.where(free, CAMERA_TILT_PRIOR, 0.0)
    if balance_up is None:
        return tilt, sigma
    balance_weight = sigma**2 / (sigma**2 + BALANCE_STD**2)
    return tilt + balance_weight * (roll_pitch_from_up(balance_up) - tilt), np.sqrt(balance_weight) * BALANCE_STD


def transform_points(matrix: Array, points: Array) -> Array:
    """Apply a homogeneous (4, 4) matrix to points (..., 3)."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _footholds(time: Array, soles: Array, up: Array) -> Array:
    """Footholds (N, 3): mean position of every stance, a run of frames with a sole point at rest."""
    if len(time) < 3:
        return np.zeros((0, 3))
    speed = np.linalg.norm(np.gradient(soles, time, axis=0), axis=-1)
    height = soles @ up
    resting = (speed < CONTACT_SPEED) & (height < height.min(axis=1, keepdims=True) + CONTACT_HEIGHT)
    stances: list[Array] = []
    for point in range(soles.shape[1]):
        for start, end in runs(resting[:, point]):
            if time[end - 1] - time[start] >= 0.1:
                stances.append(np.median(soles[start:end, point], axis=0))
    return np.array(stances).reshape(-1, 3)


def _tilt_from_floor(footholds: Array, tilt: Array, sigma: Array) -> tuple[Array, tuple[str, ...]]:
    """Add to `tilt` (roll, pitch), known within `sigma`, the correction from the slope of the footholds' plane.

    A Gaussian holds the lean where it was. A walk shows the slope along it, which is roll and pitch in one, and
    nothing across it. So both are found at once, along the axes in which the footholds show most and least next to
    `sigma`; an axis counts when the footholds halve its uncertainty, else it stays as it is.
    """
    up = up_vector(*tilt)
    forward = np.array([0.0, 0.0, 1.0]) - up[2] * up  # the camera's forward, made horizontal
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, up)  # not from the picture's right, which is the left of a camera upside down
    # to a camera taken as level, the floor rises to the right when it is rolled clockwise, ahead when it looks down
    rise = np.stack([right * np.cos(tilt[1]), forward], axis=1)
    centered = footholds - footholds.mean(axis=0)
    height = centered @ up / FOOTHOLD_HEIGHT_STD  # this and what follows: in standard deviations
    design = centered @ rise * sigma / FOOTHOLD_HEIGHT_STD
    information, axes = np.linalg.eigh(design.T @ design)
    coefficients = np.where(
        1 + information >= MIN_STD_REDUCTION**2, axes.T @ (design.T @ height) / (1 + information), 0.0
    )
    updated = tilt + np.arctan(sigma * (axes @ coefficients))
    slope = float(np.arccos(np.clip(up @ up_vector(*updated), -1.0, 1.0)))
    if slope > MAX_TILT:
        message = f"the footholds lie on a slope of {np.degrees(slope):.0f} degrees"
        return tilt, (f"{message}, too steep for a floor: they were not used for the camera's tilt",)
    return updated, ()


def _heading(pelvis: Array, facing: Array, trunk: Array, up: Array) -> Array:
    """Forward (3), horizontal, unit: along a forward walk, otherwise the pelvis's first direction."""
    start = min(len(facing), 5)
    forward = _mean_facing(facing[:start], trunk[:start], up)
    displacement = _horizontal(pelvis - pelvis[0], up)
    walked = np.flatnonzero(np.linalg.norm(displacement, axis=-1) > MIN_WALK_DISTANCE)
    if walked.size:
        end = int(walked[0])
        walk = displacement[end] / np.linalg.norm(displacement[end])
        if walk @ _mean_facing(facing[: end + 1], trunk[: end + 1], up) > np.cos(MAX_WALK_ANGLE):
            return np.asarray(walk)
    return forward


def _mean_facing(facing: Array, trunk: Array, up: Array) -> Array:
    """Mean direction (3) of a pelvis, horizontal, unit.

    One that faces up or down points anywhere by chance; where its own up axis points is where it will face, or
    its back, once it is upright again.
    """
    mean = facing.mean(axis=0)
    horizontal = _horizontal(mean, up)
    if np.linalg.norm(horizontal) < MIN_HORIZONTAL_FACING * np.linalg.norm(mean):
        horizontal = -np.sign(mean @ up) * _horizontal(trunk.mean(axis=0), up)
    return np.asarray(horizontal / max(float(np.linalg.norm(horizontal)), 1e-9))


def _horizontal(vectors: Array, up: Array) -> Array:
    return np.asarray(vectors - (vectors @ up)[..., None] * up)
