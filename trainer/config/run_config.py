"""The resolved configuration of a run, as run.json holds it: plain values, read and written without torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError, WorkError
from . import checkpoint_policy, engine_config, recipe, weights_source
from .checkpoint_policy import CheckpointPolicy
from .engine_config import Engine
from .recipe import Recipe
from .weights_source import InitialWeights


@dataclass(frozen=True)
class OwnNetwork:
    """A person's own network, stored in ``folder`` (models/own/stored.py), from where it is built.

    In a run the folder is ``network/`` of its directory, so run.json does not name it. ``path`` is where the file of
    its class was, ``kind`` "object" or "callable", ``pickled`` by what its structure was stored, "" for a callable of
    a file.
    """

    folder: Path
    path: str = ""
    kind: str = ""
    pickled: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return the values as JSON has them, with a warning for readers of the file."""
        return {"path": self.path, "kind": self.kind, "pickled": self.pickled, "warning": OWN_WARNING}


OWN_FOLDER = "network"
OWN_WARNING = "loading this network runs the code in the folder network"


@dataclass(frozen=True)
class NetworkConfig:
    """Which network was built. ``stem`` is "small" or "imagenet", None where the network has one stem only.

    ``pretrained`` tells where its first weights came from, None where they were drawn. ``own`` is where a person's own
    network is stored, None for those that have a name everywhere.
    """

    name: str
    stem: str | None
    in_channels: int
    image_size: int
    num_classes: int
    parameters: int
    pretrained: InitialWeights | None = None
    own: OwnNetwork | None = None

    def to_dict(self) -> dict:
        """Return the values as JSON has them."""
        values = vars(self) | {"pretrained": self.pretrained.to_dict() if self.pretrained else None}
        del values["own"]
        return values | ({"own": self.own.to_dict()} if self.own else {})


@dataclass(frozen=True)
class DataConfig:
    """Which images it is trained on, and how many of them each part has.

    ``size`` is the side of the images before they are fitted to the network, ``folder`` where the originals are, and
    ``held_out`` what was asked for as validation split (a share, a number, or None for the usual one).
    """

    name: str
    train: int
    validation: int
    test: int
    classes: tuple[str, ...]
    size: int
    folder: str
    held_out: float | None = None


@dataclass(frozen=True)
class RunConfig:
    """All that decides a run."""

    network: NetworkConfig
    data: DataConfig
    recipe: Recipe
    engine: Engine
    seed: int
    checkpoints: CheckpointPolicy = dataclasses.field(default_factory=CheckpointPolicy)

    def on(self, devices: tuple[str, ...]) -> RunConfig:
        """Return the same run on other devices, one for each process; on those that it has where none are given."""
        if not devices:
            return self
        first, *others = devices
        several = devices if others else ()
        return dataclasses.replace(self, engine=dataclasses.replace(self.engine, device=first, devices=several))

    def to_dict(self) -> dict:
        """Return the keys of run.json that this is."""
        return {
            "network": self.network.to_dict(),
            "data": dataclasses.asdict(self.data) | {"classes": list(self.data.classes)},
            "recipe": self.recipe.to_dict(),
            "engine": self.engine.to_dict(),
            "seed": self.seed,
            "checkpoints": self.checkpoints.to_dict(),
        }


def from_dict(values: dict, run: Path | None = None) -> RunConfig:
    """Return the configuration in the run.json of the directory ``run``; WorkError that names what is wrong with it."""
    try:
        return RunConfig(
            network_from_dict(values["network"], run),
            _part(DataConfig, values["data"] | {"classes": tuple(values["data"]["classes"])}),
            recipe.from_dict(values["recipe"], "run.json"),
            engine_config.from_dict(values["engine"]),
            int(values["seed"]),
            _checkpoint_policy(values.get("checkpoints", {})),
        )
    except KeyError as error:
        raise WorkError(f"run.json lacks the key {error.args[0]!r}") from None
    except (TypeError, AttributeError, ValueError) as error:
        reason = str(error) if isinstance(error, UsageError) else f"it is not written as it should be: {error}"
        raise WorkError(f"run.json cannot be used: {reason}") from None


def _checkpoint_policy(values: dict) -> CheckpointPolicy:
    """Return the policy of a run; earlier versions wrote none, and later ones may write more keys."""
    return checkpoint_policy.from_dict({key: value for key, value in values.items() if key in checkpoint_policy.KEYS})


def network_from_dict(values: dict, run: Path | None = None) -> NetworkConfig:
    """Return what ``NetworkConfig.to_dict`` wrote, also by an earlier version. TypeError where it cannot be read.

    ``run`` is the directory of the run, where a person's own network is stored; without it such a network cannot be
    built.
    """
    own = values.get("own")
    found = None if own is None or run is None else _part(OwnNetwork, own | {"folder": run / OWN_FOLDER})
    return _part(
        NetworkConfig, values | {"pretrained": weights_source.from_dict(values.get("pretrained")), "own": found}
    )


def _part(kind: type, values: dict):
    names = {field.name for field in dataclasses.fields(kind)}
    return kind(**{key: value for key, value in values.items() if key in names})
