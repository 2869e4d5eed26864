"""The command line: its errors in one line, its exit codes, and what its options reach."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from biopose_cli.pipeline import run
from biopose_cli.settings import Settings
from tests.conftest import Call, one_line, write_video


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--height", "17.5"], "--height 17.5 is impossible"),
        (["--height", "-1"], "--height -1 is impossible"),
        (["--height", "nan"], "--height nan is impossible"),
        (["--mass", "0"], "--mass 0 is impossible"),
        (["--fov", "200"], "--fov 200 is impossible"),
        (["--person", "0"], "--person 0 is impossible"),
        (["--start", "2", "--end", "1"], "--start 2 is not before --end 1"),
        (["--height", "tall"], "Invalid value for '--height'"),
        (["--hight", "1.7"], "--height"),
        (["--weights", "huge"], "heavy"),
        (["--body", "nothing.pkl"], "there is no file nothing.pkl"),
        (["--model", "nothing.osim"], "there is no file nothing.osim"),
        (["--config", "nothing.toml"], "cannot read nothing.toml"),
    ],
)
def test_bad_options_are_a_users_mistake(biopose: Call, tmp_path: Path, options: list[str], said: str) -> None:
    video = write_video(tmp_path / "a.mp4")
    code, _, error = biopose("run", video, "--out", tmp_path / "out", *options)
    assert code == 2
    assert said in one_line(error)
    assert not (tmp_path / "out").exists()


def test_missing_file(biopose: Call, tmp_path: Path) -> None:
    code, _, error = biopose("run", tmp_path / "nothing.mp4", "--out", tmp_path / "out")
    assert code == 2
    assert "nothing.mp4" in one_line(error)
    assert not (tmp_path / "out").exists()


def test_not_a_video(biopose: Call, tmp_path: Path) -> None:
    text = tmp_path / "notes.mp4"
    text.write_text("this is not a video\n" * 100)
    code, _, error = biopose("run", text, "--out", tmp_path / "out")
    assert code == 2
    assert "notes.mp4" in one_line(error)


def test_two_videos_of_one_name(biopose: Call, tmp_path: Path) -> None:
    code, _, error = biopose("run", tmp_path / "a" / "w.mp4", tmp_path / "b" / "w.mp4", "--out", tmp_path / "out")
    assert code == 2
    assert "both write" in one_line(error)


def test_one_bad_video_does_not_stop_the_others(biopose: Call, tmp_path: Path) -> None:
    missing, text = tmp_path / "a.mp4", tmp_path / "b.mp4"
    text.write_text("no video")
    code, out, error = biopose("run", missing, text, "--out", tmp_path / "out", "--json")
    assert code == 2
    assert [Path(r["video"]).name for r in json.loads(out)["results"]] == ["a.mp4", "b.mp4"]
    assert error.count("biopose: error:") == 2


def test_config_file_gives_defaults_that_options_override(
    biopose: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []

    def stop(video: Path, out: Path, settings: Settings, *_: object, **__: object) -> None:
        seen.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run", stop)
    config = tmp_path / "clinic.toml"
    config.write_text('height = 1.62\nmax-gap = 0.5\nweights = "lite"\n')
    code, _, error = biopose("run", "walk.mp4", "--config", config, "--weights", "full")
    assert (seen[0].height, seen[0].max_gap, seen[0].weights) == (1.62, 0.5, "full")
    assert code == 130
    assert "run the same command again" in one_line(error)


def test_a_camera_on_the_command_line_replaces_the_config_files(
    biopose: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Settings, set[str]]] = []
    monkeypatch.setattr(run, "run", lambda video, out, settings, *_, given, **__: seen.append((settings, given)))
    (tmp_path / "c.toml").write_text("fov = 60\nheight = 1.7\n")
    biopose("run", "walk.mp4", "--config", tmp_path / "c.toml", "--focal", "1500", "--ik", "neural")
    settings, given = seen[0]
    assert (settings.focal, settings.fov, settings.height) == (1500, None, 1.7)
    assert {"focal", "height", "ik"} <= given
    assert "mesh" not in given


def test_config_paths_are_relative_to_the_config_file(
    biopose: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "me.osim").write_text("")
    seen: list[Settings] = []
    monkeypatch.setattr(run, "run", lambda video, out, settings, *_, **__: seen.append(settings))
    (tmp_path / "c.toml").write_text('model = "me.osim"\n')
    biopose("run", "walk.mp4", "--config", tmp_path / "c.toml")
    assert seen[0].model == tmp_path / "me.osim"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("hieght = 1.7", "Did you mean 'height'"),
        ("height = [1]", "must be one value"),
        ("height = ", "not valid TOML"),
    ],
)
def test_bad_config(biopose: Call, tmp_path: Path, content: str, said: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(content)
    code, _, error = biopose("run", "walk.mp4", "--config", config)
    assert code == 2
    assert said in one_line(error)


def test_an_unforeseen_error_is_one_line_and_a_failure(
    biopose: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr(run, "run", broken)
    monkeypatch.delenv("BIOPOSE_DEBUG", raising=False)
    code, _, error = biopose("run", "walk.mp4", "--out", tmp_path)
    assert code == 1
    assert "ZeroDivisionError: deep inside" in one_line(error)


def test_info_prints_what_the_file_says(biopose: Call, tmp_path: Path) -> None:
    code, out, _ = biopose("info", write_video(tmp_path / "a.mp4", size=(64, 48)), "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["width_px"], facts["height_px"]) == (64, 48)


def test_help_loads_nothing_heavy() -> None:
    heavy = "torch opensim cv2 smplx numba matplotlib pandas numpy"
    check = (
        "import sys; sys.argv = ['biopose', 'run', '--help']\n"
        "from biopose_cli.cli.main import main\n"
        "try: main()\n"
        f"except SystemExit: assert not set('{heavy}'.split()) & set(sys.modules), set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", check],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"COLUMNS": "80"},
    )


def test_a_name_that_the_console_cannot_write_is_no_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "\u0439.mp4")
    found = subprocess.run(
        [sys.executable, "-m", "biopose_cli", "info", str(path)],
        check=False,
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "cp1252", "COLUMNS": "300"},
    )
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"0439.mp4" in found.stdout


def test_version(biopose: Call) -> None:
    from biopose_cli import __version__

    assert biopose("--version")[:2] == (0, f"biopose {__version__}\n")
