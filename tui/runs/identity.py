"""What tells one run from another in few cells: its data set, how far it got, its settings, when it was made. No Textual."""

from __future__ import annotations

from pathlib import PurePath

from ...trainer.common.text_safe import clean
from ...trainer.runs.run import RunSnapshot, number

STATE_CELLS = 13
FOLDER = "folder:"
ENDED = ("stopped", "crashed", "failed", "diverged")


def data_text(dataset: str) -> str:
    """Return a data set in short: of a folder the last part of its path, ``folder:/images/pets`` as ``pets/``."""
    if not dataset.startswith(FOLDER):
        return dataset
    path = dataset.removeprefix(FOLDER)
    return f"{PurePath(path).name or path}/"


def state_text(run: RunSnapshot) -> str:
    """Return where a run stands: its epoch, what it is starting with, or the word for its state and how far it got.

    A figure that would be cut off is left out.
    """
    reached = run.epoch_reached is not None and run.epochs is not None
    if run.state == "training" and reached:
        return f"epoch {run.epoch_reached}/{run.epochs}"
    if run.state == "starting" and run.phase:
        return run.phase
    if not reached or not (run.state in ENDED or run.ended_early):
        return run.state
    words = (f"{run.state} {run.epoch_reached}/{run.epochs}", f"{run.state} {run.epoch_reached}")
    return next((text for text in words if len(text) <= STATE_CELLS), run.state)


def setting(run: RunSnapshot, name: str) -> str:
    """Return a value of the recipe, or the seed, as a narrow column shows it; "" where run.json has none."""
    recipe = run.config.get("recipe")
    value = run.config.get("seed") if name == "seed" else recipe.get(name) if isinstance(recipe, dict) else None
    figure = number(value)
    if figure is None:
        return ""
    written_out = isinstance(value, int) or 1000 <= abs(figure) < 1e7
    return f"{figure:.10g}" if written_out else f"{figure:.3g}"


def date_text(run: RunSnapshot) -> str:
    """Return when a run was created, by the clock of this machine: ``11-20 15:30``."""
    return f"{run.created.astimezone():%m-%d %H:%M}" if run.created else ""


def ending(run: RunSnapshot) -> str:
    """Return the last part of the id, which is enough to name the run in commands."""
    return clean(run.id.rpartition("-")[2])[-4:]


def cells(run: RunSnapshot) -> tuple[str, ...]:
    """Return what tells a run apart, in the order of the columns: notes, lr, batch, seed, date, end, id."""
    notes = " ".join(run.notes.tags) or run.notes.remark
    values = (setting(run, name) for name in ("lr", "batch_size", "seed"))
    return (notes, *values, date_text(run), ending(run), run.id)
