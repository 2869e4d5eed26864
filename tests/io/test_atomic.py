"""Atomic writing, and the operating system's refusals in words."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from biopose_cli.errors import DiskFullError, OutputError
from biopose_cli.io.atomic import atomic_write, remove_partial, translate_os_errors


def test_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_success_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_write(path) as temporary:
        assert temporary.suffix == path.suffix
        temporary.write_text("whole")
    assert path.read_text() == "whole"


def test_remove_partial_leaves_everything_else(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / ".mesh.77.partial.npz").write_text("left by a killed process")
    (tmp_path / "stages" / ".lock").write_text("")
    (tmp_path / "walk.mot").write_text("")
    remove_partial(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == [".lock", "stages", "walk.mot"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(OutputError, match="results"), atomic_write(tmp_path / "results" / "a.txt"):
        pass


def test_other_errors_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="strange"), translate_os_errors(tmp_path):
        raise OSError(errno.EIO, "strange")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs Linux and root")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this system does not allow mounting")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_full_disk_is_one_clear_error_and_leaves_no_part(small_disk: Path) -> None:
    with (
        pytest.raises(DiskFullError, match="no space left") as caught,
        atomic_write(small_disk / "big.bin") as temporary,
    ):
        temporary.write_bytes(bytes(1 << 20))
    assert caught.value.exit_code == 1
    assert list(small_disk.iterdir()) == []
