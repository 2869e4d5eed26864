"""The cost of a part of the person out of view: the clips of `biopose evaluate clips`, cropped.

Each clip's image is cut where the shoulders are in the middle of the clip's frames (the head is out of view), and half
way between knees and ankles (the feet are out of view), by the keypoints detected in the whole image. What is left is
run with `--mesh mqhmr`; the camera is given.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.benchmarks.markdown import markdown_table
from biopose_cli.benchmarks.rendered_clips import truth_path
from biopose_cli.errors import SettingError
from biopose_cli.io.results import Detection
from biopose_cli.io.storage import Motion, read_motion
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import read_frames
from biopose_cli.metrics.compare import GROUPS, Comparison, compare
from biopose_cli.pipeline import run
from biopose_cli.progress import NullProgress, Progress
from biopose_cli.settings import Settings
from biopose_cli.synthesis.ground_truth_video import write_video
from biopose_cli.typing import Array

SHOULDERS, KNEES, ANKLES = slice(11, 13), slice(25, 27), slice(27, 29)
ANGLES = ("hip_flexion", "knee_angle", "ankle_angle")


def evaluate(clips: Path, out: Path, progress: Progress) -> dict[str, Any]:
    """Crop the clips into `out`, run them, and measure the errors.

    Parameters
    ----------
    clips
        The folder that `biopose evaluate clips` wrote.

    Returns
    -------
    dict
        By what is out of view ("nothing", "the head", "the feet"): mean absolute errors `legs_mae`, `hip_flexion_mae`,
        `knee_angle_mae`, `ankle_angle_mae`, degrees, and `legs_within_one_sd`, `legs_within_two_sd`, fractions of the
        legs' errors within so many standard deviations.

    Raises
    ------
    SettingError
        `clips` is not such a folder.
    """
    videos = sorted(clips.glob("*.mp4"))
    missing = [video for video in videos if not (clips / "mqhmr" / video.stem / "stages" / "detect.npz").is_file()]
    if not videos or missing:
        lacking = f"the results of {missing[0].name}" if missing else "videos"
        raise SettingError(f"--clips: {clips} lacks {lacking}", "Make the clips with `biopose evaluate clips`")
    out.mkdir(parents=True, exist_ok=True)
    comparisons: dict[str, list[Comparison]] = {"nothing": [], "the head": [], "the feet": []}
    progress.start("cropped clips", len(videos), "clips")
    for video in videos:
        full_results = clips / "mqhmr" / video.stem
        gt = read_motion(truth_path(video))
        comparisons["nothing"].append(_compare_with_gt(full_results, gt))
        detection, _ = Detection.load(full_results / "stages" / "detect.npz")
        for part, rows in visible_rows(detection).items():
            cropped = out / f"{video.stem}_{part}.mp4"
            camera = cropped.with_suffix(".json")
            write_video(cropped, (frame.image[rows] for frame in read_frames(probe(video))))
            camera.write_text(json.dumps(cropped_camera(detection, rows)), encoding="utf-8")
            run.run(cropped, out / "mqhmr", Settings(intrinsics=camera), NullProgress())
            comparisons[f"the {part}"].append(_compare_with_gt(out / "mqhmr" / cropped.stem, gt))
        progress.advance()
    return {part: summarize(compared) for part, compared in comparisons.items()}


def visible_rows(detection: Detection) -> dict[str, slice]:
    """The image rows that are left when head or feet are cut off; even numbers."""
    height = np.asarray(detection.keypoints_2d[..., 1], float)
    top = np.nanmedian(height[:, SHOULDERS])
    bottom = np.nanmedian((height[:, KNEES] + height[:, ANKLES]) / 2)
    return {
        "head": slice(2 * int(top / 2), 2 * (int(detection.image_size[1]) // 2)),
        "feet": slice(0, 2 * int(bottom / 2)),
    }


def cropped_camera(detection: Detection, rows: slice) -> dict[str, object]:
    """The camera of these image rows, for `--intrinsics`."""
    camera_matrix = detection.camera_matrix.copy()
    camera_matrix[1, 2] -= rows.start
    size = [int(detection.image_size[0]), rows.stop - rows.start]
    return {"camera_matrix": camera_matrix.tolist(), "dist_coeffs": [0.0] * 5, "image_size": size}


def _compare_with_gt(results: Path, gt: Motion) -> Comparison:
    motion = results / f"{results.name}.mot"
    estimate_std = read_motion(motion.with_name(f"{motion.stem}_sd.sto"))
    return compare(read_motion(motion), gt, 0.0, estimate_std=estimate_std)


def summarize(clips: list[Comparison]) -> dict[str, float]:
    """Means over clips and sides."""
    errors = {"legs_mae": [clip.groups["legs"]["mae"] for clip in clips]}
    for angle in ANGLES:
        errors[f"{angle}_mae"] = [clip.coordinates[f"{angle}_{side}"]["mae"] for clip in clips for side in "rl"]
    means = {name: float(np.mean(np.array(values, float))) for name, values in errors.items()}
    for num_std, name in ((1, "one"), (2, "two")):
        within = np.concatenate([_within_std(clip, num_std) for clip in clips])
        means[f"legs_within_{name}_sd"] = float(np.mean(within))
    return means


def _within_std(clip: Comparison, num_std: int) -> Array:
    legs = [i for i, name in enumerate(clip.coordinates) if name in GROUPS["legs"]]
    within: Array = np.abs(clip.estimate - clip.reference)[:, legs] <= num_std * clip.estimate_std[:, legs]
    return within.ravel()


def format_report(report: dict[str, dict[str, float]]) -> str:
    """A Markdown table, one row for what is out of view."""
    return markdown_table(
        ("out of view", "legs", "hip flexion", "knee", "ankle", "legs within one / two"),
        [
            (
                part,
                *(f"{figures[name]:.1f}" for name in ("legs_mae", *(f"{angle}_mae" for angle in ANGLES))),
                f"{figures['legs_within_one_sd']:.2f} / {figures['legs_within_two_sd']:.2f}",
            )
            for part, figures in report.items()
        ],
    )
