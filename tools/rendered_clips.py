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

from biopose_cli.benchmarks.methods import Estimate, FrameMethod, from_detection, from_mesh, regression
from biopose_cli.benchmarks.mqhmr import Evaluator
from biopose_cli.cli.display import Display
from biopose_cli.geometry import so3
from biopose_cli.hmr.checkpoint import PRETRAINED
from biopose_cli.io.results import Detection, Refined
from biopose_cli.io.storage import read_motion
from biopose_cli.metrics.compare import compare
from biopose_cli.metrics.points import landmark_errors
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
METRICS = ("mpjpe_mm", "pa_mpjpe_mm", "mve_mm", "knee_deg")
SEED = 5
MIN_MARGIN, MIN_DISTANCE = (
    15,
    0.8,
)  # px, m: so far the person stays from the picture's edge and from the camera


@dataclass(frozen=True)
class Clip:
    """A body's poses (T, 24, 3) rad, betas (10,), translations (T, 3) m, world, before a camera."""

    name: str
    pose: Array
    betas: Array
    transl: Array
    camera: Camera


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motion", type=Path, required=True, help="folder of the motion-capture archives")
    parser.add_argument("--out", type=Path, default=Path("runs/clips"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    actor = load_actor()
    args.out.mkdir(parents=True, exist_ok=True)
    print("| clip | " + " | ".join(f"`--mesh {mesh}`" for mesh in MESHES) + " |\n|---|" + "---|" * len(MESHES))
    rows, bodies = [], []
    evaluator, network = Evaluator(actor.body), regression(PRETRAINED)
    for number, clip in enumerate(clips(actor, captured_motions(args.motion, actor.body)[1])):
        video, gt_path = (args.out / f"{clip.name}{end}" for end in (".mp4", "_truth.mot"))
        if not (video.exists() and gt_path.exists()):
            renders = render_clip(actor, clip.pose, clip.betas, clip.transl, clip.camera, 500 + number)
            write_video(video, (shot.image for shot in renders))
            write_angles(gt_path, actor, clip.pose, clip.betas, clip.transl, clip.camera)
        rows.append([angle_errors(video, gt_path, args.out / mesh, mesh, clip.camera) for mesh in MESHES])
        print(row(clip.name, rows[-1]), flush=True)
        bodies.append(body_errors(actor, clip, args.out, evaluator, network))
    print(row("**mean**", np.mean(rows, axis=0).tolist()))
    print("\n| body | MPJPE | PA-MPJPE | MVE | knee |\n|---|---|---|---|---|")
    for method, metrics in bodies[0].items():
        means = [f"{np.mean([clip[method][key] for clip in bodies]):.1f}" if key in metrics else "" for key in METRICS]
        print(f"| {method} | " + " | ".join(means) + " |")


def clips(actor: Actor, held_out: list[Motion]) -> Iterator[Clip]:
    """`CLIPS` of each subject, from takes that are long enough."""
    rng = np.random.default_rng(SEED)
    for subject in HELD_OUT_SUBJECTS:
        takes = [take for take in held_out if take.subject == subject and len(take.pose) >= 2 * FRAMES]
        for number in range(CLIPS):
            take = takes[rng.integers(len(takes))]
            first = rng.integers(0, len(take.pose) - 2 * FRAMES + 1)
            frames = slice(first, first + 2 * FRAMES, 2)  # captured at twice the clip's rate
            pose, transl = take.pose[frames].astype(float), take.transl[frames].astype(float)
            betas = rng.normal(size=10).clip(-2, 2)
            lowest = actor.vertices(pose, betas, transl)[..., 1].min(1)
            transl = transl - np.array([0, np.percentile(lowest, 5), 0])
            camera = sample_camera(actor.vertices(pose, betas, transl).reshape(-1, 3), rng)
            yield Clip(f"{subject}_{number + 1}", pose, betas, transl, camera)


def sample_camera(vertices: Array, rng: np.random.Generator) -> Camera:
    """A camera held by hand that sees all vertices (V, 3), world."""
    heading, focal = rng.uniform(-np.pi, np.pi), rng.uniform(0.8, 1.4) * SIDE
    pitch, roll = np.radians([rng.normal(4, 8), rng.normal(0, 4)])
    view_direction = np.array([np.cos(pitch) * np.sin(heading), np.sin(pitch), np.cos(pitch) * np.cos(heading)])
    center = (vertices.max(0) + vertices.min(0)) / 2
    distance = 2.5
    while True:
        position = center + distance * view_direction
        position[1] = max(position[1], 0.3)
        camera = look_at(position, center, focal, SIDE, SIDE, roll)
        projected = camera.project(vertices)
        inside = projected.min() > MIN_MARGIN and projected.max() < SIDE - MIN_MARGIN
        if inside and camera.from_world(vertices)[:, 2].min() > MIN_DISTANCE:
            return camera
        distance *= 1.07


def angle_errors(video: Path, gt_path: Path, out: Path, mesh: str, camera: Camera) -> list[float]:
    """The legs' mean absolute error, the same without offset, and that of the pelvis's tilt and list, degrees."""
    settings = Settings(mesh=mesh, focal=float(camera.matrix[0, 0]))
    with Display(quiet=True) as display:
        run.run(video, out, settings, display)
    estimate = read_motion(out / video.stem / f"{video.stem}.mot")
    comparison = compare(estimate, read_motion(gt_path), shift=0.0)
    legs = comparison.groups["legs"]
    pelvis_error = np.mean([comparison.coordinates[name]["mae"] for name in ("pelvis_tilt", "pelvis_list")])
    return [legs["mae"], legs["mae_offset_removed"], float(pelvis_error)]


def body_errors(
    actor: Actor, clip: Clip, out: Path, evaluator: Evaluator, network: FrameMethod
) -> dict[str, dict[str, float]]:
    """Errors of the bodies that were found in a clip, by method, over the frames in which the person was seen."""
    pose, transl = to_camera_frame(clip.camera, clip.pose, clip.transl, actor.rest_body(clip.betas).joints[0])
    gt = Estimate(so3.axis_angle_to_matrix(pose), np.tile(clip.betas, (len(pose), 1)), transl)
    detection, _ = Detection.load(out / MESHES[0] / clip.name / "stages" / "detect.npz")
    visible_frames = np.flatnonzero(detection.visible)
    inputs, gt = from_detection(detection, visible_frames), gt.select(detection.frame[visible_frames])
    gt_landmarks = evaluator.landmarks(gt)
    estimates = {"network alone": network(inputs)}
    for mesh in MESHES:
        refined, _ = Refined.load(out / mesh / clip.name / "stages" / "refine.npz")
        estimates[f"`--mesh {mesh}`"] = from_mesh(refined).select(visible_frames)
    report = {"BlazePose's own 3D": landmark_errors(inputs.landmarks_3d, gt_landmarks)}
    for method, pred in estimates.items():
        report[method] = landmark_errors(evaluator.landmarks(pred), gt_landmarks) | evaluator.body_errors(pred, gt)
    return report


def row(name: str, errors_by_mesh: list[list[float]]) -> str:
    return (
        f"| {name} | "
        + " | ".join(" / ".join(f"{mae:.2f}" for mae in mesh_errors) for mesh_errors in errors_by_mesh)
        + " |"
    )


if __name__ == "__main__":
    main()
