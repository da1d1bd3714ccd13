"""The layout in which a network is built for the images of a run: tried out, without memory where that can be."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ... import user_code
from ...errors import UsageError
from ...models.anatomy import counting
from ...models.anatomy.untouched import random_state_kept
from ...models.catalogue import registry
from ...models.own import outside
from ..common.progress import Log
from ..config.run_config import NetworkConfig
from ..data.dataset_info import DataInfo
from ..loop.train_step import scores_of
from ..weights.initialise import Source
from .networks import Network

SMALL_IMAGES = 64
"""Up to this side images are small: a network with a layout for such images is built in that one."""


@dataclass(frozen=True)
class Layout:
    """How a network is built. ``stem`` is None where it has one layout only.

    ``channels`` and ``image_size`` are those of the images that it is given.
    """

    stem: str | None
    channels: int
    image_size: int
    parameters: int

    def config(self, network: Network, classes: int) -> NetworkConfig:
        """Return what run.json says of the network in this layout, with weights that are drawn."""
        return NetworkConfig(
            network.variant.name,
            self.stem,
            self.channels,
            self.image_size,
            classes,
            self.parameters,
            own=network.own,
        )


def fit(network: Network, info: DataInfo, source: Source | None, stem: str, size: int | None, log: Log) -> Layout:
    """Find the layout that fits the images of a data set and the weights to begin with.

    ``stem`` and ``size`` are what is asked for. What is not the obvious choice is told. UsageError where nothing fits.
    """
    if source is not None and source.channels is not None and source.channels > info.channels:
        log(f"grey images become {source.channels} equal channels, which is what the weights expect")
        info = dataclasses.replace(info, channels=source.channels)
    if network.in_catalogue:
        layout = _of_catalogue(network.variant, info, stem, size)
        if layout.stem == "small" and stem == "auto":
            log(f"{network.variant.name}: the stem for small images; --stem imagenet takes the paper's")
    else:
        layout = _of_outsider(network, info, size)
        if layout.channels != info.channels:
            log(f"grey images become {layout.channels} equal channels, which is what {network.variant.name} takes")
    if layout.image_size != info.size:
        log(f"images are resized from {info.size}×{info.size} to {layout.image_size}×{layout.image_size} on the device")
    return layout


def _of_catalogue(variant: registry.Variant, info: DataInfo, stem: str, size: int | None) -> Layout:
    if stem == "small" and variant.small_stem is None and variant.paper_stem.input[1] > SMALL_IMAGES:
        raise UsageError("stem", stem, f"does not exist for {variant.name}, which has the paper's stem only")
    small = stem == "small" or (stem == "auto" and (size or info.size) <= SMALL_IMAGES)
    chosen = None if variant.small_stem is None else "small" if small else "imagenet"
    own = variant.paper_stem.input[1]
    wanted = size or (own if stem == "imagenet" else info.size)
    return _without_memory(variant, info, chosen, wanted, fall_back=None if size else own)


def _without_memory(
    variant: registry.Variant, info: DataInfo, stem: str | None, size: int, fall_back: int | None
) -> Layout:
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
        ).eval()
        with torch.no_grad():
            network(torch.empty((2, info.channels, size, size), device="meta"))
        return Layout(stem, info.channels, size, counting.count_parameters(network))
    except UsageError:
        raise
    except (ValueError, RuntimeError) as error:
        if fall_back is not None and fall_back > size:
            return _without_memory(variant, info, stem, fall_back, None)
        raise UsageError("image-size", size, f"does not work for {variant.name}: {error}") from None


def _of_outsider(network: Network, info: DataInfo, size: int | None) -> Layout:
    """Return the images with which the network runs, tried out without memory, else with real values.

    ``size`` is what was asked for; else it is that of the data, else the network's own. A network that does not take
    grey images gets three equal channels. UsageError where none of this works, and where it returns no scores for the
    classes.
    """
    own_channels, own_size, _ = network.variant.paper_stem.input
    channels = [own_channels] if own_channels else [info.channels, 3] if info.channels == 1 else [info.channels]
    sizes = [size] if size else [info.size, own_size] if own_size > info.size else [info.size]
    first: UsageError | None = None
    for side in sizes:
        for count in channels:
            try:
                return _tried(network, info, count, side)
            except _DoesNotRun as error:
                first = first or error
    assert first is not None
    raise first


class _DoesNotRun(UsageError):
    """The network does not take these images; it may take others."""


def _tried(network: Network, info: DataInfo, channels: int, size: int) -> Layout:
    shape, classes = (2, channels, size, size), len(info.classes)

    def build() -> nn.Module:
        folder = network.own.folder if network.own else None
        options = {"num_classes": classes, "in_channels": channels, "image_size": size}
        return outside.build(network.variant.name, folder=folder, **options).eval()

    built: nn.Module | None = None
    try:
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]), torch.device("meta"):
                built = build()
                outputs = built(torch.empty(shape))
            if _other_formats(built):
                raise TypeError("tensors without memory may be multiplied with those of another number format")
        except UsageError:
            raise
        except (Exception, SystemExit):  # it may want values, which tensors without memory have not
            with torch.no_grad(), random_state_kept():
                built = build()
                outputs = built(torch.rand(shape))
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        shown = f"{channels}×{size}×{size}"
        hint = f"does not take images of {shown}: {user_code.describe(error)}"
        if isinstance(error, RuntimeError | ValueError):
            hint += f"; {_advice(built)}"
        raise _DoesNotRun("network", network.variant.name, hint) from None
    _check_scores(network, outputs, info)
    parameters = counting.count_parameters(built)
    if not counting.count_trainable(built):
        raise UsageError("network", network.variant.name, "has no parameters that learn")
    return Layout(None, channels, size, parameters)


def _advice(network: nn.Module | None) -> str:
    """What may help a network that does not take the images."""
    for dtype in _other_formats(network) if network is not None else ():
        return f"it has weights in {dtype}, and images are torch.float32: call .float() of it"
    return "--image-size N gives it others"


def _other_formats(network: nn.Module) -> set[torch.dtype]:
    """The number formats of its weights that are not those of images."""
    return {tensor.dtype for tensor in network.parameters() if tensor.is_floating_point()} - {torch.float32}


def _check_scores(network: Network, outputs: object, info: DataInfo) -> None:
    """UsageError unless there is a row of scores for each image, one for each class of the data."""
    name, classes = network.variant.name, len(info.classes)
    scores = scores_of(outputs) if isinstance(outputs, Tensor | tuple) else outputs
    if not isinstance(scores, Tensor):
        hint = f"returns a {type(scores).__name__}; to be trained it must return scores of shape (batch, classes)"
        raise UsageError("network", name, hint)
    if scores.ndim != 2 or len(scores) != 2:
        shape = "×".join(map(str, scores.shape))
        hint = f"returns {shape} for 2 images; to be trained it must return scores of shape (batch, classes)"
        raise UsageError("network", name, hint)
    if scores.shape[1] != classes:
        hint = f"returns {scores.shape[1]} scores for an image, and {info.name} has {classes} classes"
        if network.own is not None and network.own.kind == "callable":
            hint += "; it is told the number where it has a parameter num_classes"
        raise UsageError("network", name, hint)
