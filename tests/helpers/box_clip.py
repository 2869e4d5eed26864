"""A small clip with made-up results: a box for a body, so that every pixel can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import torch
from torch import Tensor

from biopose_cli.io.results import Detection, JointKinematics, Refined
from biopose_cli.io.video.probe import VideoInfo, probe
from biopose_cli.render import overlay

FRAMES, FIRST, T = 12, 2, 8  # of the video; of the detection
WIDTH, HEIGHT, FOCAL, DEPTH = 160, 120, 100.0, 4.0
HALF = 0.4  # m, half the box's side
CORNERS = HALF * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
QUADS = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


class BoxBody:
    """The parts of `body.model.Body` that drawing needs; all joints are in the middle."""

    faces = np.array([t for a, b, c, d in QUADS for t in ((a, b, c), (a, c, d))])
    parents = (-1, *([0] * 23))

    def vertices(self, body_pose: Tensor, global_orient: Tensor, betas: Tensor, transl: Tensor) -> Tensor:
        return torch.from_numpy(CORNERS) + transl[:, None]

    def pose(
        self, body_pose: Tensor, global_orient: Tensor, betas: Tensor, transl: Tensor
    ) -> SimpleNamespace:
        return SimpleNamespace(joints=transl[:, None].expand(-1, 24, -1))


@dataclass(frozen=True)
class Clip:
    info: VideoInfo
    detection: Detection
    refined: Refined
    joints: JointKinematics


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clip:
    """Twelve grey frames, 10 a second; the person is in frames 2 to 9 and out of sight in 4 and 5."""
    monkeypatch.setattr(overlay, "load_body", lambda path: BoxBody())
    path = tmp_path / "walk.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for _ in range(FRAMES):
            image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return make_clip(probe(path))


def make_clip(info: VideoInfo) -> Clip:
    seen = np.ones(T, bool)
    seen[2:4] = False
    time = np.arange(FIRST, FIRST + T) / 10
    flags = np.arange(T)
    box = np.tile(np.array([70, 50, 90, 70.0]), (T, 1))
    box[~seen] = np.nan
    detection = Detection(
        time=time,
        frame=np.arange(FIRST, FIRST + T),
        image_size=np.array([WIDTH, HEIGHT]),
        box=box,
        roi=np.zeros((T, 4)),
        keypoints_2d=np.full((T, 33, 2), np.nan),
        confidence=np.zeros((T, 33)),
        landmarks_3d=np.zeros((T, 33, 3)),
        visible=seen & (flags != 1),
        swapped=flags == 5,
        interpolated=flags == 1,
        people_box=np.stack([np.full((T, 4), np.nan), box]),
        camera_matrix=np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]]),
        dist_coeffs=np.zeros(5),
        focal_source="default",
        person=2,
        warnings=("the focal length is a guess",),
    )
    reprojection = np.where(seen, 3.0, np.nan)
    refined = Refined(
        body_pose=np.zeros((T, 23, 3)),
        global_orient=np.zeros((T, 3)),
        betas=np.zeros(10),
        transl=np.tile(np.array([0, 0, DEPTH]), (T, 1)),
        query_tokens=np.zeros((T, 0, 0)),
        reprojection_px=reprojection,
        stature_m=1.8,
        stature_source="--height",
        loss=np.zeros(2),
    )
    q = np.stack([0.1 * flags, 0.5 * flags, 0.2 * flags, 0.2 * flags], axis=1)
    q[~seen] = np.nan
    residual = np.full((T, 2), [0.010, 0.020])
    residual[~seen] = np.nan
    joints = JointKinematics(
        time=time,
        q=q,
        coordinates=np.array(["pelvis_tilt", "pelvis_tx", "knee_angle_r", "knee_angle_r_beta"]),
        rotational=np.array([True, False, True, False]),
        scale=np.array([[1.0, 1.1, 1.2]]),
        bodies=np.array(["pelvis"]),
        markers=np.where(seen[:, None, None], 1.0, np.nan) * np.ones((T, 2, 3)),
        marker_names=np.array(["RASI", "LASI"]),
        marker_residual=residual,
        valid=seen,
        ground_from_camera=np.eye(4),
        model_xml="<?xml version='1.0'?>\n<OpenSimDocument Version='40000'/>\n",
        mass_kg=75.0,
        mass_source="--mass",
        warnings=("the focal length is a guess", "feet never touch the floor"),
    )
    return Clip(info, detection, refined, joints)
