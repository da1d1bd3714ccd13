"""What a benchmark found, as plain values."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from ..config.run_config import RunConfig
from .measure import Timing

CANONICAL = "canonical"
CANONICAL_WORKERS = "canonical-workers"
BARE = "bare"
ENGINE = "engine"
SCHEMA = 1


@dataclass(frozen=True)
class Measured:
    """One loop: ``key`` for programs, ``title`` for people; a step is a batch of ``batch_size`` images."""

    key: str
    title: str
    timing: Timing
    batch_size: int

    @property
    def rates(self) -> tuple[float, ...]:
        """Images a second in each round."""
        return tuple(self.batch_size / seconds for seconds in self.timing.step_s)

    @property
    def rate(self) -> float:
        """Images a second, the median of the rounds."""
        return statistics.median(self.rates)

    def to_dict(self) -> dict[str, object]:
        """Return the values as JSON has them."""
        low, high = min(self.rates), max(self.rates)
        speed = {"median": round(self.rate, 2), "min": round(low, 2), "max": round(high, 2)}
        ms = round(1000 * statistics.median(self.timing.step_s), 5)
        return {
            "name": self.key,
            "title": self.title,
            "images_per_s": speed,
            "ms_per_step": ms,
            "steps": self.timing.steps,
        }


@dataclass(frozen=True)
class Speedup:
    """What the speed-up ``title`` gains: ``gain`` is how many times as fast the engine is with it as without it.

    ``used``: the engine has it on, and ``measured`` is the engine without it; otherwise it is the engine with it.
    """

    measured: Measured
    title: str
    used: bool
    gain: float

    def to_dict(self) -> dict[str, object]:
        """Return the values as JSON has them."""
        return self.measured.to_dict() | {"speedup": self.title, "used": self.used, "gain": round(self.gain, 4)}


@dataclass(frozen=True)
class NetworkResult:
    """The loops of one network by their keys, and the gain of each speed-up."""

    config: RunConfig
    loops: Mapping[str, Measured]
    speedups: tuple[Speedup, ...]

    @property
    def engine(self) -> Measured:
        return self.loops[ENGINE]

    def times(self, key: str) -> float | None:
        """Return how many times as fast as the loop ``key`` the engine is; None where that was not measured."""
        other = self.loops.get(key)
        return None if other is None else self.engine.timing.faster_than(other.timing)

    @property
    def canonical(self) -> str | None:
        """The key of the faster one of the canonical loops; None where none was measured."""
        found = [key for key in (CANONICAL, CANONICAL_WORKERS) if key in self.loops]
        return max(found, key=lambda key: self.loops[key].rate) if found else None

    @property
    def overhead_us(self) -> float | None:
        """Microseconds a step more than the loop by hand; negative where the engine is faster."""
        bare = self.loops.get(BARE)
        return None if bare is None else 1e6 * self.engine.timing.longer_than(bare.timing)

    def to_dict(self) -> dict[str, object]:
        """Return the values as JSON has them."""
        network, recipe = self.config.network, self.config.recipe
        ratios = {key: self.times(key) for key in (CANONICAL, CANONICAL_WORKERS, BARE)}
        return {
            "name": network.name,
            "stem": network.stem,
            "image_size": network.image_size,
            "parameters": network.parameters,
            "optimizer": recipe.optimizer,
            "batch_size": recipe.batch_size,
            "augment": list(recipe.augment),
            "engine": self.config.engine.to_dict(),
            "loops": [measured.to_dict() for measured in self.loops.values()],
            "engine_times": {key: None if value is None else round(value, 4) for key, value in ratios.items()},
            "overhead_us": None if self.overhead_us is None else round(self.overhead_us, 2),
            "speedups": [speedup.to_dict() for speedup in self.speedups],
        }


@dataclass(frozen=True)
class DataResult:
    """The data path alone, for one size of the images and of the batches."""

    size: int
    batch_size: int
    augment: tuple[str, ...]
    paths: Mapping[str, Measured]

    def times(self, key: str) -> float:
        """Return how many times as fast as the loader ``key`` the engine's batches are."""
        return self.paths[ENGINE].timing.faster_than(self.paths[key].timing)

    def to_dict(self) -> dict[str, object]:
        """Return the values as JSON has them."""
        ratios = {key: round(self.times(key), 3) for key in self.paths if key != ENGINE}
        return {
            "image_size": self.size,
            "batch_size": self.batch_size,
            "augment": list(self.augment),
            "paths": [measured.to_dict() for measured in self.paths.values()],
            "engine_times": ratios,
        }


@dataclass(frozen=True)
class Result:
    """All that was measured, and where. ``settings`` are the number of repetitions and the seconds of each."""

    dataset: str
    machine: Mapping[str, object]
    settings: Mapping[str, object]
    data: tuple[DataResult, ...]
    networks: tuple[NetworkResult, ...]

    def to_dict(self) -> dict[str, object]:
        """Return the object that ``bench --json`` prints; docs/json.md describes the keys."""
        return {
            "schema": SCHEMA,
            "dataset": self.dataset,
            "machine": dict(self.machine),
            "settings": dict(self.settings),
            "data": [part.to_dict() for part in self.data],
            "networks": [network.to_dict() for network in self.networks],
        }
