"""One known body, written as other tools would have written it: each sees it with its own camera."""

from __future__ import annotations

import pickle
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biopose_cli.geometry import so3
from biopose_cli.typing import Array


@dataclass(frozen=True)
class Walker:
    """A body in the frame of the camera `matrix`: `rotations` (T,24,3,3), `pelvis` (T,3) m, `betas` (10)."""

    rotations: Array
    pelvis: Array
    betas: Array
    rest_pelvis: Array
    matrix: Array
    size: tuple[int, int]

    def seen_with(self, focal: float) -> Walker:
        """The same picture for a camera of another focal length with its centre in the middle of the image."""
        width, height = self.size
        theirs = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        image = self.pelvis / self.pelvis[:, 2:] @ self.matrix.T
        depth = self.pelvis[:, 2:] * focal / self.matrix[0, 0]
        place = image @ np.linalg.inv(theirs).T * depth
        rotations = self.rotations.copy()
        rotations[:, 0] = so3.rotation_between(self.pelvis, place) @ rotations[:, 0]
        return Walker(rotations, place, self.betas, self.rest_pelvis, theirs, self.size)

    @property
    def transl(self) -> Array:
        return self.pelvis - self.rest_pelvis

    @property
    def vectors(self) -> Array:
        return so3.matrix_to_axis_angle(self.rotations)


def write_own(path: Path, body: Walker, **changes: Any) -> Path:
    values = {
        "global_orient": body.vectors[:, 0],
        "body_pose": body.vectors[:, 1:],
        "betas": body.betas,
        "transl": body.transl,
    }
    values |= changes
    np.savez(path, **{key: value for key, value in values.items() if value is not None})
    return path


def write_weak(path: Path, body: Walker) -> Path:
    """BioPose's layout with HMR's weak camera of a crop."""
    far = body.seen_with(5000 / 256 * max(body.size))
    side = np.full(len(far.pelvis), 400.0)
    image = far.transl / far.transl[:, 2:] @ far.matrix.T
    centre = image[:, :2] + [7.0, -11.0]
    scale = 2 * far.matrix[0, 0] / (side * far.transl[:, 2])
    weak = np.column_stack([scale, *((image[:, :2] - centre) / (scale * side / 2)[:, None]).T])
    return write_own(path, far, transl=None, camera=weak, box=np.column_stack([centre, side]))


def write_phalp(path: Path, body: Walker) -> Path:
    """4D-Humans: two people, 7 is `body`; 3 stands still elsewhere. 7 is lost in no frame, 3 in the last."""
    far = body.seen_with(5000 / 256 * max(body.size))
    frames: dict[str, Any] = {}
    for t in range(len(far.pelvis)):
        other = {
            "global_orient": np.eye(3)[None],
            "body_pose": np.tile(np.eye(3), (23, 1, 1)),
            "betas": np.zeros(10),
        }
        mine = {
            "global_orient": far.rotations[t, :1],
            "body_pose": far.rotations[t, 1:],
            "betas": far.betas,
        }
        frames[f"img/{t + 1:06d}.jpg"] = {
            "time": t,
            "tid": [3, 7],
            "tracked_time": [int(t == len(far.pelvis) - 1), 0],
            "size": [[body.size[1], body.size[0]]] * 2,
            "smpl": [other, mine],
            "camera": [np.array([0.0, 0, 60]), far.transl[t]],
        }
    path.write_bytes(pickle.dumps(frames))
    return path


def write_wham(path: Path, body: Walker, frames: Array | None = None) -> Path:
    theirs = body.seen_with(float(np.hypot(*body.size)))
    at = np.arange(len(body.pelvis)) if frames is None else frames
    person = {
        "pose": theirs.vectors[at].reshape(len(at), 72),
        "trans": theirs.transl[at],
        "betas": np.tile(body.betas, (len(at), 1)),
        "verts": np.zeros((len(at), 1, 3)),
        "frame_ids": at,
    }
    results: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    results[0] = person
    path.write_bytes(pickle.dumps(results))
    return path


def write_gvhmr(path: Path, body: Walker) -> Path:
    """GVHMR: SMPL-X, so that the translation counts from another origin, and a body without hands."""
    theirs = body.seen_with(float(np.hypot(*body.size)))
    count = len(body.pelvis)
    incam = {
        "global_orient": theirs.vectors[:, 0],
        "body_pose": theirs.vectors[:, 1:22].reshape(count, 63),
        "betas": np.full((count, 10), 0.5),
        "transl": theirs.pelvis - [0.003, -0.351, 0.012],
    }
    pred = {
        "smpl_params_incam": {key: torch.tensor(value) for key, value in incam.items()},
        "K_fullimg": torch.tensor(theirs.matrix).expand(count, 3, 3),
    }
    torch.save(pred, path)
    return path
