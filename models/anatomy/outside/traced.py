"""Runs a network to take it apart: without values where that goes, else with real ones; says where it breaks off.

Tensors without values need neither memory nor time, and most networks run on them. Some read values while they are
built (``x.item() for x in torch.linspace(…)``) or while they run (``if x.sum() > 0``). Those are built on the CPU, and
where that does not suffice they are run there on seeded random numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from ....errors import UsageError, WorkError, with_article
from ...catalogue import user_code
from ...own import hidden_layers
from ...own.modes import evaluating
from ..counting import on_meta
from ..forward.garbage import search_put_off
from ..forward.inputs import LARGEST_REAL as LARGEST_INPUTS
from ..forward.inputs import InputSpec, tensors, weights_dtype
from ..forward.outputs import describe_outputs, tensors_of
from ..forward.untouched import check_followed, check_hashable, copied, random_state_kept
from ..rows.layer import Layer
from ..rows.layer_table import analyse_run
from . import failure, sizes
from .failure import Failure

LARGEST_REAL = 500_000_000
"""Parameters of the largest network that is built with values: 2 GB."""
LARGEST_SEARCHED = 5_000_000
"""Parameters of the largest network that is tried at many sizes with real numbers."""
SMALL = 1024
"""Tensors up to this size are made with values while a network is built without weights: rates, tables of sizes."""
SEVERAL = "its forward takes several inputs; give each its shape, for example --input 3x32x32 --input 10"
LEAVES_PYTORCH = "values leave PyTorch on their way, by numpy() for example"
REAL_NUMBERS = "traced with real numbers: the forward depends on values"


@dataclass(frozen=True)
class Traced:
    """The table of a network, and what a reader of it should know, in lines."""

    tree: Layer
    remarks: tuple[str, ...] = ()


class CannotRun(UsageError):
    """A network that could not be run. ``tree`` is the table up to where it broke off, None where nothing ran."""

    tree: Layer | None = None


@dataclass(frozen=True)
class RunSpec:
    """A network to be run: how it is built without memory and with it, and what it is given.

    ``by_size`` builds it for another image size where that makes a difference. ``is_known``: a network of the catalogue,
    of which we know that it needs no values.
    """

    name: str
    inputs: tuple[InputSpec, ...]
    without_memory: Callable[[], nn.Module]
    with_values: Callable[[], nn.Module]
    by_size: Callable[[int], nn.Module] | None = None
    is_known: bool = False

    @property
    def text(self) -> str:
        """The inputs as ``--input`` takes them."""
        return " ".join(map(str, self.inputs))


class BrokeOff(Exception):
    """The run of ``network`` on ``device`` ended as ``found`` tells."""

    def __init__(self, found: Failure, network: nn.Module, device: str) -> None:
        super().__init__()
        self.found, self.network, self.device = found, network, device


@dataclass(frozen=True)
class Ran:
    """A run that went through: the network in evaluation mode, what ``work`` gave, and the device, "meta" or "cpu"."""

    network: nn.Module
    result: Any
    device: str


Work = Callable[[nn.Module, list[Any]], Any]


def trace(spec: RunSpec, batch: int = 1) -> Traced:
    """Return the table of a network. UsageError where it cannot be built, CannotRun where it cannot be run."""
    returned: list[Any] = []

    def work(network: nn.Module, inputs: list[Any]) -> Layer:
        check_followed(network, spec.name)
        hook = network.register_forward_hook(lambda module, args, output: returned.append(output))
        try:
            return analyse_run(network, *inputs)
        finally:
            hook.remove()

    with random_state_kept():
        try:
            ran = run(spec, batch, work)
        except BrokeOff as broke:
            raise _told(spec, broke) from broke.found.error
    output = returned[-1] if returned else None
    for coroutine in filter(inspect.iscoroutine, returned):  # the forward is async; nobody will wait for it
        coroutine.close()
    if not tensors_of(output):
        raise UsageError("network", spec.name, _returns_nothing(ran.network, output))
    remarks = [REAL_NUMBERS] if ran.device == "cpu" else []
    if not spec.is_known and (hidden := hidden_layers.remark(ran.network)):
        remarks.append(hidden)
    tree: Layer = ran.result
    if (
        ran.device == "cpu"
        and tree.receptive_field is None
        and not tree.field_unknown
        and len(spec.inputs[0].shape) > 2
    ):
        tree = dataclasses.replace(tree, field_unknown=LEAVES_PYTORCH)
        remarks.append(f"the receptive field is unknown: {LEAVES_PYTORCH}")
    contents = describe_outputs(output)
    return Traced(tree, (*remarks, *([f"returns {contents}"] if contents else [])))


def run(spec: RunSpec, batch: int, work: Work, needs_values: Callable[[nn.Module], bool] | None = None) -> Ran:
    """Let ``work`` run a network in evaluation mode: without values where that goes, else with real ones.

    ``needs_values`` tells of a network whether a run without values says too little. UsageError where it cannot be
    built, BrokeOff where it cannot be run. Everything random is changed.
    """
    try:
        return _run(spec, batch, work, needs_values)
    except BrokeOff:
        raise
    except BaseException as error:  # what the person wrote over: parameters(), named_modules(), __getattr__
        user_code.check_fault(error)
        if spec.is_known:
            raise
        raise UsageError("network", spec.name, f"cannot be run: {user_code.describe(error)}") from error


def _run(spec: RunSpec, batch: int, work: Work, needs_values: Callable[[nn.Module], bool] | None) -> Ran:
    with search_put_off():
        network = build(spec)
        check_hashable(network, spec.name)
        done, error = _attempt(spec, network, batch, "meta", work)
    if error is None and not (needs_values is not None and needs_values(network)):
        return Ran(network, done, "meta")
    if error is not None:
        found = _failure(spec, network, batch, "meta", error)
        if found.is_certain or spec.is_known:
            raise BrokeOff(found, network, "meta") from error
        _check_room(spec, network, batch, found)
    torch.manual_seed(0)
    with user_code.silent(), user_code.one_line(spec.name, "cannot be built"):
        network = spec.with_values()
    done, error = _attempt(spec, network, batch, "cpu", work)
    if error is None:
        return Ran(network, done, "cpu")
    raise BrokeOff(_failure(spec, network, batch, "cpu", error), network, "cpu") from error


def built(name: str, make: Callable[[], nn.Module]) -> nn.Module:
    """Build a network without memory for its weights, and leave everything random as it is. UsageError."""
    with random_state_kept():
        return build(RunSpec(name, (), functools.partial(on_meta, make), make))


def build(spec: RunSpec) -> nn.Module:
    """Build a network without memory for its weights. UsageError for what its code raises."""
    try:
        return spec.without_memory()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | WorkError) or (spec.is_known and isinstance(error, UsageError)):
            raise
        if spec.is_known:
            side = spec.inputs[0].shape[-1]
            why = user_code.first_line(error).removeprefix(f"image_size: {side} is ")
            raise UsageError("input", spec.text, f"cannot go through {spec.name}: {why}") from error
    with user_code.silent(), user_code.one_line(spec.name, "cannot be built"):
        try:
            with _WeightsOnMeta() as made:
                return _copied_to_meta(spec)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or "meta" not in str(error) or made.values > LARGEST_REAL:
                raise
        return _copied_to_meta(spec)


def _copied_to_meta(spec: RunSpec) -> nn.Module:
    network = spec.with_values()
    if isinstance(network, nn.Module):
        check_hashable(network, spec.name)
        check_followed(network, spec.name)
    return copied(network, "meta")


class _WeightsOnMeta(TorchFunctionMode):
    """Makes large tensors without memory, and small ones with their values: those that a network computes with while it
    is built.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values = 0
        self.makers = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in self.makers:
            size = kwargs.get("size", args[0] if args and not isinstance(args[0], int) else args)
            is_shape = isinstance(size, list | tuple) and all(isinstance(number, int) for number in size)
            count = math.prod(size) if is_shape else 0
            if count > SMALL:
                self.values += count
                kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _inputs(spec: RunSpec, network: nn.Module, batch: int, device: str) -> list[Any]:
    return tensors(spec.inputs, batch, weights_dtype(network), device)


def _attempt(
    spec: RunSpec, network: nn.Module, batch: int, device: str, work: Work
) -> tuple[Any, BaseException | None]:
    """Return what ``work`` gave, or what the network raised."""
    try:
        with _surroundings(spec, device), torch.no_grad():
            return work(evaluating(network), _inputs(spec, network, batch, device)), None
    except BaseException as error:
        user_code.check_fault(error)
        return None, error


def _failure(spec: RunSpec, network: nn.Module, batch: int, device: str, error: BaseException) -> Failure:
    return failure.find(network, _inputs(spec, network, batch, device), device) or Failure(error, error)


def _surroundings(spec: RunSpec, device: str) -> AbstractContextManager[Any]:
    """Return what a run needs around it: tensors that the forward makes have no values either; a second run is silent."""
    if device == "cpu":
        return user_code.silent()
    return contextlib.nullcontext() if spec.is_known else torch.device("meta")


def _returns_nothing(network: nn.Module, output: object) -> str:
    what = (
        "nothing (its forward has no return)"
        if output is None
        else f"{with_article(type(output).__name__)} without a tensor"
    )
    where = place_of_forward(network)
    return f"returns {what}" + (f" ({where})" if where else "")


def _check_room(spec: RunSpec, network: nn.Module, batch: int, found: Failure) -> None:
    """UsageError where a network, or what it is given, is too large to be run with values."""
    parameters = sum(weight.numel() for weight in network.parameters() if not is_lazy(weight))
    given = batch * sum(math.prod(one.shape) for one in spec.inputs)
    if parameters > LARGEST_REAL or given > LARGEST_INPUTS:
        what = f"{parameters:,} parameters" if parameters > LARGEST_REAL else f"inputs of {given:,} values"
        hint = f"cannot be run without real numbers and is too large to be run with them ({what}): "
        raise UsageError("network", spec.name, hint + user_code.describe(found.error, type(network)))


# Words


def _told(spec: RunSpec, broke: BrokeOff) -> CannotRun:
    """Return the line for a network that broke off: the layer, what to write, torch's words, the sizes that work."""
    found, network = broke.found, broke.network
    hint = sizes_that_work(spec, broke)
    batch_axis = _batch_axis(spec)
    words = explained(found, network)
    if hint:
        doubled = "smallest that works" in words and "smallest square" in hint
        told = CannotRun(
            "input", spec.text, f"cannot go through {spec.name}: {words}{'' if doubled else f'; {hint}'}{batch_axis}"
        )
    else:
        told = CannotRun("network", spec.name, f"cannot be run with {spec.text}: {words}{batch_axis}")
    told.tree = found.tree
    return told


def _batch_axis(spec: RunSpec) -> str:
    """Return the hint for who wrote a batch of one image: the batch axis is left out."""
    shape = spec.inputs[0].shape
    if len(spec.inputs) != 1 or len(shape) != 4 or shape[0] != 1:
        return ""
    return f"; the batch axis is left out of a shape: {'x'.join(map(str, shape[1:]))} is one image"


def explained(found: Failure, network: nn.Module, several: str = SEVERAL) -> str:
    """Return where a run broke off and why, without the name of the network.

    ``several`` is what to do where the forward wants more inputs than one.
    """
    error = found.told
    words = user_code.first_line(error)
    if type(error) not in (RuntimeError, ValueError) or not words:
        words = f"{type(error).__name__}: {words}" if words else type(error).__name__
    where = user_code.place(found.error) or place_of_forward(network)
    layer = found.layer if found.advice or failure.is_of_size(error) else ""
    missing = several if _wants_more(found.error, network) else ""
    advice = missing or found.advice
    said = f"{advice}; torch says: {words}" if advice and not missing else advice or words
    return (f"{layer}: " if layer else "") + said + (f" ({where})" if where else "")


def _wants_more(error: BaseException, network: nn.Module) -> bool:
    """Return whether the forward wants more inputs than it was given."""
    return isinstance(error, TypeError) and f"{type(network).__name__}.forward() missing" in str(error)


def place_of_forward(network: nn.Module) -> str:
    """Return where the forward of a person's network is defined, or its class where it has none; "" for others."""
    return user_code.place_of(type(network).forward) or user_code.place_of(type(network))


def sizes_that_work(spec: RunSpec, broke: BrokeOff) -> str:
    """Return which squares a network takes that broke off, "" where none is found or the size is not the reason."""
    network, device, shape = broke.network, broke.device, spec.inputs[0].shape
    is_quick = device == "meta" or sum(weight.numel() for weight in network.parameters()) < LARGEST_SEARCHED
    if len(spec.inputs) != 1 or len(shape) < 3 or not is_quick or not failure.is_of_size(broke.found.error):
        return ""

    def runs(size: int) -> bool:
        other = InputSpec((*shape[:-2], size, size), spec.inputs[0].dtype)
        try:
            with user_code.silent(), torch.no_grad(), torch.device(device):
                built = network if spec.by_size is None else spec.by_size(size)
                found = tensors_of(evaluating(built)(*tensors([other], 1, weights_dtype(built), device)))
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return False
        return bool(found) and found[0].shape[:1] == (1,)  # x.view(-1, 400) may make several images of one

    return sizes.words(sizes.working_sizes(runs, shape[-1]), shape[-1])


# Networks that exist


def spec_of_module(network: nn.Module, inputs: tuple[InputSpec, ...]) -> RunSpec:
    """Return a network that exists as what is to be run: copies of it, so that it stays as it was."""
    return RunSpec(type(network).__name__, inputs, lambda: copied(network, "meta"), lambda: copied(network, "cpu"))
