"""Numbers on the command line are in plain digits: the parser would also take 1_0 for 10, and digits of any script."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from ..trainer.common.value_checks import number_of

Command = TypeVar("Command")
KINDS = {"int": int, "integer": int, "float": float}
"""The kinds of number by the first word of the names that the parser, one typer or the next, has for its types."""


def in_command(command: Command) -> Command:
    """Return the command, and those below it, with options and arguments that take plain numbers alone."""
    below: dict[str, Any] = getattr(command, "commands", None) or {}
    for one in (command, *below.values()):
        if "params" in vars(one):  # else they are made when they are first needed
            in_parameters(one.params)  # pyright: ignore[reportAttributeAccessIssue] a command of the parser
    return command


def in_parameters(parameters: list[Any]) -> list[Any]:
    """Return the parameters, whose types now refuse what is no plain number, in the parser's own words."""
    for parameter in parameters:
        number = KINDS.get(parameter.type.name.partition(" ")[0])
        if number is not None:
            parameter.type = _strict(parameter.type, number)
    return parameters


def _strict(kind: Any, number: type) -> Any:
    """Return a type of the parser that takes plain numbers alone: a copy, because the parser shares its types."""
    made, convert = copy.copy(kind), kind.convert

    def strictly(value: Any, parameter: Any, context: Any) -> Any:
        if isinstance(value, str) and number_of(value, number) is None:
            made.fail(f"{value!r} is not a valid {number.__name__}.", parameter, context)
        return convert(value, parameter, context)

    made.convert = strictly
    return made
