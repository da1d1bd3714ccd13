"""Kills a training by SIGKILL at one named point after the other, resumes it, and compares its end with an undisturbed run.

    python tests/support/kill_points.py FOLDER

Prints ``POINT: equal`` or what differs. A process of its own, because it forks, which a process with threads must not do.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import kill_cases
import kill_process
import kill_work


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: object, name: str, when: Callable[..., bool] = lambda *_, **__: True) -> None:
    """Kill this process on the first call of ``owner.name`` for which ``when`` holds."""
    function = getattr(owner, name)

    def call(*arguments, **options):
        if when(*arguments, **options):
            die()
        return function(*arguments, **options)

    setattr(owner, name, call)


def to(name: str) -> Callable[..., bool]:
    """A rename or a link to a file of that name."""
    return lambda source, target, **_: Path(target).name == name


def points() -> dict[str, Callable[[], None]]:
    from cnn_explorer.trainer.launch import execute
    from cnn_explorer.trainer.loop import reporter, session
    from cnn_explorer.trainer.loop import trainer as trainer_module
    from cnn_explorer.trainer.runs import run_writer
    from cnn_explorer.trainer.weights import checkpoint

    trainer = trainer_module.Trainer

    def ended_epoch(self: trainer_module.Trainer, **_: object) -> bool:
        return self.step == 10

    def of_checkpoint(self: reporter.Report, name: str, *_: object) -> bool:
        return name == "checkpoint"

    return {
        "while the data is loaded": lambda: before(session, "load_data"),
        "before the first update": lambda: before(trainer, "_update"),
        "within an epoch": lambda: before(trainer, "_update", lambda self, *_: self.step == 13),
        "in an evaluation": lambda: before(trainer_module, "evaluate"),
        "after an evaluation, before its checkpoint": lambda: before(trainer, "_report_status", ended_epoch),
        "in the middle of a checkpoint": lambda: before(checkpoint._Recorder, "write", _after(5)),
        "before the new checkpoint gets its name": lambda: before(os, "replace", to("last.pt")),
        "after a checkpoint, before the record of it": lambda: before(reporter.Report, "event", of_checkpoint),
        "after the test, before its record": lambda: before(session, "_test_record"),
        "before the end is written": lambda: before(execute, "_write_end_state"),
        "while records are dropped": lambda: before(run_writer.RunWriter, "drop_records_after"),
    }


def _after(count: int) -> Callable[..., bool]:
    left = [count]

    def due(*_: object) -> bool:
        left[0] -= 1
        return left[0] < 0

    return due


def _die_after_nine_checkpoints() -> None:
    from cnn_explorer.trainer.weights import checkpoint

    before(checkpoint, "write_last", _after(9))


def main(folder: Path) -> None:
    kill_cases.configure(folder)
    # With a checkpoint after every update.
    config = kill_cases.planned(**dict(kill_cases.FULL, epochs=2, batch_size=128, minutes=0))
    training = kill_work.Trainings(folder / "trained", [config])
    for name, prepare in points().items():
        training.begin()
        if name == "while records are dropped":  # it needs something to drop
            kill_process.call(training.work, prepare=_die_after_nine_checkpoints, said=training.said)
        killed = os.WIFSIGNALED(kill_process.call(training.work, prepare=prepare, said=training.said))
        training.go_on()
        print(f"{name}: {training.problem() or 'equal' if killed else 'never reached'}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
