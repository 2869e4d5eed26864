"""Body files: official pickles load without chumpy; broken and hostile ones are refused in one line."""

from __future__ import annotations

import os
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

from biopose_cli.body.markers import MARKERS
from biopose_cli.body.model import DEFAULT_BODY, load_body
from biopose_cli.body.smpl_io import DEFAULT_VERTICES, SMPL_VERTICES, read_body
from biopose_cli.errors import BodyFileError

Values = dict[str, Any]


class Ch:
    """Pickles as chumpy's arrays do: the class's name and its state."""

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self._dirty_vars: set[str] = set()
        self._cache: Values = {"drs": {}}


class Select(Ch):
    def __init__(self, a: Ch, idxs: np.ndarray, preferred_shape: tuple[int, ...]) -> None:
        self.a, self.idxs, self.preferred_shape = a, idxs, preferred_shape


@pytest.fixture(scope="module")
def chumpy() -> Iterator[None]:
    """The two classes under chumpy's names, while a test writes a file."""
    homes = {"chumpy": (), "chumpy.ch": (Ch,), "chumpy.reordering": (Select,)}
    for name, classes in homes.items():
        module = types.ModuleType(name)
        for kind in classes:
            setattr(module, kind.__name__, kind)
            kind.__module__ = name
        sys.modules[name] = module
    yield
    for name in homes:
        del sys.modules[name]


@pytest.fixture(scope="module")
def values() -> Values:
    """A body with SMPL's 6890 vertices, made from the default one: the right shapes, not the right person."""
    body = read_body(DEFAULT_BODY)
    used = np.r_[np.arange(SMPL_VERTICES - 24), np.arange(DEFAULT_VERTICES - 24, DEFAULT_VERTICES)]
    tree = body.kintree_table.astype(np.uint32)
    tree[0, 0] = 2**32 - 1
    return {
        "v_template": body.v_template[used].astype(np.float64),
        "shapedirs": body.shapedirs[used].astype(np.float64),
        "posedirs": np.zeros((SMPL_VERTICES, 3, 207), np.float32),
        "J_regressor": body.J_regressor[:, used].astype(np.float64),
        "weights": body.weights[used].astype(np.float64),
        "kintree_table": tree,
        "f": np.zeros((10, 3), np.uint32),
    }


def write_pickle(path: Path, values: object) -> Path:
    path.write_bytes(pickle.dumps(values, protocol=2))
    return path


def write_npz(path: Path, values: Values) -> Path:
    np.savez(path, **values)
    return path


@pytest.fixture(scope="module")
def official(chumpy: None, values: Values, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the official files are: chumpy arrays, a selection of more than ten components, sparse regressor."""
    flat = np.zeros((SMPL_VERTICES, 3, 40))
    flat[..., :10] = values["shapedirs"]
    select = Select(Ch(flat.ravel()), np.arange(flat.size), flat.shape)
    wrapped = values | {
        "v_template": Ch(values["v_template"]),
        "shapedirs": select,
        "weights": Ch(values["weights"]),
        "J_regressor": scipy.sparse.csc_matrix(values["J_regressor"]),
        "bs_style": "lbs",
        "pose_training_info": {"name": "x"},
    }
    return write_pickle(tmp_path_factory.mktemp("body") / "SMPL_FEMALE.pkl", wrapped)


def test_official_pickle_loads_without_chumpy(official: Path, values: Values) -> None:
    arrays = read_body(official)
    assert arrays.shapedirs.shape == (SMPL_VERTICES, 3, 10)
    for name in ("v_template", "shapedirs", "J_regressor", "weights"):
        np.testing.assert_allclose(getattr(arrays, name), values[name], atol=1e-7)


def test_official_body_poses_with_its_own_marker_vertices(official: Path) -> None:
    body = load_body(official)
    assert body.marker_vertices.tolist() == [marker.smpl_vertex for marker in MARKERS]
    pose = (torch.zeros(2, 23, 3), torch.zeros(2, 3), torch.randn(10), torch.zeros(2, 3))
    posed, mesh = body.pose(*pose), body.vertices(*pose)
    assert torch.equal(posed.markers, mesh[:, body.marker_vertices])
    regressed = torch.from_numpy(read_body(official).J_regressor) @ mesh
    torch.testing.assert_close(posed.joints, regressed, atol=1e-5, rtol=0)


def test_npz_and_pickle_are_alike(values: Values, official: Path, tmp_path: Path) -> None:
    one, two = read_body(write_npz(tmp_path / "SMPL_MALE.npz", values)), read_body(official)
    for name in ("v_template", "shapedirs", "J_regressor", "weights", "kintree_table", "f"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


class Hostile:
    """Runs a command when it is unpickled in the ordinary way."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call = call, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("call", [os.system, eval, exec, getattr, __import__, open])
def test_hostile_pickle_executes_nothing(call: Any, values: Values, tmp_path: Path) -> None:
    trace = tmp_path / "was_here"
    code = f"open({str(trace)!r}, 'w')"
    arguments = {
        os.system: (f"echo > {trace}",),
        open: (str(trace), "w"),
        getattr: ("", "join"),
        __import__: ("os",),
    }
    path = write_pickle(tmp_path / "SMPL_NEUTRAL.pkl", values | {"extra": Hostile(call, *arguments.get(call, (code,)))})
    with pytest.raises(BodyFileError, match="not safe to load") as caught:
        read_body(path)
    assert not trace.exists()
    assert "\n" not in str(caught.value)


def test_hostile_names_inside_known_modules_are_refused(tmp_path: Path) -> None:
    for target in (
        "numpy\nfromfile",
        "numpy.testing._private.utils\nrunstring",
        "builtins\neval",
        "scipy\nload",
    ):
        path = tmp_path / "SMPL.pkl"
        path.write_bytes(f"c{target}\n(S'1'\ntR.".encode())
        with pytest.raises(BodyFileError, match="not safe to load"):
            read_body(path)


def test_unknown_chumpy_expression_is_refused(chumpy: None, values: Values, tmp_path: Path) -> None:
    kind = type("Dot", (Ch,), {"__module__": "chumpy.ch"})
    sys.modules["chumpy.ch"].Dot = kind  # type: ignore[attr-defined]
    path = write_pickle(tmp_path / "SMPL.pkl", values | {"weights": kind(values["weights"])})
    with pytest.raises(BodyFileError, match="cannot be evaluated"):
        read_body(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_truncated_files(official: Path, share: float, tmp_path: Path) -> None:
    for source, name in ((official, "SMPL.pkl"), (DEFAULT_BODY, "body.npz")):
        data = source.read_bytes()
        path = tmp_path / name
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(BodyFileError) as caught:
            read_body(path)
        assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_npz_with_python_objects_is_refused(values: Values, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "SMPL.npz", values | {"weights": np.array([{}], dtype=object)})
    with pytest.raises(BodyFileError, match="Python objects"):
        read_body(path)


CHANGES: list[tuple[Values, str]] = [
    ({"v_template": np.zeros((10475, 3))}, "10475 vertices"),
    ({"kintree_table": np.zeros((2, 55))}, "an SMPL-X body"),
    ({"kintree_table": np.zeros((2, 52))}, r"an SMPL\+H body"),
    ({"kintree_table": np.zeros((2, 16))}, "a MANO hand"),
    ({"kintree_table": np.zeros((2, 24))}, "kinematic tree"),
    ({"shapedirs": np.zeros((SMPL_VERTICES, 3, 4))}, "4 shape components"),
    ({"posedirs": np.zeros((SMPL_VERTICES, 3, 93))}, "posedirs has the shape"),
    ({"weights": np.zeros((SMPL_VERTICES, 24))}, "sum to one"),
    ({"v_template": np.full((SMPL_VERTICES, 3), np.nan)}, "finite"),
    ({"v_template": np.full((SMPL_VERTICES, 3), "a")}, "finite"),
    ({"f": np.full((2, 3), SMPL_VERTICES)}, "faces"),
    ({"f": np.float64(3)}, "f has the shape"),
    ({"v_template": np.float64(3)}, "0 vertices"),
]


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_invalid_bodies_name_the_problem(values: Values, change: Values, reason: str, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "SMPL.npz", values | change)
    with pytest.raises(BodyFileError, match=reason) as caught:
        read_body(path)
    assert "6890 vertices and 24 joints" in caught.value.hint


def test_missing_arrays_are_named(values: Values, tmp_path: Path) -> None:
    rest = {name: value for name, value in values.items() if name not in {"f", "weights"}}
    with pytest.raises(BodyFileError, match="it has no weights, f"):
        read_body(write_npz(tmp_path / "SMPL.npz", rest))


def test_files_that_are_no_body_are_refused(tmp_path: Path) -> None:
    (tmp_path / "walk.mp4").write_bytes(b"")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1, 2]))
    (tmp_path / "text.pkl").write_text("hello")
    for name, reason in (
        ("walk.mp4", "not a body file"),
        ("absent.pkl", "there is no body file"),
        ("list.pkl", "holds a list"),
        ("text.pkl", "damaged pickle"),
    ):
        with pytest.raises(BodyFileError, match=reason):
            load_body(tmp_path / name)
