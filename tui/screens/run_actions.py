"""What can be done with the selected run, the same on the list of runs and on the screen of one run.

Everything that cannot be taken back asks first. A command is there only where it would do something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from textual import work

from ...errors import UsageError
from ...models.catalogue import registry
from ...trainer.runs.annotations import Notes
from ...trainer.runs.run import RunSnapshot
from ..core.messages import RunCommandDone
from ..launch.form_values import LaunchRequest
from ..launch.values import in_app
from ..runs import actions
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
}


class RunActions(BaseScreen):
    """A screen with a run: ``selected``, and ``show_run`` to paint it again."""

    @property
    def selected(self) -> RunSnapshot | None:
        """The run that commands concern; None where there is none."""
        return None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in _APPLIES:
            run = self.selected if self.is_mounted else None
            return run is not None and _APPLIES[action](run)
        return super().check_action(action, parameters)

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
        detail = "Its figures, log, notes and checkpoints are removed from the disk. This cannot be undone."
        self._ask(actions.delete, "Delete", detail)

    def action_resume(self) -> None:
        run = self.selected
        if run is not None:
            self.control(actions.resume, run)

    def _ask(self, action: Callable[..., Outcome], word: str, detail: str) -> None:
        run = self.selected
        if run is None:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.control(action, run)

        self.app.push_screen(ConfirmScreen(f"{word} {run.id}?", detail, word.lower()), answered)

    @work(thread=True, group="control", exit_on_error=False, description="does something with a run")
    def control(self, action: Callable[..., Outcome], run: RunSnapshot, *arguments: object) -> None:
        """Do it in a thread; what came of it is told."""
        text, problem = action(run.path, *arguments)
        self.post_message(RunCommandDone(text, problem))

    def on_run_command_done(self, message: RunCommandDone) -> None:
        self.explorer.show_message(message.problem or message.text, "error" if message.problem else "information")
        self.explorer.run_watch.nudge()

    # Notes

    def action_edit_notes(self, field: str) -> None:
        run = self.selected
        if run is not None:
            self.app.push_screen(RunNotesScreen(run.id, run.notes, field), lambda notes: self._noted(run, notes))

    def _noted(self, run: RunSnapshot, notes: Notes | None) -> None:
        if notes is not None and notes != run.notes:
            self.control(actions.annotate, run, notes)

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
