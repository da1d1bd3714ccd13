"""The layer table of the Python interface: as text, HTML, rows and DataFrame."""

from __future__ import annotations

import re
import sys
from typing import Any

import cnn_explorer as cx
import pytest
import torch
from torch import nn


@pytest.fixture(scope="module")
def found():
    return cx.anatomy("resnet20", (3, 32, 32))


def test_totals_and_rows(found) -> None:
    rows = found.rows
    assert (rows[0].level, rows[0].name, rows[0].parameters) == (0, "", found.parameters)
    assert found.output == rows[0].output == (10,) and rows[0].input == (3, 32, 32)
    modules = [row for row in rows if row.kind == "module" and row.name]
    leaves = [row for row in modules if not any(other.name.startswith(row.name + ".") for other in modules)]
    assert sum(row.parameters for row in leaves) == found.parameters > 250_000
    assert len(list(found)) == len(found) == len(rows)


def test_html_shows_the_cells_of_the_text_and_no_markup_of_a_name() -> None:
    kind = type("<script>alert(1)</script>", (nn.Conv2d,), {})
    made = cx.anatomy(nn.Sequential(kind(3, 4, 3)), (3, 8, 8))
    html = made._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html
    for word in ("4×6×6", "3.89 k", "112"):
        assert word in html and word in str(made)
    assert html.count("<tr>") == 3 and html.count("<td") == 2 * 7


def test_text_folds_equal_neighbours_and_lines_up(found) -> None:
    lines = str(found).splitlines()
    assert lines[0].startswith(f"resnet20 for 3×32×32: {found.parameters:,} parameters, {found.macs:,} MACs")
    assert any(re.search(r"×3\b", line) for line in lines)
    place = lines[2].index("what it is")
    assert all(line[place - 1] == " " and line[place] != " " for line in lines[3:])
    assert len(found.text(depth=1).splitlines()) < len(lines)


def test_to_pandas(found) -> None:
    pandas = pytest.importorskip("pandas")
    frame = found.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == len(found)
    assert frame.loc[0, "macs"] == found.macs and set(frame["kind"]) == {"module", "operation"}


def test_without_pandas_one_line_says_so(found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(cx.WorkError, match="pip install pandas"):
        found.to_pandas()


def test_names_callables_and_clips() -> None:
    assert cx.anatomy("torchvision:squeezenet1_1").parameters == 1_235_496
    assert cx.anatomy("resnet18", stem="small").input == (3, 32, 32)
    assert cx.anatomy(nn.Flatten, (3, 4, 4)).output == (48,)
    with torch.inference_mode():
        assert cx.anatomy(nn.Conv2d(3, 4, 3), (3, 8, 8)).macs == 4 * 6 * 6 * 27
    assert cx.anatomy(nn.Conv3d(3, 4, 3), (3, 4, 8, 8)).output == (4, 2, 6, 6)
    wrong: Any
    for wrong, words in ((3, "neither a torch.nn.Module"), ("resnt18", "did you mean")):
        with pytest.raises(cx.UsageError, match=words):
            cx.anatomy(wrong)
