"""What screens and panes may ask of the app, without knowing it: the app knows the screens, and not the other way round."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ... import settings
from ...trainer.runs.run import RunSnapshot
from ..charts.selection import RunSelection
from ..runs.watcher import RunWatch
from ..worker.process import Helper
from ..worker.requests import Questions
from .options import AppOptions
from .saved_state import SavedState

if TYPE_CHECKING:
    from ..charts.followers import Followers
    from ..launch.form_values import LaunchRequest
    from ..launch.kept_forms import KeptForms
    from ..networks.pages import Page
    from ..networks.quiz import Question


@dataclass(frozen=True)
class AppPaths:
    """Folders that the app works with; the defaults are the settings'."""

    runs: Path = field(default_factory=settings.runs_folder)
    data: Path = field(default_factory=settings.data_folder)
    state: Path = field(default_factory=settings.state_folder)
    cache: Path = field(default_factory=settings.cache_folder)


class AppProtocol(Protocol):
    """The app as its screens see it."""

    options: AppOptions
    paths: AppPaths
    saved_state: SavedState
    runs: tuple[RunSnapshot, ...]
    runs_problem: str
    runs_are_read: bool
    run_selection: RunSelection
    helper: Helper
    questions: Questions
    run_watch: RunWatch
    deleted: list[str]
    """Ids of the runs that were deleted since the app started, the last one last."""
    going: set[str]
    """Ids of the runs that are on their way into the bin; the list of runs shows them no longer."""
    run_commands: asyncio.Lock
    """Held while something is done with a run: one thing after the other, in the order of the keys."""

    @property
    def signs_line(self) -> str:
        """The words of the first start on the signs in use; "" where they were read."""
        ...

    @property
    def followers(self) -> Followers:
        """The readers of the runs, for all screens."""
        ...

    @property
    def kept_forms(self) -> KeptForms:
        """The changes of training forms that were left."""
        ...

    @property
    def asks_questions(self) -> bool:
        """Whether questions are asked."""
        ...

    def show_message(self, text: str, severity: str = "information") -> None:
        """Show a short message that goes away by itself."""

    def run_selection_changed(self) -> None:
        """Tell all screens that other runs are marked or pinned."""

    def open_page(self, target: str, words: str = "") -> None:
        """Show the page that a link names."""

    def open_network(self, name: str, tab: str) -> None:
        """Show a tab of a network."""

    def open_concept(self, page: Page | None, words: str = "") -> None:
        """Show a concept page."""

    def ask_person(self, make: Callable[[random.Random], Question | None]) -> None:
        """Ask a question, if one can be made."""

    def open_launch(self, request: LaunchRequest) -> None:
        """Ask how to train networks."""

    async def load_charts(self) -> None:
        """Load what a run needs to be shown, without holding up the keyboard."""

    def open_run(self, run_id: str) -> None:
        """Show one run."""

    def action_show_runs(self, run_id: str = "") -> None:
        """Go to the runs."""
