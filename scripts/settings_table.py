"""Write the tables of options into docs/training.md, from the definitions of the settings.

python scripts/settings_table.py
"""

from __future__ import annotations

import re
from pathlib import Path

from cnn_explorer.trainer.config.request import of_groups
from cnn_explorer.trainer.config.setting import GROUPS, Setting

PAGE = Path(__file__).resolve().parent.parent / "docs" / "training.md"


def row(defined: Setting) -> str:
    """Return a line of a table: the option, what it means and takes, what it needs, and where it is explained."""
    switch = defined.kind is bool and not defined.is_action
    option = f"`--{defined.name}`" + (f", `--no-{defined.name}`" if switch else "")
    takes = "" if defined.kind is bool else defined.takes
    if defined.rule.choices:
        takes = re.sub(r"[a-z0-9-]+(?=,|$)", lambda word: f"`{word[0]}`", takes.partition(", or ")[0])
        takes += ", or a number per class" if defined.rule.or_numbers else ""
    needs = f"with `{defined.needs.key}` {defined.needs.words}" if defined.needs else ""
    meaning = f"[{defined.help.rstrip('.')}](concepts/{defined.page}.md)" if defined.page else defined.help.rstrip(".")
    return f"| {option} | {meaning} | {'; '.join(part for part in (takes, needs) if part)} |"


def table(group: str) -> str:
    """Return the table of a group."""
    rows = [row(defined) for defined in of_groups([group])]
    return "\n".join(["| option | meaning | takes |", "|---|---|---|", *rows])


def filled(text: str) -> str:
    """Return the page with every table as it follows from the definitions. ValueError where the page lacks one."""
    for group in GROUPS:
        marked = re.compile(rf"(<!-- options: {group} -->\n).*?(<!-- end -->)", flags=re.S)
        text, count = marked.subn(lambda found, group=group: f"{found[1]}{table(group)}\n{found[2]}", text)
        if count != 1:
            raise ValueError(f"docs/training.md must have the mark of the group {group} once, not {count} times")
    return text


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
