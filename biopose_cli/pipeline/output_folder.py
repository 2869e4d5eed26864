"""A clip's results folder: its video, its lock, and the settings with which its files were made."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from biopose_cli.errors import OutputError, SettingError
from biopose_cli.io.atomic import atomic_write, remove_partial, translate_os_errors
from biopose_cli.io.video.probe import content_hash
from biopose_cli.settings import Settings

# bytes; file systems allow 255, of which "_overlay", ".mp4" and the temporary names take some
_MAX_NAME_BYTES = 200
_DEPENDENT_SETTINGS = {
    "mesh": ("track", "track_id"),
    "ik": ("ik_iterations", "ik_smoothness"),
    "model": ("ik_iterations",),
}


def claim_folder(folder: Path, video: Path, overwrite: bool) -> tuple[str, bool]:
    """Claim `folder` for this video.

    Returns the video's hash, and whether the results are of an older content of the file.

    Two videos of the same name from different folders would overwrite each other's results, which is refused.
    """
    sha256 = content_hash(video)
    note = folder / "stages" / "video.json"
    source = str(video.resolve())
    try:
        recorded = json.loads(note.read_text(encoding="utf-8"))
        changed, moved = recorded["sha256"] != sha256, recorded["path"] != source
    except (OSError, ValueError, KeyError, TypeError):
        recorded, changed, moved = {}, False, False
    if changed and moved and not overwrite and any(note.parent.glob("*.npz")):
        raise OutputError(
            f"{folder} holds the results of another video of the same name ({recorded['path']})",
            "Choose another --out, rename the video, or pass --overwrite to replace them",
        )
    if not recorded or changed or moved:
        with atomic_write(note) as temporary:
            temporary.write_text(json.dumps({"path": source, "sha256": sha256}, indent=1), encoding="utf-8")
    return sha256, changed


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder against other processes; the operating system releases the lock when this one ends."""
    from filelock import FileLock, Timeout

    with translate_os_errors(folder):
        (folder / "stages").mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "stages" / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise OutputError(
                f"another biopose is working in {folder}", "Wait for it, or choose another --out"
            ) from error
    try:
        remove_partial(folder)
        yield
    finally:
        lock.release()


def check_names(videos: list[Path]) -> None:
    """Refuse two videos whose results would go to the same folder, and names that are too long for a suffix.

    Raises
    ------
    SettingError
    """
    by_name: dict[str, Path] = {}
    for video in videos:
        if len(os.fsencode(video.stem)) > _MAX_NAME_BYTES:
            raise SettingError(f"the name of {video} is too long for the results' names", "Give it a shorter one")
        previous = by_name.setdefault(video.stem.casefold(), video)
        if previous is not video:
            raise SettingError(
                f"{previous} and {video} would both write to the folder {video.stem}",
                "Rename one of them or run them with different --out",
            )


def save_settings(folder: Path, settings: Settings, keys: tuple[str, ...]) -> None:
    """Save the values with which a step ran, for stages that are run alone later."""
    note = folder / "stages" / "settings.json"
    values = {key: getattr(settings, key) for key in keys}
    values = {key: str(value.resolve()) if isinstance(value, Path) else value for key, value in values.items()}
    recorded = _read_note(note) | values
    with atomic_write(note) as temporary:
        temporary.write_text(json.dumps(recorded, indent=1, sort_keys=True), encoding="utf-8")


def load_settings(folder: Path, settings: Settings, given: Collection[str] | None = None) -> Settings:
    """Complete `settings` from earlier runs where not `given`; by default, given are the ones not at their defaults.

    Values that belong to a newly given choice are not taken: the track of an import, the solver's numbers.
    """
    recorded = _read_note(folder / "stages" / "settings.json")
    if given is None:
        given = {spec.name for spec in fields(settings) if getattr(settings, spec.name) != spec.default}
    dropped = {name for choice, names in _DEPENDENT_SETTINGS.items() if choice in given for name in names}
    kept = {key: value for key, value in recorded.items() if key not in {*given, *dropped}}
    paths = {key: Path(kept[key]) for key in ("intrinsics", "track", "body", "model") if kept.get(key)}
    return replace(settings, **kept | paths)


def _read_note(note: Path) -> dict[str, Any]:
    try:
        values = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    names = {spec.name for spec in fields(Settings)}
    return {key: value for key, value in values.items() if key in names} if isinstance(values, dict) else {}
