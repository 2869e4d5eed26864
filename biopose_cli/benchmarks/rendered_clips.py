"""Joint angles end to end on rendered clips of the held-out subjects, whose truth is exact.

Two clips of each held-out subject (random shape, clothes, room, and a phone's camera that has the whole person in view)
are rendered and run with `--mesh mqhmr` and `--mesh fit`. The focal length is given, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biopose_cli.benchmarks.markdown import markdown_table
from biopose_cli.benchmarks.methods import Estimate, FrameMethod, from_detection, from_mesh, regression
from biopose_cli.benchmarks.mqhmr import Evaluator
from biopose_cli.geometry import so3
from biopose_cli.hmr.checkpoint import PRETRAINED
from biopose_cli.io.results import Detection, Refined
from biopose_cli.io.storage import read_motion
from biopose_cli.metrics.compare import compare
from biopose_cli.metrics.points import landmark_errors
from biopose_cli.pipeline import run
from biopose_cli.progress import NullProgress, Progress
from biopose_cli.render.scene import Camera, look_at
from biopose_cli.settings import Settings
from biopose_cli.synthesis.ground_truth_video import write_angles, write_video
from biopose_cli.synthesis.rendering import Actor, load_actor, render_clip, to_camera_frame
from biopose_cli.synthesis.retarget import Motion
from biopose_cli.training.marker_dataset import HELD_OUT_SUBJECTS, captured_motions
from biopose_cli.typing import Array

CLIPS, FRAMES, SIDE = 2, 60, 720  # of a subject; px
MESHES = ("mqhmr", "fit")
BODY_METRICS = ("mpjpe_mm", "pa_mpjpe_mm", "mve_mm", "knee_deg")
SEED = 5
MIN_MARGIN, MIN_DISTANCE = 15, 0.8  # px, m: the least distance of the person from the image's edge and from the camera


@dataclass(frozen=True)
class Clip:
    """A body's poses (T, 24, 3) rad, betas (10), translations (T, 3) m, world, and the camera that films it."""

    name: str
    pose: Array
    betas: Array
    transl: Array
    camera: Camera


def evaluate(motion: Path, out: Path, progress: Progress) -> dict[str, Any]:
    """Render the clips into `out`, run them, and measure the errors; clips and results that are there are kept.

    Parameters
    ----------
    motion
        Folder with the motion-capture archives.

    Returns
    -------
    dict
        `clips`: by clip and value of `--mesh`, `legs_mae`, `legs_mae_offset_removed` and `pelvis_mae` (tilt and list),
        degrees; `mean` of these. `bodies`: by method, means over the clips of `BODY_METRICS` (mm, over 16 limb points
        and the whole mesh, and degrees), as far as the method has them.

    Raises
    ------
    SettingError
        `motion` lacks the archives.
    """
    torch.set_num_threads(1)
    actor = load_actor()
    progress.start("motion capture", None)
    held_out = captured_motions(motion, actor.body)[1]
    out.mkdir(parents=True, exist_ok=True)
    evaluator, network = Evaluator(actor.body), regression(PRETRAINED)
    angles: dict[str, dict[str, dict[str, float]]] = {}
    bodies = []
    progress.start("rendered clips", CLIPS * len(HELD_OUT_SUBJECTS), "clips")
    for number, clip in enumerate(sample_clips(actor, held_out)):
        video = render(actor, clip, out, seed=500 + number)
        angles[clip.name] = {mesh: angle_errors(video, out / mesh, mesh, clip.camera) for mesh in MESHES}
        bodies.append(body_errors(actor, clip, out, evaluator, network))
        progress.advance()
    return {
        "clips": angles,
        "mean": {mesh: _mean([clip[mesh] for clip in angles.values()]) for mesh in MESHES},
        "bodies": {method: _mean([clip[method] for clip in bodies]) for method in bodies[0]},
    }


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _mean(figures: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([clip[key] for clip in figures])) for key in figures[0]}


def sample_clips(actor: Actor, held_out: list[Motion]) -> Iterator[Clip]:
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
    """A hand-held camera with all vertices (V, 3), world, in view."""
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


def render(actor: Actor, clip: Clip, out: Path, seed: int) -> Path:
    """Write `NAME.mp4` and `NAME_truth.mot` of a clip into `out`, unless they are there; returns the video's path."""
    video = out / f"{clip.name}.mp4"
    if not (video.exists() and truth_path(video).exists()):
        renders = render_clip(actor, clip.pose, clip.betas, clip.transl, clip.camera, seed)
        write_video(video, (shot.image for shot in renders))
        write_angles(truth_path(video), actor, clip.pose, clip.betas, clip.transl, clip.camera)
    return video


def truth_path(video: Path) -> Path:
    """The file with the true joint angles of a rendered clip."""
    return video.with_name(f"{video.stem}_truth.mot")


def angle_errors(video: Path, out: Path, mesh: str, camera: Camera) -> dict[str, float]:
    """Run a rendered clip, and compare its angles with the truth: mean absolute errors in degrees."""
    run.run(video, out, Settings(mesh=mesh, focal=float(camera.matrix[0, 0])), NullProgress())
    estimate = read_motion(out / video.stem / f"{video.stem}.mot")
    comparison = compare(estimate, read_motion(truth_path(video)), shift=0.0)
    legs = comparison.groups["legs"]
    pelvis_error = np.mean([comparison.coordinates[name]["mae"] for name in ("pelvis_tilt", "pelvis_list")])
    return {
        "legs_mae": _number(legs["mae"]),
        "legs_mae_offset_removed": _number(legs["mae_offset_removed"]),
        "pelvis_mae": float(pelvis_error),
    }


def body_errors(
    actor: Actor, clip: Clip, out: Path, evaluator: Evaluator, network: FrameMethod
) -> dict[str, dict[str, float]]:
    """Errors of the bodies that were found in a clip, by method, over the frames in which the person was visible."""
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


def format_report(report: dict[str, Any]) -> str:
    """Two Markdown tables: angles by clip and mesh, and bodies by method."""
    angles = markdown_table(
        ("clip", *(f"`--mesh {mesh}`" for mesh in MESHES)),
        [
            (name, *(" / ".join(f"{value:.2f}" for value in figures[mesh].values()) for mesh in MESHES))
            for name, figures in (*report["clips"].items(), ("**mean**", report["mean"]))
        ],
    )
    bodies = markdown_table(
        ("body", "MPJPE", "PA-MPJPE", "MVE", "knee"),
        [
            (method, *(f"{figures[key]:.1f}" if key in figures else "" for key in BODY_METRICS))
            for method, figures in report["bodies"].items()
        ],
    )
    return f"{angles}\n\n{bodies}"
