"""Where things live: a command-line flag wins over an environment variable, that over config.toml, that over the default.

Defaults are the folders that the operating system has for such things (platformdirs), so nothing is written elsewhere.
"""

from __future__ import annotations

import os
import tomllib
from functools import cache
from pathlib import Path

import platformdirs

from .errors import UsageError

APP = "cnn-explorer"
VERSION = "0.2.0"
"""Of the program. It stands here, below all who need it; `cnn_explorer.__version__` is the same."""
FOLDER_KEYS = ("runs", "data", "state", "cache", "models")
OTHER_KEYS = ("theme", "color", "ascii", "signs", "quiz", "notify")


def config_file() -> Path:
    """Return the settings file: ``CNN_EXPLORER_CONFIG`` or config.toml in the user's configuration folder; need not
    exist.
    """
    given = os.environ.get("CNN_EXPLORER_CONFIG")
    return Path(given).expanduser() if given else platformdirs.user_config_path(APP) / "config.toml"


@cache
def _read(path: Path) -> dict:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "config file", str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError("config file", str(path), f"is not TOML: {error}") from None
    for key, value in values.items():
        if key not in FOLDER_KEYS + OTHER_KEYS:
            raise UsageError("config file", key, f"is not a setting; there are {', '.join(FOLDER_KEYS + OTHER_KEYS)}")
        if key in FOLDER_KEYS and not isinstance(value, str):
            raise UsageError("config file", value, f"is not a folder name for {key!r}; write it as a string")
    return values


def setting(key: str, default: object = None) -> object:
    """Return the value of a key of config.toml, or ``default``."""
    return _read(config_file()).get(key, default)


def _folder(key: str, flag: Path | str | None, default: Path | None) -> Path | None:
    chosen = flag or os.environ.get(f"CNN_EXPLORER_{key.upper()}") or setting(key) or default
    return None if chosen is None else Path(str(chosen)).expanduser().absolute()


def runs_folder(flag: Path | str | None = None) -> Path:
    """Return the folder that holds one run directory per training run."""
    folder = _folder("runs", flag, platformdirs.user_data_path(APP) / "runs")
    assert folder is not None
    return folder


def data_folder(flag: Path | str | None = None) -> Path:
    """Return the folder of the data sets as they were downloaded or put there by hand."""
    folder = _folder("data", flag, platformdirs.user_cache_path(APP) / "data")
    assert folder is not None
    return folder


def cache_folder(flag: Path | str | None = None) -> Path:
    """Return the folder of decoded copies, which may be deleted at any time."""
    folder = _folder("cache", flag, platformdirs.user_cache_path(APP) / "decoded")
    assert folder is not None
    return folder


def state_folder(flag: Path | str | None = None) -> Path:
    """Return the folder of what the program remembers: where you were, calibrations, quiz score."""
    folder = _folder("state", flag, platformdirs.user_state_path(APP))
    assert folder is not None
    return folder


def models_folder() -> Path | None:
    """Return the user's own architectures (pairs NAME.py and NAME.md), or None where none is set."""
    return _folder("models", None, None)
