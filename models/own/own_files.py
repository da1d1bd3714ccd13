"""The Python files that make up a person's own network: found, copied, and imported from the copy. No torch.

A run keeps the file of the network and, of the same project, the files that this one imports, so that resuming does not
depend on what the person writes later. Installed packages are not copied: they are imported by their names.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ...errors import UsageError, WorkError
from ...settings import typed_path
from ..catalogue import user_code
from ..catalogue.user_code import PACKAGE, is_library

FORMS = "write torchvision:NAME, timm:NAME, package.module:callable or file.py:callable"
LARGEST = 10_000_000
"""Bytes of all files together: a project that has more is better installed as a package."""


def is_own(module: str) -> bool:
    """Return whether a loaded module belongs to the person's project, not to Python, a package, or this program."""
    if module == "__main__" or module.partition(".")[0] == PACKAGE:
        return False
    found = sys.modules.get(module)
    path = getattr(found, "__file__", None)
    return path is not None and path.endswith(".py") and not is_library(path)


def collect(modules: list[str]) -> dict[str, Path]:
    """Return the files of these modules and of all own modules that they import, by module name; packages included.

    UsageError where a file cannot be read or all of them are too large.
    """
    found: dict[str, Path] = {}
    waiting = [name for module in modules for name in _with_parents(module)]
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if name in found or path is None:
            continue
        found[name] = path
        for imported in _imports(name, path):
            waiting += _with_parents(imported)
    size = sum(path.stat().st_size for path in found.values())
    if size > LARGEST:
        hint = f"imports {len(found)} files of its project, {size / 1e6:.0f} MB; install the project as a package (pip)"
        raise UsageError("network", modules[0], hint)
    return dict(sorted(found.items()))


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _file(module: str) -> Path | None:
    """Return the file of an own module, loaded or only importable; None for everything else."""
    if module in sys.modules:
        path = getattr(sys.modules[module], "__file__", None)
    else:
        top = module.rpartition(".")[0]
        if top and top not in sys.modules:
            return None  # looking for it would import the package above it
        try:
            spec = importlib.util.find_spec(module)
        except (ImportError, ValueError, AttributeError):
            return None
        path = spec.origin if spec is not None else None
    if path is None or not path.endswith(".py") or is_library(path) or module.partition(".")[0] == PACKAGE:
        return None
    return Path(path) if module != "__main__" and Path(path).is_file() else None


def _imports(module: str, path: Path) -> Iterator[str]:
    """Yield the absolute names of what a file imports anywhere in it; names of classes and functions are among them."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise UsageError("network", module, f"cannot be stored: {path.name}: {error}") from None
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def place(module: str, path: Path) -> str:
    """Return where a module's file stands in the copy: ``package/net.py``, ``package/__init__.py``."""
    parts = module.split(".")
    return "/".join([*parts, "__init__.py"]) if path.name == "__init__.py" else "/".join(parts) + ".py"


def module_of(place: str) -> str:
    """Return the module name of a file in the copy."""
    return place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def has_changed(module: ModuleType) -> bool:
    """Return whether a loaded module's functions and constants are no longer those of its file: it was edited since.

    The instructions are compared, not the text, so that comments and blank lines do not count.
    """
    try:
        text = Path(str(module.__file__)).read_bytes()
        code = compile(text, str(module.__file__), "exec", dont_inherit=True)
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return True
    now = {(item.co_qualname, _instructions(item)) for item in _codes(code)}
    if any((item.co_qualname, _instructions(item)) not in now for item in _loaded_codes(module)):
        return True
    return any(_differs(loaded, literal) for loaded, literal in _constants(module, tree.body, _set_twice(tree)))


PLAIN = (bool, int, float, complex, str, bytes, tuple, type(None))


def _differs(loaded: object, literal: ast.expr) -> bool:
    """Whether a loaded value is another than the one in the file; only values that nothing can have altered count."""
    try:
        written = ast.literal_eval(literal)
    except ValueError:
        return False
    return type(loaded) in PLAIN and type(written) in PLAIN and repr(loaded) != repr(written)


def _set_twice(tree: ast.Module) -> set[str]:
    """Names that a file sets in several places: which value they have now cannot be read off it."""
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)]
    names += [
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]
    return {name for name, count in Counter(names).items() if count > 1}


def _constants(holder: object, body: list[ast.stmt], unsure: set[str]) -> Iterator[tuple[object, ast.expr]]:
    """Yield loaded values with what the file has in their place: of names, also of classes, and of defaults."""
    loaded = vars(holder)
    for node in body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and node.value is not None and target.id in loaded.keys() - unsure:
                yield loaded[target.id], node.value
        elif isinstance(node, ast.ClassDef) and isinstance(loaded.get(node.name), type):
            yield from _constants(loaded[node.name], node.body, unsure)
        elif isinstance(node, ast.FunctionDef):
            function = _function(loaded.get(node.name))
            if function is not None and len(function.__defaults__ or ()) == len(node.args.defaults):
                yield from zip(function.__defaults__ or (), node.args.defaults, strict=True)


def fingerprint(value: object) -> str:
    """Return a digest of a class or function: equal for two that were made from the same text by the same Python."""
    return hashlib.sha256(repr(_content(value)).encode()).hexdigest()


def _content(value: object) -> object:
    if isinstance(value, property):
        return "property", _content(value.fget), _content(value.fset)
    function = _function(value)
    if function is not None:
        return _instructions(function.__code__), repr(function.__defaults__), repr(function.__kwdefaults__)
    if isinstance(value, type):
        own = {key: item for key, item in vars(value).items() if key not in ("__dict__", "__weakref__", "__doc__")}
        return [base.__qualname__ for base in value.__bases__], [(key, _content(own[key])) for key in sorted(own)]
    return repr(value) if isinstance(value, int | float | str | bytes | tuple | None) else type(value).__qualname__


def _function(value: Any) -> FunctionType | None:
    """Return the function in a method or behind its decorators; None for anything else."""
    try:
        found = inspect.unwrap(getattr(value, "__func__", value))
    except Exception:  # an object may answer to any name as it likes
        return None
    return found if isinstance(found, FunctionType) else None


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _instructions(code: CodeType) -> tuple:
    constants = tuple(_constant(item) for item in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars


def _constant(value: object) -> object:
    if isinstance(value, CodeType):
        return _instructions(value)
    return tuple(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _loaded_codes(module: ModuleType) -> Iterator[CodeType]:
    """Yield the code of the functions, and of the methods of the classes, that a module defines itself."""
    waiting = list(vars(module).values())
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, type):
            if value.__module__ == module.__name__:
                waiting += list(vars(value).values())
            continue
        if isinstance(value, property):
            waiting += [value.fget, value.fset]
        function = _function(value)
        if function is None or function.__module__ != module.__name__:
            continue
        if function.__code__.co_filename == module.__file__:
            yield function.__code__


def modules_of_copy(folder: Path, files: list[str], wanted: list[str]) -> dict[str, ModuleType]:
    """Return the ``wanted`` modules of a copy: those that are loaded already where they are the same, else the copy's.

    Being the same means that neither the person's files nor what was loaded from them differ from the copy; then a
    network that is loaded is an instance of the person's own class. WorkError where the copy cannot be imported.
    """
    names = {module_of(file): file for file in files}
    loaded = {name: sys.modules[name] for name in names if name in sys.modules}
    if all(name in loaded for name in wanted) and all(_is_same(loaded[name], folder / names[name]) for name in loaded):
        return {name: loaded[name] for name in wanted}
    known = _imported.setdefault(str(folder.resolve()), {})
    missing = [name for name in wanted if name not in known]
    if missing:
        known |= _import(folder, list(names), missing, known)
    return {name: known[name] for name in wanted}


_imported: dict[str, dict[str, ModuleType]] = {}
_importing: list[Path] = []


def importing() -> bool:
    """Return whether a copy is being imported at this moment: what its file does then, it does once more."""
    return bool(_importing)


def _is_same(module: ModuleType, copy: Path) -> bool:
    try:
        return Path(str(module.__file__)).read_bytes() == copy.read_bytes() and not has_changed(module)
    except OSError:
        return False


def _import(folder: Path, names: list[str], wanted: list[str], known: dict[str, ModuleType]) -> dict[str, ModuleType]:
    """Import modules of a copy; returns them with those that they have imported. ``known`` are the copy's so far."""
    _importing.append(folder)
    with _instead_of_loaded(folder, names, known):
        try:
            for name in wanted:
                importlib.import_module(name)
            return {name: sys.modules[name] for name in names if name in sys.modules}
        except ModuleNotFoundError as error:
            missing = f"it imports {error.name!r}, which is neither stored with it nor installed"
            raise WorkError(f"{folder}: {missing} ({user_code.place(error)})") from None
        except BaseException as error:
            user_code.check_fault(error)
            raise WorkError(f"{folder}: cannot be imported: {user_code.describe(error)}") from error
        finally:
            _importing.pop()


@contextmanager
def _instead_of_loaded(folder: Path, names: list[str], known: dict[str, ModuleType]) -> Iterator[None]:
    """Let imports find the copy's modules; what is loaded under their names is put back at the end.

    Where nothing was loaded under these names the copy's modules stay, for imports inside of functions.
    """
    tops = {name.partition(".")[0] for name in names}
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in tops}
    for name in before:
        del sys.modules[name]
    sys.modules.update(known)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    without_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the run directory stays as it is
    try:
        yield
    finally:
        sys.dont_write_bytecode = without_bytecode
        sys.path.remove(str(folder))
        if before:
            for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
                del sys.modules[name]
            sys.modules.update(before)
        elif str(folder) not in sys.path:
            sys.path.append(str(folder))


_files: dict[str, Path] = {}
"""Files as they were named, with the folder that was the present one then: a file may change it when it is imported."""


def split_name(name: str) -> tuple[str, str]:
    """Split ``package.module:callable`` or ``folder/file.py:callable`` into the module and what it should hold.

    The folder of a file is searched for modules from then on, as Python does with that of a script; a file inside a
    package is imported as part of it. UsageError for a file that is not there.
    """
    source, _, qualname = name.rpartition(":")
    if not source.endswith(".py"):
        source, _, qualname = name.partition(":")
        return source, qualname
    path = typed_path(source, "network")
    if not os.path.isfile(path):
        path = _files.get(source, path)
    if not os.path.isfile(path):
        raise UsageError("network", name, f"cannot be imported: there is no file {source}")
    _files[source] = path
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    module = ".".join(parts)
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if module in sys.modules and (loaded is None or Path(loaded).resolve() != path.resolve()):
        raise UsageError(
            "network", name, f"cannot be imported: {module!r} is the name of another module; rename the file"
        )
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return module, qualname


def import_own(name: str, source: str) -> ModuleType:
    """Import the module of ``package.module:callable``; the present folder is searched first. UsageError."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    if not source:
        raise UsageError("network", name, f"names no module; {FORMS}")
    try:
        with user_code.one_line(name, "cannot be imported"):
            return importlib.import_module(source)
    except UsageError as error:
        missing = error.__cause__
        if isinstance(missing, ModuleNotFoundError) and not user_code.place(missing):
            raise UsageError("network", name, f"cannot be imported ({missing}); {FORMS}") from missing
        raise
