"""The code that a step's result depends on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from biopose_cli.pipeline import fingerprint
from biopose_cli.pipeline.fingerprint import PACKAGE, code_files, code_hash

NEUTRAL = {"errors.py", "progress.py", "settings.py", "typing.py", "version.py"}
STAGES = (
    "biopose_cli.detect.stage",
    "biopose_cli.mesh_fit.mesh_stage",
    "biopose_cli.mesh_fit.refine_stage",
    "biopose_cli.ik.stage",
    "biopose_cli.export.stage",
)


@pytest.mark.parametrize("module", STAGES)
def test_every_module_that_python_loads_is_covered(module: str) -> None:
    script = (
        f"import sys, {module}\n"
        "print(*[m.__file__ for n, m in sys.modules.items() if n.startswith('biopose_cli') and m.__file__])"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    modules = {Path(file) for file in loaded if not file.endswith("__init__.py")}
    assert {path for path in modules if path.name not in NEUTRAL or path.parent != PACKAGE} <= set(code_files(module))


def test_imports_in_functions_and_over_several_lines_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text(
        "from biopose_cli.part import (\n    b,\n    c as other,\n)\ndef f():\n    from biopose_cli.d import g\n"
    )
    (tmp_path / "part").mkdir()
    for name in ("part/b", "part/c", "d", "unused"):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    (tmp_path / "part" / "data").mkdir()
    (tmp_path / "part" / "data" / "table.csv").write_text("1,2\n")
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)
    code_files.cache_clear()
    found = {path.relative_to(tmp_path).as_posix() for path in code_files("biopose_cli.a")}
    code_files.cache_clear()
    assert found == {"a.py", "part/b.py", "part/c.py", "d.py", "part/data/table.csv"}


def test_a_changed_table_changes_the_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "a.py").write_text("")
    hashes = []
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)
    for content in ("1", "2", "1"):
        (tmp_path / "data" / "table.csv").write_text(content)
        code_files.cache_clear()
        code_hash.cache_clear()
        hashes.append(code_hash("biopose_cli.a"))
    code_files.cache_clear()
    code_hash.cache_clear()
    assert hashes[0] == hashes[2] != hashes[1]
