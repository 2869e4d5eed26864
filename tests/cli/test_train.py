"""`biopose train`: one line for a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Call, one_line


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("train", "neurik"), "--motion is missing"),
    ],
)
def test_a_mistake_is_one_line(biopose: Call, arguments: tuple[str, ...], says: str) -> None:
    code, out, error = biopose(*arguments)
    assert code == 2
    assert out == ""
    assert says in one_line(error.splitlines(keepends=True)[-1])


def test_a_config_with_an_unknown_key_is_refused(biopose: Call, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text("stepps = 3\n")
    code, _, error = biopose("train", "neurik", "--motion", tmp_path, "--config", config)
    assert code == 2
    assert "steps" in one_line(error)
