"""Whose weights a table of tensors holds: the networks of the catalogue that they fit, by name or under other names.

Networks are built without memory, and only those whose stamped number of parameters is near that of the table, the
nearest first. Once some fit, the search ends with those that have as many parameters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from ...catalogue import registry
from . import transplant, weight_pairs, weight_tables
from .transplant import STATISTICS

COUNTER = "num_batches_tracked"
"""A buffer that holds no weights: networks fit without it."""

FARTHEST = 0.6
"""Networks whose number of parameters differs by a larger share are not tried."""
NEAR = 0.03
MOST_BUILT = 10
"""So many networks are tried even if none of them is as near as NEAR."""
SAME_TOTAL = 1e-3
MOST_LEFT = 0.3
"""The share of the values that may be left over where another program's network has auxiliary heads."""
HOW = ("wholly", "head", "aux", "size", "shapes", "part")


@dataclass(frozen=True)
class Fit:
    """How a table of tensors fits one network.

    ``how``: "wholly"; "head", all but the last layer, which the table has for ``classes`` classes (0: not at all);
    "aux", all but auxiliary heads; "size", all but what depends on the size of the image; "shapes", the same shapes in
    another order; "part". ``by``: "name", "order", or the network of torchvision or timm whose names the table has.
    ``fitted`` of the ``places`` tensors of the network find their values, which are ``share`` of its values, and
    ``left`` tensors of the table find no place. ``prefix`` stands before the names in the table.
    """

    network: str
    stem: str | None
    how: str
    by: str
    fitted: int
    places: int
    left: int
    share: float
    classes: int = 0
    prefix: str = ""
    missing: tuple[str, ...] = ()

    @property
    def is_found(self) -> bool:
        """Whether the weights are of this network, whatever of it may be missing."""
        return self.how not in ("shapes", "part")


@dataclass(frozen=True)
class Build:
    """How a network is built to be compared: for so many classes and channels of an image (0: its own)."""

    variant: registry.Variant
    stem: str | None
    classes: int
    channels: int

    @property
    def own_classes(self) -> int:
        """The classes for which the catalogue builds it."""
        return self.variant.counts(self.stem).classes

    @property
    def image(self) -> tuple[int, int, int]:
        """The shape of an image: channels, height, width."""
        channels, height, width = self.variant.counts(self.stem).input
        return (self.channels or channels, height, width)

    def make(self, classes: int = 0, image_size: int | None = None) -> nn.Module:
        """Build the network on the current device. ValueError where it cannot be built so."""
        options = {"num_classes": classes or self.classes or None, "in_channels": self.channels or None}
        return registry.build_variant(self.variant, stem=self.stem, image_size=image_size, **options)

    def places(self, classes: int = 0, image_size: int | None = None) -> dict[str, Tensor]:
        """Return its weights by name, without values."""
        return transplant.named_weights(weight_pairs.without_values(lambda: self.make(classes, image_size)))


def weights_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without counters, which are no weights."""
    return {name: value for name, value in tensors.items() if name.rpartition(".")[2] != COUNTER}


def fits(tensors: Mapping[str, Tensor], limit: int = 5) -> list[Fit]:
    """Return the networks of the catalogue that fit ``tensors``, the best first; the nearest ones where none fits."""
    own = weights_of(tensors)
    if not any(tensor.ndim > 1 for tensor in own.values()):
        return []
    classes, channels = weight_pairs.classes_of(own), channels_of(own)
    found: list[Fit] = []
    reached = FARTHEST
    for count, (distance, variant, stem) in enumerate(candidates(own, classes)):
        if distance > reached + SAME_TOTAL or (count >= MOST_BUILT and distance > NEAR):
            break
        fit = fit_to(own, Build(variant, stem, classes, channels))
        if fit is not None:
            found.append(fit)
            if fit.how in ("wholly", "head", "aux"):
                reached = min(reached, distance)
    if any(fit.is_found and fit.by == "name" for fit in found):  # then the order of shapes, which others share, is none
        found = [fit for fit in found if fit.by == "name"]
    return ranked(found)[:limit]


def ranked(found: list[Fit]) -> list[Fit]:
    """Return fits in their order: what is missing, by name before other names, tensors left over, the share that fits."""
    return sorted(found, key=lambda fit: (HOW.index(fit.how), fit.by != "name", fit.left, -fit.share))


def channels_of(tensors: Mapping[str, Tensor]) -> int:
    """Return the channels that the first convolution of a table takes; 0 where they can be no image's."""
    first = next((tensor for tensor in tensors.values() if tensor.ndim == 4), None)
    return first.shape[1] if first is not None and 1 <= first.shape[1] <= 4 else 0


def parameters_of(tensors: Mapping[str, Tensor]) -> int:
    """Return the number of values, running statistics left out."""
    return sum(tensor.numel() for name, tensor in tensors.items() if name.rpartition(".")[2] not in STATISTICS)


def candidates(tensors: Mapping[str, Tensor], classes: int) -> Iterator[tuple[float, registry.Variant, str | None]]:
    """Yield the networks whose stamped parameters, with so many classes, are near those of a table, the nearest first.

    The number before each is the difference as a share of the table's.
    """
    total = parameters_of(tensors)
    near: list[tuple[float, int, registry.Variant, str | None]] = []
    for variant in registry.variants().values():
        stems = ("imagenet", "small") if variant.small_stem is not None else (None,)
        for stem in stems:
            counts = variant.counts(stem)
            rows = counts.stages()
            head = rows[-1][2] if rows else 0
            expected = counts.parameters + head * ((classes or counts.classes) / counts.classes - 1)
            distance = min(abs(expected - total), abs(counts.parameters - total)) / max(total, 1)
            if counts.parameters and distance <= FARTHEST:
                near.append((distance, len(near), variant, stem))
    for distance, _, variant, stem in sorted(near, key=lambda row: row[:2]):
        yield distance, variant, stem


def fit_to(tensors: Mapping[str, Tensor], build: Build) -> Fit | None:
    """Return how ``tensors`` fit a network, None where it cannot be built for their classes and channels.

    The last matrix need not be that of the classes: CapsNet ends in pixels. So the network's own classes are tried too.
    """
    first: Fit | None = None
    for classes in dict.fromkeys((build.classes, 0)):
        fit = _fit_for(tensors, replace(build, classes=classes))
        if fit is not None and (fit.is_found or not fit.fitted):
            return fit
        first = first or fit
    return first


def _fit_for(tensors: Mapping[str, Tensor], build: Build) -> Fit | None:
    try:
        places = build.places()
    except (ValueError, RuntimeError):
        return None
    by_name = _by_name(tensors, places, build)
    if by_name.share > 0.5:
        return by_name
    return _under_other_names(tensors, places, build) or by_name


def _by_name(tensors: Mapping[str, Tensor], places: Mapping[str, Tensor], build: Build) -> Fit:
    prefix = weight_tables.best_prefix(tensors, places)
    fitted = weight_tables.fitting(weight_tables.below(tensors, prefix), places)
    missing = tuple(name for name in places if name not in fitted)
    share = _share(fitted, places)
    how = _how(missing, build) if share > 0.5 else "part"
    return _fit(build, how, "name", len(fitted), len(places), len(tensors) - len(fitted), share, prefix, missing)


def _fit(
    build: Build,
    how: str,
    by: str,
    fitted: int,
    places: int,
    left: int,
    share: float,
    prefix: str = "",
    missing: tuple[str, ...] = (),
) -> Fit:
    """The fit, which is all but the head where the classes are not those of the catalogue."""
    classes = build.classes if how in ("wholly", "aux") else 0
    if how == "wholly" and classes and classes != build.own_classes:
        how = "head"
    return Fit(build.variant.name, build.stem, how, by, fitted, places, left, share, classes, prefix, missing)


def _share(fitted: Mapping[str, Tensor], places: Mapping[str, Tensor]) -> float:
    whole = sum(tensor.numel() for tensor in places.values())
    return sum(tensor.numel() for tensor in fitted.values()) / max(whole, 1)


def _how(missing: tuple[str, ...], build: Build) -> str:
    """What is missing: nothing, the head, auxiliary heads, what depends on the size of the image, or more."""
    if not missing:
        return "wholly"
    head = _changed(build, lambda: build.places(build.own_classes + 1), lambda: build.places(build.own_classes + 2))
    if set(missing) <= head:
        return "head"
    if _are_auxiliary(missing, build):
        return "aux"
    size = build.image[1]
    for other in (size // 2, 2 * size):
        of_size = _changed(build, build.places, lambda other=other: build.places(image_size=other))
        if of_size:
            return "size" if set(missing) <= head | of_size else "part"
    return "part"


def _are_auxiliary(missing: tuple[str, ...], build: Build) -> bool:
    network = weight_pairs.without_values(build.make)
    declaration = getattr(network, "declaration", None)
    auxiliary = tuple(f"{name}." for name in declaration.auxiliary) if declaration else ()
    return bool(auxiliary) and all(name.startswith(auxiliary) for name in missing)


def _changed(build: Build, one, other) -> set[str]:
    """The names whose shapes differ between two ways of building a network; none where one cannot be built."""
    try:
        here, there = one(), other()
    except (ValueError, RuntimeError):
        return set()
    return {name for name, tensor in here.items() if name not in there or there[name].shape != tensor.shape}


def _under_other_names(tensors: Mapping[str, Tensor], places: Mapping[str, Tensor], build: Build) -> Fit | None:
    """How the tensors fit under another program's names; None where their shapes are others."""
    shapes = Counter(transplant.essential_shape(tensor) for tensor in tensors.values())
    extra = shapes - Counter(transplant.essential_shape(tensor) for tensor in places.values())
    if sum(shapes.values()) - sum(extra.values()) < len(places):
        return None
    total = sum(tensor.numel() for tensor in tensors.values())
    if total > sum(tensor.numel() for tensor in places.values()) / (1 - MOST_LEFT):
        return None
    found = weight_pairs.pairing(tensors, build.variant, build.make, build.image)
    if found is None:
        return None if extra else _fit(build, "shapes", "order", len(places), len(places), 0, 1.0)
    missing = tuple(name for name in places if name not in found.names)
    how = "wholly" if not missing else "aux" if _are_auxiliary(missing, build) else "part"
    paired = {name: places[name] for name in found.names}
    left = len(tensors) - len(found.names)
    return _fit(build, how, found.by, len(paired), len(places), left, _share(paired, places), "", missing)
