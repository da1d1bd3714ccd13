"""Networks of a person's own, stored so that another process, and the same person next year, can build them again.

A folder (``network/`` of a run) holds

    source.json    what it is: the name, the class or function, where its file was, how it is stored
    code/          copies of that file and of the files of the same project that it imports
    object.pkl     of a network that was handed over: its structure, in which classes stand by name and tensors by number
    initial.pt     its tensors as they were, and its state dict (read without running code)
    classes.pkl    of a notebook: its classes and functions by value (cloudpickle)

A class or function that makes the network (``package.module:callable``) is stored as a name and its files alone: its first
weights follow from the seed. What a network was made *with* cannot be read off it, which is why its structure is pickled.

**Building a stored network runs the code in its folder.**
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import pickle
import platform
import secrets
import shutil
import sys
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ...errors import UsageError, WorkError, nearest
from . import own_files, user_code

SCHEMA = 1
SOURCE, CODE, OBJECT, INITIAL, CLASSES = "source.json", "code", "object.pkl", "initial.pt", "classes.pkl"
WARNING = "building this network runs the code in this folder"
GIVEN = ("num_classes", "in_channels", "image_size")
"""What a function or class that makes a network is called with, as far as it has parameters of these names."""

ADVICE = "write it into a file (%%writefile net.py in a notebook) and import it"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Stored:
    """What source.json says. ``path`` is where the file of the class was, as path:name; "notebook:Net" for a notebook's.

    ``kind`` is "object" or "callable", ``pickled`` "pickle", "cloudpickle", or "" for a callable of a file.
    """

    name: str
    kind: str
    path: str
    module: str
    qualname: str
    files: tuple[str, ...]
    pickled: str = ""
    notebook: tuple[tuple[str, str], ...] = ()
    token: str = ""
    python: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return the values as JSON has them."""
        return {"schema": SCHEMA, **vars(self), "warning": WARNING}


def read(folder: Path) -> Stored:
    """Return what is stored in ``folder``. WorkError where it is missing or damaged."""
    try:
        values = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
        texts = {key: str(values[key]) for key in ("name", "kind", "path", "module", "qualname")}
        optional = {key: str(values.get(key, "")) for key in ("pickled", "token", "python")}
        notebook = tuple((str(name), str(text)) for name, text in values.get("notebook", ()))
        return Stored(files=tuple(map(str, values["files"])), notebook=notebook, **texts, **optional)
    except OSError as error:
        raise WorkError(f"{folder / SOURCE}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise WorkError(f"{folder / SOURCE}: is damaged") from None


# Storing


def store(what: nn.Module | Callable[..., Any], name: str, folder: Path, say: Say) -> Stored:
    """Store a network, or a class or function that makes one, in ``folder``, which is made.

    UsageError where it cannot be stored, with what would help; nothing is left then. ``say`` is told when the file of the
    class was edited since it was imported.
    """
    folder.mkdir(parents=True)
    try:
        made = _stored(what, name, folder, say)
        (folder / SOURCE).write_text(json.dumps(made.to_dict(), indent=1), encoding="utf-8")
        return made
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def store_callable(maker: Callable[..., Any], name: str, module: str, qualname: str, folder: Path) -> Stored:
    """Store what ``package.module:callable`` names, by name, with the files of the person's project that it needs."""
    folder.mkdir(parents=True)
    files = own_files.collect([module]) if own_files.is_own(module) else {}
    for own, path in files.items():
        _copy(path, folder / CODE / own_files.place(own, path))
    places = tuple(own_files.place(own, path) for own, path in files.items())
    path = _path_of(module, qualname)
    made = Stored(name, "callable", path, module, qualname, places, python=platform.python_version())
    (folder / SOURCE).write_text(json.dumps(made.to_dict(), indent=1), encoding="utf-8")
    return made


def _stored(what: Any, name: str, folder: Path, say: Say) -> Stored:
    is_object = isinstance(what, nn.Module)
    named = type(what) if is_object else what
    module, qualname = str(named.__module__), str(named.__qualname__)
    parts = _Parts(qualname)
    pickled = ""
    if is_object:
        _check(what)
        pickled = _write_object(what, folder / OBJECT, parts)
    elif module == "__main__" or "<" in qualname:
        pickled = _write_object(what, folder / OBJECT, parts)
    elif own_files.is_own(module):
        parts.modules.add(module)
    if parts.notebook:
        _write_with_cloudpickle([value for _, value in parts.notebook], folder / CLASSES, parts)
        pickled = "cloudpickle"
    if is_object or parts.tensors:
        state = what.state_dict() if is_object else {}
        _save({"tensors": parts.tensors, "state_dict": dict(state)}, folder / INITIAL, qualname)
    files = own_files.collect(sorted(parts.modules)) if parts.modules else {}
    for own, path in files.items():
        _copy(path, folder / CODE / own_files.place(own, path))
    for own in sorted(parts.modules):
        if own_files.has_changed(sys.modules[own]):
            say(f"{files[own].name} has been edited since it was imported: the run uses the file as it is now")
    for own in sorted(parts.reloaded - {own for own in parts.modules if own_files.has_changed(sys.modules[own])}):
        say(f"{files[own].name} was reloaded since the network was made: the run uses the file as it is now")
    token = secrets.token_hex(8) if parts.notebook else ""
    for number, (_, value) in enumerate(parts.notebook):
        _known_here[token, number] = value
    texts = tuple((title, own_files.fingerprint(value)) for title, value in parts.notebook)
    places = tuple(own_files.place(own, path) for own, path in files.items())
    kind = "object" if is_object else "callable"
    return Stored(
        name,
        kind,
        _path_of(module, qualname),
        module,
        qualname,
        places,
        pickled,
        texts,
        token,
        platform.python_version(),
    )


def _path_of(module: str, qualname: str) -> str:
    path = getattr(sys.modules.get(module), "__file__", None)
    return f"notebook:{qualname}" if module == "__main__" or path is None else f"{path}:{qualname}"


def _check(network: nn.Module) -> None:
    """UsageError for what no training can begin with."""
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
        if _look_up(sys.modules[module], qualname) is not value:
            self.reloaded.add(module)
        return "name", self._own(module), qualname

    def _own(self, module: str) -> str:
        self.modules.add(module)
        return module


def _write_object(value: Any, path: Path, parts: _Parts) -> str:
    """Pickle ``value``; returns by what. Plain pickle where that is enough, so that reading it needs no other package."""
    try:
        path.write_bytes(_pickled(pickle.Pickler, value, parts, by_value=False))
        return "pickle"
    except Exception as error:
        first = error
    fresh = _Parts(parts.qualname)
    pickler = _cloudpickle(parts.qualname, str(first)).Pickler
    try:
        made = _pickled(pickler, value, fresh, by_value=False)
    except Exception as error:
        raise UsageError("network", parts.qualname, f"cannot be stored: {user_code.describe(error)}") from None
    vars(parts).update(vars(fresh))
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


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.read_bytes())


# Building


_known_here: weakref.WeakValueDictionary[tuple[str, int], Any] = weakref.WeakValueDictionary()
"""What this very process has stored from its notebook."""


def build(folder: Path, given: Mapping[str, object]) -> nn.Module:
    """Build the network stored in ``folder``, on the default device; this runs the code stored there.

    ``given``: num_classes, in_channels and image_size, of which a callable gets those that it has parameters for. An
    object has the values that it was stored with. UsageError for an error in the person's code, with its file and line;
    WorkError where something stored is missing or damaged.
    """
    stored = read(folder)
    made = _load(folder, stored) if stored.pickled else _named(folder, stored)
    if stored.kind == "callable":
        made = call(stored.name, made, given)
    if not isinstance(made, nn.Module):
        raise UsageError("network", stored.name, f"is a {type(made).__name__}, not a torch.nn.Module")
    return made


def call(name: str, maker: Callable[..., Any], given: Mapping[str, object]) -> nn.Module:
    """Let a class or function make a network from those of ``given`` that it takes. UsageError for what goes wrong."""
    if not callable(maker):
        raise UsageError("network", name, f"is a {type(maker).__name__}, which cannot be called")
    options = {key: value for key, value in given.items() if value is not None and key in _parameters(maker)}
    try:
        made = maker(**options)
    except UsageError:
        raise
    except Exception as error:
        words = " with " + ", ".join(f"{key}={value}" for key, value in options.items()) if options else ""
        raise UsageError("network", name, f"cannot be built{words}: {user_code.describe(error)}") from None
    if not isinstance(made, nn.Module):
        raise UsageError("network", name, f"made a {type(made).__name__}, not a torch.nn.Module")
    return made


def _parameters(maker: Callable[..., Any]) -> tuple[str, ...]:
    try:
        found = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return ()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in found):
        return GIVEN
    return tuple(item.name for item in found if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY))


def _named(folder: Path, stored: Stored) -> Any:
    if stored.module not in map(own_files.module_of, stored.files):
        return look_up(own_files.import_own(stored.name, stored.module), stored.qualname, stored.name)
    modules = own_files.modules_of_copy(folder / CODE, list(stored.files), [stored.module])
    return look_up(modules[stored.module], stored.qualname, stored.name)


def look_up(module: ModuleType, qualname: str, name: str) -> Any:
    """Return what ``qualname`` names in a module; UsageError with the nearest name."""
    found = _look_up(module, qualname)
    if not callable(found):
        choices = [word for word, value in vars(module).items() if callable(value) and not word.startswith("_")]
        raise UsageError("network", name, f"has nothing to call named {qualname!r}; {nearest(qualname, choices)}")
    return found


def _look_up(module: ModuleType, qualname: str) -> Any:
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _load(folder: Path, stored: Stored) -> Any:
    tensors = _tensors(folder)
    notebook: list[Any] | None = None

    def resolve(reference: tuple) -> Any:
        nonlocal notebook
        kind, *rest = reference
        if kind == "tensor":
            return tensors[rest[0]]
        if kind == "notebook":
            if notebook is None:
                notebook = _notebook(folder, stored, resolve)
            return notebook[rest[0]]
        modules = own_files.modules_of_copy(folder / CODE, list(stored.files), [rest[0]])
        return modules[rest[0]] if kind == "module" else look_up(modules[rest[0]], rest[1], stored.name)

    return _unpickled(folder / OBJECT, stored, resolve)


def _tensors(folder: Path) -> list[Tensor]:
    """Return the stored tensors on the CPU; without values where the default device is meta."""
    if not (folder / INITIAL).exists():
        return []
    device = torch.get_default_device()
    try:
        with torch.device("cpu"):
            found = torch.load(folder / INITIAL, map_location="cpu", weights_only=True)["tensors"]
    except Exception:  # torch's own words would advise to run what code the file may hold
        raise WorkError(f"{folder / INITIAL}: is damaged") from None
    return [_on_meta(tensor) for tensor in found] if device.type == "meta" else found


def _on_meta(tensor: Tensor) -> Tensor:
    made = tensor.detach().to("meta")
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made


def _notebook(folder: Path, stored: Stored, resolve: Callable[[tuple], Any]) -> list[Any]:
    """Return the notebook's classes and functions: those that are defined here where they are the same, else stored ones.

    All or none are taken from here, so that they know each other.
    """
    here = [_defined_here(stored, number) for number in range(len(stored.notebook))]
    if here and all(value is not None for value in here):
        return here
    return _unpickled(folder / CLASSES, stored, resolve)


def _defined_here(stored: Stored, number: int) -> Any:
    qualname, fingerprint = stored.notebook[number]
    now = _look_up(sys.modules["__main__"], qualname) if "<" not in qualname else None
    known = _known_here.get((stored.token, number))
    if now is not None and (now is known or own_files.fingerprint(now) == fingerprint):
        return now
    return known


def _unpickled(path: Path, stored: Stored, resolve: Callable[[tuple], Any]) -> Any:
    class Unpickler(pickle.Unpickler):
        def persistent_load(self, pid: tuple) -> Any:
            return resolve(pid)

        def find_class(self, module: str, name: str) -> Any:
            found = super().find_class(module, name)
            return _always_new(found) if name in ("_make_skeleton_class", "_make_skeleton_enum") else found

    try:
        with open(path, "rb") as file:
            return Unpickler(file).load()
    except (UsageError, WorkError):
        raise
    except ModuleNotFoundError as error:
        needs = "pip install 'cnn-explorer[notebook]'" if error.name == "cloudpickle" else "which is not installed"
        raise WorkError(f"{path}: needs the package {error.name}: {needs}") from None
    except Exception as error:
        made_by = f"it was stored by Python {stored.python}, this is {platform.python_version()}"
        raise WorkError(f"{path}: cannot be read ({made_by}): {user_code.describe(error)}") from None


def _always_new(make: Callable[..., Any]) -> Callable[..., Any]:
    """Let cloudpickle make a class anew where it would fill the values of the stored one into the person's own class."""

    def made(*args: Any) -> Any:
        *before, _tracker, extra = args
        return make(*before, None, extra)

    return made
