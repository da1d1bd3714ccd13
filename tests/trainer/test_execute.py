"""Every way in which a run can end, and what it leaves behind."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.batches.batches import evaluation_batches
from cnn_explorer.trainer.data import datasets
from cnn_explorer.trainer.devices.process_group import Group
from cnn_explorer.trainer.launch import execute, signals, spawn
from cnn_explorer.trainer.launch.execute import execute_queue, execute_run
from cnn_explorer.trainer.loop.evaluate import evaluate
from cnn_explorer.trainer.planning import planner
from cnn_explorer.trainer.runs.lock import is_locked
from cnn_explorer.trainer.runs.run_writer import RunWriter, checkpoint_paths
from cnn_explorer.trainer.weights import checkpoint
from support.training import asked, bench, create_run, records_of, same, status_of, weights_of

INTERRUPTED = 130


def run_to_end(path: Path, lock) -> tuple[int, list[str]]:
    lines: list[str] = []
    return execute_run(path, lock, log=lines.append), lines


def resume(path: Path) -> tuple[int, list[str]]:
    return run_to_end(path, spawn.prepare_resume(path))


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM) -> None:
    """Send this process a signal during update ``step``."""
    from cnn_explorer.trainer.loop.trainer import Trainer

    update = Trainer._update

    def signalled(trainer, images, targets) -> None:
        if trainer.step + 1 == step:
            os.kill(os.getpid(), number)
        update(trainer, images, targets)

    monkeypatch.setattr(Trainer, "_update", signalled)


def test_a_run_that_finishes(home: Path) -> None:
    path, lock = create_run(home / "runs")
    code, lines = run_to_end(path, lock)
    status = status_of(path)
    assert code == 0
    assert (status["state"], status["exit"], status["error"], status["progress"]) == ("finished", 0, None, 1.0)
    assert not is_locked(path)
    assert sum(line.startswith("epoch") for line in lines) == 3
    assert (path / "train.log").read_text().splitlines() == lines
    [test] = [record for record in records_of(path, "eval") if record["split"] == "test"]
    assert status["test"]["accuracy"] == test["accuracy"] > 0.4
    assert [sum(row) for row in test["confusion"]] == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    assert test["per_class"][0] == test["confusion"][0][0] / 36


def test_the_test_part_is_evaluated_with_the_best_weights(home: Path) -> None:
    path, lock = create_run(home / "runs", recipe={"schedule": "constant", "lr": 0.5, "epochs": 4})
    run_to_end(path, lock)
    test = records_of(path, "eval")[-1]
    best = checkpoint.read(checkpoint_paths(path).best)
    assert test["best_epoch"] == best["epoch"] == status_of(path)["best"]["epoch"]
    with bench(path, spawn.RunLock.acquire(path)) as made:
        made.session.network.load_state_dict(best["model"])
        data = datasets.load("digits", home, home)
        found = evaluate(made.session.network, evaluation_batches(data.test, made.session.input_transform), 10)
    assert (found.accuracy, found.confusion) == (test["accuracy"], test["confusion"])


@pytest.fixture
def heard_hangup() -> Iterator[None]:
    """SIGHUP is not ignored, as it is where the tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heard_hangup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_after_the_step_and_resume_gives_the_same_weights(
    home: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    whole, stopped = create_run(home / "runs"), create_run(home / "runs")
    run_to_end(*whole)
    handlers = [signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    with monkeypatch.context() as patch:
        stop_at(patch, 29, number)
        code, lines = run_to_end(*stopped)
    path = stopped[0]
    assert [signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)] == handlers
    assert (code, status_of(path)["state"], status_of(path)["exit"]) == (INTERRUPTED, "stopped", INTERRUPTED)
    assert status_of(path)["step"] == checkpoint.read(checkpoint_paths(path).last)["step"] == 29
    assert any("runs resume" in line for line in lines)
    assert resume(path)[0] == 0
    assert same(weights_of(path), weights_of(whole[0]))
    steps = [record["step"] for record in records_of(path, "train")]
    assert steps == sorted(set(steps))
    assert sum(record["split"] == "test" for record in records_of(path, "eval")) == 1


def test_a_second_signal_leaves_at_once_but_an_echo_of_the_first_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(signals.os, "_exit", left.append)
    now = [10.0]
    monkeypatch.setattr(signals.time, "monotonic", lambda: now[0])
    with signals.StopSignals() as heard:
        os.kill(os.getpid(), signal.SIGTERM)
        now[0] += 0.1
        os.kill(os.getpid(), signal.SIGINT)
        assert heard.wanted == signal.SIGTERM and not left
        now[0] += 1.0
        os.kill(os.getpid(), signal.SIGINT)
        assert left == [INTERRUPTED]


def test_a_hangup_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.StopSignals() as heard:
            os.kill(os.getpid(), signal.SIGHUP)
            assert heard.wanted is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_request_in_the_folder_stops_at_the_next_record(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = create_run(home / "runs")
    from cnn_explorer.trainer.loop.trainer import Trainer

    train_epoch = Trainer._train_epoch

    def ask(trainer) -> None:
        if trainer.step == 20:
            (path / "control" / "stop").touch()
        train_epoch(trainer)

    monkeypatch.setattr(Trainer, "_train_epoch", ask)
    code, _ = run_to_end(path, lock)
    assert (code, status_of(path)["state"]) == (INTERRUPTED, "stopped")
    assert 20 < status_of(path)["step"] <= 40
    monkeypatch.undo()


def test_a_queue_goes_on_after_a_failure_and_skips_what_was_stopped(home: Path) -> None:
    runs = [create_run(home / "runs", name) for name in ("tiny_broken", "tiny", "tiny")]
    (runs[1][0] / "control" / "stop").touch()
    codes = execute_queue([path for path, _ in runs], [lock for _, lock in runs], log=lambda line: None)
    assert codes == [1, INTERRUPTED, 0]
    assert [status_of(path)["state"] for path, _ in runs] == ["failed", "stopped", "finished"]


def test_a_signal_stops_the_whole_queue_unless_one_run_was_meant(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(monkeypatch, 5)
    runs = [create_run(home / "runs") for _ in range(3)]
    codes = execute_queue([path for path, _ in runs], [lock for _, lock in runs], log=lambda line: None)
    assert codes == [INTERRUPTED] * 3
    assert [status_of(path)["state"] for path, _ in runs] == ["stopped"] * 3
    assert not any(is_locked(path) for path, _ in runs)

    from cnn_explorer.trainer.loop.trainer import Trainer

    update = Trainer._update
    only = create_run(home / "runs"), create_run(home / "runs", recipe={"epochs": 1, "batch_size": 300})

    def meant_for_one(trainer, images, targets) -> None:
        if trainer.step == 3 and trainer.total > 5:
            (only[0][0] / "control" / "stop").touch()
        update(trainer, images, targets)

    monkeypatch.setattr(Trainer, "_update", meant_for_one)
    codes = execute_queue([path for path, _ in only], [lock for _, lock in only], log=lambda line: None)
    assert codes == [INTERRUPTED, 0]


def test_an_error_of_the_program_is_one_line_and_its_traceback_is_in_the_log_alone(home: Path) -> None:
    path, lock = create_run(home / "runs", "tiny_broken")
    code, lines = run_to_end(path, lock)
    status = status_of(path)
    assert (code, status["state"], status["exit"]) == (1, "failed", 1)
    assert status["error"] == "ZeroDivisionError: the network cannot go on (tiny.py, line 25; traceback in train.log)"
    assert not any("Traceback" in line for line in lines)
    assert "Traceback (most recent call last)" in (path / "train.log").read_text()


def test_a_run_that_diverges(home: Path) -> None:
    path, lock = create_run(home / "runs", "lenet5", recipe={"optimizer": "sgd", "lr": 1e6, "epochs": 2})
    code, lines = run_to_end(path, lock)
    status = status_of(path)
    assert (code, status["state"]) == (1, "diverged")
    newest = records_of(path, "train")[-1]
    # A record is about many steps: the charts name the same one of them as the error does.
    assert f"at step {newest['nonfinite_step']}; " in status["error"] and "--lr" in status["error"]
    assert newest["nonfinite_step"] <= newest["step"]
    assert any("diverged" in line for line in lines)
    assert not any(record["split"] == "test" for record in records_of(path, "eval"))


def test_out_of_memory_is_told_with_a_remedy() -> None:
    for error in (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ):
        assert "--batch-size" in execute._one_line(error)


def test_a_corrupt_checkpoint_gives_way_to_the_one_before_and_the_result_is_the_same(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, (path, lock) = create_run(home / "runs"), create_run(home / "runs")
    run_to_end(*whole)
    from cnn_explorer.trainer.loop import checkpointer

    monkeypatch.setattr(checkpointer, "COST_SHARE", float("inf"))
    with monkeypatch.context() as patch:
        stop_at(patch, 47)
        run_to_end(path, lock)
    paths = checkpoint_paths(path)
    damaged = bytearray(paths.last.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    paths.last.write_bytes(damaged)
    code, lines = resume(path)
    assert code == 0
    assert any("last.pt is damaged" in line and "previous.pt" in line for line in lines)
    assert any("going on from step 40 of 60" in line for line in lines)
    assert "checkpoint_damaged" in [event["name"] for event in records_of(path, "event")]
    assert same(weights_of(path), weights_of(whole[0]))
    steps = [record["step"] for record in records_of(path, "train")]
    assert steps == sorted(set(steps))


def test_no_whole_checkpoint_is_a_failure_and_destroys_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = create_run(home / "runs")
    with monkeypatch.context() as patch:
        stop_at(patch, 30)
        run_to_end(path, lock)
    records = (path / "metrics.jsonl").read_bytes()
    for file in (checkpoint_paths(path).last, checkpoint_paths(path).previous):
        file.write_bytes(b"garbage")
    code, lines = resume(path)
    assert (code, status_of(path)["state"]) == (1, "failed")
    assert "last.pt is damaged" in status_of(path)["error"]
    assert (path / "metrics.jsonl").read_bytes() == records
    assert not any("Traceback" in line for line in lines)


def test_a_damaged_best_checkpoint_costs_the_best_weights_only(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, lock = create_run(home / "runs")
    with monkeypatch.context() as patch:
        stop_at(patch, 60)
        run_to_end(path, lock)
    monkeypatch.setattr("cnn_explorer.trainer.loop.trainer.BestEvaluation.beaten_by", lambda self, evaluation: False)
    checkpoint_paths(path).best.write_bytes(b"garbage")
    code, lines = resume(path)
    assert code == 0
    assert any("best.pt is damaged" in line and "last weights" in line for line in lines)


def test_killed_between_the_test_and_its_end_no_result_is_written_twice(home: Path) -> None:
    path, lock = create_run(home / "runs")
    run_to_end(path, lock)
    status = path / "status.json"
    status.write_text(status.read_text().replace('"finished"', '"testing"'))
    code, _ = resume(path)
    assert code == 0
    assert [record["split"] for record in records_of(path, "eval")] == ["validation"] * 3 + ["test"]
    assert status_of(path)["state"] == "finished"


def test_data_that_changed_since_the_run_began(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    for part, count in (("train", 12), ("test", 4)):
        for label in ("cat", "dog"):
            folder = home / "pets" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (9, 7), (number * 9, 50, 99)).save(folder / f"{number}.png")
    created = [create_run(home / "runs", dataset=f"folder:{home / 'pets'}", recipe={"epochs": 2}) for _ in range(2)]
    with monkeypatch.context() as patch:
        stop_at(patch, 1)
        assert [run_to_end(*one)[0] for one in created] == [INTERRUPTED] * 2
    (path, _), (other, _) = created
    Image.new("RGB", (9, 7), "white").save(home / "pets" / "train" / "cat" / "0.png")
    code, lines = resume(other)
    assert code == 0 and any("no longer those that the run began with" in line for line in lines)
    assert "data_changed" in [event["name"] for event in records_of(other, "event")]
    (home / "pets" / "train" / "cat" / "0.png").unlink()
    code, _ = resume(path)
    assert (code, status_of(path)["state"]) == (1, "failed")
    assert "has changed since the run began: train" in status_of(path)["error"]


def test_a_run_with_a_damaged_configuration(home: Path) -> None:
    path, lock = create_run(home / "runs")
    (path / "run.json").write_text('{"network": {"name": "tiny"}}')
    code, _ = run_to_end(path, lock)
    assert code == 1
    assert "run.json" in status_of(path)["error"]
    path, lock = create_run(home / "runs")
    (path / "run.json").write_text("{")
    code, lines = run_to_end(path, lock)
    assert (code, len(lines)) == (1, 1)
    assert "run.json is damaged" in lines[0]


def test_a_resumed_run_keeps_its_threads_as_far_as_there_are_cores(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr(execute.hardware, "use_threads", used.append)
    monkeypatch.setattr(execute.hardware, "usable_cores", lambda: 2)
    said: list[str] = []
    execute._configure_process(
        2, home / "runs" / "a", said.append, execute.ExecutionContext(signals.StopSignals(), detached=True)
    )
    assert (used, said) == ([2], [])
    execute._configure_process(
        8, home / "runs" / "a", said.append, execute.ExecutionContext(signals.StopSignals(), detached=True)
    )
    assert used == [2, 2] and "2 threads instead of 8" in said[0]


def test_what_is_prepared_is_what_is_written(home: Path) -> None:
    path, lock = create_run(home / "runs", "resnet20", dataset="digits", seed=7, recipe={"epochs": 4})
    lock.release()
    config = spawn.read_run(path).config
    assert list(config)[:4] == ["schema", "id", "created", "host"]
    assert config["network"] == {
        "name": "resnet20",
        "stem": None,
        "in_channels": 1,
        "image_size": 28,
        "num_classes": 10,
        "parameters": config["network"]["parameters"],
        "pretrained": None,
    }
    assert (config["data"]["train"], config["data"]["validation"], config["data"]["test"]) == (1294, 144, 359)
    assert (config["recipe"]["epochs"], config["seed"], config["engine"]["threads"]) == (4, 7, 1)
    assert {"cnn_explorer", "torch", "python"} <= config["versions"].keys()


def plan(**options):
    said: list[str] = []
    return planner.plan(asked(**options), said.append).config, said


def test_the_form_fits_the_images_and_that_is_said(home: Path) -> None:
    config, said = plan(network="resnet18", dataset="digits")
    assert (config.network.stem, config.network.image_size) == ("small", 28)
    assert any("the stem for small images" in line for line in said)
    config, said = plan(network="resnet18", dataset="digits", stem="imagenet")
    assert (config.network.stem, config.network.image_size) == ("imagenet", 224)
    assert any("resized from 28×28 to 224×224" in line for line in said)
    config, _ = plan(network="resnet18", dataset="digits", stem="imagenet", image_size=64)
    assert (config.network.stem, config.network.image_size) == ("imagenet", 64)
    config, said = plan(network="tiny")
    assert (config.network.stem, config.network.image_size, said) == (None, 28, [])


def test_a_run_can_be_repeated_from_its_run_json_bit_for_bit(home: Path) -> None:
    path, lock = create_run(home / "runs", seed=3, recipe={"lr": 0.03, "epochs": 2}, validation=100)
    run_to_end(path, lock)
    again, lock = create_run(home / "runs", network=None, config=path / "run.json", threads=None, device=None)
    run_to_end(again, lock)
    first, second = (spawn.read_run(found).config for found in (path, again))
    for key in ("network", "data", "recipe", "engine", "seed"):
        assert first[key] == second[key], key
    assert same(weights_of(path), weights_of(again))
    changed, _ = plan(network="lenet5", config=path / "run.json", recipe={"epochs": 9}, seed=4, dataset="digits")
    assert (changed.network.name, changed.recipe.lr, changed.recipe.epochs, changed.seed) == ("lenet5", 0.03, 9, 4)


def test_without_a_validation_part_the_last_weights_are_the_best(home: Path) -> None:
    path, lock = create_run(home / "runs", validation=0)
    assert run_to_end(path, lock)[0] == 0
    assert [record["split"] for record in records_of(path, "eval")] == ["test"]
    assert same(weights_of(path, "best"), weights_of(path, "last"))
    assert status_of(path)["best"] is None and status_of(path)["test"]["epoch"] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": None}, "network: give the name"),
        ({"network": "tinny"}, "did you mean 'tiny'"),
        ({"network": "tiny", "dataset": "digit"}, "dataset: 'digit' is not a data set; did you mean 'digits'"),
        ({"network": "tiny", "stem": "large"}, "stem: 'large' is unknown"),
        ({"network": "tiny", "seed": -1}, "seed: -1 must be"),
        ({"network": "tiny", "device": "gpu"}, "device: 'gpu' is not a device"),
        ({"network": "tiny", "device": "cuda:99"}, "device: 'cuda:99' cannot be used"),
        ({"network": "tiny", "precision": "fp8"}, "precision: 'fp8' is unknown"),
        ({"network": "tiny", "threads": 0}, "threads: 0 must be at least 1"),
        ({"network": "tiny", "validation": 1e9}, "validation: "),
        (
            {"network": "lenet5", "image_size": 5},
            "image-size: 5 does not work for lenet5.*the smallest that works is 12",
        ),
        ({"network": "tiny", "recipe": {"batch_size": 2000}}, "batch-size: 2000 .* the largest that works is 1294"),
    ],
)
def test_what_cannot_be_prepared(home: Path, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan(**options)


def test_a_run_killed_before_its_first_checkpoint_begins_without_its_old_records(home: Path) -> None:
    path, lock = create_run(home / "runs", recipe={"epochs": 1})
    with RunWriter.open(path, lock) as writer:
        writer.record({"kind": "train", "step": 5, "epoch": 0.25, "loss": 99.0})
    code, lines = run_to_end(path, lock)
    assert code == 0 and any("going on from step 0 of 20" in line for line in lines)
    assert 99.0 not in [record["loss"] for record in records_of(path, "train")]


def test_why_a_run_could_not_be_begun_is_told_and_written_down(home: Path) -> None:
    path, lock = create_run(home / "runs")
    lines: list[str] = []
    execute.fail(path, lock, "no room", execute.ExecutionContext(signals.StopSignals(), lines.append))
    assert lines == [f"cnn-explorer: run {path.name}: failed: no room"]
    status = status_of(path)
    assert (status["state"], status["exit"], status["error"]) == ("failed", 1, "no room")
    lock.release()


def test_a_rank_takes_leave_of_the_others_when_it_is_done(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[Group] = []

    class Leaving(Group):
        def destroy(self) -> None:
            left.append(self)

    path, lock = create_run(home / "runs")
    group = Leaving()
    monkeypatch.setattr(execute, "train_here", lambda *_: INTERRUPTED)
    assert execute.execute_rank(path, lock, group) == 0
    assert left == [group]
    lock.release()


def test_a_run_that_cannot_write_its_weights_waits_and_then_is_finished(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = create_run(home / "runs")
    lines = disk_that_is_full_until(monkeypatch, lambda waited: waited == 3)
    code = execute_run(path, lock, log=lines.append)
    assert (code, status_of(path)["state"]) == (0, "finished")
    assert sum("waits for the disk to take its weights" in line for line in lines) == 1
    assert checkpoint.read(checkpoint_paths(path).last)["step"] == 60
    events = [event["name"] for event in records_of(path, "event")]
    assert events == ["checkpoint_failed", "checkpoint"], "said once, however often it was tried"


def test_a_run_whose_weights_never_find_room_failed_and_is_mended_by_resuming(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, (path, lock) = create_run(home / "runs"), create_run(home / "runs")
    run_to_end(*whole)
    with monkeypatch.context() as patch:
        lines = disk_that_is_full_until(patch, lambda waited: False)
        patch.setattr("cnn_explorer.trainer.loop.trainer.PATIENCE_S", 60.0)
        code = execute_run(path, lock, log=lines.append)
    assert (code, status_of(path)["state"]) == (1, "failed")
    assert "the weights could not be written: No space left on device" in status_of(path)["error"]
    assert not any(record["split"] == "test" for record in records_of(path, "eval"))
    assert resume(path)[0] == 0
    for which in ("last", "best"):
        assert same(weights_of(path, which), weights_of(whole[0], which))


def test_a_stop_while_the_disk_is_waited_for_gives_the_weights_up_and_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = create_run(home / "runs")

    def interrupt(waited: int) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return False

    lines = disk_that_is_full_until(monkeypatch, interrupt)
    assert execute_run(path, lock, log=lines.append) == INTERRUPTED
    assert any("since the last checkpoint is lost: No space left" in line for line in lines)


def disk_that_is_full_until(patch: pytest.MonkeyPatch, room: Callable[[int], bool]) -> list[str]:
    """Checkpoints find no room until ``room(n)`` says so at the n-th wait of the trainer."""

    full, waits, now = [True], [0], [0.0]
    write, write_last = checkpoint.write, checkpoint.write_last

    def refuse(function: Callable) -> Callable:
        def call(*arguments):
            if full[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            return function(*arguments)

        return call

    class Clock:
        perf_counter = staticmethod(time.perf_counter)

        @staticmethod
        def monotonic() -> float:
            return now[0]

        @staticmethod
        def sleep(seconds: float) -> None:
            waits[0] += 1
            now[0] += seconds
            full[0] = not room(waits[0])

    patch.setattr(checkpoint, "write", refuse(write))
    patch.setattr(checkpoint, "write_last", refuse(write_last))
    patch.setattr("cnn_explorer.trainer.loop.trainer.time", Clock)
    return []
