"""Dataclasses of arrays as `.npz` files."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from biopose_cli.io.atomic import atomic_write

if TYPE_CHECKING:
    from dataclasses import Field


class NpzArrays:
    """Base of a dataclass whose fields are all arrays: one entry of the file a field, by its name.

    These are data that the package makes for itself. A stage's results have checked shapes and a fingerprint besides
    (`io/results.py`).
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    compressed: ClassVar[bool] = True

    def save(self, path: Path) -> None:
        """Write all fields to `path`, atomically.

        Raises
        ------
        DiskFullError, OutputError
        """
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        with atomic_write(path) as temporary:
            (np.savez_compressed if self.compressed else np.savez)(temporary, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        OSError, ValueError, zipfile.BadZipFile
            The file cannot be read, or is no `.npz` of plain arrays.
        KeyError
            It lacks a field.
        """
        with np.load(path, allow_pickle=False) as stored:
            return cls(**{field.name: stored[field.name] for field in fields(cls)})
