"""The commands of `cnn-explorer`, each imported and built when it is asked for: `list` needs no option of `train`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperCommand

from . import strict_numbers
from .help import GroupedGroup
from .narrate import log

GROUPS = {
    "Learn": ("list", "show", "compare", "lineage"),
    "Train": ("train", "runs", "bench"),
    "Look": (),
    "Share": (),
}
"""The commands under the headings that `--help` shows; a heading without commands is not shown."""


def load(name: str) -> tuple[Any, type[TyperCommand]]:
    """Import a command: its function, or its own commands as a `typer.Typer`, and the class that parses its words."""
    match name:
        case "list":
            from .list import list_networks

            return list_networks, TyperCommand
        case "show":
            from .show import show

            return show, TyperCommand
        case "compare":
            from .compare import compare

            return compare, TyperCommand
        case "lineage":
            from .lineage import lineage

            return lineage, TyperCommand
        case "train":
            from .train_command import TrainCommand, train

            return train, TrainCommand
        case "runs":
            from .runs import runs_app

            return runs_app, TyperCommand
        case "bench":
            from .bench import BenchCommand, bench

            return bench, BenchCommand
    raise KeyError(name)


class Commands(Mapping[str, Any]):
    """The commands by name, in the order of the help; looking one up builds it."""

    def __init__(self) -> None:
        self._headings = {name: heading for heading, names in GROUPS.items() for name in names}
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        heading = self._headings[name]
        if name not in self._built:
            self._built[name] = _build(name, heading)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headings)

    def __len__(self) -> int:
        return len(self._headings)


def _build(name: str, heading: str) -> Any:
    command, kind = load(name)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    if isinstance(command, typer.Typer):
        alone.add_typer(command, name=name, rich_help_panel=heading)
        return strict_numbers.in_command(typer.main.get_group(alone).commands[name])
    alone.command(name, cls=kind, rich_help_panel=heading)(command)
    return strict_numbers.in_command(typer.main.get_command(alone))


class CommandGroup(GroupedGroup):
    """The command `cnn-explorer` itself, with its `Commands`."""

    def __init__(self, *words: Any, **values: Any) -> None:
        super().__init__(*words, **values)
        self.commands: Any = Commands()

    def invoke(self, ctx: Any) -> Any:
        """Run a command; Ctrl-C in one that has nothing else to say about it is one line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            log("cnn-explorer: interrupted")
            raise typer.Exit(130) from None

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands without building these."""
        return list(self.commands)
