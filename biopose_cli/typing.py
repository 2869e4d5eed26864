"""Type aliases."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]  # its shape stands in the docstring, one letter a length
