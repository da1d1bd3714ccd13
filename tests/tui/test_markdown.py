"""Notes laid out as lines: nothing is lost, nothing is wider than asked, links can be walked."""

from __future__ import annotations

import pytest
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.common.text_safe import width
from cnn_explorer.tui.networks import catalogue_list
from cnn_explorer.tui.networks.markdown import Document, column_widths, layout

SAMPLE = """# Title

Some *soft* and **loud** text with `code` and [a link](other.md) in it,
long enough to be folded.

## Part

1. first
2. second
   - inner

> said
> twice

| name | value |
|---|---:|
| a | 1 |
| [bee](bee.md) | 22 |

```text
x ──▶ a diagram that is wider than any of the lines around it and must not be folded
```

Last\x1b[31m words
"""


def texts(document: Document) -> list[str]:
    return ["".join(span.text for span in line) for line in document.lines]


def test_everything_has_its_place() -> None:
    lines = texts(layout(SAMPLE, 40))
    assert lines[:2] == ["Title", ""]
    assert "▌ Part" in lines
    assert "1. first" in lines and "2. second" in lines and "   • inner" in lines
    assert lines[lines.index("1. first") - 1] == ""
    assert "▏ said twice" in lines
    row = lines.index("a         1")
    assert lines[row - 1] == "─" * 11 and lines[row + 1] == "bee      22"


def test_lines_are_folded_and_diagrams_are_not() -> None:
    document = layout(SAMPLE, 30)
    wide = [text for text in texts(document) if width(text) > 30]
    assert len(wide) == 1 and "diagram" in wide[0]
    assert document.wide == width(wide[0])


def test_links_know_their_lines() -> None:
    document = layout(SAMPLE, 40)
    assert [(link.target, link.text) for link in document.links] == [("other.md", "a link"), ("bee.md", "bee")]
    for number, link in enumerate(document.links):
        assert any(span.link == number for span in document.lines[link.line])


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert not any("\x1b" in text for text in texts(layout(SAMPLE, 40)))


def test_words_longer_than_a_line_are_cut() -> None:
    assert texts(layout("x" * 25, 10)) == ["x" * 10, "x" * 10, "x" * 5]


def test_table_columns_share_what_there_is() -> None:
    assert column_widths([[4, 40], [10, 20]], 30) == [10, 18]
    assert column_widths([[4, 4]], 80) == [4, 4]
    assert set(column_widths([[99] * 9], 20)) == {10}


@pytest.mark.parametrize("name", [family.name for family in registry.families()])
@pytest.mark.parametrize("columns", [38, 76])
def test_every_note_can_be_laid_out(name: str, columns: int) -> None:
    source = catalogue_list.note(registry.family(name))
    document = layout(source, columns)
    assert len(document.headings) >= 4
    without_tables = "\n".join(line for line in source.splitlines() if line[:1] != "|")
    for line in layout(without_tables, columns).lines:
        assert sum(width(span.text) for span in line) <= columns or any(span.kind == "block" for span in line)
