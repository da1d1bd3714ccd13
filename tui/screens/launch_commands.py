"""What the training form asks of the command: what would be trained and how long it takes, and to start it.

Of the two only one is under way: what times a training would slow down its start.
"""

from __future__ import annotations

from typing import cast

from textual import work
from textual.timer import Timer
from textual.widgets import Static

from ..core.messages import PlanRead, TrainLogged, TrainRefused, TrainStarted
from ..core.protocol import AppProtocol
from ..launch import commands, form, hints
from ..launch.commands import CommandCall, LaunchCommand, Preview
from ..launch.form_values import Filled, LaunchForm
from ..launch.values import in_app
from .dialog import Dialog

DELAY_S = 0.7
"""Nothing was changed for so long: now it pays to ask how long a training would take."""


class LaunchCommands(Dialog[tuple[str, ...]]):
    """A form with its commands. ``planned`` is called when another plan is known, or none any more."""

    form: LaunchForm
    filled: Filled

    def __init__(self) -> None:
        super().__init__()
        self.preview: Preview | None = None
        self.is_planning = False
        self._plan_timer: Timer | None = None
        self._plan_call: CommandCall | None = None
        self._start_call: CommandCall | None = None

    @property
    def explorer(self) -> AppProtocol:
        """The app, as far as it concerns its screens."""
        return cast(AppProtocol, self.app)

    def on_unmount(self) -> None:
        self.end_plan()

    def _request(self) -> LaunchCommand:
        places = self.explorer.paths
        return LaunchCommand(tuple(form.words(self.form)), places.runs, places.data)

    # How long it would take

    def planned(self) -> None:
        """Show what is known of the plan."""

    def plan_later(self) -> None:
        """Ask anew, once nothing was changed for a while; what was known of another form is known no longer."""
        self.end_plan()
        data = self.filled.data
        is_timed = not self.filled.problems and data is not None and data.on_disk and self._start_call is None
        if is_timed:
            self.is_planning = True
            self._plan_timer = self.set_timer(DELAY_S, self._ask_plan)
        words = "a few batches are timed …" if is_timed else ""
        if data is not None and not data.on_disk and not self.filled.problems:
            words = "how long it takes is known once the data is here"
        self.query_one("#estimate", Static).update(words)

    def end_plan(self) -> None:
        """End what times the training, and forget what it said."""
        if self._plan_timer is not None:
            self._plan_timer.stop()
        if self._plan_call is not None:
            self._plan_call.cancel()
        self.preview, self.is_planning = None, False

    def _ask_plan(self) -> None:
        self._plan_call = commands.call_plan(self._request())
        self._read_plan(self._plan_call)

    @work(thread=True, group="plan", exit_on_error=False, description="asks how long a training would take")
    def _read_plan(self, call: CommandCall) -> None:
        found = commands.plan(call)
        if not call.cancelled:
            self.post_message(PlanRead(found, call))

    def on_plan_read(self, message: PlanRead) -> None:
        if message.call is not self._plan_call or message.call.cancelled:  # it was overtaken on its way
            return
        self.preview, self.is_planning = message.preview, False
        self.query_one("#estimate", Static).update(hints.estimate(message.preview))
        self.planned()

    # Starting

    @property
    def is_starting(self) -> bool:
        """Whether the command was told to start runs and has not answered yet."""
        return self._start_call is not None

    def start_runs(self) -> None:
        """Start what the form says, in a process of its own."""
        self.end_plan()
        self.planned()
        self.query_one("#estimate", Static).update("")
        self.query_one("#outcome", Static).update("checking and starting; this takes some seconds …")
        self._start_call = commands.call_start(self._request(), self._heard)
        self._start(self._start_call)

    def end_start(self) -> None:
        """Break the start off."""
        if self._start_call is not None:
            self._start_call.cancel()

    def _heard(self, text: str) -> None:
        self.post_message(TrainLogged(text))

    @work(thread=True, exclusive=True, group="launch", exit_on_error=False, description="starts runs")
    def _start(self, call: CommandCall) -> None:
        outcome = commands.start(call)
        problem = (
            "broken off; a run that had begun by then is in the list of runs" if call.cancelled else outcome.problem
        )
        self.post_message(TrainStarted(outcome.run_ids) if outcome.run_ids else TrainRefused(problem))

    def on_train_logged(self, message: TrainLogged) -> None:
        if self._start_call is not None:
            self.query_one("#outcome", Static).update(message.text)

    def on_train_started(self, message: TrainStarted) -> None:
        self.explorer.kept_forms.forget(self.form.request)
        self.dismiss(message.run_ids)

    def on_train_refused(self, message: TrainRefused) -> None:
        self._start_call = None
        self.query_one("#outcome", Static).update(in_app(message.problem))
        self.plan_later()
