"""torchinfo's own summary as the helper process answers it: the lines of its table, and how its totals compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TITLES = {
    "kernel_size": "Kernel Shape",
    "input_size": "Input Shape",
    "output_size": "Output Shape",
    "num_params": "Param #",
    "params_percent": "Param %",
    "mult_adds": "Mult-Adds",
    "trainable": "Trainable",
}
"""torchinfo's columns by the names that it gives them in a call, with their titles, in its order."""
FIRST_COLUMNS = ("output_size", "num_params")
FIRST_DEPTH = 3


@dataclass(frozen=True)
class TorchinfoText:
    """``lines`` of the table, ``deepest`` level that it has, ``explanation``: sentences."""

    lines: tuple[str, ...]
    deepest: int
    explanation: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it, for a file."""
        return "\n".join((*self.lines, *self.explanation))


def parse_torchinfo(value: dict[str, Any]) -> TorchinfoText:
    """Return the answer to "torchinfo"."""
    return TorchinfoText(tuple(value["text"].splitlines()), int(value["deepest"]), tuple(value["explanation"]))
