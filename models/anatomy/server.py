"""Answer questions about networks for a process that does not load torch.

Started as `python -m cnn_explorer.models.anatomy.server`.

One JSON object a line on stdin, one a line on stdout:

  {"id": 1, "ask": "layers", "network": "resnet18", "stem": "small"}   →   {"id": 1, "answer": {...}}
                                                                           {"id": 1, "error": "network: ..."}

The first line on stdout is {"ready": true, "torch": "2.15.0"}, once torch is loaded. The process ends when stdin does, so it
never outlives the one who started it. What a model file prints goes to stderr and cannot disturb the answers.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from typing import IO, Any

from ..catalogue.user_code import describe, first_line, place

NICENESS = 5
"""The person's typing matters more than a table that is about to appear."""
LOADED_AT_ONCE = (
    "totals.compare",
    "totals.memory",
    "outside.external",
    "values.one_value",
    "words.formulas",
    "words.walk",
)
TRACED_AT_ONCE = "lenet5"
LARGEST_BUILT = 160_000_000
"""Parameters of the largest network that is built with weights: 640 MB, for one arithmetic example."""


def layers(folded: bool = True, **what: Any) -> dict[str, Any]:
    """Return the layer tree of a network, each row with its phrase and formulas; ``what`` as for
    ``external.network_spec``.

    Of a network that breaks off it is the tree up to there, with the ``problem``.
    """
    from .outside import external
    from .rows import folding, layer_json

    problem, remarks = "", ()
    try:
        traced = external.traced_network(external.network_spec(**_named(what)))
        tree, remarks = traced.tree, traced.remarks
    except external.CannotRun as error:
        if error.tree is None:
            raise
        tree, problem = error.tree, str(error)
    row = _row(folding.fold(tree) if folded else tree)
    return {"schema": layer_json.SCHEMA, "tree": row, "problem": problem, "remarks": list(remarks)}


def memory(batch: int, **what: Any) -> dict[str, Any]:
    """Return the memory of training at ``batch`` images, with SGD with momentum, in each precision, and how many images
    ``fit`` into what is free here, or why that is not known (:func:`.totals.memory.known_largest_batch`).
    """
    from ...machine import room_for_training
    from . import counting
    from .outside import external
    from .totals.memory import BYTES, Memory, known_largest_batch, training_memory

    spec = external.network_spec(**_named(what))
    _, free = room_for_training()
    found = []
    for precision in BYTES:

        def at(images: int, precision: str = precision) -> Memory:
            return training_memory(counting.on_meta(spec.make), spec.shape, images, precision, inputs=spec.inputs)

        first = at(batch)
        fits, unknown = known_largest_batch(first, at, free)
        found.append({**asdict(first), "fits": fits, "fits_unknown": unknown})
    return {"memory": found, "free": free}


def diff(older: dict[str, Any], newer: dict[str, Any]) -> dict[str, Any]:
    """Return what was added, removed or resized between two networks, and the summary of each."""
    from .totals import compare

    before, after = _tree(older), _tree(newer)
    changes = [{**asdict(change), "verdict": change.verdict} for change in compare.difference(before, after)]
    summaries = [
        asdict(compare.summary(what["network"], tree, None)) for what, tree in ((older, before), (newer, after))
    ]
    return {"changes": changes, "summaries": summaries}


def summaries(networks: list[dict[str, Any]], batch: int) -> dict[str, Any]:
    """Return the figures of several networks, side by side."""
    from . import counting
    from .outside import external
    from .totals import compare
    from .totals.memory import training_memory

    found = []
    for what in networks:
        spec = external.network_spec(**_named(what))
        needed = training_memory(counting.on_meta(spec.make), spec.shape, batch, inputs=spec.inputs)
        found.append(asdict(compare.summary(what["network"], external.anatomy_of(spec), needed)))
    return {"summaries": found}


def pixel(
    layer: str | int,
    position: list[int],
    image: list[list[int]],
    weights: str | None = None,
    batch_axis: int | None = 0,
    **what: Any,
) -> dict[str, Any]:
    """Return the arithmetic of one output value of a row, on a real image.

    ``layer`` is the number of the row or the name of a module; ``batch_axis`` of its output is left out of ``position``.
    ``image`` are grey values 0 to 255, scaled to the size that
    the network takes. ``weights`` is the best.pt of a run of this network; without it the weights are drawn from a fixed
    seed.
    """
    from .values import one_value

    written = None if weights is None else os.stat(weights).st_mtime_ns  # a run in progress writes it anew
    caught = _caught(json.dumps(what, sort_keys=True), weights, written, layer, json.dumps(image))
    return one_value.as_dict(one_value.value_of(caught, tuple(position), layer, batch_axis))


@lru_cache(maxsize=1)
def _caught(what: str, weights: str | None, written: int | None, layer: str | int, image: str) -> Any:
    """Return a row as it ran; a neighbour of the value that is shown needs no other run."""
    from .values import one_value

    network, shape, mean_and_std = _built(what, weights, written)
    return one_value.row_as_it_ran(network, layer, as_input(json.loads(image), shape, mean_and_std))


@lru_cache(maxsize=2)
def _built(
    what: str, weights: str | None, written: int | None
) -> tuple[Any, tuple[int, ...], tuple[list, list] | None]:
    """Return the network, the shape of its image, and mean and deviation of each channel where it was trained.

    ``written`` is when its weights were.
    """
    import torch

    from .outside import external

    spec = external.network_spec(**_named(json.loads(what)))
    network = built_with_seed(spec)
    if weights is None:
        return network, spec.shape, None
    kept = torch.load(weights, map_location="cpu", weights_only=True)
    network.load_state_dict(kept["model"])
    return network, spec.shape, (kept["mean"], kept["std"])


def built_with_seed(spec: Any) -> Any:
    """Return a network with weights drawn from seed 0. ValueError where it is too large for an example."""
    import torch

    from . import counting

    parameters = counting.count_parameters(counting.on_meta(spec.make))
    if parameters > LARGEST_BUILT:
        raise ValueError(f"{spec.name} has {parameters:,} parameters, too many to build it for an example")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return spec.make()


def as_input(image: list[list[int]], shape: tuple[int, ...], mean_and_std: tuple[list, list] | None) -> Any:
    """Return the image as the network expects it (1, C, H, W), normalised as in training, or by itself where there was
    none. ValueError for a ``shape`` without rows and columns, which is that of a vector or a signal.
    """
    import torch

    if len(shape) < 3:
        raise ValueError("is part of a network that takes no image, and only of an image its values are worked out")
    grey = torch.tensor(image, dtype=torch.float32)[None, None] / 255
    sized = torch.nn.functional.interpolate(grey, size=shape[-2:], mode="bilinear", align_corners=False)
    if mean_and_std is None:
        return ((sized - sized.mean()) / (sized.std() + 1e-6)).expand(1, *shape)
    mean, deviation = (torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1) for values in mean_and_std)
    return (sized - mean) / deviation


def torchinfo(depth: int, columns: list[str], **what: Any) -> dict[str, Any]:
    """Return torchinfo's own table at a depth and with the columns asked for, and how its totals compare with ours."""
    from .totals import torchinfo_summary

    summary = _summarised(json.dumps(what, sort_keys=True))
    return {
        "text": torchinfo_summary.table_text(summary, depth, columns),
        "deepest": summary.deepest,
        "explanation": torchinfo_summary.explanation(summary),
    }


@lru_cache(maxsize=1)
def _summarised(what: str) -> Any:
    """Return torchinfo's summary of a network; another depth or other columns need no other run."""
    from .outside import external
    from .totals import torchinfo_summary

    return torchinfo_summary.summarise(external.network_spec(**_named(json.loads(what))))


def _named(what: dict[str, Any]) -> dict[str, Any]:
    return {"name" if key == "network" else key: value for key, value in what.items()}


def _tree(what: dict[str, Any]) -> Any:
    from .outside import external

    return external.anatomy_of(external.network_spec(**_named(what)))


def _row(layer: Any) -> dict[str, Any]:
    from .values import one_value
    from .words import formulas, walk

    own = {name: value for name, value in vars(layer).items() if name not in ("children", "layout", "layout_in")}
    broke_off = layer.executed and not layer.output
    return {
        **own,
        "layout": None if layer.layout is None else vars(layer.layout),
        "layout_in": None if layer.layout_in is None else vars(layer.layout_in),
        "of_one_image": {
            "inputs": layer.inputs_of_one,
            "output": layer.output_of_one,
            "axes": layer.axes_of_one,
            "batch_axis": layer.batch_axis,
        },
        "phrase": "" if broke_off else walk.phrase(layer),
        "opens": not broke_off and one_value.opens(layer),
        "minor": walk.is_minor(layer),
        "formulas": [] if broke_off else [asdict(formula) for formula in formulas.formulas(layer)],
        "children": [_row(child) for child in layer.children],
    }


QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "layers": layers,
    "memory": memory,
    "diff": diff,
    "summaries": summaries,
    "pixel": pixel,
    "torchinfo": torchinfo,
}


def answer(line: str) -> dict[str, Any]:
    """Return the reply to one line of stdin; an error becomes one line of text, never an end of the process."""
    number = None
    try:
        request = json.loads(line)
        number = request.pop("id", None)
        question = QUESTIONS.get(request.pop("ask", ""))
        if question is None:
            return {"id": number, "error": f"the question is not one of {', '.join(QUESTIONS)}"}
        return {"id": number, "answer": question(**request)}
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's own model file may raise anything, and even leave
        words = describe(error) if place(error) else first_line(error)
        return {"id": number, "error": words or type(error).__name__}


def serve(questions: IO[str], answers: IO[str]) -> None:
    """Answer until ``questions`` ends."""
    import torch

    torch.set_num_threads(1)
    for name in LOADED_AT_ONCE:  # now, while nobody waits for an answer
        importlib.import_module(f"{__package__}.{name}")
    _send(answers, {"ready": True, "torch": str(torch.__version__)})
    # What torch loads at the first network that is traced, it loads while the person reads.
    answer(json.dumps({"ask": "layers", "network": TRACED_AT_ONCE}))
    for line in questions:
        if line.strip():
            _send(answers, answer(line))


def _send(answers: IO[str], reply: dict[str, Any]) -> None:
    answers.write(json.dumps(reply) + "\n")
    answers.flush()


def main() -> None:
    """Serve on stdin and stdout; the file descriptor 1 is given to stderr first."""
    own_stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        os.nice(NICENESS)
    except OSError:
        pass
    questions, sys.stdin = sys.stdin, io.StringIO()  # what a model file asks for with input() is not for it
    try:
        serve(questions, own_stdout)
    except (BrokenPipeError, KeyboardInterrupt):
        # Nobody listens any more; nothing is to be flushed into the closed pipe on the way out.
        os._exit(0)


if __name__ == "__main__":
    main()
