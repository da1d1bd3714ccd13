"""The training loop: steps, records, evaluation after each epoch, checkpoints, stops.

Where a run stands is its step and how many epochs have been evaluated; the rest follows from them: order of the
images, augmentation, learning rate. So a run resumed from a checkpoint of any step repeats exactly what an
uninterrupted one would have done.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from torch import Tensor, nn

from ...errors import WorkError, counted
from ..analysis.best import merit
from ..batches.batches import InputTransform, TrainingBatches, evaluation_batches, evaluation_size
from ..common import rng
from ..common.json_safe import short
from ..common.number_text import duration, percent, speed
from ..common.out_of_memory import is_out_of_memory, release
from ..common.progress import StepProgress
from ..config.lr_schedule import learning_rate
from ..config.recipe import Recipe
from ..data.datasets import LabelledImages
from ..devices.process_group import ALONE, Group, SyncSchedule
from ..optim.fine_tuning import train_mode
from ..runs import requests
from .checkpointer import Checkpointer
from .evaluate import Evaluation, evaluate
from .metrics_window import MetricsWindow, WindowMeans
from .reporter import Report
from .train_step import Precision, Updater

RETRY_S = 5.0
PATIENCE_S = 3600.0


class Stopped(Exception):
    """A stop was asked for; the checkpoint is written."""


class Diverged(Exception):
    """The loss of step ``step`` (from 1) is no finite number."""

    def __init__(self, step: int, what: str) -> None:
        self.step = step
        super().__init__(f"{what} at step {step}")


@dataclass(frozen=True)
class BestEvaluation:
    """The best evaluation so far; of equal accuracies the one with the smaller loss."""

    accuracy: float
    loss: float
    epoch: float
    step: int

    def beaten_by(self, evaluation: Evaluation) -> bool:
        """Return whether ``evaluation`` is better."""
        return merit(evaluation.accuracy, evaluation.loss) > merit(self.accuracy, self.loss)


@dataclass(frozen=True)
class Session:
    """What one run is trained with. ``facts`` go into its checkpoints, so that they can be used without its directory."""

    network: nn.Module
    updater: Updater
    batches: TrainingBatches
    validation: LabelledImages
    input_transform: InputTransform
    recipe: Recipe
    num_classes: int
    precision: Precision
    facts: dict
    group: Group = ALONE


class Trainer:
    """Trains one network to the end of its recipe, or until ``stop_wanted`` says to stop."""

    def __init__(
        self, session: Session, report: Report, checkpointer: Checkpointer, stop_wanted: Callable[[], bool]
    ) -> None:
        self.session = session
        self.step = 0
        self.evaluated = 0
        self.best: BestEvaluation | None = None
        self.ended_early = False
        self._report = report
        self._checkpointer = checkpointer
        self._stop_wanted = stop_wanted
        self._per_epoch = session.batches.steps_per_epoch
        self.total = session.recipe.epochs * self._per_epoch
        self._group = session.group
        self._sync_schedule = SyncSchedule(session.group)
        self._window = MetricsWindow(session.recipe.batch_size, self.total, session.group)
        self._epoch_metrics = [0.0, 0.0, 0.0]
        self._last: WindowMeans | None = None
        at_least = max(1, session.recipe.batch_size // session.group.world)
        self._evaluated_at_once = evaluation_size(session.input_transform, at_least)
        self._begun_at = 0
        self._begun_time = 0.0

    def run(self) -> None:
        """Train to the end, or to where control/finish ends it. Raises Stopped and Diverged.

        OSErrors of the disk are reported and survived.
        """
        self._begun_at, self._begun_time = self.step, self._report.time()
        try:
            while not self.ended_early:
                if self.evaluated < self.step // self._per_epoch:
                    self._end_epoch()
                if self.step >= self.total:
                    break
                if self._group.all_reduce_max(self.step > 0 and self._report.requested(requests.FINISH))[0]:
                    self._end_early()
                else:
                    self._train_epoch()
            self._insist_on_checkpoint()
            self._checkpointer.log_missing(self.evaluated)
        except Stopped:
            if not self._checkpointer.save(self.state, self.step):
                self._report.log(f"what was trained since the last checkpoint is lost: {self._checkpointer.trouble}")
            self._report.status(phase=self._phase(), **self._progress())
            raise

    def _insist_on_checkpoint(self) -> None:
        """Wait until the weights are on the disk, an hour at most: a training without them is not done.

        Raises WorkError when it does not come, and Stopped when nobody wants to wait.
        """
        deadline = time.monotonic() + PATIENCE_S
        if self._checkpointer.trouble:
            self._report.log("the training is done and waits for the disk to take its weights; a stop gives them up")
        while self._checkpointer.trouble:
            if self._stop_wanted() or self._report.requested(requests.STOP):
                raise Stopped
            if time.monotonic() >= deadline:
                raise WorkError(
                    f"the weights could not be written: {self._checkpointer.trouble}; make room, and resume the run"
                )
            self._report.check_place()
            self._report.status(phase="waiting for the disk")
            time.sleep(RETRY_S)
            self._checkpointer.save(self.state, self.step)

    @property
    def epochs_done(self) -> float:
        """Passes over the training split, a whole number unless the run stands within an epoch."""
        whole, rest = divmod(self.step, self._per_epoch)
        return round(self.step / self._per_epoch, 4) if rest else whole

    def _train_epoch(self) -> None:
        """Train the rest of the present epoch."""
        number, first = divmod(self.step, self._per_epoch)
        self._epoch_metrics = [0.0, 0.0, 0.0]
        self._report_status(always=self.step == self._begun_at)
        epoch = self.session.batches.epoch(number)
        train_mode(self.session.network)
        self._window.restart()
        for position in range(first, self._per_epoch):
            self._update(*self.session.batches.batch(epoch, position))
            at_end = position + 1 == self._per_epoch
            stop, due = self._stop_wanted(), at_end or self._window.due()
            if self._group.world > 1:
                stop, due = self._sync_schedule.agreed(stop, due, now=at_end)
            if due or stop:
                self._close_window()
                stop, finish = self._group.all_reduce_max(
                    stop or self._report.requested(requests.STOP), self._report.requested(requests.FINISH)
                )
                if stop:
                    raise Stopped
                if finish:
                    return
                if not at_end and self._checkpointer.due(at_epoch_end=False):
                    self._checkpointer.save(self.state, self.step)
                    self._window.restart()

    def _update(self, images: Tensor, targets: Tensor) -> None:
        rate = learning_rate(self.session.recipe, self.step, self._per_epoch)
        if self._group.world > 1:
            rng.reseed(self.session.batches.seed, self._group.rank, self.step)
        self._window.add(self.session.updater(images, targets, rate))
        self.step += 1

    def _close_window(self) -> None:
        """Fetch the figures since the last record, see that they are finite, and write them down."""
        first = self.step - len(self._window) + 1
        means = self._window.close()
        fetched = time.perf_counter()  # until then the device was waited for, which is no cost of the record
        norm = self.session.updater.gradient_norm()
        self._last = means
        images = means.steps * self.session.recipe.batch_size
        for index, value in enumerate((images, means.loss * images, means.accuracy * images)):
            self._epoch_metrics[index] += value
        rate = learning_rate(self.session.recipe, self.step - 1, self._per_epoch)
        wrong = self._divergence(means, norm, first)
        self._report.record(
            {
                "kind": "train",
                "step": self.step,
                "epoch": round(self.step / self._per_epoch, 4),
                "images": self.step * self.session.recipe.batch_size,
                "time": round(self._report.time(), 3),
                "loss": short(means.loss),
                "accuracy": short(means.accuracy),
                "lr": short(rate),
                "grad_norm": short(norm),
                "images_per_s": short(means.images_per_s),
                **({"nonfinite_step": wrong.step} if wrong else {}),
            }
        )
        if wrong:
            raise wrong
        self._report_progress(means)
        self._window.charge(time.perf_counter() - fetched)

    def _divergence(self, means: WindowMeans, norm: float, first: int) -> Diverged | None:
        """Return what is wrong with the figures since step ``first``; None where they are finite."""
        if means.bad is not None:
            return Diverged(first + means.bad, "the loss is not finite")
        # With fp16 an infinite gradient is normal: the scaler skips the step and scales less from then on.
        if not math.isfinite(norm) and self.session.updater.scaler is None:
            return Diverged(self.step, "the gradient is not finite")
        return None

    def _end_epoch(self) -> None:
        """Evaluate after an epoch, remember the best weights, write a checkpoint."""
        number = self.step // self._per_epoch
        improved, line = False, ""
        if len(self.session.validation):
            evaluation = self._evaluate()
            improved = self.best is None or self.best.beaten_by(evaluation)
            self._record_evaluation(evaluation, number)
            line = f"; validation loss {evaluation.loss:.4f}, accuracy {percent(evaluation.accuracy)}"
            if improved:
                self.best = BestEvaluation(evaluation.accuracy, evaluation.loss, number, self.step)
                line += " (best)"
        self.evaluated = number
        if improved or not len(self.session.validation):
            self._checkpointer.offer_best(self._best_state())
        self._report_status(always=self.step >= self.total)
        if self.step >= self.total or self._checkpointer.due(at_epoch_end=True):
            self._checkpointer.save(self.state, self.step, number)
        self._report_epoch(number, line)

    def _end_early(self) -> None:
        """End here, as was asked. Within the first epoch nothing is evaluated yet, so the present weights are."""
        epoch = self.epochs_done
        if self.best is None:
            if len(self.session.validation):
                evaluation = self._evaluate()
                self._record_evaluation(evaluation, epoch)
                self.best = BestEvaluation(evaluation.accuracy, evaluation.loss, epoch, self.step)
            self._checkpointer.offer_best(self._best_state() | {"epoch": epoch})
        self.ended_early = True
        self._report.event("ended_early", f"after step {self.step} of {self.total}", self.step)
        self._report.log(f"ended early, as asked, after step {self.step:,} of {self.total:,}; the best weights count")
        self._report.status(**self._progress(), epoch=self.step // self._per_epoch, ended_early=True)
        self._checkpointer.save(self.state, self.step)

    def _evaluate(self) -> Evaluation:
        self._group.broadcast_parameters(self.session.updater.eval_model, buffers_only=True)
        return self.evaluate(self.session.updater.eval_model, self.session.validation)

    def evaluate(self, network: nn.Module, samples: LabelledImages, *, mirrored: bool = False) -> Evaluation:
        """Evaluate ``network`` on ``samples``, as many at a time as there is memory for; ``mirrored`` as in `evaluate`.

        Raises Stopped where that is asked for meanwhile, and WorkError where memory does not suffice for one image.
        """
        session, group = self.session, self._group
        while True:
            batches = evaluation_batches(samples, session.input_transform, batch=self._evaluated_at_once, group=group)
            if group.world == 1:  # several ranks stop after the evaluation, all at the same step
                batches = self._until_stopped(batches)
            try:
                return evaluate(network, batches, session.num_classes, session.precision, group, mirrored)
            except Exception as error:
                if group.world > 1 or not is_out_of_memory(error):
                    raise
            self._evaluate_fewer_at_once()

    def _evaluate_fewer_at_once(self) -> None:
        """Halve the images evaluated at once, after which the evaluation is made again: it changes nothing."""
        if self._evaluated_at_once == 1:
            raise WorkError("out of memory in the evaluation, with one image at a time: a smaller network helps")
        release()
        self._evaluated_at_once = (self._evaluated_at_once + 1) // 2
        said = f"out of memory in the evaluation: {counted(self._evaluated_at_once, 'image')} at a time from here on"
        self._report.event("evaluation_split", said, self.step)
        self._report.log(said)

    def _until_stopped(self, batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in batches:
            if self._stop_wanted():
                raise Stopped
            yield batch

    def _record_evaluation(self, evaluation: Evaluation, epoch: float) -> None:
        self._report.record(
            {
                "kind": "eval",
                "split": "validation",
                "step": self.step,
                "epoch": epoch,
                "time": round(self._report.time(), 3),
                "loss": short(evaluation.loss),
                "accuracy": evaluation.accuracy,
                "per_class": evaluation.per_class,
                **evaluation.figures(own_loss=hasattr(self.session.network, "training_loss")),
            }
        )

    def _phase(self) -> str:
        epochs = self.session.recipe.epochs
        return f"epoch {min(self.step // self._per_epoch + 1, epochs)} of {epochs}"

    def _progress(self) -> dict[str, object]:
        best = None if self.best is None else {"accuracy": self.best.accuracy, "epoch": self.best.epoch}
        return {"progress": round(self.step / self.total, 6), "step": self.step, "eta_s": self._eta(), "best": best}

    def _eta(self) -> float | None:
        """Return the seconds to the end, by the mean pace of this session, evaluations and checkpoints included."""
        done = self.step - self._begun_at
        if done == 0:
            return None
        return round((self._report.time() - self._begun_time) / done * (self.total - self.step), 1)

    def _report_status(self, *, always: bool = False) -> None:
        """Update status.json from time to time: an epoch may be shorter than replacing the file takes."""
        if always or self._report.status_due():
            self._report.status(state="training", phase=self._phase(), **self._progress())

    def _report_progress(self, means: WindowMeans) -> None:
        self._report_status()
        epoch, epochs = min(self.step // self._per_epoch + 1, self.session.recipe.epochs), self.session.recipe.epochs
        metrics = (means.loss, means.accuracy, means.images_per_s, self._eta() or 0.0)
        self._report.reporter.progress(StepProgress(self.step, self.total, epoch, epochs, *metrics))

    def _report_epoch(self, number: int, line: str) -> None:
        images, loss, correct = self._epoch_metrics
        if not images:  # the epoch was trained in an earlier session, and only its evaluation was left
            return
        pace = f"; {speed(self._last.images_per_s)} images/s" if self._last else ""
        left = f", {duration(self._eta() or 0)} left" if self.step < self.total else ""
        trained = f"loss {loss / images:.4f}, accuracy {percent(correct / images)}"
        self._report.reporter.epoch(f"epoch {number:3d} of {self.session.recipe.epochs}: {trained}{line}{pace}{left}")

    def state(self) -> dict:
        """Return everything that a resumed run needs, for the checkpoint."""
        session, updater = self.session, self.session.updater
        return {
            "step": self.step,
            "evaluated": self.evaluated,
            "ended_early": self.ended_early,
            "accumulate": updater.accumulate,
            "elapsed": self._report.time(),
            "best": None if self.best is None else asdict(self.best),
            "model": session.network.state_dict(),
            "optimizer": updater.optimizer.state_dict(),
            "average": None if updater.average is None else updater.average.state_dict(),
            "scaler": None if updater.scaler is None else updater.scaler.state_dict(),
            "rng": rng.state(session.input_transform.device),
            **session.facts,
        }

    def restore(self, state: dict) -> None:
        """Go on from what ``state`` gave, in a session that was put together in the same way."""
        session, updater = self.session, self.session.updater
        session.network.load_state_dict(state["model"])
        updater.optimizer.load_state_dict(state["optimizer"])
        if updater.average is not None and state["average"] is not None:
            updater.average.load_state_dict(state["average"])
        if updater.scaler is not None and state["scaler"] is not None:
            updater.scaler.load_state_dict(state["scaler"])
        rng.restore(state["rng"], session.input_transform.device)
        self.step, self.evaluated = int(state["step"]), int(state["evaluated"])
        if not 0 <= self.step <= self.total:
            raise ValueError(f"it is of step {self.step}, and the run has {self.total}")
        self.ended_early = bool(state.get("ended_early"))
        updater.accumulate = int(state.get("accumulate", updater.accumulate))
        self.best = None if state["best"] is None else BestEvaluation(**state["best"])
        self._report.continue_from(float(state["elapsed"]))

    def _best_state(self) -> dict:
        best = {} if self.best is None else {"accuracy": self.best.accuracy, "loss": self.best.loss}
        weights = self.session.updater.eval_model.state_dict()
        return {"step": self.step, "epoch": self.evaluated, **best, **self.session.facts, "model": weights}
