"""Unpickle files from elsewhere without running anything that they say.

Unpickling calls whatever a file names. The unpickler here knows the names that its caller allows, gives a harmless
stand-in for the classes of packages that the caller names, and refuses all others. It sets the state of arrays and of
objects of the caller's own stand-ins, and of nothing else.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import IO, Any, ClassVar

import numpy as np

Names = Mapping[tuple[str, str], Any]  # (module, name) -> what stands for it


class RefusedError(Exception):
    """The file asks for something that is not allowed; the message names it."""


def encode_latin1(text: str, encoding: str) -> bytes:
    """Stands for _codecs.encode, by which Python 3 writes bytes in old pickle protocols."""
    if encoding != "latin1":
        raise RefusedError(f"the encoding {encoding!r}")
    return text.encode("latin1")


def numpy_names(name: str, function: Any) -> dict[tuple[str, str], Any]:
    """numpy's own function of that name, in the modules in which its versions have it."""
    return {(f"numpy.{core}.multiarray", name): function for core in ("core", "_core")}


ARRAYS: Names = {  # what a pickle of numpy's arrays needs
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): encode_latin1,
    **numpy_names("_reconstruct", np.ndarray.__reduce__(np.zeros(0))[0]),
}

_BUILD: Callable[[Any], None] = pickle._Unpickler.dispatch[pickle.BUILD[0]]


class RestrictedUnpickler(pickle._Unpickler):
    """Python's own unpickler, in Python: the one in C can neither check what is changed nor stop at an array's bytes.

    Text of Python 2 is read as Latin-1.

    Parameters
    ----------
    stream
        The pickle.
    allowed
        What may be named, beside what `ARRAYS` holds.
    stubs
        By package: what stands for everything else in it.
    buildable
        Classes whose objects may be given a state, beside arrays.
    """

    stack: list[Any]

    def __init__(
        self,
        stream: IO[bytes],
        allowed: Names,
        stubs: Mapping[str, type],
        buildable: tuple[type, ...],
    ) -> None:
        super().__init__(stream, encoding="latin1")
        self._allowed, self._stubs, self._buildable = {**ARRAYS, **allowed}, stubs, (np.ndarray, np.dtype, *buildable)

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name.

        Raises
        ------
        RefusedError
        """
        if (module, name) in self._allowed:
            return self._allowed[module, name]
        package = module.partition(".")[0]
        if package in self._stubs:
            return self._stubs[package]
        raise RefusedError(f"{module}.{name}")

    def built(self, value: Any) -> Any:
        """What an object that has just got its state is replaced by: itself."""
        return value

    def load_build(self) -> None:
        """Return what is allowed under this name, or refuse it."""
        if not isinstance(self.stack[-2], self._buildable):
            raise RefusedError(f"a change of a {type(self.stack[-2]).__name__}")
        _BUILD(self)
        self.stack[-1] = self.built(self.stack[-1])

    dispatch: ClassVar[dict[int, Any]] = pickle._Unpickler.dispatch | {pickle.BUILD[0]: load_build}
