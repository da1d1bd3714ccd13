"""What keys and mouse do to what is seen of the charts: each operation by its state before and after."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cnn_explorer.tui.charts import state
from cnn_explorer.tui.charts.markers import Chart, ChartRow, line_tone
from cnn_explorer.tui.charts.state import ChartState, Grid
from cnn_explorer.tui.charts.view import AXES, METRICS, SMOOTHINGS, WINDOWS, Readout, View, Window
from hypothesis import given
from hypothesis import strategies as st

EXTENT = (0.0, 100.0)
# Ten cells of curve behind seven of labels, a tenth of the axis each.
CHART = Chart("loss", (ChartRow(" " * 17, bytes(17)),) * 3, left=7, x=EXTENT, positive=True)
TWO_PAGES = Grid(2, 2, 2)


# The part of the x axis


def test_zooming_keeps_the_place_and_the_end() -> None:
    half = state.zoomed(EXTENT, EXTENT, 0.5, 20.0)
    assert (half.low, half.high) == (10.0, 60.0)
    assert state.zoomed((10.0, 60.0), EXTENT, 2.0, 20.0) == Window()
    assert state.zoomed(EXTENT, EXTENT, 0.5, None) == Window(span=50.0)
    assert state.zoomed(EXTENT, EXTENT, 0.5, 100.0) == Window(span=50.0)
    assert state.zoomed((5.0, 5.0), (5.0, 5.0), 0.5, 5.0) == Window()


def test_moving_stops_at_both_ends() -> None:
    assert state.panned(EXTENT, EXTENT, 0.5) == Window()
    assert state.panned((10.0, 30.0), EXTENT, -1.0) == Window(low=0.0, high=20.0)
    assert state.panned((70.0, 90.0), EXTENT, 1.0) == Window(span=20.0)


def test_zoom_and_pan_change_nothing_without_data() -> None:
    before = ChartState(window=WINDOWS[1])
    assert before.zoom(EXTENT, None, 0.5, None) == before.pan(EXTENT, None, 0.5) == before
    assert before.zoom(EXTENT, EXTENT, 0.5, 20.0).window == Window(low=10.0, high=60.0)
    assert before.pan((10.0, 30.0), EXTENT, 0.5).window == Window(low=20.0, high=40.0)
    assert before.whole().window == Window()


def test_windows_go_round_and_freeze_thaws() -> None:
    now = ChartState()
    for wanted in (*WINDOWS[1:], WINDOWS[0]):
        now = now.next_window()
        assert now.window == wanted
    still = now.freeze((2.0, 4.0))
    assert still.window == Window(low=2.0, high=4.0, frozen=True) and still.window.text == "frozen"
    assert still.freeze((2.0, 4.0)).window == still.next_window().window == Window()
    assert now.freeze((3.0, 3.0)).window == Window()


def test_a_drag_in_either_direction_shows_what_lies_between() -> None:
    before = ChartState(cursor=40.0)
    dragged = before.zoom_into(CHART, 9, 12)
    assert (dragged.window.low, dragged.window.high) == pytest.approx((25.0, 55.0)) and dragged.cursor is None
    assert before.zoom_into(CHART, 12, 9) == dragged


# Charts and pages


@given(st.integers(1, 300), st.integers(1, 100), st.integers(1, 5))
def test_every_chart_is_on_a_page(width: int, height: int, count: int) -> None:
    found = state.grid(width, height, count)
    assert {found.page_of(place) for place in range(count)} == set(range(found.pages))


def test_four_charts_fit_into_80_by_24() -> None:
    assert ChartState().arrangement(78, 18) == TWO_PAGES
    assert ChartState(alone=True).arrangement(78, 18) == Grid(1, 1, 1)


def test_charts_and_pages_go_round() -> None:
    first, last = ChartState(), ChartState(metric=METRICS[-1])
    assert first.next_chart(-1) == last and last.next_chart(1) == first
    assert first.in_sight(TWO_PAGES) == METRICS[:4] and last.in_sight(TWO_PAGES) == METRICS[4:]
    assert first.next_page(1, TWO_PAGES) == first.next_page(-1, TWO_PAGES) == last
    assert last.next_page(1, TWO_PAGES) == first
    assert (first.page(TWO_PAGES), last.page(TWO_PAGES)) == (0, 1)


def test_one_chart_has_all_the_room_and_gives_it_back() -> None:
    alone = ChartState(metric="lr").toggle_alone()
    assert alone.in_sight(alone.arrangement(78, 18)) == ("lr",)
    assert alone.toggle_alone() == ChartState(metric="lr")


def test_a_chart_that_is_not_shown_is_not_the_chosen_one() -> None:
    shown = ChartState(metric="loss").show(("lr", "accuracy"))
    assert shown.charts == ("accuracy", "lr") and shown.metric == "accuracy"
    assert ChartState(metric="lr").show(("lr", "accuracy")).metric == "lr"


# Preferences


def test_preferences_are_taken_and_given_as_words() -> None:
    before = ChartState(metric="loss", cursor=3.0)
    now = before.preferring("time", 0.9, "loss lr", "lr accuracy")
    assert (now.axis, now.smoothing, now.log, now.charts) == ("time", 0.9, {"loss", "lr"}, ("accuracy", "lr"))
    assert now.metric == "accuracy" and now.cursor == 3.0
    assert now.preferences == ("time", 0.9, "loss lr", "accuracy lr")
    unknown = before.preferring("weeks", 0.0, "", "nothing")
    assert unknown.axis == AXES[0] and unknown.charts == METRICS and unknown.preferences[3] == ""


def test_another_axis_forgets_the_places_on_the_one_before() -> None:
    zoomed = ChartState(cursor=5.0, window=Window(low=1.0, high=2.0)).next_axis()
    assert (zoomed.axis, zoomed.cursor, zoomed.window) == (AXES[1], None, Window())
    assert ChartState(window=Window(span=5.0)).next_axis().window == Window()
    assert ChartState(window=Window(percent=20)).next_axis().window == Window(percent=20)
    assert ChartState(axis=AXES[-1]).next_axis().axis == AXES[0]


def test_other_runs_keep_only_a_window_at_the_end() -> None:
    before = ChartState(cursor=5.0, hovering=True, window=Window(low=1.0, high=2.0), smoothing=0.9, metric="lr")
    assert before.other_runs() == ChartState(smoothing=0.9, metric="lr")
    assert ChartState(window=Window(steps=100)).other_runs().window == Window(steps=100)


def test_smoothing_stops_at_both_ends() -> None:
    now = ChartState()
    assert now.smoother(-1) == now
    for wanted in (*SMOOTHINGS[1:], SMOOTHINGS[-1]):
        now = now.smoother(1)
        assert now.smoothing == wanted
    assert now.smoother(-1).smoothing == SMOOTHINGS[-2]
    assert ChartState(smoothing=0.123).smoother(1).smoothing == SMOOTHINGS[1]


def test_a_logarithm_of_nothing_above_zero_is_refused() -> None:
    before = ChartState(metric="loss")
    empty = Chart("loss", CHART.rows, left=7, x=EXTENT, positive=False)
    assert "no logarithmic axis" in before.no_log(empty)
    assert before.no_log(CHART) == before.no_log(None) == "" and before.no_log(Chart("loss", ())) == ""
    chosen = before.toggle_log()
    assert chosen.log == {"loss"} and chosen.no_log(empty) == "" and chosen.toggle_log() == before
    assert chosen.view(True) == View(log=frozenset({"loss"}), ascii=True)


# The cursor


def test_the_cursor_appears_at_the_right_end_and_moves_by_cells() -> None:
    first = ChartState().move(CHART, -1, EXTENT)
    assert first.cursor == pytest.approx(95.0)
    assert first.move(CHART, -3, EXTENT).cursor == pytest.approx(65.0)
    assert first.move(CHART, -100, EXTENT).cursor == pytest.approx(5.0)
    assert first.without_cursor() == ChartState()


def test_the_cursor_stays_over_the_data() -> None:
    assert ChartState().point(CHART, 16, (10.0, 72.0)).cursor == 72.0
    assert ChartState().point(CHART, 7, (10.0, 72.0)).cursor == 10.0
    hovering = ChartState().point(CHART, 10, None, hovering=True)
    assert hovering.cursor == pytest.approx(35.0) and hovering.hovering
    assert not hovering.move(CHART, 1, EXTENT).hovering
    assert hovering.without_cursor() == ChartState()


WIDE = 200


def words(entries: list[tuple[str, int]]) -> str:
    return "".join(text for text, _ in entries)


def test_every_value_under_the_cursor_has_its_word_and_of_several_runs_its_sign() -> None:
    found = [Readout(0, "train", 41.0, 0.25), Readout(1, "validation", 39.5, 0.5)]
    accuracy = replace(CHART, name="accuracy")
    assert state.readout(found, 40.0, accuracy, View("step"), several=True, width=WIDE) == [
        ("train ●25.00 %", line_tone(0, "train")),
        (" · val. ◇50.00 %", line_tone(1, "validation")),
    ]
    found = [Readout(0, "train", 40.0, 0.25), Readout(0, "validation", 40.0, 0.5), Readout(1, "train", 40.0, 0.75)]
    for ascii, shown in ((True, "train A 0.25 B 0.75 · val. a 0.5"), (False, "train ●0.25 ◆0.75 · val. ○0.5")):
        assert words(state.readout(found, 40.0, CHART, View("step", ascii=ascii), True, WIDE)) == shown
    found = [found[0], Readout(1, "validation", 39.5, 0.5)]
    alone = state.readout(found[1:], 40.0, accuracy, View("step"), several=False, width=WIDE)
    assert alone == [("val. 50.00 %", line_tone(1, "validation", several=False))]
    assert state.readout([], 40.0, CHART, View("step"), several=True, width=WIDE) == []


@pytest.mark.parametrize(("cursor", "told"), [(25.0, True), (21.0, True), (15.0, False), (35.0, False), (95.0, False)])
def test_the_test_is_told_in_its_own_cell_and_nowhere_else(cursor: float, told: bool) -> None:
    found = [Readout(0, "train", cursor, 0.25), Readout(0, "test", 23.0, 0.0613, weights_epoch=32.0)]
    shown = words(state.readout(found, cursor, CHART, View(), several=False, width=WIDE))
    assert shown == "train 0.25" + (" · test 0.0613 (weights of epoch 32)" if told else "")
    several = words(state.readout(found, cursor, CHART, View(), several=True, width=WIDE))
    assert ("test ✚●0.0613" in several) == told


@given(st.integers(0, 80), st.booleans())
def test_values_without_room_are_left_out_whole_with_a_sign(width: int, ascii: bool) -> None:
    found = [Readout(0, role, 25.0, 0.125) for role in ("train", "validation", "test")]
    entries = ["train 0.125", "val. 0.125", "test 0.125"]
    shown = words(state.readout(found, 25.0, CHART, View(ascii=ascii), several=False, width=width))
    more = " >" if ascii else " ›"
    assert len(shown) <= max(width, len(more))
    possible = [" · ".join(entries), " ".join(entries), *(" ".join(entries[:count]) + more for count in range(3))]
    assert shown in possible
    # What is left out would not have fitted.
    count = shown.count("0.125")
    assert count == 3 or len(" ".join(entries[: count + 1]) + (more if count < 2 else "")) > width


def test_the_place_of_the_cursor_is_that_of_the_nearest_values_but_not_of_the_test() -> None:
    found = [Readout(0, "train", 41.0, 0.25), Readout(1, "validation", 39.5, 0.5), Readout(0, "test", 40.0, 1.0)]
    assert state.cursor_text(found, 40.0, "step") == "at step 40"
    assert state.cursor_text(found[:2], 40.4, "epoch") == "at epoch 41"
    assert state.cursor_text([], 40.0, "images") == "at 40 images"
