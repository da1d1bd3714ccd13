"""Stores a network of a person's own in a folder, from which another process can build it (see stored.py)."""

from __future__ import annotations

import importlib
import io
import json
import pickle
import platform
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ...errors import UsageError
from ..catalogue import user_code
from . import own_files
from .stored import CLASSES, CODE, INITIAL, OBJECT, SOURCE, Stored, attribute, known_here, maker_of

ADVICE = "write it into a file (%%writefile net.py in a notebook) and import it"

INSTEAD = "hand over its class, or a function that makes it, instead"

Log = Callable[[str], None]


def store(what: nn.Module | Callable[..., Any], name: str, folder: Path, log: Log) -> Stored:
    """Store a network, or a class or function that makes one, in ``folder``, which is made.

    UsageError where it cannot be stored, with what would help; nothing is left then. ``log`` is told when a file was
    edited since it was imported.
    """
    folder.mkdir(parents=True)
    try:
        return _written(folder, _stored(what, name, folder, log))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def store_callable(name: str, folder: Path) -> Stored:
    """Store what ``package.module:callable`` names, by name, with the files of the person's project that it needs.

    UsageError where it does not name a class or function that makes a network.
    """
    module, qualname = own_files.split_name(name)
    if isinstance(maker_of(name), nn.Module):
        hint = "is a network already; name the class or function that makes it, or hand it to cnn_explorer.train"
        raise UsageError("network", name, hint)
    folder.mkdir(parents=True)
    files = own_files.collect([module]) if own_files.is_own(module) else {}
    return _written(folder, _described(f"{module}:{qualname}", "callable", module, qualname, _copied(files, folder)))


def _written(folder: Path, made: Stored) -> Stored:
    (folder / SOURCE).write_text(json.dumps(made.to_dict(), indent=1), encoding="utf-8")
    return made


def _stored(what: Any, name: str, folder: Path, log: Log) -> Stored:
    is_object = isinstance(what, nn.Module)
    named = what if hasattr(what, "__qualname__") and not is_object else type(what)
    module, qualname = str(named.__module__), str(named.__qualname__)
    parts = _Parts(qualname)
    pickled = ""
    if is_object:
        _check(what)
    if not isinstance(what, type | FunctionType) or module == "__main__" or "<" in qualname:
        pickled = _write_object(what, folder / OBJECT, parts)
    elif own_files.is_own(module):
        parts.modules.add(module)
    if parts.notebook:
        _write_with_cloudpickle([value for _, value in parts.notebook], folder / CLASSES, parts)
        pickled = "cloudpickle"
    if is_object or parts.tensors:
        state = dict(what.state_dict()) if is_object else {}
        _save({"tensors": parts.tensors, "state_dict": state}, folder / INITIAL, qualname)
    files = own_files.collect(sorted(parts.modules)) if parts.modules else {}
    for name in sorted(parts.modules - files.keys()):
        hint = f"cannot be stored: its file {sys.modules[name].__file__} is not there any more"
        raise UsageError("network", qualname, hint)
    _log_changes(files, parts.reloaded, log)
    made = _described(name, "object" if is_object else "callable", module, qualname, _copied(files, folder))
    return replace(made, pickled=pickled, **_of_notebook(parts.notebook))


def _described(name: str, kind: str, module: str, qualname: str, files: tuple[str, ...]) -> Stored:
    path = getattr(sys.modules.get(module), "__file__", None)
    place = f"notebook:{qualname}" if module == "__main__" or path is None else f"{path}:{qualname}"
    return Stored(name, kind, place, module, qualname, files, python=platform.python_version())


def _copied(files: Mapping[str, Path], folder: Path) -> tuple[str, ...]:
    """Copy the files of modules into the folder; returns their places there."""
    places = {own_files.place(module, path): path for module, path in files.items()}
    for place, path in places.items():
        target = folder / CODE / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tuple(places)


def _log_changes(files: Mapping[str, Path], reloaded: set[str], log: Log) -> None:
    for module, path in files.items():
        if module in sys.modules and own_files.has_changed(sys.modules[module]):
            log(f"{path.name} has been edited since it was imported: the run uses the file as it is now")
        elif module in reloaded:
            log(f"{path.name} was reloaded since the network was made: the run uses the file as it is now")


def _of_notebook(defined: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return what source.json says of a notebook's classes and functions, which are remembered as long as they live."""
    token = secrets.token_hex(8) if defined else ""
    for number, (_, value) in enumerate(defined):
        known_here[token, number] = value
    return {"token": token, "notebook": tuple((title, own_files.fingerprint(value)) for title, value in defined)}


def _check(network: nn.Module) -> None:
    """Raise UsageError for what no training can begin with."""
    kind = type(network).__name__
    tensors = [*network.named_parameters(), *network.named_buffers()]
    if any(is_lazy(tensor) for _, tensor in tensors):
        hint = "has lazy layers without weights; call it once with a batch of images, which gives them their shapes"
        raise UsageError("network", kind, hint)
    if any(tensor.is_meta for _, tensor in tensors):
        raise UsageError("network", kind, "is on the meta device, so it has no weights to begin with")


class _Parts:
    """What a pickle refers to: tensors by number, own modules by name, what a notebook defines by number."""

    def __init__(self, qualname: str) -> None:
        self.qualname = qualname
        self.tensors: list[Tensor] = []
        self.modules: set[str] = set()
        self.reloaded: set[str] = set()
        self.notebook: list[tuple[str, Any]] = []
        self._numbers: dict[int, int] = {}

    def reference(self, value: Any, *, by_value: bool) -> tuple | None:
        """Return what stands in a pickle for ``value``; None where it is pickled itself.

        ``by_value``: what the notebook defines is being pickled itself.
        """
        if isinstance(value, Tensor):
            if id(value) not in self._numbers:
                self._numbers[id(value)] = len(self.tensors)
                self.tensors.append(value)
            return "tensor", self._numbers[id(value)]
        if isinstance(value, ModuleType):
            return ("module", self._own(value.__name__)) if own_files.is_own(value.__name__) else None
        if not isinstance(value, type | FunctionType):
            return None
        module, qualname = str(value.__module__), value.__qualname__
        if module == "__main__" and not by_value:
            known = [number for number, (_, other) in enumerate(self.notebook) if other is value]
            if not known:
                self.notebook.append((qualname, value))
            return "notebook", known[0] if known else len(self.notebook) - 1
        if "<" in qualname or not own_files.is_own(module):
            return None
        if attribute(sys.modules[module], qualname) is not value:
            self.reloaded.add(module)
        return "name", self._own(module), qualname

    def _own(self, module: str) -> str:
        self.modules.add(module)
        return module


def _write_object(value: Any, path: Path, parts: _Parts) -> str:
    """Pickle ``value``; return by what: plain pickle where it is enough, which needs no other package to be read."""
    try:
        path.write_bytes(_pickled(pickle.Pickler, value, parts, by_value=False))
        return "pickle"
    except Exception as error:
        first = error
    again = _Parts(parts.qualname)
    pickler = _cloudpickle(parts.qualname, str(first)).Pickler
    try:
        made = _pickled(pickler, value, again, by_value=False)
    except Exception as error:
        raise UsageError(
            "network", parts.qualname, f"cannot be stored: {user_code.describe(error)}; {INSTEAD}"
        ) from None
    vars(parts).update(vars(again))
    path.write_bytes(made)
    return "cloudpickle"


def _write_with_cloudpickle(values: list[Any], path: Path, parts: _Parts) -> None:
    pickler = _cloudpickle(parts.qualname, "").Pickler
    try:
        path.write_bytes(_pickled(pickler, values, parts, by_value=True))
    except Exception as error:
        raise UsageError("network", parts.qualname, f"cannot be stored: {user_code.describe(error)}") from None


def _pickled(pickler: Any, value: Any, parts: _Parts, *, by_value: bool) -> bytes:
    class Pickler(pickler):
        def persistent_id(self, obj: Any) -> tuple | None:
            return parts.reference(obj, by_value=by_value)

    buffer = io.BytesIO()
    Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def _cloudpickle(qualname: str, why: str) -> ModuleType:
    try:
        return importlib.import_module("cloudpickle")
    except ImportError:
        reason = f"cannot be pickled ({why.splitlines()[0][:200]})" if why else "is defined in a notebook or a script"
        hint = f"{reason}: {ADVICE}, or pip install 'cnn-explorer[notebook]'"
        raise UsageError("network", qualname, hint) from None


def _save(state: dict[str, Any], path: Path, qualname: str) -> None:
    try:
        torch.save(state, path)
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise UsageError("network", qualname, f"has tensors that cannot be stored: {lines[0][:200]}") from None
