"""A folder of motion-capture archives like the real one, with the first second or two of a few takes."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Collection
from pathlib import Path

_WANTED = ("39.asf", "39_01.amc", "35.asf", "35_05.amc", "08.asf", "08_04.amc", "07.asf", "07_03.amc")
TRAINED, HELD_OUT = {"08", "35"}, {"07", "39"}  # subjects; 39 and 07 are held out
_KEPT = {"35_05.amc": 140, "08_04.amc": 140, "39_01.amc": 260, "07_03.amc": 260}  # frames, at 120 frames/s


def small_archives(shared: Path, folder: Path) -> Path:
    """Write the three archives into `folder`; returns it."""
    source = shared / "data" / "motion"
    amc = {
        name: _truncate_amc(text, _KEPT[Path(name).name]) if name.endswith(".amc") else text
        for name, text in _first(source / "cmu_amc.tar.xz", _WANTED).items()
    }
    _pack(folder / "cmu_amc.tar.xz", amc)
    _pack(folder / "cmu_expmap.tar.xz", {})
    # the reader takes the recorded rest pose from this take; it is a copy of one of the held-out subject 07
    _pack(folder / "cmu_bvh.tar.xz", _first(source / "cmu_bvh.tar.xz", ["007_03.bvh"]))
    return folder


def _first(archive: Path, names: Collection[str]) -> dict[str, str]:
    """The texts of these files, read no further than they reach."""
    found: dict[str, str] = {}
    with tarfile.open(archive) as packed:
        for member in packed:
            stream = packed.extractfile(member)
            if stream is not None and Path(member.name).name in names:
                found[member.name] = stream.read().decode()
                if len(found) == len(names):
                    return found
    raise FileNotFoundError(f"{archive} lacks one of {names}")


def _truncate_amc(amc: str, frames: int) -> str:
    return re.split(rf"^{frames + 1}\s*$", amc, maxsplit=1, flags=re.MULTILINE)[0]


def _pack(path: Path, files: dict[str, str]) -> None:
    with tarfile.open(path, "w:xz", preset=0) as packed:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            packed.addfile(member, io.BytesIO(text.encode()))
