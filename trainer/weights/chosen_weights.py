"""Which weights of a source a run takes: all that fit; the last layer where its classes are the same, or it is wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence, Set

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...models.anatomy.saved_weights import transplant, weight_tables
from ..common.progress import Log
from ..config.recipe import Recipe
from ..config.run_config import NetworkConfig
from . import torchvision_weights, weight_files
from .foreign_names import Foreign
from .source import Source
from .weight_files import WeightFile

SHOWN = 6
"""So many names are told of what begins afresh or finds no place."""


def some(names: Sequence[str]) -> str:
    """Return the first names of a list for the middle of a sentence."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "") or "none"


def names(
    source: Source, config: NetworkConfig, found: Foreign | None, classes: tuple[str, ...], recipe: Recipe
) -> set[str]:
    """Return the names of the weights that the source gives: all that fit, except those of other classes' last layer.

    A file that does not name its classes gives its last layer where all else fits too, and something is left to learn.
    Both give way to what is asked for. UsageError where a last layer is wanted that does not fit.
    """
    head = transplant.depends_on_classes(builder(config))
    if source.published is not None:
        pairs = torchvision_weights.pair_up(source.published, builder(config), config.image_size)
        published = {pair.target for pair in pairs}
        own = torchvision_weights.CLASSES
        if source.keep_head and config.num_classes != own:
            raise _without_head(source, config, f"is for {own} classes", head)
        return published if source.keep_head else published - head
    assert source.file is not None and found is not None
    if source.keep_head is not None:
        missing = _without_auxiliary(head, config) - found.names.keys()
        if source.keep_head and missing:
            raise _without_head(source, config, "does not fit", missing)
        return set(found.names) if source.keep_head else found.names.keys() - head
    same = bool(classes) and source.file.classes == classes
    unnamed = not source.file.classes and found.is_whole and recipe.freeze != "backbone"
    return found.names.keys() - (frozenset() if same or unnamed else head)


def _without_head(source: Source, config: NetworkConfig, why: str, missing: Set[str]) -> UsageError:
    hint = f"cannot be done: the last layer of {source.name} {why}; here it has {config.num_classes} classes"
    return UsageError("keep-head", None, f"{hint} ({some(sorted(missing))})")


def _without_auxiliary(head: Set[str], config: NetworkConfig) -> set[str]:
    """Return the names of a last layer without those of auxiliary heads, which many files leave out."""
    declaration = getattr(weight_files.build_on_meta(config), "declaration", None)
    auxiliary = tuple(f"{name}." for name in declaration.auxiliary) if declaration else ()
    return {name for name in head if not name.startswith(auxiliary)}


def check_usable(file: WeightFile, names: Sequence[str], option: str, name: str) -> None:
    """UsageError where tensors that would be loaded are not numbers to go on from: whole numbers of a quantised network,
    complex or sparse ones, none at all (the meta device), NaN or infinite ones.
    """
    odd = [key for key in names if not _is_dense_float(file.tensors[key])]
    if odd:
        kinds = sorted({_kind(file.tensors[key]) for key in odd})
        hint = f"keeps {some(odd)} as {', '.join(kinds)}; a network begins with dense floating-point numbers"
        raise UsageError(option, name, hint)
    bad = [key for key in names if not _is_finite(file.tensors[key])]
    if bad:
        hint = f"has NaN or infinite values in {some(bad)}; a training that begins with them learns nothing"
        raise UsageError(option, name, hint)


def _is_dense_float(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.layout == torch.strided and not tensor.is_meta


def _kind(tensor: Tensor) -> str:
    if tensor.is_meta:
        return "a shape without values"
    kind = str(tensor.dtype).removeprefix("torch.")
    return kind if tensor.layout == torch.strided else f"sparse {kind}"


def _is_finite(tensor: Tensor) -> bool:
    """Return whether all values are finite; those of 8 bits are compared as larger ones, which torch can."""
    return bool((tensor.float() if tensor.element_size() == 1 else tensor).isfinite().all())


def log_use_of_file(
    source: Source,
    file: WeightFile,
    found: Foreign,
    taken: set[str],
    classes: tuple[str, ...],
    recipe: Recipe,
    log: Log,
) -> None:
    """Tell what was made of the names and of the last layer of a file, and which of its tensors are not used."""
    name = source.name
    if file.beside:
        where = f"under {file.key}" if file.key else "outermost"
        log(f"of {name} the weights {where} are taken; beside them it holds {weight_tables.listed(list(file.beside))}")
    if found.by != "name":
        log(f"the names in {name} are {found.words}")
    left_out = [found.names[target] for target in found.names if target not in taken]
    if left_out:
        whose = "of other classes" if file.classes else "of classes that the file does not name"
        if source.keep_head is False:
            whose = "which --no-keep-head leaves out"
        elif recipe.freeze == "none":  # else nothing would be left to learn
            whose += "; --keep-head takes it too"
        log(f"of {name} are not taken: {some(left_out)}: the last layer, {whose}")
    elif source.keep_head and file.classes and file.classes != classes:
        log(f"the last layer of {name} is kept: its classes {some(file.classes)} are taken for {some(classes)}")
    elif not file.classes and found.is_whole:
        log(f"the last layer of {name} is taken too: its {len(classes)} classes have no names in the file")
    used = set(found.names.values())
    unused = [key for key in file.tensors if key not in used and not key.endswith("num_batches_tracked")]
    if unused:
        log(f"of {name} find no place: {some(unused)}")


def builder(config: NetworkConfig) -> Callable[[int], nn.Module]:
    """Return what makes the network of a configuration for another number of classes."""
    return lambda classes: weight_files.build(dataclasses.replace(config, num_classes=classes))
