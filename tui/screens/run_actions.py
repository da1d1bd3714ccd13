"""What can be done with the selected run, the same on the list of runs and on the screen of one run.

What ends or deletes something asks first. A command is offered only where it would do something; elsewhere its key says why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from textual import events
from textual.widgets import Input

from ...errors import UsageError
from ...models.catalogue import registry
from ...trainer.runs.annotations import Notes
from ...trainer.runs.run import RunSnapshot
from ..core import key_bindings
from ..launch.form_values import LaunchRequest
from ..launch.values import in_app
from ..runs import actions, curve_quiz, refusals
from ..runs.actions import Outcome
from .base import BaseScreen
from .confirm import ConfirmScreen
from .run_notes import RunNotesScreen

_APPLIES: Mapping[str, Callable[[RunSnapshot], bool]] = {
    "stop": lambda run: run.live and run.state != "queued",
    "keep_best": lambda run: run.state in ("starting", "training"),
    "skip": lambda run: run.state == "queued",
    "resume": lambda run: not run.live and run.state != "finished" and bool(run.config),
    "delete": lambda run: not run.live,
    "clone": lambda run: bool(run.network),
    "train": lambda run: bool(run.network),
    "edit_notes": lambda run: True,
    "mark": lambda run: True,
    "pin": lambda run: True,
    "explain": lambda run: True,
    "predict": lambda run: bool(run.config),
}


class RunActions(BaseScreen):
    """A screen with a run: ``selected``, and ``show_run`` to paint it again."""

    @property
    def selected(self) -> RunSnapshot | None:
        """The run that commands concern; None where there is none."""
        return None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "predict" and not self.explorer.asks_questions:
            return False
        if action in _APPLIES:
            run = self.selected if self.is_mounted else None
            return run is not None and _APPLIES[action](run)
        return super().check_action(action, parameters)

    def on_key(self, event: events.Key) -> None:
        """Say why a command does nothing with this run; Textual skips the keys of what does not apply in silence."""
        if isinstance(self.focused, Input):
            return  # what is typed means nothing here
        for command in key_bindings.of("one-run"):
            told = event.key in command.keys.split(",") and command.action in refusals.COMMANDS
            if told and not self.check_action(command.action, ()) and (text := self.refusal(command.action)):
                self.explorer.show_message(text, "warning")

    def refusal(self, command: str) -> str:
        """Return why a command that does not apply does nothing; "" where there is no run."""
        run = self.selected
        return refusals.reason(command, run) if run is not None else ""

    async def action_predict(self) -> None:
        """Ask a question about the curves of the run, alone or beside one that differs in the learning rate."""
        run, chosen = self.selected, self.explorer.run_selection
        if run is None:
            return
        others = curve_quiz.fitting_others(run, self.explorer.runs, (chosen.pinned, *chosen.marked))
        found = await asyncio.to_thread(curve_quiz.read, [run, *others])
        self.explorer.ask_person(lambda rng: curve_quiz.about_runs(found, rng))

    def action_stop(self) -> None:
        detail = "It ends its step and writes a checkpoint; `r` goes on from there."
        self._ask(actions.stop, "Stop", detail)

    def action_keep_best(self) -> None:
        detail = (
            "Its training ends here; the best weights so far are evaluated on the test split. It cannot be resumed."
        )
        self._ask(actions.keep_best, "End", detail)

    def action_skip(self) -> None:
        self._ask(actions.skip, "Skip", "It leaves its queue, which goes on with the next; `r` resumes it later.")

    def action_delete(self) -> None:
        detail = "It stays in the bin with its checkpoints and notes for seven days; until then `u` brings it back."
        self._ask(actions.delete, "Delete", detail)

    def action_undelete(self) -> None:
        """Bring back the run that was deleted last; when none was deleted since the app started, ask which one."""
        if self.explorer.deleted:
            self._restore(self.explorer.deleted.pop())
            return
        from .run_bin import RunBinScreen

        self.app.push_screen(RunBinScreen(self.explorer.paths.runs), self._restore)

    def _restore(self, run_id: str | None) -> None:
        if run_id:
            self.explorer.going.discard(run_id)
            self.control(actions.restore, self.explorer.paths.runs / run_id)

    def run_restored(self, run_id: str) -> None:
        """Show a run that came back from the bin."""

    def action_resume(self) -> None:
        run = self.selected
        if run is not None:
            self.control(actions.resume, run.path)

    def _ask(self, action: Callable[..., Outcome], word: str, detail: str) -> None:
        run = self.selected
        if run is None:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.control(action, run.path)

        self.app.push_screen(ConfirmScreen(f"{word} {run.id}?", detail, word.lower()), answered)

    def control(self, action: Callable[..., Outcome], path: Path, *arguments: object) -> None:
        """Do it in a thread, when what was asked before is done; what came of it is told."""
        if action is actions.delete:
            # At once: `u` may have been typed ahead, or the `D` for the run below it.
            self.explorer.deleted.append(path.name)
            self.explorer.going.add(path.name)
            self.explorer.run_selection_changed()
        work = self._control(action, path, *arguments)
        # For the app and not for this screen, which may be closed before its turn comes.
        self.app.run_worker(work, group="control", exit_on_error=False, description="does something with a run")

    async def _control(self, action: Callable[..., Outcome], path: Path, *arguments: object) -> None:
        async with self.explorer.run_commands:
            text, problem = await asyncio.to_thread(action, path, *arguments)
        if problem and action is actions.delete:
            self.explorer.going.discard(path.name)
            if path.name in self.explorer.deleted:
                self.explorer.deleted.remove(path.name)
            self.explorer.run_selection_changed()
        self.explorer.show_message(problem or text, "error" if problem else "information")
        if action is actions.restore and not problem and self.is_attached:
            self.run_restored(path.name)
        self.explorer.run_watch.nudge()

    # Notes

    def action_edit_notes(self, field: str) -> None:
        run = self.selected
        if run is not None:
            self.app.push_screen(RunNotesScreen(run.id, run.notes, field), lambda notes: self._noted(run, notes))

    def _noted(self, run: RunSnapshot, notes: Notes | None) -> None:
        if notes is not None and notes != run.notes:
            self.control(actions.annotate, run.path, notes)

    # Marks

    def action_mark(self) -> None:
        run = self.selected
        if run is not None:
            self.explorer.run_selection.toggle(run.id)
            self.explorer.run_selection_changed()

    def action_pin(self) -> None:
        run = self.selected
        if run is not None:
            self.explorer.run_selection.pin(run.id)
            self.explorer.run_selection_changed()

    # Leading elsewhere

    def action_clone(self) -> None:
        run = self.selected
        if run is not None:
            self._launch(LaunchRequest((run.network,), run.dataset, run.path / "run.json", run.config))

    def action_train(self) -> None:
        run = self.selected
        if run is not None:
            self._launch(LaunchRequest((run.network,), run.dataset or self.explorer.saved_state.dataset))

    def _launch(self, request: LaunchRequest) -> None:
        name = request.networks[0]
        if ":" in name:
            hint = "`cnn-explorer runs clone` trains it again"
            self.explorer.show_message(
                f"{name} is from outside the catalogue, which this form does not know; {hint}", "error"
            )
            return
        try:
            registry.find(request.networks[0])
        except UsageError as error:
            self.explorer.show_message(in_app(str(error)), "error")
        else:
            self.explorer.open_launch(request)

    def action_explain(self) -> None:
        from ..widgets.reading_view import ReadingView

        for reading in self.query(ReadingView):
            self.explorer.open_page(reading.page)
