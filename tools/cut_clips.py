"""What it costs that a part of the person is out of view: the clips of `rendered_clips.py`, cut to size.

    python tools/cut_clips.py --clips runs/clips --out runs/cut

Each clip's picture is cut where the shoulders are in the middle of the clip's frames (the head is out), and half way
between knees and ankles (the feet are out), by the keypoints that the program found in the whole picture. The program
runs on what is left, told the camera, with `--mesh mqhmr`. Printed: mean absolute errors in degrees, of the legs and of
hip flexion, knee and ankle, and the share of the legs' errors within one and two standard deviations.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from biopose_cli.cli.display import Display
from biopose_cli.io.results import Detection
from biopose_cli.io.storage import Motion, read_motion
from biopose_cli.io.video.probe import probe
from biopose_cli.io.video.reader import read_frames
from biopose_cli.metrics.compare import GROUPS, Comparison, compare
from biopose_cli.pipeline import run
from biopose_cli.settings import Settings
from biopose_cli.synthesis.ground_truth_video import write_video
from biopose_cli.typing import Array

SHOULDERS, KNEES, ANKLES = slice(11, 13), slice(25, 27), slice(27, 29)
ANGLES = ("hip_flexion", "knee_angle", "ankle_angle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder that rendered_clips.py made")
    parser.add_argument("--out", type=Path, default=Path("runs/cut"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    comparisons: dict[str, list[Comparison]] = {"nothing": [], "the head": [], "the feet": []}
    for video in sorted(args.clips.glob("*.mp4")):
        full_results = args.clips / "mqhmr" / video.stem
        gt = read_motion(video.with_name(f"{video.stem}_truth.mot"))
        comparisons["nothing"].append(_compare_with_gt(full_results, gt))
        detection, _ = Detection.load(full_results / "stages" / "detect.npz")
        for part, rows in visible_rows(detection).items():
            cropped = args.out / f"{video.stem}_{part}.mp4"
            camera = cropped.with_suffix(".json")
            write_video(cropped, (frame.image[rows] for frame in read_frames(probe(video))))
            camera.write_text(json.dumps(cropped_camera(detection, rows)), encoding="utf-8")
            with Display(quiet=True) as display:
                run.run(cropped, args.out / "mqhmr", Settings(intrinsics=camera), display)
            comparisons[f"the {part}"].append(_compare_with_gt(args.out / "mqhmr" / cropped.stem, gt))
    print("| out of view | legs | hip flexion | knee | ankle | legs within one / two |")
    print("|---|---|---|---|---|---|")
    for part, clips in comparisons.items():
        print(row(part, clips), flush=True)


def visible_rows(detection: Detection) -> dict[str, slice]:
    """The rows of the picture that are left when head or feet are cut off; even numbers."""
    height = np.asarray(detection.keypoints_2d[..., 1], float)
    top = np.nanmedian(height[:, SHOULDERS])
    bottom = np.nanmedian((height[:, KNEES] + height[:, ANKLES]) / 2)
    return {
        "head": slice(2 * int(top / 2), 2 * (int(detection.image_size[1]) // 2)),
        "feet": slice(0, 2 * int(bottom / 2)),
    }


def cropped_camera(detection: Detection, rows: slice) -> dict[str, object]:
    """The camera of these rows of the picture, for `--intrinsics`."""
    camera_matrix = detection.camera_matrix.copy()
    camera_matrix[1, 2] -= rows.start
    size = [int(detection.image_size[0]), rows.stop - rows.start]
    return {"camera_matrix": camera_matrix.tolist(), "dist_coeffs": [0.0] * 5, "image_size": size}


def _compare_with_gt(results: Path, gt: Motion) -> Comparison:
    motion = results / f"{results.name}.mot"
    estimate_std = read_motion(motion.with_name(f"{motion.stem}_sd.sto"))
    return compare(read_motion(motion), gt, 0.0, estimate_std=estimate_std)


def row(part: str, clips: list[Comparison]) -> str:
    """One line of the table."""
    means = [np.mean([clip.groups["legs"]["mae"] for clip in clips])]
    means += [
        np.mean([clip.coordinates[f"{angle}_{side}"]["mae"] for clip in clips for side in "rl"]) for angle in ANGLES
    ]
    within = [np.mean(np.concatenate([_within_std(clip, times) for clip in clips])) for times in (1, 2)]
    return f"| {part} | " + " | ".join(f"{mean:.1f}" for mean in means) + " | {:.2f} / {:.2f} |".format(*within)


def _within_std(clip: Comparison, num_std: int) -> Array:
    legs = [i for i, name in enumerate(clip.coordinates) if name in GROUPS["legs"]]
    within: Array = np.abs(clip.estimate - clip.reference)[:, legs] <= num_std * clip.estimate_std[:, legs]
    return within.ravel()


if __name__ == "__main__":
    main()
