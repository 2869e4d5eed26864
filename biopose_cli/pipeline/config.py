"""The TOML config file: its keys are the command line's options, which take precedence."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from biopose_cli.errors import SettingError

_PATH_KEYS = ("out", "body", "model", "intrinsics")


def load_config(
    path: Path, valid: Collection[str], flags: Collection[str], renamed: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Values by option name (underscores); relative file names refer to the config file's folder.

    Parameters
    ----------
    path : the TOML file
    valid : existing names; hyphens and underscores are equivalent
    flags : those of them that are true or false
    renamed : keys of earlier versions with their present names

    Raises
    ------
    SettingError
        The file is missing, not TOML, or has an unknown key (the message suggests the nearest valid one) or a value of
        the wrong type.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"--config: cannot read {path} ({error.strerror})", "Check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(
            f"--config: {path} is not valid TOML: {error}", "Write lines such as `height = 1.75`"
        ) from error
    config: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if renamed and name in renamed:
            raise SettingError(f"{path}: unknown key {key!r}", f"It is called {renamed[name]!r} now")
        if name not in valid:
            suggestions = difflib.get_close_matches(name, valid, n=1, cutoff=0.0)
            raise SettingError(f"{path}: unknown key {key!r}", f"Did you mean {suggestions[0]!r}?")
        if isinstance(value, dict | list):
            raise SettingError(f"{path}: {key!r} must be one value, not a table or list", f"Write {key} = ...")
        if isinstance(value, bool) != (name in flags):
            allowed = "true or false" if name in flags else "a value, not true or false"
            raise SettingError(f"{path}: {key!r} must be {allowed}", f"Write {key} = ...")
        config[name] = (
            str(path.parent / expand_user(Path(value))) if name in _PATH_KEYS and isinstance(value, str) else value
        )
    return config


def expand_user(path: Path) -> Path:
    """Expand `~/...` to the user's home folder; the shell does not do it in `--out=~/...` or in a config file."""
    return path.expanduser() if path.parts[:1] == ("~",) else path
