"""The tool behind `make samples`, without a network."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def fetch(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    tool = ROOT / "tools" / "fetch_clips.py"
    command = [sys.executable, str(tool), "--from", str(source), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_missing_wheel_is_named(tmp_path: Path) -> None:
    done = fetch(tmp_path, tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr == "There is no wheel of sports2d 0.8.34.\n"


def test_a_clip_with_the_wrong_checksum_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "sports2d-0.8.34-py3-none-any.whl", "w") as wheel:
        wheel.writestr("Sports2D/Demo/demo.mp4", b"not the clip")
    done = fetch(tmp_path, tmp_path / "out")
    assert done.returncode == 1
    assert "its SHA-256 differs" in done.stderr
