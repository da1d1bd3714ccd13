"""The layer tree of a run that was recorded: each node of it as a row, with the parts that did not run."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import nn

from ..axes.factors import Axes
from ..axes.layout import AxisLayout, shuffles, summary
from .layer import Layer
from .node import Node
from .plain_layers import COMPUTED_WEIGHTS
from .weight_ledger import RowWeights, WeightLedger

PACKAGE = __name__.rsplit(".", 3)[0] + "."
SETTINGS = (
    "kernel_size",
    "stride",
    "padding",
    "dilation",
    "groups",
    "num_heads",
    "num_groups",
    "normalized_shape",
    "p",
    "rate",
    "pattern",
)


def tree_of(root: Node, network: nn.Module) -> Layer:
    """Return the layer tree of a run that was recorded, also of one that broke off."""
    return _layer(root, network, root.used, WeightLedger())


def _layer(node: Node, network: nn.Module, used: set[int], ledger: WeightLedger) -> Layer:
    module = node.module
    weights = ledger.look_up(module) if module is not None else RowWeights()
    children = [_layer(child, network, used, ledger) for child in node.children]
    if module is not None and module._modules:
        ran = {child.name for child in node.children if child.is_module}
        prefix = f"{node.name}." if node.name else ""
        children += [
            _idle(f"{prefix}{name}", child, ledger)
            for name, child in module.named_children()
            if name != COMPUTED_WEIGHTS and f"{prefix}{name}" not in ran and used.isdisjoint(ledger.weights(child))
        ]
    if module is not None:
        ledger.enter(node.name, module)
    receptive_field = node.receptive_field
    return Layer(
        name=node.name,
        kind="module" if node.is_module else "operation",
        type=node.type,
        inputs=node.inputs,
        output=node.output,
        parameters=weights.parameters,
        macs=node.macs,
        output_bytes=node.output_bytes,
        receptive_field=None if receptive_field is None else receptive_field.size,
        is_global=receptive_field is not None and receptive_field.is_global,
        depth=0 if receptive_field is None else receptive_field.depth,
        settings=_settings(node, module),
        executed=True,
        times=1,
        children=tuple(children),
        frozen=weights.frozen,
        shared=weights.shared,
        weights_of=weights.weights_of,
        id=node.number,
        reads=tuple(None if source is None else source.number for source in node.reads),
        outputs=node.outputs if len(node.outputs) > 1 else (),
        returned=node.returned,
        layout=_meaning(node.layouts[1]),
        layout_in=_meaning(node.layouts[0]),
        origin=_origin(node),
        base=base_of(type(module)) if module is not None else "",
        field_unknown="" if receptive_field is None else receptive_field.unknown,
        global_along="" if receptive_field is None else receptive_field.global_along,
    )


def _settings(node: Node, module: nn.Module | None) -> dict[str, Any]:
    if module is not None:
        return layer_settings(module)
    if node.is_layout and shuffles(*node.layouts):
        return {**node.settings, "shuffles": "channels"}
    return dict(node.settings)


def _origin(node: Node) -> str:
    """Return where the class of a row is written; of a sum by a rule, whose meaning the network knows, that around it."""
    around = node.parent if node.type == "einsum" and node.parent is not None else node
    return origin_of(around.module) if around.module is not None else ""


def _meaning(axes: Axes | None) -> AxisLayout | None:
    return None if axes is None else summary(axes)


def _idle(name: str, module: nn.Module, ledger: WeightLedger) -> Layer:
    """Return a submodule that took no part in eval mode: an auxiliary head, say."""
    weights = ledger.look_up(module)
    ledger.enter(name, module)
    return Layer(
        name=name,
        kind="module",
        type=type(module).__name__,
        inputs=(),
        output=(),
        parameters=weights.parameters,
        macs=0,
        output_bytes=0,
        receptive_field=None,
        is_global=False,
        depth=0,
        settings=layer_settings(module),
        executed=False,
        times=1,
        children=(),
        frozen=weights.frozen,
        shared=weights.shared,
        weights_of=weights.weights_of,
    )


@cache
def _settings_of_class(kind: type) -> tuple[str, ...]:
    """Return the settings that are more than plain attributes of a layer: of its class, or made by its __getattr__."""
    if kind.__getattr__ is not nn.Module.__getattr__:  # pyright: ignore[reportFunctionMemberAccess]
        return SETTINGS
    return tuple(name for name in SETTINGS if hasattr(kind, name))


def layer_settings(module: nn.Module) -> dict[str, Any]:
    """Return the kernel, stride, padding, dilation, groups and the like of one layer, as far as it has them."""
    own, of_class = vars(module), _settings_of_class(type(module))
    found = {}
    for name in SETTINGS:
        value = getattr(module, name, None) if name in of_class else own.get(name)
        if isinstance(value, torch.Size):
            value = tuple(value)
        if isinstance(value, int | float | str | tuple) and not isinstance(value, bool):
            found[name] = value
    if "bias" in module._parameters:
        found["bias"] = module.bias is not None
    if isinstance(module, nn.MultiheadAttention):
        found["batch_first"] = module.batch_first
    return found


def origin_of(module: nn.Module) -> str:
    """Return the Python module of a layer's class; of the catalogue's own classes its last part: swin."""
    return type(module).__module__.removeprefix(PACKAGE)


@cache
def base_of(kind: type) -> str:
    """Return the layer of torch.nn that a class is or is derived from: Conv2d; "" where there is none."""
    for base in kind.__mro__:
        if base.__module__.startswith("torch.nn.modules") and base is not nn.Module:
            return base.__name__
    return ""
