"""Clips with ground truth: images as a video file, and the joint angles of the rendered body."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from biopose_cli.geometry.camera import roll_pitch_from_up
from biopose_cli.ik import stage as neurik
from biopose_cli.io.atomic import atomic_write
from biopose_cli.io.results import Refined
from biopose_cli.io.storage import write_mot
from biopose_cli.render.scene import Camera
from biopose_cli.settings import Settings
from biopose_cli.synthesis.rendering import Actor, to_camera_frame
from biopose_cli.typing import Array

FPS = 30
_FOCAL = "com.apple.quicktime.camera.focal_length.35mm_equivalent"  # the key that phones use


def write_video(
    path: Path,
    images: Iterable[Array],
    *,
    focal_35mm: float | None = None,
    quality: int = 18,
    preset: str = "slow",
) -> None:
    """Encode images (H, W, 3) uint8 RGB, of one even size, as H.264 at `FPS`.

    Parameters
    ----------
    path : output file
    images : frames in order
    focal_35mm : 35 mm equivalent focal length for the metadata, mm; None: not written
    quality : x264's CRF; lower is better and larger
    preset : x264's preset
    """
    with (
        atomic_write(path) as temporary,
        av.open(str(temporary), "w", format="mp4", options={"movflags": "use_metadata_tags+faststart"}) as file,
    ):
        if focal_35mm is not None:
            file.metadata[_FOCAL] = str(focal_35mm)
        options = {"crf": str(quality), "preset": preset, "threads": "1"}
        stream = file.add_stream("libx264", rate=FPS, options=options)
        for number, image in enumerate(images):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def write_angles(path: Path, actor: Actor, pose: Array, betas: Array, transl: Array, camera: Camera) -> None:
    """Joint angles that BioPose computes from the rendered body's exact markers and the true camera tilt.

    Parameters
    ----------
    path : .mot file to write
    actor : the body
    pose : (T, 24, 3) rad, world (y up)
    betas : (10,)
    transl : (T, 3) m
    camera : its orientation defines the ground frame
    """
    frames = len(pose)
    camera_pose, camera_transl = to_camera_frame(camera, pose, transl, actor.rest_body(betas).joints[0])
    body = Refined(
        body_pose=camera_pose[:, 1:],
        global_orient=camera_pose[:, 0],
        betas=betas,
        transl=camera_transl,
        query_tokens=np.zeros((frames, 0, 0)),
        reprojection_px=np.zeros(frames),
    )
    pitch, roll = tilt(camera)
    settings = Settings(camera_pitch=pitch, camera_roll=roll)
    joints = neurik.run(np.arange(frames) / FPS, np.ones(frames, bool), body, settings)
    write_mot(path, joints.time, [str(name) for name in joints.coordinates], joints.file_values)


def tilt(camera: Camera) -> tuple[float, float]:
    """Pitch and roll of a camera, degrees, as in `--camera-pitch` and `--camera-roll`."""
    roll, pitch = np.degrees(roll_pitch_from_up(camera.rotation[:, 1]))  # the world's up in the camera's axes
    return float(pitch), float(roll)
