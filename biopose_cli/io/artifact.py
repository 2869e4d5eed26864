"""A stage's .npz: typed fields with checked shapes, a fingerprint, an atomic write, validation on read."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from biopose_cli.errors import ArtifactError
from biopose_cli.io.atomic import atomic_write
from biopose_cli.typing import Array

_READ_ERRORS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def array_field(*shape: str | int, dtype: type = np.float32) -> Any:
    """A field of this shape; a letter stands for one length throughout the artefact."""
    return field(metadata={"shape": shape, "dtype": dtype})


def optional_array_field(*shape: str | int) -> Any:
    """A field of this shape with no rows by default: the lengths named by letters are 0."""
    lengths = tuple(0 if isinstance(length, str) else length for length in shape)
    return field(default_factory=lambda: np.zeros(lengths, np.float32), metadata={"shape": shape, "dtype": np.float32})


@dataclass(frozen=True)
class Artifact:
    """What a stage hands on. Arrays are cast to their field's type and checked on construction."""

    name: ClassVar[str]

    def __post_init__(self) -> None:
        lengths: dict[str, int] = {}
        for spec in fields(self):
            if "shape" not in spec.metadata:
                continue
            dtype = spec.metadata["dtype"]
            value = np.asarray(getattr(self, spec.name), dtype=None if dtype is str else dtype)
            wanted = spec.metadata["shape"]
            expected = tuple(
                lengths.setdefault(s, n) if isinstance(s, str) else s for s, n in zip(wanted, value.shape, strict=False)
            )
            if value.ndim != len(wanted) or value.shape != expected or (dtype is str and value.dtype.kind != "U"):
                raise ValueError(f"{self.name}.{spec.name}: {value.shape} {value.dtype}, not {wanted} {dtype.__name__}")
            object.__setattr__(self, spec.name, value)

    def save(self, path: Path, fingerprint: str) -> None:
        """Write all fields and `fingerprint` (of what they were made from) to `path`, atomically.

        Raises
        ------
        DiskFullError, OutputError
        """
        values = {spec.name: np.asarray(getattr(self, spec.name)) for spec in fields(self)}
        with atomic_write(path) as temporary:
            values |= {"_kind": np.array(self.name), "_fingerprint": np.array(fingerprint)}
            np.savez(temporary, allow_pickle=False, **values)

    @classmethod
    def load(cls, path: Path) -> tuple[Self, str]:
        """Read what `save` wrote: the artefact and its fingerprint.

        Raises
        ------
        ArtifactError
            The file is absent, truncated, corrupt, or of another stage.
        """
        try:
            with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as stored:
                if stored["_kind"].item() != cls.name:
                    raise ValueError(f"it holds stage {stored['_kind'].item()!r}")
                values = {spec.name: _to_python(stored[spec.name], spec.type) for spec in fields(cls)}
                return cls(**values), str(stored["_fingerprint"].item())
        except _READ_ERRORS as error:
            reason = (
                "it is missing" if isinstance(error, FileNotFoundError) else f"it is corrupt or incomplete: {error}"
            )
            raise ArtifactError(
                f"cannot read the {cls.name} stage's file {path} ({reason})",
                "Run `biopose run` with the same --out: it makes the file again",
            ) from error


def read_fingerprint(path: Path) -> str | None:
    """The fingerprint in a stage's file, or None when there is none that can be read."""
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as stored:
            return str(stored["_fingerprint"].item())
    except _READ_ERRORS:
        return None


def _to_python(value: Array, annotation: Any) -> Any:
    """Scalars and tuples of text back from their 0-d and 1-d arrays."""
    if annotation == "tuple[str, ...]":
        return tuple(str(item) for item in value)
    return value.item() if annotation in {"int", "float", "str", "bool"} else value
