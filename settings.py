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


LONGEST_NAME = 255
"""Bytes of one part of a path: more are taken by no usual file system."""
LONGEST_PATH = 4095
LARGEST_TEXT = 16 << 20
"""Bytes of a file of settings; whoever names /dev/zero hears of it."""


def typed_path(text: str | os.PathLike, field: str) -> Path:
    """Return a path that a person wrote as an absolute one; ``~`` is a home folder. UsageError names ``field``.

    Whatever a person may name goes through here: what no file can be called is told before anything is looked for.
    """
    name = os.fspath(text)
    if "\0" in name:
        raise UsageError(field, name, "holds a NUL character, which no path may")
    try:
        path = Path(name).expanduser().absolute()
        parts = [len(os.fsencode(part)) for part in path.parts]
    except RuntimeError:
        raise UsageError(
            field, name, "begins with a user who does not exist here; ./~… is a file of that name"
        ) from None
    except UnicodeEncodeError:
        raise UsageError(field, name, "holds half a character, which no path may") from None
    except OSError as error:  # of the present folder
        raise UsageError(field, name, f"cannot be found: the present folder is gone ({error.strerror})") from None
    if max(parts) > LONGEST_NAME or sum(parts) + len(parts) > LONGEST_PATH:
        hint = f"is too long: a path has at most {LONGEST_PATH} bytes, and each name in it {LONGEST_NAME}"
        raise UsageError(field, name, hint)
    return path


def read_text(path: Path, field: str) -> str:
    """Return the text of a file that a person names. FileNotFoundError where there is none; else UsageError."""
    try:
        with open(path, "rb") as file:
            contents = file.read(LARGEST_TEXT + 1)
        if len(contents) > LARGEST_TEXT:
            raise UsageError(field, str(path), f"cannot be read: it has more than {LARGEST_TEXT >> 20} MB")
        return contents.decode("utf-8")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(field, str(path), f"cannot be read: {reason}") from None


def config_file() -> Path:
    """Return the settings file: ``CNN_EXPLORER_CONFIG`` or config.toml in the user's configuration folder; need not
    exist.
    """
    given = os.environ.get("CNN_EXPLORER_CONFIG")
    return typed_path(given, "CNN_EXPLORER_CONFIG") if given else platformdirs.user_config_path(APP) / "config.toml"


@cache
def _read(path: Path) -> dict:
    try:
        text = read_text(path, "config file")
    except FileNotFoundError:
        return {}
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
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
    variable = f"CNN_EXPLORER_{key.upper()}"
    if flag:
        return typed_path(flag, f"--{key}")
    if given := os.environ.get(variable):
        return typed_path(given, variable)
    if given := setting(key):
        return typed_path(str(given), f"config file: {key}")
    return None if default is None else default.absolute()


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
