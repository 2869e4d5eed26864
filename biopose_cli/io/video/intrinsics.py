"""Camera intrinsics: focal length, principal point and distortion, from the user, the file, or a default."""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.errors import SettingError
from biopose_cli.io.video.probe import VideoInfo
from biopose_cli.settings import Settings
from biopose_cli.typing import Array

# Degrees across the longer side. Main cameras of phones are sold as 23 to 28 mm (35 mm equivalent), which is 74 to 63
# degrees on the whole 4:3 sensor. The crop for video and its stabilisation leaves less: 61 degrees were self-calibrated
# on an iPhone 13, and the four cameras of Pose2Sim's demo are calibrated to 59.5.
DEFAULT_FOV = 60.0
FOV_RANGE = (5.0, 170.0)  # degrees; outside it, the pinhole model does not apply
_KEYS = ("camera_matrix", "dist_coeffs", "image_size")
_ASPECT_TOLERANCE = 0.01  # relative difference of aspect ratios that rounding to whole pixels explains


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera with OpenCV's distortion, for the upright image (pixel centres at half-integers)."""

    matrix: Array  # (3, 3) float64, px
    dist: Array  # (5,) float64: k1, k2, p1, p2, k3
    source: str  # "--intrinsics", "--focal", "--fov", "metadata" or "default"
    warnings: tuple[str, ...] = ()


def resolve_intrinsics(info: VideoInfo, settings: Settings) -> Intrinsics:
    """Camera from --intrinsics, --focal or --fov, else the file's metadata, else `DEFAULT_FOV` with a warning.

    Raises
    ------
    SettingError
        More than one of the three options, an impossible value, or an invalid file.
    """
    given = [f"--{name}" for name in ("intrinsics", "focal", "fov") if getattr(settings, name) is not None]
    if len(given) > 1:
        raise SettingError(f"{' and '.join(given)} contradict each other", "Give only one of them")
    if settings.intrinsics is not None:
        matrix, dist = _read(settings.intrinsics, info)
        return Intrinsics(matrix, dist, "--intrinsics")
    if settings.focal is not None:
        return _centered(_check_focal(settings.focal, info), info, "--focal")
    if settings.fov is not None:
        return _centered(focal_from_fov(settings.fov, info), info, "--fov")
    if info.focal_px is not None:
        return _centered(info.focal_px, info, "metadata")
    focal = focal_from_fov(DEFAULT_FOV, info)
    warning = (
        f"the focal length is assumed ({focal:.0f} px: {DEFAULT_FOV:g} degrees across the longer side, typical of "
        "phones); pass --fov, --focal or --intrinsics for your camera"
    )
    return _centered(focal, info, "default", (warning,))


def focal_from_fov(fov: float, info: VideoInfo) -> float:
    """Focal length (px) from the field of view (degrees) across the longer side."""
    return 0.5 * max(info.width, info.height) / math.tan(math.radians(fov) / 2.0)


def fov_from_focal(focal: float, info: VideoInfo) -> float:
    """Field of view (degrees) across the longer side from the focal length (px)."""
    return math.degrees(2.0 * math.atan(0.5 * max(info.width, info.height) / focal))


def _centered(focal: float, info: VideoInfo, source: str, warnings: tuple[str, ...] = ()) -> Intrinsics:
    matrix = np.array([[focal, 0.0, info.width / 2.0], [0.0, focal, info.height / 2.0], [0.0, 0.0, 1.0]])
    return Intrinsics(matrix, np.zeros(5), source, warnings)


def _check_focal(focal: float, info: VideoInfo) -> float:
    shortest, longest = (focal_from_fov(fov, info) for fov in reversed(FOV_RANGE))
    if not shortest <= focal <= longest:
        raise SettingError(
            f"--focal {focal:g} px is not possible for an image of {info.width} x {info.height} px",
            f"Give pixels, not millimetres: usually about {focal_from_fov(DEFAULT_FOV, info):.0f}",
        )
    return focal


def _read(path: Path, info: VideoInfo) -> tuple[Array, Array]:
    """Camera matrix and distortion of an --intrinsics file, for this video's size."""
    values = _parse(path)
    for key in values:
        if key not in _KEYS:
            suggestion = difflib.get_close_matches(key, _KEYS, 1, 0.0)[0]
            raise _error(path, f"unknown key {key!r}", f"Did you mean {suggestion!r}? Valid keys: {', '.join(_KEYS)}")
    for key in ("camera_matrix", "image_size"):
        if key not in values:
            raise _error(
                path,
                f"{key} is missing",
                "Required: camera_matrix (3x3, px) and image_size [w, h]; dist_coeffs is optional",
            )
    matrix = _numbers(path, values, "camera_matrix", [(3, 3)], "3 rows of 3 numbers")
    size = _numbers(path, values, "image_size", [(2,)], "[width, height] in px")
    dist = np.zeros(5)
    if "dist_coeffs" in values:
        given = _numbers(
            path,
            values,
            "dist_coeffs",
            [(4,), (5,)],
            "4 or 5 numbers: k1, k2, p1, p2 and k3; other lens models are not supported",
        )
        dist[: len(given)] = given
    if np.any(size < 1.0):
        raise _error(path, f"image_size {size.tolist()} is not a size in px")
    _check_matrix(path, matrix, size)
    return _rescale(path, matrix, size, info), dist


def _check_matrix(path: Path, matrix: Array, size: Array) -> None:
    fx, fy, center = matrix[0, 0], matrix[1, 1], matrix[:2, 2]
    if np.any(matrix[[0, 1, 2, 2], [1, 0, 0, 1]] != 0.0) or matrix[2, 2] != 1.0:
        raise _error(path, "camera_matrix must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
    limits = (0.5 * size.max() / math.tan(math.radians(fov) / 2.0) for fov in reversed(FOV_RANGE))
    shortest, longest = limits
    if not (shortest <= fx <= longest and shortest <= fy <= longest):
        raise _error(
            path,
            f"focal lengths {fx:g} and {fy:g} px are not possible for image_size {_size_text(size)}",
            "Give pixels, not millimetres",
        )
    if np.any(center < 0.0) or np.any(center > size):
        raise _error(
            path,
            f"the principal point ({center[0]:g}, {center[1]:g}) is outside image_size {_size_text(size)}",
        )


def _rescale(path: Path, matrix: Array, size: Array, info: VideoInfo) -> Array:
    """Matrix for the video's size. OpenCV calibrates with pixel centres at integers, BioPose has them at .5."""
    scale = np.array([info.width, info.height]) / size
    if abs(scale[0] / scale[1] - 1.0) > _ASPECT_TOLERANCE:
        transposed = abs(size[1] / size[0] * info.height / info.width - 1.0) <= _ASPECT_TOLERANCE
        advice = (
            "Calibrate with upright images, as the video is shown"
            if transposed
            else "Calibrate in the camera's video mode that was used"
        )
        raise _error(path, f"image_size {_size_text(size)} does not fit the video's {info.width}x{info.height}", advice)
    rescaled = matrix.copy()
    rescaled[:2, 2] += 0.5
    rescaled[:2] *= scale[:, None]
    return rescaled


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingError(f"--intrinsics {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise _error(path, "it is not a text file") from error
    try:
        values = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except ValueError as error:
        raise _error(
            path, f"it is not valid {'TOML' if path.suffix.lower() == '.toml' else 'JSON'} ({error})"
        ) from error
    if not isinstance(values, dict):
        raise _error(path, "it must hold the keys " + ", ".join(_KEYS))
    return values


def _numbers(path: Path, values: dict[str, Any], key: str, shapes: list[tuple[int, ...]], wanted: str) -> Array:
    try:
        array = np.array(values[key])
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "iuf" or array.shape not in shapes or not np.all(np.isfinite(array)):
        raise _error(path, f"{key} must be {wanted}")
    return array.astype(np.float64)


def _size_text(size: Array) -> str:
    return f"{size[0]:g}x{size[1]:g}"


def _error(path: Path, what: str, hint: str = "") -> SettingError:
    return SettingError(f"--intrinsics {path}: {what}", hint)
