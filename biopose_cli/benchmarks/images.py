"""Does the image branch help? The same training from keypoints only, from images only, and from both, compared.

The runs are those of the recipes training/configs/mqhmr_keypoints.toml, mqhmr_images.toml and mqhmr_both.toml.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.benchmarks.camera_views import RealView
from biopose_cli.benchmarks.methods import Frames, by_network, rendered, seen_frames
from biopose_cli.benchmarks.mqhmr import Judge
from biopose_cli.body.model import load_body
from biopose_cli.errors import SettingError
from biopose_cli.geometry import roi as geometry
from biopose_cli.hmr.backbones.blazepose import BlazePoseBackbone
from biopose_cli.hmr.checkpoint import PRETRAINED, load_network
from biopose_cli.io import assets
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import read_frames
from biopose_cli.metrics.points import mean, points_errors
from biopose_cli.progress import Progress
from biopose_cli.synthesis import rendered_images
from biopose_cli.typing import Array

RUNS = ("keypoints", "images", "both")


def compare(runs: Path, views: Sequence[RealView], videos: Path, progress: Progress) -> dict[str, Any]:
    """Errors of the three networks in `runs`, and of the one that comes with BioPose, which sees keypoints.

    Parameters
    ----------
    runs
        Folder that holds the runs `RUNS`; the held-out pictures are those of `both`.
    views
        The real views, of the videos in the folder `videos`; may be empty.

    Returns
    -------
    dict
        `images_rendered`, on the held-out pictures, and `images_real`, if there are views: `frames`, and by network
        `points_errors`' figures, on the real views `views` and `mean` as in `mqhmr.evaluate`.

    Raises
    ------
    SettingError
        A run has no weights, or `both` no pictures.
    AssetError
        As `load_network`.
    """
    paths = {name: runs / name / "mqhmr.safetensors" for name in RUNS}
    folder = runs / "both" / "held_out"
    parts = len(list(folder.glob("*.npz")))
    missing = [str(path) for path in paths.values() if not path.is_file()] + [str(folder)] * (not parts)
    if missing:
        raise SettingError(f"--images: {missing[0]} is not there", "Train as docs/ablations.md says")
    paths = {"shipped": PRETRAINED} | paths
    judge = Judge(load_body())
    taps = sorted({tap for path in paths.values() for tap in load_network(path).config.image_inputs})
    held = rendered_images.load(folder, parts, taps)
    people, truth = rendered(held.detections)
    landmarks = judge.landmarks(truth)
    maps = {tap: np.concatenate(own) for tap, own in zip(taps, held.feature_maps, strict=True)}
    on_pictures: dict[str, Any] = {"frames": len(landmarks)}
    for name, path in paths.items():
        on_pictures[name] = points_errors(judge.landmarks(by_network(path, maps)(people)), landmarks)
    report: dict[str, Any] = {"images_rendered": on_pictures}
    if views:
        report["images_real"] = _on_views(judge, paths, taps, views, videos, progress)
    return report


def _on_views(
    judge: Judge,
    paths: dict[str, Path],
    taps: Sequence[str],
    views: Sequence[RealView],
    videos: Path,
    progress: Progress,
) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {name: {} for name in paths}
    for view in views:
        seen: Frames = seen_frames(view.detection, view.frames)
        maps = maps_of(videos / f"single_{view.name}.mp4", view, taps, progress)
        for name, path in paths.items():
            points = judge.landmarks(by_network(path, maps)(seen))
            found[name][view.name] = points_errors(points, view.truth)
    report: dict[str, Any] = {"frames": sum(len(view.frames) for view in views)}
    return report | {name: {"views": own, "mean": mean(list(own.values()))} for name, own in found.items()}


def maps_of(video: Path, view: RealView, taps: Sequence[str], progress: Progress) -> dict[str, Array]:
    """The detector's maps of a view's frames: for each of `taps` (N, 2, side, side, channels), of the crop and of its
    mirror image."""
    network = BlazePoseBackbone(assets.ensure(assets.required_assets("heavy"), progress)["heavy"], taps)
    wanted = {int(view.detection.frame[k]): k for k in view.frames}
    found: list[list[list[Array]]] = []
    progress.start(f"{view.name} through the detector's network", len(wanted), "frames")
    for frame in read_frames(probe(video)):
        if frame.index in wanted:
            roi = view.detection.roi[wanted[frame.index]].astype(float)
            crop = geometry.warp_crop(frame.image, roi).astype(np.float32) / 255
            found.append([network(one)[1] for one in (crop, np.ascontiguousarray(crop[:, ::-1]))])
            progress.advance()
    return {name: np.stack([[look[tap] for look in pair] for pair in found]) for tap, name in enumerate(taps)}
