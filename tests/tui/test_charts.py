"""The arithmetic of charts, and the chart that plotext draws."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from cnn_explorer.tui.charts import markers, plotext_chart, ticks
from cnn_explorer.tui.charts.plotext_chart import ChartData, PlottedLine
from cnn_explorer.tui.widgets.loss_chart import LossChart
from hypothesis import example, given
from hypothesis import strategies as st
from support.tui import until
from textual.app import App

anything = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(anything))
def test_logarithms_take_anything(values: list[float]) -> None:
    for value, log in zip(values, plotext_chart.log_values(values), strict=True):
        assert math.isnan(log) != (0 < value < math.inf)


@pytest.mark.parametrize(("low", "high"), [(-3, 1), (0.0, 0.05), (-0.2, 0.4), (2, 2), (-12, 12)])
def test_ticks_of_a_log_axis_lie_inside(low: float, high: float) -> None:
    positions, labels = ticks.log_ticks(low, high)
    assert 1 <= len(positions) == len(labels) <= 6
    assert all(low - 1e-6 <= position <= high + 1e-6 for position in positions)


@given(anything, anything, st.integers(1, 12))
@example(0.0, 1e-322, 7)
def test_round_ticks_lie_inside(one: float, other: float, max_count: int) -> None:
    low, high = sorted((one, other))
    positions = ticks.nice_ticks(low, high, max_count)
    assert 1 <= len(positions) <= max_count
    if math.isfinite(high - low) and len(positions) > 1:
        assert all(low - 1e-6 * (high - low) <= position <= high + 1e-6 * (high - low) for position in positions)


def test_ticks_are_round() -> None:
    assert ticks.nice_ticks(0.05, 2.3, 5) == [0.5, 1.0, 1.5, 2.0]
    assert ticks.nice_ticks(0, 30, 7) == [0, 5, 10, 15, 20, 25, 30]


def test_ticks_between_the_smallest_numbers_there_are() -> None:
    """A step of a power of ten that no number can hold is passed over."""
    assert ticks.nice_ticks(0, 1e-322, 7) == [number * 2e-323 for number in range(6)]
    assert ticks.nice_ticks(0, 5e-324, 7) == [0.0]


@pytest.mark.parametrize(
    ("positions", "texts"),
    [
        ([1.2, 1.225, 1.25], ["1.200", "1.225", "1.250"]),
        ([99.74, 99.76], ["99.74", "99.76"]),
        ([10_000, 12_500, 15_000], ["10k", "12.5k", "15k"]),
        ([0, 1_500_000, 3_000_000], ["0", "1.5e6", "3e6"]),
        ([1_225_000, 1_250_000], ["1225000", "1250000"]),
        ([0, 2.5e-5, 5e-5], ["0", "2.5e-5", "5e-5"]),
        ([0.0, 0.5, 1.0], ["0", "0.5", "1"]),
        ([7.0], ["7"]),
    ],
)
def test_a_label_says_the_place_of_its_tick_and_not_one_near_it(positions: list[float], texts: list[str]) -> None:
    assert ticks.tick_texts(positions) == texts


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(2, 8))
def test_labels_are_in_order_and_no_two_are_equal(low: float, span: float, max_count: int) -> None:
    positions = ticks.nice_ticks(low, low + span, max_count)
    texts = ticks.tick_texts(positions)
    if span > 1e-4 * abs(low):
        assert len(set(texts)) == len(positions)


class ChartApp(App):
    def __init__(self, data: ChartData) -> None:
        super().__init__()
        self.data = data

    def compose(self):
        yield LossChart(id="chart")

    def on_mount(self) -> None:
        self.query_one(LossChart).show(self.data)


HARD_LINES = {
    "nothing": (),
    "only gaps": (PlottedLine("train", [1, 2], [math.nan, math.nan]),),
    "infinities": (PlottedLine("train", [1, 2, 3], [math.inf, 1.0, -math.inf]),),
    "one point": (PlottedLine("train", [5], [1.0]), PlottedLine("validation", [5], [1.0], "validation")),
    "zero and below": (PlottedLine("train", [1, 2, 3], [0.0, -1.0, 1.0]), PlottedLine("best", [2], [0.5], "best")),
    "all below zero": (PlottedLine("train", [1, 2], [-1.0, -2.0]),),
    "huge": (PlottedLine("train", [0, 1e300], [1e300, -1e300]),),
    "a gap in the middle": (PlottedLine("train", [1, 2, 3, 4], [1.0, math.nan, math.nan, 2.0]),),
    "uneven": (PlottedLine("train", [1, 2, 3], [1.0]),),
}


@pytest.mark.parametrize("name", HARD_LINES)
@pytest.mark.parametrize("log", [False, True])
async def test_chart_never_raises(name: str, log: bool) -> None:
    app = ChartApp(ChartData("loss", "epoch", HARD_LINES[name], log=log))
    async with app.run_test(size=(60, 15)) as pilot:
        chart = app.query_one(LossChart)
        for _ in range(2):
            assert str(chart.render())
            chart._drawn = None
        await pilot.resize_terminal(8, 3)
        await until(pilot, lambda: "no room" in str(chart.render()))


async def test_chart_draws_the_curve_again_only_for_new_data() -> None:
    data = ChartData("loss", "epoch", (PlottedLine("train", [1, 2, 3], [3.0, 2.0, 1.0]),))
    app = ChartApp(data)
    async with app.run_test(size=(60, 15)) as pilot:
        chart = app.query_one(LossChart)
        first = chart.render()
        assert any("\u2800" < letter <= "\u28ff" for letter in str(first))
        assert "train" in str(first)
        chart.refresh()
        await pilot.pause()
        assert chart.render() is first
        chart.show(ChartData("loss", "epoch", (PlottedLine("train", [1, 2, 3], [1.0, 2.0, 3.0]),), log=True))
        assert chart.render() is not first
        assert str(chart.render()).startswith("loss (log) over epoch  ⠤ train")


def places_of(value: float, slot: int | None) -> list[PlottedLine]:
    return [PlottedLine(role, [2.0], [value], role, slot) for role in ("test", "best")]


@pytest.mark.parametrize("ascii", [False, True])
@pytest.mark.parametrize("size", [(78, 14), (40, 8), (110, 30)])
@pytest.mark.parametrize("several", [False, True])
def test_each_sign_of_a_place_is_seen_or_told_and_none_lies_under_a_curve(
    several: bool, size: tuple[int, int], ascii: bool
) -> None:
    slots = [0, 1] if several else [None]
    for value in (0.1, 0.5, 0.52, 0.9):
        lines = [line for slot in slots for line in places_of(value, slot)]
        lines += [PlottedLine("train", [1, 2, 3], [0.1, value, 0.9], "train", slot) for slot in slots]
        data = ChartData("accuracy", "", tuple(replace(line, label="") for line in lines))
        told_below = size[1] // plotext_chart.LEGEND_PART
        text = plotext_chart.draw(plotext_chart.new_figure(), data, size, plotext_chart.ChartStyle(ascii))
        signs = [markers.sign(name, ascii) for name in ("test", "best")]
        title = [line for line in text.splitlines()[:told_below] if not re.search(r"[│┤|]|^ *[\d.]*\+", line)]
        drawn = "".join(re.split(r"[│┤|+]", line, maxsplit=1)[1] for line in text.splitlines()[len(title) : -2])
        told = " ".join(title)
        assert drawn.count(signs[1]) >= 1, text
        seen = sum(drawn.count(sign) for sign in signs)
        assert seen + told.count(" at ") == 2 * len(slots) or told.endswith(markers.sign("more", ascii)), text


@pytest.mark.parametrize("rows", range(5, 25))
@pytest.mark.parametrize(("low", "high"), [(0.106, 0.97), (0.0, 1.0), (0.3, 0.9), (0.05, 0.61)])
def test_no_number_of_an_axis_takes_the_place_of_another(
    rows: int, low: float, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    value_ticks = ticks.value_ticks

    def noted(low: float, high: float, max_count: int, **options: bool) -> tuple[list[float], list[str]]:
        asked.extend(value_ticks(low, high, max_count, **options)[1])
        return value_ticks(low, high, max_count, **options)

    monkeypatch.setattr(ticks, "value_ticks", noted)
    data = ChartData("accuracy", "", (PlottedLine("train", [1.0, 2.0], [low, high]),), shares=True)
    text = plotext_chart.draw(plotext_chart.new_figure(), data, (60, rows), plotext_chart.ChartStyle())
    assert re.findall(r"[\d.]+ %(?=┤)", text) == [label for label in asked if "%" in label][::-1], text
