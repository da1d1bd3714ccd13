"""What a screen shows, as text and as JSON: for the clipboard and for files. No Textual."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import WorkError
from ...trainer.common.files import replace_file
from ...trainer.common.text_safe import width

SCHEMA = 1


@dataclass(frozen=True)
class Export:
    """``name`` becomes part of the file's name; ``data`` can be written as JSON.

    ``more``: further files by their suffix, each with what it is and how it is made. That may take a while, so it is done in
    a thread when it was chosen.
    """

    name: str
    text: str
    data: Any = None
    more: Mapping[str, tuple[str, Callable[[], str]]] = field(default_factory=dict)

    def json(self) -> str:
        """Return the data, or the text where there is nothing else."""
        return json.dumps(
            {"schema": SCHEMA, "name": self.name, "data": self.text if self.data is None else self.data}, indent=1
        )


def table_text(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as aligned plain text."""
    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(width(line[place]) if place < len(line) else 0 for line in lines) for place in range(len(columns))]
    return "\n".join(
        "  ".join(cell + " " * (widths[place] - width(cell)) for place, cell in enumerate(line)).rstrip()
        for line in lines
    )


def table(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Export:
    """Return a table as text, and as a list of objects."""
    data = [{column: cell.strip() for column, cell in zip(columns, row, strict=False) if column} for row in rows]
    return Export(name, table_text(columns, rows), data)


def write(folder: Path, name: str, suffix: str, contents: str) -> Path:
    """Write a file that does not exist yet, `cnn-explorer-NAME.txt`; a number is added where it does. Raises WorkError."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80] or "export"
    for number in range(1, 1000):
        ending = "" if number == 1 else f"-{number}"
        path = folder / f"cnn-explorer-{plain}{ending}.{suffix}"
        if not os.path.exists(path):
            break
    try:
        replace_file(path, contents.encode(), sync=False)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror}") from None
    return path
