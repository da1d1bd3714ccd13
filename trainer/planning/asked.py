"""What one run is asked for: a request, and under it the configuration file that it names.

Where both give a value, this module decides which one counts. The planner opens the request and hands each step only
what that step needs: no other module sees a request.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ... import settings
from ...errors import UsageError
from ..config import checkpoint_policy, config_file, presets
from ..config.checkpoint_policy import CheckpointPolicy
from ..config.config_file import Log
from ..config.recipe_layers import RecipeLayer
from ..config.request import TrainRequest
from ..config.weights_source import WeightsRequest
from ..data.image_folder import PLAN_BYTES
from .engine_choice import WantedEngine
from .images import WantedImages

DEFAULT_DATASET = "digits"

T = TypeVar("T")


def read_file(request: TrainRequest, log: Log) -> TrainRequest:
    """Read the configuration file of a request, without what the request takes back. UsageError."""
    file = config_file.read(request.run.config, log)
    return file.without_weights() if request.weights.pretrained is False else file


@dataclass(frozen=True)
class Asked:
    """What ``request`` asks for, and ``file`` where the request says nothing.

    A property is None where neither says anything and there is no default.
    """

    request: TrainRequest
    file: TrainRequest

    @property
    def network(self) -> str:
        """The name of the network. UsageError where there is none."""
        names = self.request.networks or self.file.networks
        if not names:
            raise UsageError("network", None, "give the name of a network; `cnn-explorer list` names them all")
        return names[0]

    @property
    def stored(self) -> Path | None:
        """The folder in which the run that is repeated keeps a network of a person's own."""
        return self.file.stored if self.file.networks == (self.network,) else None

    @property
    def repeats_a_run(self) -> bool:
        """Whether the file is the run.json of an earlier run, whose recipe and engine lack nothing."""
        return self.file.complete

    @property
    def images(self) -> WantedImages:
        """The images. A plan decodes no more of them than it needs."""
        return WantedImages(
            self.request.data.dataset or self.file.data.dataset or DEFAULT_DATASET,
            settings.data_folder(self.request.data.folder),
            _first(self.request.data.validation, self.file.data.validation),
            self.seed,
            PLAN_BYTES if self.request.run.plan else None,
        )

    @property
    def runs_folder(self) -> Path:
        """The folder of the runs."""
        return settings.runs_folder(self.request.run.runs)

    @property
    def seed(self) -> int:
        """The number from which everything random follows."""
        return _first(self.request.run.seed, self.file.run.seed) or 0

    @property
    def stem(self) -> str:
        """The stem of the network, or "auto"."""
        return _first(self.request.data.stem, self.file.data.stem) or "auto"

    @property
    def image_size(self) -> int | None:
        """The side of the images. That of a run which is repeated is meant for its data set, not for another one."""
        other_images = self.file.complete and self.request.data.dataset not in (None, self.file.data.dataset)
        return _first(self.request.data.image_size, None if other_images else self.file.data.image_size)

    @property
    def engine(self) -> WantedEngine:
        """The engine."""
        return WantedEngine(self.request.engine.values, self.file.engine.values, self.file.origin, self.repeats_a_run)

    @property
    def weights(self) -> WeightsRequest:
        """The weights to begin with."""
        request = self.request.weights
        if request.kind or request.keep_head is None:
            return request if request.kind else self.file.weights
        return dataclasses.replace(self.file.weights, keep_head=request.keep_head)

    @property
    def checkpoints(self) -> CheckpointPolicy:
        """How often checkpoints are written. UsageError for a value of a run.json that cannot be."""
        return checkpoint_policy.from_dict({**self.file.checkpoints.values, **self.request.checkpoints.values})

    def unusual(self) -> list[str]:
        """Return a line for each value with which hardly anybody trains. Those of a run.json were told when it began."""
        told = (
            {}
            if self.repeats_a_run
            else {defined.name: defined.unusual(value) for defined, value in self.file.values()}
        )
        told |= {defined.name: defined.unusual(value) for defined, value in self.request.values()}
        return [f"{name} {words}" for name, words in told.items() if words]

    def recipe_layers(self, of_note: RecipeLayer, fine_tuning: RecipeLayer | None) -> list[RecipeLayer]:
        """Return the layers of the recipe, the strongest last; a run.json is complete, so the note does not count."""
        layers = [] if self.repeats_a_run else [of_note]
        if fine_tuning is not None:
            layers.append(fine_tuning)
        preset = self.request.recipe.preset
        if preset is not None:
            layers.append(presets.layer(preset))
            if self.repeats_a_run:
                hint = f"and {self.file.origin}, which holds a whole recipe, contradict each other; give one of them"
                raise UsageError("recipe", preset, hint)
        return [
            *layers,
            RecipeLayer(self.file.origin, self.file.recipe.values),
            RecipeLayer("", self.request.recipe.values),
        ]


def _first(value: T | None, otherwise: T | None) -> T | None:
    return otherwise if value is None else value
