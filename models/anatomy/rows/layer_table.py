"""The anatomy of a network: a tree of stages, blocks, layers and operations with shapes, MACs and receptive fields.

Plain data, ready for JSON; computed on the meta device from one run (``trace``), never on the network in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from ....errors import UsageError
from ..axes.factors import Axes
from ..axes.layout import Layout, shuffles, summary
from ..counting import on_meta
from ..forward.untouched import copied, random_state_kept
from .trace import Node, trace
from .weight_ledger import RowWeights, WeightLedger

SCHEMA = 1


@dataclass(frozen=True)
class Layer:
    """One row of the layer table.

    ``name``: qualified name of the module ("" is the network; an operation carries the name of the module it runs in).
    ``kind``: "module" or "operation" (a sum of branches, a concatenation, a product, a matrix product of attention).
    Shapes keep the batch axis. ``parameters`` and ``macs`` include what is below. ``output_bytes``: size of the output.
    ``receptive_field``: image pixels a side along paths without a global operation, None where there is none or where
    ``field_unknown`` says why it cannot be told; ``is_global``: some path reaches every place. ``depth``: layers with
    weights on the longest path from the image, gates left out. ``executed`` is False for parts that do not run in eval
    mode (auxiliary heads).
    ``times``: how many equal neighbours this row stands for after folding. ``failed``: the run broke off here.

    ``parameters`` are all values of the row's weights, those that are used twice once; ``frozen`` of them do not learn,
    and ``shared`` of them belong to an earlier row too, ``weights_of``, and are counted there: the whole is the sum of
    what each row has of its own.

    ``id``: number of the row, unique in its tree, 0 for the network, -1 for what did not run. ``reads``: for each input
    the id of the row that made it: one of the same level, or the row around for what came in from outside; None for what
    is made of weights alone. ``outputs``: the shapes of all outputs, where there is more than one. ``returned``: the row
    around hands on what this one makes. ``layout`` and ``layout_in``: what the axes of the output and of the first input
    mean. ``runs``: of a part that did not run in eval mode, "training" where it runs in training, "never" where not.

    ``origin``: the Python module of the class. ``base``: the layer of torch.nn that it is or is derived from.

    A folded row has the id and the reads of the first of its neighbours. Each of the others reads the one before it where
    the first reads (``in_turn``), or they all read the same. Who reads any of them reads the folded row.
    """

    name: str
    kind: str
    type: str
    inputs: tuple[tuple[int, ...], ...]
    output: tuple[int, ...]
    parameters: int
    macs: int
    output_bytes: int
    receptive_field: int | None
    is_global: bool
    depth: int
    settings: dict[str, Any]
    executed: bool
    times: int
    children: tuple[Layer, ...]
    frozen: int = 0
    shared: int = 0
    weights_of: str = ""
    failed: bool = False
    id: int = -1
    reads: tuple[int | None, ...] = ()
    outputs: tuple[tuple[int, ...], ...] = ()
    returned: bool = False
    layout: Layout | None = None
    layout_in: Layout | None = None
    runs: str = ""
    in_turn: bool = False
    origin: str = ""
    base: str = ""
    field_unknown: str = ""

    @property
    def trainable(self) -> int:
        """How many of the parameters learn."""
        return self.parameters - self.frozen

    @property
    def own_parameters(self) -> int:
        """The parameters without those that an earlier row has counted."""
        return self.parameters - self.shared

    @property
    def short_name(self) -> str:
        """The last part of the qualified name."""
        return self.name.rsplit(".", 1)[-1]

    @property
    def changes_size(self) -> bool:
        """Whether the output differs in shape from the first input."""
        return not self.inputs or self.inputs[0] != self.output

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Layer]]:
        """Yield this row and all below it, with their depths, in order of execution."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


def layer_settings(module: nn.Module) -> dict[str, Any]:
    """Return the kernel, stride, padding, dilation, groups and the like of one layer, as far as it has them."""
    names = (
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "num_heads",
        "num_groups",
        "normalized_shape",
        "p",
        "rate",
        "pattern",
    )
    found = {}
    for name in names:
        value = getattr(module, name, None)
        if isinstance(value, torch.Size):
            value = tuple(value)
        if isinstance(value, int | float | str | tuple) and not isinstance(value, bool):
            found[name] = value
    if "bias" in module._parameters:
        found["bias"] = module.bias is not None
    if isinstance(module, nn.MultiheadAttention):
        found["batch_first"] = module.batch_first
    return found


def analyse(network: nn.Module, shape: tuple[int, ...], batch: int = 1) -> Layer:
    """Return the layer tree of any network for an image of ``shape`` (C, H, W), or a clip (C, T, H, W).

    The network may be on any device and in any mode. A copy of it on the meta device is run, so it stays as it was, and
    so does everything random. A network that needs real values (``if x.mean() > 0``) is run on seeded random ones, on
    the CPU. Raises whatever the network raises; see ``external.anatomy_of`` for readable errors.
    """
    dtype = next((weight.dtype for weight in network.parameters() if weight.is_floating_point()), torch.float32)
    with random_state_kept():
        try:
            with torch.device("meta"):
                return analyse_run(copied(network, "meta").eval(), torch.empty((batch, *shape), dtype=dtype))
        except UsageError:
            raise
        except (Exception, SystemExit) as error:
            if any(is_lazy(weight) for weight in network.parameters()):
                raise
            try:
                torch.manual_seed(0)
                return analyse_run(copied(network, "cpu").eval(), torch.rand((batch, *shape), dtype=dtype))
            except (Exception, SystemExit):
                raise error from None


def analyse_on_meta(network: nn.Module, shape: tuple[int, ...], batch: int = 1) -> Layer:
    """Return the layer tree of a network that was made on the meta device for this purpose; its mode is changed."""
    return analyse_run(network.eval(), torch.empty((batch, *shape), device="meta"))


def analyse_run(network: nn.Module, *inputs: torch.Tensor | list[torch.Tensor]) -> Layer:
    """Return the layer tree of one run on the inputs given; a detector takes a list of images and real values."""
    return _with_idle_told(tree_of(trace(network, *inputs), network), network, inputs)


def _with_idle_told(tree: Layer, network: nn.Module, inputs: tuple[torch.Tensor | list[torch.Tensor], ...]) -> Layer:
    """Return the tree with the word for each part that did not run: whether it runs in training. What has no parameters
    and never runs is left out.
    """
    idle = {row.name for _, row in tree.walk() if not row.executed}
    if not idle:
        return tree
    ran = _ran_in_training(network, inputs, idle)
    if ran is None:
        return tree

    def told(row: Layer) -> Layer:
        if not row.executed:
            return replace(row, runs="training" if row.name in ran else "never")
        if not row.children:
            return row
        children = tuple(told(child) for child in row.children)
        return replace(row, children=tuple(c for c in children if c.runs != "never" or c.parameters))

    return told(tree)


def _ran_in_training(
    network: nn.Module, inputs: tuple[torch.Tensor | list[torch.Tensor], ...], names: set[str]
) -> set[str] | None:
    """Return which of the modules run in training mode, None where the network cannot be run like that."""
    tensors = [one for one in inputs if isinstance(one, torch.Tensor)]
    if len(tensors) < len(inputs):
        return None
    ran: set[str] = set()
    hooks = [
        module.register_forward_pre_hook(lambda module, args, name=name: ran.add(name))
        for name, module in network.named_modules()
        if name in names
    ]
    try:
        with random_state_kept(), torch.no_grad():
            network.train()(*(torch.cat((one, one)) for one in tensors))
    except Exception:  # it may want targets, or refuse this image in training: nothing is known then
        return None
    finally:
        network.eval()
        for hook in hooks:
            hook.remove()
    return ran


def tree_of(root: Node, network: nn.Module) -> Layer:
    """Return the layer tree of a run that was recorded, also of one that broke off."""
    return _layer(root, network, root.used, WeightLedger())


def _layer(node: Node, network: nn.Module, used: set[int], ledger: WeightLedger) -> Layer:
    module = node.module
    weights = ledger.look_up(module) if module is not None else RowWeights()
    children = [_layer(child, network, used, ledger) for child in node.children]
    if module is not None and module._modules:
        ran = {child.name for child in node.children if child.is_module}
        prefix = f"{node.name}." if node.name else ""
        children += [
            _idle(f"{prefix}{name}", child, ledger)
            for name, child in module.named_children()
            if f"{prefix}{name}" not in ran and not any(id(weight) in used for weight in child.parameters())
        ]
    if module is not None:
        ledger.enter(node.name, module)
    receptive_field = node.receptive_field
    return Layer(
        name=node.name,
        kind="module" if node.is_module else "operation",
        type=node.type,
        inputs=node.inputs,
        output=node.output,
        parameters=weights.parameters,
        macs=node.macs,
        output_bytes=node.output_bytes,
        receptive_field=None if receptive_field is None else receptive_field.size,
        is_global=receptive_field is not None and receptive_field.is_global,
        depth=0 if receptive_field is None else receptive_field.depth,
        settings=_settings(node, module),
        executed=True,
        times=1,
        children=tuple(children),
        frozen=weights.frozen,
        shared=weights.shared,
        weights_of=weights.weights_of,
        id=node.number,
        reads=tuple(None if source is None else source.number for source in node.reads),
        outputs=node.outputs if len(node.outputs) > 1 else (),
        returned=node.returned,
        layout=_meaning(node.layouts[1]),
        layout_in=_meaning(node.layouts[0]),
        origin=origin_of(module) if module is not None else "",
        base=base_of(type(module)) if module is not None else "",
        field_unknown="" if receptive_field is None else receptive_field.unknown,
    )


def _settings(node: Node, module: nn.Module | None) -> dict[str, Any]:
    if module is not None:
        return layer_settings(module)
    if node.is_layout and shuffles(*node.layouts):
        return {**node.settings, "shuffles": "channels"}
    return dict(node.settings)


def _meaning(axes: Axes | None) -> Layout | None:
    return None if axes is None else summary(axes)


PACKAGE = __name__.rsplit(".", 3)[0] + "."


def origin_of(module: nn.Module) -> str:
    """Return the Python module of a layer's class; of the catalogue's own classes its last part: swin."""
    return type(module).__module__.removeprefix(PACKAGE)


@cache
def base_of(kind: type) -> str:
    """Return the layer of torch.nn that a class is or is derived from: Conv2d; "" where there is none."""
    for base in kind.__mro__:
        if base.__module__.startswith("torch.nn.modules") and base is not nn.Module:
            return base.__name__
    return ""


def _idle(name: str, module: nn.Module, ledger: WeightLedger) -> Layer:
    """Return a submodule that took no part in eval mode: an auxiliary head, say."""
    weights = ledger.look_up(module)
    ledger.enter(name, module)
    return Layer(
        name=name,
        kind="module",
        type=type(module).__name__,
        inputs=(),
        output=(),
        parameters=weights.parameters,
        macs=0,
        output_bytes=0,
        receptive_field=None,
        is_global=False,
        depth=0,
        settings=layer_settings(module),
        executed=False,
        times=1,
        children=(),
        frozen=weights.frozen,
        shared=weights.shared,
        weights_of=weights.weights_of,
    )


def _signature(layer: Layer, below: tuple) -> tuple:
    """Return what two neighbours must share to be folded into one row: everything but their names, reads and receptive
    fields; ``below`` are the signatures of their children.
    """
    settings = tuple((key, str(value)) for key, value in layer.settings.items() if key != "rate")
    return (
        layer.kind,
        layer.type,
        layer.inputs,
        layer.output,
        layer.parameters,
        layer.macs,
        settings,
        layer.executed,
        layer.frozen,
        layer.shared,
        below,
    )


def fold(layer: Layer) -> Layer:
    """Fold neighbouring equal blocks into one row with ``times``, which keeps the last one's receptive field.

    Parameters, work and output bytes of a folded row stay those of *one* block.
    """
    return _folded(layer)[0]


def _folded(layer: Layer) -> tuple[Layer, tuple]:
    children: list[Layer] = []
    signatures: list[tuple] = []
    now: dict[int, int] = {}  # the row that a folded one has become
    last = None
    for child in layer.children:
        folded, signature = _folded(child)
        if folded.reads and now:
            folded = replace(folded, reads=tuple(now.get(read, read) if read else read for read in folded.reads))
        first = children[-1] if children else None
        if first is not None and last is not None and folded.children and signatures[-1] == signature:
            in_turn = _reads_the_one_before(child, last, first)
            if in_turn is not None and (first.times == 1 or first.in_turn == in_turn):
                now[child.id] = first.id
                last = child
                children[-1] = replace(
                    first,
                    times=first.times + 1,
                    receptive_field=child.receptive_field,
                    is_global=child.is_global,
                    depth=child.depth,
                    returned=first.returned or child.returned,
                    in_turn=in_turn,
                )
                continue
        last = child
        children.append(folded)
        signatures.append(signature)
    return (replace(layer, children=tuple(children)) if layer.children else layer), _signature(layer, tuple(signatures))


def _reads_the_one_before(row: Layer, before: Layer, first: Layer) -> bool | None:
    """Return True where ``row`` reads its neighbour in the place of what that one read, False where both read the same,
    None where they cannot be one row.
    """
    if row.reads == before.reads:
        return False
    pairs = zip(row.reads, before.reads, strict=True)
    return True if all(now in (before.id, was) for now, was in pairs) else None


def prune(layer: Layer, keep: Callable[[Layer], bool]) -> Layer:
    """Return the tree without leaves that ``keep`` rejects; a row with surviving children survives."""
    children = tuple(prune(child, keep) for child in layer.children)
    return replace(layer, children=tuple(c for c in children if c.children or keep(c)))


JOINS = ("+", "×", "concat", "matmul", "einsum", "attention")


def as_in_schema_1(layer: Layer) -> Layer:
    """Return the tree with the operations alone that schema 1 of the JSON has: what joins two tensors, and patterns."""
    children = tuple(as_in_schema_1(child) for child in layer.children if child.kind == "module" or _joins(child))
    return replace(layer, children=children)


def _joins(row: Layer) -> bool:
    return (row.type in JOINS and len(row.inputs) > 1) or (row.type == "rearrange" and "pattern" in row.settings)


def cut(layer: Layer, depth: int) -> Layer:
    """Return the tree down to ``depth`` levels below this row."""
    if depth <= 0:
        return replace(layer, children=())
    return replace(layer, children=tuple(cut(child, depth - 1) for child in layer.children))


def as_dict(layer: Layer) -> dict[str, Any]:
    """Return the tree as JSON-able data."""
    below = [as_dict(child) for child in layer.children]
    own = asdict(replace(layer, children=()))
    return {**own, "children": below, "trainable": layer.trainable}


def from_dict(data: dict[str, Any]) -> Layer:
    """Return the inverse of ``as_dict`` after a way through JSON."""
    layouts = {
        key: Layout(**{**data[key], "axes": tuple(data[key]["axes"])})
        for key in ("layout", "layout_in")
        if data.get(key) is not None
    }
    return Layer(
        **{
            **{name: value for name, value in data.items() if name != "trainable"},
            **layouts,
            "inputs": tuple(tuple(shape) for shape in data["inputs"]),
            "output": tuple(data["output"]),
            "outputs": tuple(tuple(shape) for shape in data.get("outputs", ())),
            "reads": tuple(data.get("reads", ())),
            "children": tuple(from_dict(child) for child in data["children"]),
        }
    )


def analyse_variant(name: str, stem: str | None = None, batch: int = 1, **arguments: Any) -> Layer:
    """Return the layer tree of a catalogue network; ``arguments`` as for ``registry.build``."""
    from ...catalogue import registry

    variant = registry.find(name)
    channels = arguments.get("in_channels") or variant.counts(stem).input[0]
    size = arguments.get("image_size") or variant.counts(stem).input[1]
    network = on_meta(lambda: registry.build(name, stem=stem, **arguments))
    return analyse_on_meta(network, (channels, size, size), batch)
