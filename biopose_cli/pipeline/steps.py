"""The stages' steps: what each reads and writes, and what its result depends on.

    video ──> tracks ──> detect ──> mesh ──> refine ──> neurik ──> export ──> NAME.mot .osim .trc ...
              everybody  one person body     body       joint      files
                                    (first)  (refined)  angles

Every step writes one `stages/NAME.npz` (`io/results.py` lists the fields). A step's fingerprint covers the video's
content, the settings it depends on, the code and data files that make it, and the fingerprints of the steps it reads:
equal fingerprint, equal result, so the file is reused. `tracks` is the slow half of the detect stage; it is kept
apart so that choosing another person does not search the video again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.io.artifact import Artifact
from biopose_cli.io.results import Detection, Exported, JointKinematics, Mesh, Refined, Tracks
from biopose_cli.io.video.probe import VideoInfo, content_hash
from biopose_cli.pipeline.fingerprint import PACKAGE, code_hash
from biopose_cli.progress import Progress
from biopose_cli.settings import Settings

STAGES = ("detect", "mesh", "refine", "neurik", "export")  # as the user names them


@dataclass(frozen=True)
class Clip:
    """One video on its way through the stages: where it is and where its results go."""

    info: VideoInfo
    folder: Path  # OUT/NAME
    settings: Settings

    @property
    def name(self) -> str:
        """The video's name without suffix, which is its folder's."""
        return self.info.path.stem

    def file(self, step: str) -> Path:
        """The path of a step's file in `stages/`."""
        return self.folder / "stages" / f"{step}.npz"


@dataclass(frozen=True)
class Step:
    """One file of `stages/`: what it is made from and the function that makes it."""

    artifact: type[Artifact]
    stage: str
    reads: tuple[str, ...]
    settings: tuple[str, ...]
    modules: tuple[str, ...]  # the code that makes the result, with all that it imports: an upgrade makes it anew
    weights: str | None  # the network's, likewise
    run: Callable[[Clip, dict[str, Any], Progress], Artifact]

    @property
    def name(self) -> str:
        """The step's name, which is its artefact's."""
        return self.artifact.name


# The stages' own modules load torch, OpenCV or OpenSim: they are imported when they run, so that a rerun with
# nothing to do is instant.


def _tracks(clip: Clip, artifacts: dict[str, Any], progress: Progress) -> Tracks:
    from biopose_cli.detect import stage

    return stage.track(clip.info, clip.settings, progress)


def _detect(clip: Clip, artifacts: dict[str, Any], progress: Progress) -> Detection:
    from biopose_cli.detect import stage

    return stage.select_person(artifacts["tracks"], clip.info, clip.settings)


def _mesh(clip: Clip, artifacts: dict[str, Any], progress: Progress) -> Mesh:
    if clip.settings.mesh == "import":
        from biopose_cli.mesh_fit.importers import stage as imported

        return imported.run(clip.info, artifacts["detect"], clip.settings)
    from biopose_cli.mesh_fit import mesh_stage

    return mesh_stage.run(artifacts["detect"], clip.settings, progress)


def _refine(clip: Clip, artifacts: dict[str, Any], progress: Progress) -> Refined:
    if clip.settings.mesh == "import":  # refining would turn it into the fit to our own keypoints
        return Refined(**vars(artifacts["mesh"]))
    from biopose_cli.mesh_fit import refine_stage

    return refine_stage.run(artifacts["detect"], artifacts["mesh"], clip.settings, progress)


def _neurik(clip: Clip, artifacts: dict[str, Any], progress: Progress) -> JointKinematics:
    from biopose_cli.ik import stage

    detection: Detection = artifacts["detect"]
    return stage.run(detection.time, detection.usable, artifacts["refine"], clip.settings, progress)


def _export(clip: Clip, artifacts: dict[str, Any], progress: Progress) -> Exported:
    from biopose_cli.export import stage

    paths = stage.run(
        clip.info,
        artifacts["detect"],
        artifacts["refine"],
        artifacts["neurik"],
        clip.settings,
        clip.folder,
        clip.name,
        progress,
    )
    return Exported(
        files=np.array([path.name for path in paths]),
        sha256=np.array([content_hash(path) for path in paths]),
        warnings=stage.warnings(artifacts["neurik"], clip.name),
    )


STEPS = (
    Step(
        Tracks,
        "detect",
        (),
        ("weights", "start", "end", "capture_rate"),
        ("detect.stage",),
        None,
        _tracks,
    ),
    Step(
        Detection,
        "detect",
        ("tracks",),
        ("person", "max_gap", "focal", "fov", "intrinsics"),
        ("detect.stage",),
        None,
        _detect,
    ),
    Step(
        Mesh,
        "mesh",
        ("detect",),
        ("mesh", "track", "track_id", "body", "height"),
        ("mesh_fit.mesh_stage", "mesh_fit.importers.stage"),
        "mqhmr.safetensors",
        _mesh,
    ),
    Step(
        Refined,
        "refine",
        ("detect", "mesh"),
        ("mesh", "body", "height"),
        ("mesh_fit.refine_stage",),
        "mqhmr.safetensors",
        _refine,
    ),
    Step(
        JointKinematics,
        "neurik",
        ("detect", "refine"),
        ("body", "ik", "ik_iterations", "ik_smoothness", "model", "mass", "camera_pitch", "camera_roll"),
        ("ik.stage",),
        "neurik.safetensors",
        _neurik,
    ),
    Step(
        Exported,
        "export",
        ("detect", "refine", "neurik"),
        ("body",),
        ("export.stage",),
        None,
        _export,
    ),
)


def fingerprint_of(step: Step, clip: Clip, sha256: str, fingerprints: dict[str, str]) -> str:
    """A hash of everything the step's result depends on. It begins with the video's own, and ends with what tells the
    files apart that the step reads."""
    settings = {
        key: content_hash(value) if isinstance(value, Path) and value.is_file() else str(value)
        for key, value in asdict(clip.settings).items()
        if key in step.settings
    }
    code = [code_hash(f"biopose_cli.{module}") for module in step.modules]
    weights = content_hash(PACKAGE / "weights" / step.weights) if step.weights else ""
    parts = [sha256, step.name, settings, code, weights, {name: fingerprints[name] for name in step.reads}]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return "-".join([sha256[:16], digest, *(short_id(fingerprints[name]) for name in step.reads)])


def short_id(fingerprint: str) -> str:
    """What tells a step's file apart from others of the same step."""
    return fingerprint.split("-")[1][:16]
