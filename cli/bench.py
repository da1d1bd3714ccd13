"""`cnn-explorer bench`: how fast this machine trains, and what each speed-up of the engine gains on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .narrate import log
from .output import AsJson, Force, Output, print_json, written_to
from .train_options import LazyCommand, given_of, options_of

if TYPE_CHECKING:
    from ..trainer.bench.results import Measured, Result

DEFAULT_NETWORKS = ("lenet5", "resnet20")
COLUMNS = ("loop", "images/s", "min … max", "ms/step", "engine is")


OPTIONS = {
    "names": (
        Annotated[list[str] | None, typer.Argument(metavar="[NAME…]", help="Networks (default: lenet5 and resnet20).")],
        None,
    ),
    "repeats": (Annotated[int, typer.Option(metavar="N", help="How often each loop is timed, in turns.")], 5),
    "seconds": (
        Annotated[
            float,
            typer.Option(metavar="NUMBER", help="About how many seconds a loop is timed each time; at least one step."),
        ],
        0.5,
    ),
    "parts": (
        Annotated[str, typer.Option(metavar="LIST", help="What is measured beside the engine, separated by commas.")],
        "data,canonical,bare,speedups",
    ),
    "as_json": (AsJson, False),
    "output": (Output, None),
    "force": (Force, False),
}
ENGINE = ("precision", "channels_last", "compile", "cuda_graphs")
SETTINGS = ("dataset", "folder", "batch_size", "device", "threads", *ENGINE, "calibrate")
"""The settings of a training that a benchmark takes as well."""


class BenchCommand(LazyCommand):
    """The command `bench`."""

    def make_options(self) -> list[Any]:
        """Return the options of the measurement, and those of a training that change what is measured."""
        from ..trainer.config.request import place_of

        return options_of(OPTIONS, (place_of(key)[1] for key in SETTINGS))

    def invoke(self, ctx: Any) -> None:
        """Measure what the options ask for."""
        measure_and_print(ctx.params)


def bench() -> None:
    """Measure images/s of this machine, and what each speed-up gains.

    Measured are the DataLoader loop, a loop by hand, this engine, and each of its speed-ups.

    All loops have the same threads, batches and images, and are timed in turns; the median counts.
    """


def measure_and_print(values: Mapping[str, Any]) -> None:
    """Measure what the parsed options ask for, and print it."""
    from ..trainer.bench.run import Settings, measure
    from ..trainer.config.request import place_of

    known = {key: place_of(key)[1] for key in SETTINGS}
    given = {key: known[key].check(value) for key, value in given_of(values, known.values()).items()}
    settings = Settings(
        given.get("dataset", "digits"),
        given.get("device"),
        given.get("batch_size"),
        values["repeats"],
        values["seconds"],
        given.get("threads"),
        given.get("folder"),
        tuple(part.strip() for part in values["parts"].split(",") if part.strip()),
        {key: given[key] for key in ENGINE if key in given},
        given.get("calibrate"),
    )
    output = None if values["output"] is None else Path(values["output"])
    with written_to(output, force=values["force"]):
        result = measure(values["names"] or DEFAULT_NETWORKS, settings, log)
        if values["as_json"]:
            print_json(result.to_dict())
        else:
            _print(result)


def _print(result: Result) -> None:
    """Print a table and a few sentences for the data path and for each network."""
    from ..trainer.bench.results import ENGINE
    from ..trainer.bench.words import about_data, about_network, times

    machine = result.machine
    print(f"{machine['device_name']}, {machine['device']}, threads: {machine['threads']}; torch {machine['torch']}")
    for part in result.data:
        shown = [(found, "" if key == ENGINE else times(part.times(key))) for key, found in part.paths.items()]
        size = f"{part.size}×{part.size}, batches of {part.batch_size}"
        _print_table(f"data path alone: {result.dataset}, {size}", shown)
        print(about_data(part))
    for network in result.networks:
        shown = [
            (found, "" if key == ENGINE else times(network.times(key) or 0)) for key, found in network.loops.items()
        ]
        shown += [(w.measured, times(w.gain if w.used else 1 / w.gain)) for w in network.speedups]
        recipe = network.config.recipe
        _print_table(f"{network.config.network.name}: {result.dataset}, batches of {recipe.batch_size}", shown)
        for line in about_network(network):
            print(line)


def _print_table(title: str, shown: list[tuple[Measured, str]]) -> None:
    """Print a row for each loop; the last column says how many times as fast the engine is."""
    from ..trainer.common.number_text import speed
    from .tables import print_table

    print()
    rows = []
    for found, engine in shown:
        spread = f"{speed(min(found.rates))} … {speed(max(found.rates))}"
        step = 1000 * found.batch_size / found.rate
        rows.append((found.title, speed(found.rate), spread, f"{step:.4g}", engine))
    print_table(COLUMNS, rows, numbers=COLUMNS[1:], shrink="loop", title=title)
