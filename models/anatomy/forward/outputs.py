"""What a network returns: the tensors in it, whatever they are packed in, and a line that names them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ....errors import with_article

DEEPEST = 8
"""Levels of containers that are opened: one may hold itself."""
MOST_NAMED = 6
"""Tensors that a line names."""


def named_tensors(value: Any, name: str = "", level: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in a tuple, list, dictionary or dataclass, at any depth, each with its name in there."""
    if isinstance(value, Tensor):
        yield name, value
        return
    if level == DEEPEST:
        return
    for key, item in _items(value):
        yield from named_tensors(item, f"{name}.{key}" if name else str(key), level + 1)


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif hasattr(value, "_asdict"):  # a named tuple
        yield from value._asdict().items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield field.name, getattr(value, field.name, None)


def tensors_of(value: Any) -> list[Tensor]:
    """Return the tensors in what a module returns, in order."""
    return [tensor for _, tensor in named_tensors(value)]


def describe_outputs(value: Any) -> str:
    """Return a line that names what is in a container, "" for a tensor: "a dict: logits 10, features 64×8×8"."""
    if isinstance(value, Tensor):
        return ""
    found = list(named_tensors(value))
    parts = [f"{'' if name.isdigit() else name} {_shape(tensor)}".strip() for name, tensor in found[:MOST_NAMED]]
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"{with_article(type(value).__name__)}: {', '.join(parts)}{more}"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape[1:])) or "one value"
