"""What is known of the axes of each tensor of one run, carried on from call to call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from . import rules_computing, rules_moving
from .factors import Axes, labels, one_factor, unknown
from .rules import Rule, by_shape

IMAGE = {1: "b", 2: "b?", 3: "bcw", 4: "bchw", 5: "bcthw"}
"""By how many axes an input has with the batch in front: a vector, a signal, an image, a clip."""
RULES: dict[str, Rule] = {**rules_moving.RULES, **rules_computing.RULES}


class Layouts:
    """Knows what the axes of each tensor of one run mean."""

    def __init__(self) -> None:
        self._known: dict[int, Axes] = {}
        self._alive: list[Any] = []  # so that an id never names two tensors
        self._images = 1

    def begin(self, inputs: Sequence[Any]) -> None:
        """Start with the inputs, channels first; of whole numbers (an index, a token) only the batch axis is known.

        A list holds single images without a batch, as a detector takes them.
        """
        for one in inputs:
            for image in [one] if isinstance(one, Tensor) else one:
                self._begin(image, has_batch=isinstance(one, Tensor))

    def _begin(self, image: Tensor, *, has_batch: bool) -> None:
        self._images = len(image) if has_batch and image.ndim else self._images
        names = IMAGE.get(image.ndim + (not has_batch), "")[not has_batch :]
        if names:
            whole = not (image.is_floating_point() or image.is_complex())
            names = "b" * has_batch + "?" * (image.ndim - has_batch) if whole else names
            axes = tuple(one_factor(name, size) for name, size in zip(names, image.shape, strict=True))
            self._set(image, axes)

    def of(self, tensor: Tensor) -> Axes | None:
        """Return the axes of a tensor; None for weights and what is made of them alone."""
        return self._known.get(id(tensor))

    def same(self, tensor: Tensor, other: Tensor) -> None:
        """Take for ``other`` what is known of ``tensor``, whose values it has."""
        axes = self._known.get(id(tensor))
        if axes is not None:
            self._set(other, axes)

    def _set(self, tensor: Tensor, axes: Axes) -> None:
        self._known[id(tensor)] = axes
        self._alive.append(tensor)

    def note(self, name: str, args: tuple, kwargs: dict, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Follow one call from the tensors that it read to those that it made."""
        known = self._known
        first = next((tensor for tensor in inputs if id(tensor) in known), None)
        if first is None:
            return
        rule = RULES.get(name)
        for number, output in enumerate(outputs):
            shape = output.shape
            if rule is not None:
                try:
                    axes = rule(known, args, kwargs, shape, number)
                except (KeyError, IndexError, TypeError, ValueError):
                    axes = None
                if axes is None or len(axes) != len(shape):
                    axes = tuple(map(unknown, shape))
                axes = self._batched_again(axes) if name == "stack" else axes
            elif len(inputs) == 1 and first.shape == shape:
                axes = known[id(first)]
            else:
                axes = by_shape(known, inputs, shape)
            self._set(output, axes)

    def _batched_again(self, axes: Axes) -> Axes:
        """Return the axes of a stack: where each image was taken out of the batch, their stack is the batch again."""
        if self._images == 1 or any("b" in labels(axis) for axis in axes):
            return axes
        return tuple(one_factor("b", self._images) if axis == unknown(self._images) else axis for axis in axes)
