"""torchinfo's own summary of a network, and what its MACs leave out or add compared with ours.

Both are counted in the same run, so that the two can be held against each other weight by weight. torchinfo looks at
layers: of a convolution it counts weights times output places, of any other layer its weights once for each entry of the
first axis, biases and the weights of normalisation included. What happens between layers it cannot see. Ours are the
products that were computed (macs.py).
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torchinfo
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torchinfo.enums import ColumnSettings, RowSettings, Units
from torchinfo.formatting import FormattingOptions
from torchinfo.layer_info import LayerInfo, prod

from ....errors import UsageError, counted, nearest
from ...catalogue import user_code
from ...catalogue.notes import quantity
from ..counting import on_meta
from ..forward.inputs import tensors
from ..forward.untouched import random_state_kept
from ..meta.macs import count_macs
from ..outside.external import NetworkSpec, anatomy_of

aten = torch.ops.aten
SOFTMAX = (aten._softmax, aten._safe_softmax)

COLUMNS = tuple(column.value for column in ColumnSettings)
"""All columns that the installed torchinfo can show."""
USUAL_COLUMNS = ("output_size", "num_params")
USUAL_ROWS = ("depth", "var_names")
USUAL_DEPTH = 3
NARROWEST = 14
"""Cells of a column: those of 12 figures with their commas."""

REASONS = {
    "tokens": "linear layers once instead of for each token",
    "attention": "no attention, which is not a layer",
    "products": "no products of two activations, which are not layers",
    "fixed": "no filters that do not learn",
    "direct": "no weights that are used without a call of their layer",
    "places": "convolutions in classes without Conv in their name at one place only",
    "transposed": "transposed convolutions at each output value instead of each input value",
    "bias": "also biases",
    "normalisation": "also the weights of normalisation",
    "scale": "also scales and tables",
}
"""The kinds of difference, as what torchinfo counts."""
UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class CountDifference:
    """One reason why torchinfo's total is another one. ``macs``: ours minus torchinfo's, below zero where it counts more."""

    kind: str
    macs: int


@dataclass(frozen=True)
class TorchinfoSummary:
    """torchinfo's ``statistics`` of one run, our totals of the same run, and the differences, which add up.

    ``parameters`` are those of the whole network, frozen ones included, shared ones once. ``repeated`` are the values
    that belong to more than one layer, for each layer but the first.
    """

    name: str
    statistics: torchinfo.ModelStatistics
    parameters: int
    repeated: int
    macs: int
    differences: tuple[CountDifference, ...]

    @property
    def deepest(self) -> int:
        """The deepest level of its table."""
        return max(layer.depth for layer in self.statistics.summary_list)


# The run


def summarise(spec: NetworkSpec, batch: int = 1) -> TorchinfoSummary:
    """Return torchinfo's summary of a network that is built for it and thrown away. Nothing random is touched.

    The network runs on the meta device; one that needs real values runs on seeded random ones on the CPU. UsageError
    where it runs on neither.
    """
    with random_state_kept():
        if spec.takes_list:
            return _run_on_cpu(spec, batch)
        try:
            return _run(spec.name, on_meta(spec.make), _inputs(spec, batch, "meta"), "meta")
        except BaseException as error:  # a person's own network may raise anything, and even leave
            user_code.check_fault(error)
            anatomy_of(spec, batch)  # where the network cannot run at all, this says why
            return _run_on_cpu(spec, batch, error)


def _run_on_cpu(spec: NetworkSpec, batch: int, earlier: BaseException | None = None) -> TorchinfoSummary:
    torch.manual_seed(0)
    try:
        return _run(spec.name, spec.make(), _inputs(spec, batch, "cpu"), "cpu")
    except BaseException as error:
        user_code.check_fault(error)
        cause = error.__cause__ or (earlier and earlier.__cause__) or error
        raise UsageError("network", spec.name, f"cannot be run by torchinfo: {user_code.describe(cause)}") from error


def _inputs(spec: NetworkSpec, batch: int, device: str) -> list[Any]:
    """Return the arguments of the network's forward."""
    if spec.takes_list:
        return [[torch.rand(spec.shape, device=device) for _ in range(batch)]]
    return tensors(spec.all_inputs, batch, torch.float32, device)


def _run(name: str, network: nn.Module, inputs: list[Any], device: str) -> TorchinfoSummary:
    network.eval()
    dtype = next((weight.dtype for weight in network.parameters() if weight.is_floating_point()), torch.float32)
    given = [value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value for value in inputs]
    products = _Products(network)
    try:
        with products.followed():
            statistics = torchinfo.summary(network, input_data=given, mode="eval", device=device, verbose=0)
    finally:
        torchinfo.torchinfo.clear_cached_forward_pass()  # it keeps every network for ever
    sizes = {id(weight): weight.numel() for weight in network.parameters()}
    owned = [id(weight) for module in network.modules() for weight in module._parameters.values() if weight is not None]
    return TorchinfoSummary(
        name=name,
        statistics=statistics,
        parameters=sum(sizes.values()),
        repeated=sum(sizes[weight] * (times - 1) for weight, times in Counter(owned).items()),
        macs=sum(product.macs for product in products.found),
        differences=_differences(statistics, products),
    )


@dataclass(frozen=True)
class _Product:
    """An operation with MACs: in which module it ran, and the weights that one of its factors is made of.

    ``fixed``: a factor is a table of the network that does not learn, such as the filter of an anti-aliasing layer.
    """

    module: nn.Module
    packet: Any
    transposed: bool
    weights: frozenset[int]
    macs: int
    fixed: bool


class _Products(TorchDispatchMode):
    """Notes every operation with MACs of one run, and which modules have a softmax over the last axis."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.running: list[nn.Module] = []
        self.found: list[_Product] = []
        self.with_softmax: set[int] = set()
        # What is made of weights alone, and of which; kept alive, so that an id never names two tensors.
        self._made_of: dict[int, tuple[Tensor, frozenset[int]]] = {
            id(weight): (weight, frozenset((id(weight),))) for weight in network.parameters()
        } | {id(table): (table, frozenset()) for table in network.buffers()}

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Follow the runs of the network meanwhile."""
        hooks: list[Any] = []
        for module in self.network.modules():
            hooks.append(module.register_forward_pre_hook(lambda module, _: self.running.append(module)))
            hooks.append(module.register_forward_hook(lambda module, _, output: self.running.pop() and None))
        try:
            with self:
                yield
        finally:
            for hook in hooks:
                hook.remove()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        packet = func._overloadpacket
        self._note_origin((*args, *kwargs.values()), output)
        if not self.running:
            return output
        if packet in SOFTMAX and args[1] in (-1, args[0].ndim - 1):
            of_module = isinstance(self.running[-1], nn.Softmax) and len(self.running) > 1
            self.with_softmax.add(id(self.running[-2 if of_module else -1]))
        macs = count_macs(packet, args, kwargs, output)
        if macs:
            factors = args[1:3] if packet in (aten.addmm, aten.baddbmm) else args[:2]
            origins = [self._weights_of(factor) for factor in factors]
            weights = frozenset().union(*(origin or () for origin in origins))
            fixed = not weights and any(origin is not None for origin in origins)
            transposed = packet is aten.convolution and args[6]
            self.found.append(_Product(self.running[-1], packet, transposed, weights, macs, fixed))
        return output

    def _note_origin(self, inputs: Iterable[Any], output: Any) -> None:
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        origins = [self._weights_of(tensor) for tensor in tensors]
        if origins and all(origin is not None for origin in origins):
            whole = frozenset().union(*(origin or () for origin in origins))
            for made in output if isinstance(output, list | tuple) else (output,):
                if isinstance(made, Tensor):
                    self._made_of[id(made)] = (made, whole)

    def _weights_of(self, value: Any) -> frozenset[int] | None:
        """Return the weights that a tensor is made of; None where an activation takes part."""
        known = self._made_of.get(id(value))
        return known[1] if known else None


# The differences


def _differences(statistics: torchinfo.ModelStatistics, products: _Products) -> tuple[CountDifference, ...]:
    """Return the reasons of the difference of both totals, the largest first."""
    theirs, sums = _counted_by_torchinfo(statistics.summary_list)
    ours: dict[tuple[int, int], list[_Product]] = defaultdict(list)
    for product in products.found:
        module = id(product.module)
        counted = [weight for weight in product.weights if theirs.get((module, weight))]
        if counted:
            ours[module, max(counted, key=lambda weight: theirs[module, weight])].append(product)
        elif product.weights or product.fixed:
            sums["fixed" if product.fixed else "direct"] += product.macs
        else:
            sums["attention" if _is_attention(product, products.with_softmax) else "products"] += product.macs
    with_products = {module for module, _ in ours}
    modules = {layer.layer_id: layer.module for layer in statistics.summary_list}
    for (module, weight), macs in theirs.items():
        found = ours.get((module, weight), [])
        extra = sum(product.macs for product in found) - macs
        if found:
            kind = _kind(found, modules[module], evenly=extra > 0 and extra % macs == 0)
        else:
            kind = _idle_kind(modules[module], weight, module in with_products)
        sums[kind] += extra
    ordered = sorted(sums.items(), key=lambda item: -abs(item[1]))
    return tuple(CountDifference(kind, macs) for kind, macs in ordered if macs)


def _counted_by_torchinfo(layers: Iterable[LayerInfo]) -> tuple[dict[tuple[int, int], int], Counter[str]]:
    """Return torchinfo's MACs by module and weight, and what cannot be told by weight.

    Its total is a sum over layers without parts; the shares of the weights follow ``LayerInfo.calculate_macs``.
    """
    shares: Counter[tuple[int, int]] = Counter()
    rest: Counter[str] = Counter()
    for layer in layers:
        if not layer.is_leaf_layer or not layer.macs:
            continue
        parts = {id(weight): _share(layer, name, weight) for name, weight in layer.module.named_parameters()}
        if sum(parts.values()) != layer.macs:
            rest[UNEXPLAINED] -= layer.macs
            continue
        shares.update({(layer.layer_id, weight): macs for weight, macs in parts.items()})
    return dict(shares), rest


def _share(layer: LayerInfo, name: str, weight: Tensor) -> int:
    size = layer.output_size
    if name in ("weight", "bias"):
        return weight.numel() * (prod(size[:1] + size[2:]) if "Conv" in layer.class_name else size[0])
    return weight.numel() * prod(size[:2]) if "weight" in name or "bias" in name else 0


def _is_attention(product: _Product, with_softmax: set[int]) -> bool:
    return "attention" in str(product.packet) or id(product.module) in with_softmax


def _kind(found: Sequence[_Product], module: nn.Module, evenly: bool) -> str:
    """Return why torchinfo counts another number for a weight that products use.

    ``evenly``: ours is a multiple of theirs, as it is where the whole weight is used for each token.
    """
    if not all(product.packet is aten.convolution for product in found):
        return "tokens" if evenly else UNEXPLAINED
    if all(product.transposed for product in found):
        return "transposed"
    return "places" if evenly and "Conv" not in type(module).__name__ else UNEXPLAINED


def _idle_kind(module: nn.Module, weight: int, has_products: bool) -> str:
    """Return what a weight is that torchinfo counts and no product uses."""
    name = next(name for name, held in module.named_parameters() if id(held) == weight)
    if has_products and "bias" in name:
        return "bias"
    return "normalisation" if "norm" in type(module).__name__.lower() else "scale"


# In words


def table_text(
    summary: TorchinfoSummary,
    depth: int = USUAL_DEPTH,
    columns: Sequence[str] = USUAL_COLUMNS,
    rows: Sequence[str] = USUAL_ROWS,
) -> str:
    """Return torchinfo's table with its totals. ``columns`` and ``rows`` are its ``col_names`` and ``row_settings``.

    The columns are as wide as the longest shape.
    """
    shapes = [
        str(shape) for layer in summary.statistics.summary_list for shape in (layer.input_size, layer.output_size)
    ]
    width = max(NARROWEST, *map(len, shapes))
    formatting = FormattingOptions(depth, 0, tuple(map(ColumnSettings, columns)), width, set(map(RowSettings, rows)))
    statistics = copy.copy(summary.statistics)
    statistics.formatting = formatting
    formatting.set_layer_name_width([layer for layer in statistics.summary_list if layer.depth <= depth])
    text = str(statistics)
    for unit in Units:  # from Python 3.11 on, torchinfo 1.8.0 prints "(Units.MEGABYTES)"
        text = text.replace(f"({unit})", f"({unit.value})")
    return text


def parse_columns(text: str | None) -> tuple[str, ...]:
    """Turn "output_size,num_params" into its parts, the usual ones for None; UsageError for one that torchinfo lacks."""
    if text is None:
        return USUAL_COLUMNS
    columns = tuple(part.strip() for part in text.split(","))
    for column in columns:
        if column not in COLUMNS:
            raise UsageError("--torchinfo-columns", column, f"is unknown; {nearest(column, COLUMNS)}")
    return columns


def explanation(summary: TorchinfoSummary) -> list[str]:
    """Return how torchinfo's totals compare with ours: a sentence on the MACs, and one on the parameters where
    they differ.
    """
    return [_about_macs(summary), *_about_parameters(summary)]


def _about_macs(summary: TorchinfoSummary) -> str:
    theirs, ours = quantity(summary.statistics.total_mult_adds), quantity(summary.macs)
    if not summary.differences:
        return f"{ours} MACs; torchinfo counts the same."
    parts = [
        f"{REASONS[part.kind]} ({quantity(abs(part.macs))} {'less' if part.macs > 0 else 'more'})"
        for part in summary.differences
        if part.kind in REASONS
    ]
    unknown = sum(part.macs for part in summary.differences if part.kind == UNEXPLAINED)
    if unknown:
        parts.append(f"{quantity(abs(unknown))} of our {ours} are not explained")
    return f"{ours} MACs; torchinfo counts {theirs}: {', '.join(parts)}."


def _about_parameters(summary: TorchinfoSummary) -> list[str]:
    theirs, ours, repeated = summary.statistics.total_params, summary.parameters, summary.repeated
    if theirs == ours:
        return []
    parts = [f"{repeated:,} shared ones for each layer that has them"] if repeated else []
    unknown = theirs - ours - repeated
    if unknown:
        parts.append(f"{abs(unknown):,} are not explained")
    return [f"{counted(ours, 'parameter')}; torchinfo counts {theirs:,}: {', '.join(parts)}."]
