"""Atomic writing: a reader gets the whole new file or the old one, never a part."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from biopose_cli.errors import DiskFullError, OutputError

_WRITE_ERRNOS = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENOENT,
    errno.ENAMETOOLONG,
}


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on failure it is removed.

    The temporary name keeps the suffix, for writers that choose a format by it.

    Raises
    ------
    DiskFullError, OutputError
        No space is left, or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with translate_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Translate the operating system's errors on writing `path` into one clear line."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", -1)}:
            raise DiskFullError(
                f"no space left on the disk while writing {path}",
                "Free some space and run the same command again: finished stages are kept",
            ) from error
        if error.errno in _WRITE_ERRNOS:
            raise OutputError(f"cannot write {path} ({error.strerror})", "Choose another folder with --out") from error
        raise


def remove_partial(folder: Path) -> None:
    """Remove partial files of a killed process. Call it only while holding the folder's lock."""
    for leftover in folder.rglob(".*.partial*"):
        leftover.unlink(missing_ok=True)
