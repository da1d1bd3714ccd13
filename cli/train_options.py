"""The options of `cnn-explorer train`, made from the definitions of the settings, and the request that they ask for."""

from __future__ import annotations

import inspect
import tomllib
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from . import strict_numbers
from .help import GroupedCommand
from .narrate import log
from .output import Force, Output, Traceback

if TYPE_CHECKING:
    from ..trainer.config.request import TrainRequest
    from ..trainer.config.setting import Setting

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="Networks, trained one after the other.")]
NoAugment = Annotated[
    bool, typer.Option("--no-augment", help="Train on the images as they are.", rich_help_panel="Recipe")
]
Assign = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any value of the recipe.", rich_help_panel="Recipe"),
]
RunIds = Annotated[list[str] | None, typer.Option("--run", hidden=True)]
AsRank = Annotated[Path | None, typer.Option("--as-rank", hidden=True)]
LockFds = Annotated[list[int] | None, typer.Option("--lock-fd", hidden=True)]

BY_HAND = {
    "names": (Names, None),
    "assign": (Assign, None),
    "no_augment": (NoAugment, False),
    "output": (Output, None),
    "force": (Force, False),
    "show_traceback": (Traceback, False),
    "run_ids": (RunIds, None),
    "as_rank": (AsRank, None),
    "lock_fds": (LockFds, None),
}
"""What is no setting: networks, short ways to write a recipe, where a plan goes, what our own processes are told."""


FAR = 1e6
"""A bound from here on tells a reader of the help nothing."""


class LazyCommand(GroupedCommand):
    """A command whose options are made when they are first needed: other commands do without them."""

    _options: list[Any] | None = None

    @property
    def params(self) -> list[Any]:
        """The arguments and options."""
        if self._options is None:
            self._options = self.make_options()
        return self._options

    @params.setter
    def params(self, values: list[Any]) -> None:
        pass  # those of the function that typer has read: none

    @abstractmethod
    def make_options(self) -> list[Any]:
        """Return the arguments and options, made anew."""


def options_of(by_hand: Mapping[str, tuple[Any, object]], settings: Iterable[Setting]) -> list[Any]:
    """Return the options that typer makes of annotations with their defaults, and of settings."""
    made = []
    for defined in settings:
        made.append(_option(defined))
        made += [_alias(defined, alias) for alias in defined.aliases]
    made += [_parameter(name, annotation, default) for name, (annotation, default) in by_hand.items()]

    def stub() -> None: ...

    stub.__signature__ = inspect.Signature(made)  # pyright: ignore[reportFunctionMemberAccess] what inspect reads first
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command()(stub)
    return strict_numbers.in_parameters(typer.main.get_command(alone).params)


def _parameter(name: str, annotation: Any, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option(defined: Setting) -> inspect.Parameter:
    names = f"--{defined.name}"
    if defined.kind is bool and not defined.is_action:
        names += f"/--no-{defined.name}"
    option = typer.Option(
        names, help=_help(defined), metavar=_metavar(defined), rich_help_panel=defined.group, show_default=False
    )
    if defined.is_action:
        return _parameter(defined.key, Annotated[bool, option], False)
    return _parameter(defined.key, Annotated[_typed(defined) | None, option], None)


def _alias(defined: Setting, alias: str) -> inspect.Parameter:
    """Return an earlier name of an option: it works, is not shown, and has no default of its own."""
    names = f"--{alias}/--no-{alias}" if defined.kind is bool else f"--{alias}"
    option = typer.Option(names, hidden=True, show_default=False)
    return _parameter(_alias_key(defined, alias), Annotated[_typed(defined) | None, option], None)


def _alias_key(defined: Setting, alias: str) -> str:
    return f"{defined.key}_as_{alias.replace('-', '_')}"


def _typed(defined: Setting) -> Any:
    """Return the type in which the parser reads an option; lists and names are texts that the setting reads itself."""
    return defined.kind if defined.kind in (bool, int, float, Path) else str


def _metavar(defined: Setting) -> str | None:
    """Return what stands behind the option in the help: the unit, or the kind of value."""
    if defined.kind is bool:
        return None
    kinds = {int: "N", float: "NUMBER", tuple: "LIST"}
    return defined.metavar or defined.unit.upper() or kinds.get(defined.kind, "NAME")


def _help(defined: Setting) -> str:
    """Return the sentence of the setting with its choices, or with bounds that are not plain."""
    rule = defined.rule
    telling = rule.choices or rule.above > -FAR or min(rule.high, rule.below) < FAR
    return defined.sentence if telling else defined.help


def request_of(values: Mapping[str, Any]) -> TrainRequest:
    """Return the request that the parsed options make. UsageError for a value that a setting does not take."""
    from ..trainer.config import recipe
    from ..trainer.config.request import TrainRequest, all_settings

    given = given_of(values, (defined for _, defined in all_settings().values()))
    if values.get("no_augment"):
        if "augment" in given:
            raise UsageError("no-augment", None, "contradicts --augment; give one of them")
        given["augment"] = []
    assigned = _assigned(values.get("assign") or [])
    for old in assigned.keys() & recipe.EARLIER.keys():
        log(f"{old} is now called {recipe.EARLIER[old]}")
    given |= {key: _checked(key, value) for key, value in recipe.renamed(assigned).items()}
    return TrainRequest.of(*(values.get("names") or ()), **given)


def _checked(key: str, value: object) -> object:
    """Return a value behind ``--set`` in the type of its field; UsageError told under that option."""
    from ..trainer.config import recipe

    try:
        return recipe.check(key, value)
    except UsageError as error:
        raise UsageError(f"--set {key}" if key in recipe.FIELDS else "set", error.given, error.hint) from None


def given_of(values: Mapping[str, Any], settings: Iterable[Setting]) -> dict[str, Any]:
    """Return the settings that the parsed options give, by key, read but not checked."""
    found = ((defined, _renamed(values, defined)) for defined in settings)
    return {
        defined.key: defined.parse(value) if isinstance(value, str) else value
        for defined, value in found
        if value is not None
    }


def _renamed(values: Mapping[str, Any], defined: Setting) -> Any:
    """Return the value of an option, or else the one given under an earlier name, which is told."""
    value = values.get(defined.key)
    for alias in defined.aliases:
        old = values.get(_alias_key(defined, alias))
        if old is not None:
            log(f"--{alias} is now called --{defined.name}")
            value = old if value is None else value
    return value


def _assigned(pairs: list[str]) -> dict[str, object]:
    """Split ``gamma=0.2`` into a key and a value as in TOML; what is no TOML value is a text."""
    values: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError("set", pair, "must be KEY=VALUE")
        values[key.strip()] = _toml_value(text)
    return values


def _toml_value(text: str) -> object:
    """Return one value written as in TOML; the text itself where it is none, or more than one."""
    try:
        read = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # no TOML, thousands of digits, thousands of brackets
        return text.strip()
    return read["value"] if read.keys() == {"value"} else text.strip()
