"""The marked runs side by side: what they came to, and only the settings in which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult

from ...trainer.runs.run import RunSnapshot
from ..core import key_bindings, screen_export
from ..core.screen_export import Export
from ..runs import differences, identity
from ..runs.differences import Difference
from ..widgets.repaint import Frame
from ..widgets.rows import Column, ListRow, RowList
from .base import BaseScreen

NAME_CELLS, LEAST_CELLS = 22, 14


class DifferencesScreen(BaseScreen):
    """The runs ``run_ids``: a row a setting while each run has a column to be read, else a row a run."""

    PLACE = "differences"
    HEADING = "what differs"
    BINDINGS: ClassVar = key_bindings.bindings("differences")
    TERMS: ClassVar = ("setting", "end")

    def __init__(self, run_ids: Sequence[str]) -> None:
        super().__init__()
        self._run_ids = tuple(run_ids)
        self._everything = False
        self._rows: list[Difference] = []
        self._runs: list[RunSnapshot] = []
        self.table = RowList((Column(""),), empty="these runs are no longer there")

    def compose_body(self) -> ComposeResult:
        with Frame(id="body"):
            yield self.table

    def on_mount(self) -> None:
        super().on_mount()
        self.table.focus()

    def on_resize(self) -> None:
        self._fill()

    def runs_changed(self, runs: Sequence[RunSnapshot]) -> None:
        super().runs_changed(runs)
        known = {run.id: run for run in runs}
        self._runs = [known[run_id] for run_id in self._run_ids if run_id in known]
        self._fill()

    @property
    def by_run(self) -> bool:
        """Whether the runs are the rows: they are too many for a column each."""
        return len(self._runs) * (LEAST_CELLS + 1) > self.app.size.width - NAME_CELLS - 6

    def _fill(self) -> None:
        self._rows = differences.rows(self._runs, everything=self._everything)
        left_out = 0
        if self.by_run:
            left_out = self._fill_by_run()
        else:
            self.table.show_columns([Column("setting", NAME_CELLS), *(Column(name) for name in self._names)])
            self.table.set_rows(ListRow(row.name, (row.name, *row.values)) for row in self._rows if self._runs)
        self.table.opens = self.by_run
        varied = sum(not row.result and row.varied > 1 for row in self._rows)
        differ = "1 setting differs" if varied == 1 else f"{varied} settings differ"
        words = f"{len(self._runs)} runs · {differ}" + (" · all shown" if self._everything else "")
        more = f"{left_out} more have no room; `e` writes all" if left_out else ""
        for body in self.query(Frame):
            body.entitle(words, more)
        self.update_keys()

    def _fill_by_run(self) -> int:
        chosen, left_out = differences.by_run(self._rows, self.app.size.width - NAME_CELLS - 6)
        rows = [self._rows[place] for place in chosen]
        columns = [Column("run", NAME_CELLS)]
        columns += [Column(row.name, differences.column_cells(row)) for row in rows]
        self.table.show_columns(columns)
        self.table.set_rows(
            ListRow(run.id, (name, *(row.values[place] for row in rows)))
            for place, (run, name) in enumerate(zip(self._runs, self._names, strict=True))
        )
        return left_out

    @property
    def _names(self) -> list[str]:
        """What the runs are called here: their network and the end of their id."""
        return [f"{run.network or 'run'} {identity.ending(run)}" for run in self._runs]

    @on(RowList.Chosen)
    def _opened(self, message: RowList.Chosen) -> None:
        if self.by_run:
            self.explorer.open_run(message.key)

    def action_everything(self) -> None:
        """Show all settings, or only those in which the runs differ."""
        self._everything = not self._everything
        self._fill()

    def export(self) -> Export:
        """Return all of it, a row a setting."""
        names = [run.id for run in self._runs]
        rows = [[row.name, *row.values] for row in self._rows]
        data = [
            {"setting": row.key or row.name, "values": dict(zip(names, row.data, strict=True))} for row in self._rows
        ]
        return screen_export.table("differences", ["setting", *names], rows, data)
