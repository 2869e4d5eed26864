"""Does the image branch help? The same training from keypoints only, from images only, and from both, compared.

    python tools/compare_images.py --runs runs/images --trial FOLDER [--videos FOLDER] [--cache FOLDER]

`--runs` holds the runs of the recipes training/configs/mqhmr_*.toml of the names `keypoints`, `images` and `both`.
Measured are they, and the network that comes with BioPose, on the held-out pictures of the run `both` and on the four
real views of `biopose evaluate mqhmr`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from biopose_cli import assets
from biopose_cli.artifact import Array
from biopose_cli.body.model import load_body
from biopose_cli.console import Display
from biopose_cli.detect import roi as geometry
from biopose_cli.evaluation.mqhmr import Judge
from biopose_cli.evaluation.points import mean, points_errors
from biopose_cli.evaluation.recovery import Estimate, Frames, rendered, seen_frames
from biopose_cli.evaluation.views import RealView, real_views
from biopose_cli.mesh.kinematics import BETAS, load_chain
from biopose_cli.mesh.predict import Pictures, recover
from biopose_cli.mesh.taps import DEFAULT, BlazePoseTaps
from biopose_cli.mesh.weights import SHIPPED, load_network
from biopose_cli.progress import Progress
from biopose_cli.training import pictures
from biopose_cli.video.probe import probe
from biopose_cli.video.reader import frames

RUNS = ("keypoints", "images", "both")
COLUMNS = ("pa_mpjpe_mm", "mpjpe_mm", "knee_deg", "elbow_deg")


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--runs", type=Path, required=True)
    options.add_argument("--trial", type=Path, required=True, help="folder with multiview_balance")
    options.add_argument("--videos", type=Path, default=Path("sample_videos/fetched"))
    options.add_argument("--cache", type=Path, default=Path("runs/evaluation"))
    chosen = options.parse_args()
    judge = Judge(load_body())
    with Display() as display:
        views = real_views(chosen.trial, chosen.videos, chosen.cache, display)
        seen = [seen_by_network(chosen.videos, view, display) for view in views]
        folder = chosen.runs / "both" / "held_out"
        held = pictures.load(folder, len(list(folder.glob("*.npz"))), DEFAULT)
        report: dict[str, dict[str, dict[str, float]]] = {"rendered": {}, "real": {}}
        paths = {"shipped": SHIPPED} | {name: chosen.runs / name / "mqhmr.safetensors" for name in RUNS}
        for name, path in paths.items():
            looks, truth = rendered(held.looks)
            maps = [np.concatenate(parts) for parts in held.maps]
            found = by_network(path, looks, maps)
            report["rendered"][name] = points_errors(judge.landmarks(found), judge.landmarks(truth))
            figures = []
            for view, own in zip(views, seen, strict=True):
                found = by_network(path, seen_frames(view.detection, view.frames), own)
                figures.append(points_errors(judge.landmarks(found), view.truth))
            report["real"][name] = mean(figures)
    for part, methods in report.items():
        print(f"| {part} | " + " | ".join(COLUMNS) + " |\n|---|" + "---|" * len(COLUMNS))
        for name, figures in methods.items():
            print(f"| {name} | " + " | ".join(f"{figures[column]:.1f}" for column in COLUMNS) + " |")
    (chosen.runs / "comparison.json").write_text(json.dumps(report, indent=2), encoding="utf-8")


def by_network(path: Path, seen: Frames, maps: list[Array]) -> Estimate:
    """What the network in `path` says of frames whose `maps` are, for each tap, (N, 2, side, side, channels)."""
    network, chain = load_network(path), load_chain(load_body())
    chosen = [maps[DEFAULT.index(tap)] for tap in network.size.taps.split()]
    looks = Pictures(seen.roi, chosen) if chosen else None
    bodies = recover(network, seen.keypoints, seen.confidence, seen.matrix, pictures=looks)
    rest = chain.rest[0] + bodies.betas @ chain.rest_shapes[0, :, :BETAS].T
    return Estimate(bodies.rotations, bodies.betas, bodies.pelvis - rest)


def seen_by_network(videos: Path, view: RealView, progress: Progress) -> list[Array]:
    """The detector's maps of a view's frames: for each tap (N, 2, side, side, channels)."""
    network = BlazePoseTaps(assets.ensure(assets.needed("heavy"), progress)["heavy"])
    wanted = {int(view.detection.frame[k]): k for k in view.frames}
    found: list[list[list[Array]]] = []
    progress.start(f"{view.name} through the detector's network", len(wanted), "frames")
    for frame in frames(probe(videos / f"single_{view.name}.mp4")):
        if frame.index in wanted:
            crop = (
                geometry.cut(frame.image, view.detection.roi[wanted[frame.index]].astype(float)).astype(
                    np.float32
                )
                / 255
            )
            found.append([network(one)[1] for one in (crop, np.ascontiguousarray(crop[:, ::-1]))])
            progress.advance()
    return [np.stack([[look[tap] for look in pair] for pair in found]) for tap in range(len(DEFAULT))]


if __name__ == "__main__":
    main()
