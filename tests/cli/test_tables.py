"""Tables for pipes and for terminals: every cell whole where nobody looks, no line too long where somebody does."""

import io
import sys

import pytest
from cnn_explorer.cli import tables
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

CELL = st.text(alphabet="ab 0.×─é漢字한👍", max_size=8).map(str.strip)
TABLE = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=5)
)
NETWORKS = ["figure", *(f"network_{number}" for number in range(9))]
FIGURES = [["parameters", *(f"{number},000,000" for number in range(9))]]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(monkeypatch, columns, rows, width=None, **options) -> list[str]:
    """The lines of a table in a pipe, or on a terminal of this width."""
    monkeypatch.setenv("COLUMNS", str(width or 80))
    monkeypatch.setattr(sys, "stdout", stream := _Terminal() if width else io.StringIO())
    tables.print_table(columns, rows, **options)
    return stream.getvalue().splitlines()


def drawn_by_rich(columns, rows, numbers) -> list[str]:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in numbers else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    stream = io.StringIO()
    Console(file=stream, width=300, color_system=None).print(table)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(rows=[["漢字", "1"], ["a", "22"]])
@given(rows=TABLE)
def test_columns_stand_where_rich_puts_them(rows, monkeypatch):
    columns = [f"column {number}" for number in range(len(rows[0]))]
    expected = drawn_by_rich(columns, rows, columns[1::2])
    assert printed(monkeypatch, columns, rows, numbers=columns[1::2]) == expected
    assert printed(monkeypatch, columns, rows, width=300, numbers=columns[1::2]) == expected
    assert printed(monkeypatch, columns, rows, numbers=columns[1::2], title="a title") == ["a title", *expected]


def test_only_a_terminal_cuts_a_long_cell_and_only_in_the_column_that_shrinks(monkeypatch):
    columns, rows = ["name", "words", "number"], [["resnet18", "漢 " * 30, "11.7 M"]]
    options = {"shrink": "words", "numbers": ["number"]}
    assert "漢 " * 30 in printed(monkeypatch, columns, rows, **options)[-1]
    lines = printed(monkeypatch, columns, rows, width=40, **options)
    assert [cell_len(line) for line in lines[1:]] == [40, 40]
    assert lines[-1].startswith("resnet18  漢 漢") and lines[-1].endswith("…  11.7 M")


def test_a_column_without_room_goes_and_the_others_stay_whole(monkeypatch):
    columns, rows = ["name", "words", "number"], [["resnet18", "a long text", "11.7 M"]]
    options = {"shrink": "words", "optional": ["number"]}
    assert printed(monkeypatch, columns, rows, width=20, **options)[-1] == "resnet18   11.7 M"
    assert printed(monkeypatch, columns, rows, width=16, **options)[-1] == "resnet18  11.7 M"
    assert printed(monkeypatch, columns, rows, width=12, **options) == ["name", "────────", "resnet18"]


@pytest.mark.parametrize("width", [30, 60, 80])
def test_a_table_that_is_too_wide_comes_in_blocks_and_nothing_is_cut(monkeypatch, width):
    lines = printed(monkeypatch, NETWORKS, FIGURES, width=width)
    assert max(map(len, lines)) <= width
    blocks = "\n".join(lines).split("\n\n")
    assert len(blocks) > 1 and all(block.startswith("figure ") for block in blocks)
    cells = [[word for block in blocks for word in block.splitlines()[row].split()[1:]] for row in (0, 2)]
    assert cells == [NETWORKS[1:], FIGURES[0][1:]]


def test_a_column_wider_than_the_terminal_is_printed_all_the_same(monkeypatch):
    assert printed(monkeypatch, ["a"], [["x" * 50]], width=20)[-1] == "x" * 50
    assert printed(monkeypatch, ["a", "b"], [["x" * 15, "y" * 15]], width=20)[-1] == "x" * 15 + "  " + "y" * 15


def test_missing_cells_are_empty_and_a_table_without_rows_keeps_its_head(monkeypatch):
    assert printed(monkeypatch, ["a", "b"], [[None, 1]])[-1] == "    1"
    assert printed(monkeypatch, ["a", "bc"], []) == ["a   bc", "─" * 6]
