"""What the screens of runs are made of, without a screen: orders, previews, marks, classes, stages, endings, followers."""

from __future__ import annotations

import json
import math
import queue
import threading
from pathlib import Path

import pytest
from cnn_explorer.trainer.config.request import all_settings
from cnn_explorer.trainer.runs.annotations import Notes, read_notes, write_notes
from cnn_explorer.trainer.runs.reader import list_runs, read_run
from cnn_explorer.trainer.runs.run import RunSnapshot
from cnn_explorer.trainer.runs.states import STATES
from cnn_explorer.tui.charts.followers import Followers
from cnn_explorer.tui.charts.selection import RunSelection
from cnn_explorer.tui.charts.view import Curves
from cnn_explorer.tui.core import options, saved_state
from cnn_explorer.tui.core.saved_state import SavedState
from cnn_explorer.tui.runs import actions, classes, notifications, run_page, run_table
from cnn_explorer.tui.runs.run_previews import PreviewWatch, RunPreview
from cnn_explorer.tui.runs.run_tail import RunNews, RunTail
from support.patience import PATIENCE_S
from support.tui import FakeRun, drawable, eval_record, train_record

NAMES = [f"20261120-14302{number}-lenet5-digits-{'abcdefgh'[number]}f3a" for number in range(8)]


def run_of(name: str = NAMES[0], state: str = "finished", **status: object) -> RunSnapshot:
    """A run that exists in memory alone."""
    config = {"network": {"name": "lenet5"}, "data": {"name": "digits"}, "recipe": {"epochs": 10}}
    return RunSnapshot(name, Path("/runs") / name, config, dict(status), Notes(), state)


# The list


def test_orders_put_what_is_asked_first_and_keep_the_newest_first_within() -> None:
    runs = [
        run_of(NAMES[3], "finished", best={"accuracy": 0.9}),
        run_of(NAMES[2], "training", eta_s=50),
        run_of(NAMES[1], "training", eta_s=5, best={"accuracy": 0.95}),
        run_of(NAMES[0], "crashed"),
    ]

    def order(name: str) -> list[int]:
        return [NAMES.index(run.id) for run in run_table.ordered(runs, name)]

    assert order("newest") == order("no such order") == order("network") == [3, 2, 1, 0]
    assert order("best accuracy") == [1, 3, 2, 0]
    assert order("state") == [2, 1, 3, 0]
    assert order("time left") == [1, 2, 3, 0]


def test_a_row_has_figures_and_a_course() -> None:
    run = run_of(state="training", phase="epoch 3 of 10", eta_s=95, best={"accuracy": 0.914})
    cells = run_table.cells(run, "●", RunPreview((0.1, 0.5, 0.9), 21_345.0))
    assert cells[:6] == ("●", "►", "lenet5", "digits", "epoch 3/10", "91.4")
    assert cells[6].rstrip() == "▁▅█" and cells[8:10] == ("21.3k", "1:35")
    starting = run_of(state="starting", phase="compiling")
    assert run_table.cells(starting)[4] == "compiling"
    assert [run_table.pace(value) for value in (9.52, 950, 21_300, 1.2e6)] == ["9.5", "950", "21.3k", "1.2M"]


def preview_of(path: Path) -> RunPreview:
    told: dict[str, RunPreview] = {}

    def take(found: dict[str, RunPreview]) -> None:
        told.update(found)
        watch.stop()

    watch = PreviewWatch(take, Followers())
    watch.want([path])
    watch.run()
    return told[path.name]


def test_a_preview_is_the_validation_and_before_it_the_training(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, NAMES[0])
    run.write(train_record(1, accuracy=0.2), train_record(2, accuracy=0.4))
    assert preview_of(run.path) == RunPreview((0.2, 0.4), 1000.0)
    run.append("torn {\n")
    run.write(eval_record(1, 0.6), eval_record(2, 0.7), {"kind": "eval", "split": "test", "accuracy": 0.1})
    assert preview_of(run.path).accuracies == (0.6, 0.7)
    assert preview_of(tmp_path / "nowhere") == RunPreview()


def test_previews_report_only_what_changed(tmp_path: Path) -> None:
    run, other = FakeRun(tmp_path, NAMES[0]), FakeRun(tmp_path, NAMES[1])
    run.write(eval_record(1, 0.6))
    told: queue.Queue[dict[str, RunPreview]] = queue.Queue()
    watch = PreviewWatch(told.put, Followers(), every_s=0.01)
    watch.want([run.path, other.path])
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        assert told.get(timeout=PATIENCE_S) == {NAMES[0]: RunPreview((0.6,)), NAMES[1]: RunPreview()}
        run.write(eval_record(2, 0.7))
        assert told.get(timeout=PATIENCE_S) == {NAMES[0]: RunPreview((0.6, 0.7))}
        (run.path / "metrics.jsonl").write_text(json.dumps(eval_record(1, 0.9)) + "\n")
        assert told.get(timeout=PATIENCE_S) == {NAMES[0]: RunPreview((0.9,))}
    finally:
        watch.stop()
        thread.join(PATIENCE_S)


# What is drawn together


def test_slots_stay_and_never_clash() -> None:
    runs = [run_of(name) for name in NAMES]
    selection = RunSelection()
    before = {one.path.name: one.slot for one in selection.charted(runs, NAMES[0])}
    for name in NAMES:
        assert selection.toggle(name)
    shown = {one.path.name: one.slot for one in selection.charted(runs, NAMES[5])}
    assert len(set(shown.values())) == len(NAMES) and before.items() <= shown.items()
    assert next(iter(shown)) == NAMES[5]
    selection.toggle(NAMES[5])
    assert {one.path.name: one.slot for one in selection.charted(runs, NAMES[1])}.items() <= shown.items()


def test_marks_and_pin_survive_deletion_of_the_run_and_the_end_of_the_app(tmp_path: Path) -> None:
    selection = RunSelection(["gone", NAMES[1]], NAMES[2])
    runs = [run_of(name) for name in NAMES]
    found = selection.charted(runs, NAMES[0])
    assert [(one.path.name, one.pinned) for one in found] == [(NAMES[0], False), (NAMES[2], True), (NAMES[1], False)]
    assert (
        selection.sign(NAMES[0]) == "" and selection.sign(NAMES[2]).endswith("↑") and len(selection.sign(NAMES[1])) == 1
    )
    assert selection.sign(NAMES[1], ascii=True).isascii()
    saved_state.save(tmp_path, SavedState(marked=selection.marked, pinned=selection.pinned))
    assert saved_state.load(tmp_path).marked == ["gone", NAMES[1]] and saved_state.load(tmp_path).pinned == NAMES[2]
    selection.clear()
    assert [one.path.name for one in selection.charted(runs, NAMES[0])] == [NAMES[0]]


# One run


def test_stages_show_the_place_and_the_phase() -> None:
    line = run_page.stages(run_of(state="starting", phase="compiling"))
    assert line == "✓ queued  [◐ starting: compiling]  training  testing  finished"
    assert "[► training: epoch 3 of 10]" in run_page.stages(run_of(state="training", phase="epoch 3 of 10"))
    assert run_page.stages(run_of(state="finished")).count("✓") == 5
    assert run_page.stages(run_of(state="failed")) == ""


def test_setup_names_everything_and_every_file(tmp_path: Path) -> None:
    FakeRun(tmp_path, NAMES[0])
    config = json.loads((tmp_path / NAMES[0] / "run.json").read_text())
    config |= {
        "argv": ["train", "lenet5", "--remark", "two words"],
        "engine": {"threads": 1, "calibration": {"fp32": 120.5}},
    }
    config["recipe"] |= {"nesterov": True, "milestones": [], "images": 123_456}
    (tmp_path / NAMES[0] / "run.json").write_text(json.dumps(config | {"weights": {"source": "torchvision"}}))
    rows = dict(run_page.setup(read_run(tmp_path / NAMES[0])))
    assert rows["command"] == "cnn-explorer train lenet5 --remark 'two words'"
    assert rows["calibration fp32"] == "120.5" and rows["nesterov"] == "yes" and rows["milestones"] == "–"
    assert rows["images"] == "123,456" and rows["weights source"] == "torchvision"
    assert str(tmp_path / NAMES[0] / "checkpoints/best.pt") in rows["best.pt"]
    assert run_page.setup(run_of())[0] == ("run", "")


def test_setup_has_the_names_of_the_form_and_leaves_out_what_changes_nothing() -> None:
    recipe = {
        "optimizer": "sgd",
        "momentum": 0.9,
        "betas": [0.9, 0.999],
        "eps": 1e-8,
        "tta": "flip",
        "augment": ["cutout"],
    }
    config = {
        "network": {"in_channels": 1, "num_classes": 10, "image_size": 28, "stem": "small"},
        "data": {"name": "digits", "validation": 144, "held_out": 0.1, "train": 1294},
        "recipe": recipe | {"cutout_size": 8, "crop_padding": 4, "rest_lr": 0.1},
        "engine": {"channels_last": True},
        "checkpoints": {"minutes": 5.0, "keep": 2},
    }
    run = RunSnapshot(NAMES[0], Path("/runs") / NAMES[0], config, {}, Notes(), "finished")
    rows = dict(run_page.setup(run))
    assert not {"betas", "eps", "crop padding", "AdamW lr", "rest lr"} & rows.keys()
    assert (rows["momentum"], rows["cutout size"]) == ("0.9", "8")
    settings = ("image_size", "stem", "dataset", "validation", "tta", "augment", "channels_last", "minutes", "keep")
    assert {all_settings()[key][1].words for key in settings} <= rows.keys()
    assert (rows["validation split"], rows["validation images"], rows["classes"]) == ("0.1", "144", "10")
    config["recipe"] = recipe | {"optimizer": "adamw"}
    rows = dict(run_page.setup(RunSnapshot(NAMES[0], Path("/runs"), config, {}, Notes(), "finished")))
    assert "betas" in rows and "momentum" not in rows


CONFUSION = {"per_class": [0.9, 0.5, None], "confusion": [[9, 1, 0], [3, 5, 2], [0, 0, 0]]}


def test_classes_show_now_then_and_the_test() -> None:
    course = [(1.0, (0.5, 0.4, math.nan)), (2.0, (0.75, 0.3, math.nan))]
    found = classes.rows(["cat", "dog", "cow"], course, CONFUSION)
    assert [row.name for row in found] == ["cat", "dog", "cow"]
    assert found[0].now == 0.75 and found[0].gained == 0.25 and found[0].test == 0.9
    assert found[1].taken_for == "cat 3×" and found[2].taken_for == ""
    assert [row.name for row in classes.worst_first(found)] == ["dog", "cat", "cow"]
    assert classes.rows(["a"], [], {}) == []


def test_the_worst_class_is_that_of_the_test_where_there_is_one() -> None:
    """The validation, on other images, has another order; it counts as long as there is no test."""
    course = [(1.0, (0.2, 0.5, 0.9))]
    names = ["cat", "dog", "cow"]
    tested = classes.rows(names, course, {"per_class": [0.9, 0.5, 0.4]})
    assert [row.name for row in classes.worst_first(tested)] == ["cow", "dog", "cat"]
    assert [row.name for row in classes.worst_first(classes.rows(names, course, {}))] == ["cat", "dog", "cow"]


def test_classes_without_names_are_numbered() -> None:
    course = [(1.0, (0.5, 0.4, math.nan)), (2.0, (0.75, 0.3, math.nan))]
    assert [row.name for row in classes.rows([], course, {})] == ["0", "1", "2"]


@pytest.mark.parametrize("confusion", [None, 7, [[1, 2], [3]], [[1, "x"], [2, True]], [1, 2]])
def test_confusion_counts_of_any_kind_are_survived(confusion: object) -> None:
    test = {"confusion": confusion, "per_class": confusion}
    assert classes.confusion_lines(classes.matrix(test), ["a"])
    classes.rows(["a"], [(1.0, (0.5, 0.5))], test)


def test_confusion_is_a_matrix_with_the_pairs_below() -> None:
    lines = classes.confusion_lines(classes.matrix(CONFUSION), ["cat", "dog", "cow"])
    assert any("[9]" in line and line.startswith("cat") for line in lines)
    assert "  dog taken for cat: 3 times, 30.0 % of them" in lines
    assert lines.index("  dog taken for cat: 3 times, 30.0 % of them") < lines.index(
        "  cat taken for dog: once, 10.0 % of them"
    )
    many = [[int(row == column) for column in range(200)] for row in range(200)]
    assert classes.confusion_lines(many, []) == ["nothing was confused"]


def news_of(path: Path, *, with_log: bool = True) -> RunNews:
    """The first news of a run."""
    told: list[RunNews] = []
    ready = threading.Event()

    def take(news: RunNews) -> None:
        told.append(news)
        ready.set()

    tail = RunTail(take, Followers(), with_log=with_log, every_s=0.01)
    tail.follow(read_run(path))
    thread = threading.Thread(target=tail.run)
    thread.start()
    assert ready.wait(PATIENCE_S)
    tail.stop()
    thread.join(PATIENCE_S)
    return told[0]


def test_news_of_a_run_are_findings_classes_and_a_log_as_a_terminal_leaves_it(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, NAMES[0], "finished")
    run.write(
        train_record(100), eval_record(1, 0.5) | {"per_class": [0.5]}, {"kind": "eval", "split": "test", **CONFUSION}
    )
    (run.path / "train.log").write_bytes(b"start\x1b[2J\n 10 %\r 20 %\r100 %\nbar\r\x1b]0;title\x07half")
    news = news_of(run.path)
    assert news.findings and news.per_class == ((1.0, (0.5,)),) and news.test["confusion"]
    assert news.log == ("start", "100 %") and news.unfinished == "half" and news.restarted
    assert news_of(run.path, with_log=False).log == ()


def test_the_log_of_a_long_run_is_read_from_its_end(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, NAMES[0], "finished")
    (run.path / "train.log").write_text("".join(f"line {number}\n" for number in range(100_000)))
    news = news_of(run.path)
    assert news.log[-1] == "line 99999" and 5000 < len(news.log) < 50_000


def test_who_goes_back_to_a_run_finds_it_read(tmp_path: Path) -> None:
    runs = [FakeRun(tmp_path, name, "finished") for name in NAMES[:2]]
    for number, run in enumerate(runs):
        run.write(eval_record(1, 0.5 + 0.1 * number) | {"per_class": [0.5]})
    followers = Followers()
    told: queue.Queue[RunNews] = queue.Queue()
    tail = RunTail(told.put, followers, with_log=False, every_s=0.01)
    thread = threading.Thread(target=tail.run)
    thread.start()
    seen: set[Path] = set()
    try:
        for run in (runs[0], runs[1], runs[0]):
            if run.path in seen:
                assert run.path in drawable(followers) and run.path not in followers.watched
                run.write(eval_record(2, 0.7) | {"per_class": [0.7]})
            seen.add(run.path)
            tail.follow(read_run(run.path))
            news = told.get(timeout=PATIENCE_S)
            assert news.path == run.path and news.restarted and news.findings
            while len(news.per_class) < (2 if run is runs[0] and len(seen) > 1 else 1):
                news = told.get(timeout=PATIENCE_S)
        assert news.per_class == ((1.0, (0.5,)), (2.0, (0.7,)))
    finally:
        tail.stop()
        thread.join(PATIENCE_S)


# Tags


def test_a_new_tag_that_means_another_run_is_refused_and_an_old_one_is_kept(tmp_path: Path) -> None:
    run, other = FakeRun(tmp_path, NAMES[0]), FakeRun(tmp_path, NAMES[1])
    part = other.path.name[-4:]
    _, problem = actions.annotate(run.path, Notes(("good", part), "a remark"))
    assert problem and part in problem and not (run.path / "notes.json").exists()
    write_notes(run.path, Notes((part,), ""))  # as an earlier version took it
    _, problem = actions.annotate(run.path, Notes((part, "good"), "a remark"))
    assert not problem and read_notes(run.path) == Notes((part, "good"), "a remark")


# Endings


def test_only_what_was_alive_has_ended() -> None:
    before = [run_of(NAMES[0], "training"), run_of(NAMES[1], "finished"), run_of(NAMES[2], "queued")]
    after = [run_of(NAMES[0], "crashed"), run_of(NAMES[1], "finished"), run_of(NAMES[2], "starting"), run_of(NAMES[3])]
    assert [run.id for run in notifications.ended(before, after)] == [NAMES[0]]
    assert notifications.ended([], after) == []


def test_sentences_say_what_came_of_it() -> None:
    assert (
        notifications.sentence(run_of(test={"accuracy": 0.978})) == "✓ lenet5 on digits finished: test accuracy 97.8 %"
    )
    assert notifications.sentence(run_of(state="stopped", best={"accuracy": 0.9})).endswith(
        "stopped: best validation accuracy 90.0 %"
    )
    assert notifications.sentence(run_of(state="failed", error="disk full")).endswith(
        "✗ lenet5 on digits failed: disk full"
    )
    assert all(STATES[state].symbol in notifications.sentence(run_of(state=state)) for state in STATES)


def test_a_notification_can_do_no_more_than_notify(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    assert notifications.osc9("done") == "\x1b]9;done\x07"
    for hostile in ("a\x07\x1b[2Jb", "a\x1b\\b", "a\x9cb\x9d52;c;x\x07", "x" * 1000):
        inside = notifications.osc9(hostile)[len("\x1b]9;") : -1]
        assert inside.isprintable() and len(inside) <= notifications.LONGEST
    monkeypatch.setenv("TMUX", "/tmp/tmux")
    assert notifications.osc9("done") == "\x1bPtmux;\x1b\x1b]9;done\x07\x1b\\"


def test_how_the_terminal_is_told_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNN_EXPLORER_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text('notify = "osc9"\n')
    assert options.resolve().notify == "osc9" and options.resolve(notify="bell").notify == "bell"
    with pytest.raises(options.UsageError, match="--notify"):
        options.resolve(notify="bel")


# What is done with runs


def test_everything_that_is_done_says_how_it_went(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, NAMES[0], "finished")
    for action in (actions.stop, actions.keep_best, actions.skip, actions.resume):
        text, problem = action(run.path)
        assert not text and problem and "\n" not in problem
    assert "no comma" in actions.annotate(run.path, Notes(("a,b",)))[1]
    assert actions.annotate(run.path, Notes(("good",), "kept"))[1] == ""
    assert read_notes(run.path) == Notes(("good",), "kept")
    alive = FakeRun(tmp_path, NAMES[1], alive=True)
    assert "stop it first" in actions.delete(alive.path)[1] and alive.path.exists()
    assert actions.delete(run.path)[1] == "" and not run.path.exists()
    assert [found.id for found in list_runs(tmp_path)] == [NAMES[1]]
    assert "no longer there" in actions.annotate(run.path, Notes())[1]


def test_words_of_notes_are_found_by_the_filter(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, NAMES[0], "finished")
    write_notes(run.path, Notes(("good",), "with warm-up"))
    found = list_runs(tmp_path)
    assert run_table.matching(found, "warm LENET") == found and run_table.matching(found, "warm resnet") == []


def test_what_came_of_a_run_stands_first() -> None:
    run = run_of(best={"accuracy": 0.9, "epoch": 3}, test={"accuracy": 0.8}, ended_early=True, error="no room on disk")
    curves = Curves(run.path, 10, {"step": 1234.0, "loss": 0.25}, diverged_step=1234)
    words = "best 90.0 % (epoch 3) · test 80.0 % · diverged at step 1,234 · step 1,234 · loss 0.25"
    assert run_table.figures(run, curves) == words
    assert run_table.headline(run) == "✓ finished  ended early, as asked  no room on disk"
    assert ("error", "no room on disk") in run_page.setup(run)
    assert run_table.in_two_lines("† crashed  no room on disk", "", 18) == ("† crashed  no room", "on disk")
    assert run_table.in_two_lines("† crashed  no room on disk", words, 18) == ("† crashed  no room on disk", words)
