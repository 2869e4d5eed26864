"""A room to walk in: a camera, a floor with texture, walls, light, and the soft shadow on the floor.

World frame: y up, floor y = 0 (SMPL's axes); m. Camera frame: OpenCV's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from biopose_cli.typing import Array

SHADOW_CELL = 0.02  # m


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: camera = rotation @ world + translation."""

    matrix: Array  # (3, 3) px
    rotation: Array  # (3, 3)
    translation: Array  # (3,) m
    width: int  # px
    height: int

    @property
    def position(self) -> Array:
        """The camera's centre (3,) in world coordinates, m."""
        center: Array = -self.rotation.T @ self.translation
        return center

    def from_world(self, points: Array) -> Array:
        """Points (..., 3) in the camera's frame."""
        camera_points: Array = points @ self.rotation.T + self.translation
        return camera_points

    def project(self, points: Array) -> Array:
        """World points (..., 3) in the image (..., 2), px."""
        camera_points = self.from_world(points)
        pixels = (camera_points / camera_points[..., 2:]) @ self.matrix.T
        image: Array = pixels[..., :2]
        return image


def look_at(position: Array, target: Array, focal: float, width: int, height: int, roll: float = 0.0) -> Camera:
    """A camera at `position` with `target` in the middle of its image.

    `focal` is in px; `roll` in rad, positive when the camera is rolled clockwise (so its picture turns the other way).
    """
    forward = np.asarray(target, float) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    cosine, sine = np.cos(roll), np.sin(roll)
    rotation = np.stack([cosine * right + sine * down, cosine * down - sine * right, forward])
    matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return Camera(matrix, rotation, -rotation @ np.asarray(position, float), width, height)


@dataclass(frozen=True)
class Background:
    """A box around the origin with procedural textures; `seed` chooses colours and pattern."""

    seed: int
    half_width: float = 4.0  # m, walls at +-x
    half_depth: float = 4.5  # m, walls at +-z
    height: float = 3.0

    def render(self, camera: Camera) -> tuple[Array, Array]:
        """The empty room (H, W, 3) in 0..1, and where each pixel's ray meets the floor (H, W, 2: x, z; NaN: a
        wall)."""
        rng = np.random.default_rng(self.seed)
        rows, columns = np.mgrid[: camera.height, : camera.width] + 0.5
        pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
        rays = pixels @ np.linalg.inv(camera.matrix).T @ camera.rotation
        origin = camera.position
        with np.errstate(divide="ignore"):
            distances = np.stack(
                [
                    np.where(rays[..., 1] < 0, -origin[1] / rays[..., 1], np.inf),
                    np.where(rays[..., 1] > 0, (self.height - origin[1]) / rays[..., 1], np.inf),
                    (np.sign(rays[..., 0]) * self.half_width - origin[0]) / rays[..., 0],
                    (np.sign(rays[..., 2]) * self.half_depth - origin[2]) / rays[..., 2],
                ]
            )
        distances[distances <= 0] = np.inf
        surface = distances.argmin(axis=0)
        hit = origin + rays * distances.min(axis=0)[..., None]
        image = np.select(
            [surface[..., None] == 0, surface[..., None] == 1],
            [self._floor(hit, rng), np.full(3, 0.82)],
            self._wall(hit, surface, rng),
        )
        fall_off = 1.08 - 0.035 * np.linalg.norm(hit - [0, self.height, 0], axis=-1)
        floor_points = np.where(surface[..., None] == 0, hit[..., [0, 2]], np.nan)
        return image * fall_off[..., None], floor_points

    def _floor(self, hit: Array, rng: np.random.Generator) -> Array:
        """Wooden planks along z."""
        tone = np.array([0.56, 0.44, 0.33]) * rng.uniform(0.8, 1.15)
        plank_at = hit[..., 0] / 0.14
        plank = np.floor(plank_at)
        along = hit[..., 2] / 1.3 + _hash(plank, 1.0)
        board = _hash(plank, np.floor(along) + 7.0)
        grain = _noise(hit[..., 0] * 60, hit[..., 2] * 3, 3.0) + 0.6 * _noise(hit[..., 0] * 9, hit[..., 2] * 0.8, 5.0)
        joint = (np.abs(plank_at - plank - 0.5) > 0.485) | (np.abs(along - np.floor(along) - 0.5) > 0.498)
        shade = 0.86 + 0.22 * board + 0.10 * (grain - 0.8)
        floor: Array = tone * np.where(joint, 0.62, shade)[..., None]
        return floor

    def _wall(self, hit: Array, surface: Array, rng: np.random.Generator) -> Array:
        """Paint with a skirting board, a picture and a door, so that the wall has edges of its own."""
        tone = rng.uniform(0.45, 0.8) * rng.uniform([0.95, 0.95, 0.9], [1.0, 1.0, 1.0])
        along = np.where(surface == 2, hit[..., 2], hit[..., 0])
        height = hit[..., 1]
        mottle = 0.97 + 0.05 * _noise(along * 2.2, height * 2.2, 11.0) + 0.015 * _noise(along * 40, height * 40, 13.0)
        wall = tone * mottle[..., None]
        wall = np.where((height < 0.11)[..., None], np.array([0.86, 0.85, 0.83]), wall)
        edge = np.abs(along - 2.6)
        wall = np.where(((edge < 0.5) & (height < 2.05))[..., None], np.array([0.50, 0.40, 0.32]), wall)
        wall = np.where(((edge < 0.43) & (height < 1.98))[..., None], np.array([0.58, 0.47, 0.38]), wall)
        frame = (np.abs(along + 1.7) < 0.55) & (np.abs(height - 1.6) < 0.4)
        inside = (np.abs(along + 1.7) < 0.5) & (np.abs(height - 1.6) < 0.35)
        wall = np.where(frame[..., None], np.array([0.25, 0.22, 0.20]), wall)
        paint = 0.35 + 0.3 * _noise(along * 5, height * 5, 17.0)[..., None] * np.array([0.7, 0.9, 1.0])
        result: Array = np.where(inside[..., None], paint, wall)
        return result


def shadow(vertices: Array, floor_points: Array, sun: Array, strength: float = 0.5, blur: float = 0.06) -> Array:
    """How much light (H, W), 0..1, is left on each pixel of the floor beside a body with `vertices` (V, 3),
    world.

    `sun` points towards the light; `blur` (m) is the softness of the shadow's edge. `floor_points` comes from
    `Background.render`.
    """
    flat = vertices[:, [0, 2]] - vertices[:, 1:2] * (sun[[0, 2]] / sun[1])
    origin = flat.min(axis=0) - 5 * blur
    cells = np.ceil((flat.max(axis=0) + 5 * blur - origin) / SHADOW_CELL).astype(int)
    grid = np.zeros(tuple(cells), np.float32)
    cell_index = ((flat - origin) / SHADOW_CELL).astype(int)
    grid[cell_index[:, 0], cell_index[:, 1]] = 1
    grid = cv2.morphologyEx(grid, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    grid = cv2.GaussianBlur(grid, (0, 0), blur / SHADOW_CELL)
    sample_cells = np.nan_to_num((floor_points - origin) / SHADOW_CELL, nan=-1e6).astype(np.float32)
    darkness = cv2.remap(grid, sample_cells[..., 1], sample_cells[..., 0], cv2.INTER_LINEAR, borderValue=0)
    light: Array = 1 - strength * darkness
    return light


def _hash(a: Array, b: Array | float) -> Array:
    """Repeatable noise in 0..1 of two integers."""
    value = np.sin(a * 127.1 + np.asarray(b) * 311.7) * 43758.5453
    fraction: Array = value - np.floor(value)
    return fraction


def _noise(x: Array, y: Array, seed: float) -> Array:
    """Smooth noise in 0..1 with features of size 1."""
    x0, y0 = np.floor(x), np.floor(y)
    u, v = x - x0, y - y0
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    low = _hash(x0 + seed, y0) * (1 - u) + _hash(x0 + 1 + seed, y0) * u
    high = _hash(x0 + seed, y0 + 1) * (1 - u) + _hash(x0 + 1 + seed, y0 + 1) * u
    smooth: Array = low * (1 - v) + high * v
    return smooth
