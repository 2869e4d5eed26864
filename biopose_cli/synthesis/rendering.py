"""Images of a clothed body in a room, with the true camera, joints and vertices.

    actor = load_actor()
    for render in render_images(actor, poses, betas, transl, cameras, seed=1):
        render.image      # uint8 RGB (H, W, 3), upright
        render.joints     # (24, 3) m, camera frame; render.vertices likewise (V, 3)
        render.camera     # matrix, rotation, translation

`cameras` come from `render.scene.look_at`, in the world of the poses (y up, floor y = 0). `render_clip` does the same
for one clip: one camera, one room and one outfit for all frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.spatial.transform import Rotation

from biopose_cli.body.model import DEFAULT_BODY, Body, load_body
from biopose_cli.body.smpl_io import read_body
from biopose_cli.render import triangle_rasterizer
from biopose_cli.render.scene import Background, Camera, shadow
from biopose_cli.synthesis.clothing import Outfit, dress
from biopose_cli.synthesis.retarget import RestBody
from biopose_cli.typing import Array

CHUNK = 16  # frames posed at once
GAMMA = 1.5  # of the tone curve
AMBIENT, SUN, FILL = (
    0.26,
    0.90,
    0.16,
)  # strengths of the ambient light, the key light and the light at the camera


@dataclass(frozen=True)
class Actor:
    """A body that can be dressed and rendered."""

    body: Body
    skinning_weights: Array  # (V, 24) skinning

    def rest_vertices_and_joints(self, betas: Array) -> tuple[Array, Array]:
        """Vertices (V, 3) and joints (24, 3) of the T-pose of `betas` (10,), m."""
        zero = np.zeros((1, 24, 3))
        return self.vertices(zero, betas, zero[:, 0])[0], self.body.rest_joints(_tensor(betas)).numpy().astype(float)

    def rest_body(self, betas: Array) -> RestBody:
        """T-pose of this shape for retargeting."""
        vertices, joints = self.rest_vertices_and_joints(betas)
        return RestBody(joints, float(vertices[:, 1].min()))

    def vertices(self, poses: Array, betas: Array, transl: Array) -> Array:
        """Vertices (T, V, 3), world, m, of poses (T, 24, 3)."""
        pose = _tensor(poses)
        vertices = self.body.vertices(pose[:, 1:], pose[:, 0], _tensor(betas), _tensor(transl))
        return np.asarray(vertices.numpy(), float)

    def joints(self, poses: Array, betas: Array, transl: Array) -> Array:
        """Joints (T, 24, 3), world, m."""
        pose = _tensor(poses)
        posed = self.body.pose(pose[:, 1:], pose[:, 0], _tensor(betas), _tensor(transl))
        return np.asarray(posed.joints.numpy(), float)


@dataclass(frozen=True)
class Render:
    """One image and its ground truth."""

    image: Array  # uint8 RGB (H, W, 3)
    mask: Array  # (H, W) fraction of each pixel that the body covers, 0..1
    joints: Array  # (24, 3) m, camera frame
    vertices: Array  # (V, 3) m, camera frame, without clothes
    camera: Camera


def load_actor(path: Path | None = None) -> Actor:
    """Load the body in `path` (None: the default body). Raises BodyFileError as `load_body` does."""
    return Actor(load_body(path), np.asarray(read_body(path or DEFAULT_BODY).weights, float))


def render_images(
    actor: Actor,
    poses: Array,
    betas: Array,
    transl: Array,
    cameras: Sequence[Camera],
    seed: int,
    supersample: int = 2,
) -> Iterator[Render]:
    """Render one image per pose, each with its own clothes, room and light.

    Parameters
    ----------
    actor : the body
    poses : (N, 24, 3) axis-angle, world (y up, floor y = 0)
    betas : (10,) or (N, 10)
    transl : (N, 3) m
    cameras : N, in the same world
    seed : of clothes, rooms, light and noise
    supersample : subpixels along each side of a pixel
    """
    shapes = np.broadcast_to(betas, (len(poses), 10))
    for index, camera in enumerate(cameras):
        rows = slice(index, index + 1)
        clip_seed = 1000 * seed + index
        yield from render_clip(actor, poses[rows], shapes[index], transl[rows], camera, clip_seed, supersample)


def render_clip(
    actor: Actor, poses: Array, betas: Array, transl: Array, camera: Camera, seed: int, supersample: int = 2
) -> Iterator[Render]:
    """Render a clip of T frames with one camera, and the same clothes, room and light throughout.

    Parameters as in `render_images`.
    """
    rng = np.random.default_rng(seed)
    outfit = dress(*actor.rest_vertices_and_joints(betas), actor.skinning_weights, seed)
    scene = Scene.create(camera, seed, rng)
    for start in range(0, len(poses), CHUNK):
        chunk = slice(start, start + CHUNK)
        bodies = actor.vertices(poses[chunk], betas, transl[chunk])
        joints = actor.joints(poses[chunk], betas, transl[chunk])
        for vertices, skeleton in zip(bodies, joints, strict=True):
            yield scene.render(vertices, skeleton, actor.body.faces, outfit, rng, supersample)


@dataclass(frozen=True)
class Scene:
    """An empty room before a camera.

    `background` (H, W, 3) is its image, `floor_points` (H, W, 2) are the floor's positions in it, and `sun` (3,) is the
    direction of the light.
    """

    camera: Camera
    background: Array
    floor_points: Array
    sun: Array

    @staticmethod
    def create(camera: Camera, seed: int, rng: np.random.Generator) -> Scene:
        """Room of `seed`, with random light."""
        background, floor_points = Background(seed).render(camera)
        sun = rng.uniform([-0.6, 1.0, -0.6], [0.6, 1.6, 0.6])
        return Scene(camera, background, floor_points, sun / np.linalg.norm(sun))

    def render(
        self,
        vertices: Array,
        joints: Array,
        faces: Array,
        outfit: Outfit,
        rng: np.random.Generator,
        supersample: int = 2,
    ) -> Render:
        """Image of a body with vertices (V, 3) and joints (24, 3), world."""
        camera = self.camera
        light = shadow(vertices, self.floor_points, self.sun)
        body_image, mask = _render_body(vertices, faces, outfit, camera, self.sun, supersample)
        linear_image = self.background * light[..., None] * (1 - mask[..., None]) + body_image
        return Render(_expose(linear_image, rng), mask, camera.from_world(joints), camera.from_world(vertices), camera)


def _render_body(
    vertices: Array, faces: Array, outfit: Outfit, camera: Camera, sun: Array, supersample: int
) -> tuple[Array, Array]:
    """The lit body on black (H, W, 3) and its coverage (H, W)."""
    points = camera.from_world(vertices)
    normals = triangle_rasterizer.vertex_normals(points, faces)
    points += normals * outfit.offsets[:, None]
    lights = np.array([[0, 0, 0, AMBIENT], [*(camera.rotation @ sun), SUN], [0, 0, -1, FILL]])
    matrix = camera.matrix * np.array([[supersample], [supersample], [1.0]])
    size = camera.height * supersample, camera.width * supersample
    image, depth = np.zeros((*size, 3)), np.full(size, np.inf)
    triangle_rasterizer.rasterize(points, faces, outfit.colors, normals, lights, matrix, image, depth)
    small = (camera.width, camera.height)
    mask = cv2.resize(np.isfinite(depth).astype(np.float32), small, interpolation=cv2.INTER_AREA)
    return cv2.resize(image, small, interpolation=cv2.INTER_AREA), mask


def _expose(linear_image: Array, rng: np.random.Generator) -> Array:
    """Convert linear light to an 8-bit image, with lens blur and sensor noise."""
    soft = cv2.GaussianBlur(np.clip(linear_image, 0, 1), (0, 0), 0.6)
    levels = 255 * soft ** (1 / GAMMA)
    grain = cv2.GaussianBlur(rng.normal(0, 4.0, levels.shape).astype(np.float32), (0, 0), 0.7)
    image: Array = np.clip(np.rint(levels + grain), 0, 255).astype(np.uint8)
    return image


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def to_camera_frame(camera: Camera, poses: Array, transl: Array, pelvis: Array) -> tuple[Array, Array]:
    """World poses (T, 24, 3) and translations (T, 3) in the camera's axes instead of the world's.

    `pelvis` (3,) is the pelvis joint of the shaped T-pose, the centre of SMPL's root rotation.
    """
    camera_poses = np.array(poses, float)
    root = Rotation.from_matrix(camera.rotation) * Rotation.from_rotvec(camera_poses[:, 0])
    camera_poses[:, 0] = root.as_rotvec()
    return camera_poses, camera.from_world(transl + pelvis) - pelvis
