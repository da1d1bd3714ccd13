"""The definition of one setting of a training: what it means, what it takes, what it needs, and where it is explained.

A setting is defined once, in the dataclass that holds its value. The options of the command, the form of the app, the
table in docs/training.md, the error messages and the remarks on values without effect all read this definition. No
torch.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..common.value_checks import Rule, checked, number_of

DATA, RECIPE, WEIGHTS, ENGINE, RUN = GROUPS = ("Data", "Recipe", "Weights", "Engine", "Run")
KINDS = {"str": str, "int": int, "float": float, "bool": bool, "Path": Path}
WORDS = {"yes": True, "true": True, "no": False, "false": False}

T = TypeVar("T")


@dataclass(frozen=True)
class Needs:
    """A setting has an effect only where the setting ``key`` has, or contains, one of ``values``."""

    key: str
    values: tuple[str, ...]

    def met_by(self, value: object) -> bool:
        """Return whether ``value`` is, or contains, one of the values."""
        return bool(set(value) & set(self.values)) if isinstance(value, tuple) else value in self.values

    @property
    def words(self) -> str:
        """``sgd, rmsprop or muon``."""
        return self.values[0] if len(self.values) == 1 else f"{', '.join(self.values[:-1])} or {self.values[-1]}"


@dataclass(frozen=True)
class Setting:
    """One setting. ``help`` is a complete sentence, ``page`` a page of docs/concepts, without its ending.

    ``flag`` names the option where it is not the key, ``aliases`` are earlier names of the option and of the key in
    files. ``stored`` is the name in the JSON of schema 1, run.json among it, where that is an earlier one. ``rare``:
    the form shows the setting only when all settings are shown; ``in_form`` false: never. ``key`` and ``kind``, the type of
    the value, are those of the field of the dataclass.
    """

    help: str
    group: str
    rule: Rule = Rule()  # noqa: RUF009 - a Rule is frozen
    unit: str = ""
    needs: Needs | None = None
    page: str = ""
    flag: str = ""
    aliases: tuple[str, ...] = ()
    stored: str = ""
    metavar: str = ""
    title: str = ""
    rare: bool = False
    in_form: bool = True
    key: str = ""
    kind: type = str

    @property
    def name(self) -> str:
        """The name of the option without its dashes, which error messages use."""
        return self.flag or self.key.replace("_", "-")

    @property
    def words(self) -> str:
        """The name on screens."""
        return self.title or self.key.replace("_", " ")

    @property
    def is_list(self) -> bool:
        """Whether the value is a list, written with commas on the command line and in the form."""
        return self.kind is tuple

    @property
    def is_action(self) -> bool:
        """Whether it says what the command does: a switch that is on where it is given, and off elsewhere."""
        return self.kind is bool and not self.in_form

    def check(self, value: object, origin: str = "") -> Any:
        """Return ``value`` in the type of the setting; UsageError names the option, or the key in the file ``origin``."""
        name = f"{origin}: {self.key}" if origin else self.name
        return checked(name, value, self.rule, self.kind, self.unit)

    def unusual(self, value: object) -> str:
        """Return what is unusual about a value that the setting takes; "" where nothing is."""
        return self.rule.unusual(value)

    def parse(self, text: str) -> object:
        """Return a typed text in the type of the setting as far as it can be read so; `check` refuses the rest."""
        if self.kind is bool:
            return WORDS.get(text.lower(), text)
        if self.is_list or (self.rule.or_numbers and ("," in text or not isinstance(_number(text), str))):
            inside = "" if text.lower() == "none" else text.strip().strip("[]").strip()
            # What stands empty between two commas is left to `check`: a class would take the weight of the next.
            return [_number(part.strip()) for part in inside.split(",")] if inside else []
        return _number(text) if self.kind in (int, float) else text

    def argv(self, value: object) -> list[str]:
        """Return the words of the command line that set the value."""
        if self.kind is bool:
            return [f"--{'' if value else 'no-'}{self.name}"]
        if isinstance(value, tuple | list):
            return [f"--{self.name}", ",".join(map(str, value)) or "none"]
        return [f"--{self.name}", str(value)]

    @property
    def takes(self) -> str:
        """What the setting takes, in words: its choices, or its bounds and unit."""
        if self.kind is bool:
            return "yes or no"
        if self.rule.choices:
            several = "any of " if self.is_list else ""
            return several + ", ".join(self.rule.choices) + (", or a number per class" if self.rule.or_numbers else "")
        bounds = self.rule.words
        if self.is_list:
            count = f"{self.rule.length} numbers" if self.rule.length else "numbers"
            return f"{count}, each {bounds}" if bounds else count
        return ", ".join(part for part in (self.unit, bounds) if part)

    @property
    def sentence(self) -> str:
        """What the setting means and takes, in one sentence."""
        return f"{self.help.rstrip('.')} ({self.takes})." if self.takes else self.help


def setting(default: T, help: str, group: str, rule: Rule = Rule(), **more: Any) -> T:  # noqa: B008 - a Rule is frozen
    """Return a field of a dataclass with its definition; for type checkers it is its default."""
    definition = Setting(help, group, rule, **more)
    return dataclasses.field(default=default, metadata={"setting": definition})


@functools.cache
def settings_of(kind: type) -> dict[str, Setting]:
    """Return the settings that a dataclass defines, by key, in the order of its fields."""
    return {
        field.name: dataclasses.replace(field.metadata["setting"], key=field.name, kind=_kind(str(field.type)))
        for field in dataclasses.fields(kind)
        if "setting" in field.metadata
    }


def _kind(annotation: str) -> type:
    """Return the type behind an annotation as it is written: ``int`` for "int | None", tuple for "tuple[float, ...]"."""
    first = annotation.partition(" | ")[0]
    return tuple if first.startswith("tuple") else KINDS[first]


def without_effect(values: object) -> dict[str, str]:
    """Return why settings of the dataclass ``values`` change nothing, by key: another value has no use for them."""
    found = {}
    for key, defined in settings_of(type(values)).items():
        if defined.needs is not None and not defined.needs.met_by(getattr(values, defined.needs.key)):
            other = getattr(values, defined.needs.key)
            shown = (", ".join(other) or "none") if isinstance(other, tuple) else other
            found[key] = (
                f"{defined.name} has no effect with {defined.needs.key} {shown}; it works with {defined.needs.words}"
            )
    return found


def _number(text: str) -> int | float | str:
    whole = number_of(text, int)
    real = number_of(text, float) if whole is None else whole
    return text if real is None else real
