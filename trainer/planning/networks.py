"""Trains networks from outside the catalogue: where they are stored, which images they take, what they return."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...models.anatomy import counting
from ...models.anatomy.untouched import random_state_kept
from ...models.catalogue.registry import Variant
from ...models.own import outside, own_files, stored, storing, user_code
from ..config.run_config import OWN_FOLDER, OwnNetwork
from ..data.dataset_info import DataInfo
from ..loop.train_step import scores_of

GIVEN_FOLDER = "stored:"
"""Before the folder of a network that Python has stored, in the place of a name."""


@dataclass(frozen=True)
class Outside:
    """A network from outside: its entry, and where it is stored if it is a person's own."""

    variant: Variant
    own: OwnNetwork | None


@dataclass(frozen=True)
class Fit:
    """What images the network is given, and how many parameters it has then."""

    channels: int
    image_size: int
    parameters: int


def find(name: str, folder: Path | None = None) -> Outside:
    """Return the network that ``name`` means; ``folder`` is where a run, which is repeated, keeps it. UsageError.

    A ``package.module:callable`` is stored in a folder of this process first, so that what is tried out is what a run
    gets. ``stored:FOLDER`` names a network that Python has stored there.
    """
    if name.startswith(GIVEN_FOLDER):
        folder = Path(name.removeprefix(GIVEN_FOLDER)).absolute()
        name = stored.read(folder).name
    elif outside.is_own(name) and folder is None:
        folder = _store(name)
    if folder is not None:
        what = stored.read(folder)
        return Outside(outside.variant(name), OwnNetwork(folder, what.path, what.kind, what.pickled))
    return Outside(outside.variant(name), None)


def _store(name: str) -> Path:
    source, _, qualname = name.partition(":")
    if source == outside.OWN:
        raise UsageError("network", name, "is the network of a run; `cnn-explorer runs clone ID` trains it anew")
    maker = stored.look_up(own_files.import_own(name, source), qualname, name)
    parent = Path(tempfile.mkdtemp(prefix="cnn-explorer-"))
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    if isinstance(maker, nn.Module):
        hint = "is a network already; name the class or function that makes it, or hand it to cnn_explorer.train"
        raise UsageError("network", name, hint)
    storing.store_callable(name, source, qualname, parent / "network")
    return parent / "network"


def fit(found: Outside, info: DataInfo, size: int | None) -> Fit:
    """Return the images with which the network runs, tried out without memory, else with real values.

    ``size`` is what was asked for; else it is that of the data, else the network's own. A network that does not take
    grey images gets three equal channels. UsageError where none of this works, and where it returns no scores for the
    classes.
    """
    own_channels, own_size, _ = found.variant.paper_form.input
    channels = [own_channels] if own_channels else [info.channels, 3] if info.channels == 1 else [info.channels]
    sizes = [size] if size else [info.size, own_size] if own_size > info.size else [info.size]
    first: UsageError | None = None
    for side in sizes:
        for count in channels:
            try:
                return _tried(found, info, count, side)
            except _DoesNotRun as error:
                first = first or error
    assert first is not None
    raise first


class _DoesNotRun(UsageError):
    """The network does not take these images; it may take others."""


def _tried(found: Outside, info: DataInfo, channels: int, size: int) -> Fit:
    shape, classes = (2, channels, size, size), len(info.classes)

    def build() -> nn.Module:
        folder = found.own.folder if found.own else None
        options = {"num_classes": classes, "in_channels": channels, "image_size": size}
        return outside.build(found.variant.name, folder=folder, **options).eval()

    network: nn.Module | None = None
    try:
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]), torch.device("meta"):
                network = build()
                outputs = network(torch.empty(shape))
            if _other_formats(network):
                raise TypeError("tensors without memory may be multiplied with those of another number format")
        except UsageError:
            raise
        except (Exception, SystemExit):  # it may want values, which tensors without memory have not
            with torch.no_grad(), random_state_kept():
                network = build()
                outputs = network(torch.rand(shape))
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        shown = f"{channels}×{size}×{size}"
        hint = f"does not take images of {shown}: {user_code.describe(error)}"
        if isinstance(error, RuntimeError | ValueError):
            hint += f"; {_advice(network)}"
        raise _DoesNotRun("network", found.variant.name, hint) from None
    _check_scores(found, outputs, info)
    parameters = counting.count_parameters(network)
    if not parameters:
        raise UsageError("network", found.variant.name, "has no parameters that learn")
    return Fit(channels, size, parameters)


def _advice(network: nn.Module | None) -> str:
    """What may help a network that does not take the images."""
    for dtype in _other_formats(network) if network is not None else ():
        return f"it has weights in {dtype}, and images are torch.float32: call .float() of it"
    return "--image-size N gives it others"


def _other_formats(network: nn.Module) -> set[torch.dtype]:
    """The number formats of its weights that are not those of images."""
    return {tensor.dtype for tensor in network.parameters() if tensor.is_floating_point()} - {torch.float32}


def _check_scores(found: Outside, outputs: object, info: DataInfo) -> None:
    """UsageError unless there is a row of scores for each image, one for each class of the data."""
    name, classes = found.variant.name, len(info.classes)
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
        if found.own is not None and found.own.kind == "callable":
            hint += "; it is told the number where it has a parameter num_classes"
        raise UsageError("network", name, hint)


def named(argv: Sequence[str], name: str) -> list[str]:
    """Return the words of a command with the network's name in the place of the folder where Python stored it."""
    return [name if str(word).startswith(GIVEN_FOLDER) else word for word in argv]


@contextmanager
def kept(own: OwnNetwork | None, run: Path) -> Iterator[None]:
    """Copy a person's network into the directory ``run``, in which a run is made; it is taken away if that fails."""
    target = run / OWN_FOLDER
    try:
        if own is not None:
            shutil.copytree(own.folder, target)
        yield
    except BaseException:
        if own is not None:
            shutil.rmtree(target, ignore_errors=True)
        raise
