"""Ablation of the image branch: the same training with keypoints only, images only, and both.

The runs use training/configs/mqhmr_keypoints.toml, mqhmr_images.toml and mqhmr_both.toml.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.benchmarks.camera_views import CameraView
from biopose_cli.benchmarks.methods import MonocularInput, from_detection, from_rendered, regression
from biopose_cli.benchmarks.mqhmr import Evaluator
from biopose_cli.body.model import load_body
from biopose_cli.errors import SettingError
from biopose_cli.geometry import roi as geometry
from biopose_cli.hmr.backbones.blazepose import BlazePoseBackbone
from biopose_cli.hmr.checkpoint import PRETRAINED, load_network
from biopose_cli.io import assets
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import read_frames
from biopose_cli.metrics.points import landmark_errors, mean_of_reports
from biopose_cli.progress import Progress
from biopose_cli.synthesis import rendered_images
from biopose_cli.typing import Array

RUNS = ("keypoints", "images", "both")


def compare_runs(runs: Path, views: Sequence[CameraView], videos: Path, progress: Progress) -> dict[str, Any]:
    """Errors of the three networks in `runs`, and of the shipped network, which uses keypoints.

    Parameters
    ----------
    runs : folder that holds the runs `RUNS`; the held-out images are those of `both`
    views : the real views; may be empty
    videos : folder of the views' videos
    progress : reports the evaluation

    Returns
    -------
    dict
        `images_rendered`: results on the held-out images; `images_real`: on the real views, if any. Each has `frames`
        and, by network, the values of `landmark_errors`; on real views, `views` and `mean` as in `mqhmr.evaluate`.

    Raises
    ------
    SettingError
        A run has no weights, or `both` has no images.
    AssetError
        As `load_network`.
    """
    paths = {name: runs / name / "mqhmr.safetensors" for name in RUNS}
    folder = runs / "both" / "held_out"
    num_shards = len(list(folder.glob("*.npz")))
    missing = [str(path) for path in paths.values() if not path.is_file()] + [str(folder)] * (not num_shards)
    if missing:
        raise SettingError(f"--images: {missing[0]} is not there", "Train as docs/notebook/queries_and_images.md says")
    paths = {"pretrained": PRETRAINED} | paths
    evaluator = Evaluator(load_body())
    layers = sorted({layer for path in paths.values() for layer in load_network(path).config.image_inputs})
    held_out = rendered_images.load(folder, num_shards, layers)
    inputs, gt = from_rendered(held_out.detections)
    gt_landmarks = evaluator.landmarks(gt)
    feature_maps = {tap: np.concatenate(shards) for tap, shards in zip(layers, held_out.feature_maps, strict=True)}
    rendered_report: dict[str, Any] = {"frames": len(gt_landmarks)}
    for name, path in paths.items():
        rendered_report[name] = landmark_errors(
            evaluator.landmarks(regression(path, feature_maps)(inputs)), gt_landmarks
        )
    report: dict[str, Any] = {"images_rendered": rendered_report}
    if views:
        report["images_real"] = _evaluate_real_views(evaluator, paths, layers, views, videos, progress)
    return report


def _evaluate_real_views(
    evaluator: Evaluator,
    paths: dict[str, Path],
    layers: Sequence[str],
    views: Sequence[CameraView],
    videos: Path,
    progress: Progress,
) -> dict[str, Any]:
    errors: dict[str, dict[str, Any]] = {name: {} for name in paths}
    for view in views:
        inputs: MonocularInput = from_detection(view.detection, view.frames)
        feature_maps = view_feature_maps(videos / f"single_{view.name}.mp4", view, layers, progress)
        for name, path in paths.items():
            pred = evaluator.landmarks(regression(path, feature_maps)(inputs))
            errors[name][view.name] = landmark_errors(pred, view.gt_landmarks)
    report: dict[str, Any] = {"frames": sum(len(view.frames) for view in views)}
    return report | {
        name: {"views": errors_by_view, "mean": mean_of_reports(list(errors_by_view.values()))}
        for name, errors_by_view in errors.items()
    }


def view_feature_maps(video: Path, view: CameraView, layers: Sequence[str], progress: Progress) -> dict[str, Array]:
    """Feature maps of a view's frames: for each of `layers`, (N, 2, side, side, channels), of the crop and its mirror
    image."""
    network = BlazePoseBackbone(assets.ensure(assets.required_assets("heavy"), progress)["heavy"], layers)
    view_rows = {int(view.detection.frame[k]): k for k in view.frames}
    outputs: list[list[list[Array]]] = []
    progress.start(f"{view.name} through the detector's network", len(view_rows), "frames")
    for frame in read_frames(probe(video)):
        if frame.index in view_rows:
            roi = view.detection.roi[view_rows[frame.index]].astype(float)
            crop = geometry.warp_crop(frame.image, roi).astype(np.float32) / 255
            outputs.append([network(image)[1] for image in (crop, np.ascontiguousarray(crop[:, ::-1]))])
            progress.advance()
    return {name: np.stack([[maps[index] for maps in pair] for pair in outputs]) for index, name in enumerate(layers)}
