"""What is in a file of weights: names, shapes, types, totals, what is not finite, and whose network they fit.

No code in the file is run and no tensor is copied: values are looked at where the file lies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ....errors import UsageError, with_article
from . import weight_fit, weight_pairs, weight_reader, weight_tables
from .weight_fit import Fit
from .weight_reader import Contents
from .weight_tables import Table

CHUNK = 1 << 24
"""So many values are looked at together."""
MOST_LOOKED_AT = 16 << 30
"""Bytes: NaN and infinities are not counted in larger files, which would take minutes."""
MOST_FACTS = 20
LONGEST_FACT = 80
FACTS = "cnn_explorer"
"""The key in the metadata of safetensors under which this program says what the weights are."""


@dataclass(frozen=True)
class Weight:
    """One tensor: its name, shape and type, its values and bytes, and how many values are NaN or infinite."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    values: int
    bytes: int
    nan: int
    infinite: int


@dataclass(frozen=True)
class Beside:
    """A table of tensors beside the weights: under which key, of what kind, how many tensors and values."""

    key: str
    kind: str
    tensors: int
    values: int


@dataclass(frozen=True)
class DescribedFile:
    """A file of weights, described. ``key``: where the weights are in it; ``prefix``: what stands before all names.

    ``facts``: single values beside them, such as the epoch. ``network``: which network a file of this program says it
    is of. ``looked_at`` is False where the file was too large to count what is not finite. ``torchvision`` is the
    network of torchvision with these names, where no network of the catalogue fits.
    """

    path: Path
    format: str
    size: int
    key: str
    prefix: str
    weights: tuple[Weight, ...]
    beside: tuple[Beside, ...]
    facts: Mapping[str, object]
    network: Mapping[str, object]
    looked_at: bool
    fits: tuple[Fit, ...]
    torchvision: str = ""

    @property
    def values(self) -> int:
        """The number of values in all tensors."""
        return sum(weight.values for weight in self.weights)

    @property
    def bytes_by_type(self) -> dict[str, int]:
        """The bytes of each type, the largest first."""
        sums: dict[str, int] = {}
        for weight in self.weights:
            sums[weight.dtype] = sums.get(weight.dtype, 0) + weight.bytes
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    @property
    def not_finite(self) -> list[Weight]:
        """The tensors with NaN or infinities."""
        return [weight for weight in self.weights if weight.nan or weight.infinite]


def describe(path: Path) -> DescribedFile:
    """Return what is in a file of weights. UsageError in one line where it is none."""
    contents = weight_reader.read(path)
    found = weight_tables.tables(contents.state)
    table = network_of(contents, found)
    facts = {name: value for name, value in _facts(contents).items() if name not in table.tensors}
    looked_at = contents.size <= MOST_LOOKED_AT
    tensors = weight_tables.unwrapped(table.tensors)
    fits = weight_fit.fits(tensors)
    is_found = bool(fits) and fits[0].is_found
    found_by_name = is_found and fits[0].by == "name"
    inside = fits[0].prefix if found_by_name else weight_tables.usual_prefix(tensors)
    prefix = _before_all(table.tensors, tensors, inside)
    torchvision = "" if is_found else weight_pairs.torchvision_with(weight_fit.weights_of(tensors))
    network = facts.pop("network", None)
    return DescribedFile(
        path,
        contents.format,
        contents.size,
        table.key,
        prefix,
        tuple(_weight(name, tensor, looked_at) for name, tensor in table.tensors.items()),
        tuple(Beside(t.key, t.kind, len(t.tensors), t.values) for t in _merged(found) if t.key != table.key),
        facts,
        network if isinstance(network, dict) else {},
        looked_at,
        tuple(fits),
        torchvision,
    )


def network_of(contents: Contents, found: list[Table]) -> Table:
    """Return which of the tables ``found`` in a file holds the weights of a network.

    UsageError where none does, and where several may and none of their keys says which.
    """
    table = weight_tables.network_table(found)
    if table is None:
        raise UsageError("file", str(contents.path), without_names(contents.state, found))
    others = [] if weight_tables.is_known(table) else weight_tables.beside(found, table)
    if others:
        keys = weight_tables.listed([table.key, *others])
        hint = (
            f"holds several sets of weights ({keys}), and none of the keys says which is meant; save one of them alone"
        )
        raise UsageError("file", str(contents.path), hint)
    return table


def without_names(state: object, found: list[Table]) -> str:
    """Return why what a file holds is no table of weights by name, as the end of a message."""
    if isinstance(state, Tensor):
        return f"holds one tensor of shape {tuple(state.shape)} without a name"
    if found:
        return "holds the state of an optimiser alone, not weights by name"
    if isinstance(state, dict | list | tuple) and not state:
        return "is empty: it holds no weights"
    what = type(state).__name__
    keys = ", ".join(map(str, list(state)[:5])) if isinstance(state, dict) else ""
    return f"holds {with_article(what)}{f' with {keys}' if keys else ''}, not weights by name"


def _before_all(names: Mapping[str, Tensor], unwrapped: Mapping[str, Tensor], prefix: str) -> str:
    """Return what stands before the names in a file: wrappers, and the ``prefix`` that is left where they are gone."""
    for name, short in zip(names, unwrapped, strict=True):
        rest = short.removeprefix(prefix)
        if short.startswith(prefix) and name.endswith(rest):
            return name.removesuffix(rest)
    return ""


def _merged(found: list[Table]) -> list[Table]:
    """The tables, those of an optimiser as one: it has one for each weight."""
    others = [table for table in found if table.kind != "optimiser"]
    states: dict[str, dict[str, Tensor]] = {}
    for table in found:
        if table.kind == "optimiser":
            key = table.path[0] if table.path else ""
            inside = states.setdefault(key, {})
            inside |= {f"{table.key}.{name}": value for name, value in table.tensors.items()}
    return others + [Table((key,), tensors) for key, tensors in states.items()]


def _facts(contents: Contents) -> dict[str, object]:
    """Single values beside the weights; of a file of this program what its metadata says."""
    if FACTS in contents.metadata:
        try:
            known = json.loads(contents.metadata[FACTS])
        except (ValueError, RecursionError):
            known = {}
        return known if isinstance(known, dict) else {}
    state = contents.state if isinstance(contents.state, dict) else {}
    source: Mapping[Any, object] = contents.metadata or state
    found = {str(key): _short(value) for key, value in source.items() if _is_fact(value)}
    if isinstance(state.get("network"), dict) and "name" in state["network"]:
        found["network"] = state["network"]
    if isinstance(state.get("classes"), list | tuple):
        found["classes"] = [str(name)[:LONGEST_FACT] for name in state["classes"]]
    return dict(list(found.items())[:MOST_FACTS])


def _is_fact(value: object) -> bool:
    return isinstance(value, str | int | float) or (isinstance(value, Tensor) and value.ndim == 0)


def _short(value: object) -> object:
    if isinstance(value, Tensor):
        return "a number without values" if value.is_meta else value.item()
    return value[:LONGEST_FACT] if isinstance(value, str) else value


def _weight(name: str, tensor: Tensor, looked_at: bool) -> Weight:
    nan = infinite = 0
    size = tensor.numel() * tensor.element_size()
    if tensor.layout == torch.strided and not tensor.is_meta:
        stored = tensor.untyped_storage().nbytes()
        if looked_at and size <= stored and (tensor.is_floating_point() or tensor.is_complex()):
            nan, infinite = _not_finite(tensor)
        size = min(size, stored)
    return Weight(
        name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), tensor.numel(), size, nan, infinite
    )


def _not_finite(tensor: Tensor) -> tuple[int, int]:
    nan = infinite = 0
    for part in tensor.detach().reshape(-1).split(CHUNK):
        part = part.float() if part.element_size() == 1 else part
        if not bool(torch.isfinite(part).all()):
            nan += int(torch.isnan(part).sum())
            infinite += int(torch.isinf(part).sum())
    return nan, infinite


@dataclass(frozen=True)
class WeightRow:
    """A row of the tree of names: a module with all below it, or a tensor with its shape. ``times``: equal neighbours."""

    name: str
    shape: tuple[int, ...] | None
    dtype: str
    values: int
    bytes: int
    nan: int
    infinite: int
    times: int
    children: tuple[WeightRow, ...]

    def walk(self, level: int = 0) -> Iterator[tuple[int, WeightRow]]:
        """Yield this row and all below it with their levels."""
        yield level, self
        for child in self.children:
            yield from child.walk(level + 1)


def tree(file: DescribedFile) -> WeightRow:
    """Return the names as a tree by their dots, equal neighbours folded into one row, as in the layer table."""
    return _fold(_node("", [(weight.name.split("."), weight) for weight in file.weights]))


def _node(name: str, inside: list[tuple[list[str], Weight]]) -> WeightRow:
    groups: dict[str, list[tuple[list[str], Weight]]] = {}
    for parts, weight in inside:
        groups.setdefault(parts[0], []).append((parts[1:], weight))
    children = []
    for part, members in groups.items():
        deeper = [(parts, weight) for parts, weight in members if parts]
        children += [_leaf(part, weight) for parts, weight in members if not parts]
        if deeper:
            children.append(_node(part, deeper))
    return _sum(name, tuple(children))


def _leaf(name: str, weight: Weight) -> WeightRow:
    return WeightRow(name, weight.shape, weight.dtype, weight.values, weight.bytes, weight.nan, weight.infinite, 1, ())


def _sum(name: str, children: tuple[WeightRow, ...]) -> WeightRow:
    types = {child.dtype for child in children}
    values, size = sum(child.values for child in children), sum(child.bytes for child in children)
    nan, infinite = sum(child.nan for child in children), sum(child.infinite for child in children)
    return WeightRow(name, None, types.pop() if len(types) == 1 else "mixed", values, size, nan, infinite, 1, children)


def _fold(row: WeightRow) -> WeightRow:
    children: list[WeightRow] = []
    for child in map(_fold, row.children):
        before = children[-1] if children else None
        if before is not None and child.children and replace(before, name="", times=1) == replace(child, name=""):
            children[-1] = replace(before, times=before.times + 1)
        else:
            children.append(child)
    return replace(row, children=tuple(children))


def cut(row: WeightRow, depth: int) -> WeightRow:
    """Return the tree down to ``depth`` levels below this row."""
    return replace(row, children=tuple(cut(child, depth - 1) for child in row.children) if depth > 0 else ())


def as_dict(file: DescribedFile) -> dict[str, Any]:
    """Return the description as JSON has it (docs/json.md)."""
    return {
        "schema": 1,
        "file": str(file.path),
        "format": file.format,
        "size": file.size,
        "key": file.key,
        "prefix": file.prefix,
        "tensors": len(file.weights),
        "values": file.values,
        "bytes_by_type": file.bytes_by_type,
        "nan": sum(weight.nan for weight in file.weights) if file.looked_at else None,
        "infinite": sum(weight.infinite for weight in file.weights) if file.looked_at else None,
        "beside": [asdict(beside) for beside in file.beside],
        "facts": {key: _finite(value) for key, value in file.facts.items()},
        "network": dict(file.network) or None,
        "fits": [asdict(fit) for fit in file.fits],
        "torchvision": file.torchvision or None,
        "weights": [asdict(weight) for weight in file.weights],
    }


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
