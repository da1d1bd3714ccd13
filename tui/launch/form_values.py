"""What a training form holds, as plain values: what is asked for, its changes, its lines and what follows from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...trainer.config.recipe import Recipe
from ...trainer.data.dataset_info import DataInfo
from .values import AUTO, definition


@dataclass(frozen=True)
class LaunchRequest:
    """What a training is asked for with: networks, and the run.json of a run that is to be repeated with changes."""

    networks: tuple[str, ...]
    dataset: str = "digits"
    config: Path | None = None
    run: Mapping[str, Any] = field(default_factory=dict)
    """The contents of ``config``."""


@dataclass(frozen=True)
class LaunchForm:
    """A request, and the settings that were changed, as text by key."""

    request: LaunchRequest
    changed: Mapping[str, str] = field(default_factory=dict)

    def with_value(self, key: str, text: str) -> LaunchForm:
        """Return the form with another value; an empty text takes the change back."""
        rest = {name: value for name, value in self.changed.items() if name != key}
        return dataclasses.replace(self, changed=rest | {key: text.strip()} if text.strip() else rest)

    @property
    def networks(self) -> tuple[str, ...]:
        """The names as they are written."""
        return tuple(self.changed["networks"].split()) if "networks" in self.changed else self.request.networks

    @property
    def dataset(self) -> str:
        """The data set as `train` takes it."""
        return self.changed.get("dataset", self.request.dataset)


@dataclass(frozen=True)
class FormField:
    """One line: ``origin`` says where the value comes from ("you", a note, "default"), ``problem`` what is wrong.

    ``remark`` says what is unusual about a value that is taken, ``hint`` what the setting means and takes.
    """

    key: str
    title: str
    value: str
    origin: str = ""
    problem: str = ""
    remark: str = ""

    def shown(self, resolved: Mapping[str, str]) -> str:
        """Return the value as it stands in its line: ``auto: cpu`` where it is known what "auto" stands for."""
        is_open = self.value == AUTO or (self.key == "warmup" and self.value == "0")
        meant = resolved.get(self.key, "") if is_open and not self.problem else ""
        return f"{self.value}: {meant}" if meant else self.value

    @property
    def hint(self) -> str:
        """What the setting means, in a sentence, and what it takes."""
        if self.key == "networks":
            return "Networks to train, separated by blanks."
        return definition(self.key).sentence


@dataclass(frozen=True)
class Filled:
    """A form as far as it makes sense: recipes by network, the data set, and what is wrong by key."""

    recipes: Mapping[str, Recipe]
    origins: Mapping[str, Mapping[str, str]]
    data: DataInfo | None
    problems: Mapping[str, str]
    training_images: int = 0
    remarks: Mapping[str, str] = field(default_factory=dict)
    """``training_images`` are as many as are left after a part is held out; 0 where that is not known. ``remarks`` say by
    key what is unusual about a changed value."""
