"""What can be done with all marked runs of a list at once: tags, a stop, and what differs between them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from textual import events
from textual.widgets import Input

from ...errors import counted
from ...trainer.runs.run import RunSnapshot
from ..core import key_bindings
from ..runs import actions
from ..runs.actions import Outcome
from .base import BaseScreen
from .confirm import ConfirmScreen
from .marked_runs import BulkChoice, MarkedRunsScreen

NAMED = 6
MISSING = {
    "all_marked": "no run is marked; m marks the one under the cursor",
    "differences": "there is nothing to compare it with; m marks other runs",
}
"""What a command needs that does nothing now."""


class BulkActions(BaseScreen):
    """A screen with marked runs."""

    @property
    def marked_runs(self) -> list[RunSnapshot]:
        """The marked runs, as far as they exist, in the order of marking."""
        known = {run.id: run for run in self.explorer.runs}
        return [known[name] for name in self.explorer.run_selection.marked if name in known]

    @property
    def compared(self) -> list[str]:
        """The runs to compare: those that the charts show together."""
        return []

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "all_marked":
            return self.is_mounted and bool(self.marked_runs)
        if action == "differences":
            return self.is_mounted and len(self.compared) > 1
        return super().check_action(action, parameters)

    def on_key(self, event: events.Key) -> None:
        """Say what is missing for a command that concerns several runs; Textual skips its key in silence."""
        if isinstance(self.focused, Input) or not self.explorer.runs:
            return
        for command in key_bindings.of("runs"):
            told = event.key == command.keys and command.action in MISSING
            if told and not self.check_action(command.action, ()):
                self.explorer.show_message(MISSING[command.action], "warning")

    def action_differences(self) -> None:
        """Show what differs between the marked runs."""
        from .differences import DifferencesScreen

        self.app.push_screen(DifferencesScreen(self.compared))

    def action_all_marked(self) -> None:
        """Ask what is to be done with all marked runs, and do it."""
        runs = self.marked_runs
        if runs:
            self.app.push_screen(MarkedRunsScreen(runs), lambda wanted: self._do_with(runs, wanted))

    def _do_with(self, runs: Sequence[RunSnapshot], wanted: BulkChoice | None) -> None:
        if wanted is None:
            return
        if wanted.what == "stop":
            self._ask_to_stop([run for run in runs if run.live and run.state != "queued"])
        elif wanted.what == "tag":
            self.do_with_all(lambda: actions.tag_all([run.path for run in runs], wanted.tags))
        else:
            self.do_with_all(lambda: actions.untag_all([run.path for run in runs], wanted.tags))

    def _ask_to_stop(self, runs: Sequence[RunSnapshot]) -> None:
        names = [f"  {run.id}" for run in runs[:NAMED]] + (["  …"] if len(runs) > NAMED else [])
        detail = "\n".join(["Each ends its step and writes a checkpoint; `r` goes on from there.", *names])

        def answered(yes: bool | None) -> None:
            if yes:
                self.do_with_all(lambda: actions.stop_these(runs))

        self.app.push_screen(ConfirmScreen(f"Stop {counted(len(runs), 'run')}?", detail, "stop"), answered)

    def do_with_all(self, action: Callable[[], Outcome]) -> None:
        """Do it in a thread, behind what was asked of runs before; what came of it is told."""
        work = self._with_all(action)
        self.app.run_worker(work, group="control", exit_on_error=False, description="does something with several runs")

    async def _with_all(self, action: Callable[[], Outcome]) -> None:
        async with self.explorer.run_commands:
            text, problem = await asyncio.to_thread(action)
        self.explorer.show_message(problem or text, "error" if problem else "information")
        self.explorer.run_watch.nudge()
