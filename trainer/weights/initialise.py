"""The initial weights that a run takes from elsewhere: found and checked when it is planned, loaded when it begins.

Three sources, one procedure: torchvision's published weights (torchvision_weights.py), a run or a file (by name and shape),
a trained shallower network (the model file's ``grow(network, trained)``, which returns the names of the layers copied). The
plan says which parameters begin afresh; run.json keeps their names, so that a resumed run needs the source no more.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from ...errors import UsageError, WorkError, counted
from ...models.anatomy.saved_weights import transplant
from ...models.catalogue import registry
from ...models.own import outside
from ...settings import typed_path
from ..config import weights_source
from ..config.recipe import Recipe
from ..config.run_config import NetworkConfig
from ..config.weights_source import FILE, GROWN, TORCHVISION, InitialWeights, WeightsRequest
from ..runs import ids
from ..runs.run_writer import checkpoint_paths
from . import chosen_weights, foreign_names, torchvision_weights, weight_files
from .source import Source
from .weight_files import WeightFile

__all__ = ["Source", "find", "load_initial_weights", "stem_and_size_of", "with_weights"]

Log = Callable[[str], None]


def find(asked: WeightsRequest, variant: registry.Variant, runs: Path, log: Log) -> Source | None:
    """Find the weights that are asked for, and fetch them; None where the weights are drawn.

    UsageError and WorkError as in torchvision_weights.py.
    """
    weights_source.check_head(asked)
    source = _find(asked, variant, runs, log)
    return source and dataclasses.replace(source, keep_head=asked.keep_head)


def _find(asked: WeightsRequest, variant: registry.Variant, runs: Path, log: Log) -> Source | None:
    if not asked.kind:
        return None
    if asked.kind == TORCHVISION:
        chosen = torchvision_weights.find(variant, asked.value)
        torchvision_weights.fetch(chosen, log)
        return Source(TORCHVISION, chosen.name, chosen, stem="imagenet", size=chosen.size, channels=3)
    flag = "init-from" if asked.kind == FILE else "grow-from"
    path, name = _locate(flag, asked.value, runs)
    try:
        file, digest = weight_files.read(path), weight_files.digest(path)
    except WorkError as error:
        raise UsageError(flag, None, str(error)) from None
    if asked.digest and asked.digest != digest:
        log(f"{path} has changed since the run was made that is repeated")
    known = file.network
    if asked.kind == GROWN:
        _check_growing(variant, file)
    if known is None or not _is_of_family(known.name, variant):
        return Source(asked.kind, name, file=file, digest=digest)
    return Source(asked.kind, name, None, file, digest, known.stem, known.image_size, known.in_channels)


def _is_of_family(name: str, variant: registry.Variant) -> bool:
    """Return whether the network called ``name`` is of the same family; one from outside the catalogue is of its own
    alone.
    """
    return name == variant.name if outside.is_outside(name) else registry.find(name).family == variant.family


def _locate(flag: str, value: str, runs: Path) -> tuple[Path, str]:
    """Return the file of weights that a person names: a file, or the best weights (else the last) of a run, also by its
    directory; and its short name.
    """
    path = typed_path(value, flag)
    if os.path.isfile(path):
        inside = path.parent.name == "checkpoints"
        return path, path.parent.parent.name if inside else path.name
    run = _run_of(flag, value, runs)
    paths = checkpoint_paths(run)
    for candidate in (paths.best, paths.last):
        if candidate.is_file():
            return candidate, run.name
    raise UsageError(flag, value, "has no weights yet: neither best.pt nor last.pt is written")


def _run_of(flag: str, value: str, runs: Path) -> Path:
    """Return the directory of the run that a person names. UsageError."""
    try:
        return ids.resolve(runs, value)
    except UsageError as error:
        if "/" in value or Path(value).suffix in (".pt", ".pth", weight_files.SAFETENSORS):
            raise UsageError(flag, value, "is neither a file nor a run") from None
        raise UsageError(flag, error.given, error.hint) from None


def _check_growing(variant: registry.Variant, file: WeightFile) -> None:
    if outside.is_outside(variant.name) or not hasattr(registry.module(variant.family), "grow"):
        raise UsageError(
            "grow-from", variant.name, "cannot be grown: its model file declares no grow(network, trained)"
        )
    if file.network is None:
        raise UsageError("grow-from", str(file.path), "does not say of which network it is; a run or its best.pt does")
    if not _is_of_family(file.network.name, variant):
        hint = f"is of {file.network.name}; {variant.name} grows from a network of its own family, {variant.family}"
        raise UsageError("grow-from", str(file.path), hint)


def _new(count: int, parameters: int, names: Sequence[str]) -> str:
    """Return how many parameters begin at random, and in which tensors."""
    if not count:
        return "no parameter is new"
    are = "is" if count == 1 else "are"
    return f"{count:,} of {counted(parameters, 'parameter')} {are} new: {chosen_weights.some(names)}"


def stem_and_size_of(source: Source | None, stem: str, size: int | None) -> tuple[str, int | None]:
    """Stem and size, the weights' own where nobody asks for others; published weights have one stem only."""
    if source is None:
        return stem, size
    if source.published is not None and stem == "small":
        raise UsageError("stem", stem, f"has no published weights; {source.name} are of the paper's stem, imagenet")
    return source.stem if stem == "auto" and source.stem else stem, size or source.size


def with_weights(
    config: NetworkConfig, source: Source | None, classes: tuple[str, ...], recipe: Recipe, log: Log
) -> NetworkConfig:
    """Return a network's configuration with what run.json says of its first weights; as it is where they are random.

    UsageError where the weights do not fit, and where the recipe would leave nothing to learn.
    """
    if source is None:
        return config
    begin = _resolve(source, config, classes, recipe, log)
    if recipe.freeze == "backbone" and not begin.newly_initialised:
        hint = f"would leave nothing to learn: all weights of {config.name} are loaded, the last layer's too"
        why = "--no-keep-head begins with a new one" if source.keep_head is None else "leave out --keep-head"
        raise UsageError("freeze", recipe.freeze, f"{hint}; {why}")
    return dataclasses.replace(config, pretrained=begin)


def _resolve(
    source: Source, config: NetworkConfig, classes: tuple[str, ...], recipe: Recipe, log: Log
) -> InitialWeights:
    """Return what run.json says of a network's first weights; which of them are newly initialised is told to ``log``.

    UsageError where the weights do not fit at all.
    """
    network = weight_files.build_on_meta(config)
    targets = transplant.named_weights(network)
    found = None
    if source.kind == FILE and source.file is not None:
        found = foreign_names.find(source.file.tensors, config, targets)
    grown = source.kind == GROWN
    taken = (
        _grow(network, source.file, config) if grown else chosen_weights.names(source, config, found, classes, recipe)
    )
    newly_initialised = tuple(name for name, _ in network.named_parameters() if name not in taken)
    if not any(targets[name].ndim > 1 for name in taken):  # a bias that has the right length by chance is no beginning
        raise UsageError(
            "grow-from" if source.kind == GROWN else "init-from",
            source.name,
            f"has no weights that fit {config.name}: no filter or matrix has the name and the shape of one of its own",
        )
    new = sum(tensor.numel() for name, tensor in targets.items() if name in newly_initialised)
    loaded = f"{len(taken)} of {counted(len(targets), 'tensor')} loaded"
    log(f"weights of {source.name}: {loaded}; {_new(new, config.parameters, newly_initialised)}")
    if source.file is not None:
        if found:  # counters and tables of places are whole numbers in the network too
            names = [found.names[name] for name in found.names if name in taken and targets[name].is_floating_point()]
        else:
            names = [name for name, tensor in source.file.tensors.items() if tensor.is_floating_point()]
        chosen_weights.check_usable(source.file, names, "grow-from" if grown else "init-from", source.name)
    if source.file is not None and found is not None:
        chosen_weights.log_use_of_file(source, source.file, found, taken, classes, recipe, log)
    mean, std = source.mean_and_std
    if len(mean) != config.in_channels or len(std) != config.in_channels:
        mean = std = ()
    if source.published is not None:
        place, digest = source.published.url, ""
    else:
        assert source.file is not None
        place, digest = str(source.file.path), source.digest
    return InitialWeights(source.kind, source.name, place, digest, mean, std, newly_initialised, source.keep_head)


def _grow(network: nn.Module, file: WeightFile | None, config: NetworkConfig) -> set[str]:
    """Let the model file copy the layers of the trained network; returns the names of the weights in them."""
    assert file is not None and file.network is not None
    device = next(network.parameters()).device
    with torch.random.fork_rng(devices=[]), torch.device(device):
        trained = weight_files.build(file.network)
    if device.type != "meta":
        trained.load_state_dict(dict(file.tensors))
    try:
        layers = registry.module(registry.find(config.name).family).grow(network, trained)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError("grow-from", file.network.name, f"does not fit {config.name}: {reason}") from None
    return {name for name in transplant.named_weights(network) if any(name.startswith(f"{layer}.") for layer in layers)}


def _entry(name: str) -> registry.Variant:
    return outside.variant(name) if outside.is_outside(name) else registry.find(name)


def load_initial_weights(network: nn.Module, config: NetworkConfig) -> None:
    """Put the first weights that run.json names into a network with random initial weights, on the CPU.

    WorkError where they are no longer there or no longer the same.
    """
    start = config.pretrained
    assert start is not None
    if start.kind == TORCHVISION:
        chosen = torchvision_weights.find(_entry(config.name), start.name)
        torchvision_weights.fetch(chosen, lambda line: None)
        torchvision_weights.copy_into(
            network, chosen, chosen_weights.builder(config), config.image_size, start.newly_initialised
        )
        return
    path = Path(start.source)
    if path.is_file() and weight_files.digest(path) != start.digest:
        raise WorkError(f"{path}: has changed since the run was made that begins with it")
    file = weight_files.read(path)
    if start.kind == GROWN:
        _grow(network, file, config)
        return
    parameters = transplant.named_weights(network)
    found = foreign_names.find(file.tensors, config, parameters)
    with torch.no_grad():
        for name in found.names:
            if name not in start.newly_initialised:
                parameters[name].copy_(found.value(file.tensors, name).reshape(parameters[name].shape))
