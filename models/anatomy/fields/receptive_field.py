"""How far each value of a network sees into the image, followed from operation to operation.

Two figures are told and never mixed. The *field* is the side, in pixels, of the part of the image that a value depends
on along paths without a global operation; what such an operation made, a gate say, counts as a constant. It is the
largest over all places inside a large image, so a field may be larger than the image at hand. *Global* says that some
path reaches every place.

For each tensor it is known which place of the image each value belongs to (spans.py) and which pixels a place sees
(lines.py). What an operation makes of that stands in the files of rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from . import (  # noqa: F401  importing the rules registers them
    lines,
    rules_by_value,
    rules_moving,
    rules_over_axes,
    rules_picking,
    rules_windows,
    rules_writing,
    spans,
)
from .rules import NO_IMAGE, Call
from .terms import Seen, Term
from .tracked import ConstantInputError, Tracked


@dataclass(frozen=True)
class ReceptiveField:
    """What is known of a tensor's past.

    ``height`` and ``width``: the field in image pixels. ``is_global``: some path reaches every place. ``depth``: layers
    with weights on the longest path from the image; a gate's own layers do not count beside the path that it weighs.
    ``unknown``: why no field can be told, "" where one can. ``global_along``: "height", "width" or "height and width"
    where paths reach the whole of one axis each and not every place: a row of pixels, say; otherwise "".
    """

    height: int
    width: int
    is_global: bool = False
    depth: int = 0
    unknown: str = ""
    global_along: str = ""

    @property
    def size(self) -> int | None:
        """The longer side of the field, None where it is unknown."""
        return None if self.unknown else max(self.height, self.width)


INSIDE_VMAP = "inside torch.vmap a layer's input hides which image it came from"
IMAGE_AXES = 4
"""Axes of a batch of images, at least: images, channels, rows, columns; a clip has its frames besides."""


def _itself(image: Tensor) -> Seen:
    """Return what an image depends on: each value on its own place."""
    height, width = image.shape[-2:]
    rows = spans.grid(image.ndim, image.ndim - 2, height)
    columns = spans.grid(image.ndim, image.ndim - 1, width)
    row_line = lines.image_line(height)
    term = Term(rows, row_line, columns, row_line if height == width else lines.image_line(width))
    return Seen((term,), False, 0)


class ReceptiveFields(Tracked):
    """Knows what each tensor of one run has seen of the image."""

    def begin(self, inputs: Sequence[Any]) -> None:
        """Start with the inputs: each value of an image has seen itself, and of what is no image no field is told.

        A list holds single images without a batch, as a detector takes them.
        """
        spans.forget()
        for one in inputs:
            for image in [one] if isinstance(one, Tensor) else one:
                is_image = image.ndim >= (IMAGE_AXES if image is one else IMAGE_AXES - 1)
                self.keep(image, _itself(image) if is_image else Seen((), False, 0, unknown=NO_IMAGE))

    def of(self, tensor: Tensor) -> ReceptiveField | None:
        """Return the receptive field of a tensor; None for weights and what is made of them alone."""
        seen = self.seen(tensor)
        if seen is None:
            hidden = is_functorch_wrapped_tensor(tensor)
            return ReceptiveField(0, 0, unknown=INSIDE_VMAP) if hidden else None
        if seen.told is None:
            seen.told = ReceptiveField(*seen.field, seen.is_global, seen.depth, seen.unknown, seen.global_along)
        return seen.told

    def note(self, packet: Any, args: tuple, kwargs: dict, inputs: list[Tensor], outputs: list[Tensor]) -> None:
        """Follow one operation from the tensors that it read to those that it made."""
        if not any(id(tensor) in self._known for tensor in inputs):
            self.values.note(packet, args, kwargs, outputs)
            return
        call = Call(packet, args, kwargs, inputs, outputs)
        try:
            made = rules_by_value.rule_for(packet)(self, call)
        except ConstantInputError:
            made = rules_by_value.without_rule(self, call)
        for tensor, seen in zip(outputs, [made] * len(outputs) if isinstance(made, Seen) else made, strict=False):
            if seen is not None:
                self.keep(tensor, seen)
        if outputs[0] is args[0] and outputs[0]._base is not None:
            rules_writing.write_through(self, outputs[0])

    def note_call(self, name: str, args: tuple, outputs: list[Tensor]) -> None:
        """Follow one call of PyTorch as a whole, where its basic operations tell less than it does."""
        if name in rules_over_axes.RECURRENT:
            rules_over_axes.recurrent(self, args, outputs)
