"""Which tensor of a file belongs to which weight of a network: by name, behind a prefix, or under other names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ...models.anatomy.saved_weights import transplant, weight_fit, weight_pairs, weight_tables
from ...models.catalogue import registry
from ...models.own import outside
from ..config.run_config import NetworkConfig


@dataclass(frozen=True)
class Foreign:
    """For weights of the network the names of the tensors that have their values.

    ``by``: "name", "order", or the network of torchvision or timm whose names they are. ``is_whole``: every weight of
    the network has its tensor.
    """

    names: Mapping[str, str]
    by: str
    is_whole: bool

    @property
    def words(self) -> str:
        """What the names are, behind "the names are"."""
        if self.by == "order":
            return "another program's; the layers are paired by order and shape, which does not prove that they are the same"
        return f"those of {self.by}, with which the layers are paired"

    def value(self, tensors: Mapping[str, Tensor], name: str) -> Tensor:
        """Return the values for the weight ``name`` of the network."""
        return tensors[self.names[name]]


def find(tensors: Mapping[str, Tensor], config: NetworkConfig, targets: Mapping[str, Tensor]) -> Foreign:
    """Return what of ``tensors`` belongs to the weights ``targets`` of the network of a configuration."""
    prefix = weight_tables.best_prefix(tensors, targets)
    fitted = weight_tables.fitting(weight_tables.below(tensors, prefix), targets)
    names = {name: prefix + name for name in targets if name in fitted}
    if any(targets[name].ndim > 1 for name in names) or outside.is_outside(config.name):
        return Foreign(names, "name", len(names) == len(targets))
    return _under_other_names(tensors, config, targets) or Foreign(names, "name", False)


def _under_other_names(
    tensors: Mapping[str, Tensor], config: NetworkConfig, targets: Mapping[str, Tensor]
) -> Foreign | None:
    own = weight_fit.weights_of(tensors)
    classes, channels = weight_pairs.classes_of(own), weight_fit.channels_of(own)
    build = weight_fit.Build(registry.find(config.name), config.stem, classes, channels)
    try:
        found = weight_pairs.pairing(own, build.variant, build.make, build.image)
    except (ValueError, RuntimeError):  # the network cannot be built for so many classes
        return None
    if found is None:
        return None
    names = {ours: theirs for ours, theirs in found.names.items() if _has_room(targets.get(ours), own[theirs])}
    return Foreign(names, found.by, len(names) == len(targets))


def _has_room(place: Tensor | None, value: Tensor) -> bool:
    return place is not None and transplant.essential_shape(place) == transplant.essential_shape(value)
