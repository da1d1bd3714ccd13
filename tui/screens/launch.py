"""The training form: every setting with its value and where it comes from, checked as it is typed.

The runs are then started as a process of their own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import ClassVar

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
from ..core.key_bindings import Command
from ..core.messages import DevicesFound, FolderRead
from ..launch import commands, explained, form, hints, resolved, values
from ..launch.commands import Device
from ..launch.form_values import Filled, FormField, LaunchForm, LaunchRequest
from ..widgets.loss_chart import LossChart
from ..widgets.rows import Column, ListRow, RowList
from .launch_commands import LaunchCommands

COLUMNS = (Column("setting", 22), Column("value"), Column("from", 19, above=54))
LOOK_S = 0.3


class FormFieldList(RowList):
    """The settings; enter types a value, + and − go to the next or the one before."""

    PLACES: ClassVar = ("list",)


class LaunchScreen(LaunchCommands):
    """Ends with the ids of the runs that were started. However it is left, the app keeps its changes for the next time."""

    BINDINGS: ClassVar = key_bindings.bindings("launch")
    PLACES: ClassVar = ("launch", "dialog")
    TERMS: ClassVar = ("✗", "!", *form.TITLES)

    def __init__(self, request: LaunchRequest) -> None:
        super().__init__()
        self.form = self.explorer.kept_forms.form(request)
        self.filled = Filled({}, {}, None, {})
        self._lines: dict[str, FormField] = {}
        self._folders: dict[str, DataInfo | UsageError] = {}
        self._looked: Timer | None = None
        self._everything = False
        self._devices: tuple[Device, ...] | None = None
        self._titles = ("", "")
        self._before: LaunchForm | None = None
        """The form as it was before a value was typed."""
        self._typed_key = ""

    # Layout

    def compose_dialog(self) -> ComposeResult:
        with Horizontal(id="launch-board"):
            yield FormFieldList(COLUMNS, id="settings")
            yield LossChart(ascii=self.explorer.options.ascii, id="rate-chart")
        with Horizontal(id="launch-entry"):
            yield Static("", id="entry-title", markup=False)
            yield Input(id="entry", compact=True)
        yield Static("", id="entry-problem", classes="problem", markup=False)
        yield Static("", id="entry-remark", markup=False)
        yield Static("", id="setting-hint", markup=False)
        yield Static("", id="launch-facts", markup=False)
        yield Static("", id="estimate", markup=False)
        yield Static("", id="outcome", markup=False)

    def on_mount(self) -> None:
        self.query_one("#launch-entry").display = False
        super().on_mount()
        self.table.focus()
        self._update()
        self._find_devices()

    def active_commands(self) -> tuple[Command, ...]:
        places = (*(("entry",) if self._is_typing else ()), *self.PLACES)
        listed = [command for command in key_bindings.of(*places) if command.action != "app.focus_next"]
        found = key_bindings.unshadowed(listed, places)
        if not self._is_typing:
            return found
        return key_bindings.while_typing(found, self.query_one("#entry", Input)._bindings.key_to_bindings, ("entry",))

    @property
    def table(self) -> FormFieldList:
        """The settings."""
        return self.query_one(FormFieldList)

    @property
    def _device_names(self) -> tuple[str, ...]:
        return tuple(device.name for device in self._devices or ())

    # What is chosen

    def _update(self) -> None:
        """Show what follows from the form, and keep it."""
        places = self.explorer.paths
        self.explorer.kept_forms.keep(self.form)
        self.filled = form.fill(self.form, places.data, places.cache, self._folders)
        self._look_later()
        self.plan_later()
        self._show_titles()
        self._show_lines()
        self._show_facts()
        self._show_rate()

    def planned(self) -> None:
        self._show_lines()

    def _show_lines(self) -> None:
        """Show the settings, with what is known of the plan."""
        lines = form.settings(self.form, self.filled, self._everything)
        field, problem = hints.refused(self.preview)
        self._lines = {
            line.key: replace(line, problem=line.problem or (problem if line.key == field else "")) for line in lines
        }
        plans = hints.plans(self.preview)
        meant = resolved.known(self.form, self.filled, plans, reading=self.is_planning)
        self.table.set_rows(self._row(line, line.shown(meant)) for line in self._lines.values())
        self._show_words()

    def _show_titles(self) -> None:
        title = f"Train {' '.join(self.form.networks)}" + (" again, with changes" if self.form.request.config else "")
        count = len(self.form.changed)
        words = "1 change kept · U takes it back" if count == 1 else f"{count} changes kept · U takes them back"
        kept = words if count else ""
        before, self._titles = self._titles, (title, kept)
        if self._titles != before:  # a title that is set paints the whole dialog
            dialog = self.query_one("#dialog")
            dialog.border_title, dialog.border_subtitle = escape(title), kept

    def _row(self, setting: FormField, value: str) -> ListRow:
        sign = "✗ " if setting.problem else "! " if setting.remark else ""
        origin = setting.origin
        if setting.key == "dataset" and self.filled.data is not None:
            origin = "on disk" if self.filled.data.on_disk else "is downloaded first"
        elif setting.key == "dataset" and not setting.problem:
            origin = "is looked at …"
        tone = "bad" if setting.problem else "warn" if setting.remark else "plain"
        return ListRow(setting.key, (setting.title, sign + value, origin), tones={1: tone, 2: "dim"})

    def _show_words(self) -> None:
        """Show what the setting under the cursor means, and what is wrong or unusual with it, or with the first such."""
        here = self._lines.get(self.table.key)
        lines = ([here] if here is not None else []) + list(self._lines.values())
        wrong = next((f"{line.title}: {line.problem}" for line in lines if line.problem), "")
        unusual = next((f"{line.title}: {line.remark}" for line in lines if line.remark), "")
        self._show_line("#entry-problem", wrong)
        self._show_line("#entry-remark", "" if wrong else unusual)
        self._show_line("#setting-hint", here.hint if here is not None else "")

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
        if self._is_typing and self.table.key != self._typed_key:  # another row was clicked
            self._close_entry()
        self._show_words()

    @on(RowList.Chosen, "#settings")
    def _chosen(self) -> None:
        self.action_type_value()

    def action_type_value(self) -> None:
        """Open the line in which the setting under the cursor is typed."""
        setting = self._lines[self.table.key]
        self._before, self._typed_key = self.form, setting.key
        self.query_one("#entry-title", Static).update(f"{setting.title} ")
        self.query_one("#launch-entry").display = True
        entry = self.query_one("#entry", Input)
        with self.prevent(Input.Changed):
            entry.value = form.typed_value(self.form, setting)
        entry.focus()
        entry.action_end()
        self.update_keys()

    @on(Input.Changed, "#entry")
    def _typed(self, message: Input.Changed) -> None:
        if self._is_typing:
            self._set(self._typed_key, message.value)

    @on(Input.Submitted, "#entry")
    def _entered(self) -> None:
        self._close_entry()

    @property
    def _is_typing(self) -> bool:
        return self.query_one("#launch-entry").display

    def _close_entry(self) -> None:
        self.query_one("#launch-entry").display = False
        self.table.focus()
        self.update_keys()

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

    def action_reset_all(self) -> None:
        """Take all changes back."""
        self.form = LaunchForm(self.form.request)
        self._update()

    def action_everything(self) -> None:
        """Show all settings, or only those that have an effect."""
        self._everything = not self._everything
        self._update()

    def action_cancel(self) -> None:
        if self._is_typing:
            self._close_entry()
            if self._before is not None and self._before != self.form:
                self.form = self._before
                self._update()
        elif self.is_starting:
            self.end_start()
        else:
            super().action_cancel()

    # Help

    def action_help(self) -> None:
        """Show the keys of the form, and what its settings mean."""
        from .help import HelpScreen, terms

        listed = key_bindings.unshadowed(key_bindings.of(*self.PLACES), self.PLACES)
        self.app.push_screen(HelpScreen("train", listed, terms(self)))

    def action_explain(self) -> None:
        """Open the page about the setting under the cursor over the form; escape comes back to it."""
        from .page import PageScreen

        page, words = explained.page_of(self.table.key, self.form.networks)
        if page is None:
            self.explorer.show_message("there is no page about this setting")
        else:
            self.app.push_screen(PageScreen(page, words))

    # Starting

    def action_submit(self) -> None:
        if self.is_starting:
            return
        if self.filled.problems:
            self.table.go_to(next(iter(self.filled.problems)))
            if "dataset" in self.filled.problems:  # what was wrong with a folder may have been mended meanwhile
                self._folders.clear()
                self._update()
            self._show_words()
            return
        self.explorer.saved_state.dataset = self.form.dataset
        self.start_runs()
