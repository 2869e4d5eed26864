"""The overlay video: the fitted body on the images, with remarks on each frame.

Colours: the body is grey-blue; its bones are orange on the subject's right, blue on the left, white in the middle;
yellow dots are the network's keypoints; boxes number all people, the measured one's in yellow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from biopose_cli.body.model import Body, load_body
from biopose_cli.geometry.camera import project_distorted
from biopose_cli.io.results import Detection, JointKinematics, Refined
from biopose_cli.io.video.probe import VideoInfo
from biopose_cli.io.video.reader import expected_frames, read_frames
from biopose_cli.io.video.writer import VideoWriter
from biopose_cli.progress import Progress
from biopose_cli.render.mesh_rasterizer import shade
from biopose_cli.settings import Settings
from biopose_cli.typing import Array

LONGEST_SIDE = 1920  # px: larger videos are drawn at this size
_MIN_DEPTH = 0.05  # m: what is nearer to the camera is not drawn
CHUNK = 32  # frames posed at a time
BODY_COLOR, RIGHT_COLOR, LEFT_COLOR, CENTER_COLOR = (
    (150, 190, 230),
    (255, 150, 40),
    (60, 150, 255),
    (255, 255, 255),
)
YELLOW, GRAY, DARK = (255, 225, 60), (190, 190, 190), (25, 25, 25)
OPACITY = 0.5
FIRST_KEYPOINT = 11  # BlazePose's shoulders; those before are in the face
MIN_CONFIDENCE = 0.5  # smallest confidence of a drawn keypoint
LEFT_JOINTS = {1, 4, 7, 10, 13, 16, 18, 20, 22}  # of SMPL's 24
RIGHT_JOINTS = {2, 5, 8, 11, 14, 17, 19, 21, 23}


@dataclass(frozen=True)
class PosedMesh:
    """The body in one frame: camera frame, m."""

    vertices: Array  # (V, 3)
    joints: Array  # (24, 3)


def write_overlay(
    path: Path,
    info: VideoInfo,
    detection: Detection,
    refined: Refined,
    kinematics: JointKinematics,
    settings: Settings,
    progress: Progress,
) -> None:
    """Draw the results on every frame from `--start` to `--end`; frames outside the detection show the plain image.

    Raises
    ------
    VideoError, BodyFileError, DiskFullError, OutputError
    """
    body = load_body(settings.body)
    scale = min(1.0, LONGEST_SIDE / max(info.width, info.height))
    width, height = round(info.width * scale), round(info.height * scale)
    drawn = kinematics.valid & np.isfinite(refined.transl).all(axis=1) & np.isfinite(refined.body_pose).all(axis=(1, 2))
    poses = _posed_meshes(body, refined, drawn)
    rows = {int(frame): row for row, frame in enumerate(detection.frame)}
    progress.start("overlay", expected_frames(info, settings.start, settings.end))
    with VideoWriter(path, width, height) as writer:
        for frame in read_frames(info, settings.start, settings.end):
            image = (
                frame.image if scale == 1 else cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
            )
            image = np.ascontiguousarray(image)
            row = rows.get(frame.index)
            if row is not None:
                if drawn[row]:
                    _draw_body(image, next(poses), body, detection, scale)
                _draw_keypoints(image, detection, row, scale)
                _draw_people(image, detection, row, scale)
            _draw_caption(image, frame.time, frame.index, _flags(detection, kinematics, row))
            writer.write(image, frame.time)
            progress.advance()


def _posed_meshes(body: Body, refined: Refined, drawn: Array) -> Iterator[PosedMesh]:
    """The body in the frames to be drawn, in order."""
    betas = torch.from_numpy(refined.betas)
    for rows in np.array_split(np.flatnonzero(drawn), max(1, -(-int(drawn.sum()) // CHUNK))):
        arguments = (
            torch.from_numpy(refined.body_pose[rows]),
            torch.from_numpy(refined.global_orient[rows]),
            betas,
            torch.from_numpy(refined.transl[rows]),
        )
        with torch.inference_mode():
            vertices, joints = body.vertices(*arguments).numpy(), body.pose(*arguments).joints.numpy()
        for mesh, skeleton in zip(vertices, joints, strict=True):
            yield PosedMesh(mesh, skeleton)


def _project(points: Array, detection: Detection, scale: float) -> Array:
    """(N, 3) m, camera frame, to (N, 2) px of the drawn image, through the lens's distortion; NaN behind the camera."""
    pixels = project_distorted(
        points.astype(np.float64),
        detection.camera_matrix.astype(np.float64),
        detection.dist_coeffs.astype(np.float64),
        _MIN_DEPTH,
    )
    return np.where(points[:, 2:] > _MIN_DEPTH, pixels * scale, np.nan)


def _draw_body(image: Array, pose: PosedMesh, body: Body, detection: Detection, scale: float) -> None:
    surface = _project(pose.vertices, detection, scale)
    corner, region = _region(image, surface)
    if not region.size:
        return
    shading = shade(surface - corner, pose.vertices, body.faces, *region.shape[:2])
    covered = shading > 0
    lit = shading[covered, None] * np.array(BODY_COLOR, np.float32)
    region[covered] = ((1 - OPACITY) * region[covered] + OPACITY * lit).astype(np.uint8)
    outline, _ = cv2.findContours(covered.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, outline, -1, DARK, 1, cv2.LINE_AA, offset=tuple(corner.tolist()))

    points = _project(pose.joints, detection, scale)
    thick = _thickness(image)
    for joint, parent in enumerate(body.parents):
        if parent >= 0 and np.isfinite(points[[joint, parent]]).all():
            start, end = _to_fixed_point(points[parent]), _to_fixed_point(points[joint])
            cv2.line(image, start, end, DARK, thick + 2, cv2.LINE_AA, _SHIFT)
            cv2.line(image, start, end, _side_color(joint), thick, cv2.LINE_AA, _SHIFT)
    for joint, point in enumerate(points):
        if np.isfinite(point).all():
            _dot(image, point, thick + 1, _side_color(joint))


def _region(image: Array, points: Array) -> tuple[Array, Array]:
    """Part of the image that contains the points, and its upper left corner (px)."""
    size = np.array(image.shape[1::-1])
    finite = points[np.isfinite(points).all(axis=1)]
    if not len(finite):
        return np.zeros(2, int), image[:0, :0]
    first = np.clip(np.floor(finite.min(axis=0)), 0, size).astype(int)
    last = np.clip(np.ceil(finite.max(axis=0)), first, size).astype(int)
    return first, image[first[1] : last[1], first[0] : last[0]]


def _draw_keypoints(image: Array, detection: Detection, row: int, scale: float) -> None:
    points = detection.keypoints_2d[row, FIRST_KEYPOINT:] * scale
    visible = np.isfinite(points).all(axis=1) & (detection.confidence[row, FIRST_KEYPOINT:] > MIN_CONFIDENCE)
    for point in points[visible]:
        _dot(image, point, max(1, _thickness(image) - 1), YELLOW)


def _draw_people(image: Array, detection: Detection, row: int, scale: float) -> None:
    for number, boxes in enumerate(detection.people_box, 1):
        box = boxes[row] * scale
        if not np.isfinite(box).all():
            continue
        chosen = number == detection.person
        color = YELLOW if chosen else GRAY
        thick = max(1, _thickness(image) - (0 if chosen else 1))
        cv2.rectangle(image, _to_fixed_point(box[:2]), _to_fixed_point(box[2:]), color, thick, cv2.LINE_AA, _SHIFT)
        _text(image, f"person {number}" if chosen else str(number), box[:2], color)


def _flags(detection: Detection, kinematics: JointKinematics, row: int | None) -> list[str]:
    """Remarks on a frame."""
    if row is None:
        return []
    flags = {
        "FILLED": detection.interpolated[row],
        "LEFT/RIGHT REPAIRED": detection.swapped[row],
        "NOT SEEN": not (detection.visible[row] or detection.interpolated[row]),
        "NO ANGLES": not kinematics.valid[row],
    }
    return [name for name, holds in flags.items() if holds]


def _draw_caption(image: Array, time: float, index: int, flags: list[str]) -> None:
    """Time, frame number and flags in the upper left corner."""
    line = _line_height(image)
    _text(image, f"{time:.3f} s   frame {index}", np.array([line, line * 2.5]), CENTER_COLOR)
    if flags:
        _text(image, "   ".join(flags), np.array([line, line * 4.8]), YELLOW)


_SHIFT = 4  # OpenCV draws at 1/16 px


def _to_fixed_point(point: Array) -> tuple[int, int]:
    """OpenCV's fixed-point coordinates, in which the first pixel's centre is at 0."""
    x, y = np.clip(np.round((point - 0.5) * (1 << _SHIFT)), -(2**19), 2**19)
    return int(x), int(y)


def _dot(image: Array, point: Array, radius: int, color: tuple[int, int, int]) -> None:
    cv2.circle(image, _to_fixed_point(point), (radius + 1) << _SHIFT, DARK, -1, cv2.LINE_AA, _SHIFT)
    cv2.circle(image, _to_fixed_point(point), radius << _SHIFT, color, -1, cv2.LINE_AA, _SHIFT)


def _side_color(joint: int) -> tuple[int, int, int]:
    return LEFT_COLOR if joint in LEFT_JOINTS else RIGHT_COLOR if joint in RIGHT_JOINTS else CENTER_COLOR


def _thickness(image: Array) -> int:
    return max(1, int(min(image.shape[:2]) / 400 + 0.5))


def _line_height(image: Array) -> float:
    """Height of a capital letter, px: legible in any size, and narrow enough for an upright phone video."""
    return max(9.0, float(min(image.shape[0] / 45, image.shape[1] / 32)))


def _text(image: Array, text: str, corner: Array, color: tuple[int, int, int]) -> None:
    """Draw text with its lower left corner at `corner` (px), moved into the image, on a dark background."""
    line = _line_height(image)
    font, scale, thick = cv2.FONT_HERSHEY_SIMPLEX, line / 21, max(1, round(line / 12))
    (width, height), below = cv2.getTextSize(text, font, scale, thick)
    pad = max(2, round(line / 3))
    x = int(np.clip(corner[0], pad, max(pad, image.shape[1] - width - pad)))
    y = int(np.clip(corner[1] - below - pad, height + pad, max(height + pad, image.shape[0] - below - pad)))
    background = image[y - height - pad : y + below + pad, x - pad : x + width + pad]
    background[:] = background // 3
    cv2.putText(image, text, (x, y), font, scale, color, thick, cv2.LINE_AA)
