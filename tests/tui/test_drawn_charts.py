"""What charts draw of their runs, without an app: legends, signs, labels, values; and the thread that reads and draws."""

from __future__ import annotations

import itertools
import json
import math
import re
import threading
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cnn_explorer.trainer.common import text_safe
from cnn_explorer.tui.charts import braille, export, followers, markers, plot, ticks
from cnn_explorer.tui.charts import chart as chart_module
from cnn_explorer.tui.charts.followers import Followers
from cnn_explorer.tui.charts.history import History
from cnn_explorer.tui.charts.reader import ChartReader
from cnn_explorer.tui.charts.view import METRICS, ChartedRun, Drawn, View, Wanted
from support.charts import NAMES, charted, make_run
from support.patience import PATIENCE_S
from support.tui import FakeRun, eval_record, train_record

CHARTS = tuple((metric, (60, 12)) for metric in METRICS)


# Legends, signs and labels


def test_the_star_marks_the_epoch_whose_weights_are_kept(tmp_path: Path) -> None:
    history = History()
    history.add([eval_record(1, 0.9, loss=0.8), eval_record(2, 0.9, loss=0.5), eval_record(3, 0.9, loss=0.7)])
    assert history.best("epoch") == (2.0, 0.9) and history.best("step") == (200.0, 0.9)
    (run,) = charted(make_run(tmp_path))
    found = chart_module.lines("accuracy", [(run, history)], View())
    scene = chart_module.scene("accuracy", found, View(), (1.0, 3.0), 80, None)
    assert [(point.x, point.y) for point in scene.points] == [(2.0, 0.9)]


def test_a_legend_without_room_ends_with_a_whole_entry(tmp_path: Path) -> None:
    history = History()
    history.add([train_record(100), eval_record(1, 0.9)])
    (run,) = charted(make_run(tmp_path))
    found, known = chart_module.lines("accuracy", [(run, history)], View()), [history.summary(run.path)]
    titles = [
        chart_module.chart(chart_module.ChartRequest("accuracy", (width, 8), (0.0, 1.0)), found, known, View())
        .rows[0]
        .text
        for width in (33, 42, 48, 60)
    ]
    sign = f"┄{markers.marker(run.slot, 'validation')}"
    assert [title.split("epoch 1")[1].split() for title in titles] == [
        ["›"],
        ["─", "train", "›"],
        ["─", "train", sign, "val."],
        ["─", "train", sign, "validation"],
    ]


@pytest.mark.parametrize("ascii", [False, True])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_what_a_title_leaves_out_it_says(metric: str, several: bool, ascii: bool) -> None:
    """At every width each entry of the widest title is there, in full or in short, or the sign for more is."""
    runs = [(ChartedRun(Path(f"run-{slot}"), f"run {slot}", slot), with_test(2)) for slot in range(1 + several)]
    view = View(ascii=ascii, smoothing=0.5)
    found = chart_module.lines(metric, runs, view)
    known = [history.summary(run.path) for run, history in runs]

    def title(width: int) -> str:
        asked = chart_module.ChartRequest(metric, (width, 12), (0.0, 3.0))
        return chart_module.chart(asked, found, known, view).rows[0].text.rstrip()

    widest = title(200).split("  ")
    cut = 0
    for width in range(20, 120):
        text = title(width)
        whole = all(entry in text or entry.split()[-1].replace("validation", "val.") in text for entry in widest)
        assert text.endswith(f" {markers.sign('more', ascii)}") != whole, text
        cut += not whole
    assert cut or len(widest) == 1 or several


@pytest.mark.parametrize("label", ["resnet18 on cifar10", "猫の写真で学んだ網", "a label " * 30])
def test_the_legend_of_many_runs_stays_inside_the_image_and_above_the_curves(label: str) -> None:
    history = History()
    history.add([train_record(step) for step in range(10)])
    runs = [ChartedRun(Path(f"run-{slot}"), f"{label} {slot}", slot) for slot in range(8)]
    found = {
        name: chart_module.lines(name, [(run, history) for run in runs], View("step")) for name in ("loss", "accuracy")
    }
    tree = ElementTree.fromstring(export.svg_text(found, View("step"), (0.0, 9.0)))
    svg = "{http://www.w3.org/2000/svg}"
    bottom = 0.0
    for panel in tree.findall(f"{svg}g"):
        entries = [text for text in panel.findall(f"{svg}text") if text.get("fill")]
        assert len(entries) == 8
        boxes = [(int(e.get("x", 0)), int(e.get("y", 0)), text_safe.width(e.text or "") * 7) for e in entries]
        assert all(x >= export.LEFT and x + wide <= export.WIDTH for x, _, wide in boxes)
        for (x, y, wide), (next_x, next_y, _) in itertools.pairwise(boxes):
            assert next_y > y or next_x > x + wide, "entries lie over each other"
        curves, frame = panel.find(f"{svg}g"), panel.find(f"{svg}g/{svg}rect")
        assert curves is not None and frame is not None
        begins, inner = shift_of(panel), shift_of(curves)
        assert max(y for _, y, _ in boxes) < inner + int(frame.get("y", 0))
        assert begins == bottom
        bottom = begins + inner + export.HEIGHT
    assert int(tree.get("height", 0)) == bottom


def shift_of(group: ElementTree.Element) -> float:
    return float(re.findall(r"[0-9.]+", group.get("transform", ""))[1])


# The test, per cent


def with_test(best_epoch: object = 1, epoch: float = 3) -> History:
    """A history of three evaluations and a test."""
    history = History()
    history.add([train_record(step, accuracy=step / 400) for step in range(301)])
    history.add([eval_record(1, 0.9, 0.4), eval_record(2, 0.7, 0.5), eval_record(3, 0.8, 0.6)])
    history.add([eval_record(3, 0.875, 0.45) | {"split": "test", "epoch": epoch, "best_epoch": best_epoch}])
    return history


def scene_of(metric: str, histories: list[History], view: View, x: tuple[float, float] = (0.0, 3.0)) -> plot.Scene:
    runs = [(ChartedRun(Path(f"run-{slot}"), f"run {slot}", slot), history) for slot, history in enumerate(histories)]
    return chart_module.scene(metric, chart_module.lines(metric, runs, view), view, x, 80, None)


@pytest.mark.parametrize(
    ("axis", "x", "place"), [("epoch", (0, 3), 1), ("step", (0, 300), 100), ("time", (0, 150), 50)]
)
def test_the_test_stands_where_its_weights_do_with_a_sign_of_its_own(axis: str, x: tuple, place: float) -> None:
    for ascii, sign in ((False, "✚"), (True, "+")):
        view = View(axis, ascii=ascii)
        (point,) = [one for one in scene_of("loss", [with_test()], view, x).points if one.sign == sign]
        assert (point.x, point.y, point.mark) == (place, 0.45, "")
    (last,) = [one for one in scene_of("loss", [with_test(3)], View(axis), x).points if one.sign == "✚"]
    assert last.x == 3 * place


@pytest.mark.parametrize("ascii", [False, True])
def test_the_signs_of_several_runs_carry_the_marker_of_their_run(ascii: bool) -> None:
    histories = [with_test(), with_test(2)]
    scene = scene_of("accuracy", histories, View(ascii=ascii))
    marks = {point.sign + point.mark: point.x for point in scene.points}
    assert marks == ({"*A": 1, "+A": 1, "*B": 1, "+B": 2} if ascii else {"★●": 1, "✚●": 1, "★◆": 1, "✚◆": 2})
    drawn = plot.draw("accuracy", scene, markers.text_row([], 47), (47, 14))
    text = "\n".join(row.text for row in drawn.rows)
    assert ("+B" if ascii else "✚◆") in text
    scene = scene_of("loss", [with_test(3), with_test(2)], View(ascii=ascii))
    at_the_edge = "\n".join(row.text for row in plot.draw("loss", scene, markers.text_row([], 47), (47, 14)).rows)
    assert ("A+" if ascii else "●✚") in at_the_edge, "at the right edge the marker stands before the sign"


@pytest.mark.parametrize("ascii", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_a_sign_behind_another_one_is_told_and_never_in_another_row(count: int, ascii: bool) -> None:
    scene = scene_of("accuracy", [with_test()] * count, View(ascii=ascii))
    first, *others = [point.sign + point.mark for point in scene.points]
    assert len({first, *others}) == 2 * count
    for value, size in ((0.5, (47, 14)), (0.5, (47, 8)), (scene.y[0], (47, 8)), (scene.y[1], (47, 8))):
        placed = replace(scene, points=tuple(replace(point, x=1.0, y=value) for point in scene.points))
        rows = plot.draw("accuracy", placed, markers.text_row([], size[0]), size).rows
        text = "\n".join(row.text for row in rows)
        assert text.count(first) == 1 and not any(other in text for other in others), text
        told = [(point.sign + point.mark, other.sign + other.mark) for point, other in plot.behind(placed, size)]
        assert told == [(other, first) for other in others]


@pytest.mark.parametrize("height", range(6, 20))
@pytest.mark.parametrize("best_epoch", [1, 2])
def test_the_sign_of_a_test_is_in_the_row_of_its_value_at_every_height(height: int, best_epoch: int) -> None:
    history, size = with_test(best_epoch), (70, height)
    run = ChartedRun(Path("run-0"), "run 0", 0)
    request = chart_module.ChartRequest("accuracy", size, (0.0, 3.0))
    found = chart_module.lines("accuracy", [(run, history)], View())
    drawn = chart_module.chart(request, found, [history.summary(run.path)], View())
    columns = (size[0] - markers.GUTTER) * braille.DOTS_ACROSS
    scene = chart_module.scene("accuracy", found, View(), (0.0, 3.0), columns, None)
    alone = replace(scene, points=tuple(point for point in scene.points if point.sign == "✚"))
    expected = next(
        (number, row.text.index("✚"))
        for number, row in enumerate(plot.draw("accuracy", alone, drawn.rows[0], size).rows[1:], 1)
        if "✚" in row.text
    )
    title, row = drawn.rows[0].text, drawn.rows[expected[0]].text
    assert (row[expected[1]] == "✚") != (row[expected[1]] == "★" and "✚ test 87.5% at ★" in title)
    assert sum("✚" in row.text for row in drawn.rows[1:]) <= 1


def test_the_svg_image_has_the_test_with_its_sign_and_in_its_place() -> None:
    view, svg = View(ascii=True), "{http://www.w3.org/2000/svg}"
    for histories in ([with_test()], [with_test(), with_test(2)]):
        runs = [
            (ChartedRun(Path(f"run-{slot}"), f"run {slot}", slot), history) for slot, history in enumerate(histories)
        ]
        found = {"accuracy": chart_module.lines("accuracy", runs, view)}
        tree = ElementTree.fromstring(export.svg_text(found, view, (0.0, 3.0)))
        texts = [(text.text or "", float(text.get("x", 0))) for text in tree.iter(f"{svg}text")]
        places = dict(text for text in texts if text[0].startswith("✚") and "test" not in text[0])
        wanted = {"✚": 1} if len(histories) == 1 else {"✚●": 1, "✚◆": 2}
        assert places == {
            sign: pytest.approx(export.LEFT + export.COLUMNS * epoch / 3, abs=0.1) for sign, epoch in wanted.items()
        }
        assert any("✚: test" in text for text, _ in texts)
        assert {text for text, _ in texts if text.endswith("%")} >= {"20 %", "80 %"}
        assert "0.8" not in [text for text, _ in texts]
    zoomed = export.svg_text(found, view, (2.5, 3.0))
    assert "✚●" not in zoomed, "outside of what is shown"


@pytest.mark.parametrize("log", [False, True])
def test_the_axis_of_the_accuracy_is_in_per_cent_as_its_title(log: bool) -> None:
    view = View(log=frozenset({"accuracy"}) if log else frozenset())
    run, history = ChartedRun(Path("run"), "run", 0), with_test()
    found = chart_module.lines("accuracy", [(run, history)], view)
    request = chart_module.ChartRequest("accuracy", (60, 16), (0.0, 3.0))
    drawn = chart_module.chart(request, found, [history.summary(run.path)], view)
    labels = [row.text[: markers.GUTTER - 1].strip() for row in drawn.rows[1:-1]]
    assert {"10 %" if log else "50 %"} < set(labels), labels
    assert all(label.endswith(" %") for label in labels if label)
    assert "best 90.0% epoch 1" in drawn.rows[0].text


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [(0.0, 1.0, ["0 %", "50 %", "100 %"]), (0.9973, 0.9976, ["99.74%", "99.76%"]), (0.99512, 0.99516, None)],
)
def test_labels_that_are_too_long_lose_their_space_and_are_never_cut(low: float, high: float, labels) -> None:
    positions, texts = ticks.value_ticks(low, high, 3, shares=True)
    fitted = ticks.fitting(texts, markers.GUTTER - 1)
    assert fitted == (labels or [""] * len(positions))
    assert ticks.fitting(["1", "0.1234567"], 6) == ["1", ""]


@pytest.mark.parametrize(
    ("x", "roles"),
    [(0.2, ["train"]), (0.6, ["train", "validation"]), (1.5, ["train", "validation"]), (3.4, ["train", "validation"])],
)
def test_there_is_no_validation_before_the_first_nor_long_after_the_last(x: float, roles: list[str]) -> None:
    history = History()
    history.add([train_record(step) for step in range(500)])
    history.add([eval_record(1, 0.5), eval_record(2, 0.6), eval_record(3, 0.7)])
    found = chart_module.lines("loss", [(ChartedRun(Path("run"), "run", 0), history)], View())
    assert [one.role for one in chart_module.readouts(found, x, 0.1)] == roles
    assert [one.role for one in chart_module.readouts(found, 3.9, 0.1)] == ["train"]


def test_under_the_cursor_a_loss_that_is_no_number_is_not_that_of_another_step() -> None:
    history = History()
    history.add([train_record(step, math.nan if 100 <= step < 300 else 0.5) for step in range(500)])
    found = chart_module.lines("loss", [(ChartedRun(Path("run"), "run", 0), history)], View())
    values = {x: chart_module.readouts(found, x, 0.05)[0] for x in (0.5, 0.98, 2.0, 4.0)}
    assert [math.isnan(one.value) for one in values.values()] == [False, False, True, False]
    assert values[2.0].x == 2.0 and markers.value_text(values[2.0].value, "loss") == "not a number"


def test_a_chart_says_that_what_was_measured_is_no_number() -> None:
    history, run = History(), ChartedRun(Path("run"), "run", 0)
    history.add([train_record(step, math.nan) for step in range(3)])
    request = chart_module.ChartRequest("loss", (34, 10), (0.0, 1.0))
    found = chart_module.lines("loss", [(run, history)], View())
    drawn = chart_module.chart(request, found, [history.summary(run.path)], View())
    assert drawn.rows[2].text.strip() == "not a number from step 0 on"


# The thread behind it


def follow(wanted: Wanted) -> tuple[ChartReader, threading.Thread, list[Drawn]]:
    told: list[Drawn] = []
    reader = ChartReader(told.append, Followers(), every_s=0.01)
    reader.want(wanted)
    thread = threading.Thread(target=reader.run)
    thread.start()
    return reader, thread, told


def wait_for(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_charts_are_drawn_for_each_request_and_else_only_for_news(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, NAMES[0], "finished")
    run.write(train_record(1))
    told: list[Drawn] = []
    reader = ChartReader(told.append, Followers(), every_s=0.0)
    for drawings in (1, 2):  # an equal request too: what was drawn for the first may have been thrown away
        wanted = Wanted(tuple(charted(run)), CHARTS, View("step"))
        for _ in range(3):
            reader._step(wanted)
        assert len(told) == drawings
    run.write(train_record(2))
    for _ in range(3):
        reader._step(wanted)
    assert len(told) == 3 and told[-1].runs[0].records == 2


def test_a_long_file_is_sketched_first_and_then_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun(tmp_path, NAMES[0], "finished")
    lines = [json.dumps(train_record(step, loss=50.0 if step == 4321 else 1.0)) + "\n" for step in range(9000)]
    run.append("".join(lines))
    monkeypatch.setattr(followers, "SKETCHED_ABOVE", 1000)
    monkeypatch.setattr(followers, "SKETCH_RECORDS", 100)
    reader, thread, told = follow(Wanted(tuple(charted(run)), CHARTS, View("step")))
    try:
        wait_for(lambda: told and told[-1].progress == 1 and told[-1].runs[0].records == 9000)
    finally:
        reader.stop()
        thread.join(PATIENCE_S)
    first, last = told[0], told[-1]
    assert first.runs[0].records == 0 and first.progress < 1
    assert any(letter > "\u2800" for row in first.charts["loss"].rows for letter in row.text)
    assert first.extent is not None and first.extent[1] > 8000
    assert last.charts["loss"].y[1] >= 50.0 > first.charts["loss"].y[1]
    assert last.extent == (0.0, 8999.0)


def test_the_thread_tells_nothing_when_nothing_is_new(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    reader, thread, told = follow(Wanted(tuple(charted(run)), CHARTS, View()))
    try:
        wait_for(lambda: told and told[-1].runs and told[-1].runs[0].records == 202)
        count = len(told)
        time.sleep(0.2)
        assert len(told) == count
        reader.want(Wanted(tuple(charted(run)), CHARTS, View("step")))
        wait_for(lambda: len(told) == count + 1)
        assert not reader.values("nothing", 1.0)
    finally:
        reader.stop()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()
