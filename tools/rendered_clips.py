"""Joint angles end to end on rendered clips of the held-out subjects, whose truth is exact.

    python tools/rendered_clips.py --motion FOLDER --out runs/clips

Draws two clips of each held-out subject (random shape, clothes, room, and a phone's camera that sees the whole person),
runs the program on them with `--mesh mqhmr` and `--mesh fit`, and prints mean absolute errors in degrees: the legs',
the same without each angle's constant offset, and that of the pelvis's tilt and list. Then the bodies themselves, mean
of the clips: MPJPE and PA-MPJPE over 16 limb points and MVE, mm, and the knees' angle, degrees, of BlazePose's own 3D,
the network alone, and the refined body of both. The program is told the focal length and nothing else. What is there
is kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from biopose_cli.benchmarks.methods import Estimate, Recover, by_network, of_mesh, seen_frames
from biopose_cli.benchmarks.mqhmr import Judge
from biopose_cli.cli.console import Display
from biopose_cli.geometry import so3
from biopose_cli.hmr.checkpoint import PRETRAINED
from biopose_cli.io.results import Detection, Refined
from biopose_cli.io.storage import read_motion
from biopose_cli.metrics.compare import compare
from biopose_cli.metrics.points import points_errors
from biopose_cli.pipeline import run
from biopose_cli.render.scene import Camera, look_at
from biopose_cli.settings import Settings
from biopose_cli.synthesis.ground_truth_video import write_angles, write_video
from biopose_cli.synthesis.rendering import Actor, load_actor, render_clip, to_camera_frame
from biopose_cli.synthesis.retarget import Motion
from biopose_cli.training.marker_dataset import HELD_OUT_SUBJECTS, captured_motions
from biopose_cli.typing import Array

CLIPS, FRAMES, SIDE = 2, 60, 720  # of a subject; px
MESHES = ("mqhmr", "fit")
FIGURES = ("mpjpe_mm", "pa_mpjpe_mm", "mve_mm", "knee_deg")
SEED = 5
EDGE, NEAREST = 15, 0.8  # px, m: so far the person stays from the picture's edge and from the camera


@dataclass(frozen=True)
class Clip:
    """A body's poses (T, 24, 3) rad, betas (10,), translations (T, 3) m, world, before a camera."""

    name: str
    pose: Array
    betas: Array
    transl: Array
    camera: Camera


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--motion", type=Path, required=True, help="folder of the motion-capture archives")
    options.add_argument("--out", type=Path, default=Path("runs/clips"))
    chosen = options.parse_args()
    torch.set_num_threads(1)
    actor = load_actor()
    chosen.out.mkdir(parents=True, exist_ok=True)
    print(
        "| clip | " + " | ".join(f"`--mesh {mesh}`" for mesh in MESHES) + " |\n|---|" + "---|" * len(MESHES)
    )
    rows, bodies = [], []
    judge, network = Judge(actor.body), by_network(PRETRAINED)
    for number, clip in enumerate(clips(actor, captured_motions(chosen.motion, actor.body)[1])):
        video, truth = (chosen.out / f"{clip.name}{end}" for end in (".mp4", "_truth.mot"))
        if not (video.exists() and truth.exists()):
            shots = render_clip(actor, clip.pose, clip.betas, clip.transl, clip.camera, 500 + number)
            write_video(video, (shot.image for shot in shots))
            write_angles(truth, actor, clip.pose, clip.betas, clip.transl, clip.camera)
        rows.append([errors(video, truth, chosen.out / mesh, mesh, clip.camera) for mesh in MESHES])
        print(row(clip.name, rows[-1]), flush=True)
        bodies.append(of_bodies(actor, clip, chosen.out, judge, network))
    print(row("**mean**", np.mean(rows, axis=0).tolist()))
    print("\n| body | MPJPE | PA-MPJPE | MVE | knee |\n|---|---|---|---|---|")
    for method, known in bodies[0].items():
        means = [
            f"{np.mean([clip[method][key] for clip in bodies]):.1f}" if key in known else ""
            for key in FIGURES
        ]
        print(f"| {method} | " + " | ".join(means) + " |")


def clips(actor: Actor, held: list[Motion]) -> Iterator[Clip]:
    """`CLIPS` of each subject, from takes that are long enough."""
    rng = np.random.default_rng(SEED)
    for subject in HELD_OUT_SUBJECTS:
        takes = [take for take in held if take.subject == subject and len(take.pose) >= 2 * FRAMES]
        for number in range(CLIPS):
            take = takes[rng.integers(len(takes))]
            first = rng.integers(0, len(take.pose) - 2 * FRAMES + 1)
            frames = slice(first, first + 2 * FRAMES, 2)  # captured at twice the clip's rate
            pose, transl = take.pose[frames].astype(float), take.transl[frames].astype(float)
            betas = rng.normal(size=10).clip(-2, 2)
            lowest = actor.vertices(pose, betas, transl)[..., 1].min(1)
            transl = transl - np.array([0, np.percentile(lowest, 5), 0])
            camera = phone(actor.vertices(pose, betas, transl).reshape(-1, 3), rng)
            yield Clip(f"{subject}_{number + 1}", pose, betas, transl, camera)


def phone(vertices: Array, rng: np.random.Generator) -> Camera:
    """A camera held by hand that sees all vertices (V, 3), world."""
    heading, focal = rng.uniform(-np.pi, np.pi), rng.uniform(0.8, 1.4) * SIDE
    pitch, roll = np.radians([rng.normal(4, 8), rng.normal(0, 4)])
    back = np.array([np.cos(pitch) * np.sin(heading), np.sin(pitch), np.cos(pitch) * np.cos(heading)])
    middle = (vertices.max(0) + vertices.min(0)) / 2
    away = 2.5
    while True:
        position = middle + away * back
        position[1] = max(position[1], 0.3)
        camera = look_at(position, middle, focal, SIDE, SIDE, roll)
        image = camera.project(vertices)
        inside = image.min() > EDGE and image.max() < SIDE - EDGE
        if inside and camera.from_world(vertices)[:, 2].min() > NEAREST:
            return camera
        away *= 1.07


def errors(video: Path, truth: Path, out: Path, mesh: str, camera: Camera) -> list[float]:
    """The legs' mean absolute error, the same without offset, and that of the pelvis's tilt and list, degrees."""
    settings = Settings(mesh=mesh, focal=float(camera.matrix[0, 0]))
    with Display(quiet=True) as display:
        run.run(video, out, settings, display)
    found = read_motion(out / video.stem / f"{video.stem}.mot")
    compared = compare(found, read_motion(truth), shift=0.0)
    legs = compared.groups["legs"]
    tilted = np.mean([compared.coordinates[name]["mae"] for name in ("pelvis_tilt", "pelvis_list")])
    return [legs["mae"], legs["mae_offset_removed"], float(tilted)]


def of_bodies(
    actor: Actor, clip: Clip, out: Path, judge: Judge, network: Recover
) -> dict[str, dict[str, float]]:
    """Errors of the bodies that were found in a clip, by method, over the frames in which the person was seen."""
    pose, transl = to_camera_frame(clip.camera, clip.pose, clip.transl, actor.rest_body(clip.betas).joints[0])
    truth = Estimate(so3.axis_angle_to_matrix(pose), np.tile(clip.betas, (len(pose), 1)), transl)
    detection, _ = Detection.load(out / MESHES[0] / clip.name / "stages" / "detect.npz")
    seen = np.flatnonzero(detection.visible)
    frames, truth = seen_frames(detection, seen), truth.part(detection.frame[seen])
    landmarks = judge.landmarks(truth)
    found = {"network alone": network(frames)}
    for mesh in MESHES:
        refined, _ = Refined.load(out / mesh / clip.name / "stages" / "refine.npz")
        found[f"`--mesh {mesh}`"] = of_mesh(refined).part(seen)
    figures = {"BlazePose's own 3D": points_errors(frames.world, landmarks)}
    for method, bodies in found.items():
        figures[method] = points_errors(judge.landmarks(bodies), landmarks) | judge.body_errors(bodies, truth)
    return figures


def row(name: str, figures: list[list[float]]) -> str:
    return (
        f"| {name} | " + " | ".join(" / ".join(f"{mae:.2f}" for mae in of_mesh) for of_mesh in figures) + " |"
    )


if __name__ == "__main__":
    main()
