"""Any network, taken apart like the built-in ones: ``torchvision:NAME``, ``timm:NAME``, ``package.module:callable``.

The image's shape comes from the weights' metadata where there is some, from the known kind of network, or from the
person (``--input 3x16x112x112``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...errors import UsageError, nearest
from ..catalogue import registry
from ..own import stored, user_code
from .counting import on_meta
from .layer_table import Layer, analyse, analyse_on_meta, analyse_run
from .untouched import copied, random_state_kept

IMAGE = (3, 224, 224)
CLIP = (3, 16, 112, 112)


@dataclass(frozen=True)
class NetworkSpec:
    """A network to be taken apart: ``make()`` builds it on the current default device.

    ``shape`` is that of one input without batch axis. ``takes_list``: a detector, which takes a list of images and
    computes on real values, because how many boxes it keeps depends on them.
    """

    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    takes_list: bool = False
    stem: str | None = None


def parse_shape(text: str) -> tuple[int, ...]:
    """Turn "3x224x224" into (3, 224, 224); UsageError for anything else."""
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) not in (3, 4) or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UsageError(
            "--input", text, "is no shape; write channels, height, width: 3x224x224, or for a clip 3x16x112x112"
        )
    return tuple(int(part) for part in parts)


def network_spec(
    name: str,
    *,
    stem: str | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    shape: tuple[int, ...] | None = None,
) -> NetworkSpec:
    """Return what ``name`` means, wherever a network's name is taken. UsageError with what would work on a miss."""
    if ":" not in name:
        return _own(name, stem, num_classes, in_channels, image_size, shape)
    source, rest = name.split(":", 1)
    if shape is None and image_size is not None:
        shape = (in_channels or 3, image_size, image_size)
    if source not in ("torchvision", "timm"):
        return _callable(name, shape or (in_channels or 3, *IMAGE[1:]), num_classes, in_channels)
    for field, value in (("--classes", num_classes), ("--channels", in_channels)):
        if value is not None:
            raise UsageError(
                field, value, f"cannot be set for {name!r}, a network from outside the catalogue; use --input"
            )
    if source == "torchvision":
        return _torchvision(name, rest, shape)
    return _timm(name, rest, shape)


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
            raise UsageError(
                "--input", "x".join(map(str, shape)), "is not square: networks of the catalogue take squares"
            )
        in_channels, image_size = shape[0], shape[1]
    channels, size = in_channels or defaults.input[0], image_size or defaults.input[1]

    def make() -> nn.Module:
        return registry.build(variant.name, stem=stem, num_classes=num_classes, in_channels=channels, image_size=size)

    return NetworkSpec(variant.name, make, (channels, size, size), stem=stem)


def _torchvision(name: str, rest: str, shape: tuple[int, ...] | None) -> NetworkSpec:
    import torchvision.models as zoo

    known = zoo.list_models()
    matches = [model for model in known if model == rest or model.rsplit("/", 1)[-1] == rest]
    if not matches:
        raise UsageError("network", name, f"is not in torchvision; {nearest(rest, known)}")
    is_detector = matches[0] in zoo.list_models(module=zoo.detection)

    def make() -> nn.Module:
        options: dict[str, Any] = {"weights": None}
        if is_detector:
            options["weights_backbone"] = None
        if matches[0] in ("googlenet", "inception_v3"):
            options["init_weights"] = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return zoo.get_model(matches[0], **options)

    is_clip = matches[0] in zoo.list_models(module=zoo.video)
    return NetworkSpec(name, make, shape or _torchvision_shape(zoo, matches[0], is_clip), takes_list=is_detector)


def _torchvision_shape(zoo: Any, name: str, is_clip: bool) -> tuple[int, ...]:
    """Return the crop size of the weights' own preprocessing; frames of a clip from the family."""
    size: tuple[int, ...] = CLIP[2:] if is_clip else IMAGE[1:]
    try:
        crop = zoo.get_model_weights(name).DEFAULT.transforms.keywords.get("crop_size", size)
    except (ValueError, AttributeError):
        crop = size
    size = (crop, crop) if isinstance(crop, int) else tuple(crop)
    if not is_clip:
        return (3, *size)
    frames = {"s3d": 64, "swin3d_t": 32, "swin3d_s": 32, "swin3d_b": 32}.get(name, 16)
    return (3, frames, *size)


def _timm(name: str, rest: str, shape: tuple[int, ...] | None) -> NetworkSpec:
    try:
        import timm
    except ImportError:
        raise UsageError("network", name, "needs the package timm, which is not installed: pip install timm") from None
    if not timm.is_model(rest.split(".")[0]):
        raise UsageError("network", name, f"is not in timm; {nearest(rest, timm.list_models())}")

    def make() -> nn.Module:
        return timm.create_model(rest, pretrained=False)

    settings = timm.get_pretrained_cfg(rest, allow_unregistered=False)
    return NetworkSpec(name, make, shape or tuple(getattr(settings, "input_size", None) or IMAGE))


def _callable(name: str, shape: tuple[int, ...], num_classes: int | None, in_channels: int | None) -> NetworkSpec:
    maker = stored.maker_of(name)
    given = {"num_classes": num_classes, "in_channels": in_channels or shape[0], "image_size": shape[-1]}
    return NetworkSpec(name, lambda: stored.call(name, maker, given), shape)


def anatomy_of(what: NetworkSpec, batch: int = 1) -> Layer:
    """Return the layer tree of any network.

    UsageError where the network cannot take the size: which layer fails, with which shape, and the smallest square that
    works, where there is one.
    """
    if what.takes_list:
        return _detector(what, batch)
    try:
        return analyse_on_meta(on_meta(what.make), what.shape, batch)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # a person's own network may raise anything, and even leave
        raise _too_small(what, error) from error


def anatomy_of_module(network: nn.Module, shape: tuple[int, ...], batch: int = 1) -> Layer:
    """Return the layer tree of a network that exists, which is left exactly as it was.

    ``shape`` is that of one input without batch axis. UsageError where the network cannot take it or cannot be copied,
    with the file and line of the person's own code where the error came up.
    """
    try:
        return analyse(network, shape, batch)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        what = NetworkSpec(f"own:{type(network).__name__}", lambda: copied(network, "meta"), shape)
        with random_state_kept(), torch.device("meta"):
            raise _too_small(what, error) from None


def _detector(what: NetworkSpec, batch: int) -> Layer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = what.make().eval()
        images = [torch.rand(what.shape) for _ in range(batch)]
        return analyse_run(network, images)


def _too_small(what: NetworkSpec, error: BaseException) -> UsageError:
    smallest = _smallest(what)
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if not isinstance(error, RuntimeError | ValueError):
        reason = f"{type(error).__name__}: {reason}"
    where = user_code.place(error)
    words = f"cannot go through {what.name}: {_failing_layer(what)}{reason}" + (f" ({where})" if where else "")
    if smallest is not None:
        words += f"; the smallest square that works is {smallest}"
    return UsageError("image", "x".join(map(str, what.shape)), words)


def _failing_layer(what: NetworkSpec) -> str:
    """Name and input shape of the layer in which the run broke off."""
    entered: list[tuple[str, tuple[int, ...]]] = []
    try:
        network = on_meta(what.make).eval()
    except (Exception, SystemExit):
        return ""
    for name, module in network.named_modules():
        module.register_forward_pre_hook(lambda m, args, name=name: entered.append((name, _shape_of(args))))
        module.register_forward_hook(lambda m, args, output: entered.pop() and None)
    try:
        with torch.no_grad():
            network(torch.empty((1, *what.shape), device="meta"))
    except (Exception, SystemExit):
        if entered:
            name, shape = entered[-1]
            return f"layer {name or type(network).__name__!r} was given {'x'.join(map(str, shape))}: "
    return ""


def _shape_of(args: tuple) -> tuple[int, ...]:
    return next((tuple(value.shape) for value in args if isinstance(value, torch.Tensor)), ())


def _smallest(what: NetworkSpec) -> int | None:
    """Return the smallest side that runs, by trying powers of two and then halving the gap; None where none up to 512
    does.
    """

    def works(size: int) -> bool:
        shape = (*what.shape[:-2], size, size)
        try:
            make = what.make
            if ":" not in what.name:
                make = network_spec(what.name, stem=what.stem, in_channels=shape[0], image_size=size).make
            analyse_on_meta(on_meta(make), shape)
        except (Exception, SystemExit):
            return False
        return True

    high = next((size for size in (1, 2, 4, 8, 16, 32, 64, 128, 224, 256, 384, 512) if works(size)), None)
    if high is None or high == 1:
        return high
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high
