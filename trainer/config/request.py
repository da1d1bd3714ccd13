"""What a person asks for with one training: the same typed object from the command line, a file, the form or Python.

A request holds only what was asked for: None, or a missing key, asks for nothing. ``config_file.read`` makes one from a
file, ``planner.plan`` resolves it into the configuration of a run. No torch.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import UsageError, nearest
from ..common.value_checks import Rule
from ..data import dataset_info
from . import weights_source
from .checkpoint_policy import CheckpointPolicy
from .engine_config import Engine
from .presets import PRESETS
from .recipe import OF_BACKBONE, Recipe
from .setting import DATA, ENGINE, RECIPE, RUN, Setting, setting, settings_of
from .weights_source import WeightsRequest

STEMS = ("auto", "small", "imagenet")


@dataclass(frozen=True)
class DataRequest:
    """Which images, and how they are given to the network."""

    dataset: str | None = setting(
        None,
        f"Data set: {', '.join(dataset_info.names())} or {dataset_info.FOLDER}PATH (default digits).",
        DATA,
        metavar="NAME",
        title="data set",
    )
    validation: float | None = setting(
        None,
        "Part of the training images that is held out for validation, or their number; 0 holds out none.",
        DATA,
        Rule(low=0),
        page="validation",
        title="validation split",
    )
    stem: str | None = setting(
        None,
        "Stem of the network: small is for images up to 64 pixels, imagenet is the paper's.",
        DATA,
        Rule(choices=STEMS),
        page="image-size",
    )
    image_size: int | None = setting(
        None,
        "Side of the images that the network sees; others are resized.",
        DATA,
        Rule(low=1, high=65_536, usual=(0, 1024)),
        unit="pixels",
        page="image-size",
    )
    folder: Path | None = setting(  # noqa: RUF009
        None, "Folder of the data sets.", DATA, flag="data", metavar="FOLDER", in_form=False
    )


@dataclass(frozen=True)
class RecipeRequest:
    """A recipe by name, and values of :class:`Recipe` over it, by key."""

    preset: str | None = setting(
        None,
        "Recipe by name, under the values given one by one.",
        RECIPE,
        Rule(choices=tuple(PRESETS)),
        flag="recipe",
        title="recipe",
        metavar="NAME",
    )
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineRequest:
    """Values of :class:`Engine` by key, and how the engine is chosen."""

    devices: str | None = setting(
        None,
        "Several devices: one network on all of them, several networks side by side.",
        ENGINE,
        metavar="N|LIST|all",
        rare=True,
    )
    calibrate: bool | None = setting(
        None, "Time again what is fast on this machine; --no-calibrate times nothing.", ENGINE, rare=True
    )
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class CheckpointRequest:
    """Values of :class:`CheckpointPolicy` by key."""

    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class RunOptions:
    """What is done, where, and what everything random follows from."""

    seed: int | None = setting(
        None,
        "Number from which everything random follows (default 0).",
        RUN,
        Rule(low=0, below=2**63),
    )
    config: Path | None = setting(  # noqa: RUF009
        None, "Configuration: TOML written by hand, or a run.json to repeat.", RUN, metavar="FILE", in_form=False
    )
    runs: Path | None = setting(  # noqa: RUF009
        None, "Folder of the runs.", RUN, metavar="FOLDER", in_form=False
    )
    plan: bool = setting(
        False, "Show what would be trained and how long it would take; train nothing.", RUN, in_form=False
    )
    find_lr: bool = setting(False, "Try out learning rates and draw their losses; train nothing.", RUN, in_form=False)
    detach: bool = setting(False, "Train in the background; print the run's id and return.", RUN, in_form=False)
    plot: bool = setting(
        False,
        "Draw the loss: above the progress bar after each epoch on a terminal, and once at the end.",
        RUN,
        in_form=False,
    )
    json: bool = setting(False, "Print the runs as JSON on stdout at the end.", RUN, in_form=False)


PARTS: dict[str, type] = {
    "data": DataRequest,
    "weights": WeightsRequest,
    "recipe": RecipeRequest,
    "engine": EngineRequest,
    "checkpoints": CheckpointRequest,
    "run": RunOptions,
}
RESOLVED: dict[str, type] = {"recipe": Recipe, "engine": Engine, "checkpoints": CheckpointPolicy}
"""The dataclasses some of whose fields the ``values`` of a part hold."""


@dataclass(frozen=True)
class TrainRequest:
    """A training that somebody asks for.

    ``origin`` names the file that it was read from, "" for a command line. ``complete``: the file is a run.json, whose
    recipe and engine lack nothing. ``stored`` is the folder in which that run keeps a network of a person's own.
    """

    networks: tuple[str, ...] = ()
    data: DataRequest = DataRequest()
    recipe: RecipeRequest = RecipeRequest()
    weights: WeightsRequest = WeightsRequest()  # noqa: RUF009
    engine: EngineRequest = EngineRequest()
    checkpoints: CheckpointRequest = CheckpointRequest()
    run: RunOptions = RunOptions()
    origin: str = ""
    complete: bool = False
    stored: Path | None = None

    @classmethod
    def of(cls, *networks: str, **values: object) -> TrainRequest:
        """Return the request for some networks with settings by key. UsageError for an unknown key and for a wrong
        value.
        """
        own: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
        held: dict[str, dict[str, object]] = {part: {} for part in RESOLVED}
        for key, value in values.items():
            if value is None:
                continue
            part, defined = place_of(key)
            (own[part] if key in settings_of(PARTS[part]) else held[part])[key] = defined.check(value)
        parts = {part: PARTS[part](**own[part], **_held(held, part)) for part in PARTS if part != "weights"}
        return cls(tuple(networks), weights=weights_source.asked(own["weights"]), **parts)

    def values(self) -> Iterator[tuple[Setting, object]]:
        """Yield what is asked for: the settings with their values."""
        for key, (part, defined) in all_settings().items():
            holder = getattr(self, part)
            value = getattr(holder, key) if hasattr(holder, key) else holder.values.get(key)
            if value is not None and not (defined.is_action and value is False):
                yield defined, value

    def to_argv(self) -> list[str]:
        """Return the words after `cnn-explorer` that ask for the same."""
        return ["train", *self.networks, *(word for defined, value in self.values() for word in defined.argv(value))]

    def of_network(self, name: str) -> TrainRequest:
        """Return the same for one of its networks."""
        return dataclasses.replace(self, networks=(name,))

    def without_weights(self) -> TrainRequest:
        """Return the same with weights that are drawn, and nothing that concerns loaded ones."""
        values = {key: value for key, value in self.recipe.values.items() if key not in OF_BACKBONE}
        return dataclasses.replace(
            self, weights=WeightsRequest(), recipe=dataclasses.replace(self.recipe, values=values)
        )


@functools.cache
def all_settings() -> dict[str, tuple[str, Setting]]:
    """Return every setting of a training with the part of a request that holds it, by key."""
    found: dict[str, tuple[str, Setting]] = {}
    for part, kind in PARTS.items():
        for source in (kind, RESOLVED.get(part)):
            found |= {key: (part, defined) for key, defined in settings_of(source).items()} if source else {}
    return found


def place_of(key: str) -> tuple[str, Setting]:
    """Return the part of a request that holds the setting ``key``, and its definition. UsageError where there is none."""
    if key not in all_settings():
        raise UsageError("setting", key, f"is not a setting of a training; {nearest(key, all_settings())}".rstrip("; "))
    return all_settings()[key]


def of_groups(groups: Iterable[str]) -> Iterator[Setting]:
    """Yield the settings of some groups, group by group, in each the common ones first."""
    for group in groups:
        found = [defined for _, defined in all_settings().values() if defined.group == group]
        yield from sorted(found, key=lambda defined: defined.rare)


def _held(held: Mapping[str, dict[str, object]], part: str) -> dict[str, Any]:
    return {"values": held[part]} if part in held else {}
