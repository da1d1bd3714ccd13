"""Choosing how to train a network: data set and epochs; the run is then started as a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.widgets import Input, Static

from ...models import catalogue
from ...models.notes import quantity, shape_text
from ...trainer import datainfo, recipe
from ...trainer.datainfo import DataInfo
from .. import commands, launching
from ..messages import TrainRefused, TrainStarted
from ..widgets.rows import Column, Row, RowList
from .dialog import Dialog

if TYPE_CHECKING:
    from ..app import ExplorerApp, Places

OWN = "own"
COLUMNS = (Column("data set", 14), Column("pictures", 9), Column("training", 8, right=True), Column(""))


class LaunchScreen(Dialog[str]):
    """Ends with the id of the run that was started."""

    BINDINGS: ClassVar = commands.bindings("launch")
    PLACES: ClassVar = ("launch", "dialog")

    def __init__(self, network: str) -> None:
        super().__init__()
        self._variant = catalogue.find(network)
        self._busy = False
        self._epochs_typed = False

    def compose_dialog(self) -> ComposeResult:
        rows = [self._row(name) for name in datainfo.names()]
        rows.append(Row(OWN, ("own pictures", "", "", "a folder with train/ and test/, or one folder per class")))
        yield RowList(COLUMNS, rows, cursor=self._explorer.memory.dataset, id="data-sets")
        yield Input(placeholder="folder of the pictures", id="folder", compact=True)
        yield Static("", id="dataset-problem", classes="problem", markup=False)
        yield Static("epochs", classes="label", markup=False)
        yield Input(id="epochs", compact=True, restrict=r"[0-9]*", max_length=6)
        yield Static("", id="epochs-problem", classes="problem", markup=False)
        yield Static("", id="plan", markup=False)
        yield Static("", id="outcome", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#dialog").border_title = f"Train {self._variant.title} ({self._variant.name})"
        self.query_one("#data-sets", RowList).focus()
        self._update()

    def _row(self, name: str) -> Row:
        info = datainfo.describe(name, self._places.data, cache_folder=self._places.cache)
        where = "on disk" if info.on_disk else "is downloaded first"
        return Row(name, (name, shape_text((info.channels, info.size, info.size)), f"{info.train:,}", where))

    @property
    def _places(self) -> Places:
        return self._explorer.places

    @property
    def _explorer(self) -> ExplorerApp:
        return cast("ExplorerApp", self.app)

    # What is chosen

    @property
    def dataset(self) -> str:
        """The data set as `train` takes it."""
        key = self.query_one("#data-sets", RowList).key
        return datainfo.FOLDER + self.query_one("#folder", Input).value.strip() if key == OWN else key

    def _checked(self) -> tuple[DataInfo | None, int | None]:
        """What is chosen, as far as it is right; what is wrong is shown at its field."""
        own = self.query_one("#data-sets", RowList).key == OWN
        if own and not self.query_one("#folder", Input).value.strip():
            info, problem = None, "which folder?"
        else:
            info, problem = launching.check_dataset(self.dataset, self._places.data, self._places.cache)
        self.query_one("#dataset-problem", Static).update(problem)
        epochs, problem = launching.check_epochs(self.query_one("#epochs", Input).value)
        self.query_one("#epochs-problem", Static).update(problem)
        return info, epochs

    def _update(self) -> None:
        """Show what follows from the choice."""
        own = self.query_one("#data-sets", RowList).key == OWN
        self.query_one("#folder").display = own
        if not self._epochs_typed:
            self._propose_epochs()
        info, _ = self._checked()
        self.query_one("#plan", Static).update("" if info is None else self._plan(info))

    def _plan(self, info: DataInfo) -> str:
        """What would be trained on what, in one line."""
        words = f"{len(info.classes)} classes, {info.train:,} pictures to train on, {info.test:,} to test"
        small = self._variant.small_form
        return words if small is None else f"{words}; small form of {quantity(small.parameters)} parameters"

    def _propose_epochs(self) -> None:
        """The number of epochs that the recipe has for this network and data set."""
        layers = [recipe.Layer(f"{self._variant.family}.md", self._variant.recipe)]
        resolved = recipe.resolve(self.dataset, layers)
        with self.prevent(Input.Changed):
            self.query_one("#epochs", Input).value = str(resolved.recipe.epochs)

    @on(RowList.Moved, "#data-sets")
    def _dataset_moved(self) -> None:
        self._update()

    @on(RowList.Chosen, "#data-sets")
    def _dataset_chosen(self, message: RowList.Chosen) -> None:
        self.query_one("#folder" if message.key == OWN else "#epochs", Input).focus()

    @on(Input.Changed, "#epochs")
    def _epochs_changed(self) -> None:
        self._epochs_typed = True
        self._update()

    @on(Input.Changed, "#folder")
    def _folder_changed(self) -> None:
        self._update()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_submit()

    # Starting

    def action_submit(self) -> None:
        if self._busy:
            return
        info, epochs = self._checked()
        if info is None or epochs is None:
            self.query_one("#folder" if info is None and self.query_one("#folder").display else "#epochs").focus()
            return
        self._busy = True
        self.query_one("#outcome", Static).update("checking and starting; this takes some seconds …")
        self._explorer.memory.dataset = self.query_one("#data-sets", RowList).key
        self.start(launching.Request(self._variant.name, self.dataset, epochs, self._places.runs, self._places.data))

    @work(thread=True, exclusive=True, group="launch", exit_on_error=False, description="starts a run")
    def start(self, request: launching.Request) -> None:
        """Run `train --detach` and wait for its answer."""
        outcome = launching.start(request)
        self.post_message(TrainStarted(outcome.run_id) if outcome.run_id else TrainRefused(outcome.problem))

    def on_train_started(self, message: TrainStarted) -> None:
        self.dismiss(message.run_id)

    def on_train_refused(self, message: TrainRefused) -> None:
        self._busy = False
        self.query_one("#outcome", Static).update(message.problem)
