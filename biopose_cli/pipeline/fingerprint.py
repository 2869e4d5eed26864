"""The code of a step: all modules that it imports, directly or indirectly, and their data files.

An upgrade of BioPose that changes any of them invalidates the step's result.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_IMPORT = re.compile(r"^\s*from (biopose_cli[\w.]*) import (\([^)]*\)|.*)", re.MULTILINE)
_DATA = ("data", "tables")  # folders of files that the modules beside them read
# modules that cannot change a result: messages, progress bars, types, the version; a setting's value is in the
# fingerprint by itself
_NEUTRAL = frozenset(f"biopose_cli.{name}" for name in ("errors", "progress", "settings", "typing", "version"))


@cache
def code_files(module: str) -> tuple[Path, ...]:
    """All files of the package that `module` (a dotted name) depends on, itself included, sorted.

    Imports within functions and for type checkers count too: an unnecessary run is better than a stale result.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if path is None or name in found or name in _NEUTRAL:
            continue
        found[name] = path
        waiting += _imports(path.read_text(encoding="utf-8"))
    folders = {path.parent / name for path in found.values() for name in _DATA}
    data = {file for folder in folders if folder.is_dir() for file in folder.rglob("*") if file.is_file()}
    return tuple(sorted({*found.values(), *data}))


@cache
def code_hash(module: str) -> str:
    """SHA-256 over names and contents of `code_files(module)`."""
    total = hashlib.sha256()
    for path in code_files(module):
        total.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _imports(source: str) -> list[str]:
    """Names of the modules that the `from ... import ...` statements of `source` may refer to."""
    names = []
    for package, imported in _IMPORT.findall(source):
        names.append(package)
        names += [f"{package}.{name}" for name in re.findall(r"(\w+)(?: as \w+)?", imported)]
    return names


def _path(module: str) -> Path | None:
    """The file of a module of this package; None for a name that is none, and for packages: their files do nothing."""
    path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return path if path.is_file() else None
