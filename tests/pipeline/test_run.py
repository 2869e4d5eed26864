"""Resuming: what is reused, what runs again, and what the user is told. The stages here are small stand-ins that count
their calls; `test_end_to_end.py` runs the real ones."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from biopose_cli.errors import OutputError, PersonError, SettingError, StageOrderError
from biopose_cli.io.artifact import Artifact
from biopose_cli.io.results import (
    LANDMARKS,
    Detection,
    Exported,
    JointKinematics,
    Mesh,
    Refined,
    Tracks,
)
from biopose_cli.io.video.probe import content_hash, probe
from biopose_cli.pipeline import run
from biopose_cli.pipeline.output_folder import check_names
from biopose_cli.pipeline.steps import STAGES, STEPS, Clip
from biopose_cli.progress import NullProgress
from biopose_cli.settings import Settings
from tests.conftest import write_video

T, P = 4, 1
SEEN = {
    "time": np.arange(T) / 30,
    "frame": np.arange(T),
    "image_size": [64, 48],
}
BODY = {
    "body_pose": np.zeros((T, 23, 3)),
    "global_orient": np.zeros((T, 3)),
    "betas": np.zeros(10),
    "transl": np.zeros((T, 3)),
    "query_tokens": np.zeros((T, 0, 0)),
    "reprojection_px": np.zeros(T),
}


def _person(*lead: int) -> dict[str, Any]:
    return {
        "box": np.zeros((*lead, 4)),
        "roi": np.zeros((*lead, 4)),
        "keypoints_2d": np.zeros((*lead, LANDMARKS, 2)),
        "confidence": np.zeros((*lead, LANDMARKS)),
        "landmarks_3d": np.zeros((*lead, LANDMARKS, 3)),
        "visible": np.ones(lead, bool),
        "swapped": np.zeros(lead, bool),
    }


class Stages:
    """Stand-ins for the six steps; `calls` counts them, `fail` names one that raises."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.fail = ""

    def make(self, name: str, clip: Clip) -> Artifact:
        self.calls[name] += 1
        if name == self.fail:
            raise PersonError("no person was found")
        if name == "tracks":
            return Tracks(**SEEN, **_person(P, T))
        if name == "detect":
            camera = {"camera_matrix": np.eye(3), "dist_coeffs": np.zeros(5)}
            boxes = {"people_box": np.zeros((P, T, 4)), "interpolated": np.zeros(T, bool)}
            return Detection(**SEEN, **_person(T), **camera, **boxes, warnings=("a guess",))
        if name == "mesh":
            return Mesh(**BODY)
        if name == "refine":
            return Refined(**BODY)
        if name == "neurik":
            return JointKinematics(
                time=SEEN["time"],
                q=np.zeros((T, 2)),
                coordinates=["pelvis_tilt", "pelvis_ty"],
                rotational=[True, False],
                scale=np.ones((1, 3)),
                bodies=["pelvis"],
                markers=np.zeros((T, 1, 3)),
                marker_names=["RASI"],
                marker_residual=np.zeros((T, 1)),
                valid=np.ones(T, bool),
                ground_from_camera=np.eye(4),
            )
        path = clip.folder / f"{clip.name}.mot"
        path.write_text(f"{clip.settings.height}")
        return Exported(files=np.array([path.name]), sha256=np.array([content_hash(path)]))


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    made = Stages()

    def stand_in(name: str) -> Any:
        return lambda clip, done, progress: made.make(name, clip)

    steps = tuple(replace(step, run=stand_in(step.name)) for step in STEPS)
    monkeypatch.setattr(run, "STEPS", steps)
    monkeypatch.setattr(run, "_check_files", lambda settings: None)  # the stand-ins read no body, no model
    return made


class Notes(NullProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "walk.mp4")


ALL = ["tracks", "detect", "mesh", "refine", "neurik", "export"]


def rerun(
    stages: Stages, video: Path, out: Path, settings: Settings | None = None, **options: Any
) -> tuple[list[str], list[str]]:
    """Which steps ran in this call, and what was said."""
    stages.calls.clear()
    notes = Notes()
    run.run(video, out, settings or Settings(), notes, **options)
    return [name for name in ALL if stages.calls[name]], notes.lines


def test_first_run_runs_all_stages_and_the_second_none(stages: Stages, video: Path, tmp_path: Path) -> None:
    assert rerun(stages, video, tmp_path / "out")[0] == ALL
    ran, lines = rerun(stages, video, tmp_path / "out")
    assert ran == []
    assert [line for line in lines if "reused" not in line] == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (Settings(height=1.8), ALL[2:]),
        (Settings(person=1), ALL[1:]),
        (Settings(fov=60), ALL[1:]),
        (Settings(mass=70), ALL[4:]),
        (Settings(weights="full"), ALL),
        (Settings(device="cpu"), []),
    ],
)
def test_a_changed_setting_reruns_only_what_depends_on_it(
    stages: Stages, video: Path, tmp_path: Path, changed: Settings, expected: list[str]
) -> None:
    rerun(stages, video, tmp_path / "out")
    ran, lines = rerun(stages, video, tmp_path / "out", changed)
    assert ran == expected
    if expected:
        assert any("settings changed, running" in line for line in lines)


def test_a_settings_file_counts_by_its_content(stages: Stages, video: Path, tmp_path: Path) -> None:
    body = tmp_path / "body.npz"
    body.write_bytes(b"one")
    rerun(stages, video, tmp_path / "out", Settings(body=body))
    assert rerun(stages, video, tmp_path / "out", Settings(body=body))[0] == []
    body.write_bytes(b"two")
    assert rerun(stages, video, tmp_path / "out", Settings(body=body))[0] == ALL[2:]


def test_a_replaced_video_of_the_same_name_is_noticed(stages: Stages, video: Path, tmp_path: Path) -> None:
    rerun(stages, video, tmp_path / "out")
    write_video(video, seed=1)
    ran, lines = rerun(stages, video, tmp_path / "out")
    assert ran == ALL
    assert any("the video changed" in line for line in lines)


def test_another_video_of_the_same_name_does_not_replace_results(stages: Stages, video: Path, tmp_path: Path) -> None:
    rerun(stages, video, tmp_path / "out")
    (tmp_path / "b").mkdir()
    other = write_video(tmp_path / "b" / "walk.mp4", seed=1)
    with pytest.raises(OutputError, match="another video of the same name"):
        run.run(other, tmp_path / "out", Settings(), NullProgress())
    assert rerun(stages, other, tmp_path / "out", overwrite=True)[0] == ALL


def test_a_moved_video_is_still_the_same(stages: Stages, video: Path, tmp_path: Path) -> None:
    rerun(stages, video, tmp_path / "out")
    (tmp_path / "b").mkdir()
    assert rerun(stages, video.rename(tmp_path / "b" / "walk.mp4"), tmp_path / "out")[0] == []


@pytest.mark.parametrize("step", ALL)
def test_a_truncated_file_is_named_and_rebuilt(stages: Stages, video: Path, tmp_path: Path, step: str) -> None:
    rerun(stages, video, tmp_path / "out")
    path = tmp_path / "out" / "walk" / "stages" / f"{step}.npz"
    path.write_bytes(path.read_bytes()[:200])
    ran, lines = rerun(stages, video, tmp_path / "out")
    assert ran == ALL[ALL.index(step) :]
    assert any(f"{step}.npz is corrupt, rebuilding" in line for line in lines)


def test_a_removed_or_edited_result_is_written_again(stages: Stages, video: Path, tmp_path: Path) -> None:
    rerun(stages, video, tmp_path / "out")
    result = tmp_path / "out" / "walk" / "walk.mot"
    result.unlink()
    assert rerun(stages, video, tmp_path / "out")[0] == ["export"]
    result.write_text("edited")
    assert rerun(stages, video, tmp_path / "out")[0] == ["export"]


def test_a_failed_stage_keeps_the_ones_before(stages: Stages, video: Path, tmp_path: Path) -> None:
    stages.fail = "refine"
    with pytest.raises(PersonError):
        run.run(video, tmp_path / "out", Settings(), NullProgress())
    stages.fail = ""
    assert rerun(stages, video, tmp_path / "out")[0] == ["refine", "neurik", "export"]


def test_from_runs_that_stage_and_all_after_it(stages: Stages, video: Path, tmp_path: Path) -> None:
    rerun(stages, video, tmp_path / "out")
    assert rerun(stages, video, tmp_path / "out", from_stage="neurik")[0] == ["neurik", "export"]
    assert rerun(stages, video, tmp_path / "out", from_stage="detect")[0] == ALL


def test_stages_alone_give_what_run_gives(stages: Stages, video: Path, tmp_path: Path) -> None:
    for stage in STAGES:
        rerun(stages, video, tmp_path / "out", Settings(height=1.8), only=stage)
    assert rerun(stages, video, tmp_path / "out", Settings(height=1.8))[0] == []


def test_a_stage_alone_keeps_the_settings_of_the_runs_before(stages: Stages, video: Path, tmp_path: Path) -> None:
    settings = Settings(height=1.8, end=0.3, mass=70)
    rerun(stages, video, tmp_path / "out", settings)
    alone = run.run(video, tmp_path / "out", Settings(), NullProgress(), only="export")
    assert alone.settings is not None
    assert (alone.settings.height, alone.settings.end) == (1.8, 0.3)
    run.run(video, tmp_path / "out", Settings(mass=80), NullProgress(), only="neurik")
    changed = run.run(video, tmp_path / "out", Settings(), NullProgress(), only="export").settings
    assert changed is not None
    assert (changed.height, changed.mass) == (1.8, 80)


def test_a_stage_alone_refuses_files_of_different_runs(stages: Stages, video: Path, tmp_path: Path) -> None:
    rerun(stages, video, tmp_path / "out")
    rerun(stages, video, tmp_path / "out", Settings(max_gap=0.1), only="detect")
    with pytest.raises(StageOrderError, match=r"mesh\.npz was made from another detect\.npz") as caught:
        run.run(video, tmp_path / "out", Settings(), NullProgress(), only="refine")
    assert "biopose mesh" in str(caught.value)
    for stage in STAGES[1:]:
        rerun(stages, video, tmp_path / "out", only=stage)


def test_an_explicit_option_wins_even_at_its_default(stages: Stages, video: Path, tmp_path: Path) -> None:
    rerun(stages, video, tmp_path / "out", Settings(ik="opensim"))
    back = run.run(video, tmp_path / "out", Settings(), NullProgress(), only="neurik", given={"ik"})
    assert back.settings is not None
    assert back.settings.ik == "neural"
    rerun(stages, video, tmp_path / "other", Settings(ik_iterations=5))
    opensim = run.run(video, tmp_path / "other", Settings(ik="opensim"), NullProgress(), only="neurik", given={"ik"})
    assert opensim.settings is not None
    assert opensim.settings.ik_iterations == Settings().ik_iterations


def test_problems_of_the_video_are_among_the_warnings(
    stages: Stages, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = replace(probe(video), warnings=("it is odd",))
    monkeypatch.setattr(run, "probe", lambda path: odd)
    for only in (None, "detect"):
        result = run.run(video, tmp_path / "out", Settings(), NullProgress(), only=only)
        assert result.warnings[0] == "it is odd"


def test_detect_alone_starts_anew_with_overwrite(stages: Stages, video: Path, tmp_path: Path) -> None:
    rerun(stages, video, tmp_path / "out")
    assert rerun(stages, video, tmp_path / "out", only="detect")[0] == ["detect"]
    ran, _ = rerun(stages, video, tmp_path / "out", only="detect", overwrite=True)
    assert ran == ["tracks", "detect"]


@pytest.mark.parametrize("stage", STAGES[1:])
def test_a_stage_without_the_one_before_it(stages: Stages, video: Path, tmp_path: Path, stage: str) -> None:
    with pytest.raises(StageOrderError, match=f"{stage} needs the detect stage") as caught:
        run.run(video, tmp_path / "out", Settings(), NullProgress(), only=stage)
    assert caught.value.exit_code == 2
    assert "biopose detect" in str(caught.value)


def test_a_stage_alone_refuses_files_of_an_older_video(stages: Stages, video: Path, tmp_path: Path) -> None:
    rerun(stages, video, tmp_path / "out")
    write_video(video, seed=1)
    with pytest.raises(StageOrderError, match="changed"):
        run.run(video, tmp_path / "out", Settings(), NullProgress(), only="mesh")


def test_partial_files_of_a_killed_run_are_removed(stages: Stages, video: Path, tmp_path: Path) -> None:
    left = tmp_path / "out" / "walk" / "stages" / ".mesh.1.partial.npz"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    rerun(stages, video, tmp_path / "out")
    assert not left.exists()


def _hold(path: Path, held: Any, release: Any) -> None:
    with FileLock(path):
        held.set()
        release.wait(60)


def test_two_processes_on_one_folder(stages: Stages, video: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "walk" / "stages"
    folder.mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(folder / ".lock", held, release))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(OutputError, match="another biopose is working"):
            run.run(video, tmp_path / "out", Settings(), NullProgress())
    finally:
        release.set()
        other.join()
    assert rerun(stages, video, tmp_path / "out")[0] == ALL


def test_two_videos_with_the_same_name() -> None:
    with pytest.raises(SettingError, match="both write to the folder Walk"):
        check_names([Path("a/walk.mp4"), Path("b/Walk.mov")])
    check_names([Path("a/walk.mp4"), Path("a/run.mp4")])


def test_output_folder_that_is_a_file(stages: Stages, video: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        run.run(video, tmp_path / "out", Settings(), NullProgress())


def test_warnings_of_reused_stages_are_repeated(stages: Stages, video: Path, tmp_path: Path) -> None:
    run.run(video, tmp_path / "out", Settings(), NullProgress())
    assert run.run(video, tmp_path / "out", Settings(), NullProgress()).warnings == ("a guess",)
