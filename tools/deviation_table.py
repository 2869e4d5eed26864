"""How often joint angles are as near to the truth as `NAME_sd.sto` says: a Markdown table over clips.

    python tools/deviation_table.py runs/clips/mqhmr/*/*.mot --truth runs/clips

Each clip's truth is `NAME_truth.mot` in the folder. Printed for every angle (both sides together): the mean error and
the mean standard deviation, degrees, and the share of the frames whose error is within one and within two of these.
If they were right and the errors normal, that would be 0.68 and 0.95.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from biopose_cli.io.storage import read_motion
from biopose_cli.metrics.compare import compare
from biopose_cli.typing import Array

ANGLES = (
    "pelvis_tilt", "pelvis_list", "hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle",
    "lumbar_extension", "lumbar_bending", "lumbar_rotation", "arm_flex", "arm_add", "arm_rot", "elbow_flex",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", type=Path, nargs="+", help="NAME.mot, with NAME_sd.sto beside")
    parser.add_argument("--truth", type=Path, required=True, help="folder with NAME_truth.mot")
    args = parser.parse_args()
    errors: dict[str, list[Array]] = defaultdict(list)
    for path in args.motions:
        collect(path, args.truth / f"{path.stem}_truth.mot", errors)
    print("| angle | error | standard deviation | within one | within two |")
    print("|---|---|---|---|---|")
    for angle in filter(errors.__contains__, ANGLES):
        error, std = np.concatenate(errors[angle], axis=1)
        within = " | ".join(f"{np.mean(error <= times * std):.2f}" for times in (1, 2))
        print(f"| {angle} | {error.mean():.1f} | {std.mean():.1f} | {within} |")


def collect(path: Path, gt_path: Path, errors: dict[str, list[Array]]) -> None:
    """Add a clip's absolute errors and their standard deviations (2, T), degrees, to those of its angles."""
    estimate, reference, estimate_std = (
        read_motion(file) for file in (path, gt_path, path.with_name(f"{path.stem}_sd.sto"))
    )
    comparison = compare(estimate, reference, 0.0, estimate_std=estimate_std)
    error = np.abs(comparison.estimate - comparison.reference)
    for i, name in enumerate(comparison.coordinates):
        if (angle := name.removesuffix("_r").removesuffix("_l")) in ANGLES:
            errors[angle].append(np.stack([error[:, i], comparison.estimate_std[:, i]]))


if __name__ == "__main__":
    main()
