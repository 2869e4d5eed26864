"""What users get wrong, through the command line: one clear line, the right exit code, nothing left behind.

Beside the mistakes in `test_main.py` (options), `test_end_to_end.py` (nobody in view, kill and Ctrl-C), and in the
tests of each reader (body, model, motion and camera files, weights).
"""

from __future__ import annotations

import json
import pickle
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import av
import numpy as np
import pytest

from biopose_cli.errors import DiskFullError, OutputError
from biopose_cli.pipeline import run
from biopose_cli.pipeline.steps import STAGES, STEPS
from biopose_cli.progress import NullProgress
from biopose_cli.settings import Settings
from tests.conftest import Call, one_line, write_video
from tests.pipeline.test_run import ALL, Stages, rerun, stages

__all__ = ["stages"]  # the fixture with stand-ins for the stages


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "walk.mp4")


@pytest.fixture
def no_detection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test fails if the search for people begins."""

    def fail(*_: object) -> NoReturn:
        raise AssertionError("the search began")

    steps = [replace(s, run=fail) if s.name == "tracks" else s for s in STEPS]
    monkeypatch.setattr(run, "STEPS", tuple(steps))


def write_sound(path: Path) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        for i in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, 1024 * i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_image(path: Path) -> Path:
    with av.open(path, "w", format="image2") as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


@pytest.mark.parametrize("command", ["run", "info"])
def test_files_that_are_no_video(biopose: Call, tmp_path: Path, command: str) -> None:
    cases = {
        "is a folder": tmp_path / "folder.mp4",
        "is empty (0 bytes)": tmp_path / "empty.mp4",
        "sound but no images": write_sound(tmp_path / "sound.mp4"),
        "a single image": write_image(tmp_path / "picture.png"),
        "cut off": tmp_path / "cut.mp4",
    }
    cases["is a folder"].mkdir()
    cases["is empty (0 bytes)"].touch()
    cases["cut off"].write_bytes(write_video(tmp_path / "whole.mp4").read_bytes()[:100])
    for said, path in cases.items():
        options = ["--out", tmp_path / "out"] if command == "run" else []
        code, _, error = biopose(command, path, *options)
        assert code == 2
        assert said in one_line(error)
        assert path.name in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("blocked", ["out", "out/walk", "out/walk/stages"])
def test_output_with_a_file_in_the_way(biopose: Call, video: Path, tmp_path: Path, blocked: str) -> None:
    path = tmp_path / blocked
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    code, _, error = biopose("run", video, "--out", tmp_path / "out")
    assert code == 2
    assert "--out" in one_line(error)
    assert path.read_text() == "mine"


def test_output_folder_that_cannot_be_created(biopose: Call, video: Path) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("no /proc on this system")
    code, _, error = biopose("run", video, "--out", "/proc/nothing")
    assert code == 2
    assert "cannot write /proc/nothing" in one_line(error)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("left", [12, 24, 36])
def test_full_disk(stages: Stages, video: Path, small_disk: Path, left: int) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(1024 * (200 - left)))
    with pytest.raises(DiskFullError, match="no space left"):
        run.run(video, small_disk, Settings(), NullProgress())
    assert not list(small_disk.rglob("*.partial*"))
    kept = [name for name in ALL if (small_disk / "walk" / "stages" / f"{name}.npz").exists()]
    filler.unlink()
    assert rerun(stages, video, small_disk)[0] == ALL[len(kept) :]


def test_a_stage_before_its_time_leaves_no_folder(biopose: Call, video: Path, tmp_path: Path) -> None:
    code, _, error = biopose("mesh", video, "--out", tmp_path / "out")
    assert code == 2
    assert "biopose detect" in one_line(error)
    assert not (tmp_path / "out").exists()


def test_a_corrupt_file_before_a_stage_alone(stages: Stages, biopose: Call, video: Path, tmp_path: Path) -> None:
    rerun(stages, video, tmp_path / "out")
    (tmp_path / "out" / "walk" / "stages" / "mesh.npz").write_bytes(b"PK half")
    code, _, error = biopose("refine", video, "--out", tmp_path / "out")
    assert code == 1
    assert "mesh.npz" in one_line(error)
    assert "Run `biopose run`" in error


@pytest.mark.usefixtures("no_detection")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--focal", "900", "--fov", "60"], "--focal and --fov contradict each other"),
        (["--intrinsics", "broken.json"], "not valid JSON"),
        (["--body", "hostile.pkl"], "not safe to load"),
        (["--body", "other.npz"], "not an SMPL body"),
        (["--model", "broken.osim"], "not an OpenSim model"),
    ],
)
def test_bad_files_are_reported_before_detection_starts(
    biopose: Call,
    video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("{")
    Path("hostile.pkl").write_bytes(pickle.dumps(print))
    np.savez("other.npz", x=np.zeros(3))
    Path("broken.osim").write_text("<?xml version='1.0'?><OpenSimDocument")
    code, _, error = biopose("run", video, *options)
    assert code == 2
    assert said in error
    assert error.count("\n") == 1 or error.splitlines()[-1].startswith("biopose: error:")


def test_a_failed_first_try_does_not_reserve_the_name(stages: Stages, video: Path, tmp_path: Path) -> None:
    stages.fail = "tracks"
    with pytest.raises(Exception, match="no person"):
        run.run(video, tmp_path / "out", Settings(), NullProgress())
    stages.fail = ""
    (tmp_path / "b").mkdir()
    other = write_video(tmp_path / "b" / "walk.mp4", seed=1)
    assert rerun(stages, other, tmp_path / "out")[0] == ALL
    with pytest.raises(OutputError, match="another video of the same name"):
        run.run(video, tmp_path / "out", Settings(), NullProgress())


def test_a_name_too_long_for_the_results(biopose: Call, tmp_path: Path) -> None:
    code, _, error = biopose("run", "v" * 240 + ".mp4", "--out", tmp_path / "out")
    assert code == 2
    assert "too long" in one_line(error)


def test_names_that_need_care(stages: Stages, biopose: Call, tmp_path: Path) -> None:
    names = ["my walk", "Gehübung – 歩行", "walk.v2", "wa[lk]", ".hidden", "a%d"]  # noqa: RUF001
    videos = [write_video(tmp_path / f"{name}.MP4") for name in names]
    code, out, _ = biopose("detect", *videos, "--out", tmp_path / "r é s", "--json", "--quiet")
    assert code == 0
    assert [Path(r["folder"]).name for r in json.loads(out)["results"]] == names


def test_home_folder(
    stages: Stages, biopose: Call, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(home))
    monkeypatch.chdir(tmp_path)
    Path("clinic.toml").write_text('out = "~/from config"\n')
    assert biopose("detect", video, "--out=~/from option")[0] == 0
    assert biopose("detect", video, "--config", "clinic.toml")[0] == 0
    assert sorted(p.name for p in home.iterdir()) == ["from config", "from option"]
    assert not Path("~").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('height = "tall"', "(in c.toml)"),
        ("height = true", "'height' must be a value"),
        ('quiet = "yes"', "'quiet' must be true or false"),
        ("[height]\nm = 1.7", "not a table"),
    ],
)
def test_config_values_of_the_wrong_kind(
    biopose: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_text(content)
    code, _, error = biopose("run", "walk.mp4", "--config", "c.toml")
    assert code == 2
    assert said in one_line(error)


def test_a_config_for_run_serves_a_stage_alone(stages: Stages, biopose: Call, video: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("height = 1.8\nmass = 70\n")
    for stage in STAGES[:4]:
        assert biopose(stage, video, "--out", tmp_path / "out", "--config", config)[0] == 0
    assert rerun(stages, video, tmp_path / "out", Settings(height=1.8, mass=70.0))[0] == ["export"]


def test_an_unforeseen_error_in_one_video_does_not_stop_the_others(
    biopose: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BIOPOSE_DEBUG", raising=False)
    tried = []

    def broken(video: Path, *_: object, **__: object) -> None:
        tried.append(video.name)
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr(run, "run", broken)
    code, out, error = biopose("run", "a.mp4", "b.mp4", "--out", tmp_path, "--json")
    assert code == 1
    assert tried == ["a.mp4", "b.mp4"]
    assert error.count("biopose: error: ") == 2
    assert "deep inside" in json.loads(out)["results"][1]["error"]


def test_help_instead_of_an_empty_error(biopose: Call) -> None:
    code, _, error = biopose()
    assert code == 2
    assert error == ""


def test_doctor_survives_a_broken_cache(biopose: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("BIOPOSE_CACHE", str(tmp_path / "cache"))
    code, out, _ = biopose("doctor", "--json")
    failed = {check["name"]: check for check in json.loads(out) if not check["ok"]}
    assert code == 1
    assert {"weights", "cache folder"} <= failed.keys()
    assert all("BIOPOSE_CACHE" in failed[name]["remedy"] for name in ("weights", "cache folder"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--plot", "curves"], "Use the suffix .png"),
        (["--plot", "curves.docx"], "Use the suffix .png"),
        (["--plot", "taken/curves.png"], "--plot"),
        (["--range", "nan", "1"], "--range nan 1 is impossible"),
        (["--range", "1", "0.5"], "--range 1 0.5 is impossible"),
        (["--shift", "inf"], "--shift inf is impossible"),
    ],
)
def test_compare(biopose: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("a file")
    truth = Path(__file__).parents[2] / "sample_videos" / "walk_truth.mot"
    code, _, error = biopose("compare", truth, truth, *options)
    assert code == 2
    assert said in one_line(error)
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
