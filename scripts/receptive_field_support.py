"""How far the places of a network see by the support of the gradient, held against what its layer table tells.

receptive_field_probe.py makes the networks and prints what comes of them; its first lines define the states.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from cnn_explorer.models.anatomy.rows.layer import Layer
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.gradient_probe import (  # pyright: ignore[reportMissingImports]  the path of the tests
    Positive,
    constant,
    outputs_of,
    touched,
)

Size = tuple[int, int]
WIDTH = 32
FIXED = {"vit", "mixer", "gmlp", "resmlp", "capsnet", "cnn_lstm"}
"""Families that are probed at the size of the table, where all that is local fits into the image."""
SQUARE = {"channel_boosted_cnn"}
"""Families that enlarge a map to a square."""
NEIGHBOURS = {"nat", "dinat"}
OUTSIDE_WIDTH, OUTSIDE_PLACES = 128, 4

EXCEPTIONS = {
    ("cnn_lstm", "frames"): "an image is cut into strips; the field is told as inside a strip without a border",
    ("cnn_lstm_patches", "frames"): "an image is cut into patches; the field is told as inside one without a border",
    (
        "timm:gcvit_xxtiny",
        "stages.0.norm",
    ): "queries come from another part of the image than their window: the side of "
    "the larger part is told, and the gradient spans both",
}
"""Variant and stage whose field is not compared, and why."""


@dataclass(frozen=True)
class ProbeVerdict:
    """What the table told of a stage, what the gradient says or the reason why nothing is compared, and the state."""

    variant: str
    stage: str
    told: str
    found: str
    state: str


@dataclass
class Probed:
    """A network to be probed: ``build(size)`` makes it without memory for images of a size, ``usual`` is the table's.

    ``covered``: submodules that see all of the map at the usual size and only a part of a larger one. ``width``: the
    least width of a high image on which no window is narrower than at the usual size. ``grows``: its windows are a share
    of the image, so that no larger image tells of the usual one.
    """

    name: str
    channels: int
    usual: Size
    rows: list[Layer]
    build: Callable[[Size], nn.Module]
    family: str = ""
    places: int = 1
    covered: list[str] = field(default_factory=list)
    width: int = WIDTH
    grows: bool = False


def told(layer: Layer) -> str:
    """Return field and reach as the table words them."""
    along = f" global along the {layer.global_along}" if layer.global_along else ""
    return f"{layer.receptive_field}{' global' if layer.is_global else along}"


def has_places(layer: Layer) -> bool:
    """Return whether a row is a module with a map whose places can be found."""
    layout = layer.layout
    if not layer.executed or layer.kind != "module" or layer.receptive_field is None or layout is None:
        return False
    if "values" in layout.axes:  # a flattened map: its places are not where those of tokens are
        return False
    if layer.type.startswith("Adaptive"):  # on a larger image its windows are larger
        return False
    if layer.type in (
        "Unfold",
        "PixelUnshuffle",
    ):  # the table tells how far a value sees; its place holds several of them
        return False
    in_windows = layout.windows > 1 or layout.axes.count("rows") > 1
    return (layout.rows or 0) > 1 and not in_windows and "batch" in layout.axes


@dataclass(frozen=True)
class Support:
    """For one stage the rows and columns of the image that its places depend on, at most."""

    rows: int
    columns: int


def supports(probed: Probed, size: Size, held: bool, covered: bool = False) -> tuple[dict[str, Support], bool]:
    """Return how far each stage sees on an image of a size, and whether something was held constant."""
    network = probed.build(size)
    image = torch.ones(1, probed.channels, *size, dtype=torch.double, requires_grad=True)
    modules = dict(network.named_modules())
    mixing = [m for n, m in modules.items() if held and n.endswith("mix_tokens")]
    mixing += [modules[name] for name in probed.covered] if covered else []
    hooks = [module.register_forward_hook(lambda m, args, output: constant(output)) for module in mixing]
    names = [layer.name for layer in probed.rows]
    is_dense = probed.family == "densenet"
    with outputs_of(network, names) as outputs, Positive(held, detached_by(probed.family), is_dense) as mode:
        try:
            network(image)
        except (RuntimeError, IndexError, ValueError, AssertionError):  # the head does not fit; the stages have run
            if not outputs:
                raise
    for hook in hooks:
        hook.remove()
    found = {}
    for layer in probed.rows:
        if isinstance(outputs.get(layer.name), Tensor):
            boxes = [touched(values, image) for values in places(layer, outputs[layer.name], size, probed.places)]
            there = [box for box in boxes if box is not None]
            found[layer.name] = Support(
                max((bottom - top + 1 for top, bottom, _, _ in there), default=0),
                max((right - left + 1 for _, _, left, right in there), default=0),
            )
    return found, mode.has_held or bool(mixing)


def detached_by(family: str) -> Callable[[str, tuple, dict], bool]:
    def is_constant(called: str, args: tuple, kwargs: dict) -> bool:
        return family == "mobilevit_v2" and called == "sum" and bool(kwargs.get("keepdim"))

    return is_constant


def places(layer: Layer, output: Tensor, size: Size, count: int) -> list[Tensor]:
    """Return the values at some places in the middle of a stage's output, all channels of each; of all where none are."""
    layout = layer.layout
    assert layout is not None
    axes = layout.axes
    if not has_places(layer) or output.ndim != len(axes):
        return [output]
    if "rows" in axes and "columns" in axes:
        y, x = axes.index("rows"), axes.index("columns")
        middle, column = output.shape[y] // 2, output.shape[x] // 2
        found = [min(output.shape[y] - 1, middle + i) for i in range(count)]
        return [output.select(y, at).select(x - (x > y), column) for at in dict.fromkeys(found)]
    along = axes.index("tokens") if "tokens" in axes else 1
    tokens = output.shape[along] - layout.extra
    width = max(1, round((tokens * size[1] / size[0]) ** 0.5))
    middle, last = tokens // width // 2, tokens // width - 1
    rows = dict.fromkeys(min(last, middle + i) for i in range(count))
    return [output.select(along, layout.extra + row * width + width // 2) for row in rows]


def is_all(reached: int, side: int) -> bool:
    """Return whether a place sees the whole side, but for pixels at the border that strides leave out."""
    return reached >= side - side // 28


def verdicts(probed: Probed, highest: int) -> list[ProbeVerdict]:
    """Return a verdict for each stage of a network.

    A field need not lie around its place: layers that pad on one side alone move it. Where a stage differs, the image is
    twice as high.
    """
    at_home, _ = supports(probed, probed.usual, False)
    size = high_size(probed, highest)
    found = _verdicts(probed, size, at_home)
    if not probed.family and not probed.grows and any(one.state == "differs" for one in found):
        return _verdicts(probed, (min(highest, 2 * size[0]), size[1]), at_home)
    return found


def _verdicts(probed: Probed, size: Size, at_home: dict[str, Support]) -> list[ProbeVerdict]:
    try:
        beside, has_held = supports(probed, size, True, covered=True)
        free = supports(probed, size, False)[0] if has_held else beside
    except (RuntimeError, IndexError, ValueError, AssertionError):
        if probed.family:
            raise
        size = probed.usual
        beside, free = supports(probed, size, True)[0], at_home
    return [
        verdict(probed, layer, size, at_home[layer.name], beside.get(layer.name), free.get(layer.name))
        for layer in probed.rows
        if layer.name in at_home
    ]


def high_size(probed: Probed, highest: int) -> Size:
    """Return the size of an image that holds the largest field."""
    if probed.family in FIXED or probed.grows:
        return probed.usual
    local = [layer.receptive_field or 0 for layer in probed.rows]
    margin = 64 + 32 * (probed.places if probed.places > OUTSIDE_PLACES else 0)
    if not probed.family:
        side = probed.usual[0] if probed.places > OUTSIDE_PLACES else 64  # halved maps stay even to stride 32
        return (min(highest, -(-(max(local) + margin) // side) * side), max(side, OUTSIDE_WIDTH))
    high = max(min(highest, -(-(max(local) + margin) // 32) * 32), WIDTH)
    if probed.family in NEIGHBOURS:
        return (-(-high // probed.usual[0]) * probed.usual[0], WIDTH)
    return (high, high if probed.family in SQUARE else probed.width)


def verdict(
    probed: Probed, layer: Layer, size: Size, home: Support, beside: Support | None, free: Support | None
) -> ProbeVerdict:
    """Return whether field and reach of one stage are what the gradient says."""
    says = told(layer)
    rows, columns = is_all(home.rows, probed.usual[0]), is_all(home.columns, probed.usual[1])
    local = layer.receptive_field or 0
    if layer.is_global:
        extra = " global" if rows and columns else f" of {home.rows}×{home.columns}"
    elif layer.global_along:
        axis = "width" if columns and not rows else "height" if rows and not columns else "both"
        extra = f" global along the {axis}"
    elif size != probed.usual and free is not None and free.rows > local:
        extra = f" global, {free.rows} rows"
    else:
        extra = ""
    as_told = says == f"{local}{extra}"

    def result(found: str, state: str) -> ProbeVerdict:
        return ProbeVerdict(probed.name, layer.name, says, found, state if as_told else "differs")

    if reason := EXCEPTIONS.get((probed.name, layer.name)):
        return result(reason if as_told else extra, "exception")
    if not has_places(layer) or beside is None:
        return result(f"{local}{extra}", "global agrees")
    if local >= size[0] and probed.family not in FIXED:
        return result(f"{local}{extra}", "beyond")
    may_be_dense = not probed.family or probed.family in FIXED
    if layer.is_global and may_be_dense and (is_all(beside.rows, size[0]) or not beside.rows):
        return result(f"{local}{extra}", "global agrees")
    found = f"{beside.rows}{extra}"
    return ProbeVerdict(probed.name, layer.name, says, found, "agrees" if says == found else "differs")
