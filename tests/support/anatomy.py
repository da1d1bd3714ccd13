"""The layer tree of any network, as `cx.anatomy` and `show` get it."""

from __future__ import annotations

from typing import Any

from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.forward.inputs import InputSpec
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.rows.layer import Layer
from torch import nn


def analyse(network: nn.Module, shape: tuple[int, ...], batch: int = 1) -> Layer:
    """Return the layer tree of a network for an image of ``shape`` (C, H, W)."""
    return external.traced_module(network, (InputSpec(shape),), batch).tree


def analyse_variant(name: str, batch: int = 1, **options: Any) -> Layer:
    """Return the layer tree of a network of the catalogue; ``options`` as for ``external.network_spec``."""
    return external.anatomy_of(external.network_spec(name, **options), batch)


def stage_shapes(network: nn.Module, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Return the output shape of each declared stage for an image of ``shape`` (C, H, W), batch axis left out."""
    return {stage.name: stage.shape for stage in counting.count(network, shape).stages}
