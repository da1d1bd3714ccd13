"""Any network by its name, taken apart: ``torchvision:NAME``, ``timm:NAME``, ``package.module:callable``, ``file.py:Net``.

The image's shape comes from the weights' metadata where there is some, from the known kind of network, or from the
person (``--input 3x16x112x112``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ....errors import UsageError, nearest
from ...catalogue import registry, user_code
from ...own import own_files, stored
from ..counting import on_meta
from ..forward.inputs import InputSpec, parse_inputs, parse_shape
from ..forward.untouched import random_state_kept
from ..rows.layer import Layer
from ..rows.layer_table import analyse_run
from . import torchvision_names, traced
from .traced import CannotRun, RunSpec, Traced

__all__ = [
    "CannotRun",
    "InputSpec",
    "NetworkSpec",
    "Traced",
    "anatomy_of",
    "network_spec",
    "parse_inputs",
    "parse_shape",
    "traced_module",
    "traced_network",
]

IMAGE = (3, 224, 224)


@dataclass(frozen=True)
class NetworkSpec:
    """A network to be taken apart: ``make()`` builds it on the current default device.

    ``shape`` is that of the first input without batch axis. ``takes_list``: a detector, which takes a list of images and
    computes on real values, because how many boxes it keeps depends on them. ``inputs`` are all inputs where it is not
    given one image. ``by_size`` builds the network for another image size, None where that makes no difference.
    """

    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    takes_list: bool = False
    stem: str | None = None
    inputs: tuple[InputSpec, ...] = ()
    by_size: Callable[[int], nn.Module] | None = None

    @property
    def all_inputs(self) -> tuple[InputSpec, ...]:
        """The inputs of the forward, in order."""
        return self.inputs or (InputSpec(self.shape),)


def network_spec(
    name: str,
    *,
    stem: str | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    shape: tuple[int, ...] | None = None,
    inputs: tuple[InputSpec, ...] = (),
) -> NetworkSpec:
    """Return what ``name`` means, wherever a network's name is taken. UsageError with what would work on a miss.

    ``inputs`` takes the place of ``shape`` for a network that takes something else than one image.
    """
    if len(inputs) == 1 and not inputs[0].dtype:
        shape, inputs = inputs[0].shape, ()
    if ":" not in name:
        _check_name(name, inputs)
        return _own(name, stem, num_classes, in_channels, image_size, shape)
    source, rest = name.split(":", 1)
    if source not in ("torchvision", "timm"):
        shape = inputs[0].shape if inputs else shape
        if shape is None:
            shape = (in_channels or 3, *((image_size, image_size) if image_size else IMAGE[1:]))
        return _callable(name, shape, num_classes, in_channels, inputs)
    for field, value in (("--classes", num_classes), ("--channels", in_channels)):
        if value is not None:
            raise UsageError(
                field, value, f"cannot be set for {name!r}, a network from outside the catalogue; use --input"
            )
    found = (
        _torchvision(name, rest, shape, image_size) if source == "torchvision" else _timm(name, rest, shape, image_size)
    )
    return NetworkSpec(**{**vars(found), "shape": inputs[0].shape, "inputs": inputs}) if inputs else found


def _check_name(name: str, inputs: tuple[InputSpec, ...]) -> None:
    if name.endswith(".py"):
        raise UsageError("network", name, "is a file; name the class or function in it: file.py:Net")
    if inputs:
        given = " ".join(map(str, inputs))
        raise UsageError("--input", given, "is for networks of your own: those of the catalogue take one image")


def _own(
    name: str,
    stem: str | None,
    num_classes: int | None,
    in_channels: int | None,
    image_size: int | None,
    shape: tuple[int, ...] | None,
) -> NetworkSpec:
    variant = registry.find(name)
    defaults = variant.counts(stem)
    if shape is not None:
        if len(shape) != 3 or shape[1] != shape[2]:
            own = "x".join(map(str, defaults.input))
            hint = (
                f"is not a square image, which networks of the catalogue take: channels, height, width, such as {own}"
            )
            raise UsageError("--input", "x".join(map(str, shape)), hint)
        in_channels, image_size = shape[0], shape[1]
    channels, size = in_channels or defaults.input[0], image_size or defaults.input[1]

    def by_size(side: int) -> nn.Module:
        return registry.build(variant.name, stem=stem, num_classes=num_classes, in_channels=channels, image_size=side)

    make = functools.partial(by_size, size)
    return NetworkSpec(variant.name, make, (channels, size, size), stem=stem, by_size=by_size)


def _torchvision(name: str, rest: str, shape: tuple[int, ...] | None, image_size: int | None) -> NetworkSpec:
    found = torchvision_names.find(name, rest)
    shape = shape or found.shape(image_size)
    inputs = (InputSpec(shape),) * 2 if found.kind == "flow" else ()
    by_size = (lambda side: found.maker(side)()) if found.size_option else None
    make = found.maker(shape[-1])
    return NetworkSpec(name, make, shape, takes_list=found.kind == "detector", inputs=inputs, by_size=by_size)


def _timm(name: str, rest: str, shape: tuple[int, ...] | None, image_size: int | None) -> NetworkSpec:
    try:
        import timm
    except ImportError:
        raise UsageError("network", name, "needs the package timm, which is not installed: pip install timm") from None
    if not timm.is_model(rest.split(".")[0]):
        raise UsageError("network", name, f"is not in timm; {nearest(rest, timm.list_models())}")

    def make() -> nn.Module:
        return timm.create_model(rest, pretrained=False)

    settings = timm.get_pretrained_cfg(rest, allow_unregistered=False)
    if shape is None and image_size is not None:
        shape = (3, image_size, image_size)
    return NetworkSpec(name, make, shape or tuple(getattr(settings, "input_size", None) or IMAGE))


def _callable(
    name: str,
    shape: tuple[int, ...],
    num_classes: int | None,
    in_channels: int | None,
    inputs: tuple[InputSpec, ...],
) -> NetworkSpec:
    maker = stored.maker_of(name)
    title = ":".join(own_files.split_name(name))

    def by_size(side: int) -> nn.Module:
        given = {"num_classes": num_classes, "in_channels": in_channels or shape[0], "image_size": side}
        return stored.call(title, maker, given)

    make = functools.partial(by_size, shape[-1])
    return NetworkSpec(
        title, make, shape, inputs=inputs, by_size=by_size if stored.takes(maker, "image_size") else None
    )


def traced_network(what: NetworkSpec, batch: int = 1) -> Traced:
    """Return the layer tree of any network, with what a reader of it should know.

    UsageError where it cannot be built or run; CannotRun, with the table up to there, where it breaks off: which layer
    fails, with which shape, what to write instead, and the squares that work, where there are some.
    """
    if what.takes_list:
        return _detector(what, batch)
    known = ":" not in what.name and registry.comes_with_the_program(what.name)
    without_memory = functools.partial(on_meta, what.make)
    return traced.trace(RunSpec(what.name, what.all_inputs, without_memory, what.make, what.by_size, known), batch)


def anatomy_of(what: NetworkSpec, batch: int = 1) -> Layer:
    """Return the layer tree of any network; errors as `traced_network`."""
    return traced_network(what, batch).tree


def traced_module(network: nn.Module, inputs: tuple[InputSpec, ...], batch: int = 1) -> Traced:
    """Return the layer tree of a network that exists, which is left exactly as it was; errors as `traced_network`.

    UsageError where it cannot be copied.
    """
    return traced.trace(traced.spec_of_module(network, inputs), batch)


def _detector(what: NetworkSpec, batch: int) -> Traced:
    with random_state_kept(), user_code.one_line(what.name, "cannot be run"):
        torch.manual_seed(0)
        network = what.make().eval()
        images = [torch.rand(what.shape) for _ in range(batch)]
        tree = analyse_run(network, images)
        remarks = torchvision_names.detector_remarks(what.name.partition(":")[2], network, what.shape)
    return Traced(tree, remarks)
