"""`biopose bench`: what it prints, and one line for a mistake."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Call, one_line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bench", "ik", "--trials", "no/such/folder"), "no/such/folder"),
        (("bench", "nothing.mp4"), "there is no video nothing.mp4"),
    ],
)
def test_a_mistake_is_one_line(biopose: Call, arguments: tuple[str, ...], says: str) -> None:
    code, out, error = biopose(*arguments)
    assert code == 2
    assert out == ""
    assert says in one_line(error.splitlines(keepends=True)[-1])


def test_bench_measures_the_stage(biopose: Call) -> None:
    code, out, _ = biopose("bench", "neurik", "--frames", "40", "--json")
    assert code == 0
    assert json.loads(out)["frames"] == 40


def test_bench_without_a_command_is_the_stages_bench(biopose: Call) -> None:
    assert biopose("bench", "--help")[0] == 0
    code, _, error = biopose("bench", "--weights", "enormous")
    assert code == 2
    assert "enormous" in one_line(error)
