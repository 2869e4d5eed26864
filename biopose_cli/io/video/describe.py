"""Output of `biopose info`."""

from __future__ import annotations

from biopose_cli.io.video.intrinsics import fov_from_focal, resolve_intrinsics
from biopose_cli.io.video.probe import VideoInfo
from biopose_cli.settings import Settings

Fact = str | int | float | bool | None | list[str]


def describe(info: VideoInfo, settings: Settings | None = None) -> dict[str, Fact]:
    """All properties of a file that the program uses, ready for JSON; units are in the names.

    With `settings`, the camera is the one that a run with them would use.
    """
    camera = resolve_intrinsics(info, settings or Settings())
    focal = float(camera.matrix[0, 0])
    return {
        "file": str(info.path),
        "width_px": info.width,
        "height_px": info.height,
        "rotation_deg": info.rotation,
        "mirrored": info.mirrored,
        "frames": info.frame_count,
        "duration_s": info.duration,
        "frame_rate_hz": info.frame_rate,
        "variable_rate": info.variable_rate,
        "codec": info.codec,
        "pixel_format": info.pixel_format,
        "interlaced": info.interlaced,
        "audio": info.has_audio,
        "focal_px": focal,
        "focal_source": camera.source,
        "focal_tag": info.focal_tag,
        "fov_deg": fov_from_focal(focal, info),
        "warnings": [*info.warnings, *camera.warnings],
    }
