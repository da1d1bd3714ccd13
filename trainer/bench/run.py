"""One benchmark: the loops of every network, the data path alone, and the engine with each speed-up turned the other way.

All loops of one network get the same batches, threads and device, start from the same weights, and are timed in turns.
"""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import UsageError, WorkError, counted, nearest
from ...settings import VERSION
from ..config.recipe_layers import data_kind
from ..config.request import TrainRequest
from ..config.run_config import RunConfig
from ..data import dataset_info
from ..data.datasets import DataSet
from ..devices import hardware
from ..loop.session import build_network
from ..optim.build import build_optimizer
from ..planning import calibrate, planner
from ..planning.planner import Plan
from . import ours, results
from .bare import BareLoop, Pixels
from .canonical import CanonicalLoop, Loader, LoaderOnly, PilImages, plain_optimizer, transform_of
from .measure import Loop, Timing, interleaved
from .results import DataResult, Measured, NetworkResult, Result, Speedup
from .switches import Switch, switches

Log = Callable[[str], None]

PARTS = ("data", "canonical", "bare", "speedups")
"""What can be left out; the engine itself is always measured."""

MOST_WORKERS = 8
SHIFTED = ("fashion-mnist", "cifar10", "cifar100", "folder")
"""Kinds of data sets whose images are cropped and flipped; handwritten digits are taken as they are."""

PLAIN = {"accumulate": 1, "label_smoothing": 0.0, "clip_norm": 0.0, "ema": 0.0} | {
    "sam": "none",
    "class_weights": "none",
    "sampling": "uniform",
    "tta": "none",
}
"""Instead of what a network's recipe asks for besides: the other loops do nothing of it."""


@dataclass(frozen=True)
class Settings:
    """What is measured and how: each loop ``repeats`` times for about ``seconds``; None takes what suits.

    ``engine`` holds values of the engine (engine.CHOICES) asked for, ``calibrated`` is calibrate.resolve's ``wanted``.
    """

    dataset: str
    device: str | None = None
    batch_size: int | None = None
    repeats: int = 5
    seconds: float = 0.5
    threads: int | None = None
    data: Path | None = None
    parts: Sequence[str] = PARTS
    engine: Mapping[str, Any] = field(default_factory=dict)
    calibrated: bool | None = None


def measure(names: Sequence[str], settings: Settings, log: Log) -> Result:
    """Measure the networks ``names``. UsageError and WorkError as for a training, before anything is timed."""
    check(settings)
    threads = hardware.choose_threads(settings.threads, alone=True)
    hardware.use_threads(threads)
    plans = [plan(name, settings, threads, log) for name in dict.fromkeys(names)]
    configs, data = [made.config for made in plans], plans[0].data
    paths: dict[tuple[int, int], DataResult] = {}
    networks = []
    with tempfile.TemporaryDirectory(prefix="cnn-explorer-bench-") as runs:
        for config in configs:
            bench = Bench(config, data, settings, Path(runs), log)
            view = (config.network.image_size, config.recipe.batch_size)
            with _out_of_memory(config), contextlib.closing(bench):
                if "data" in settings.parts and view not in paths:
                    paths[view] = bench.data_path()
                networks.append(bench.network())
    machine = _machine(configs[0])
    return Result(
        configs[0].data.name,
        machine,
        {"repeats": settings.repeats, "seconds": settings.seconds},
        tuple(paths.values()),
        tuple(networks),
    )


def check(settings: Settings) -> None:
    """Raise UsageError for what cannot be measured."""
    if not 1 <= settings.repeats <= 1000:
        raise UsageError("repeats", settings.repeats, "must be at least 1 and at most 1000")
    if not 0.01 <= settings.seconds <= 600:
        raise UsageError("seconds", settings.seconds, "must be at least 0.01 and at most 600")
    for part in settings.parts:
        if part not in PARTS:
            raise UsageError("parts", part, f"is nothing that can be measured; {nearest(part, PARTS)}")


def plan(name: str, settings: Settings, threads: int, log: Log) -> Plan:
    """Return the run whose speed is measured: the network's own recipe, without what the other loops do not do.

    The engine is the one that a training would have, calibrated where that pays.
    """
    kind = data_kind(settings.dataset)
    kind = kind if kind == "folder" else dataset_info.find(kind).name
    augment = ["crop", "flip"] if kind in SHIFTED else []
    request = TrainRequest.of(
        name,
        dataset=settings.dataset,
        validation=0,
        folder=settings.data,
        device=settings.device,
        threads=threads,
        **PLAIN,
        **settings.engine,
        augment=augment,
        batch_size=settings.batch_size,
    )
    return calibrate.resolve(planner.plan(request, log), log, wanted=settings.calibrated)[0]


class Bench:
    """The loops of one network. What several of them need is made once; `close` at the end."""

    def __init__(self, config: RunConfig, data: DataSet, settings: Settings, runs: Path, log: Log) -> None:
        self.config = config
        self.device = torch.device(config.engine.device)
        self._data = data
        self._settings = settings
        self._runs = runs
        self._log = log
        self._crop = config.recipe.crop_padding if "crop" in config.recipe.augment else 0
        self._flip = "flip" in config.recipe.augment
        self._workers = min(MOST_WORKERS, hardware.usable_cores())
        self._session = ours.session_of(config, data)
        self._open: list[ours.EngineLoop] = []

    @cached_property
    def _pil(self) -> PilImages:
        data, size = self._data, self.config.network.image_size
        transform = transform_of(data.mean, data.std, data.image_size, size, self._crop, self._flip)
        return PilImages(data.train, transform)

    def data_path(self) -> DataResult:
        """Return the batches alone, by the DataLoader and by the engine."""
        loops: dict[str, tuple[str, Loop]] = {
            results.CANONICAL: ("DataLoader, PIL transforms", LoaderOnly(self._loader(0))),
            results.CANONICAL_WORKERS: (
                f"the same, {counted(self._workers, 'worker')}",
                LoaderOnly(self._loader(self._workers)),
            ),
            results.ENGINE: ("this engine", ours.BatchesOnly(self._session.batches)),
        }
        found = self._measured("data path alone", loops)
        recipe = self.config.recipe
        return DataResult(self.config.network.image_size, recipe.batch_size, recipe.augment, found)

    def network(self) -> NetworkResult:
        """Return all loops that train the network."""
        parts = self._settings.parts
        loops: dict[str, tuple[str, Loop]] = {}
        if "canonical" in parts:
            loops[results.CANONICAL] = ("DataLoader, PIL transforms", self._canonical(0))
            title = f"the same, {counted(self._workers, 'worker')}"
            loops[results.CANONICAL_WORKERS] = (title, self._canonical(self._workers))
        if "bare" in parts:
            loops[results.BARE] = ("loop by hand, same metrics", self.bare())
        loops[results.ENGINE] = ("this engine", self.engine())
        turned = self._switches() if "speedups" in parts else []
        for switch in turned:
            loops[switch.key] = (switch.variant, self._turned(switch))
        found = self._measured(self.config.network.name, loops)
        speedups = [self._speedup(switch, found.pop(switch.key), found[results.ENGINE]) for switch in turned]
        return NetworkResult(self.config, found, tuple(speedups))

    @staticmethod
    def _speedup(switch: Switch, other: Measured, engine: Measured) -> Speedup:
        with_it, without = (engine, other) if switch.used else (other, engine)
        return Speedup(other, switch.title, switch.used, with_it.timing.faster_than(without.timing))

    def _measured(self, what: str, loops: Mapping[str, tuple[str, Loop]]) -> dict[str, Measured]:
        """Time the loops, given by key with their titles."""
        titles = {title: key for key, (title, _) in loops.items()}
        timings: dict[str, Timing] = interleaved(
            dict(loops.values()),
            seconds=self._settings.seconds,
            repeats=self._settings.repeats,
            device=self.device,
            log=lambda line: self._log(f"{what}: {line}"),
        )
        batch = self.config.recipe.batch_size
        return {key: Measured(key, title, timings[title], batch) for title, key in titles.items()}

    def _switches(self) -> list[Switch]:
        fused = any(group.get("fused") for group in self._session.updater.optimizer.param_groups)
        # A GPU is fed by all workers; on a CPU they would take the training's cores.
        workers = 0 if self.device.type == "cpu" else self._workers
        return switches(self.config.engine, fused, lambda: self._loader(workers))

    def _new_network(self) -> nn.Module:
        return build_network(self.config).to(self.device)

    def _loader(self, workers: int) -> Loader:
        return Loader(self._pil, self.config.recipe.batch_size, workers, self.device)

    def _canonical(self, workers: int) -> CanonicalLoop:
        network = self._new_network()
        return CanonicalLoop(network, plain_optimizer(network, self.config.recipe), self._loader(workers))

    def engine(self) -> ours.EngineLoop:
        """Return the engine as it is used."""
        return self._loop_of(self._session, self.config)

    def bare(self) -> BareLoop:
        """Return the loop by hand, with the engine's number format, memory layout and compilation."""
        engine = self.config.engine
        layout = torch.channels_last if engine.channels_last else torch.contiguous_format
        network = self._new_network().to(memory_format=layout)
        return BareLoop(
            network,
            build_optimizer(network, self.config.recipe),
            self._pixels(),
            self.config.recipe.batch_size,
            precision={"bf16": torch.bfloat16, "fp16": torch.float16}.get(engine.precision, torch.float32),
            layout=layout,
            compiled=engine.compile,
        )

    def _pixels(self) -> Pixels:
        data, train = self._data, self._data.train
        images, labels = train.images.to(self.device), train.labels.to(self.device)
        return Pixels(images, labels, data.mean, data.std, self.config.network.image_size, self._crop, self._flip)

    def _turned(self, switch: Switch) -> ours.EngineLoop:
        config = dataclasses.replace(self.config, engine=switch.engine)
        session = ours.session_of(config, self._data, self._session.batches)
        return self._loop_of(switch.change(session), config)

    def _loop_of(self, session: ours.Session, config: RunConfig) -> ours.EngineLoop:
        loop = ours.EngineLoop(session, config, self._runs)
        self._open.append(loop)
        return loop

    def close(self) -> None:
        """Let the run directories go."""
        for loop in self._open:
            loop.close()


@contextlib.contextmanager
def _out_of_memory(config: RunConfig) -> Iterator[None]:
    """Tell in one line that several copies of a network are more than the device holds."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        smaller = max(1, config.recipe.batch_size // 2)
        raise WorkError(
            f"{config.network.name}: out of memory with batches of {config.recipe.batch_size}; "
            f"try --batch-size {smaller}, or fewer loops at once with --parts bare"
        ) from None


def _machine(config: RunConfig) -> dict[str, object]:
    engine = config.engine
    return {
        "device": engine.device,
        "device_name": engine.device_name,
        "threads": engine.threads,
        "cores": hardware.usable_cores(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cnn_explorer": VERSION,
    }
