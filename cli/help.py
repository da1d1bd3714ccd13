"""Help in groups: options and commands under the headings that their definitions name, in plain text without rich."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup


class GroupedCommand(TyperCommand):
    """A command whose `--help` shows its options under the headings of their ``rich_help_panel``."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help in plain text, however the command was made."""
        super(TyperCommand, self).format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options group by group; those without a group come last."""
        arguments = [param for param in self.get_params(ctx) if param.param_type_name == "argument"]
        options = [param for param in self.get_params(ctx) if param.param_type_name == "option"]
        write_groups(formatter, [("Arguments", param.get_help_record(ctx)) for param in arguments])
        write_groups(
            formatter,
            [(getattr(param, "rich_help_panel", None) or "", param.get_help_record(ctx)) for param in options],
        )


class GroupedGroup(TyperGroup):
    """A command with subcommands that its `--help` shows under the headings of their ``rich_help_panel``."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the subcommands group by group."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        shown = [(name, command) for name, command in found if command is not None and not command.hidden]
        room = formatter.width - 6 - max((len(name) for name, _ in shown), default=0)
        rows = [(getattr(command, "rich_help_panel", None) or "Commands", name, command) for name, command in shown]
        write_groups(formatter, [(group, (name, command.get_short_help_str(room))) for group, name, command in rows])


def write_groups(formatter: Any, rows: Iterable[tuple[str, tuple[str, str] | None]]) -> None:
    """Write rows under their headings, in the order in which the headings first come; rows without one come last."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for group, row in rows:
        if row is not None:
            groups.setdefault(group, []).append(row)
    rest = groups.pop("", None)
    for group, found in [*groups.items(), *([("Options", rest)] if rest else [])]:
        with formatter.section(group):
            formatter.write_dl(found)
