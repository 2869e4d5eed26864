"""Read and check a body file of SMPL's form, without executing code in it.

Official SMPL files are pickles of Python 2 with chumpy and scipy objects in them. The unpickler (`io/safe_pickle.py`)
gets harmless stand-ins for chumpy's and scipy's classes.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from biopose_cli.errors import BodyFileError
from biopose_cli.io.safe_pickle import RefusedError, RestrictedUnpickler
from biopose_cli.typing import Array

NUM_BETAS = 10
SMPL_VERTICES, DEFAULT_VERTICES = 6890, 13516
SMPL_PARENTS = (
    0,
    0,
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    9,
    9,
    12,
    13,
    14,
    16,
    17,
    18,
    19,
    20,
    21,
)  # of joints 1 to 23
OTHER_MODELS = {
    5: "a FLAME head",
    16: "a MANO hand",
    52: "an SMPL+H body",
    55: "an SMPL-X body",
}  # by number of joints
HINT = "Give an SMPL_*.pkl or .npz of the SMPL body, 6890 vertices and 24 joints (smpl.is.tue.mpg.de)"


@dataclass(frozen=True)
class BodyArrays:
    """The arrays of an SMPL file. V vertices, F faces, 24 joints, 10 shape components, 207 pose features;
    m.
    """

    v_template: Array  # (V, 3)
    shapedirs: Array  # (V, 3, 10) m per standard deviation
    posedirs: Array  # (V, 3, 207)
    J_regressor: Array  # (24, V)
    weights: Array  # (V, 24)
    kintree_table: Array  # (2, 24) parents, joints
    f: Array  # (F, 3)
    version: str = ""


def read_body(path: Path) -> BodyArrays:
    """Arrays of an SMPL .pkl or .npz, cast, cut to ten shape components and checked.

    Raises
    ------
    BodyFileError
        The file is missing, not safe to load, or not an SMPL body.
    """
    readers: dict[str, Callable[[Path], dict[str, Any]]] = {".pkl": _read_pickle, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise BodyFileError(f"{path} is not a body file (its suffix is {path.suffix or 'nothing'!r})", HINT)
    if not path.is_file():
        raise BodyFileError(f"there is no body file {path}", "Check the path given with --body")
    try:
        values = readers[path.suffix.lower()](path)
    except OSError as error:
        raise BodyFileError(f"cannot read the body file {path} ({error.strerror or error})") from error
    try:
        return _validate(values)
    except ValueError as error:
        raise BodyFileError(f"{path} is not an SMPL body: {error}", HINT) from error


def _read_npz(path: Path) -> dict[str, Any]:
    names = {field.name for field in fields(BodyArrays)}
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in names if name in stored.files}
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise BodyFileError(
            f"{path} is corrupt, or holds Python objects, which are not loaded ({error})", HINT
        ) from error


def _read_pickle(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream:
        try:
            values = RestrictedUnpickler(stream, _ALLOWED, {"chumpy": _Stub}, (_Stub,)).load()
        except RefusedError as error:
            raise BodyFileError(
                f"{path} is not safe to load: it asks for {error}, which an SMPL file does not need",
                "Download the file again from its source",
            ) from error
        # A damaged or malicious pickle can cause any kind of error.
        except Exception as error:
            raise BodyFileError(
                f"{path} is a damaged pickle, or not a pickle ({type(error).__name__}: {error})", HINT
            ) from error
    if not isinstance(values, dict):
        raise BodyFileError(f"{path} holds a {type(values).__name__}, not the table of an SMPL body", HINT)
    return values


class _Stub:
    """Holds the state of an object whose class is not loaded."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> Any:
        raise ValueError("it holds an expression that cannot be evaluated")

    def get(self, key: str) -> Any:
        if not isinstance(self.state, dict) or key not in self.state:
            raise ValueError(f"one of its objects lacks {key!r}")
        return self.state[key]


class _Ch(_Stub):
    """chumpy.ch.Ch: an array."""

    def array(self) -> Any:
        return self.get("x")


class _Select(_Stub):
    """chumpy.reordering.Select: some elements of an array, in a given shape."""

    def array(self) -> Any:
        source, index = _to_array(self.get("a")), np.asarray(_to_array(self.get("idxs")), np.int64)
        try:
            return np.asarray(source).ravel()[index].reshape(self.get("preferred_shape"))
        except (IndexError, TypeError) as error:
            raise ValueError(f"a selection in it is impossible ({error})") from error


class _Sparse(_Stub):
    """scipy's compressed sparse matrices."""

    make: Callable[..., Any]

    def array(self) -> Any:
        parts = tuple(self.get(key) for key in ("data", "indices", "indptr"))
        try:
            matrix = type(self).make(parts, shape=self.get("_shape"))
            matrix.check_format(full_check=True)
        except (TypeError, IndexError) as error:
            raise ValueError(f"a sparse matrix in it is impossible ({error})") from error
        return matrix.toarray()


class _Csc(_Sparse):
    make = scipy.sparse.csc_matrix


class _Csr(_Sparse):
    make = scipy.sparse.csr_matrix


def _reconstruct(kind: type, base: type, state: Any) -> Any:
    """Replaces copy_reg._reconstructor, with which Python 2 creates an object."""
    if not (isinstance(kind, type) and issubclass(kind, _Stub) and base is object and state is None):
        raise RefusedError("an object of an unexpected class")
    return kind()


_ALLOWED: dict[tuple[str, str], Any] = {
    ("copy_reg", "_reconstructor"): _reconstruct,
    ("copyreg", "_reconstructor"): _reconstruct,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("chumpy.ch", "Ch"): _Ch,
    ("chumpy.reordering", "Select"): _Select,
}
_ALLOWED |= {(f"scipy.sparse.{module}", "csc_matrix"): _Csc for module in ("csc", "_csc")}
_ALLOWED |= {(f"scipy.sparse.{module}", "csr_matrix"): _Csr for module in ("csr", "_csr")}


def _to_array(value: Any) -> Any:
    return value.array() if isinstance(value, _Stub) else value


def _validate(values: dict[str, Any]) -> BodyArrays:
    """Plain float32 arrays of matching shapes. Raises ValueError with the mistake."""
    missing = [field.name for field in fields(BodyArrays) if field.name not in values and field.name != "version"]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    plain = {field.name: _to_array(values[field.name]) for field in fields(BodyArrays) if field.name in values}
    version = str(plain.pop("version", ""))
    arrays = {name: np.asarray(value) for name, value in plain.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite numbers")

    joints = arrays["kintree_table"].shape[-1] if arrays["kintree_table"].ndim == 2 else 0
    vertices = len(arrays["v_template"]) if arrays["v_template"].ndim == 2 else 0
    if joints != 24:
        raise ValueError(
            f"it has {joints} joints" + (f", it is {OTHER_MODELS[joints]}" if joints in OTHER_MODELS else "")
        )
    if vertices not in (SMPL_VERTICES, DEFAULT_VERTICES):
        raise ValueError(f"its mesh has {vertices} vertices, for which no marker sites are known")
    components = arrays["shapedirs"].shape[-1] if arrays["shapedirs"].ndim == 3 else 0
    if components < NUM_BETAS:
        raise ValueError(f"it has {components} shape components, fewer than {NUM_BETAS}")
    arrays["shapedirs"] = arrays["shapedirs"][..., :NUM_BETAS]
    shapes = {
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, NUM_BETAS),
        "posedirs": (vertices, 3, 207),
        "J_regressor": (24, vertices),
        "weights": (vertices, 24),
        "kintree_table": (2, 24),
        "f": (arrays["f"].size // 3, 3),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has the shape {arrays[name].shape}, not {shape}")
    if tuple(arrays["kintree_table"][0, 1:].tolist()) != SMPL_PARENTS:
        raise ValueError("its kinematic tree differs from SMPL's")
    if arrays["f"].min(initial=0) < 0 or arrays["f"].max(initial=0) >= vertices:
        raise ValueError("its faces refer to missing vertices")
    if not np.allclose(arrays["weights"].sum(1), 1, atol=1e-2) or not np.allclose(
        arrays["J_regressor"].sum(1), 1, atol=1e-2
    ):
        raise ValueError("its weights or its joint regressor do not sum to one")

    integers = {"kintree_table", "f"}
    cast = {name: array.astype(np.int64 if name in integers else np.float32) for name, array in arrays.items()}
    return BodyArrays(**cast, version=version)
