"""From records to what plotext draws: the reduction, the marks, and the chart as text."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest
from cnn_explorer.tui.charts import plotext_chart, run_curves
from cnn_explorer.tui.charts.history import History
from cnn_explorer.tui.charts.plotext_chart import ChartData, ChartStyle, PlottedLine
from cnn_explorer.tui.charts.run_curves import PlottedRun
from cnn_explorer.tui.charts.series import PlottedCurve, Track
from cnn_explorer.tui.charts.view import METRICS
from hypothesis import example, given
from hypothesis import strategies as st
from support.tui import eval_record, train_record

finite = st.floats(-1e6, 1e6)
COLOURED = ChartStyle(colours=plotext_chart.TERMINAL_COLOURS)


def plotted(*records: dict, slot: int | None = None) -> PlottedRun:
    history = History()
    history.add(records)
    return PlottedRun(f"net {slot}", history, history.evaluations, slot)


def test_record(epoch: float, best_epoch: object, accuracy: float = 0.9, loss: float = 0.25) -> dict:
    return eval_record(1, accuracy, loss) | {"split": "test", "epoch": epoch, "best_epoch": best_epoch}


test_record.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]
RUN = (*(train_record(step, 2 / (1 + step)) for step in range(1, 300)), eval_record(1, 0.5), eval_record(2, 0.8, 0.6))


def line_of(data: ChartData, role: str) -> PlottedLine:
    return next(line for line in data.lines if line.role == role)


@given(st.lists(st.one_of(finite, st.just(math.inf)), max_size=200), st.integers(1, 40))
@example([1.0, math.inf, 2.0], 3)
def test_the_reduction_keeps_extremes_and_gaps_within_its_columns(values: list[float], columns: int) -> None:
    x, y = np.arange(len(values), dtype=float), np.array(values, dtype=float)
    found = run_curves.reduce(PlottedCurve(x, y, y, y), 0.0, max(len(values) - 1.0, 1.0), columns)
    numbers = [value for value in values if math.isfinite(value)]
    assert len(found) <= columns
    assert bool(len(found)) == bool(numbers)
    if not numbers:
        return
    assert (found.low.min(), found.high.max()) == (min(numbers), max(numbers))
    assert (found.low <= found.mean).all() and (found.mean <= found.high).all()
    assert (np.diff(found.x) > 0).all()
    if columns > len(values):
        # A column for each value: exactly the gaps between values are kept.
        kept = [place for place, value in enumerate(values) if math.isfinite(value)]
        assert found.broken.tolist() == [False, *(b - a > 1 for a, b in itertools.pairwise(kept))]


def test_a_wide_gap_stays_a_gap_however_few_columns_there_are() -> None:
    y = np.concatenate([np.ones(40), np.full(40, np.inf), np.ones(40)])
    found = run_curves.reduce(PlottedCurve(np.arange(120.0), y, y, y), 0.0, 119.0, 12)
    assert found.broken.sum() == 1
    xs, ys = run_curves._joined(found, found.mean)
    assert sum(map(math.isnan, ys)) == 1 and len(xs) == len(ys) == len(found) + 1


@pytest.mark.parametrize(("best_epoch", "place"), [(1, 1.0), (1.5, 1.5), (None, 2.0), ("x", 2.0), (math.nan, 2.0)])
def test_the_test_value_stands_at_the_epoch_of_its_weights(best_epoch: object, place: float) -> None:
    data = run_curves.chart_data("accuracy", [plotted(*RUN, test_record(2, best_epoch))], 70)
    test = line_of(data, "test")
    assert (list(test.xs), list(test.ys), test.label) == ([place], [0.9], "test 90.0 %")
    assert plotext_chart.SIGNS["test"] not in [
        plotext_chart.SIGNS[role] for role in plotext_chart.SIGNS if role != "test"
    ]


def test_the_best_epoch_is_the_one_whose_weights_are_kept() -> None:
    """Of equal accuracies the smaller loss wins; the mark stands in both charts at that epoch."""
    records = [
        eval_record(1, 0.8, 0.5),
        eval_record(2, 0.8, 0.4),
        eval_record(3, 0.7, 0.3),
        eval_record(4, math.nan, 0.1),
    ]
    for metric, value in (("accuracy", 0.8), ("loss", 0.4)):
        best = line_of(run_curves.chart_data(metric, [plotted(*records)], 70), "best")
        assert (list(best.xs), list(best.ys)) == ([2], [value])


def test_a_loss_that_is_no_number_is_marked_and_a_run_without_validation_drawn() -> None:
    records = [train_record(step, math.nan if 40 <= step < 60 else 1.0) for step in range(1, 100)]
    data = run_curves.chart_data("loss", [plotted(*records)], 70)
    assert [line.role for line in data.lines if not line.empty] == ["train", "diverged"]
    assert list(line_of(data, "diverged").xs) == [0.4]
    assert any(math.isnan(y) for y in line_of(data, "train").ys)


def test_many_records_a_column_are_drawn_as_their_mean_over_all_of_them() -> None:
    many = run_curves.chart_data("loss", [plotted(*RUN)], 20)
    assert [line.role for line in many.lines][:2] == ["raw", "train"]
    assert max(y for y in line_of(many, "raw").ys if math.isfinite(y)) == 1.0
    few = run_curves.chart_data("loss", [plotted(*RUN[:30])], 70)
    assert "raw" not in [line.role for line in few.lines]


@pytest.mark.parametrize("size", [(80, 20), (45, 12), (23, 7)])
@pytest.mark.parametrize("several", [False, True])
def test_ascii_without_colour_tells_the_lines_apart(size: tuple[int, int], several: bool) -> None:
    runs = [plotted(*RUN)]
    if several:
        higher = [[record | {"loss": record["loss"] + number} for record in RUN] for number in range(3)]
        runs = [plotted(*records, slot=number) for number, records in enumerate(higher)]
    data = run_curves.chart_data("loss", runs, plotext_chart.canvas_columns(size[0]))
    drawn = plotext_chart.draw(plotext_chart.new_figure(), data, size, ChartStyle(ascii=True))
    lines = drawn.split("\n")
    assert drawn.isascii() and "\x1b" not in drawn
    assert len(lines) <= size[1] and max(map(len, lines)) <= size[0]
    assert lines[0].startswith("loss")
    below = "\n".join(lines[1:])
    assert all(sign in below for sign in ("ABCc" if several else "#*")), drawn
    signs = [line.sign(True) for line in data.lines if line.role in ("train", "validation")]
    assert len(set(signs)) == len(signs)


def test_colours_are_those_of_the_look_and_accuracy_is_in_per_cent() -> None:
    data = run_curves.chart_data("accuracy", [plotted(*RUN)], 70)
    drawn = plotext_chart.draw(plotext_chart.new_figure(), data, (80, 20), COLOURED)
    codes = set(map(int, re.findall(r"\x1b\[(\d+)m", drawn))) - {0, 1}
    numbers = {code - 30 if code < 38 else code - 82 for code in codes}
    assert numbers and numbers <= set(plotext_chart.TERMINAL_COLOURS.values())
    assert "38;" not in drawn and "48;" not in drawn, "a terminal of sixteen colours knows no others"
    plain = plotext_chart.draw(plotext_chart.new_figure(), data, (80, 20), ChartStyle())
    assert re.sub(r"\x1b\[[0-9;]*m", "", drawn) == plain
    assert re.search(r"^ *80 %┤", plain, re.M)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30),
    st.integers(0, 90),
    st.integers(0, 30),
)
def test_drawing_takes_anything(values: list[float], columns: int, rows: int) -> None:
    records = [train_record(step, value) for step, value in enumerate(values)]
    data = run_curves.chart_data("loss", [plotted(*records, eval_record(1, values[0], values[-1]))], columns)
    drawn = plotext_chart.draw(plotext_chart.new_figure(), data, (columns, rows), ChartStyle())
    assert len(drawn.split("\n")) <= max(rows, 1)
    assert max(map(len, drawn.split("\n"))) <= max(columns, 0) or "no " in drawn


def axis_numbers(drawn: str) -> list[float]:
    """Return the numbers on the y axis."""
    return [float(found[1]) for line in drawn.split("\n") if (found := re.match(r"\s*(-?[\d.e-]+)(?: %)?┤", line))]


@pytest.mark.parametrize(
    ("metric", "value", "limits"), [("accuracy", 1, (90, 100)), ("accuracy", 0, (0, 1)), ("loss", 0, (0, 1))]
)
def test_the_axis_of_a_single_value_ends_where_values_end(
    metric: str, value: float, limits: tuple[float, float]
) -> None:
    run = plotted(*(train_record(step, value, value) for step in range(5)), eval_record(1, value, value))
    data = run_curves.chart_data(metric, [run], 52)
    found = axis_numbers(plotext_chart.draw(plotext_chart.new_figure(), data, (60, 16), ChartStyle()))
    assert found and limits[0] <= min(found) and max(found) <= limits[1], "no accuracy over 100 %, no loss below 0"


def test_a_loss_that_never_was_a_number_is_not_one_that_is_still_to_come() -> None:
    data = run_curves.chart_data("loss", [plotted(*(train_record(step, math.nan) for step in range(5)))], 52)
    drawn = plotext_chart.draw(plotext_chart.new_figure(), data, (60, 12), ChartStyle())
    assert "not a number (NaN or infinite) from epoch 0 on" in drawn and "yet" not in drawn
    narrow = plotext_chart.draw(plotext_chart.new_figure(), data, (20, 6), ChartStyle()).split("\n")
    assert max(map(len, narrow)) <= 20 and " ".join(narrow[1:]) == "not a number (NaN or infinite) from epoch 0 on"


def row_of(sign: str, drawn: str, skip: int = 1) -> int | None:
    """Return the row of a sign in the chart, counted from the bottom; None where it is not drawn."""
    rows = drawn.split("\n")[skip:]
    return next((len(rows) - number for number, row in enumerate(rows) if sign in row), None)


@pytest.mark.parametrize("rows", [6, 7, 8, 9, 12, 16, 20])
@pytest.mark.parametrize("value", [0.7, 0.62, 0.5, 0.28])
def test_a_sign_stands_in_the_row_of_its_value_or_the_legend_says_behind_which(rows: int, value: float) -> None:
    best, test = plotted(*RUN), plotted(*RUN, test_record(2, 2, loss=value))
    size = (60, rows)
    figure = plotext_chart.new_figure()
    drawn = plotext_chart.draw(figure, run_curves.chart_data("loss", [test], 53), size, ChartStyle())
    legend = " ".join(drawn.split("\n")[: max(rows // 4, 1)])
    # The same chart with one sign alone, at each of the two values, tells the rows.
    title = next(number for number, row in enumerate(drawn.split("\n")) if "│" in row or "┤" in row)
    data = run_curves.chart_data("loss", [best], 53)
    marked = line_of(data, "best")
    others = tuple(line for line in data.lines if line.role != "best")
    rows_of = []
    for y in (marked.ys[0], value):
        alone = PlottedLine("", [2.0], [y], "test")
        chart = plotext_chart.draw(figure, ChartData("", "", (*others, alone)), (60, rows - title + 1), ChartStyle())
        begins = next(number for number, row in enumerate(chart.split("\n")) if "│" in row or "┤" in row)
        assert len(chart.split("\n")) - begins == len(drawn.split("\n")) - title
        rows_of.append(row_of("✚", chart, begins))
    assert row_of("★", drawn, title) == rows_of[0]
    if rows_of[0] == rows_of[1]:
        assert row_of("✚", drawn, title) is None and f"✚ test {value:g} at ★" in legend
    else:
        assert row_of("✚", drawn, title) == rows_of[1] and " at ★" not in legend


def test_of_several_runs_the_legend_says_which_sign_is_behind_which() -> None:
    """A test value of the same run, the star of another one, and a test two columns away from it."""
    runs = [plotted(*RUN, test_record(2, 2, loss=0.6), slot=number) for number in range(2)]
    data = run_curves.chart_data("loss", runs, 73)
    drawn = plotext_chart.draw(plotext_chart.new_figure(), data, (80, 12), ChartStyle())
    legend, body = "\n".join(drawn.split("\n")[:3]), "\n".join(drawn.split("\n")[3:])
    assert "●★" in body and "✚" not in body and body.count("★") == 1
    assert all(f"{sign} 0.6 at ★●" in legend for sign in ("✚●", "★◆", "✚◆")), legend


@pytest.mark.parametrize("top", [1e300, 5e306, 1e308, 1.7e308])
@pytest.mark.parametrize("bottom", [0.5, -1e308])
def test_the_largest_numbers_there_are_can_be_drawn(top: float, bottom: float) -> None:
    run = plotted(*(train_record(step, top if step == 3 else bottom) for step in range(10)), eval_record(1, 0.5, top))
    for size in ((80, 20), (60, 8)):
        data = run_curves.chart_data("loss", [run], 73)
        drawn = plotext_chart.draw(plotext_chart.new_figure(), data, size, ChartStyle())
        assert "Error" not in drawn and "cannot" not in drawn and len(drawn.split("\n")) == size[1]
        assert "⠤" in drawn and any("\u2801" <= sign <= "\u28ff" for sign in "".join(drawn.split("\n")[2:]))
        assert re.search(r"e30\d┤", drawn), "the axis says how large"


def test_in_a_run_so_long_that_rows_are_merged_the_first_loss_that_is_no_number_keeps_its_sign() -> None:
    run = plotted()
    run.history.train = Track(METRICS, 8)
    run.history.add([train_record(step, math.nan if step == 41 else 1.0) for step in range(64)])
    assert run.history.train.stride > 1 and np.isfinite(run.history.curve("loss", "train", "epoch").low).all()
    assert line_of(run_curves.chart_data("loss", [run], 52), "diverged").xs == [pytest.approx(0.41, abs=0.08)]
