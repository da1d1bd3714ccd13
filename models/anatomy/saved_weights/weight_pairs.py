"""Weights under another program's names, and which tensor of ours takes the values of which of theirs.

The surest way is a network of torchvision or timm with just those names: it is built beside ours, and the two are paired
as in `transplant`. Else the layers decide: the modules of the table, in its order, beside the modules in the order in
which an image meets them. If any kind or shape differs, nothing is paired.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...catalogue.registry import Variant
from ..counting import on_meta
from . import transplant, weight_tables

MOST_NAMES = 4
"""So many networks of timm are tried whose names are like that of a network of the catalogue."""
MOST_BUILT = 6
MOST_CLASSES = 100_000
HEADS = ("head", "heads", "fc", "fc8", "classifier", "linear", "output", "last_linear", "logits")
"""How the last layer is called in other programs."""
DRAWING = ("normal_", "uniform_", "trunc_normal_", "kaiming_normal_", "kaiming_uniform_", "xavier_uniform_", "erfinv_")


class _NoDrawing(TorchFunctionMode):
    """Draws nothing: a network without memory has no values, and its building becomes several times faster."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in DRAWING:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def without_values(make: Callable[[], nn.Module]) -> nn.Module:
    """Build a network for its names and shapes alone, in evaluation mode."""

    def built() -> nn.Module:
        with _NoDrawing(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()

    return on_meta(built).eval()


@dataclass(frozen=True)
class Pairing:
    """For weights of ours (by name) the name of the tensor that has their values.

    ``by`` is the network whose names the table has, "torchvision:resnet18", or "order".
    """

    by: str
    names: Mapping[str, str]


def pairing(
    tensors: Mapping[str, Tensor], variant: Variant, make: Callable[[], nn.Module], image: tuple[int, int, int]
) -> Pairing | None:
    """Pair ``tensors`` with the weights of a network of the catalogue, None where they are of another one.

    ``make`` builds ours for as many classes as the table has, and ``image`` is the shape (C, H, W) of its images.
    """
    ours = without_values(make)
    batch = torch.empty((1, *image), device="meta")
    for name, reference in references(variant, classes_of(tensors), image):
        theirs = _built(reference)
        if theirs is None:
            continue
        places = transplant.named_weights(theirs)
        prefix = weight_tables.best_prefix(tensors, places)
        if len(weight_tables.fitting(weight_tables.below(tensors, prefix), places)) < len(places):
            continue
        try:
            pairs = transplant.pair_up(theirs, ours, batch)
        except (ValueError, RuntimeError, TypeError, AssertionError):
            continue
        return Pairing(name, {pair.target: prefix + pair.source for pair in pairs})
    try:
        names = by_order(tensors, ours, batch)
    except (ValueError, RuntimeError, TypeError):
        return None
    return Pairing("order", names) if names is not None else None


def _built(make: Callable[[], nn.Module]) -> nn.Module | None:
    try:
        return without_values(make)
    except Exception:  # another package may refuse numbers of classes or sizes in any way
        return None


def classes_of(tensors: Mapping[str, Tensor]) -> int:
    """Return the number of classes that the last matrix or convolution of a table gives; 0 where it can be none.

    Where names stand in the order of the alphabet, as in safetensors, the last is that of the usual names of a head.
    """
    matrices = [name for name, tensor in tensors.items() if tensor.ndim > 1]
    if in_alphabetical_order(tensors):
        matrices = sorted(matrices, key=lambda name: (name.partition(".")[0] in HEADS, len(name), name))
    last = tensors[matrices[-1]].shape[0] if matrices else 0
    return last if last <= MOST_CLASSES else 0


def in_alphabetical_order(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether the order of a table says nothing of the network: safetensors sorts names, within each type."""
    names = [name for name, tensor in tensors.items() if tensor.ndim > 1]
    return len(names) > 1 and names == sorted(names)


def references(
    variant: Variant, classes: int, image: tuple[int, int, int]
) -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """Yield networks of torchvision and timm that may be the same as one of the catalogue: name, and how it is built."""
    if variant.torchvision and image[0] == 3:
        yield (
            f"torchvision:{variant.torchvision}",
            lambda: torchvision_network(variant.torchvision, classes or 1000, image[1]),
        )
    try:
        import timm
    except ImportError:
        return
    words = variant.name.split("_")
    known = [name for name in timm.list_models() if _has_in_order(name, words)]
    for name in sorted(known, key=lambda name: (not name.startswith(variant.name), len(name)))[:MOST_NAMES]:
        options: dict[str, Any] = {"pretrained": False, "num_classes": classes or 1000, "in_chans": image[0]}
        yield f"timm:{name}", lambda name=name, options=options: timm.create_model(name, **options)


def torchvision_network(name: str, classes: int, size: int) -> nn.Module:
    """Build a network of torchvision without weights, with its auxiliary heads."""
    from torchvision import models as zoo

    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": True, "init_weights": False, "transform_input": False}
    if name.startswith("vit_"):
        options["image_size"] = size
    return zoo.get_model(name, **options)


def _has_in_order(name: str, words: list[str]) -> bool:
    at = 0
    for word in words:
        at = name.find(word, at)
        if at < 0:
            return False
        at += len(word)
    return True


def modules_of(names: list[str], tensors: Mapping[str, Tensor]) -> list[tuple[str, dict[str, tuple[int, ...]]]]:
    """Return the modules of a table in order of their first tensor, each with the essential shapes of its tensors."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for name in names:
        module, _, leaf = name.rpartition(".")
        found.setdefault(module, {})[leaf] = transplant.essential_shape(tensors[name])
    return list(found.items())


def by_order(tensors: Mapping[str, Tensor], network: nn.Module, image: Tensor) -> dict[str, str] | None:
    """Return for each weight of ``network`` the name of the tensor that takes its place; None for another network.

    Module by module the kinds (weight, bias, running mean …) and shapes must be those that ``image`` meets. A table in
    the order of the alphabet has no order of layers.
    """
    if in_alphabetical_order(tensors):
        return None
    places = transplant.named_weights(network)
    order = transplant.execution_order(network, image)
    theirs, ours = modules_of(list(tensors), tensors), modules_of(order, places)
    if len(theirs) != len(ours) or len(order) != len(places):
        return None
    pairs: dict[str, str] = {}
    for (their_module, their_shapes), (our_module, our_shapes) in zip(theirs, ours, strict=True):
        if their_shapes != our_shapes:
            return None
        pairs |= {_joined(our_module, leaf): _joined(their_module, leaf) for leaf in our_shapes}
    return pairs


def _joined(module: str, leaf: str) -> str:
    return f"{module}.{leaf}" if module else leaf


def torchvision_with(tensors: Mapping[str, Tensor]) -> str:
    """Return the network of torchvision that has the names and shapes of a table, "" where none has.

    Those are built whose number of parameters, which torchvision tells, is near that of the table.
    """
    from torchvision import models as zoo

    total, classes = sum(tensor.numel() for tensor in tensors.values()), classes_of(tensors)
    known: dict[str, int] = {}
    for name in zoo.list_models(module=zoo):
        try:
            weights: Any = zoo.get_model_weights(name)  # each has a default, which their common base does not declare
            known[name] = int(weights.DEFAULT.meta["num_params"])
        except (ValueError, AttributeError, KeyError):
            continue
    nearest = sorted(known, key=lambda name: abs(known[name] - total))[:MOST_BUILT]
    for name in nearest:
        theirs = _built(lambda name=name: torchvision_network(name, classes or 1000, 224))
        places = {} if theirs is None else transplant.named_weights(theirs)
        if places and len(weight_tables.fitting(tensors, places)) == len(places):
            return name
    return ""
