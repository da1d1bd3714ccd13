"""The loop: modes, records, divergence, and that a run goes on from any step as if nothing had happened."""

from __future__ import annotations

import errno
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.loop import checkpointer, trainer
from cnn_explorer.trainer.loop.evaluate import Evaluation
from cnn_explorer.trainer.loop.trainer import BestEvaluation, Diverged, Stopped
from cnn_explorer.trainer.runs.run_writer import RunWriteError, RunWriter, checkpoint_paths
from cnn_explorer.trainer.weights import checkpoint
from support.training import bench, create_run, records_of, same, status_of, weights_of


def train_to_end(path: Path, lock, stops: tuple[int, ...] = ()) -> None:
    """Train a run, stopping at each of ``stops`` and going on from the checkpoint with everything built anew."""
    for stop in (*stops, None):
        with bench(path, lock, stop) as made:
            state = checkpoint.read_newest(checkpoint_paths(path))
            torch.rand(3)  # the random state of a fresh process is another one
            if state is not None:
                made.trainer.restore(state)
            if stop is None:
                made.trainer.run()
            else:
                with pytest.raises(Stopped):
                    made.trainer.run()
                assert made.trainer.step == stop


def test_training_mode_in_every_update_and_eval_mode_in_every_evaluation(home: Path) -> None:
    seen: list[tuple[bool, bool, int]] = []
    with bench(*create_run(home / "runs")) as made:
        network = made.session.network

        def note(module, inputs, output) -> None:
            seen.append((module.training and module.dropout.training, torch.is_grad_enabled(), len(inputs[0])))

        network.register_forward_hook(note)
        network.eval()  # whatever mode it was left in
        made.trainer.run()
    per_epoch = made.session.batches.steps_per_epoch
    epoch = [(True, True, 64)] * per_epoch + [(False, False, 144)]
    assert seen == epoch * 3


@pytest.mark.parametrize("name", ["lenet5", "resnet20"])
def test_loss_before_training_is_that_of_guessing(home: Path, name: str) -> None:
    with bench(*create_run(home / "runs", name)) as made:
        batches = made.session.batches
        images, targets = batches.batch(batches.epoch(0), 0)
        made.session.network.train()
        loss = made.session.updater(images, targets, 1e-9).loss.item()
        network: Any = made.session.network
    expected = network.declaration.initial_loss or math.log(10)
    assert abs(loss - expected) < 0.2 * expected


def test_the_first_rate_is_above_zero_and_reaches_the_optimiser(home: Path) -> None:
    rates: list[float] = []
    with bench(*create_run(home / "runs", recipe={"epochs": 1})) as made:
        optimizer = made.session.updater.optimizer
        optimizer.register_step_pre_hook(lambda opt, *_: rates.append(opt.param_groups[0]["lr"]))
        made.trainer.run()
    assert len(rates) == made.trainer.total
    assert rates[0] > 0 and rates[-1] > 0
    assert max(rates) > 5 * rates[0]


def test_images_in_main_memory_make_the_same_run(home: Path) -> None:
    near, lock = create_run(home / "near", recipe={"epochs": 1})
    train_to_end(near, lock)
    far, lock = create_run(home / "far", recipe={"epochs": 1}, data_on_device=False)
    train_to_end(far, lock)
    assert same(weights_of(near), weights_of(far))


def test_records_of_a_run(home: Path) -> None:
    path, lock = create_run(home / "runs")
    with bench(path, lock) as made:
        made.trainer.run()
    train, evaluations, events = (records_of(path, kind) for kind in ("train", "eval", "event"))
    assert [record["step"] for record in train] == sorted({record["step"] for record in train})
    assert train[-1]["step"] == made.trainer.total == 60
    assert train[-1] | {"epoch": 3.0, "images": 60 * 64} == train[-1]
    assert all(record["grad_norm"] > 0 and record["lr"] > 0 and record["images_per_s"] > 0 for record in train)
    assert [record["epoch"] for record in evaluations] == [1, 2, 3]
    assert [record["step"] for record in evaluations] == [20, 40, 60]
    assert all(len(record["per_class"]) == 10 for record in evaluations)
    assert evaluations[-1]["accuracy"] > 0.5, "three epochs on the digits should teach something"
    assert events[-1] | {"name": "checkpoint", "step": 60} == events[-1]
    status = status_of(path)
    assert status["best"]["accuracy"] == max(record["accuracy"] for record in evaluations)
    assert status["progress"] == 1.0


def test_the_line_of_an_epoch_has_the_means_over_its_images(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "percent", repr)
    path, lock = create_run(home / "runs", recipe={"epochs": 2})
    with bench(path, lock) as made:
        made.trainer.run()
    told = [re.match(r"epoch .*: loss ([\d.]+), accuracy ([\d.]+);", line) for line in made.lines]
    records = records_of(path, "train")
    updates = [record["step"] - before["step"] for before, record in pairwise([{"step": 0}, *records])]
    found = [(float(line[1]), float(line[2])) for line in told if line]
    for epoch, (loss, accuracy) in enumerate(found, 1):
        own = [(n, r) for n, r in zip(updates, records, strict=True) if epoch - 1 < r["epoch"] <= epoch]
        total = sum(n for n, _ in own)
        assert loss == pytest.approx(sum(n * record["loss"] for n, record in own) / total, abs=1e-4)
        assert accuracy == pytest.approx(sum(n * record["accuracy"] for n, record in own) / total, rel=1e-4)
    assert len(found) == 2


def test_the_best_checkpoint_is_the_best_evaluation(home: Path) -> None:
    path, lock = create_run(home / "runs")
    with bench(path, lock) as made:
        made.trainer.run()
        best = made.trainer.best
        assert best is not None
        state = checkpoint.read(checkpoint_paths(path).best)
        assert (state["epoch"], state["accuracy"]) == (best.epoch, best.accuracy)
        assert state["classes"] == list("0123456789") and state["network"]["name"] == "tiny"
        made.session.network.load_state_dict(state["model"])
        again = made.trainer._evaluate()
        assert again is not None and again.accuracy == best.accuracy


def test_of_equal_accuracies_the_smaller_loss_is_better() -> None:
    best = BestEvaluation(0.9, 0.5, epoch=1, step=10)
    assert best.beaten_by(Evaluation(0.4, 0.9, [], [], 1))
    assert best.beaten_by(Evaluation(0.9, 0.91, [], [], 1))
    assert not best.beaten_by(Evaluation(0.6, 0.9, [], [], 1))
    assert not best.beaten_by(Evaluation(math.nan, 0.9, [], [], 1))


CONFIGURATIONS = {
    "sgd": {},
    "adam": {"optimizer": "adam"},
    "adamw-ema-parts": {"optimizer": "adamw", "ema": 0.9, "accumulate": 2, "clip_norm": 1.0},
    "muon-asam": {"optimizer": "muon", "sam": "asam", "accumulate": 2, "sampling": "balanced"},
    "lamb-sam": {
        "optimizer": "lamb",
        "sam": "sam",
        "ema": 0.9,
        "class_weights": "balanced",
        "augment": ["flip-alternating"],
    },
    "rmsprop-mixed": {"optimizer": "rmsprop", "augment": ["crop", "randaugment", "mixup", "cutmix"]},
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_stopped_run_goes_on_bit_for_bit(home: Path, name: str) -> None:
    whole, stopped = (create_run(home / "runs", recipe=CONFIGURATIONS[name]) for _ in range(2))
    train_to_end(*whole)
    # At the first step, within an epoch, at the end of one before its evaluation, just after one, twice in one.
    train_to_end(*stopped, stops=(1, 13, 20, 21, 45, 47, 60))
    for which in ("last", "best"):
        assert same(weights_of(whole[0], which), weights_of(stopped[0], which))
    first, second = (checkpoint.read(checkpoint_paths(path).last) for path, _ in (whole, stopped))
    assert torch.equal(first["rng"]["cpu"], second["rng"]["cpu"])
    assert first["best"] == second["best"]
    evaluations = [
        [(record["step"], record["loss"], record["per_class"]) for record in records_of(path, "eval")]
        for path, _ in (whole, stopped)
    ]
    assert evaluations[0] == evaluations[1]


def test_a_checkpoint_that_lacks_something_changes_the_result(home: Path) -> None:
    """The comparison above can fail: without the random state, or the momentum, the weights differ."""
    whole = create_run(home / "runs")
    train_to_end(*whole)
    for missing in ("rng", "optimizer"):
        path, lock = create_run(home / "runs")
        with bench(path, lock, 30) as made, pytest.raises(Stopped):
            made.trainer.run()
        state = checkpoint.read(checkpoint_paths(path).last)
        with bench(path, lock) as made:
            current = made.trainer.state()
            torch.manual_seed(99)
            made.trainer.restore(
                state | {missing: {"cpu": torch.get_rng_state()} if missing == "rng" else current[missing]}
            )
            made.trainer.run()
        assert not same(weights_of(whole[0]), weights_of(path)), missing


def test_checkpoints_within_an_epoch(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.MetricsWindow, "due", lambda self: len(self) >= 7)
    path, lock = create_run(home / "runs", recipe={"epochs": 1}, checkpoints={"minutes": 0})
    with bench(path, lock) as made:
        made.trainer.run()
    assert [r["step"] for r in records_of(path, "event") if r["name"] == "checkpoint"] == [7, 14, 20]
    assert [r["step"] for r in records_of(path, "train")] == [7, 14, 20]


def test_the_newest_checkpoints_after_an_epoch_are_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        checkpointer, "COST_SHARE", 0.0
    )  # so dear that without a request to keep them none would be written
    path, lock = create_run(home / "runs", recipe={"epochs": 5}, checkpoints={"keep": 3})
    with bench(path, lock) as made:
        made.trainer.run()
    paths = checkpoint_paths(path)
    assert [number for number, _ in paths.kept()] == [3, 4, 5]
    assert sorted(entry.name for entry in paths.folder.iterdir()) == [
        "best.pt",
        "epoch-0003.pt",
        "epoch-0004.pt",
        "epoch-0005.pt",
        "last.pt",
        "previous.pt",
    ]
    fourth = checkpoint.read(paths.of_epoch(4))
    assert (fourth["step"], fourth["evaluated"]) == (80, 4)
    assert paths.of_epoch(5).stat().st_ino == paths.last.stat().st_ino, "a second name takes no room"
    with bench(path, lock) as made:
        for damaged in (paths.last, paths.previous):
            damaged.write_bytes(b"garbage")
        state = checkpoint.read_newest(paths, log=made.lines.append)
    # What damages last.pt and previous.pt damages their second names, so the one before these is used.
    assert state is not None and state["step"] == 60
    assert "last.pt is damaged" in made.lines[-1] and "going on from epoch-0003.pt" in made.lines[-1]


def test_the_best_weights_are_on_disk_before_the_checkpoint_that_tells_of_them(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two writes, a run that goes on must not believe in best weights that never came to the disk."""
    written: list[int] = []
    write_last = checkpoint.write_last

    def look_first(state: dict, paths, *more: Any) -> None:
        written.append(checkpoint.read(paths.best)["step"] if paths.best.exists() else 0)
        write_last(state, paths, *more)

    monkeypatch.setattr(checkpoint, "write_last", look_first)
    with bench(*create_run(home / "runs")) as made:
        for step in (20, 40):
            made.checkpointer.offer_best({"step": step})
            assert made.checkpointer.save(lambda step=step: {"step": step}, step)
    assert written == [20, 40]


def test_writing_checkpoints_takes_a_small_part_of_the_time(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(checkpointer.time, "monotonic", lambda: now[0])

    def write(state: dict, *_: object) -> None:
        now[0] += 2.0

    monkeypatch.setattr(checkpoint, "write_last", write)
    with bench(*create_run(home / "runs")) as made:
        held = made.checkpointer
        assert held.due(at_epoch_end=True), "the cost of the first one is not known"
        assert held.save(dict, 1)
        now[0] += 39
        assert not held.due(at_epoch_end=True)
        now[0] += 2
        assert held.due(at_epoch_end=True)
        assert not held.due(at_epoch_end=False)
        now[0] += 300
        assert held.due(at_epoch_end=False)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_names_the_step_and_keeps_the_last_good_checkpoint(home: Path, bad: float) -> None:
    path, lock = create_run(home / "runs")
    with bench(path, lock) as made:
        update = made.session.updater
        criterion = update.criterion

        def spoiled(scores, targets):
            return criterion(scores, targets) * (bad if made.trainer.step == 32 else 1.0)

        update.criterion = spoiled
        with pytest.raises(Diverged, match="at step 33") as caught:
            made.trainer.run()
    assert caught.value.step == 33
    state = checkpoint.read(checkpoint_paths(path).last)
    assert state["step"] == 20
    assert all(torch.isfinite(value).all() for value in state["model"].values())
    assert records_of(path, "train")[-1]["nonfinite"]["loss"] in ("nan", "inf")


def test_weights_that_are_spoiled_by_the_last_update_are_not_written(home: Path) -> None:
    path, lock = create_run(home / "runs")
    with bench(path, lock, stop_after=33) as made:

        def spoil(grad: torch.Tensor) -> torch.Tensor:
            return grad * math.nan if made.trainer.step == 32 else grad

        network: Any = made.session.network
        network.head.weight.register_hook(spoil)
        with pytest.raises(Diverged, match=r"gradient .* at step 33"):
            made.trainer.run()
    assert checkpoint.read(checkpoint_paths(path).last)["step"] == 20


def test_a_disk_that_is_full_for_a_while_costs_no_record_and_no_best_weights(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lock = create_run(home / "runs")
    reference, reference_lock = create_run(home / "runs")
    with bench(reference, reference_lock) as made:
        made.trainer.run()
    full = [False]
    record, write, write_last = RunWriter.record, checkpoint.write, checkpoint.write_last

    def refusing(function, error: Exception):
        def call(*arguments):
            if full[0]:
                raise error
            return function(*arguments)

        return call

    no_room = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(RunWriter, "record", refusing(record, RunWriteError("no room")))
    monkeypatch.setattr(checkpoint, "write", refusing(write, no_room))
    monkeypatch.setattr(checkpoint, "write_last", refusing(write_last, no_room))
    monkeypatch.setattr(checkpointer, "COST_SHARE", math.inf)
    with bench(path, lock) as made:
        end_epoch = made.trainer._end_epoch

        def toggling() -> None:
            full[0] = made.trainer.step == 20
            end_epoch()

        made.trainer._end_epoch = toggling
        made.trainer.run()
    assert sum("checkpoint not written: No space left" in line for line in made.lines) == 1
    names = [(event["name"], event["step"]) for event in records_of(path, "event")]
    assert names == [("checkpoint_failed", 20), ("checkpoint", 40), ("checkpoint", 60)]
    assert [r["step"] for r in records_of(path, "eval")] == [20, 40, 60]
    steps = [r["step"] for r in records_of(path, "train")]
    assert steps == sorted(set(steps))
    for which in ("last", "best"):
        assert same(weights_of(path, which), weights_of(reference, which))


def test_networks_of_the_catalogue_learn_with_their_own_losses(home: Path) -> None:
    assert hasattr(registry.build("lenet5_paper"), "training_loss")
    path, lock = create_run(home / "runs", "lenet5_paper", recipe={"epochs": 1})
    with bench(path, lock) as made:
        made.trainer.run()
    losses = [record["loss"] for record in records_of(path, "train")]
    assert losses[-1] < losses[0]
