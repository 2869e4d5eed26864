"""Silencing of the process's standard error."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def silence_stderr() -> Iterator[None]:
    """Discard what is written to the process's standard error.

    LiteRT announces its XNNPACK delegate there, without an option to turn that off. Its errors are exceptions.
    """
    try:
        saved_fd = os.dup(2)
    except OSError:  # a program without a console has none
        yield
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(saved_fd, 2)
        os.close(sink)
        os.close(saved_fd)
