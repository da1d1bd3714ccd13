"""What ``cnn_explorer.train`` does with its options: the words of `cnn-explorer train`, and a process that runs them.

The options are read off the command itself, so that Python takes what the command line takes, by the same names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UsageError, WorkError, nearest
from ..models.catalogue.user_code import is_library
from ..trainer.common.value_checks import number_of
from ..trainer.launch import spawn
from ..trainer.launch.run_handle import Run

OTHERS = ("plan", "plot", "find_lr", "detach", "json", "output", "force", "help", "no_augment", "traceback")
"""Options of the command that are nothing for Python, or are written otherwise there."""
PATHS_OF_RUNS = ("init_from", "grow_from")
"""Options that take a run, too."""
PATHS = ("runs", "data", "config")
PATIENCE_S = 10.0


@cache
def options() -> dict[str, Any]:
    """Return the options of `cnn-explorer train` by the name that they have in Python: the flag's, with underscores."""
    from .train_command import TrainCommand

    found = {}
    for parameter in TrainCommand("train").make_options():
        flags = [flag for flag in parameter.opts if flag.startswith("--")]
        if flags and not getattr(parameter, "hidden", False):
            found[flags[0].removeprefix("--").replace("-", "_")] = parameter
    return {name: parameter for name, parameter in found.items() if name not in OTHERS}


@cache
def numbers() -> dict[str, type]:
    """Return which options take one number, by their names in Python: int or float."""
    from ..trainer.config.request import all_settings

    settings = [defined for _, defined in all_settings().values()]
    return {defined.name.replace("-", "_"): defined.kind for defined in settings if defined.kind in (int, float)}


def words(given: Mapping[str, object]) -> list[str]:
    """Return the flags for options of Python; None stands for "not given".

    TypeError for an option that there is not, naming the nearest; UsageError for a value of another kind.
    """
    known = options()
    found: list[str] = []
    for name, value in given.items():
        if name not in known:
            hint = nearest(name, known) or "`cnn-explorer train --help` names them all"
            raise TypeError(f"train() has no option {name!r}; {hint}")
        if value is not None:
            found += _flags(name, known[name], value)
    return found


def _flags(name: str, parameter: Any, value: object) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if name == "set":
        if not isinstance(value, Mapping):
            raise UsageError("set", value, "must be a dictionary of values of the recipe: {'gamma': 0.2}")
        return [f"{flag}={key}={json.dumps(item)}" for key, item in value.items()]
    if getattr(parameter, "is_flag", False):
        if not isinstance(value, bool):
            raise UsageError(name, value, "must be True or False")
        return [flag if value else f"--no-{name.replace('_', '-')}"]
    if name == "augment" and value in ([], (), ""):
        return ["--no-augment"]
    if isinstance(value, bool):
        raise UsageError(name, value, "must be a value, not True or False")
    if name in numbers():
        return [f"{flag}={_number(name, value, numbers()[name])}"]
    if name in PATHS_OF_RUNS and not isinstance(value, str | os.PathLike | Run):
        raise UsageError(name, value, "names no run")
    if name in PATHS and not isinstance(value, str | os.PathLike):
        raise UsageError(name, value, "is not a path")
    if isinstance(value, Run):
        return [f"{flag}={value.path}"]
    if isinstance(value, list | tuple):
        return [f"{flag}={','.join(map(str, value))}"]
    return [f"{flag}={value}"]


def _number(name: str, value: Any, kind: type) -> object:
    """Return a number as the command takes it, which knows no 2.0 where it wants a whole one. UsageError."""
    try:
        found = number_of(value, kind) if isinstance(value, str) else kind(value)
    except (TypeError, ValueError):
        found = None
    if found is None or (kind is int and not isinstance(value, str) and found != value):
        raise UsageError(name, value, f"must be {'a whole number' if kind is int else 'a number'}")
    return found if kind is int else value


def begin(network: str, flags: Sequence[str]) -> Path:
    """Let a process of its own plan the run, create it and start its training; return the run's directory.

    That process does what `cnn-explorer train --detach` does, so nothing of it touches this one. UsageError and
    WorkError carry the line that the command would print.
    """
    for word in (network, *flags):
        if "\0" in word:
            raise UsageError("train", word, "holds a NUL character, which no word of a command may")
    command = [sys.executable, *spawn.search_path_flags(), "-m", "cnn_explorer", "train", "--detach", "--json"]
    child = subprocess.Popen(
        [*command, *flags, "--", network],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=os.environ if network.startswith("stored:") else _environment(),
    )
    try:
        output, said = child.communicate()
    except BaseException:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
        raise
    lines = said.rstrip().splitlines()
    if child.returncode:
        raise _error(lines, child.returncode)
    for line in lines:
        print(line, file=sys.stderr)
    return Path(_result(output)["path"])


def _result(output: str) -> dict[str, Any]:
    """Return the JSON object at the end of the output, before which the person's network may have printed something."""
    lines = output.splitlines(keepends=True)
    for number in reversed([number for number, line in enumerate(lines) if line.startswith("{")]):
        try:
            return json.loads("".join(lines[number:]))
        except ValueError:
            continue
    raise WorkError(f"`cnn-explorer train --json` said nothing that can be read: {output[-200:]!r}")


def _error(lines: list[str], code: int) -> Exception:
    text = lines[-1].removeprefix("cnn-explorer: ") if lines else f"the process ended with exit code {code}"
    if code != 2:
        return WorkError(text)
    field, colon, hint = text.partition(": ")
    if field.startswith("--"):
        field = field[2:].replace("-", "_")
    return UsageError(field, None, hint) if colon else UsageError("train", None, text)


def _environment() -> dict[str, str]:
    """Return the environment with the folders in which this process finds the person's own modules."""
    own = [path for path in sys.path if path and os.path.isdir(path) and not is_library(os.path.join(path, "x.py"))]
    before = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    folders = list(dict.fromkeys(own + before))
    return os.environ | ({"PYTHONPATH": os.pathsep.join(folders)} if folders else {})
