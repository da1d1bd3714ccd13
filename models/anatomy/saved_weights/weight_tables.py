"""Where the weights are in what a file of weights holds: tables of tensors by name, and what stands before all names.

Programs wrap them in different ways: a dictionary under ``state_dict``, ``model`` or ``net`` beside the optimiser's
state; ``module.``, ``_orig_mod.`` or ``model.`` before each name. Here these are told apart and taken off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

WRAPPERS = ("module.", "_orig_mod.", "module.")
"""What DistributedDataParallel and torch.compile put before all names, in the order in which they are taken off."""

HOLDERS = frozenset(("model", "backbone", "net", "network", "base_model", "encoder", "trunk"))
"""Attributes in which programs usually hold a whole network."""

INNER_WRAPPERS = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What torch puts before the names of a part that is compiled, sharded or computed again; no layer is called so."""

USUAL_KEYS = ("model", "state_dict", "net", "model_state_dict", "model_state", "network", "weights", "params")
"""The keys under which programs keep a network's weights, the likeliest first."""

KNOWN_KEYS = (*USUAL_KEYS, *sorted(HOLDERS.difference(USUAL_KEYS)))
"""The keys that say which of several sets of weights is the network's, the likeliest first."""

DEEPEST, MOST_TABLES, MOST_VALUES = 5, 64, 100_000
MOST_PARTS = 5


@dataclass(frozen=True)
class Table:
    """Tensors by name. ``path`` are the keys that lead to it, () where the file holds nothing else."""

    path: tuple[str, ...]
    tensors: Mapping[str, Tensor]

    @property
    def key(self) -> str:
        """The path in one word: ``average.network``."""
        return ".".join(self.path)

    @property
    def kind(self) -> str:
        """What the table is: "optimiser", "average" (of the weights over the training) or "weights"."""
        words = self.key.lower()
        if "optim" in words:
            return "optimiser"
        return "average" if any(word in words for word in ("ema", "average", "avg")) else "weights"

    @property
    def values(self) -> int:
        """The number of values in all tensors."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    @property
    def is_set(self) -> bool:
        """Whether it may be all weights of a network, and neither numbers that lie about nor an optimiser's state."""
        weights = (tensor for name, tensor in self.tensors.items() if name.rpartition(".")[2] == "weight")
        return self.kind != "optimiser" and any(tensor.ndim > 1 for tensor in weights)


def tables(state: object) -> list[Table]:
    """Return every table of tensors by name in ``state``, the outermost first. A list in it counts its members as names."""
    found: list[Table] = []
    others = 0
    for table in _tables(state, (), {}):
        found.append(table)
        others += table.kind != "optimiser"  # its state has a table for each parameter
        if others == MOST_TABLES:
            break
    return found


def _tables(state: object, path: tuple[str, ...], seen: dict[int, dict[str, Tensor]]) -> Iterator[Table]:
    """``seen``: the tensors of what was looked into. A table that stands under two keys is found under both."""
    if not isinstance(state, Mapping | list | tuple) or len(path) > DEEPEST:
        return
    if id(state) in seen:
        if seen[id(state)]:
            yield Table(path, seen[id(state)])
        return
    if len(seen) >= MOST_VALUES:
        return
    items = list(state.items() if isinstance(state, Mapping) else enumerate(state))[:MOST_VALUES]
    found = {str(name): value for name, value in items if isinstance(value, Tensor)}
    seen[id(state)] = found
    if found:
        yield Table(path, found)
    for name, value in items:
        yield from _tables(value, (*path, str(name)), seen)


def network_table(found: list[Table]) -> Table | None:
    """Return the table that holds the weights of a network: a known key, else the largest one; None where there is none.

    The state of an optimiser is none. An average of the weights is taken only where there is nothing else.
    """
    for kind in ("weights", "average"):
        of_kind = [table for table in found if table.kind == kind]
        usual = [table for key in USUAL_KEYS for table in of_kind if table.path and table.path[-1] == key]
        known = usual or [
            table for key in KNOWN_KEYS for table in of_kind if table.is_set and table.path[-1:] == (key,)
        ]
        if known:
            return known[0]
        if of_kind:
            return max(of_kind, key=lambda table: table.values)
    return None


def beside(found: list[Table], taken: Table) -> list[str]:
    """Return the keys of the other sets of weights in a file from which ``taken`` is taken."""
    return [table.key for table in found if table.is_set and table.path and table.path != taken.path]


def listed(keys: list[str]) -> str:
    """Return the first keys for the middle of a sentence: ``ema, teacher``."""
    return ", ".join(keys[:MOST_PARTS]) + (f" and {len(keys) - MOST_PARTS} more" if len(keys) > MOST_PARTS else "")


def is_known(table: Table) -> bool:
    """Return whether it says itself that it is the network's: nothing stands around it, or its key is a known one."""
    return not table.path or table.path[-1] in KNOWN_KEYS


def unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the names without what DistributedDataParallel and torch.compile put before all of them."""
    kept = _without_inner(tensors)
    for wrapper in WRAPPERS:
        if kept and all(name.startswith(wrapper) for name in kept):
            kept = {name.removeprefix(wrapper): value for name, value in kept.items()}
    return kept


def usual_prefix(tensors: Mapping[str, Tensor]) -> str:
    """Return what programs put before all names, such as ``backbone.net.``; "" where the names share nothing."""
    prefix = ""
    while tensors:
        firsts = {name.removeprefix(prefix).partition(".")[0] for name in tensors}
        if len(firsts) > 1 or not firsts <= HOLDERS or any(name == prefix + min(firsts) for name in tensors):
            break
        prefix += f"{firsts.pop()}."
    return prefix


def _without_inner(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the names without the wrappers of parts, the tensors as they are where two would have the same name then."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        for wrapper in INNER_WRAPPERS:
            name = name.replace(f".{wrapper}", ".").removeprefix(wrapper)
        found[name] = value
    return found if len(found) == len(tensors) else dict(tensors)


def prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return what may stand before the names of a network: "" and the first one to five parts that many names share.

    A table may hold more than the network: Lightning keeps its loss beside ``model.``.
    """
    found = [""]
    for _ in range(MOST_PARTS):
        rests = (name.removeprefix(found[-1]) for name in tensors if name.startswith(found[-1]))
        firsts = Counter(rest.partition(".")[0] for rest in rests if "." in rest)
        first, times = firsts.most_common(1)[0] if firsts else ("", 0)
        if 2 * times <= len(tensors):
            break
        found.append(f"{found[-1]}{first}.")
    return found


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def fitting(tensors: Mapping[str, Tensor], places: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those of ``tensors`` for which there is a place of the same name and shape."""
    return {name: value for name, value in tensors.items() if name in places and places[name].shape == value.shape}


def best_prefix(tensors: Mapping[str, Tensor], places: Mapping[str, Tensor]) -> str:
    """Return the prefix without which most of ``tensors`` fit ``places``; the shortest of several."""
    return max(prefixes(tensors), key=lambda prefix: len(fitting(below(tensors, prefix), places)))
