"""`biopose import-mesh` on the embedded clip, with the clip's true body written as other tools would."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biopose_cli.body.kinematics import build_kinematic_chain
from biopose_cli.body.model import load_body
from biopose_cli.geometry import so3
from biopose_cli.io.results import Mesh
from biopose_cli.io.storage import read_motion
from biopose_cli.mesh_fit.mesh_stage import unwrap_axis_angles
from biopose_cli.metrics.compare import compare
from tests.conftest import SAMPLE, Call, one_line
from tests.helpers.other_tools import Walker, write_gvhmr, write_own, write_phalp, write_wham

END = 1.0  # s: enough for a step


@pytest.fixture(scope="module")
def walker() -> Walker:
    """The body that was drawn in the clip, in the camera's frame."""
    truth = np.load(SAMPLE.with_name("walk_truth.npz"))
    chain = build_kinematic_chain(load_body())
    betas = truth["betas"].astype(np.float64)
    rest = chain.rest_joints[0] + chain.joint_shapedirs[0, :, :10] @ betas
    turn, shift = truth["camera_rotation"], truth["camera_translation"]
    rotations = so3.axis_angle_to_matrix(truth["pose"])
    rotations[:, 0] = turn @ rotations[:, 0]
    pelvis = (truth["transl"] + rest) @ turn.T + shift
    return Walker(rotations, pelvis, betas, rest, truth["camera_matrix"], (1280, 960))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One results folder for all: people are searched for once."""
    return tmp_path_factory.mktemp("results")


def call(biopose: Call, track: Path, out: Path, *more: object) -> tuple[int, str, str]:
    options = ("--video", SAMPLE, "--out", out, "--body", "default", "--end", END, "--json")
    return biopose("import-mesh", track, *options, *more)


@pytest.mark.parametrize(
    ("name", "write", "options"),
    [
        ("own.npz", write_own, ()),
        ("demo_walk.pkl", write_phalp, ("--track", 7)),
        ("wham_output.pkl", write_wham, ()),
        ("hmr4d_results.pt", write_gvhmr, ()),
    ],
)
def test_a_track_becomes_opensim_files(
    name: str,
    write: Callable[[Path, Walker], Path],
    options: tuple[object, ...],
    biopose: Call,
    walker: Walker,
    tmp_path: Path,
    out: Path,
) -> None:
    code, _, error = call(biopose, write(tmp_path / name, walker), out, *options)
    assert code == 0, error
    folder = out / "walk"
    mesh, _ = Mesh.load(folder / "stages" / "mesh.npz")
    frames = len(mesh.transl)
    np.testing.assert_allclose(mesh.body_pose[:, :21], walker.vectors[:frames, 1:22], atol=1e-5)
    np.testing.assert_allclose(
        mesh.global_orient, unwrap_axis_angles(walker.vectors[:, 0])[:frames], atol=1e-5
    )
    if name != "hmr4d_results.pt":  # its shape is SMPL-X's
        np.testing.assert_allclose(mesh.betas, walker.betas, atol=1e-5)
        np.testing.assert_allclose(mesh.transl, walker.transl[:frames], atol=1e-5)

    truth = read_motion(SAMPLE.with_name("walk_truth.mot"))
    legs = compare(read_motion(folder / "walk.mot"), truth, shift=0.0).as_json()["groups"]["legs"]
    assert legs["mae"] < 1.5  # the fit to the clip's keypoints: 3.5
    from biopose_cli.skeleton.osim import opensim

    opensim.Model(str(folder / "walk.osim")).initSystem()
    assert opensim.MarkerData(str(folder / "walk.trc")).getNumFrames() == frames
    summary = json.loads((folder / "walk_summary.json").read_text(encoding="utf-8"))
    assert summary["settings"]["mesh"] == "import"
    assert summary["settings"]["track"].endswith(name)


def test_the_tracks_own_pose_reaches_the_angles(
    biopose: Call, walker: Walker, tmp_path: Path, out: Path
) -> None:
    """Nothing in between pulls it to the keypoints: knees bent by 15 degrees more come out bent by 15 degrees more."""
    knees = []
    for name, bend in (("a.npz", 0.0), ("b.npz", 15.0)):
        rotations = walker.rotations.copy()
        rotations[:, [4, 5]] = rotations[:, [4, 5]] @ so3.axis_angle_to_matrix(
            np.array([np.radians(bend), 0, 0])
        )
        call(biopose, write_own(tmp_path / name, replace(walker, rotations=rotations)), out)
        motion = read_motion(out / "walk" / "walk.mot")
        knees.append(np.mean([motion["knee_angle_r"], motion["knee_angle_l"]]))
    assert knees[1] - knees[0] == pytest.approx(15, abs=1.5)


def statuses(printed: str) -> dict[str, str]:
    return {step["step"]: step["status"] for step in json.loads(printed)["results"][0]["stages"]}


def test_only_a_changed_track_runs_again(biopose: Call, walker: Walker, tmp_path: Path, out: Path) -> None:
    track = write_own(tmp_path / "a.npz", walker)
    call(biopose, track, out)
    assert set(statuses(call(biopose, track, out)[1]).values()) == {"reused"}
    moved = track.rename(tmp_path / "b.npz")  # the content counts, not the name
    assert set(statuses(call(biopose, moved, out)[1]).values()) == {"reused"}
    write_own(moved, walker, betas=walker.betas * 0.9)
    status = statuses(call(biopose, moved, out)[1])
    assert status["tracks"] == status["detect"] == "reused"
    assert all("running" in status[name] for name in ("mesh", "refine", "neurik", "export"))


def test_the_body_must_be_named(biopose: Call, walker: Walker, tmp_path: Path) -> None:
    track = write_own(tmp_path / "a.npz", walker)
    code, _, error = biopose("import-mesh", track, "--video", SAMPLE, "--out", tmp_path / "out")
    assert code == 2
    assert "--body is missing" in one_line(error)
    assert not (tmp_path / "out").exists()


def test_a_bad_track_is_said_before_the_search_for_people(
    biopose: Call, walker: Walker, tmp_path: Path
) -> None:
    short = replace(walker, rotations=walker.rotations[:40], pelvis=walker.pelvis[:40])
    code, _, error = call(biopose, write_own(tmp_path / "a.npz", short), tmp_path / "out")
    assert code == 2
    assert "40 frames without numbers, walk.mp4 has 96" in one_line(error[error.index("biopose: error") :])
    assert not list((tmp_path / "out").rglob("tracks.npz"))
    code, _, error = call(biopose, tmp_path / "nothing.npz", tmp_path / "out")
    assert code == 2
    assert "nothing.npz" in one_line(error)
