"""The documents are true to the repository: paths, links and commands exist, and lines can be reviewed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import biopose_cli
import biopose_cli.errors
from biopose_cli.cli.main import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *DOCS.rglob("*.md"),
        *ROOT.glob("*.md"),
        ROOT / "sample_videos/README.md",
        *ROOT.glob("biopose_cli/weights/*.md"),
    ]
)
LONGEST = 120  # characters
SUFFIXES = "py|toml|csv|npz|md|safetensors|mp4|mot|json|cff|yml|txt|png|sto|osim|trc|pkl|pt|pth|tar\\.xz"
# What the program or the user makes, or another project's: no file of this repository.
NOT_OURS = re.compile(
    r"""^(?: .*[*?<>{}] | (?:NAME|NNNN|OUT|FOLDER|VIDEO|EST|REF)\b | (?:NAME|EST)_ | stages/ | results | runs/
    | site/ | lab/ | a/ | b/ | walk_ | walk\. | clinic | demo | my_ | long\.mp4 | single_cam | sample_videos/fetched
    | log\.csv | bank\.npz | cmu_ | tracks\.npz | detect\.npz | SMPL_ | wham_output | hmr4d_ | vitpose_huge
    | balance_reference | Squats_0 | Asym_0 | neutral\.trc | phalp/ | lib/ | tools/demo | hmr4d/ )""",
    re.VERBOSE,
)
OURS = re.compile(r"\b(?:biopose_cli|docs|scripts|tests|examples|sample_videos)/[\w./-]*[\w/]")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(params=PAGES, ids=_name)
def page(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def _fenced(text: str) -> Iterator[str]:
    """The lines of code blocks, those that a backslash continues joined."""
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()


def _inline(text: str) -> list[str]:
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [code.replace("\n", " ") for code in re.findall(r"`([^`]+)`", prose)]


def _exists(path: str, page: Path) -> bool:
    """Whether the path exists from the root, the package or the page's folder; a bare name may be anywhere."""
    bases = (ROOT, ROOT / "biopose_cli", page.parent)
    return any((base / path).exists() for base in bases) or ("/" not in path and any(ROOT.glob(f"*/**/{path}")))


def test_every_line_can_be_reviewed(page: Path) -> None:
    long = [n for n, line in enumerate(page.read_text("utf-8").splitlines(), 1) if len(line) > LONGEST]
    assert not long, f"lines over {LONGEST} characters: {long}"


def test_every_path_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    quoted = {code for code in _inline(text) if re.fullmatch(rf"[\w./-]+\.(?:{SUFFIXES})|[\w.-]+/(?:[\w.-]+/)*", code)}
    named = quoted | set(OURS.findall(text))
    missing = sorted(path for path in named if not NOT_OURS.match(path) and not _exists(path, page))
    assert not missing, f"{_name(page)} names what does not exist: {missing}"


def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.is_file() or (anchor and anchor not in _anchors(file)):
            broken.append(target)
    assert not broken, f"{_name(page)} has broken links: {broken}"


def _anchors(page: Path) -> set[str]:
    """The headings' anchors, as the site makes them."""
    titles = re.findall(r"^#+ +(.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def _commands(text: str) -> Iterator[str]:
    for line in (*_fenced(text), *_inline(text)):
        command = line.strip().removeprefix("$ ").removeprefix("time ")
        if re.match(r"biopose( |$)", command):
            yield command


def _problem(command: str) -> str:
    """Why the command line does not parse, or nothing. Values are not checked: they are placeholders."""
    words = shlex.split(re.sub(r"\[OPTIONS\]|\.\.\.", "", command), comments=True)[1:]
    here: Any = typer.main.get_command(app)
    while hasattr(here, "commands") and words and not words[0].startswith("-"):
        if words[0] in here.commands:
            here = here.commands[words.pop(0)]
        elif "stages" in here.commands:  # `biopose bench VIDEO`
            here = here.commands["stages"]
        else:
            return f"there is no command {words[0]!r}"
    options = {name for param in here.params for name in (*param.opts, *param.secondary_opts)} | {
        "--help",
        "-h",
    }
    if "stages" in getattr(here, "commands", {}):
        options |= {name for param in here.commands["stages"].params for name in param.opts}
    unknown = [word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in options]
    return f"unknown options {unknown}" if unknown else ""


def test_every_command_parses(page: Path) -> None:
    problems = {command: _problem(command) for command in _commands(page.read_text("utf-8"))}
    assert not {command: why for command, why in problems.items() if why}


def test_the_sites_navigation_has_every_page() -> None:
    navigation = set(re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8")))
    assert navigation == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}


def test_the_api_page_documents_every_public_name() -> None:
    text = (DOCS / "api.md").read_text("utf-8")
    public = {name for name in getattr(biopose_cli, "__all__", ()) if not name.startswith("_")}
    errors = {name for name in dir(biopose_cli.errors) if name in public}  # documented by their module
    assert not {name for name in public - errors if f"::: biopose_cli.{name}" not in text and f".{name}\n" not in text}


def test_the_pages_name_no_machine(page: Path) -> None:
    found = re.findall(r"(?:^|[\s`(\"])(?:/(?:home|root|tmp|work|Users|mnt)/|[A-Z]:\\)\S*", page.read_text("utf-8"))
    assert not found
