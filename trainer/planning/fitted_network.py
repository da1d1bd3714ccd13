"""A network fitted to the images of a run: its stem and its input, tried out without memory where possible."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ...errors import UsageError
from ...models.anatomy import counting
from ...models.anatomy.forward.inputs import InputSpec
from ...models.anatomy.forward.untouched import random_state_kept
from ...models.anatomy.outside import traced
from ...models.anatomy.outside.traced import RunSpec
from ...models.catalogue import registry, user_code
from ...models.own import hidden_layers, outside
from ..common.progress import Log
from ..config.run_config import NetworkConfig
from ..data.dataset_info import DataInfo
from ..weights.initialise import Source
from . import output_check
from .networks import PlannedNetwork

TRIED = 2
"""Images on which a network is tried."""
SEVERAL = "its forward takes several inputs, and in training it is given images alone"
SMALL_IMAGES = 64
"""Up to this side images are small: a network with a stem for such images is built with that one."""


@dataclass(frozen=True)
class FittedNetwork:
    """How a network is built for a run. ``stem`` is None where it has one stem only.

    ``channels`` and ``image_size`` are those of the images that it is given. ``remark`` is a line that a person should
    read before it is trained, "" for none.
    """

    stem: str | None
    channels: int
    image_size: int
    parameters: int
    remark: str = ""

    def config(self, network: PlannedNetwork, classes: int) -> NetworkConfig:
        """Return what run.json says of the network, with weights that are drawn."""
        return NetworkConfig(
            network.variant.name,
            self.stem,
            self.channels,
            self.image_size,
            classes,
            self.parameters,
            own=network.own,
        )


def fit(
    network: PlannedNetwork, info: DataInfo, source: Source | None, stem: str, size: int | None, log: Log
) -> FittedNetwork:
    """Fit the network to the images of a data set and to the weights to begin with.

    ``stem`` and ``size`` are what is asked for. What is not the obvious choice is told. UsageError where nothing fits.
    """
    if source is not None and source.channels is not None and source.channels > info.channels:
        log(f"grey images become {source.channels} equal channels, which is what the weights expect")
        info = dataclasses.replace(info, channels=source.channels)
    if network.in_catalogue:
        fitted = _of_catalogue(network, info, stem, size)
        if fitted.stem == "small" and stem == "auto":
            log(f"{network.variant.name}: the stem for small images; --stem imagenet takes the paper's")
    else:
        fitted = _of_outsider(network, info, size)
        if fitted.channels != info.channels:
            log(f"grey images become {fitted.channels} equal channels, which is what {network.variant.name} takes")
    if fitted.remark:
        log(f"{network.variant.name}: {fitted.remark}")
    if fitted.image_size != info.size:
        log(f"images are resized from {info.size}×{info.size} to {fitted.image_size}×{fitted.image_size} on the device")
    return fitted


def _of_catalogue(network: PlannedNetwork, info: DataInfo, stem: str, size: int | None) -> FittedNetwork:
    variant = network.variant
    if stem == "small" and variant.small_stem is None and variant.paper_stem.input[1] > SMALL_IMAGES:
        raise UsageError("stem", stem, f"does not exist for {variant.name}, which has the paper's stem only")
    small = stem == "small" or (stem == "auto" and (size or info.size) <= SMALL_IMAGES)
    chosen = None if variant.small_stem is None else "small" if small else "imagenet"
    own = variant.paper_stem.input[1]
    wanted = size or (own if stem == "imagenet" else info.size)
    if not output_check.is_unknown(network):
        return _without_memory(variant, info, chosen, wanted, fall_back=None if size else own)
    try:
        return _tried(network, info, info.channels, wanted, chosen)
    except _DoesNotRun as error:
        if size or own <= wanted:
            raise error.with_advice() from error.__cause__
    try:
        return _tried(network, info, info.channels, own, chosen)
    except _DoesNotRun as error:
        raise error.with_advice() from error.__cause__


def _without_memory(
    variant: registry.Variant, info: DataInfo, stem: str | None, size: int, fall_back: int | None
) -> FittedNetwork:
    """Build the network without memory and send a shape through it; at its own size where the images' is too small."""
    try:
        network = counting.on_meta(
            lambda: registry.build_variant(
                variant,
                stem=stem,
                num_classes=len(info.classes),
                in_channels=info.channels,
                image_size=size,
            )
        )
        network.eval()
        with torch.no_grad():
            network(torch.empty((2, info.channels, size, size), device="meta"))
        return FittedNetwork(stem, info.channels, size, counting.count_parameters(network))
    except UsageError:
        raise
    except (ValueError, RuntimeError) as error:
        if fall_back is not None and fall_back > size:
            return _without_memory(variant, info, stem, fall_back, None)
        why = str(error).removeprefix(f"image_size: {size} is ")
        raise UsageError("image-size", size, f"does not work for {variant.name}: {why}") from None


def _of_outsider(network: PlannedNetwork, info: DataInfo, size: int | None) -> FittedNetwork:
    """Return the images with which the network runs, tried out without memory, else with real values.

    ``size`` is what was asked for; else it is that of the data, else the network's own. A network that does not take
    grey images gets three equal channels. UsageError where none of this works, and where it returns no scores for the
    classes.
    """
    own_channels, own_size, _ = network.variant.paper_stem.input
    channels = [own_channels] if own_channels else [info.channels, 3] if info.channels == 1 else [info.channels]
    sizes = [size] if size else [info.size, own_size] if own_size > info.size else [info.size]
    first: _DoesNotRun | None = None
    for side in sizes:
        for count in channels:
            try:
                return _tried(network, info, count, side)
            except _DoesNotRun as error:
                first = first or error
    assert first is not None
    raise first.with_advice()


class _DoesNotRun(UsageError):
    """The network does not take these images; it may take others.

    ``advice`` finds out what may help, which takes a while.
    """

    advice: Callable[[], str] = staticmethod(str)

    def with_advice(self) -> UsageError:
        """Return the error that a person reads."""
        with random_state_kept():
            advice = self.advice()
        error = UsageError(self.field, self.given, self.hint + (f"; {advice}" if advice else ""))
        error.__cause__ = self.__cause__
        return error


def _tried(network: PlannedNetwork, info: DataInfo, channels: int, size: int, stem: str | None = None) -> FittedNetwork:
    """Try the network of a person, or of a library, on two images. UsageError, _DoesNotRun for what it does not take."""
    name, classes = network.variant.name, len(info.classes)
    options = {"num_classes": classes, "in_channels": channels, "image_size": size}

    def build() -> nn.Module:
        if network.in_catalogue:
            return registry.build_variant(network.variant, stem=stem, **options)
        return outside.build(name, folder=network.own.folder if network.own else None, **options)

    image = InputSpec((channels, size, size), "float32")
    spec = RunSpec(name, (image,), functools.partial(counting.on_meta, build), build)
    with random_state_kept(), user_code.away_from_stdout():
        try:
            ran = traced.run(
                spec, TRIED, lambda built, inputs: built(*inputs), lambda built: bool(_other_formats(built))
            )
        except traced.BrokeOff as broke:
            why = traced.explained(broke.found, broke.network, SEVERAL)
            error = _DoesNotRun("network", name, f"does not take images of {channels}×{size}×{size}: {why}")
            error.advice = functools.partial(_advice, spec, broke)
            raise error from broke.found.error
    try:
        output_check.scores_in(ran.result, ran.network, name, classes, info.name)
    except UsageError as error:
        if "scores for an image" not in error.hint or network.own is None or network.own.kind != "callable":
            raise
        hint = f"{error.hint}; it is told the number where it has a parameter num_classes"
        raise UsageError("network", name, hint) from None
    parameters = counting.count_parameters(ran.network)
    if not counting.count_trainable(ran.network):
        hidden = hidden_layers.remark(ran.network)
        hint = "has no parameters that learn" + (f"; {hidden}" if hidden else "")
        raise UsageError("network", name, hint + output_check.where(ran.network))
    return FittedNetwork(stem, channels, size, parameters, hidden_layers.remark(ran.network))


def _advice(spec: RunSpec, broke: traced.BrokeOff) -> str:
    """Return what may help a network that does not take the images, "" where nothing is known."""
    for dtype in _other_formats(broke.network):
        return f"it has weights in {dtype}, and images are torch.float32: call .float() of it"
    sizes = traced.sizes_that_work(spec, broke)
    return f"{sizes} (--image-size)" if sizes else ""


def _other_formats(network: nn.Module) -> set[torch.dtype]:
    """The number formats of its weights that are not those of images."""
    return {tensor.dtype for tensor in network.parameters() if tensor.is_floating_point()} - {torch.float32}
