"""Write the table of all keys into docs/app.md, from the table that binds them.

python scripts/keys_table.py
"""

from __future__ import annotations

import re
from pathlib import Path

from cnn_explorer.tui.core import workspaces

PAGE = Path(__file__).resolve().parent.parent / "docs" / "app.md"


def filled(text: str) -> str:
    """Return the page with the table as it follows from the keys. ValueError where the page has no place for it."""
    marked = re.compile(r"(<!-- keys -->\n).*?(<!-- end -->)", flags=re.S)
    text, count = marked.subn(lambda found: f"{found[1]}{workspaces.table()}\n{found[2]}", text)
    if count != 1:
        raise ValueError(f"docs/app.md must have the mark of the keys once, not {count} times")
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
