"""The restricted unpickler: what is allowed, and that nothing else gets through."""

from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biopose_cli.io.safe_pickle import RefusedError, RestrictedUnpickler, encode_latin1


class Stub:
    def __setstate__(self, state: Any) -> None:
        self.state = state


def load(content: bytes, **allowed: Any) -> Any:
    names = {("collections", name): value for name, value in allowed.items()}
    return RestrictedUnpickler(io.BytesIO(content), names, {"elsewhere": Stub}, (Stub,)).load()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_are_read_in_every_protocol(protocol: int) -> None:
    values = {"a": np.arange(6.0).reshape(2, 3), "b": [np.array([1, 2], np.uint8)], "c": "text"}
    if protocol == pickle.HIGHEST_PROTOCOL:  # it has numpy's own function for arrays in the stream
        with pytest.raises(RefusedError, match="_frombuffer"):
            load(pickle.dumps(values, protocol))
        return
    found = load(pickle.dumps(values, protocol))
    np.testing.assert_array_equal(found["a"], values["a"])
    np.testing.assert_array_equal(found["b"][0], [1, 2])
    assert found["c"] == "text"


def test_nothing_is_called_that_is_not_allowed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "made"),)

    with pytest.raises(RefusedError, match="mkdir"):
        load(pickle.dumps(Evil()))
    assert not (tmp_path / "made").exists()


def test_the_caller_adds_names() -> None:
    content = pickle.dumps(OrderedDict(a=1))
    with pytest.raises(RefusedError, match=r"collections\.OrderedDict"):
        load(content)
    assert load(content, OrderedDict=OrderedDict) == {"a": 1}


def test_a_package_may_have_a_stand_in() -> None:
    found = load(b"celsewhere.module\nThing\n)\x81}\x8c\x01aK\x01sb.")
    assert type(found) is Stub
    assert found.state == {"a": 1}


def test_functions_and_classes_keep_their_state() -> None:
    """A state set on what the caller allows would change it for the whole program."""
    for name in ("c_codecs\nencode\n", "cnumpy\nndarray\n", "celsewhere\nThing\n"):
        with pytest.raises(RefusedError, match="a change of a"):
            load(name.encode() + b"}\x8c\x01aK\x01sb.")
    assert not hasattr(encode_latin1, "a")
