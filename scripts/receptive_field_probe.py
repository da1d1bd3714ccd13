"""Hold the receptive fields that the layer tables tell against the support of the gradient, stage by stage.

usage: python scripts/receptive_field_probe.py [--catalogue] [--torchvision] [--timm] [--highest PIXELS] [--seconds N]
           [--out FILE] [NAME ...]

Without arguments all variants of the catalogue. --torchvision takes torchvision's classification networks, --timm a
sample of timm's over all kinds; NAME may also be "torchvision:NAME" or "timm:NAME".

The field of a stage agrees where it is the number of image rows that a place in the middle depends on, gates held
constant, on an image high enough to hold it (at most --highest pixels). "Global" agrees where a place depends on all of
the image at the size of the table, and on more than its field on the high image; "global along the width" where it
depends on all columns and not on all rows. States: "agrees"; "global agrees", where no field can be held against the
gradient, since no place is left or attention cannot be held constant; "exception", with a reason; "beyond": the field is
larger than the image; "differs". The exit code is 1 where a network differs or cannot be probed.

--out appends a JSON line for each network: name, word ("agree", "differ", "not probed"), reason, seconds and all verdicts.
Networks that were probed according to that file are not probed again, so a run that was stopped goes on where it ended.
--seconds gives up on a network after that much time on the processor.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from cnn_explorer.models import nat
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.outside import external, traced
from cnn_explorer.models.anatomy.rows import layer_table
from cnn_explorer.models.anatomy.rows.layer import Layer
from cnn_explorer.models.catalogue import registry
from cnn_explorer.models.swin import SwinTransformer, WindowAttention
from cnn_explorer.models.swin_v2 import ScaledCosineAttention
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.gradient_probe import (  # pyright: ignore[reportMissingImports]  the path of the tests
    Positive,
    constant,
    outputs_of,
    touched,
    without_memory,
)

Size = tuple[int, int]
WIDTH = 32
WIDER = {"inception_v3": 128, "xception": 64, "alexnet": 96}
FIXED = {"vit", "mixer", "gmlp", "resmlp", "capsnet", "cnn_lstm"}
"""Families that are probed at the size of the table, where all that is local fits into the image."""
SQUARE = {"channel_boosted_cnn"}
"""Families that enlarge a map to a square."""
NEIGHBOURS = {"nat", "dinat"}
PLACES = {"channel_boosted_cnn": 4, "mobilevit_v2": 2}
"""How many places in a row are probed where neighbours do not see equally far."""
OUTSIDE_WIDTH, OUTSIDE_PLACES, OUTSIDE_ROWS = 128, 4, 8

TABLE_SIDES = {"timm:ghostnetv2_100": 256}
"""Networks whose table is made for another side than the usual one. GhostNetV2 makes its gates on a map of half the side,
and 7 rows have no half: how the gate of 3 lies on them has no counterpart on a larger image."""

EXCEPTIONS = {
    ("cnn_lstm", "frames"): "an image is cut into strips; the field is told as inside a strip without a border",
    ("cnn_lstm_patches", "frames"): "an image is cut into patches; the field is told as inside one without a border",
}
"""Variant and stage whose field is not compared, and why."""

TIMM = {
    "convolutions": (
        "resnet26d", "seresnet50", "ecaresnet26t", "resnest14d", "skresnet18", "res2net50_26w_4s", "regnetx_002",
        "regnety_002", "densenet121", "dla34", "dpn48b", "hrnet_w18_small", "vgg11_bn", "vovnet39a", "ese_vovnet19b_dw",
        "cspresnet50", "cspdarknet53", "darknet53", "selecsls42", "repvgg_a0", "mobileone_s0", "hardcorenas_a",
        "mnasnet_050", "mobilenetv2_050", "mobilenetv3_small_050", "fbnetc_100", "efficientnet_b0", "efficientnetv2_rw_t",
        "tinynet_e", "ghostnet_100", "ghostnetv2_100", "lcnet_050", "hgnet_tiny", "xception41", "inception_v4",
        "inception_resnet_v2", "rexnet_100", "nfnet_l0", "convnext_atto", "convnextv2_atto", "inception_next_tiny",
        "mambaout_femto", "starnet_s1", "fasternet_t0", "repghostnet_050", "mobilenetv4_conv_small",
    ),
    "windows": (
        "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "maxvit_rmlp_pico_rw_256", "coatnet_nano_rw_224",
        "nest_tiny", "twins_svt_small", "hiera_tiny_224", "davit_tiny",
    ),
    "neighbourhood and convolutional attention": (
        "halonet26t", "lambda_resnet26t", "botnet26t_256", "focalnet_tiny_srf", "volo_d1_224"
    ),
    "attention of all": (
        "vit_tiny_patch16_224", "deit3_small_patch16_224", "cait_xxs24_224", "pvt_v2_b0", "xcit_nano_12_p16_224",
        "levit_128s", "efficientformer_l1", "edgenext_xx_small", "mobilevit_xxs", "mobilevitv2_050", "fastvit_t8",
        "coat_tiny", "convit_tiny", "crossvit_tiny_240", "tnt_s_legacy_patch16_224", "visformer_tiny", "pit_ti_224",
        "gcvit_xxtiny", "repvit_m0_9", "efficientvit_b0", "mvitv2_tiny", "beit_base_patch16_224",
    ),
    "mixers": ("mixer_s32_224", "gmixer_12_224", "resmlp_12_224", "gmlp_ti16_224", "convmixer_768_32", "sequencer2d_s"),
    "poolformers": ("poolformer_s12", "poolformerv2_s12", "caformer_s18", "convformer_s18"),
}  # fmt: skip


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
    least width of a high image on which no window is narrower than at the usual size.
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


def told(layer: Layer) -> str:
    """Return field and reach as the table words them."""
    along = f" global along the {layer.global_along}" if layer.global_along else ""
    return f"{layer.receptive_field}{' global' if layer.is_global else along}"


# Networks of the catalogue


def catalogue_network(name: str) -> Probed:
    family = registry.find(name).family
    tree = layer_table.analyse_variant(name)
    made = counting.on_meta(lambda: registry.build(name))
    declared: Any = made.declaration
    stages = [layer for stage in declared.stages for layer in stage.layers[-1:]]
    rows = {layer.name: layer for _, layer in tree.walk() if layer.name in stages and layer.kind == "module"}
    usual = registry.find(name).counts(None).input[1:]
    sides = {layer.name: layer.inputs[0][1] for _, layer in tree.walk() if layer.type in ATTENTIONS}
    windows = {attention: _window(made.get_submodule(attention)) for attention in sides}
    covered = [attention for attention, side in sides.items() if windows[attention] >= side]
    shrinking = [a for a in sides if a not in covered and isinstance(made.get_submodule(a), ScaledCosineAttention)]
    width = max([windows[a] * usual[0] // sides[a] for a in shrinking], default=WIDER.get(family, WIDTH))

    def build(size: Size) -> nn.Module:
        side = None if family in FIXED or family in NEIGHBOURS else size[0]
        if family in NEIGHBOURS:  # their tables of indices are read
            return _with_neighbours(without_memory(registry.build(name)), usual[0], size)
        with narrow_windows():
            return without_memory(counting.on_meta(lambda: registry.build(name, image_size=side)))

    places = max(windows.values(), default=PLACES.get(family, 1))
    there = [row for row in rows.values() if row.receptive_field is not None]
    return Probed(
        name, registry.find(name).counts(None).input[0], (usual[0], usual[1]), there, build, family,
        1 if family in NEIGHBOURS else places, covered, max(width, WIDTH),
    )  # fmt: skip


@contextmanager
def narrow_windows() -> Iterator[None]:
    """Build Swins with one channel a head: a place sees as far, in a small part of the time and memory."""
    built = SwinTransformer.__init__

    def init(self: SwinTransformer, size: Any, **options: Any) -> None:
        built(self, replace(size, width=size.heads[0]), **options)

    with mock.patch.object(SwinTransformer, "__init__", init):
        yield


ATTENTIONS = ("WindowAttention", "ScaledCosineAttention", "NeighbourhoodAttention")


def _window(module: nn.Module) -> int:
    """Return the side of the windows or neighbourhoods of one attention, 0 where neighbours are not adjacent."""
    if isinstance(module, WindowAttention):
        return module.window
    assert isinstance(module, nat.NeighbourhoodAttention)
    return module.kernel_size if module.dilation == 1 else 0


def _with_neighbours(network: nn.Module, usual: int, size: Size) -> nn.Module:
    """Let the neighbourhoods of a network keep their distances on an image of another size."""
    network.image_size = mock.ANY  # pyright: ignore[reportAttributeAccessIssue]  it takes squares alone otherwise
    for module in network.modules():
        if isinstance(module, nat.NeighbourhoodAttention):
            side = round(module.index.numel() ** 0.5) // module.kernel_size
            rows, columns = (length * side // usual for length in size)
            down = nat.neighbours(rows, module.kernel_size, module.dilation)
            if columns < side:  # rows are counted: on a narrow image each column is its own neighbour
                across = torch.arange(columns)[:, None].expand(-1, module.kernel_size)
            else:
                across = nat.neighbours(columns, module.kernel_size, module.dilation)
            module.index = (down[:, None, :, None] * columns + across[None, :, None, :]).flatten()
            module.steps = torch.zeros_like(module.index)
    return network


# Networks of others


def outside_network(name: str) -> Probed:
    spec = external.network_spec(name, image_size=TABLE_SIDES.get(name))
    tree = external.anatomy_of(spec)
    made = traced.built(name, spec.make)
    windows = {name: _window_of(module) for name, module in made.named_modules()}

    def build(size: Size) -> nn.Module:
        return without_memory(_for_size(spec, size))

    channels, *usual = spec.shape
    times = Counter(layer.name for _, layer in tree.walk() if layer.kind == "module")
    rows = [r for depth, r in tree.walk() if depth in (1, 2, 3) and has_places(r) and times[r.name] == 1]
    rows = spread(rows)
    rows += [layer for layer in tree.children[-1:] if layer.kind == "module" and layer.receptive_field is not None]
    return Probed(
        name, channels, (usual[0], usual[1]), rows, build,
        places=max(OUTSIDE_PLACES, *windows.values()), covered=_covered(tree, windows),
    )  # fmt: skip


def _window_of(module: nn.Module) -> int:
    """Return the side of the windows in which a module attends, under the names that others give it; 0 without any."""
    side = getattr(module, "window_size", 0) or getattr(module, "ws", 0)
    return max(side) if isinstance(side, tuple | list) else side or 0


def _covered(tree: Layer, windows: dict[str, int]) -> list[str]:
    """Return the innermost modules whose window is all of the map: on a larger image it would be a part."""
    found = []
    for _, layer in tree.walk():
        side = windows.get(layer.name, 0) if layer.kind == "module" else 0
        rows = layer.layout.rows if layer.layout else None
        inner = any(windows[name] for name in windows if name.startswith(f"{layer.name}."))
        if side and rows and rows <= side and not inner:
            found.append(layer.name)
    return found


def _for_size(spec: external.NetworkSpec, size: Size) -> nn.Module:
    """Build a network for another size of the image, where it has a setting for that."""
    if size != spec.shape[1:] and spec.name.startswith("timm:"):
        import timm

        try:
            return counting.on_meta(
                lambda: timm.create_model(spec.name.partition(":")[2], pretrained=False, img_size=size)
            )
        except TypeError:
            pass
    return traced.built(spec.name, spec.make)


def has_places(layer: Layer) -> bool:
    """Return whether a row is a module with a map whose places can be found."""
    layout = layer.layout
    if not layer.executed or layer.kind != "module" or layer.receptive_field is None or layout is None:
        return False
    if "values" in layout.axes:  # a flattened map: its places are not where those of tokens are
        return False
    if layer.type.startswith("Adaptive"):  # on a larger image its windows are larger
        return False
    in_windows = layout.windows > 1 or layout.axes.count("rows") > 1
    return (layout.rows or 0) > 1 and not in_windows and "batch" in layout.axes


def spread(rows: list[Layer]) -> list[Layer]:
    """Return the last row of each field, and of these as many as are probed, evenly spread."""
    last = list({told(layer): layer for layer in rows}.values())
    step = max(1, -(-len(last) // OUTSIDE_ROWS))
    return last[::-1][::step][::-1]


# The probe


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


def verdicts(name: str, highest: int) -> list[ProbeVerdict]:
    """Return a verdict for each stage of a network."""
    probed = outside_network(name) if ":" in name else catalogue_network(name)
    at_home, _ = supports(probed, probed.usual, False)
    size = high_size(probed, highest)
    try:
        beside, has_held = supports(probed, size, True, covered=True)
        free = supports(probed, size, False)[0] if has_held else beside
    except (RuntimeError, IndexError, ValueError, AssertionError):
        if ":" not in name:
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
    if probed.family in FIXED:
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


def names_of(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the networks asked for, by their source."""
    sources = {"named": list(options.names)} if options.names else {}
    if options.catalogue or not (options.names or options.torchvision or options.timm):
        sources["catalogue"] = list(registry.variants())
    if options.torchvision:
        import torchvision.models as zoo

        sources["torchvision"] = [f"torchvision:{name}" for name in zoo.list_models(zoo)]
    if options.timm:
        sources |= {f"timm, {kind}": [f"timm:{name}" for name in names] for kind, names in TIMM.items()}
    return sources


@dataclass(frozen=True)
class Result:
    """What came of one network. ``word`` is "agree", "differ" or "not probed", the last with a reason."""

    name: str
    word: str
    reason: str
    seconds: float
    verdicts: list[ProbeVerdict]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*")
    for source in ("--catalogue", "--torchvision", "--timm"):
        parser.add_argument(source, action="store_true")
    parser.add_argument("--highest", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=0, help="give up on a network after this time on the processor")
    parser.add_argument("--out", type=Path, help="append a JSON line for each network, and skip those probed before")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    earlier = earlier_results(options.out)
    faults = 0
    for source, names in names_of(options).items():
        states: Counter[str] = Counter()
        networks: Counter[str] = Counter()
        for name in names:
            result = earlier.get(name) or probed(name, options.highest, options.seconds)
            if options.out and name not in earlier:
                with options.out.open("a") as file:
                    file.write(json.dumps(asdict(result), ensure_ascii=False) + "\n")
            networks[result.word] += 1
            faults += result.word != "agree"
            states.update(v.state for v in result.verdicts)
        print(f"{source}: {len(names)} networks, {dict(networks)}; stages: {dict(states)}", flush=True)
    return int(faults > 0)


def earlier_results(path: Path | None) -> dict[str, Result]:
    """Return the results of networks that were probed, as a file tells them."""
    lines = path.read_text().splitlines() if path and path.exists() else []
    told = [json.loads(line) for line in lines]
    results = [Result(**(one | {"verdicts": [ProbeVerdict(**v) for v in one["verdicts"]]})) for one in told]
    return {result.name: result for result in results if result.word != "not probed"}


def probed(name: str, highest: int, seconds: int = 0) -> Result:
    """Probe one network and print what is worth reading."""
    begun = time.perf_counter()
    try:
        with at_most(seconds):
            found = verdicts(name, highest)
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:160]}"
        print(f"{name}: not probed: {reason}", flush=True)
        return Result(name, "not probed", reason, round(time.perf_counter() - begun, 1), [])
    counted = Counter(v.state for v in found)
    took = round(time.perf_counter() - begun, 1)
    print(f"{name}: {dict(counted)} in {took} s", flush=True)
    for one in found:
        if one.state in ("differs", "exception"):
            print(f"    {one.stage}: told {one.told}, {one.state}: {one.found}", flush=True)
    return Result(name, "differ" if counted["differs"] else "agree", "", took, found)


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise TimeoutError after that many seconds on the processor, never where it is 0."""

    def give_up(signum: int, frame: Any) -> None:
        raise TimeoutError(f"takes longer than {seconds} s")

    earlier = signal.signal(signal.SIGPROF, give_up)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, earlier)


if __name__ == "__main__":
    sys.exit(main())
