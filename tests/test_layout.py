"""The house: a test module for every module, short modules, and the field's words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "biopose_cli"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if not path.name.startswith("__"))
LONGEST = 300  # lines

# No test module of their own, and whose tests cover them.
COVERED = {
    # What the module makes can only be judged with what uses it.
    "benchmarks/marker_body_fit.py": "benchmarks/test_trials.py",
    "benchmarks/marker_lbs.py": "benchmarks/test_trials.py",
    "benchmarks/methods.py": "benchmarks/test_mqhmr.py",
    "body/kinematics.py": "body/test_smpl_torch.py",
    "export/summary.py": "export/test_stage.py",
    "hmr/checkpoint.py": "hmr/test_model.py",
    "hmr/decoder.py": "hmr/test_model.py",
    "hmr/predict.py": "hmr/test_model.py",
    "io/artifact.py": "io/test_results.py",
    "io/video/container.py": "io/video/test_reader.py",
    "io/video/describe.py": "io/video/test_probe.py",
    "mesh_fit/contact.py": "mesh_fit/test_costs.py",
    "mesh_fit/fit.py": "mesh_fit/test_mesh_stage.py",
    "mesh_fit/importers/layouts.py": "mesh_fit/importers/test_stage.py",
    "mesh_fit/importers/safe_load.py": "mesh_fit/importers/test_stage.py",
    "mesh_fit/initialization.py": "mesh_fit/test_mesh_stage.py",
    "mesh_fit/observations.py": "mesh_fit/test_mesh_stage.py",
    "mesh_fit/priors.py": "mesh_fit/test_costs.py",
    "mesh_fit/solver.py": "mesh_fit/test_mesh_stage.py",
    "metrics/alignment.py": "metrics/test_compare.py",
    "pipeline/steps.py": "pipeline/test_run.py",
    "pipeline/output_folder.py": "pipeline/test_run.py",
    "render/scene.py": "synthesis/test_rendering.py",
    "synthesis/bvh.py": "synthesis/test_motion_library.py",
    "synthesis/clothing.py": "synthesis/test_rendering.py",
    "synthesis/cmu.py": "synthesis/test_motion_library.py",
    "synthesis/joint_actions.py": "synthesis/test_joint_motion.py",
    "synthesis/joint_poses.py": "synthesis/test_pose_sampler.py",
    "synthesis/mocap.py": "synthesis/test_motion_library.py",
    "synthesis/subjects.py": "training/test_marker_dataset.py",
    "training/datasets.py": "training/test_mqhmr.py",
    "training/mqhmr_config.py": "training/test_mqhmr.py",
    "training/mqhmr_losses.py": "training/test_mqhmr.py",
    "training/rendered_dataset.py": "synthesis/test_rendered_images.py",
    "training/trainer.py": "training/test_mqhmr.py",
    "training/uncertainty_head.py": "training/test_mqhmr.py",
    # Tested through the command line, as users call it.
    "cli/assets.py": "cli/test_main.py",
    "cli/compare.py": "cli/test_bad_input.py",
    "cli/doctor.py": "cli/test_bad_input.py",
    "cli/info.py": "cli/test_bad_input.py",
    "cli/options.py": "cli/test_main.py",
    "cli/process.py": "cli/test_main.py",
    "cli/report.py": "cli/test_bad_input.py",
    "cli/run.py": "cli/test_main.py",
    "cli/stages.py": "cli/test_main.py",
    "errors.py": "cli/test_bad_input.py",
    "pipeline/config.py": "cli/test_bad_input.py",
    "pipeline/doctor.py": "cli/test_bad_input.py",
    "settings.py": "cli/test_bad_input.py",
    # Names and protocols only: the type checker tests them.
    "progress.py": "cli/test_display.py",
    "body/blazepose.py": "detect/test_blazepose.py",
    "typing.py": "test_layout.py",
    "version.py": "cli/test_main.py",
}
# Still without tests.
UNTESTED = {"benchmarks/run_speed.py", "cli/check.py"}
# Still to be split.
LONG = {"ik/network.py", "ik/solver.py", "ik/trajectory.py"}

# Networks predict, layers attend, functions return: these words name nothing of the field.
PARTS = {
    "doubt",
    "doubts",
    "doubtful",
    "told",
    "tells",
    "says",
    "seen",
    "sees",
    "knows",
    "unsure",
}  # in no part of a name
WORDS = PARTS | {
    "turn",
    "turns",
    "turned",
    "place",
    "placed",
    "share",
    "known",
    "guess",
    "odd",
    "spread",
    "own",
    "among",
    "across",
    "look",
    "looks",
    "way",
}


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", [path for path in MODULES if _name(path) not in UNTESTED], ids=_name)
def test_every_module_has_tests(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_name(f"test_{path.name}").as_posix()
    expected = COVERED.get(_name(path), own)
    assert (ROOT / "tests" / expected).is_file(), f"no tests/{expected}"


def test_the_exceptions_are_needed() -> None:
    names = {_name(path): path for path in MODULES}
    for name in COVERED.keys() & names:
        assert not (ROOT / "tests" / name).with_name(f"test_{Path(name).name}").is_file(), f"{name} has its own tests"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_modules_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST or _name(path) in LONG, f"{lines} lines"


def _identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module defines: variables, attributes, arguments, functions, classes."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_names_are_the_fields_own(path: Path) -> None:
    wrong = []
    for line, name in _identifiers(ast.parse(path.read_text(encoding="utf-8"))):
        parts = {part.lower() for part in re.split(r"_|(?<=[a-z])(?=[A-Z])", name)}
        if name.strip("_").lower() in WORDS or parts & PARTS:
            wrong.append(f"{path.name}:{line} {name}")
    assert not wrong
