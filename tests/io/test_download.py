"""Packages fetched with their own clients."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from biopose_cli.errors import AssetError
from biopose_cli.io.download import Package, _clean_environment, extract, sha256


def test_pip_does_not_inherit_library_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "somewhere")
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    monkeypatch.setenv("PATH", os.pathsep.join(["good", "site-packages/opensim/bin"]))
    environment = _clean_environment()
    assert environment["PATH"] == "good"
    assert not {"LD_LIBRARY_PATH", "PYTHONPATH"} & environment.keys()


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    wheel = tmp_path / "fake-1.0.whl"
    wheel.write_bytes(b"not an archive")
    with pytest.raises(AssetError, match=r"fake-1\.0\.whl is damaged"):
        extract(wheel, ("inside.txt",))
    assert extract(wheel, ()) == b"not an archive"


def test_a_package_names_its_file_and_client() -> None:
    package = Package("@fake/pose", "2.0", "npm")
    assert (package.stem, str(package)) == ("fake-pose-2.0", "npm's @fake/pose 2.0")


def test_sha256_of_nothing() -> None:
    assert sha256(b"").startswith("e3b0c44298fc1c14")
