"""Messages name the option that a person typed, whoever found the mistake: the parser, a setting or a network."""

from __future__ import annotations

import os
import re
from typing import Any

from ..errors import UsageError, WorkError, nearest, shown

KINDS = {"int": "a whole number", "float": "a number"}
QUOTE = "'"
_NO_KIND = re.compile(r"(?P<given>.+) is not a valid (?P<kind>int|float)( range)?\.", re.DOTALL)
_NO_COMMAND = re.compile(r"No such command '(?P<given>.*)'\..*", re.DOTALL)
_TOO_MANY = re.compile(r"Got unexpected extra arguments? ?\(?s?\)? ?\((?P<given>.*)\)\.?", re.DOTALL)
_OUTSIDE = re.compile(r"(?P<given>.+) is not in the range (x>=(?P<least>\S+)|(?P<low>\S+)<=x<=(?P<high>\d+))\.")


def with_its_flag(error: UsageError, words: list[str]) -> UsageError:
    """Return the error with its field as the flag that was given, ``--lr`` for lr: a file has keys, and Python arguments."""
    typed = {word.partition("=")[0] for word in words}
    flag = "--" + error.field.replace("_", "-")
    given = error.given
    if flag == "--input" and flag not in typed and "--image-size" in typed:
        side = str(given).rpartition("x")[2]
        flag, given = "--image-size", int(side) if side.isascii() and side.isdecimal() else given
    if typed.isdisjoint((flag, *_earlier_names(flag))):
        return error
    named = UsageError(flag, given, error.hint)
    named.__cause__ = error.__cause__ or error  # a traceback that was asked for is the one of what went wrong
    return named


def _earlier_names(flag: str) -> list[str]:
    """Return the hidden options that an option has replaced: a message names the present one, whichever was typed."""
    from ..trainer.config.request import all_settings

    by_flag = {
        f"--{defined.name}": [f"--{alias}" for alias in defined.aliases] for _, defined in all_settings().values()
    }
    return [*by_flag.get(flag, []), *(["--small"] if flag == "--stem" else [])]


def of_parser(error: Exception) -> UsageError | None:
    """Return what the parser refused under the name of its option or argument; None for an error that is not its own.

    The parser's exceptions live in different modules from one typer to the next; what they have in common is
    ``format_message``, and each kind has attributes of its own.
    """
    message_of: Any = getattr(error, "format_message", None)
    if message_of is None:
        return None
    context = getattr(error, "ctx", None)
    help_hint = f"`{context.command_path if context else 'cnn-explorer'} --help` tells what there is"
    parameter, option = getattr(error, "param", None), getattr(error, "option_name", None)
    kind = type(error).__name__
    if kind == "NoSuchOption":
        likely = nearest(str(option), _options(context)) or help_hint
        return UsageError(str(option), None, f"there is no such option; {likely}")
    if kind == "BadOptionUsage" and option:
        return UsageError(str(option), None, "needs a value" if "requires" in message_of() else "takes no value")
    if kind == "MissingParameter" and parameter is not None:
        return UsageError(_name(parameter), None, f"is missing; {help_hint}")
    if parameter is not None:
        return UsageError(_name(parameter), None, _plain(str(getattr(error, "message", message_of()))))
    if (found := _NO_COMMAND.fullmatch(message_of())) and context is not None:
        known = context.command.list_commands(context)
        return UsageError("COMMAND", found["given"], f"is unknown; {nearest(found['given'], known)}")
    if found := _TOO_MANY.fullmatch(message_of()):
        return UsageError("command line", found["given"], f"is more than this command takes; {help_hint}")
    return UsageError("command line", None, f"{message_of()} {help_hint}")


def of_system(error: OSError) -> WorkError:
    """Return what the system refused as one line with the file, where it names one."""
    reason = error.strerror or str(error) or type(error).__name__
    told = WorkError(f"{os.fsdecode(error.filename)}: {reason}" if isinstance(error.filename, str | bytes) else reason)
    told.__cause__ = error
    return told


def _options(context: Any) -> list[str]:
    """Return the options of a command that its help shows."""
    found = context.command.get_params(context) if context is not None else []
    return [flag for one in found if not getattr(one, "hidden", False) for flag in one.opts if flag.startswith("--")]


def _name(parameter: Any) -> str:
    """Return an option's long flag, or an argument as the help writes it."""
    flags = [flag for flag in parameter.opts if flag.startswith("--")]
    return flags[0] if flags else str(parameter.metavar or parameter.name)


def _plain(message: str) -> str:
    """Return the parser's words for a wrong number as ours; other words as they are."""
    if found := _NO_KIND.fullmatch(message):
        return f"{shown(found['given'].strip(QUOTE))} must be {KINDS[found['kind']]}"
    if found := _OUTSIDE.fullmatch(message):
        bounds = f"{found['least']} or more" if found["least"] else f"from {found['low']} to {int(found['high']):,}"
        return f"{found['given']} must be {bounds}"
    return message.rstrip(".")
