"""The Python interface, ``import cnn_explorer as cx``; torch is loaded when something that needs it is called.

    cx.networks(tag="residual")                                 what there is
    net = cx.create("resnet18", stem="small", num_classes=10)   a torch.nn.Module
    cx.anatomy(net, (3, 32, 32))                                its layers, exactly counted
    run = cx.train(net, dataset="digits", epochs=5)             trained in a process of its own
    run.wait().load()                                           with its best weights

Wrong names and values raise :class:`UsageError` (a ValueError) that says what would work; work that fails raises
:class:`WorkError` (a RuntimeError). docs/api.md explains all of it with examples.
"""

from __future__ import annotations

import functools
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, TypedDict, Unpack

from .errors import UsageError, WorkError
from .trainer.launch.run_handle import Best, Curve, Records, Run, RunState

if TYPE_CHECKING:
    from torch import nn

    from .models.anatomy.forward.inputs import InputSpec
    from .models.anatomy.rows.table_text import Anatomy, Row

__all__ = [
    "Anatomy",
    "Best",
    "Curve",
    "Network",
    "Records",
    "Row",
    "Run",
    "RunState",
    "TrainOptions",
    "UsageError",
    "WorkError",
    "anatomy",
    "create",
    "load",
    "networks",
    "run",
    "runs",
    "train",
]

if not TYPE_CHECKING:  # a type checker would take every name for one that there is

    def __getattr__(name):
        """Fetch the classes whose file loads torch when somebody asks for them."""
        if name in ("Anatomy", "Row"):
            from .models.anatomy.rows import table_text

            return getattr(table_text, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


INPUT = (3, 32, 32)
LARGEST = 2**31 - 1
"""Of a side, of the channels and of the classes: with more, torch cannot count weights."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Network:
    """A network of the catalogue, as its paper has it.

    ``parameters``: number of values in all weights, ``macs``: MACs for one image of the paper's size; both are 0
    for a network of your own whose note has not been counted. ``family`` is the architecture (its note), ``year``
    that of the paper.
    """

    name: str
    family: str
    title: str
    year: int
    parameters: int
    macs: int
    tags: tuple[str, ...]


def networks(tag: str | None = None) -> list[Network]:
    """Return the networks of the catalogue, oldest first; with ``tag`` those that have it. Loads no torch.

    Raises UsageError for a tag that no network has.
    """
    from .models.catalogue import registry

    return [
        Network(
            item.name, item.family, item.title, item.year, item.paper_stem.parameters, item.paper_stem.macs, item.tags
        )
        for item in registry.tagged(tag, "tag")
    ]


def create(
    name: str,
    *,
    stem: Literal["imagenet", "small"] | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
) -> nn.Module:
    """Build a network with weights drawn by torch's random generator: images (B, C, H, W) to scores (B, classes).

    ``name`` is one of the catalogue, or ``torchvision:NAME``, ``timm:NAME`` or ``package.module:callable``. ``stem``:
    "imagenet" is the paper's layout, which is also taken where nothing is said, "small" the one for images of 28 and 32
    pixels; ``in_channels`` and ``image_size`` (pixels a side) are those of the layout where they are not given. Raises
    UsageError for an unknown name and for values that the network cannot take.
    """
    from .models.catalogue import registry
    from .models.own import outside

    if not isinstance(name, str):
        raise UsageError("network", type(name).__name__, "is not a name; cnn_explorer.networks() has them all")
    if stem not in (None, "imagenet", "small"):
        raise UsageError("stem", stem, "is unknown; choose one of imagenet, small")
    given = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
    sizes = {key: None if value is None else _whole(key, value) for key, value in given.items()}
    if outside.is_outside(name):
        return _create_outside(name, stem, sizes)
    variant = registry.find(name)
    if stem == "small" and variant.small_stem is None and variant.paper_stem.input[1] > 64:
        raise UsageError("stem", stem, f"does not exist for {variant.name}, which has the paper's layout only")
    try:
        return registry.build(variant.name, stem=stem, **sizes)
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError("network", variant.name, str(error)) from None
    except (RuntimeError, MemoryError) as error:  # no room for the weights
        raise WorkError(f"{variant.name}: cannot be built: {str(error).splitlines()[0]}") from None


def _whole(field: str, value: object) -> int:
    """Return a number above zero of any integer type; UsageError for anything else."""
    try:
        number = value.__index__() if isinstance(value, SupportsIndex) and not isinstance(value, bool) else 0
    except TypeError:  # a tensor has the method, and only a whole number in it has an index
        number = 0
    if number < 1:
        raise UsageError(field, value, "must be a whole number above zero")
    if number > LARGEST:
        raise UsageError(field, value, f"is too large: at most {LARGEST:,}")
    return number


def _create_outside(name: str, stem: str | None, sizes: Mapping[str, int | None]) -> nn.Module:
    from .models.own import outside

    if stem is not None:
        raise UsageError("stem", stem, f"is for networks of the catalogue; {name} has one stem")
    if outside.is_own(name):
        return outside.made(name, sizes)
    channels, size, _ = outside.variant(name).paper_stem.input
    return outside.build(
        name,
        num_classes=sizes["num_classes"] or 1000,
        in_channels=sizes["in_channels"] or channels or 3,
        image_size=sizes["image_size"] or size,
    )


def anatomy(
    network: nn.Module | Callable[..., nn.Module] | str,
    input: Sequence[int] | Sequence[Sequence[int] | str] | None = None,
    *,
    stem: Literal["imagenet", "small"] | None = None,
) -> Anatomy:
    """Take a network apart: every layer and operation with shapes, parameters, MACs and receptive field.

    ``network`` is any torch.nn.Module, a class or function that makes one, or a name as for :func:`create`. A module is
    left exactly as it was: device, training mode, weights, gradients, hooks, random states. A copy of it without values
    is run; a network that needs values (``if x.mean() > 0``) is run on random ones.

    ``input`` is the shape of one input without batch axis: of an image (channels, height, width), a clip (channels,
    frames, height, width), a signal (channels, samples), a vector ``(20,)``. For a module it is (3, 32, 32) where it is
    not given, for a name the size of its paper. A network with several inputs is given the shape of each:
    ``((3, 32, 32), (10,))``; "16:int64" is one of 16 whole numbers. ``stem`` is for names of the catalogue.

    Raises UsageError where the network cannot take the input, with the layer, the line of your code, what to write
    instead and the sizes that work, and where the network cannot be copied.
    """
    import torch

    from .models.anatomy.outside import external
    from .models.anatomy.rows.table_text import Anatomy

    inputs = () if input is None else _inputs(input)
    with torch.inference_mode(False):  # in inference mode torch does not show which operations run
        if isinstance(network, str):
            spec = external.network_spec(network, stem=stem, inputs=inputs)
            traced = external.traced_network(spec)
            return Anatomy(spec.name, spec.shape, traced.tree, traced.remarks)
        if stem is not None:
            hint = "is for names of the catalogue; a module has the layout that it was made with"
            raise UsageError("stem", stem, hint)
        inputs = inputs or (external.InputSpec(INPUT),)
        made = _module(network, inputs[0].shape)
        traced = external.traced_module(made, inputs)
        return Anatomy(type(made).__name__, inputs[0].shape, traced.tree, traced.remarks)


def _inputs(given: Any) -> tuple[InputSpec, ...]:
    """Return the inputs that a shape, or several of them, stand for. UsageError for anything else."""
    from .models.anatomy.forward.inputs import InputSpec, check_size, parse_inputs

    is_list = isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping)
    several = list(given) if is_list else []
    if not several or not all(isinstance(one, str | list | tuple) for one in several):
        found = (InputSpec(_shape(given)),)
    else:
        found = ()
        for one in several:
            found += parse_inputs([one]) if isinstance(one, str) else (InputSpec(_shape(one)),)
    check_size(found, "input")
    return found


def _shape(given: Any) -> tuple[int, ...]:
    hint = "is not the shape of one input without batch axis, such as (3, 32, 32), (4, 200) or (20,)"
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise UsageError("input", given, hint)
    if len(getattr(given, "shape", ())) > 1 or getattr(getattr(given, "dtype", None), "is_floating_point", False):
        raise UsageError(
            "input", type(given).__name__, "is an input and not its shape, such as (3, 32, 32), (4, 200) or (20,)"
        )
    sides = tuple(given)
    try:
        if sides:
            return tuple(_whole("input", number) for number in sides)
    except UsageError:
        pass
    raise UsageError("input", sides, hint)


def _module(network: Any, shape: tuple[int, ...]) -> nn.Module:
    """Return the network itself, or what a class or function makes, on the meta device and without drawing random
    numbers.
    """
    from torch import nn

    from .models.anatomy.outside.traced import built
    from .models.own import stored

    if isinstance(network, nn.Module):
        return network
    if not callable(network):
        raise UsageError(
            "network", type(network).__name__, "is neither a torch.nn.Module nor makes one, nor is it a name"
        )
    given = {"in_channels": shape[0], "image_size": shape[-1]}
    name = getattr(network, "__qualname__", type(network).__name__)
    return built(name, lambda: stored.call(name, network, given))


class TrainOptions(TypedDict, total=False):
    """The options of :func:`train`: the flags of `cnn-explorer train`, which docs/training.md explains."""

    recipe: str
    epochs: int
    batch_size: int
    lr: float
    optimizer: str
    momentum: float
    nesterov: bool
    betas: Sequence[float]
    eps: float
    weight_decay: float
    adamw_lr: float
    sam: str
    rho: float
    schedule: str
    warmup: float
    milestones: Sequence[float]
    gamma: float
    accumulate: int
    label_smoothing: float
    class_weights: str | Sequence[float]
    sampling: str
    clip_norm: float
    ema: float
    augment: str | Sequence[str]
    crop_padding: int
    translate_pixels: int
    cutout_size: int
    jitter_strength: float
    randaugment_strength: float
    tta: str
    set: Mapping[str, Any]
    pretrained: bool
    weights: str
    init_from: str | Path | Run
    grow_from: str | Path | Run
    keep_head: bool
    freeze: str
    backbone_lr: float
    layer_decay: float
    config: str | Path
    seed: int
    validation: float
    stem: str
    image_size: int
    device: str
    devices: int | str | Sequence[str]
    precision: str
    channels_last: bool
    compile: bool
    cuda_graphs: bool
    tf32: bool
    data_on_device: bool
    threads: int
    checkpoint_minutes: float
    keep: int
    calibrate: bool
    runs: str | Path
    data: str | Path


def train(
    network: nn.Module | Callable[..., nn.Module] | str,
    dataset: str | None = None,
    *,
    name: str | None = None,
    **options: Unpack[TrainOptions],
) -> Run:
    """Train a network in a process of its own, and return its run as soon as that process begins.

    ``network`` is a torch.nn.Module, which is trained from the weights that it has and is itself left as it is; a
    class or function that makes one, called with those of num_classes, in_channels and image_size that it has
    parameters for; or a name as for :func:`create`. ``dataset``: digits (where nothing is said), mnist,
    fashion-mnist, cifar10, cifar100 or folder:PATH. ``name`` is what a network of your own is called in lists; its
    class name where it is not given.

    A run keeps what it needs to build your network again: the file of its class with the files of your project that it
    imports, or, for a class of a notebook, the class itself (needs ``pip install 'cnn-explorer[notebook]'``).

    The options are the flags of `cnn-explorer train` with underscores: ``epochs=5``, ``augment=["crop", "flip"]``
    (``[]`` for none), ``channels_last=True``, ``set={"gamma": 0.2}``. What is said before the training begins goes to
    stderr.

    Raises TypeError for an unknown option; UsageError for what cannot be trained, with the line of your code where the
    error is in it, before a run exists; WorkError where the data cannot be had or the run not be written.
    """
    from .cli import from_python
    from .models.own.own_files import importing

    if importing():
        hint = 'is called by a file that a run imports to build its network: put it under if __name__ == "__main__":'
        raise UsageError("train", None, hint)
    flags = from_python.words({"dataset": dataset, **options})
    if isinstance(network, str):
        if name is not None:
            raise UsageError("name", name, f"is for a network of your own; {network} has a name")
        return Run(from_python.begin(network, flags))
    with tempfile.TemporaryDirectory(prefix="cnn-explorer-") as folder:
        return Run(from_python.begin(f"stored:{_store(network, name, Path(folder) / 'network')}", flags))


def _store(network: Any, name: str | None, folder: Path) -> Path:
    import sys

    from torch import nn

    from .models.own import stored, storing

    if not isinstance(network, nn.Module) and not callable(network):
        raise UsageError(
            "network", type(network).__name__, "is neither a torch.nn.Module, nor a class or function, nor a name"
        )
    kind = network.func if isinstance(network, functools.partial) else network
    chosen = name if name is not None else str(getattr(kind, "__name__", type(kind).__name__)).strip("<>")
    if not isinstance(chosen, str) or not _NAME.fullmatch(chosen):
        raise UsageError("name", chosen, "must be letters, digits, '.', '_' and '-', the first a letter or digit")
    storing.store(network, f"{stored.OWN}:{chosen}", folder, lambda line: print(line, file=sys.stderr))
    return folder


def runs(folder: str | Path | None = None) -> list[Run]:
    """Return all runs, newest first. ``folder`` is the runs folder; the usual one where it is not given.

    Raises UsageError where the folder cannot be read.
    """
    from .trainer.runs.reader import list_runs

    return [Run(found.path) for found in list_runs(_runs_folder(folder))]


def _runs_folder(folder: object) -> Path:
    """Return the folder of the runs, the usual one for None. UsageError for what is no path."""
    from .settings import runs_folder

    if folder is not None and not isinstance(folder, str | Path):
        raise UsageError("folder", folder, "is not a path")
    return runs_folder(folder)


def run(name: str | Path = "last", folder: str | Path | None = None) -> Run:
    """Return one run: by its id, a unique beginning or ending of it, its directory, "last" for the newest, or a tag.

    A text is a directory where it has a "/", such as "./mine". Raises UsageError where there is none, naming the nearest.
    """
    from .trainer.runs.ids import is_run, resolve

    if not isinstance(name, str | Path):
        raise UsageError("run", type(name).__name__, "names no run; an id, a directory, a tag or 'last' does")
    if isinstance(name, Path) and is_run(name):
        return Run(name.absolute())
    return Run(resolve(_runs_folder(folder), str(name)))


def load(run: Run | str | Path, checkpoint: Literal["best", "last"] = "best") -> nn.Module:
    """Build the network of a run with its trained weights: in eval mode, on the CPU. See :meth:`Run.load`.

    A network of your own is built by running the code in the run's directory: load only runs that you trust.
    """
    found = run if isinstance(run, Run) else _run(run)
    return found.load(checkpoint)


_run = run  # `load` has a parameter of this name
