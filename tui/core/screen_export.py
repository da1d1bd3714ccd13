"""What a screen shows, as text and as JSON: for the clipboard and for files. No Textual."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import WorkError
from ...trainer.common.files import replace_file
from ...trainer.common.json_safe import encode_json
from ...trainer.common.text_safe import width

SCHEMA = 2
"""In schema 1 a table was a list of what stood in its cells, as text."""


@dataclass(frozen=True)
class Export:
    """``name`` becomes part of the file's name; ``data`` can be written as JSON, or is a function that makes it then.

    ``more``: further files by their suffix, each with what it is and how it is made. That may take a while, so it is done in
    a thread when it was chosen.
    """

    name: str
    text: str
    data: Any = None
    more: Mapping[str, tuple[str, Callable[[], str]]] = field(default_factory=dict)

    def made(self) -> Any:
        """Return the data, made now where a function makes it."""
        return self.data() if callable(self.data) else self.data

    def json(self) -> str:
        """Return the data, or the text where there is nothing else; NaN and infinities are null."""
        data = self.made()
        whole = {"schema": SCHEMA, "name": self.name, "data": self.text if data is None else data}
        return encode_json(whole, indent=1).decode()


def table_text(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as aligned plain text."""
    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(width(line[place]) if place < len(line) else 0 for line in lines) for place in range(len(columns))]
    return "\n".join(
        "  ".join(cell + " " * (widths[place] - width(cell)) for place, cell in enumerate(line)).rstrip()
        for line in lines
    )


def table(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]], data: Any) -> Export:
    """Return a table as text, and ``data`` that it was made of."""
    return Export(name, table_text(columns, rows), data)


def write(folder: Path, name: str, suffix: str, contents: str) -> Path:
    """Write a file that does not exist yet, `cnn-explorer-NAME.txt`; a number is added where it does. Raises WorkError."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80] or "export"
    names = (f"cnn-explorer-{plain}{ending}.{suffix}" for ending in ("", *(f"-{number}" for number in range(2, 1000))))
    path = next((folder / name for name in names if not os.path.lexists(folder / name)), None)
    if path is None:
        raise WorkError(f"{folder} has 999 files of the name cnn-explorer-{plain}.{suffix}; move some of them away")
    try:
        replace_file(path, contents.encode(), sync=False)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror}") from None
    return path
