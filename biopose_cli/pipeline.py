"""The stages in their order, and what each reads and writes.

    video ──> tracks ──> detect ──> mesh ──> refine ──> neurik ──> export ──> NAME.mot .osim .trc ...
              everybody  one person body     body       joint      files
                                    (first)  (refined)  angles

Every step writes one `stages/NAME.npz` (`artifact.py` lists the fields). A step's fingerprint covers the video's
content, the settings it depends on, the code and data files that make it, and the fingerprints of the steps it reads:
equal fingerprint, equal result, so the file is reused. `tracks` is the slow half of the detect stage; it is kept
apart so that choosing another person does not search the video again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.artifact import (
    Artifact,
    Detection,
    Exported,
    Joints,
    Mesh,
    Refined,
    Tracks,
    read_fingerprint,
)
from biopose_cli.errors import ArtifactError, StageOrderError
from biopose_cli.folder import claim, locked, remember, remembered
from biopose_cli.progress import Progress
from biopose_cli.settings import Settings
from biopose_cli.video.intrinsics import resolve
from biopose_cli.video.probe import VideoInfo, content_hash, probe

STAGES = ("detect", "mesh", "refine", "neurik", "export")  # as the user names them
_PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Clip:
    """One video on its way through the stages: where it is and where its results go."""

    info: VideoInfo
    folder: Path  # OUT/NAME
    settings: Settings

    @property
    def name(self) -> str:
        return self.info.path.stem

    def file(self, step: str) -> Path:
        return self.folder / "stages" / f"{step}.npz"


@dataclass(frozen=True)
class Step:
    """One file of `stages/`: what it is made from and the function that makes it."""

    artifact: type[Artifact]
    stage: str
    reads: tuple[str, ...]
    settings: tuple[str, ...]
    source: tuple[
        str, ...
    ]  # the package's code and data that make the result: an upgrade of them makes it anew
    run: Callable[[Clip, dict[str, Any], Progress], Artifact]

    @property
    def name(self) -> str:
        return self.artifact.name


# The stages' own modules load torch, OpenCV or OpenSim: they are imported when they run, so that a rerun with
# nothing to do is instant.


def _tracks(clip: Clip, done: dict[str, Any], progress: Progress) -> Tracks:
    from biopose_cli.detect import stage

    return stage.track(clip.info, clip.settings, progress)


def _detect(clip: Clip, done: dict[str, Any], progress: Progress) -> Detection:
    from biopose_cli.detect import stage

    return stage.choose(done["tracks"], clip.info, clip.settings)


def _mesh(clip: Clip, done: dict[str, Any], progress: Progress) -> Mesh:
    if clip.settings.mesh == "import":
        from biopose_cli.mesh.tracks import stage as imported

        return imported.run(clip.info, done["detect"], clip.settings)
    from biopose_cli.mesh import stage

    return stage.run(done["detect"], clip.settings, progress)


def _refine(clip: Clip, done: dict[str, Any], progress: Progress) -> Refined:
    if clip.settings.mesh == "import":  # refining would turn it into the fit to our own keypoints
        return Refined(**vars(done["mesh"]))
    from biopose_cli.refine import stage

    return stage.run(done["detect"], done["mesh"], clip.settings, progress)


def _neurik(clip: Clip, done: dict[str, Any], progress: Progress) -> Joints:
    from biopose_cli.neurik import stage

    return stage.run(done["detect"], done["refine"], clip.settings, progress)


def _export(clip: Clip, done: dict[str, Any], progress: Progress) -> Exported:
    from biopose_cli.export import stage

    paths = stage.run(
        clip.info,
        done["detect"],
        done["refine"],
        done["neurik"],
        clip.settings,
        clip.folder,
        clip.name,
        progress,
    )
    return Exported(
        files=np.array([path.name for path in paths]),
        sha256=np.array([content_hash(path) for path in paths]),
        warnings=stage.warnings(done["neurik"], clip.name),
    )


STEPS = (
    Step(
        Tracks,
        "detect",
        (),
        ("weights", "start", "end", "capture_rate"),
        ("assets.py", "video", "detect"),
        _tracks,
    ),
    Step(
        Detection,
        "detect",
        ("tracks",),
        ("person", "max_gap", "focal", "fov", "intrinsics"),
        ("video", "detect"),
        _detect,
    ),
    Step(
        Mesh,
        "mesh",
        ("detect",),
        ("mesh", "track", "track_id", "body", "height"),
        ("banded.py", "body", "mesh", "turns.py", "weights/mqhmr.safetensors"),
        _mesh,
    ),
    Step(
        Refined,
        "refine",
        ("detect", "mesh"),
        ("mesh", "body", "height"),
        ("banded.py", "body", "mesh", "refine", "turns.py", "weights/mqhmr.safetensors"),
        _refine,
    ),
    Step(
        Joints,
        "neurik",
        ("detect", "refine"),
        ("body", "ik", "ik_iterations", "ik_smoothness", "model", "mass", "camera_pitch", "camera_roll"),
        ("banded.py", "body", "skeleton", "neurik", "weights/neurik.safetensors"),
        _neurik,
    ),
    Step(Exported, "export", ("detect", "refine", "neurik"), ("body",), ("body", "video", "export"), _export),
)


@dataclass(frozen=True)
class StepReport:
    """What happened to one step: `status` is "reused" or the reason for running it."""

    step: str
    stage: str
    status: str
    seconds: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """One video's results."""

    clip: Clip
    steps: tuple[StepReport, ...]
    done: dict[str, Any]  # the steps' artefacts by name

    @property
    def warnings(self) -> tuple[str, ...]:
        steps = (warning for report in self.steps for warning in report.warnings)
        return tuple(dict.fromkeys((*self.clip.info.warnings, *steps)))


def run(
    video: Path,
    out: Path,
    settings: Settings,
    progress: Progress,
    *,
    first: str | None = None,
    only: str | None = None,
    overwrite: bool = False,
    given: Collection[str] | None = None,
) -> Result:
    """Take one video through the stages, reusing what is up to date.

    Parameters
    ----------
    video, out
        The file, and the folder in which the folder `NAME/` is made.
    first
        A stage (`--from`): it and all after it run even when nothing changed.
    only
        A stage run alone: the steps before it are taken as they are on disk, those after it stay as they are, and
        what was not given is as it was in the runs before.
    given
        The settings that somebody asked for; by default those that are not at their defaults.
    overwrite
        Run everything, and allow replacing another video's results.

    Raises
    ------
    UserError, Failure
        See `errors.py`; finished steps stay on disk.
    """
    info, folder = probe(video), out / video.stem
    clip = Clip(
        info, folder, remembered(folder, settings, given) if only not in {None, "detect"} else settings
    )
    resolve(info, settings)  # a mistake in the camera's options shows now, not after the search for people
    if only:
        _check_order(clip, only)
    with locked(clip.folder):
        sha256, video_changed = claim(clip.folder, clip.info.path, overwrite)
        if only:
            return _run_alone(clip, sha256, only, overwrite, progress)
        return _run_all(clip, sha256, video_changed, first, overwrite, progress)


def _run_all(
    clip: Clip, sha256: str, video_changed: bool, first: str | None, overwrite: bool, progress: Progress
) -> Result:
    done: dict[str, Any] = {}
    prints: dict[str, str] = {}
    reports: list[StepReport] = []
    reason = "overwrite, running" if overwrite else "the video changed, running" if video_changed else ""
    for step in STEPS:
        prints[step.name] = _fingerprint(step, clip, sha256, prints)
        if not reason and step.stage == first:
            reason = "running as asked"
        artifact, why = _reusable(step, clip, prints[step.name])
        if reason:
            artifact, why = None, reason if clip.file(step.name).exists() else "running"
        if artifact is None and all(report.status == "reused" for report in reports):
            _check_files(clip.settings)
            _check_track(clip)
        reports.append(_finish(step, clip, artifact, why, done, prints[step.name], progress))
        if artifact is None and not reason:
            reason = why if step.name == "tracks" else f"{step.stage} ran again, running"
    return Result(clip, tuple(reports), done)


def _run_alone(clip: Clip, sha256: str, stage: str, overwrite: bool, progress: Progress) -> Result:
    done: dict[str, Any] = {}
    prints: dict[str, str] = {}
    reports: list[StepReport] = []
    for step in STEPS:
        if step.stage == stage:
            prints[step.name] = _fingerprint(step, clip, sha256, prints)
            artifact, why = (
                _reusable(step, clip, prints[step.name])
                if step.name == "tracks" and not overwrite
                else (None, "running")
            )
            reports.append(_finish(step, clip, artifact, why, done, prints[step.name], progress))
        elif STAGES.index(step.stage) < STAGES.index(stage):
            done[step.name], prints[step.name] = step.artifact.load(clip.file(step.name))
            if not prints[step.name].startswith(sha256[:16]):
                raise StageOrderError(
                    f"the video changed since {clip.file(step.name)} was made from it",
                    "Run `biopose run`, or every stage again from `biopose detect`",
                )
            if other := next(
                (name for name in step.reads if _short(prints[name]) not in prints[step.name]), None
            ):
                raise StageOrderError(
                    f"{clip.file(step.name)} was made from another {clip.file(other).name} than the one there",
                    f"Run `biopose {step.stage}` first, or `biopose run`",
                )
    return Result(clip, tuple(reports), done)


def _check_order(clip: Clip, stage: str) -> None:
    """Refuse a stage alone when the stages before it have left nothing, before any folder is made."""
    for step in STEPS:
        if STAGES.index(step.stage) < STAGES.index(stage) and not clip.file(step.name).exists():
            raise StageOrderError(
                f"{stage} needs the {step.stage} stage, and {clip.file(step.name)} does not exist",
                f"Run `biopose {step.stage}` (or `biopose run`) with the same --out first",
            )


def _check_files(settings: Settings) -> None:
    """Read the user's own body and model: a mistake in them should not show after minutes of other work only."""
    if settings.body is not None:
        from biopose_cli.body.files import read_body

        read_body(settings.body)
    if settings.model is not None:
        from biopose_cli.skeleton.osim import load_model
        from biopose_cli.skeleton.user import segment_bodies

        segment_bodies(load_model(settings.model), settings.model)


def _check_track(clip: Clip) -> None:
    """Read the track to import, for the same reason."""
    if clip.settings.track is not None:
        from biopose_cli.mesh.tracks.layouts import load_track

        load_track(clip.settings.track, clip.settings.track_id, clip.info)


def _reusable(step: Step, clip: Clip, fingerprint: str) -> tuple[Artifact | None, str]:
    """The step's artefact if it is up to date, else why it has to be made."""
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
    why: str,
    done: dict[str, Any],
    fingerprint: str,
    progress: Progress,
) -> StepReport:
    """Run the step unless `artifact` was reused; put the result in `done` and say what happened."""
    progress.note(f"{step.stage}: {why}" if step.name != "tracks" else f"detect: people {why}")
    began = time.perf_counter()
    if artifact is None:
        artifact = step.run(clip, done, progress)
        artifact.save(clip.file(step.name), fingerprint)
        remember(clip.folder, clip.settings, step.settings)
    done[step.name] = artifact
    warnings: tuple[str, ...] = getattr(artifact, "warnings", ())
    return StepReport(step.name, step.stage, why, time.perf_counter() - began, warnings)


def _fingerprint(step: Step, clip: Clip, sha256: str, prints: dict[str, str]) -> str:
    """A hash of everything the step's result depends on. It begins with the video's own, and ends with what tells the
    files apart that the step reads."""
    settings = {
        key: content_hash(value) if isinstance(value, Path) and value.is_file() else str(value)
        for key, value in asdict(clip.settings).items()
        if key in step.settings
    }
    source = {
        path.relative_to(_PACKAGE).as_posix(): content_hash(path)
        for entry in step.source
        for path in sorted(
            (_PACKAGE / entry).rglob("*") if (_PACKAGE / entry).is_dir() else [_PACKAGE / entry]
        )
        if path.is_file() and path.suffix != ".pyc"
    }
    parts = [sha256, step.name, settings, source, {name: prints[name] for name in step.reads}]
    own = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return "-".join([sha256[:16], own, *(_short(prints[name]) for name in step.reads)])


def _short(fingerprint: str) -> str:
    """What tells a step's file apart from others of the same step."""
    return fingerprint.split("-")[1][:16]
