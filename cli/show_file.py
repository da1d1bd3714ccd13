"""`cnn-explorer show FILE`: what is in a file of weights, in a run directory, or in the newest weights of a run."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, counted
from ..settings import runs_folder, typed_path
from .output import print_json

if TYPE_CHECKING:
    from ..models.anatomy.saved_weights.weight_file import DescribedFile
    from ..models.anatomy.saved_weights.weight_fit import Fit
    from ..trainer.runs.run import RunSnapshot

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".onnx", ".pkl", ".h5", ".npz", ".tar")
COLUMNS = ("tensor", "shape", "type", "values", "bytes")
WIDTH = 14
MOST_TOLD = 4


def means_weights(name: str) -> bool:
    """Return whether ``name`` is that of a file or a run, and not of a network: names of networks come first."""
    from ..models.catalogue import registry

    if Path(name).suffix.lower() in SUFFIXES:
        return True
    if ":" in name or name.endswith(".py"):
        return False
    try:
        registry.find(name)
        return False
    except UsageError:
        return "/" in name or os.path.exists(name) or _run_of(name) is not None


def show_weights(name: str, *, layers: bool, depth: int, as_json: bool) -> None:
    """Print what is in the file or run called ``name``: all of it, or the tree of names alone. UsageError where nothing
    can be read.
    """
    from ..models.anatomy.saved_weights import weight_file

    run, path = located(name)
    described = weight_file.describe(path) if path is not None else None
    if as_json:
        answer: dict[str, Any] = {"schema": 1} if described is None else weight_file.as_dict(described)
        print_json(answer | ({"run": run.id, "checkpoints": _checkpoints(run)} if run else {}))
        return
    if run is not None:
        print_run(run, path)
    if described is None:
        return
    if not layers:
        print_summary(described)
    print_tree(described, depth)
    if not layers:
        print_fits(described)


def located(name: str) -> tuple[RunSnapshot | None, Path | None]:
    """Return the run that is named, if any, and the file to look into: of a run its best weights, else the last ones."""
    typed_path(name, "file")
    path = Path(name).expanduser()  # told as it was written
    if not os.path.isdir(path) and (os.path.exists(path) or "/" in name or path.suffix.lower() in SUFFIXES):
        return None, path
    from ..trainer.runs.reader import read_run

    run = path if os.path.isdir(path) else _run_of(name)
    if run is None or not os.path.isfile(run / "run.json"):
        raise UsageError("file", name, "is a folder without a run; name a file of weights or the directory of a run")
    candidates = (run / "checkpoints" / "best.pt", run / "checkpoints" / "last.pt")
    return read_run(run.absolute()), next((file for file in candidates if os.path.isfile(file)), None)


def _run_of(name: str) -> Path | None:
    from ..trainer.runs import ids

    try:
        return ids.resolve(runs_folder(), name)
    except UsageError:
        return None


def _checkpoints(run: RunSnapshot) -> list[dict[str, object]]:
    files = sorted((run.path / "checkpoints").glob("*.pt"))
    return [{"file": file.name, "size": file.stat().st_size} for file in files]


def print_run(run: RunSnapshot, path: Path | None) -> None:
    """Print what a run directory holds and which of its files is looked into."""
    from ..models.catalogue.notes import memory_text

    _line("run", f"{run.id}: {run.network or 'a network'} on {run.dataset or 'no data set'}, {run.state}")
    files = ", ".join(f"{row['file']} {memory_text(float(str(row['size'])))}" for row in _checkpoints(run))
    _line("checkpoints", files or "none yet")
    word = run.id if run.path.parent == runs_folder() else shlex.quote(str(run.path))
    _line("", f"its curves: cnn-explorer runs show {word}")
    print(f"\n{path}" if path else "")


def print_summary(file: DescribedFile) -> None:
    """Print totals, types, what stands beside the weights, and what is not finite."""
    from ..models.catalogue.notes import memory_text

    where = f" under {file.key!r}" if file.key else ""
    _line("file", f"{file.path.name}, {memory_text(file.size)}, {_format(file.format)}")
    alike = sum((beside.tensors, beside.values) == (len(file.weights), file.values) for beside in file.beside)
    where += f", the first of {alike + 1} such tables" if alike else ""
    _line("weights", f"{counted(len(file.weights), 'tensor')}{where}, {file.values:,} values")
    _line("types", ", ".join(f"{dtype} {memory_text(size)}" for dtype, size in file.bytes_by_type.items()))
    if file.prefix:
        _line("prefix", f"{file.prefix} stands before the names")
    if file.network:
        classes = file.network.get("num_classes")
        _line("says", f"of {file.network.get('name')}" + (f", {classes} classes" if classes else ""))
    if file.facts:
        _line("beside", ", ".join(f"{key} {_text(value)}" for key, value in file.facts.items()))
    for beside in file.beside:
        kind = {"optimiser": "state of an optimiser", "average": "average of the weights"}.get(beside.kind, "tensors")
        _line("", f"{beside.key or 'outermost'}: {kind}, {counted(beside.tensors, 'tensor')}, {beside.values:,} values")
    _line("not finite", _not_finite(file))
    print()


def _line(title: str, text: str) -> None:
    from ..trainer.common.text_safe import clean

    print(f"{title:<{WIDTH}}{clean(text)}".rstrip())


def _format(name: str) -> str:
    return {"torch": "as torch.save writes it", "torch before 1.6": "as torch before 1.6 wrote it"}.get(name, name)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return f"{len(value)} ({', '.join(map(str, value[:MOST_TOLD]))}{' …' if len(value) > MOST_TOLD else ''})"
    return str(value)


def _not_finite(file: DescribedFile) -> str:
    if not file.looked_at:
        return "not counted in a file of this size"
    found = file.not_finite
    if not found:
        return "none: no NaN, no infinity"
    nan, infinite = sum(weight.nan for weight in found), sum(weight.infinite for weight in found)
    names = ", ".join(weight.name for weight in found[:MOST_TOLD]) + (" …" if len(found) > MOST_TOLD else "")
    return f"{nan:,} NaN, {infinite:,} infinite, in {counted(len(found), 'tensor')}: {names}"


def print_tree(file: DescribedFile, depth: int) -> None:
    """Print the names as a tree, ``depth`` levels deep, equal neighbours folded."""
    from ..models.anatomy.saved_weights import weight_file
    from ..models.catalogue.notes import memory_text, shape_text
    from ..trainer.common.text_safe import clean
    from .tables import print_table

    rows = []
    for level, row in weight_file.cut(weight_file.tree(file), depth).walk():
        label = "  " * level + (clean(row.name) or "all") + (f" ×{row.times}" if row.times > 1 else "")
        shape = "" if row.shape is None else shape_text(row.shape) or "1"
        rows.append((label, shape, row.dtype, f"{row.values:,}", memory_text(row.bytes)))
    print_table(COLUMNS, rows, numbers=COLUMNS[3:], shrink="tensor")
    print()


def print_fits(file: DescribedFile) -> None:
    """Print whose network of the catalogue fits, ranked, and the commands that use the file."""
    found = [fit for fit in file.fits if fit.is_found]
    if not found:
        _line("fits", f"no network of the catalogue{_nearest(file.fits)}")
        if file.torchvision:
            _line("", f"torchvision's {file.torchvision} wholly, by name")
            _line("use", f"cnn-explorer train torchvision:{file.torchvision} --init-from {_quoted(file)}")
        return
    for number, fit in enumerate(found):
        _line("fits" if number == 0 else "", described(fit))
    if len([fit for fit in found if fit.how == found[0].how]) > 1:
        _line("", "weights alone do not tell these apart")
    best = found[0]
    stem = f" --stem {best.stem}" if best.stem else ""
    _line("use", f"cnn-explorer train {best.network}{stem} --init-from {_quoted(file)}")
    if best.by.startswith(("torchvision:", "timm:")):
        _line("", f"cnn-explorer train {best.by} --init-from {_quoted(file)}")
    _line("", f"cnn-explorer show {best.network}" + stem)


def _quoted(file: DescribedFile) -> str:
    return shlex.quote(str(file.path))


def _nearest(fits: tuple[Fit, ...]) -> str:
    if not fits:
        return " is near it in size"
    near = fits[0]
    if near.how == "shapes":
        return f"; {near.network} has the same shapes in another order"
    if near.fitted:
        return f"; nearest {near.network}, with {near.fitted} of its {near.places} tensors"
    return f"; nearest in size {near.network}"


def described(fit: Fit) -> str:
    """Say how weights fit a network: ``resnet18 with the small stem: all but the head (7 classes), by name``."""
    stem = f" with the {fit.stem} stem" if fit.stem else ""
    how = {
        "wholly": "wholly",
        "head": f"all but the head ({f'{fit.classes} classes' if fit.classes else 'none in the file'})",
        "aux": "all but the auxiliary heads",
        "size": f"all but what depends on the size of the image ({', '.join(fit.missing[:MOST_TOLD])})",
    }[fit.how]
    by = {"name": "by name", "order": "by order and shape; the names are another program's"}
    words = by.get(fit.by, f"under the names of {fit.by}")
    left = (
        f"; {counted(fit.left, 'tensor')} of the file find{'s' if fit.left == 1 else ''} no place" if fit.left else ""
    )
    return f"{fit.network}{stem}: {how}, {words}{left}"
