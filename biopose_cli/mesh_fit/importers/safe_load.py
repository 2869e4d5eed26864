"""Read a track file of another tool without executing code in it.

Three containers: `.npz`; `.pkl`, as written by pickle or joblib (plain, zlib or gzip); `.pt`, as written by torch.save.
The unpickler (`io/safe_pickle.py`) gets Python's plain containers and an empty stand-in for torch's classes (4D-Humans
keeps a tensor that is not needed here).

joblib's format: in place of an array, the pickle holds a `NumpyArrayWrapper` with its shape and dtype, and the array's
bytes follow in the stream, after one byte that counts the bytes of padding before them
(joblib.readthedocs.io, joblib.numpy_pickle; checked against joblib 1.6).
"""

from __future__ import annotations

import collections
import io
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from biopose_cli.errors import TrackFileError
from biopose_cli.io.safe_pickle import RefusedError, RestrictedUnpickler, numpy_names
from biopose_cli.typing import Array

HINT = "docs/guide/import_mesh.md lists the files that are understood"
_COMPRESSED = (b"\x1f\x8b", b"\x78")  # gzip, zlib


def safe_load(path: Path) -> Any:
    """Content of the file as dicts, lists, numbers, text and numpy arrays.

    Raises
    ------
    TrackFileError
        The file is missing, of another kind, damaged, or would execute code.
    """
    readers: dict[str, Callable[[Path], Any]] = {
        ".npz": _read_npz,
        ".pkl": _read_pickle,
        ".pickle": _read_pickle,
        ".pt": _read_torch,
        ".pth": _read_torch,
    }
    if path.suffix.lower() not in readers:
        raise TrackFileError(f"{path} is not a track file: its suffix is {path.suffix or 'nothing'!r}", HINT)
    try:
        return readers[path.suffix.lower()](path)
    except RefusedError as error:
        raise TrackFileError(
            f"{path} is not safe to load: it asks for {error}, which a track does not need",
            "Download the file again from its source",
        ) from error
    except OSError as error:
        raise TrackFileError(f"cannot read the track {path} ({error.strerror or error})") from error
    # A damaged or malicious file can cause any kind of error.
    except Exception as error:
        raise TrackFileError(f"{path} is damaged or not a track ({type(error).__name__}: {error})", HINT) from error


def _read_npz(path: Path) -> dict[str, Array]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not an .npz archive")
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _read_torch(path: Path) -> Any:
    import torch

    try:
        return _to_numpy(torch.load(path, map_location="cpu", weights_only=True))
    except pickle.UnpicklingError as error:
        raise RefusedError("more than tensors, or is no file of torch.save") from error


def _to_numpy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_numpy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_numpy(item) for item in value]
    return value.detach().float().numpy() if hasattr(value, "detach") else value


def _read_pickle(path: Path) -> Any:
    content = path.read_bytes()
    if content.startswith(_COMPRESSED):
        content = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(content)
    return _Unpickler(io.BytesIO(content)).load()


class _Stub:
    """Replaces an object of a class that is not loaded, and a function that creates one."""

    def __new__(cls, *_: Any, **__: Any) -> _Stub:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


class _JoblibArray:
    """joblib's stand-in for an array whose bytes follow in the stream."""

    state: dict[str, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state

    def array(self, stream: io.BytesIO) -> Array:
        dtype, shape = np.dtype(self.state["dtype"]), tuple(int(n) for n in self.state["shape"])
        if dtype.hasobject:
            raise RefusedError("an array of Python objects")
        if self.state.get("numpy_array_alignment_bytes") is not None:
            stream.read(stream.read(1)[0])
        count = int(np.prod(shape, dtype=object))
        values = np.frombuffer(stream.read(count * dtype.itemsize), dtype)
        return values.reshape(shape, order="F" if self.state["order"] == "F" else "C")


_PLAIN_TYPES = (dict, list, tuple, set, frozenset, int, float, bool, str, bytes)
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): collections.defaultdict,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _JoblibArray,
}
_ALLOWED |= {(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in _PLAIN_TYPES}
_ALLOWED |= numpy_names("scalar", np.float64.__reduce__(np.float64(0))[0])


class _Unpickler(RestrictedUnpickler):
    """Reads joblib's arrays where they stand in the stream."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, _ALLOWED, {"torch": _Stub}, (_Stub, _JoblibArray, collections.OrderedDict))
        self._bytes = stream

    def built(self, value: Any) -> Any:
        return value.array(self._bytes) if isinstance(value, _JoblibArray) else value
