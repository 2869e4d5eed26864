"""The public Python API: what it exports, what importing it costs, and that its functions agree with a run."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import biopose_cli
from biopose_cli import errors
from biopose_cli.errors import OutputError, SettingError, StageOrderError
from biopose_cli.pipeline.result import Result
from tests.conftest import write_video

FUNCTIONS = {
    "compare",
    "detect",
    "export",
    "load",
    "read_motion",
    "read_trc",
    "recover_mesh",
    "refine",
    "run",
    "solve_ik",
    "solve_ik_from_markers",
}
TYPES = {
    "Comparison",
    "Detection",
    "JointKinematics",
    "Markers",
    "Mesh",
    "Motion",
    "NullProgress",
    "Progress",
    "Refined",
    "Result",
    "Settings",
}
STAGES = ("detect", "recover_mesh", "refine", "solve_ik", "solve_ik_from_markers", "export")


def _python(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout


def test_exactly_these_names_are_exported() -> None:
    error_types = {name for name, kind in vars(errors).items() if inspect.isclass(kind)}
    assert set(biopose_cli.__all__) == FUNCTIONS | TYPES | error_types | {"MARKER_NAMES", "__version__"}
    assert len(set(biopose_cli.__all__)) == len(biopose_cli.__all__)
    assert set(biopose_cli.__all__) <= set(dir(biopose_cli))
    for name in FUNCTIONS:
        assert inspect.isfunction(getattr(biopose_cli, name)), name
    for name in TYPES | error_types:
        assert inspect.isclass(getattr(biopose_cli, name)), name


def test_everything_exported_is_documented() -> None:
    for name in FUNCTIONS | TYPES:
        assert inspect.getdoc(getattr(biopose_cli, name)), name


def test_importing_loads_nothing_heavy() -> None:
    loaded = json.loads(_python("import json, sys, biopose_cli; print(json.dumps(list(sys.modules)))"))
    heavy = {"torch", "opensim", "numpy", "pandas", "cv2", "av", "matplotlib", "scipy", "numba"}
    assert heavy.isdisjoint(loaded)


def test_run_and_load_are_found_without_torch_and_opensim() -> None:
    script = "import sys, biopose_cli; biopose_cli.run, biopose_cli.load, biopose_cli.Result, biopose_cli.read_motion;"
    assert _python(script + "print({'torch', 'opensim', 'pandas'} & set(sys.modules))").strip() == "set()"


def test_functions_keep_their_names_after_the_packages_of_the_same_name_were_imported() -> None:
    script = (
        "import biopose_cli\nfrom biopose_cli.detect import gaps\nfrom biopose_cli.export import summary\n"
        "print(biopose_cli.detect.__module__, biopose_cli.export.__module__, gaps.__name__, summary.__name__)"
    )
    expected = "biopose_cli.api biopose_cli.api biopose_cli.detect.gaps biopose_cli.export.summary"
    assert _python(script).strip() == expected


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = biopose_cli.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["run", *STAGES])
def test_progress_is_optional(name: str) -> None:
    parameter = inspect.signature(getattr(biopose_cli, name)).parameters["progress"]
    assert parameter.default is None
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


def test_mistakes_in_the_call_show_before_any_work(tmp_path: Path) -> None:
    video = write_video(tmp_path / "walk.mp4")
    with pytest.raises(SettingError, match=r"no setting 'heigth'\. Did you mean 'height'"):
        biopose_cli.run(video, tmp_path, heigth=1.8)
    with pytest.raises(SettingError, match="no stage 'ik'"):
        biopose_cli.run(video, tmp_path, from_stage="ik")
    with pytest.raises(SettingError, match="there is no file"):
        biopose_cli.detect(video, intrinsics="nowhere.json")
    assert [path.name for path in tmp_path.iterdir()] == ["walk.mp4"]


def test_load_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StageOrderError, match="holds no results"):
        biopose_cli.load(str(tmp_path))


def test_the_stage_functions_give_what_a_run_gives(result: Result, tmp_path: Path) -> None:
    mesh = biopose_cli.recover_mesh(result.detection)
    np.testing.assert_allclose(mesh.body_pose, result.mesh.body_pose, atol=1e-6)
    refined = biopose_cli.refine(result.detection, mesh)
    np.testing.assert_allclose(refined.body_pose, result.refined.body_pose, atol=1e-6)
    kinematics = biopose_cli.solve_ik(result.detection.time, result.detection.usable, result.refined)
    np.testing.assert_array_equal(kinematics.q, result.kinematics.q)
    np.testing.assert_array_equal(kinematics.q_std, result.kinematics.q_std)


def test_a_mesh_alone_gives_angles_without_standard_deviations(result: Result) -> None:
    detection = result.detection
    kinematics = biopose_cli.solve_ik(detection.time, detection.usable, result.mesh, mass=70)
    assert kinematics.std_deg == {}
    assert kinematics.mass_kg == pytest.approx(70)
    with pytest.raises(SettingError, match="do not go together"):
        biopose_cli.solve_ik(detection.time[1:], detection.usable, result.mesh)


def test_a_loaded_result_has_the_files_and_the_summary(result: Result) -> None:
    loaded = biopose_cli.load(result.folder)
    assert loaded.files == result.files
    assert all(path.is_file() for path in loaded.files)
    assert loaded.summary["name"] == "walk"
    motion = biopose_cli.read_motion(str(result.folder / "walk.mot"))
    angles = loaded.kinematics.angles_deg
    np.testing.assert_allclose(motion["knee_angle_r"], angles["knee_angle_r"][loaded.kinematics.valid], atol=1e-6)
    markers = biopose_cli.read_trc(str(result.folder / "walk.trc"))
    assert set(markers.names) == set(biopose_cli.MARKER_NAMES)


def test_export_writes_the_files_under_a_name(result: Result, sample_clip: Path, tmp_path: Path) -> None:
    parts = (result.detection, result.refined, result.kinematics)
    files = biopose_cli.export(sample_clip, *parts, tmp_path / "files", name="trial")
    assert [path.name for path in files] == [path.name.replace("walk", "trial", 1) for path in result.files]
    assert (tmp_path / "files" / "trial.mot").read_bytes() == (result.folder / "walk.mot").read_bytes()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        biopose_cli.export(sample_clip, *parts, tmp_path / "file")


def test_detect_gives_the_detection_of_a_run(sample_clip: Path) -> None:
    short = biopose_cli.detect(sample_clip, end=0.7, weights="lite", fov=60)
    assert short.focal_source == "--fov"
    assert len(short.time) == pytest.approx(21, abs=1)
    assert short.usable.all()


def test_markers_of_a_run_give_its_angles_back(result: Result) -> None:
    measured = biopose_cli.read_trc(result.folder / "walk.trc")
    found = biopose_cli.solve_ik_from_markers(measured.time, measured.positions, measured.names)
    knees = ("knee_angle_r", "knee_angle_l")
    ours = [result.kinematics.angles_deg[name][result.kinematics.valid] for name in knees]
    assert np.abs(np.array([found.angles_deg[name] for name in knees]) - ours).mean() < 4.0
