"""`NAME_summary.json`: input, settings and quality of a result. `docs/guide/outputs.md` describes every key."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.geometry.camera import roll_pitch_from_up
from biopose_cli.io.atomic import atomic_write
from biopose_cli.io.results import Detection, JointKinematics, Refined
from biopose_cli.io.video.probe import VideoInfo, content_hash
from biopose_cli.settings import Settings
from biopose_cli.typing import Array
from biopose_cli.version import __version__

_LEVEL_TOLERANCE = 1e-3  # degrees
SCHEMA = 2  # grows when a key changes its meaning or goes away
PACKAGES = ("opensim", "torch", "smplx", "numpy", "pandas", "scipy", "opencv-python-headless", "av", "ai-edge-litert")


def write_summary(
    path: Path,
    info: VideoInfo,
    detection: Detection,
    refined: Refined,
    kinematics: JointKinematics,
    settings: Settings,
    files: Sequence[Path],
    warnings: Sequence[str] = (),
) -> None:
    """Write the summary of one clip; `files` are the other results, `warnings` those of the export itself.

    Unknown numbers are null: the file contains no NaN.

    Raises
    ------
    DiskFullError, OutputError
    """
    summary = {
        "schema": SCHEMA,
        "name": path.stem.removesuffix("_summary"),
        "software": _software(),
        "settings": asdict(settings),
        "video": _video(info),
        "camera": {
            "focal_px": detection.camera_matrix[0, 0],
            "focal_source": detection.focal_source,
            "camera_matrix": detection.camera_matrix,
            "dist_coeffs": detection.dist_coeffs,
            **_camera_tilt(kinematics, settings),
        },
        "person": {
            "number": detection.person,
            "people": len(detection.people_box),
            "height_m": refined.stature_m,
            "height_source": refined.stature_source,
            "mass_kg": kinematics.mass_kg,
            "mass_source": kinematics.mass_source,
        },
        "frames": _frames(detection, kinematics),
        "quality": _quality(detection, refined, kinematics),
        "range_of_motion": _range_of_motion(kinematics),
        "scale_factors": {str(b): s for b, s in zip(kinematics.bodies, kinematics.scale, strict=True)},
        "ground_from_camera": kinematics.ground_from_camera,
        "warnings": list(
            dict.fromkeys([*info.warnings, *detection.warnings, *refined.warnings, *kinematics.warnings, *warnings])
        ),
        "files": {file.name: {"sha256": content_hash(file), "bytes": file.stat().st_size} for file in files},
    }
    with atomic_write(path) as temporary:
        text = json.dumps(_to_json(summary), indent=2, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def _software() -> dict[str, str | None]:
    return {
        "biopose": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str | None:
    """Version of a package; None if it is installed under another name, like conda's OpenCV."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _video(info: VideoInfo) -> dict[str, Any]:
    return {
        "file": info.path.name,
        "width_px": info.width,
        "height_px": info.height,
        "rotation_deg": info.rotation,
        "frames": info.frame_count,
        "duration_s": info.duration,
        "frame_rate": info.frame_rate,
        "variable_frame_rate": info.variable_rate,
        "codec": info.codec,
        "pixel_format": info.pixel_format,
        "focal_px": info.focal_px,
        "focal_tag": info.focal_tag,
    }


def _camera_tilt(kinematics: JointKinematics, settings: Settings) -> dict[str, Any]:
    """The camera's tilt, degrees, and its source."""
    roll, pitch = np.degrees(roll_pitch_from_up(kinematics.ground_from_camera[1, :3]))
    angles = {"pitch": (pitch, settings.camera_pitch), "roll": (roll, settings.camera_roll)}
    summary: dict[str, Any] = {}
    for name, (angle, given) in angles.items():
        default_source = "assumed: level" if abs(angle) < _LEVEL_TOLERANCE else "the person's balance and the floor"
        summary[f"{name}_deg"] = angle
        summary[f"{name}_source"] = default_source if given is None else f"--camera-{name}"
    return summary


def _frames(detection: Detection, kinematics: JointKinematics) -> dict[str, Any]:
    return {
        "count": len(detection.time),
        "first_s": detection.time[0],
        "last_s": detection.time[-1],
        "measured": detection.visible.sum(),
        "filled": detection.interpolated.sum(),
        "left_right_repaired": detection.swapped.sum(),
        "not_seen": (~detection.usable).sum(),
        "with_angles": kinematics.valid.sum(),
    }


def _quality(detection: Detection, refined: Refined, kinematics: JointKinematics) -> dict[str, Any]:
    """Distances of the keypoints from the body, and of the body's markers from the skeleton."""
    pixels = refined.reprojection_px[np.isfinite(refined.reprojection_px)]
    person_height_px = detection.box[:, 3] - detection.box[:, 1]
    residual = 1000 * np.where(kinematics.valid[:, None], kinematics.marker_residual, np.nan)
    by_marker = {str(n): _mean(residual[:, i]) for i, n in enumerate(kinematics.marker_names)}
    return {
        "reprojection_px_mean": _mean(pixels),
        "reprojection_px_max": pixels.max() if pixels.size else None,
        "reprojection_of_height": _mean(pixels) / _mean(person_height_px),
        "marker_residual_mm_mean": _mean(residual),
        "marker_residual_mm_max": np.nanmax(residual) if np.isfinite(residual).any() else None,
        "marker_residual_mm_by_marker": by_marker,
        "angle_sd_deg": _angle_std_summary(kinematics),
    }


def _angle_std_summary(kinematics: JointKinematics) -> dict[str, Any] | None:
    """By how much each angle may be wrong, on average and at worst; None where that is not known."""
    columns = {name: std[kinematics.valid] for name, std in kinematics.std_deg.items()}
    return {name: {"mean": column.mean(), "max": column.max()} for name, column in columns.items()} or None


def _range_of_motion(kinematics: JointKinematics) -> dict[str, Any]:
    """Minimum, maximum and their difference per coordinate, over the frames with angles."""
    q = kinematics.q[kinematics.valid].astype(np.float64)
    ranges = {}
    for i, name in enumerate(map(str, kinematics.coordinates)):
        if name.endswith("_beta"):  # the patella follows the knee
            continue
        is_rotation = bool(kinematics.rotational[i])
        values = np.rad2deg(q[:, i]) if is_rotation else q[:, i]
        low, high = (values.min(), values.max()) if len(values) else (np.nan, np.nan)
        ranges[name] = {"min": low, "max": high, "range": high - low, "unit": "deg" if is_rotation else "m"}
    return ranges


def _mean(values: Array) -> float:
    """Mean of the finite values, or NaN."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def _to_json(value: Any) -> Any:
    """Python's own types, rounded to significant digits; None for values that are not finite."""
    if isinstance(value, dict):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_to_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return _to_json(value.item())
    if isinstance(value, float):
        return float(f"{value:.7g}") if np.isfinite(value) else None
    return value
