"""Which run's trained weights fit the network that is shown: the newest one with the same stem and image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...models.catalogue.notes import shape_text
from ...trainer.runs.run import RunSnapshot, whole
from ..networks.selection import NetworkSelection

BEST = "checkpoints/best.pt"


def trained(runs: Sequence[RunSnapshot], selection: NetworkSelection) -> RunSnapshot | None:
    """Return the newest run whose best weights fit ``selection``; ``runs`` are newest first."""
    fitting = (run for run in _of(runs, selection) if _image(run) == selection.image and _stem(run) == selection.stem)
    return next((run for run in fitting if run.best_epoch is not None or run.test_accuracy is not None), None)


def why_not(runs: Sequence[RunSnapshot], selection: NetworkSelection) -> str:
    """Return one line for a person who wanted trained weights that are not there."""
    others = [run for run in _of(runs, selection) if _image(run) != selection.image and _image(run)[0]]
    wanted = f"no trained run of {selection.network} with images of {shape_text(selection.image)}"
    if others:
        return f"{wanted}; {others[0].id} has {shape_text(_image(others[0]))}: `i` changes the image"
    return f"{wanted} yet; `t` trains one"


def details(run: RunSnapshot) -> dict[str, Any]:
    """Return what the helper process must know beside the selection: where the weights are, and for how many classes."""
    return {"weights": str(run.path / BEST), "num_classes": _network(run).get("num_classes")}


def _of(runs: Sequence[RunSnapshot], selection: NetworkSelection) -> list[RunSnapshot]:
    return [run for run in runs if run.network == selection.network]


def _network(run: RunSnapshot) -> dict[str, Any]:
    network = run.config.get("network")
    return network if isinstance(network, dict) else {}


def _image(run: RunSnapshot) -> tuple[int, int, int]:
    channels, side = (whole(_network(run).get(key)) or 0 for key in ("in_channels", "image_size"))
    return channels, side, side


def _stem(run: RunSnapshot) -> str:
    return "small" if _network(run).get("stem") == "small" else "imagenet"
