"""A run of the steps (`steps.py`) on a video: results that are up to date are reused."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from biopose_cli.errors import ArtifactError, StageOrderError
from biopose_cli.io.artifact import Artifact, read_fingerprint
from biopose_cli.io.results import Exported
from biopose_cli.io.video.intrinsics import resolve_intrinsics
from biopose_cli.io.video.probe import content_hash, probe
from biopose_cli.pipeline.output_folder import claim_folder, load_settings, locked, save_settings
from biopose_cli.pipeline.result import Result, StepReport, check_inputs, warnings_of
from biopose_cli.pipeline.steps import STAGES, STEPS, Clip, Step, fingerprint_of
from biopose_cli.progress import NullProgress, Progress
from biopose_cli.settings import Settings


def run(
    video: Path,
    out: Path,
    settings: Settings | None = None,
    progress: Progress | None = None,
    *,
    from_stage: str | None = None,
    only: str | None = None,
    overwrite: bool = False,
    given: Collection[str] | None = None,
) -> Result:
    """Run the stages on one video, reusing what is up to date.

    Parameters
    ----------
    video : the file
    out : folder in which the folder `NAME/` is made
    settings : of all stages
    progress : receives notes and progress
    from_stage : first stage to run even if nothing changed (`--from`), with all after it
    only : stage to run alone: earlier steps are taken from disk, later ones are kept, and settings that are not given
        are
        those of the runs before
    given : names of the settings given by the user; by default those not at their defaults
    overwrite : run everything, and allow replacing another video's results

    Raises
    ------
    UserError, Failure
        See `errors.py`; finished steps stay on disk.
    """
    settings, progress = settings or Settings(), progress or NullProgress()
    info, folder = probe(video), out / video.stem
    clip = Clip(info, folder, load_settings(folder, settings, given) if only not in {None, "detect"} else settings)
    resolve_intrinsics(info, settings)  # reports a mistake in the camera's options before the search for people
    if only:
        _check_order(clip, only)
    with locked(clip.folder):
        sha256, video_changed = claim_folder(clip.folder, clip.info.path, overwrite)
        if only:
            return _run_alone(clip, sha256, only, overwrite, progress)
        return _run_all(clip, sha256, video_changed, from_stage, overwrite, progress)


def _run_all(
    clip: Clip, sha256: str, video_changed: bool, from_stage: str | None, overwrite: bool, progress: Progress
) -> Result:
    artifacts: dict[str, Any] = {}
    fingerprints: dict[str, str] = {}
    reports: list[StepReport] = []
    reason = "overwrite, running" if overwrite else "the video changed, running" if video_changed else ""
    for step in STEPS:
        fingerprints[step.name] = fingerprint_of(step, clip, sha256, fingerprints)
        if not reason and step.stage == from_stage:
            reason = "running as requested"
        artifact, status = _reusable(step, clip, fingerprints[step.name])
        if reason:
            artifact, status = None, reason if clip.file(step.name).exists() else "running"
        if artifact is None and all(report.status == "reused" for report in reports):
            _check_files(clip.settings)
            _check_track(clip)
        reports.append(_finish(step, clip, artifact, status, artifacts, fingerprints[step.name], progress))
        if artifact is None and not reason:
            reason = status if step.name == "tracks" else f"{step.stage} ran again, running"
    return Result(clip.folder, clip.info.path, clip.settings, tuple(reports), artifacts, clip.info.warnings)


def _run_alone(clip: Clip, sha256: str, stage: str, overwrite: bool, progress: Progress) -> Result:
    artifacts: dict[str, Any] = {}
    fingerprints: dict[str, str] = {}
    reports: list[StepReport] = []
    for step in STEPS:
        if step.stage == stage:
            fingerprints[step.name] = fingerprint_of(step, clip, sha256, fingerprints)
            artifact, status = (
                _reusable(step, clip, fingerprints[step.name])
                if step.name == "tracks" and not overwrite
                else (None, "running")
            )
            reports.append(_finish(step, clip, artifact, status, artifacts, fingerprints[step.name], progress))
        elif STAGES.index(step.stage) < STAGES.index(stage):
            artifacts[step.name], fingerprints[step.name] = step.artifact.load(clip.file(step.name))
            if not fingerprints[step.name].startswith(sha256[:16]):
                raise StageOrderError(
                    f"the video changed since {clip.file(step.name)} was made from it",
                    "Run `biopose run`, or all stages from `biopose detect`",
                )
            check_inputs(step, clip.file(step.name), fingerprints)
    return Result(clip.folder, clip.info.path, clip.settings, tuple(reports), artifacts, clip.info.warnings)


def _check_order(clip: Clip, stage: str) -> None:
    """Refuse to run a stage alone without the results of the stages before it, before any folder is made."""
    for step in STEPS:
        if STAGES.index(step.stage) < STAGES.index(stage) and not clip.file(step.name).exists():
            raise StageOrderError(
                f"{stage} needs the {step.stage} stage, and {clip.file(step.name)} does not exist",
                f"Run `biopose {step.stage}` (or `biopose run`) with the same --out first",
            )


def _check_files(settings: Settings) -> None:
    """Read the user's own body and model first, so that a mistake is reported before minutes of work."""
    if settings.body is not None:
        from biopose_cli.body.smpl_io import read_body

        read_body(settings.body)
    if settings.model is not None:
        from biopose_cli.skeleton.custom_model import segment_bodies
        from biopose_cli.skeleton.osim import load_model

        segment_bodies(load_model(settings.model), settings.model)


def _check_track(clip: Clip) -> None:
    """Read the track to import first, for the same reason."""
    if clip.settings.track is not None:
        from biopose_cli.mesh_fit.importers.layouts import load_track

        load_track(clip.settings.track, clip.settings.track_id, clip.info)


def _reusable(step: Step, clip: Clip, fingerprint: str) -> tuple[Artifact | None, str]:
    """The step's artefact if it is up to date, otherwise the reason for running it."""
    path = clip.file(step.name)
    if not path.exists():
        return None, "running"
    stored = read_fingerprint(path)
    if stored is None:
        return None, f"{path.name} is corrupt, rebuilding"
    if stored != fingerprint:
        return None, "settings changed, running"
    try:
        artifact, _ = step.artifact.load(path)
    except ArtifactError:
        return None, f"{path.name} is corrupt, rebuilding"
    if isinstance(artifact, Exported):
        for name, sha256 in zip(artifact.files, artifact.sha256, strict=True):
            if not (clip.folder / str(name)).is_file() or content_hash(clip.folder / str(name)) != sha256:
                return None, f"{name} is missing or was changed, writing again"
    return artifact, "reused"


def _finish(
    step: Step,
    clip: Clip,
    artifact: Artifact | None,
    status: str,
    artifacts: dict[str, Any],
    fingerprint: str,
    progress: Progress,
) -> StepReport:
    """Run the step unless `artifact` was reused; put the result in `artifacts` and report the status."""
    progress.note(f"{step.stage}: {status}" if step.name != "tracks" else f"detect: people {status}")
    began = time.perf_counter()
    if artifact is None:
        artifact = step.run(clip, artifacts, progress)
        artifact.save(clip.file(step.name), fingerprint)
        save_settings(clip.folder, clip.settings, step.settings)
    artifacts[step.name] = artifact
    return StepReport(step.name, step.stage, status, time.perf_counter() - began, warnings_of(artifact))
