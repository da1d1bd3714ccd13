"""Networks of a person's own, as they are stored: built again by another process, or by the same person next year.

A folder (``network/`` of a run; storing.py writes it) holds

    source.json    what it is: the name, the class or function, where its file was, how it is stored
    code/          copies of that file and of the files of the same project that it imports
    object.pkl     of a network that was handed over: its structure; classes stand in it by name, tensors by number
    initial.pt     its tensors as they were, and its state dict (read without running code)
    classes.pkl    of a notebook: its classes and functions by value (cloudpickle)

A class or function that makes the network (``package.module:callable``) is stored as a name and its files alone: its
first weights follow from the seed. What a network was made *with* cannot be read off it, which is why its structure
is pickled.

**Building a stored network runs the code in its folder.**
"""

from __future__ import annotations

import inspect
import json
import pickle
import platform
import re
import sys
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UsageError, WorkError, nearest, with_article
from ..catalogue import user_code
from . import own_files

OWN = "own"
"""Before the colon in the name of a network that was handed over in Python."""
SCHEMA = 1
SOURCE, CODE, OBJECT, INITIAL, CLASSES = "source.json", "code", "object.pkl", "initial.pt", "classes.pkl"
WARNING = "building this network runs the code in this folder"


@dataclass(frozen=True)
class Stored:
    """What source.json says. ``path`` is where the file of the class was: path:name, or "notebook:Net".

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


known_here: weakref.WeakValueDictionary[tuple[str, int], Any] = weakref.WeakValueDictionary()
"""What this very process has stored from its notebook."""


def build(folder: Path, given: Mapping[str, object]) -> nn.Module:
    """Build the network stored in ``folder``, on the default device; this runs the code stored there.

    ``given``: num_classes, in_channels and image_size, of which a callable gets those that it has parameters for; one
    with ``**options`` gets all that it takes. An object has the values that it was stored with. UsageError for an error
    in the person's code, with its file and line; WorkError where something stored is missing or damaged.
    """
    stored = read(folder)
    made = _load(folder, stored) if stored.pickled else _named(folder, stored)
    if stored.kind == "callable":
        made = call(stored.name, made, given)
    if not isinstance(made, nn.Module):
        raise UsageError("network", stored.name, f"is {with_article(type(made).__name__)}, not a torch.nn.Module")
    return made


def call(name: str, maker: Callable[..., Any], given: Mapping[str, object]) -> nn.Module:
    """Let a class or function make a network from those of ``given`` that it takes. UsageError for what goes wrong."""
    if isinstance(maker, nn.Module):
        raise UsageError("network", name, "is a network already; name the class or function that makes it")
    if not callable(maker):
        raise UsageError("network", name, f"is {with_article(type(maker).__name__)}, which cannot be called")
    named, takes_any = _parameters(maker)
    options = {key: value for key, value in given.items() if value is not None and (takes_any or key in named)}
    words = " with " + ", ".join(f"{key}={value}" for key, value in options.items()) if options else ""
    with user_code.one_line(name, f"cannot be built{words}", maker):
        made = _call(maker, options, named)
    if not isinstance(made, nn.Module):
        where = user_code.place_of(maker)
        hint = f"made {with_article(type(made).__name__)}, not a torch.nn.Module"
        raise UsageError("network", name, f"{hint} ({where})" if where else hint)
    return made


def _call(maker: Callable[..., Any], options: dict[str, object], named: tuple[str, ...]) -> Any:
    """Call with the options; without those that ``**options`` of the maker hands on to somebody who does not know them."""
    while True:
        try:
            return maker(**options)
        except TypeError as error:
            refused = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            if refused is None or refused[1] not in options or refused[1] in named:
                raise
            del options[refused[1]]


def takes(maker: Callable[..., Any], name: str) -> bool:
    """Return whether a class or function can be called with a parameter of that name."""
    named, takes_any = _parameters(maker)
    return takes_any or name in named


def _parameters(maker: Callable[..., Any]) -> tuple[tuple[str, ...], bool]:
    """The names that a class or function can be called with, and whether it takes any other name as well."""
    try:
        found = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return (), False
    names = tuple(item.name for item in found if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY))
    return names, any(item.kind is item.VAR_KEYWORD for item in found)


def _named(folder: Path, stored: Stored) -> Any:
    if stored.module not in map(own_files.module_of, stored.files):
        return look_up(own_files.import_own(stored.name, stored.module), stored.qualname, stored.name)
    modules = own_files.modules_of_copy(folder / CODE, list(stored.files), [stored.module])
    return look_up(modules[stored.module], stored.qualname, stored.name)


def maker_of(name: str) -> Any:
    """Import what ``package.module:callable`` names. UsageError where there is no such module or nothing to call."""
    if name.partition(":")[0] == OWN:
        raise UsageError("network", name, "is the network of a run; cnn_explorer.load(run) builds it")
    source, qualname = own_files.split_name(name)
    return look_up(own_files.import_own(name, source), qualname, name)


def look_up(module: ModuleType, qualname: str, name: str) -> Any:
    """Return what ``qualname`` names in a module; UsageError with the nearest name."""
    found = attribute(module, qualname)
    if not callable(found):
        if found is not None:
            kind = type(found).__name__
            told = f"{qualname} is of type {kind}, and not a class or function that makes a network"
            raise UsageError("network", name, told)
        choices = [word for word, value in vars(module).items() if callable(value) and not word.startswith("_")]
        hint = nearest(qualname, choices) if choices else ""
        raise UsageError("network", name, f"has nothing to call named {qualname!r}" + (f"; {hint}" if hint else ""))
    return found


def attribute(module: ModuleType, qualname: str) -> Any:
    """Return what a dotted name stands for in a module, None for nothing."""
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _load(folder: Path, stored: Stored) -> Any:
    initial = _initial(folder)
    on_meta = torch.empty(0).is_meta  # torch 2.6 does not tell the device of a `with` block
    tensors = [_on_meta(tensor) for tensor in initial["tensors"]] if on_meta else initial["tensors"]
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

    made = _unpickled(folder / OBJECT, stored, resolve)
    if on_meta or not isinstance(made, nn.Module):
        return made
    return _with_all_weights(made, initial["state_dict"], stored.name)


def _initial(folder: Path) -> dict[str, Any]:
    """Return the stored tensors and the state dict, on the CPU; empty where none were stored."""
    if not (folder / INITIAL).exists():
        return {"tensors": [], "state_dict": {}}
    try:
        with torch.device("cpu"):
            return torch.load(folder / INITIAL, map_location="cpu", weights_only=True)
    except Exception:  # torch's own words would advise to run what code the file may hold
        raise WorkError(f"{folder / INITIAL}: is damaged") from None


def _with_all_weights(network: nn.Module, state: dict[str, Any], name: str) -> nn.Module:
    """Return the network with the weights that it had: its class may leave some out of the pickle (__getstate__)."""
    now = network.state_dict()
    kept = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if any(key not in now or not _equal(now[key], value) for key, value in kept.items()):
        try:
            network.load_state_dict(state)
        except RuntimeError:
            hint = "comes back from its pickle as another network; hand over its class, or a function that makes it"
            raise UsageError("network", name, hint) from None
    return network


def _equal(value: Any, other: Tensor) -> bool:
    return isinstance(value, Tensor) and value.dtype == other.dtype and torch.equal(value, other)


def _on_meta(tensor: Tensor) -> Tensor:
    made = tensor.detach().to("meta")
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made


def _notebook(folder: Path, stored: Stored, resolve: Callable[[tuple], Any]) -> list[Any]:
    """Return the notebook's classes and functions: those defined here where they are the same, else stored ones.

    All or none are taken from here, so that they know each other.
    """
    here = [_defined_here(stored, number) for number in range(len(stored.notebook))]
    if here and all(value is not None for value in here):
        return here
    return _unpickled(folder / CLASSES, stored, resolve)


def _defined_here(stored: Stored, number: int) -> Any:
    qualname, fingerprint = stored.notebook[number]
    now = attribute(sys.modules["__main__"], qualname) if "<" not in qualname else None
    known = known_here.get((stored.token, number))
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
    except BaseException as error:
        user_code.check_fault(error)
        made_by = f"it was stored by Python {stored.python}, this is {platform.python_version()}"
        raise WorkError(f"{path}: cannot be read ({made_by}): {user_code.describe(error)}") from error


def _always_new(make: Callable[..., Any]) -> Callable[..., Any]:
    """Let cloudpickle make a new class where it would fill stored values into the person's own class."""

    def made(*args: Any) -> Any:
        *before, _tracker, extra = args
        return make(*before, None, extra)

    return made
