"""The mesh stage of `biopose import-mesh`: another tool's track as the clip's mesh.

The tool's camera differs from BioPose's. The body is moved to where this camera has its pelvis in the same pixel, at
the same size, and rotated with the line of sight, so that its image stays the same. It is not refined.
"""

from __future__ import annotations

import numpy as np
import torch

from biopose_cli.body.kinematics import NUM_BETAS, KinematicChain, Pose, build_kinematic_chain
from biopose_cli.body.model import load_body
from biopose_cli.errors import PersonError, SettingError, TrackFileError
from biopose_cli.geometry import so3
from biopose_cli.geometry.camera import project, undistort, unproject
from biopose_cli.io.results import Detection, Mesh
from biopose_cli.io.video.probe import VideoInfo
from biopose_cli.mesh_fit.importers.layouts import Track, load_track
from biopose_cli.mesh_fit.mesh_stage import artifact_fields, build_shape_prior
from biopose_cli.mesh_fit.observations import build_observations
from biopose_cli.settings import Settings
from biopose_cli.typing import Array

_MIN_COVERAGE = 0.5  # fraction of the person's frames that must be in the track
_MAX_DISTANCE = 0.25  # of the person's height: keypoints further from the body's belong to somebody else


def run(info: VideoInfo, detection: Detection, settings: Settings) -> Mesh:
    """Convert the track of `settings.track` to the frames of `detection`, with one shape: the median of the track's.

    Missing frames are interpolated, and a warning counts them. `settings.height` scales the body to that height and
    moves it along the line of sight, so that its image stays the same.

    Raises
    ------
    TrackFileError
        The file cannot be used, or belongs to another video.
    PersonError
        The track belongs to another person than the chosen one.
    SettingError, BodyFileError
    """
    if settings.track is None:
        raise SettingError("--mesh import needs a track", "Use biopose import-mesh")
    body = load_body(settings.body)
    build_shape_prior(body, settings.height)  # refuses an impossible height
    chain = build_kinematic_chain(body)
    track = load_track(settings.track, settings.track_id, info)
    notes = list(track.notes)

    rotations, pelvis = _in_our_camera(track, _pelvis_position(chain, track), detection)
    betas = torch.tensor(np.median(track.betas, axis=0), dtype=torch.float32)
    if np.ptp(track.betas, axis=0).max() > 0:
        notes.append("the track's shape varies over time: its median is used")
    if settings.height is not None:
        pelvis = pelvis * (settings.height / float(body.stature(betas)))
        betas = body.betas_for_stature(settings.height, betas)

    row_of_frame = {int(frame): row for row, frame in enumerate(track.frame)}
    rows = np.array([row_of_frame.get(int(frame), -1) for frame in detection.frame])
    in_track = rows >= 0
    if in_track.mean() < _MIN_COVERAGE:
        raise TrackFileError(
            f"{settings.track} has a body in only {in_track.sum()} of the {len(rows)} frames of person "
            f"{detection.person}",
            "It belongs to another video or person: choose with --track or --person, or cut with --start and --end",
        )
    if not in_track.all():
        notes.append(f"{(~in_track).sum()} of {len(rows)} frames are not in the track and were interpolated")
    time = detection.time
    shape = np.zeros(chain.num_shape_params)
    shape[:NUM_BETAS] = betas.numpy()
    pose = Pose(
        so3.interpolate(rotations[rows], in_track, time),
        np.stack([np.interp(time, time[in_track], axis) for axis in pelvis[rows[in_track]].T], axis=1)
        - (chain.rest_joints[0] + chain.joint_shapedirs[0] @ shape),
        shape,
    )
    values = artifact_fields(body, chain, pose, build_observations(detection), settings.height)
    _check_person(values["reprojection_px"], detection)
    source = "--height" if settings.height is not None else track.layout
    return Mesh(**values | {"stature_source": source, "warnings": tuple(notes)})


def _pelvis_position(chain: KinematicChain, track: Track) -> Array:
    """Position (N,3) m of the pelvis joint in the tool's camera frame."""
    if track.rest_pelvis is not None:
        return track.transl + track.rest_pelvis
    return np.asarray(track.transl + chain.rest_joints[0] + track.betas @ chain.joint_shapedirs[0, :, :NUM_BETAS].T)


def _in_our_camera(track: Track, pelvis: Array, detection: Detection) -> tuple[Array, Array]:
    """Rotations (N,24,3,3) and pelvis (N,3) m in this clip's camera frame."""
    if (pelvis[:, 2] <= 0).any():
        raise TrackFileError(
            f"the track, read as {track.layout}, is behind the camera in {(pelvis[:, 2] <= 0).sum()} frames",
            "The camera frame is x right, y down, z forward",
        )
    if track.camera is None:
        return track.rotations, pelvis
    ours, theirs = detection.camera_matrix, track.camera
    pixels = project(pelvis, theirs)
    undistorted = undistort(pixels, ours, detection.dist_coeffs)
    undistorted = np.where(np.isfinite(undistorted), undistorted, pixels)  # outside what the lens can show
    ray = unproject(undistorted, ours)
    depth = pelvis[:, 2:] * (ours[0, 0] / theirs[0, 0])
    position = np.concatenate([ray * depth, depth], axis=1)
    rotations = track.rotations.copy()
    rotations[:, 0] = so3.rotation_between(pelvis, position) @ rotations[:, 0]
    return rotations, position


def _check_person(distance: Array, detection: Detection) -> None:
    person_height = float(np.nanmedian(detection.box[:, 3] - detection.box[:, 1]))
    median = float(np.median(distance[detection.visible]))
    if not median < _MAX_DISTANCE * person_height:
        raise PersonError(
            f"the track is {median:.0f} px from the keypoints of person {detection.person}, who is "
            f"{person_height:.0f} px tall",
            "Choose the person with --person as numbered in the overlay, or the track with --track",
        )
