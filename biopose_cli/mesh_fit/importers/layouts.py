"""What the tools write, each turned into one `Track`. `docs/guide/import_mesh.md` names the sources of these facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.body.kinematics import NUM_BETAS, NUM_JOINTS
from biopose_cli.errors import TrackFileError
from biopose_cli.geometry import so3
from biopose_cli.io.video.probe import VideoInfo
from biopose_cli.mesh_fit.importers.safe_load import HINT, safe_load
from biopose_cli.typing import Array

# HMR's crop camera: 5000 px on an image of 256 px, nearly a parallel projection
_CROP_FOCAL = 5000 / 256
# SMPL-X's pelvis relative to its origin, neutral mean body, m, rounded; SMPL's file has its own
_SMPLX_PELVIS = np.array([0.003, -0.351, 0.012])
_SMPLX_SHAPE = (
    "the track has an SMPL-X shape, whose components differ from SMPL's: the mean shape is used, "
    "so lengths are correct only up to scale; give --height"
)
_ORTHONORMAL_TOL = 1e-2  # largest deviation of a rotation matrix from orthonormality


@dataclass(frozen=True)
class Track:
    """One person's SMPL parameters in N frames, in the camera frame of the tool that made them."""

    layout: str
    frame: Array  # (N) index in the video, from 0
    rotations: Array  # (N,24,3,3) relative to the parent; joint 0: to the camera
    transl: Array  # (N,3) m, SMPL's
    betas: Array  # (N,10)
    camera: Array | None = None  # (3,3) px, the tool's camera; None: BioPose's
    rest_pelvis: Array | None = None  # (3) m, of the tool's body; None: of the SMPL body in use
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Layout:
    name: str
    matches: Callable[[Any], bool]
    track_ids: Callable[[Any], dict[str, Any]]  # names of the tracks, and the key of each
    parse: Callable[[Any, Any, VideoInfo], Track]


def load_track(path: Path, track: str | None, info: VideoInfo) -> Track:
    """Load the track `track` (None: the only one) of the file `path`, made from the video `info`.

    Raises
    ------
    TrackFileError
        The file is unsafe, of unknown layout, inconsistent with itself or the video, or has no such track.
    """
    values = safe_load(path)
    layout = next((candidate for candidate in _LAYOUTS if isinstance(values, dict) and candidate.matches(values)), None)
    if layout is None:
        raise TrackFileError(f"{path} holds no SMPL track in a known layout", HINT)
    try:
        tracks = layout.track_ids(values)
        key = _select_track(path, tracks, track)
        result = layout.parse(values, key, info)
        _check_frames(result, info)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise TrackFileError(f"{path}, read as {layout.name}: {reason}", HINT) from error
    return result


def _select_track(path: Path, tracks: dict[str, Any], track: str | None) -> Any:
    names = ", ".join(tracks)
    if not tracks:
        raise TrackFileError(f"{path} holds no person", "Run the tool on a video that shows one")
    if track is None and len(tracks) > 1:
        raise TrackFileError(f"{path} holds {len(tracks)} tracks: {names}", "Choose one with --track")
    if track is not None and track not in tracks:
        raise TrackFileError(f"--track {track}: {path} holds only {names}", "Choose one of them")
    return tracks[track] if track is not None else next(iter(tracks.values()))


def _check_frames(track: Track, info: VideoInfo) -> None:
    if not len(track.frame):
        raise ValueError("it has no frames")
    if len(np.unique(track.frame)) != len(track.frame) or track.frame.min() < 0:
        raise ValueError("its frame numbers are negative, or some come twice")
    if info.frame_count is not None and track.frame.max() >= info.frame_count:
        raise ValueError(f"frame {track.frame.max()} is beyond the {info.frame_count} frames of {info.path.name}")


def _biopose(values: dict[str, Any], key: Any, info: VideoInfo) -> Track:
    """BioPose's own layout."""
    count = len(_finite_array("global_orient", values["global_orient"]))
    if "transl" in values:
        transl, camera = _rows("transl", values["transl"], 3, count), values.get("camera_matrix")
    else:
        camera = _crop_camera(info)
        weak_camera, box = _rows("camera", values["camera"], 3, count), _rows("box", values["box"], 3, count)
        transl = _translation_from_weak_camera(weak_camera, box, camera)
    has_frame_numbers = "frame" in values
    frame = _finite_array("frame", values["frame"]).astype(np.int64) if has_frame_numbers else _all_frames(count, info)
    if frame.shape != (count,):
        raise ValueError(f"frame has the shape {frame.shape}, not ({count},) for the frames of global_orient")
    return Track(
        "BioPose's layout",
        frame,
        _pose(values["global_orient"], values["body_pose"]),
        transl,
        _betas(values["betas"], count),
        None if camera is None else _camera_matrix(camera),
    )


def _phalp(values: dict[str, Any], key: Any, info: VideoInfo) -> Track:
    """4D-Humans: a dict of frames; each has lists over the live tracks."""
    entries: list[tuple[int, dict[str, Any], Array]] = []
    for frame in values.values():
        if key not in (ids := [int(i) for i in frame["tid"]]):
            continue
        at = ids.index(key)
        height, width = (int(n) for n in frame["size"][at])
        if (width, height) != (info.width, info.height):
            raise ValueError(
                f"the images of the track are {width}x{height} px, the video is {info.width}x{info.height}"
            )
        if int(frame["tracked_time"][at]) == 0:  # otherwise the track was lost here, and the body is an old one
            entries.append((int(frame["time"]), frame["smpl"][at], frame["camera"][at]))
    if not entries:
        raise ValueError(f"track {key} is visible in no frame")
    people = [person for _, person, _ in entries]
    return Track(
        "4D-Humans' output",
        np.array([time for time, _, _ in entries]),
        _pose(np.stack([p["global_orient"] for p in people]), np.stack([p["body_pose"] for p in people])),
        _rows("camera", np.stack([camera for _, _, camera in entries]), 3, len(entries)),
        _betas(np.stack([np.ravel(p["betas"]) for p in people]), len(entries)),
        _crop_camera(info),
    )


def _wham(values: dict[Any, Any], key: Any, info: VideoInfo) -> Track:
    """WHAM: a dict of persons. `pose` and `trans` are in the camera frame, its focal length is the image's diagonal."""
    person = values[key]
    frame = _finite_array("frame_ids", person["frame_ids"]).astype(np.int64)
    pose = _rows("pose", person["pose"], 3 * NUM_JOINTS, len(frame))
    return Track(
        "WHAM's output",
        frame,
        _pose(pose[:, :3], pose[:, 3:]),
        _rows("trans", person["trans"], 3, len(frame)),
        _betas(person["betas"], len(frame)),
        _centered_camera(float(np.hypot(info.width, info.height)), info),
    )


def _gvhmr(values: dict[str, Any], key: Any, info: VideoInfo) -> Track:
    """GVHMR: one person in every frame, as an SMPL-X body, whose shape components differ from SMPL's."""
    body = values["smpl_params_incam"]
    count = len(body["global_orient"])
    return Track(
        "GVHMR's output",
        _all_frames(count, info),
        _pose(body["global_orient"], body["body_pose"]),
        _rows("transl", body["transl"], 3, count),
        np.zeros((count, NUM_BETAS)),
        _camera_matrix(values["K_fullimg"][0]),
        _SMPLX_PELVIS,
        (_SMPLX_SHAPE,),
    )


def _phalp_track_ids(values: dict[str, Any]) -> dict[str, Any]:
    ids = sorted({int(i) for frame in values.values() for i in frame["tid"]})
    return {str(i): i for i in ids}


def _single_track_id(values: dict[str, Any]) -> dict[str, Any]:
    return {"1": None}


def _all_have_keys(values: dict[Any, Any], *keys: str) -> bool:
    return bool(values) and all(isinstance(v, dict) and all(key in v for key in keys) for v in values.values())


_LAYOUTS = (
    _Layout("BioPose's layout", lambda v: "global_orient" in v, _single_track_id, _biopose),
    _Layout("GVHMR's output", lambda v: "smpl_params_incam" in v, _single_track_id, _gvhmr),
    _Layout("4D-Humans' output", lambda v: _all_have_keys(v, "tid", "smpl", "camera"), _phalp_track_ids, _phalp),
    _Layout(
        "WHAM's output",
        lambda v: _all_have_keys(v, "pose", "trans", "betas"),
        lambda v: {str(k): k for k in v},
        _wham,
    ),
)


def _finite_array(name: str, value: Any) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite numbers")
    if array.ndim == 0:
        raise ValueError(f"{name} is a single number")
    return array.astype(np.float64)


def _rows(name: str, value: Any, width: int, count: int) -> Array:
    array = _finite_array(name, value)
    if array.shape != (count, width):
        raise ValueError(f"{name} has the shape {array.shape}, not ({count}, {width})")
    return array


def _betas(value: Any, count: int) -> Array:
    array = _finite_array("betas", value)
    if array.shape not in {(NUM_BETAS,), (count, NUM_BETAS)}:
        raise ValueError(f"betas has the shape {array.shape}, not ({NUM_BETAS},) or ({count}, {NUM_BETAS})")
    return np.broadcast_to(array, (count, NUM_BETAS))


def _pose(global_orient: Any, body_pose: Any) -> Array:
    """Rotations (N,24,3,3) from rotation vectors or matrices; a body of 21 joints has no hands."""
    root = _rotations("global_orient", global_orient, (1,))
    body = _rotations("body_pose", body_pose, (NUM_JOINTS - 3, NUM_JOINTS - 1))
    if len(root) != len(body):
        raise ValueError(f"global_orient has {len(root)} frames, body_pose has {len(body)}")
    hands = np.broadcast_to(np.eye(3), (len(root), NUM_JOINTS - 1 - body.shape[1], 3, 3))
    return np.concatenate([root, body, hands], axis=1)


def _rotations(name: str, value: Any, joints: tuple[int, ...]) -> Array:
    array = _finite_array(name, value)
    as_matrix = array.ndim >= 3 and array.shape[-2:] == (3, 3)
    size = 9 if as_matrix else 3
    if array[0].size not in {size * n for n in joints}:
        raise ValueError(f"{name} has the shape {array.shape}, not {' or '.join(map(str, joints))} rotations a frame")
    if not as_matrix:
        return so3.axis_angle_to_matrix(array.reshape(len(array), -1, 3))
    matrices = array.reshape(len(array), -1, 3, 3)
    rotations = so3.project_to_so3(matrices)
    if np.abs(rotations - matrices).max() > _ORTHONORMAL_TOL:
        raise ValueError(f"{name} holds matrices that are not rotations")
    return rotations


def _all_frames(count: int, info: VideoInfo) -> Array:
    """Frame numbers of a track without any: it must have a body for every frame."""
    if info.frame_count is not None and count != info.frame_count:
        raise ValueError(f"it has {count} frames without numbers, {info.path.name} has {info.frame_count}")
    return np.arange(count)


def _camera_matrix(value: Any) -> Array:
    matrix = _finite_array("the camera matrix", value)
    if matrix.shape != (3, 3) or not (matrix[0, 0] > 0 and matrix[1, 1] > 0):
        raise ValueError(f"the camera matrix is impossible: {matrix.ravel().tolist()}")
    return matrix


def _crop_camera(info: VideoInfo) -> Array:
    return _centered_camera(_CROP_FOCAL * max(info.width, info.height), info)


def _centered_camera(focal: float, info: VideoInfo) -> Array:
    return np.array([[focal, 0, info.width / 2], [0, focal, info.height / 2], [0, 0, 1]])


def _translation_from_weak_camera(weak_camera: Array, box: Array, camera: Array) -> Array:
    """HMR's weak camera (scale, x, y) of a square crop (centre x, y, side; px) as a translation before `camera`."""
    if (weak_camera[:, 0] <= 0).any() or (box[:, 2] <= 0).any():
        raise ValueError("camera's scale and box's side must be positive")
    scale_px = weak_camera[:, 0] * box[:, 2] / 2  # px per m
    offset_xy = weak_camera[:, 1:] + (box[:, :2] - camera[:2, 2]) / scale_px[:, None]
    return np.concatenate([offset_xy, camera[0, 0] / scale_px[:, None]], axis=1)
