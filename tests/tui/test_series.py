"""Columns of numbers, dots and axes behind the charts: plain arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cnn_explorer.tui.charts import braille, markers, plot, series
from cnn_explorer.tui.charts.history import History
from cnn_explorer.tui.charts.plot import PlotLayer, Scene
from cnn_explorer.tui.charts.reader import window_limits
from cnn_explorer.tui.charts.series import PlottedCurve, Track
from cnn_explorer.tui.charts.view import METRICS, Window
from cnn_explorer.tui.widgets.chart_view import changes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.tui import eval_record, train_record

anything = st.floats(allow_nan=True, allow_infinity=True)
finite = st.floats(-1e6, 1e6)
SIZE = (40, 10)


def curve_of(points: list[tuple[float, float]]) -> PlottedCurve:
    """A curve as a track gives it: in order of x, NaN and infinities as gaps."""
    kept = sorted((point for point in points if math.isfinite(point[0])), key=lambda point: point[0])
    x = np.array([x for x, _ in kept], dtype=float)
    y = np.array([y if math.isfinite(y) else math.inf for _, y in kept], dtype=float)
    return PlottedCurve(x, y, y, y)


def test_a_column_tells_missing_from_not_a_number() -> None:
    records = [{"a": 1}, {}, {"a": None}, {"a": math.nan}, {"a": -math.inf}, {"a": "7"}, {"a": True}, {"a": [1]}]
    found = series.column(records, "a").tolist()
    assert found[0] == 1.0
    assert [math.isnan(value) for value in found] == [False, True, True, False, False, True, True, True]
    assert found[3] == found[4] == math.inf


@given(st.lists(st.one_of(finite, st.just(math.nan), st.none()), max_size=80), st.integers(2, 16), st.integers(1, 9))
def test_a_track_keeps_extremes_and_mean_however_often_it_merges(
    values: list[float | None], limit: int, piece: int
) -> None:
    track = Track(("loss",), limit)
    records = [
        {"step": step, "loss": value} if value is not None else {"step": step} for step, value in enumerate(values)
    ]
    for start in range(0, len(records), piece):
        track.add(records[start : start + piece])
    curve = track.curve("loss", "step")
    assert len(track) <= limit + track.stride
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    seen = np.isfinite(curve.low)
    assert seen.any() == bool(numbers)
    if numbers:
        assert curve.low[seen].min() == min(numbers)
        assert curve.high[seen].max() == max(numbers)
        assert (curve.low[seen] <= curve.mean[seen] + 1e-6).all()
        assert (curve.mean[seen] <= curve.high[seen] + 1e-6).all()
    assert (np.diff(curve.x) >= 0).all()


def test_values_are_merged_as_smallest_largest_and_mean() -> None:
    rows = np.array([[[1.0, 3.0, 7.0, 8.0], [2.0, 5.0, 7.0, 9.0], [1.5, 4.0, 7.0, 8.5]]])
    assert series.merge(rows, 2).tolist() == [[[1.0, 7.0], [5.0, 9.0], [2.75, 7.75]]]
    assert series.merge(rows, 4).tolist() == [[[1.0], [9.0], [5.25]]]


def test_a_gap_survives_merging_unless_a_number_stands_beside_it() -> None:
    """inf is a value that was no number, NaN a record without the key: only the first one interrupts the line."""
    gap, missing = math.inf, math.nan
    values = np.array([gap, gap, gap, missing, missing, missing, gap, 2.0, missing, 3.0])
    merged = series.merge(np.repeat(values[None, None], 3, axis=1), 2)[0]
    for row in merged:
        assert row[[0, 1, 3, 4]].tolist() == [gap, gap, 2.0, 3.0]
        assert math.isnan(row[2])


def test_the_gap_of_a_divergence_is_kept_however_long_the_run_is() -> None:
    track = Track(("loss",), 8)
    track.add([{"step": step, "loss": math.nan if 32 <= step < 48 else 1.0} for step in range(64)])
    curve = track.curve("loss", "step")
    assert track.stride >= 8
    gaps = curve.x[np.isinf(curve.low)]
    assert len(gaps) and gaps.min() >= 32 and gaps.max() < 48


def test_a_long_track_stays_small_and_a_spike_survives() -> None:
    track = Track(METRICS, 1000)
    for start in range(0, 50_000, 5000):
        track.add([train_record(step, 9.0 if step == 33_333 else 1.0) for step in range(start, start + 5000)])
    curve = track.curve("loss", "step")
    assert len(track) <= 1000 + track.stride
    assert curve.high.max() == 9.0
    assert curve.spacing == pytest.approx(1.0)


def test_a_track_puts_records_in_the_order_of_the_axis() -> None:
    track = Track(("loss",))
    track.add([{"step": 2, "time": 9.0, "loss": 2.0}, {"step": 3, "time": 1.0, "loss": 3.0}])
    assert track.curve("loss", "time").mean.tolist() == [3.0, 2.0]
    assert len(track.curve("loss", "images")) == 0


@given(st.lists(st.tuples(st.floats(0, 1), finite), max_size=60))
def test_the_scan_is_the_recurrence(steps: list[tuple[float, float]]) -> None:
    keep, added = np.array([k for k, _ in steps]), np.array([f for _, f in steps])
    value, expected = 0.0, []
    for k, f in steps:
        value = k * value + f
        expected.append(value)
    assert series.scan(keep, added) == pytest.approx(np.array(expected), rel=1e-6, abs=1e-3)


def test_smoothing_is_debiased_steps_over_gaps_and_follows_the_distance() -> None:
    flat = curve_of([(float(x), 5.0) for x in range(10)])
    assert series.smoothed(flat, 0.9).mean == pytest.approx(flat.mean)
    gap = series.smoothed(curve_of([(0.0, 1.0), (1.0, math.nan), (2.0, 3.0)]), 0.5)
    assert gap.mean[0] == pytest.approx(1.0)
    assert gap.mean[1] == math.inf
    assert gap.mean[2] == pytest.approx((0.25 * 0.5 * 1.0 + 0.5 * 3.0) / (0.25 * 0.5 + 0.5))
    x = np.array([0.0, 1.0, 101.0])
    y = np.array([0.0, 0.0, 8.0])
    after_a_pause = series.smoothed(PlottedCurve(x, y, y, y, 1.0), 0.9)
    assert after_a_pause.mean[-1] == pytest.approx(8.0, rel=1e-3)
    assert series.smoothed(flat, 0.0) is flat


@given(st.lists(st.tuples(anything, anything), max_size=200), st.integers(1, 60), anything, anything)
@example([(0.0, 0.0), (1.7976931348623157e308, 0.0), (-9.9e291, 0.0)], 1, -1e308, 1e308)
@example([(0.0, 1.0), (5e-324, 2.0), (1e-323, 0.0)], 3, 0.0, 1e-323)
@settings(max_examples=150, deadline=None)
def test_a_stroke_keeps_both_extremes_of_what_is_in_sight(
    points: list[tuple[float, float]], columns: int, one: float, other: float
) -> None:
    curve = curve_of(points)
    low, high = sorted((one, other)) if math.isfinite(one) and math.isfinite(other) else (-1e308, 1e308)
    found = braille.stroke(curve, low, high, columns)
    inside = [y for x, y in zip(curve.x, curve.low, strict=True) if low <= x <= high and math.isfinite(y)]
    assert (found.limits is not None) == bool(inside)
    if inside:
        assert found.limits == (min(inside), max(inside))
    assert not np.isinf(found.low).any() and not np.isinf(found.high).any()


def test_a_gap_interrupts_the_line_and_a_missing_record_does_not() -> None:
    broken = braille.stroke(curve_of([(0.0, 1.0), (5.0, math.nan), (10.0, 1.0)]), 0, 10, 20)
    assert np.isnan(broken.low[1:-1]).all()
    whole = braille.stroke(curve_of([(0.0, 1.0), (10.0, 2.0)]), 0, 10, 20)
    assert not np.isnan(whole.low).any()
    assert (np.diff(whole.low) > 0).all()


def test_a_line_goes_on_to_the_edge_of_a_part() -> None:
    part = braille.stroke(curve_of([(0.0, 0.0), (10.0, 10.0)]), 4.0, 6.0, 20)
    assert not part.placed.any() and part.limits is None
    part = braille.stroke(curve_of([(-9.0, 9.0), (0.0, 0.0), (5.0, 5.0), (10.0, 10.0), (90.0, 9.0)]), 4.0, 6.0, 20)
    assert part.low[0] == pytest.approx(4.0, abs=0.2) and part.low[-1] == pytest.approx(6.0, abs=0.2)


def test_logarithms_leave_gaps_where_there_is_nothing_above_zero() -> None:
    x = np.arange(3.0)
    found = braille.logarithms(
        PlottedCurve(x, np.array([-1.0, 0.0, 1.0]), np.array([10.0, 0.0, 100.0]), np.array([1.0, 0, 10]))
    )
    assert found.low.tolist() == [0.0, math.inf, 0.0]
    assert found.high.tolist() == [1.0, math.inf, 2.0]


def test_neighbouring_columns_are_joined_without_a_hole() -> None:
    stroke = braille.stroke(curve_of([(0.0, 0.0), (1.0, 100.0)]), 0, 1, 2)
    top, bottom = braille.spans(stroke, 0.0, 100.0, 40)
    dots = braille.dots(top, bottom, 40)
    assert dots.any(axis=1).all()
    assert dots.sum() == 40


def test_a_dashed_line_has_dashes_of_one_length_and_a_dotted_one_every_other_dot() -> None:
    level = np.zeros(13, dtype=np.int64)
    [dashed], [dotted] = (braille.dots(level, level, 1, texture).tolist() for texture in ("dashed", "dotted"))
    assert dashed == [True, True, True, True, False, False] * 2 + [True]
    assert dotted == [True, False] * 6 + [True]


def test_braille_cells() -> None:
    assert braille.cells(np.ones((4, 2), dtype=bool)).tolist() == [[255]]
    one = np.zeros((4, 4), dtype=bool)
    one[3, 3] = True
    assert braille.cells(one).tolist() == [[0, 0x80]]


@given(st.lists(st.tuples(anything, anything), max_size=60), st.booleans(), st.booleans())
@example([(0.0, 1e308)], True, False)
@example([(0.0, 5e-324), (1.0, 1.7e308)], True, True)
@settings(max_examples=80, deadline=None)
def test_a_chart_holds_its_size_whatever_it_is_given(points: list[tuple[float, float]], log: bool, ascii: bool) -> None:
    curve = curve_of(points)
    curve = braille.logarithms(curve) if log else curve
    width, height = SIZE
    stroke = braille.stroke(curve, 0.0, 10.0, (width - markers.GUTTER) * 2)
    y = plot.resolve_limits(None, *(stroke.limits or (0.0, 1.0)), 0.04)
    layers = (
        PlotLayer(0, "raw", stroke, 17),
        PlotLayer(1, "train", stroke, 18),
        PlotLayer(2, "validation", stroke, 20),
    )
    scene = Scene(layers, (), (0.0, 10.0), y, log, "time", ascii)
    chart = plot.draw("loss", scene, markers.text_row([("loss", markers.TITLE)], width), SIZE)
    assert [len(row.text) for row in chart.rows] == [width] * height
    assert [len(row.tones) for row in chart.rows] == [width] * height
    assert not ascii or all(row.text.isascii() for row in chart.rows)
    assert chart.cell_of(chart.place_of(20)) == 20


@pytest.mark.parametrize("ascii", [False, True])
def test_a_chart_has_large_values_above_small_ones_and_later_ones_to_the_right(ascii: bool) -> None:
    width, height = SIZE
    stroke = braille.stroke(curve_of([(0.0, 0.0), (5.0, 9.0), (10.0, 10.0)]), 0.0, 10.0, (width - markers.GUTTER) * 2)
    points = (plot.PlotPoint(0.0, 0.0, 18, "v"), plot.PlotPoint(10.0, 10.0, 18, "^"))
    scene = Scene((PlotLayer(0, "train", stroke, 18, signs=False),), points, (0.0, 10.0), (0.0, 10.0), ascii=ascii)
    chart = plot.draw("loss", scene, markers.text_row([], width), SIZE)
    assert chart.positive, "a logarithmic axis is offered unless it is known that there is nothing above zero"
    rows = [row.text for row in chart.rows[1:-1]]
    assert rows[0].endswith("^") and rows[-1][markers.GUTTER] == "v"
    ends = [
        [number for number, row in enumerate(rows) if row[at] not in " v^"] for at in (markers.GUTTER + 1, width - 2)
    ]
    assert min(ends[0]) > height // 2 > max(ends[1])
    labels = [float(row[: markers.GUTTER - 1]) for row in rows if row[: markers.GUTTER - 1].strip()]
    assert len(labels) > 1 and labels == sorted(labels, reverse=True)


def test_runs_differ_by_their_markers() -> None:
    signs = [markers.marker(slot, role) for slot in range(8) for role in ("train", "validation")]
    assert len(set(signs)) == 16 and not any(map(str.isascii, signs))
    letters = [markers.marker(slot, role, ascii=True) for slot in range(26) for role in ("train", "validation")]
    assert len(set(letters)) == 52 and "".join(letters).isascii()


def test_limits_hold_still_until_a_value_leaves_them() -> None:
    first = plot.resolve_limits(None, 0.0, 1.0, 0.1)
    assert first == pytest.approx((-0.1, 1.1))
    assert plot.resolve_limits(first, 0.2, 1.05, 0.1) is first
    assert plot.resolve_limits(first, 0.2, 1.2, 0.1)[1] > 1.2
    assert plot.resolve_limits(first, 0.5, 0.6, 0.1)[0] > 0.0
    assert plot.resolve_limits(None, 0.0, 0.9, 0.5, floor=0.0, ceiling=1.0) == (0.0, 1.0)


@given(anything, anything)
def test_limits_have_an_extent(one: float, other: float) -> None:
    if math.isfinite(one) and math.isfinite(other):
        low, high = plot.resolve_limits(None, min(one, other), max(one, other), 0.05)
        assert -math.inf < low < high < math.inf


def history_of(*steps: int, epoch_of: float = 100.0) -> History:
    history = History()
    history.add([{"kind": "train", "step": step, "epoch": step / epoch_of, "loss": 1.0} for step in steps])
    return history


def test_while_a_file_is_read_its_sketch_goes_on_behind_the_newest_record() -> None:
    history, records = History(), [train_record(step) for step in range(0, 100, 10)]
    history.sketch_from(records)
    history.add(records[:5])
    assert [point.epoch for point in history._course()] == [record["epoch"] for record in records]


def test_a_window_of_per_cent_is_a_part_of_the_data_at_their_end() -> None:
    """The data need not begin at 0: those of a resumed run begin where its file does."""
    assert window_limits(Window(percent=20), [], "step", (1000.0, 2000.0)) == (1800.0, 2000.0)
    assert window_limits(Window(percent=50), [], "step", (-3.0, 1.0)) == (-1.0, 1.0)


def test_a_window_of_steps_holds_the_last_steps_of_every_run() -> None:
    """Of two runs the shorter one ends earlier, and its last steps are to be seen as well."""
    long, short = history_of(*range(0, 1001, 10)), history_of(*range(0, 501, 10))
    window = Window(steps=100)
    assert window_limits(window, [long], "step", (0.0, 1000.0)) == (900.0, 1000.0)
    assert window_limits(window, [long, short], "step", (0.0, 1000.0)) == (400.0, 1000.0)
    assert window_limits(window, [short, long], "epoch", (0.0, 10.0)) == (4.0, 10.0)
    assert window_limits(window, [History()], "step", (0.0, 1.0)) == (0.0, 1.0)


def test_other_windows() -> None:
    assert window_limits(Window(), [], "step", (3.0, 9.0)) == (3.0, 9.0)
    assert window_limits(Window(span=2.0), [], "step", (3.0, 9.0)) == (7.0, 9.0)
    assert window_limits(Window(low=4.0, high=5.0), [], "step", (3.0, 9.0)) == (4.0, 5.0)


def test_changed_cells_are_found_and_close_ones_joined() -> None:
    def row(text: str) -> markers.ChartRow:
        return markers.ChartRow(text, bytes(len(text)))

    assert changes(row("abc"), row("abc")) == []
    assert changes(row("a" * 20), row("b" + "a" * 18 + "b")) == [(0, 1), (19, 20)]
    assert changes(row("aaaa"), row("baab")) == [(0, 4)]
    assert changes(row("a"), markers.ChartRow("a", b"\x01")) == [(0, 1)]


@pytest.mark.parametrize(("best_epoch", "epoch", "step"), [(1, 1.0, 100.0), (2, 2.0, 200.0), (None, 3.0, 300.0)])
def test_the_test_stands_on_all_axes_where_its_weights_do(best_epoch: object, epoch: float, step: float) -> None:
    history = History()
    history.add([eval_record(1, 0.5), eval_record(2, 0.75)])
    history.add([eval_record(3, 0.9) | {"split": "test", "best_epoch": best_epoch}])
    assert history.curve("accuracy", "test", "epoch").x.tolist() == [epoch]
    assert history.curve("accuracy", "test", "step").x.tolist() == [step]
    for ascii in (False, True):
        signs = [markers.marker(2, role, ascii) for role in ("train", "validation", "test")]
        assert len({*signs, markers.sign("best", ascii)}) == 4
