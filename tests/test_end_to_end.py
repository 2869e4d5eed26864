"""The whole program on the embedded clip, with real parts at every stage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.errors import PersonError
from biopose_cli.io.storage import read_motion
from biopose_cli.metrics.compare import compare
from biopose_cli.pipeline import run
from biopose_cli.pipeline.result import Result
from biopose_cli.pipeline.steps import STAGES
from biopose_cli.progress import NullProgress
from biopose_cli.settings import Settings
from tests.conftest import Call, write_video

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-m", "biopose_cli"]


@pytest.fixture
def folder(result: Result) -> Path:
    return result.folder


def test_leg_angles_are_within_four_degrees_of_the_truth(folder: Path, sample_clip: Path) -> None:
    truth = read_motion(sample_clip.with_name("walk_truth.mot"))
    legs = compare(read_motion(folder / "walk.mot"), truth, shift=0.0).as_json()["groups"]["legs"]
    assert legs["mae"] < 4.0


def test_leg_errors_are_within_the_reported_std(folder: Path, sample_clip: Path) -> None:
    found, doubt = read_motion(folder / "walk.mot"), read_motion(folder / "walk_sd.sto")
    truth = read_motion(sample_clip.with_name("walk_truth.mot"))
    joints = ("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle")
    legs = [f"{joint}_{side}" for joint in joints for side in "rl"]
    error, told = (
        np.array([columns[name] for name in legs])
        for columns in (
            {name: np.abs(found[name] - np.interp(found.time, truth.time, truth[name])) for name in legs},
            doubt,
        )
    )
    assert np.mean(error < 2 * told) > 0.9
    assert told.mean() < 3 * error.mean()


def test_opensim_reads_every_file_to_the_last_row(folder: Path, result: Result) -> None:
    from biopose_cli.skeleton.osim import opensim

    frames = int(result.kinematics.valid.sum())
    motion = opensim.Storage(str(folder / "walk.mot"))
    assert motion.getSize() == frames
    assert motion.isInDegrees()
    assert opensim.TimeSeriesTable(str(folder / "walk.mot")).getNumRows() == frames
    assert opensim.TimeSeriesTable(str(folder / "walk_sd.sto")).getNumRows() == frames
    assert opensim.MarkerData(str(folder / "walk.trc")).getNumFrames() == frames
    assert opensim.TimeSeriesTableVec3(str(folder / "walk.trc")).getNumRows() == frames
    model = opensim.Model(str(folder / "walk.osim"))
    model.initSystem()
    coordinates = {model.getCoordinateSet().get(i).getName() for i in range(model.getCoordinateSet().getSize())}
    assert set(read_motion(folder / "walk.mot").names) == coordinates


def test_opensims_own_ik_gives_our_angles_back(folder: Path) -> None:
    from biopose_cli.skeleton.opensim_ik import run_tool

    _, names, again = run_tool(folder / "walk.trc", folder / "walk.osim")
    ours = read_motion(folder / "walk.mot")
    rotations = [name for name in ours.names if not name.endswith(("_tx", "_ty", "_tz", "_beta"))]
    difference = [np.abs(np.degrees(again[:, names.index(name)]) - ours[name]).mean() for name in rotations]
    assert np.mean(difference) < 0.5


def test_the_subject_stands_upright_on_the_floor(result: Result) -> None:
    joints = result.kinematics
    markers = dict(zip(joints.marker_names, np.moveaxis(joints.markers, 1, 0), strict=True))
    assert np.abs(np.min(joints.markers[..., 1], axis=1)).mean() < 0.05  # the lowest marker is near the floor
    assert (markers["C7"][:, 1] > 1.2).all()
    pelvis_right = markers["RASI"] - markers["LASI"]
    assert pelvis_right[0, 2] > 0.15  # z to the subject's right
    assert (markers["RASI"] - markers["RPSI"])[0, 0] > 0.05  # x forward


def test_summary_is_json_and_names_every_source(folder: Path) -> None:
    summary = json.loads((folder / "walk_summary.json").read_text(encoding="utf-8"))
    text = json.dumps(summary)
    assert "NaN" not in text
    assert summary["camera"]["focal_source"] == "metadata"
    assert summary["camera"]["pitch_source"] == "the person's balance and the floor"
    assert abs(summary["camera"]["pitch_deg"]) < 2.0  # the clip's camera is level
    assert abs(summary["camera"]["roll_deg"]) < 2.0


def test_compare_takes_the_standard_deviations_beside_the_motion(
    biopose: Call, folder: Path, sample_clip: Path, tmp_path: Path
) -> None:
    truth = sample_clip.with_name("walk_truth.mot")
    given = ("--shift", "0", "--plot", tmp_path / "p.png")
    code, out, _ = biopose("compare", folder / "walk.mot", truth, *given, "--json")
    legs = json.loads(out)["groups"]["legs"]
    assert code == 0
    assert legs["within_two_sd"] > 0.9
    alone = tmp_path / "walk.mot"
    alone.write_bytes((folder / "walk.mot").read_bytes())
    _, out, _ = biopose("compare", alone, truth, *given)
    assert "2 SD" not in out
    alone.with_name("walk_sd.sto").write_text("garbage")
    code, out, _ = biopose("compare", alone, truth, *given)
    assert code == 0
    assert "no standard deviations" in out


def test_overlay_has_every_frame(folder: Path, sample_clip: Path) -> None:
    import av

    def count(path: Path) -> int:
        with av.open(path) as container:
            return sum(1 for _ in container.decode(video=0))

    assert count(folder / "walk_overlay.mp4") == count(sample_clip)


def test_a_rerun_reuses_everything_and_a_height_reruns_the_mesh(result: Result, sample_clip: Path) -> None:
    out = result.folder.parent
    assert {r.status for r in run.run(sample_clip, out, Settings(), NullProgress()).steps} == {"reused"}
    again = run.run(sample_clip, out, Settings(height=1.80), NullProgress())
    status = {r.step: r.status for r in again.steps}
    assert status["tracks"] == status["detect"] == "reused"
    assert "running" in status["mesh"]
    assert again.mesh.stature_m == pytest.approx(1.80, abs=0.01)
    run.run(sample_clip, out, Settings(), NullProgress())  # leave the shared results as they were


def test_no_person_in_the_video(tmp_path: Path) -> None:
    video = write_video(tmp_path / "noise.mp4", frames=20, size=(160, 120))
    with pytest.raises(PersonError, match=r"noise\.mp4"):
        run.run(video, tmp_path / "out", Settings(), NullProgress())


def test_person_in_under_half_a_second(sample_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(PersonError, match=r"0\.5 s"):
        run.run(sample_clip, tmp_path, Settings(end=0.3), NullProgress())


def test_a_person_number_that_does_not_exist(result: Result, sample_clip: Path) -> None:
    with pytest.raises(PersonError, match="--person 5"):
        run.run(sample_clip, result.folder.parent, Settings(person=5), NullProgress())
    run.run(sample_clip, result.folder.parent, Settings(), NullProgress())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL; the resume logic is the same")
@pytest.mark.parametrize("kind", ["SIGKILL", "SIGINT"])
def test_stopped_in_every_stage_and_resumed(sample_clip: Path, tmp_path: Path, kind: str) -> None:
    """Stop one run after the other, each as soon as it has begun the next stage; every rerun keeps what was done."""
    command = [*COMMAND, "run", str(sample_clip), "--out", str(tmp_path), "--end", "0.8"]
    for reached, stage in enumerate(STAGES):
        lines = _stop_at(command, stage, getattr(signal, kind))
        for earlier in STAGES[: max(0, reached)]:
            if reached > STAGES.index(earlier) + 1:  # finished by a run before this one
                assert f"{earlier}: reused" in lines
    done = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True)
    status = {step["step"]: step["status"] for step in json.loads(done.stdout)["results"][0]["stages"]}
    assert [status[name] for name in ("tracks", "detect", "mesh", "refine", "neurik")] == ["reused"] * 5
    assert (tmp_path / "walk" / "walk.mot").is_file()
    assert not list(tmp_path.rglob("*.partial*"))


def _stop_at(command: list[str], stage: str, kind: int) -> list[str]:
    """Start the program, send it `kind` a moment after it announced `stage`; what it had said until then."""
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line.strip())
            if line.startswith((f"{stage}:", "detect: people") if stage == "detect" else f"{stage}:"):
                break
        time.sleep(0.2)
        process.send_signal(kind)
        rest = process.stderr.read()
    assert "Traceback" not in rest
    assert process.returncode != 0
    return lines
