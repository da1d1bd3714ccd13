"""Networks from outside the catalogue, built to be trained: ``torchvision:NAME``, ``timm:NAME``, a person's own.

Names with a colon are from outside. A person's own network (``package.module:callable``, or ``own:NAME`` for one that
was handed over in Python) is built from the folder in which it is stored (stored.py).
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ...errors import UsageError, nearest
from ..catalogue import user_code
from ..catalogue.registry import StemCounts, Variant
from . import stored
from .modes import evaluating

TORCHVISION, TIMM = "torchvision", "timm"


def is_outside(name: str) -> bool:
    """Return whether a name is that of a network from outside the catalogue."""
    return ":" in name


def is_own(name: str) -> bool:
    """Return whether a network from outside is a person's own, so that it has to be stored."""
    return is_outside(name) and name.partition(":")[0] not in (TORCHVISION, TIMM)


def variant(name: str) -> Variant:
    """Return what takes the place of a catalogue entry: the size of images that the network is made for.

    The input is (0, 0, 0) where nothing is known of it. UsageError for an unknown name and for a network that does not
    classify images.
    """
    source, _, rest = name.partition(":")
    size = {TORCHVISION: _torchvision_size, TIMM: _timm_size}[source](name, rest) if not is_own(name) else 0
    channels = 3 if source == TORCHVISION else 0
    counts = StemCounts((channels, size, size), 0, 0, 0)
    published = rest if source == TORCHVISION else ""
    return Variant(name, name, name, 0, counts, None, {}, {}, (), published)


def build(name: str, *, num_classes: int, in_channels: int, image_size: int, folder: Path | None = None) -> nn.Module:
    """Build a network from outside for images of ``in_channels`` channels and ``image_size`` pixels a side.

    ``folder`` is where a person's own is stored. UsageError for values that it cannot take, and for an error in the
    person's code, with its file and line.
    """
    source, _, rest = name.partition(":")
    if is_own(name):
        if folder is None:
            hint = "is stored in the directory of its run alone; load it from there: cnn_explorer.load(run)"
            raise UsageError("network", name, hint)
        given = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
        return stored.build(folder, given)
    with user_code.one_line(name, f"cannot be built for {image_size} pixels"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if source == TORCHVISION:
            return _torchvision(name, rest, num_classes, in_channels, image_size)
        return _timm(rest, num_classes, in_channels, image_size)


def with_all_weights(network: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """Return the network after lazy layers got their weights, from an image of ``shape``; its mode is as before."""
    if any(is_lazy(weight) for weight in network.parameters()):
        training = network.training
        with torch.no_grad(), user_code.one_line(type(network).__name__, "cannot be run", type(network)):
            evaluating(network)(torch.zeros((1, *shape)))
        network.train(training)
    return network


def made(name: str, given: Mapping[str, object]) -> nn.Module:
    """Let what ``package.module:callable`` names make a network, with those of ``given`` that it takes. UsageError."""
    return stored.call(name, stored.maker_of(name), given)


def _torchvision_size(name: str, rest: str) -> int:
    from torchvision import models as zoo

    known = zoo.list_models(module=zoo)
    if rest not in known:
        if rest in zoo.list_models():
            raise UsageError("network", name, "does not classify images; it can be shown and not be trained")
        raise UsageError("network", name, f"is not in torchvision; {nearest(rest, known)}")
    try:
        weights: Any = zoo.get_model_weights(rest)  # each has a default, which their common base does not declare
        crop = weights.DEFAULT.transforms.keywords["crop_size"]
    except (ValueError, AttributeError, KeyError):
        return 224
    return crop if isinstance(crop, int) else int(crop[0])


def _torchvision(name: str, rest: str, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    from torchvision import models as zoo

    if in_channels != 3:
        raise UsageError("network", name, f"takes images of 3 channels, not {in_channels}")
    options: dict[str, Any] = {"weights": None, "num_classes": num_classes}
    takes = inspect.signature(zoo.get_model_builder(rest)).parameters
    if rest.startswith("vit_"):
        options["image_size"] = image_size
    if rest.startswith("maxvit"):
        options["input_size"] = (image_size, image_size)
    if "init_weights" in takes or rest in ("googlenet", "inception_v3"):
        options["init_weights"] = True
    return zoo.get_model(rest, **options)


def _import_timm(name: str) -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise UsageError("network", name, "needs the package timm, which is not installed: pip install timm") from None


def _timm_size(name: str, rest: str) -> int:
    timm = _import_timm(name)
    if not timm.is_model(rest.split(".")[0]):
        raise UsageError("network", name, f"is not in timm; {nearest(rest, timm.list_models())}")
    config = timm.get_pretrained_cfg(rest, allow_unregistered=False)
    return int((getattr(config, "input_size", None) or (3, 224, 224))[1])


def _timm(rest: str, num_classes: int, in_channels: int, image_size: int) -> nn.Module:
    timm = _import_timm(f"{TIMM}:{rest}")
    options: dict[str, Any] = {"pretrained": False, "num_classes": num_classes, "in_chans": in_channels}
    try:
        return timm.create_model(rest, img_size=image_size, **options)
    except TypeError:  # networks that take any size have no such parameter
        return timm.create_model(rest, **options)
