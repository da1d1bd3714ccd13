"""What is known of the tensors of one run: on what each depends, and the numbers of its index tables."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .known_values import KnownValues
from .spans import Span
from .terms import Seen


class ConstantInputError(Exception):
    """The input that a rule asks for does not depend on the image, although another one does."""


class Tracked:
    """What the rules read and write while a network runs."""

    def __init__(self, network: nn.Module) -> None:
        # Tensors are kept alive while they are known, so that an id never names two of them.
        self._known: dict[int, tuple[Tensor, Seen]] = {}
        self.values = KnownValues(network)
        self.kept: dict[tuple, tuple[Tensor, Span]] = {}
        """Spans behind a table of indices, which is kept alive with them."""

    def seen(self, tensor: Any) -> Seen | None:
        """Return what a tensor depends on; None where it does not depend on the image."""
        known = self._known.get(id(tensor))
        return known[1] if known else None

    def entering(self, tensor: Any) -> Seen:
        """Return what a tensor depends on through which the image should enter. ConstantInputError where it does not."""
        seen = self.seen(tensor)
        if seen is None:
            raise ConstantInputError
        return seen

    def keep(self, tensor: Tensor, seen: Seen) -> None:
        """Write down what a tensor depends on."""
        self._known[id(tensor)] = (tensor, seen)
