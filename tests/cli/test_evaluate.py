"""`biopose evaluate`: one line for a mistake."""

from __future__ import annotations

import pytest

from tests.conftest import Call, one_line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("evaluate", "neurik"), "--motion or --trials is missing"),
        (("evaluate", "neurik", "--motion", "no/such/folder"), "no/such/folder"),
        (("evaluate", "neurik", "--trials", "no/such/folder"), "no/such/folder"),
    ],
)
def test_a_mistake_is_one_line(biopose: Call, arguments: tuple[str, ...], says: str) -> None:
    code, out, error = biopose(*arguments)
    assert code == 2
    assert out == ""
    assert says in one_line(error.splitlines(keepends=True)[-1])
