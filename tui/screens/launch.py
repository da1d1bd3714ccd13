"""The training form: every setting with its value and where it comes from, checked as it is typed.

The runs are then started as a process of their own.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, cast

from rich.markup import escape
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from ...errors import UsageError
from ...trainer.data.dataset_info import DataInfo
from ..charts.plotext_chart import ChartData, PlottedLine
from ..core import key_bindings
from ..core.messages import DevicesFound, FolderRead, PlanRead, TrainLogged, TrainRefused, TrainStarted
from ..core.protocol import AppProtocol
from ..launch import commands, form, hints, values
from ..launch.commands import CommandCall, Device, LaunchCommand
from ..launch.form import Filled, FormField, LaunchForm, LaunchRequest
from ..widgets.loss_chart import LossChart
from ..widgets.rows import Column, Row, RowList
from .dialog import Dialog

COLUMNS = (Column("setting", 22), Column("value"), Column("from", 19, above=54))
LOOK_S = 0.3
DELAY_S = 0.7
"""Nothing was changed for so long: now it pays to ask how long a training would take."""


class FormFieldList(RowList):
    """The settings; enter types a value, + and − go to the next or the one before."""

    PLACES: ClassVar = ("list",)


class LaunchScreen(Dialog[tuple[str, ...]]):
    """Ends with the ids of the runs that were started."""

    BINDINGS: ClassVar = key_bindings.bindings("launch")
    PLACES: ClassVar = ("launch", "dialog")
    TERMS: ClassVar = ("✗", *form.TITLES)

    def __init__(self, request: LaunchRequest) -> None:
        super().__init__()
        self.form = LaunchForm(request)
        self.filled = Filled({}, {}, None, {})
        self._lines: dict[str, FormField] = {}
        self._folders: dict[str, DataInfo | UsageError] = {}
        self._looked: Timer | None = None
        self._everything = False
        self._devices: tuple[Device, ...] = ()
        self._plan_timer: Timer | None = None
        self._plan_call: CommandCall | None = None
        self._start_call: CommandCall | None = None
        self._title = ""

    # Layout

    def compose_dialog(self) -> ComposeResult:
        with Horizontal(id="launch-board"):
            yield FormFieldList(COLUMNS, id="settings")
            yield LossChart(ascii=self._explorer.options.ascii, id="rate-chart")
        with Horizontal(id="launch-entry"):
            yield Static("", id="entry-title", markup=False)
            yield Input(id="entry", compact=True)
        yield Static("", id="entry-problem", classes="problem", markup=False)
        yield Static("", id="setting-hint", markup=False)
        yield Static("", id="launch-facts", markup=False)
        yield Static("", id="estimate", markup=False)
        yield Static("", id="outcome", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#launch-entry").display = False
        self.table.focus()
        self._update()
        self._find_devices()

    def on_unmount(self) -> None:
        if self._plan_call is not None:
            self._plan_call.cancel()

    @property
    def table(self) -> FormFieldList:
        """The settings."""
        return self.query_one(FormFieldList)

    @property
    def _explorer(self) -> AppProtocol:
        return cast(AppProtocol, self.app)

    @property
    def _device_names(self) -> tuple[str, ...]:
        return tuple(device.name for device in self._devices)

    # What is chosen

    def _update(self) -> None:
        """Show what follows from the form."""
        places = self._explorer.paths
        self.filled = form.fill(self.form, places.data, places.cache, self._folders)
        self._look_later()
        lines = form.settings(self.form, self.filled, self._everything)
        self._lines = {setting.key: setting for setting in lines}
        self.table.set_rows(map(self._row, lines))
        self._show_title()
        self._show_problem()
        self._show_facts()
        self._show_rate()
        self._plan_later()

    def _show_title(self) -> None:
        title = f"Train {' '.join(self.form.networks)}" + (" again, with changes" if self.form.request.config else "")
        if title != self._title:  # a title that is set paints the whole dialog
            self._title = title
            self.query_one("#dialog").border_title = escape(title)

    def _row(self, setting: FormField) -> Row:
        sign = "✗ " if setting.problem else ""
        origin = setting.origin
        if setting.key == "dataset" and self.filled.data is not None:
            origin = "on disk" if self.filled.data.on_disk else "is downloaded first"
        elif setting.key == "dataset" and not setting.problem:
            origin = "is looked at …"
        tone = "bad" if setting.problem else "plain"
        return Row(setting.key, (setting.title, sign + setting.value, origin), tones={1: tone, 2: "dim"})

    def _show_problem(self) -> None:
        """Show what is wrong with the setting under the cursor, or with the first one that is wrong, or its hint."""
        wrong = [setting for setting in self._lines.values() if setting.problem]
        here = [setting for setting in wrong if setting.key == self.table.key]
        text = "".join(f"{setting.title}: {setting.problem}" for setting in (here or wrong)[:1])
        self._show_line("#entry-problem", text)
        here_now = self._lines.get(self.table.key)
        self._show_line("#setting-hint", "" if text or here_now is None else here_now.hint)

    def _show_line(self, selector: str, text: str) -> None:
        """Show a line, which takes no room where there is nothing to say."""
        line = self.query_one(selector, Static)
        line.update(text)
        line.display = bool(text)

    def _show_facts(self) -> None:
        cells = max(min(self.app.size.width - 44, 60), 16)
        facts = hints.facts(self.filled, self._devices, self._lines["device"].value, cells)
        self.query_one("#launch-facts", Static).update(facts)

    def _show_rate(self) -> None:
        rates, _ = form.curve(self.filled)
        name, recipe = next(iter(self.filled.recipes.items()), ("", None))
        epochs = recipe.epochs if recipe else 1
        xs = [epochs * index / len(rates) for index in range(len(rates))]
        title = f"learning rate of {name}" if len(self.filled.recipes) > 1 else "learning rate"
        self.query_one("#rate-chart", LossChart).show(ChartData(title, "epochs", (PlottedLine("", xs, rates),)))

    @work(thread=True, exclusive=True, group="devices", exit_on_error=False, description="looks for GPUs")
    def _find_devices(self) -> None:
        self.post_message(DevicesFound(commands.devices()))

    def on_devices_found(self, message: DevicesFound) -> None:
        self._devices = message.devices
        self._show_facts()

    # A folder of images: half a path may be the whole disk, so it is looked at in a thread, once typing has paused

    def _look_later(self) -> None:
        if self._looked is not None:
            self._looked.stop()
        if self.filled.data is None and "dataset" not in self.filled.problems:
            self._looked = self.set_timer(LOOK_S, partial(self._look, self.form.dataset))

    @work(thread=True, exclusive=True, group="folder", exit_on_error=False, description="looks at a folder of images")
    def _look(self, dataset: str) -> None:
        worker = get_current_worker()
        found = form.look(dataset, lambda: worker.is_cancelled)
        if not worker.is_cancelled:
            self.post_message(FolderRead(dataset, found))

    def on_folder_read(self, message: FolderRead) -> None:
        self._folders[message.dataset] = message.found
        if message.dataset == self.form.dataset:
            self._update()

    # Changing a setting

    @on(RowList.Moved, "#settings")
    def _moved(self) -> None:
        self._show_problem()

    @on(RowList.Chosen, "#settings")
    def _chosen(self) -> None:
        self.action_type_value()

    def action_type_value(self) -> None:
        """Open the line in which the setting under the cursor is typed."""
        setting = self._lines[self.table.key]
        self.query_one("#entry-title", Static).update(f"{setting.title} ")
        self.query_one("#launch-entry").display = True
        entry = self.query_one("#entry", Input)
        with self.prevent(Input.Changed):
            entry.value = form.typed_value(self.form, setting)
        entry.focus()
        entry.action_end()

    @on(Input.Changed, "#entry")
    def _typed(self, message: Input.Changed) -> None:
        self._set(self.table.key, message.value)

    @on(Input.Submitted, "#entry")
    def _entered(self) -> None:
        self._close_entry()

    def _close_entry(self) -> None:
        self.query_one("#launch-entry").display = False
        self.table.focus()

    def _set(self, key: str, text: str) -> None:
        self.form = self.form.with_value(key, text)
        self._update()

    def action_change(self, way: int) -> None:
        """Take the next value of the setting under the cursor, or the one before."""
        setting = self._lines[self.table.key]
        value = values.stepped(setting.key, setting.value, way, self._device_names)
        if value is not None:
            self._set(setting.key, value)

    def action_reset(self) -> None:
        """Take the change of the setting under the cursor back."""
        self._set(self.table.key, "")

    def action_everything(self) -> None:
        """Show all settings, or only those that have an effect."""
        self._everything = not self._everything
        self._update()

    def action_cancel(self) -> None:
        if self.query_one("#launch-entry").display:
            self._close_entry()
        elif self._start_call is not None:
            self._start_call.cancel()
        else:
            super().action_cancel()

    # How long it would take

    def _plan_later(self) -> None:
        if self._plan_timer is not None:
            self._plan_timer.stop()
        if self._plan_call is not None:
            self._plan_call.cancel()
        data = self.filled.data
        if self.filled.problems or data is None or not data.on_disk:
            wait = "" if data is None or data.on_disk else "how long it takes is known once the data is here"
            self.query_one("#estimate", Static).update(wait)
            return
        self.query_one("#estimate", Static).update("a few batches are timed …")
        self._plan_timer = self.set_timer(DELAY_S, self._ask_plan)

    def _ask_plan(self) -> None:
        self._plan_call = commands.call_plan(self._request())
        self._read_plan(self._plan_call)

    @work(thread=True, group="plan", exit_on_error=False, description="asks how long a training would take")
    def _read_plan(self, call: CommandCall) -> None:
        found = commands.plan(call)
        if not call.cancelled:
            self.post_message(PlanRead(found))

    def on_plan_read(self, message: PlanRead) -> None:
        self.query_one("#estimate", Static).update(hints.estimate(message.preview))

    def _request(self) -> LaunchCommand:
        places = self._explorer.paths
        return LaunchCommand(tuple(form.words(self.form)), places.runs, places.data)

    # Starting

    def action_help(self) -> None:
        """Show the keys of the form, and what its settings mean."""
        from .help import HelpScreen, terms

        listed = key_bindings.unshadowed(key_bindings.of(*self.PLACES), self.PLACES)
        self.app.push_screen(HelpScreen("train", listed, terms(self)))

    def action_submit(self) -> None:
        if self._start_call is not None:
            return
        if self.filled.problems:
            self.table.go_to(next(iter(self.filled.problems)))
            if "dataset" in self.filled.problems:  # what was wrong with a folder may have been mended meanwhile
                self._folders.clear()
                self._update()
            self._show_problem()
            return
        self._explorer.saved_state.dataset = self.form.dataset
        self.query_one("#outcome", Static).update("checking and starting; this takes some seconds …")
        self._start_call = commands.call_start(self._request(), self._heard)
        self._start(self._start_call)

    def _heard(self, text: str) -> None:
        self.post_message(TrainLogged(text))

    @work(thread=True, exclusive=True, group="launch", exit_on_error=False, description="starts runs")
    def _start(self, call: CommandCall) -> None:
        outcome = commands.start(call)
        problem = "not started" if call.cancelled else outcome.problem
        self.post_message(TrainStarted(outcome.run_ids) if outcome.run_ids else TrainRefused(problem))

    def on_train_logged(self, message: TrainLogged) -> None:
        if self._start_call is not None:
            self.query_one("#outcome", Static).update(message.text)

    def on_train_started(self, message: TrainStarted) -> None:
        self.dismiss(message.run_ids)

    def on_train_refused(self, message: TrainRefused) -> None:
        self._start_call = None
        self.query_one("#outcome", Static).update(message.problem)
