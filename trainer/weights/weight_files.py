"""Files of weights: checkpoints of this program, safetensors, state dicts of other programs; no code in them is run.

A file that this program wrote says which network it is of, for which classes, and how images are normalised, so that it
can be used without the run that made it:

    from cnn_explorer.trainer.weights.weight_files import load_network

    found = load_network("resnet18.safetensors")       # best.pt and last.pt as well
    scores = found.network(found.normalised(images)) # uint8 (B, C, H, W) of any size → (B, classes)
    names = [found.classes[number] for number in scores.argmax(1)]
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor, nn

from ...errors import UsageError, WorkError
from ...models.anatomy import counting
from ...models.anatomy.saved_weights import weight_file, weight_reader, weight_tables
from ...models.anatomy.saved_weights.weight_reader import Contents
from ...models.catalogue import registry
from ...models.layers import margin_allowed
from ...models.own import outside
from ...models.own.modes import evaluating
from ..batches.batches import InputTransform
from ..common.json_safe import encode_json
from ..config import run_config
from ..config.run_config import NetworkConfig
from ..runs.run_writer import checkpoint_paths, read_config
from . import checkpoint

SAFETENSORS = ".safetensors"
SCHEMA = 1


@dataclass(frozen=True)
class WeightFile:
    """Tensors by name, and what the file says of them; None or empty where it says nothing.

    ``mean`` and ``std`` are those by which images were normalised, per channel, in 0 … 1. ``key`` is where the tensors are
    in the file, ``beside`` are the keys of other sets of weights in it.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    network: NetworkConfig | None = None
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    key: str = ""
    beside: tuple[str, ...] = ()


def read(path: Path) -> WeightFile:
    """Return the weights in a file: safetensors, or what torch.save wrote. WorkError where it cannot be read or holds
    none.
    """
    if not os.path.exists(path):  # which also takes names that no file can have
        raise WorkError(f"{path}: is not there")
    try:
        contents = weight_reader.read(path)
        if FACTS_KEY in contents.metadata:
            return _of_table(contents, json.loads(contents.metadata[FACTS_KEY]))
        state = contents.state
        if _is_own(state):
            return _own_checkpoint(path, state)
        return _of_table(contents, _foreign_facts(state))
    except UsageError as error:
        raise WorkError(f"{path}: {error.hint}") from None
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise WorkError(f"{path}: cannot be read: {str(error).splitlines()[0][:200]}") from None


def _of_table(contents: Contents, facts: Mapping) -> WeightFile:
    """Return the weights by name of what a file holds; UsageError where it holds none, or several and not which."""
    found = weight_tables.tables(contents.state)
    table = weight_file.network_of(contents, found)
    others = tuple(weight_tables.beside(found, table))
    return replace(_described(contents.path, table.tensors, facts), key=table.key, beside=others)


def _is_own(state: object) -> TypeGuard[dict]:
    """Return whether a file is a checkpoint of this program: others keep weights under ``model`` as well."""
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        return False
    network = state.get("network")
    return isinstance(network, dict) and "name" in network and "num_classes" in network


def _own_checkpoint(path: Path, state: dict) -> WeightFile:
    if state.get("schema") == checkpoint.SCHEMA:
        state = checkpoint.read(path)  # which also looks at the checksums
    # A checkpoint to go on from has the moving average apart; it is what was evaluated.
    average = state.get("average")
    tensors = average["network"] if average else state["model"]
    return _described(path, tensors, {key: value for key, value in state.items() if key in FACTS})


def _foreign_facts(state: object) -> dict[str, object]:
    """Return what another program says of its classes; nothing else can be relied on to mean what it means here."""
    classes = state.get("classes") if isinstance(state, dict) else None
    named = isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes)
    return {"classes": list(classes)} if named and classes else {}


FACTS_KEY = "cnn_explorer"
"""The key in the metadata of safetensors under which this program says what the weights are."""
FACTS = ("network", "classes", "mean", "std", "epoch", "step", "accuracy", "loss")


def _described(path: Path, tensors: Mapping, facts: Mapping) -> WeightFile:
    named = {str(name): value for name, value in tensors.items() if isinstance(value, Tensor)}
    if not named:
        raise WorkError(f"{path}: holds no weights by name")
    run = path.parent.parent if path.parent.name == "checkpoints" else None
    network = run_config.network_from_dict(facts["network"], run) if facts.get("network") else None
    if network is None:  # this program writes the names of the network itself, which may have a layer called `module`
        named = weight_tables.unwrapped(named)
    classes = tuple(map(str, facts.get("classes") or ()))
    mean, std = (tuple(float(value) for value in facts.get(key) or ()) for key in ("mean", "std"))
    return WeightFile(path, named, network, classes, mean, std, dict(facts))


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WorkError(f"{path}: cannot be read: {error.strerror}") from None


def export_weights(run: Path, which: str = "best") -> bytes:
    """Return the ``which`` ("best", "last") weights of a run as the contents of a safetensors file, with all that is
    known of them.

    The key ``cnn_explorer`` of its metadata holds, as JSON, network, classes, mean, std, epoch, accuracy and the run's name.
    Raises WorkError where there is no such checkpoint.
    """
    from safetensors.torch import save

    weights = read(getattr(checkpoint_paths(run), which))
    config = read_config(run)
    data = config.get("data")  # of a run.json that somebody has written to it may be anything
    known = {"network": config.get("network"), "classes": data.get("classes") if isinstance(data, dict) else None}
    facts = {"schema": SCHEMA, "run": run.name} | known | dict(weights.facts)
    metadata = {"format": "pt", FACTS_KEY: encode_json(facts).decode()}
    # A copy of each: safetensors takes no two names for the same memory and nothing that is not contiguous.
    return save({name: tensor.contiguous().clone() for name, tensor in weights.tensors.items()}, metadata)


@dataclass(frozen=True)
class Loaded:
    """A network with its trained weights, in eval mode on the CPU, and what it was trained for."""

    network: nn.Module
    classes: tuple[str, ...]
    input_transform: InputTransform

    def normalised(self, images: Tensor) -> Tensor:
        """Return the images (B, C, H, W) with values 0 … 255 as the network takes them: normalised, at its size."""
        return self.input_transform.sized(self.input_transform.normalised(images))


def load_network(path: str | os.PathLike) -> Loaded:
    """Build the network that a file of this program is of, and put the weights into it. WorkError, UsageError."""
    found = read(Path(path))
    if found.network is None:
        raise UsageError("weights", str(path), "do not say of which network they are; only this program's files do")
    network = build(found.network)
    try:
        network.load_state_dict(dict(found.tensors))
    except RuntimeError as error:
        raise WorkError(f"{path}: does not fit {found.network.name}: {str(error).splitlines()[-1].strip()}") from None
    return Loaded(evaluating(network), found.classes, _input_transform(found))


def _input_transform(found: WeightFile) -> InputTransform:
    assert found.network is not None
    if len(found.mean) != found.network.in_channels or len(found.std) != found.network.in_channels:
        raise UsageError("weights", str(found.path), "do not say how images are normalised; best.pt of the run does")
    return InputTransform(found.mean, found.std, found.network.image_size, torch.device("cpu"))


def input_transform_of(checkpoint: Path) -> InputTransform:
    """Return what makes of images what the network of a checkpoint takes. WorkError where it cannot be read."""
    return _input_transform(read(checkpoint))


def build(config: NetworkConfig) -> nn.Module:
    """Return the network of a configuration with random initial weights. UsageError where it cannot be built.

    Lazy layers have their weights, for images of the configuration.
    """
    return outside.with_all_weights(_built(config), (config.in_channels, config.image_size, config.image_size))


def _built(config: NetworkConfig) -> nn.Module:
    if outside.is_outside(config.name):
        sizes = {
            "num_classes": config.num_classes,
            "in_channels": config.in_channels,
            "image_size": config.image_size,
        }
        return outside.build(config.name, folder=config.own.folder if config.own else None, **sizes)
    try:
        with margin_allowed():  # whether new runs fit was checked when they were planned; older ones have to load
            return registry.build(
                config.name,
                stem=config.stem,
                num_classes=config.num_classes,
                in_channels=config.in_channels,
                image_size=config.image_size,
            )
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError("network", config.name, str(error)) from None


def build_on_meta(config: NetworkConfig) -> nn.Module:
    """Return the network of a configuration without memory; the random state is kept. UsageError as `build`."""
    return counting.on_meta(lambda: build(config))
