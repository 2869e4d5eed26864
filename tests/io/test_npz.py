"""Dataclasses of arrays on the disk."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from biopose_cli.io.npz import NpzArrays
from biopose_cli.typing import Array


@dataclass(frozen=True)
class Points(NpzArrays):
    position: Array
    name: Array


@dataclass(frozen=True)
class Stored(Points):
    compressed: ClassVar[bool] = False


POINTS = Points(np.arange(6, dtype=np.float32).reshape(2, 3), np.array(["a", "bc"]))


@pytest.mark.parametrize("kind", [Points, Stored])
def test_what_is_saved_is_loaded(kind: type[Points], tmp_path: Path) -> None:
    path = tmp_path / "points.npz"
    kind(POINTS.position, POINTS.name).save(path)
    loaded = kind.load(path)
    assert type(loaded) is kind
    np.testing.assert_array_equal(loaded.position, POINTS.position)
    assert loaded.position.dtype == np.float32
    assert loaded.name.tolist() == ["a", "bc"]
    with zipfile.ZipFile(path) as archive:
        expected = zipfile.ZIP_DEFLATED if kind.compressed else zipfile.ZIP_STORED
        assert {entry.compress_type for entry in archive.infolist()} == {expected}
    assert [entry.name for entry in tmp_path.iterdir()] == ["points.npz"]


def test_a_missing_field_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", position=np.zeros(3))
    with pytest.raises(KeyError, match="name"):
        Points.load(tmp_path / "other.npz")


def test_python_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", position=np.array([{}], dtype=object), name=np.zeros(1))
    with pytest.raises(ValueError, match="allow_pickle"):
        Points.load(tmp_path / "objects.npz")
