"""One clip's results: what `run.run` returns, and what can be read back from its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from biopose_cli.errors import ArtifactError, StageOrderError
from biopose_cli.io.artifact import Artifact
from biopose_cli.io.results import Detection, Exported, JointKinematics, Mesh, Refined
from biopose_cli.pipeline.steps import STEPS, Step, short_id
from biopose_cli.settings import Settings

Kind = TypeVar("Kind", bound=Artifact)


@dataclass(frozen=True)
class StepReport:
    """What happened to one step: `status` is "reused", "loaded" or the reason for running it."""

    step: str
    stage: str
    status: str
    seconds: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """One clip's results, from `biopose_cli.run` or `biopose_cli.load`.

    The attributes of stages that were not run, or left nothing in the folder, raise `StageOrderError`.

    Attributes
    ----------
    folder
        The clip's folder, OUT/NAME.
    video
        The video file, or None where the folder does not name it.
    settings
        The settings with which the stages ran; None in a loaded result, whose `summary` has them.
    steps
        What happened to every step.
    artifacts
        The results of the steps by name; the properties below are the same with their types.
    video_warnings
        What is odd about the video file, a line each.
    """

    folder: Path
    video: Path | None
    settings: Settings | None
    steps: tuple[StepReport, ...]
    artifacts: dict[str, Artifact]
    video_warnings: tuple[str, ...] = ()

    @property
    def detection(self) -> Detection:
        """The person's keypoints (image, px) with their flags, and the camera."""
        return self._artifact(Detection)

    @property
    def mesh(self) -> Mesh:
        """The body as the mesh stage found it, camera frame."""
        return self._artifact(Mesh)

    @property
    def refined(self) -> Refined:
        """The body refined on the keypoints, camera frame, with the standard deviations of its rotations."""
        return self._artifact(Refined)

    @property
    def kinematics(self) -> JointKinematics:
        """Joint angles, the scaled skeleton and the markers, ground frame."""
        return self._artifact(JointKinematics)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files written for the user, the summary last."""
        return tuple(self.folder / str(name) for name in self._artifact(Exported).files)

    @property
    def summary(self) -> dict[str, Any]:
        """The content of `NAME_summary.json`.

        Raises
        ------
        ArtifactError
            The file is missing or was damaged since.
        """
        path = self.files[-1]
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"cannot read {path}", "Run `biopose export` with the same --out") from error
        return content

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before trusting the results, a line each."""
        steps = (warning for report in self.steps for warning in report.warnings)
        return tuple(dict.fromkeys((*self.video_warnings, *steps)))

    def stage_file(self, step: str) -> Path:
        """The file of `stages/` in which a step's result is kept."""
        return self.folder / "stages" / f"{step}.npz"

    def _artifact(self, kind: type[Kind]) -> Kind:
        artifact = self.artifacts.get(kind.name)
        if not isinstance(artifact, kind):
            raise StageOrderError(f"the {kind.name} stage has left no result in {self.folder}", "Run `biopose run`")
        return artifact


def load_result(folder: Path) -> Result:
    """Read what the stages left in the `folder` of one clip; the video is not needed.

    Raises
    ------
    StageOrderError
        There are no results, or results of different runs.
    ArtifactError
        A file is corrupt.
    """
    artifacts: dict[str, Artifact] = {}
    fingerprints: dict[str, str] = {}
    reports = []
    for step in STEPS:
        path = folder / "stages" / f"{step.name}.npz"
        if step.name == "tracks" or not path.is_file():  # everybody's keypoints are only for choosing the person
            continue
        artifacts[step.name], fingerprints[step.name] = step.artifact.load(path)
        check_inputs(step, path, fingerprints)
        reports.append(StepReport(step.name, step.stage, "loaded", 0.0, warnings_of(artifacts[step.name])))
    if not artifacts:
        raise StageOrderError(f"{folder} holds no results", "Give the folder of one clip, such as results/walk")
    return Result(folder, _recorded_video(folder), None, tuple(reports), artifacts)


def check_inputs(step: Step, path: Path, fingerprints: dict[str, str]) -> None:
    """Refuse a step's file at `path` that was made from other files than those with these `fingerprints`.

    Raises
    ------
    StageOrderError
    """
    for name in step.reads:
        if name in fingerprints and short_id(fingerprints[name]) not in fingerprints[step.name]:
            raise StageOrderError(
                f"{path} was made from another {name}.npz than the one there",
                f"Run `biopose {step.stage}` first, or `biopose run`",
            )


def warnings_of(artifact: Artifact) -> tuple[str, ...]:
    """The warnings that a step's result carries."""
    warnings: tuple[str, ...] = getattr(artifact, "warnings", ())
    return warnings


def _recorded_video(folder: Path) -> Path | None:
    """The video that the folder's results are of, as `output_folder.claim_folder` noted it."""
    try:
        return Path(json.loads((folder / "stages" / "video.json").read_text(encoding="utf-8"))["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
