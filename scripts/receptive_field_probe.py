"""Hold the receptive fields that the layer tables tell against the support of the gradient, stage by stage.

usage: python scripts/receptive_field_probe.py [--catalogue] [--torchvision] [--timm] [--drawn COUNT]
           [--highest PIXELS] [--seconds N] [--out FILE] [NAME ...]

Without arguments all variants of the catalogue. --torchvision takes torchvision's classification networks, --timm a
sample of timm's over all kinds, --drawn so many of timm's as check_rows.py draws them; NAME may also be
"torchvision:NAME" or "timm:NAME".

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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import check_rows
import receptive_field_support
import torch
from cnn_explorer.models import nat
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.outside import external, traced
from cnn_explorer.models.anatomy.rows.layer import Layer
from cnn_explorer.models.catalogue import registry
from cnn_explorer.models.swin import SwinTransformer, WindowAttention
from cnn_explorer.models.swin_v2 import ScaledCosineAttention
from receptive_field_support import (
    FIXED,
    NEIGHBOURS,
    OUTSIDE_PLACES,
    WIDTH,
    Probed,
    ProbeVerdict,
    Size,
    has_places,
    told,
)
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.gradient_probe import without_memory  # pyright: ignore[reportMissingImports]  the path of the tests

WIDER = {"inception_v3": 128, "xception": 64, "alexnet": 96}
PLACES = {"channel_boosted_cnn": 4, "mobilevit_v2": 2}
"""How many places in a row are probed where neighbours do not see equally far."""
OUTSIDE_ROWS = 8

GROWING = {"timm:gcvit_xxtiny"}
"""Networks whose windows are a share of the image: GCViT has 7 places in a window at 224 pixels, 14 at 448."""

TABLE_SIDES = {"timm:ghostnetv2_": 256, "timm:ghostnetv3_": 256, "timm:efficientvit_m": 896}
"""Networks, by how their names begin, whose table is made for another side than the usual one. GhostNets make their gates
on a map of half the side, and 7 rows have no half: how the gate of 3 lies on them has no counterpart on a larger image.
The windows of EfficientViT are all of the map at 224 pixels; queries see further by convolutions inside the window, and
attention over all of the map cannot be held constant without them."""

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


# Networks of the catalogue


def catalogue_network(name: str) -> Probed:
    family = registry.find(name).family
    tree = external.anatomy_of(external.network_spec(name))
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
    side = next((side for start, side in TABLE_SIDES.items() if name.startswith(start)), None)
    spec = external.network_spec(name, image_size=side)
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
        places=max(OUTSIDE_PLACES, *windows.values()), covered=_covered(tree, windows), grows=name in GROWING,
    )  # fmt: skip


WINDOWS = ("window_size", "ws", "window_resolution")


def _window_of(module: nn.Module) -> int:
    """Return the side of the windows in which a module attends, under the names that others give it; 0 without any."""
    side = next((getattr(module, key, 0) for key in WINDOWS if getattr(module, key, 0)), 0)
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


def spread(rows: list[Layer]) -> list[Layer]:
    """Return the last row of each field, and of these as many as are probed, evenly spread."""
    last = list({told(layer): layer for layer in rows}.values())
    step = max(1, -(-len(last) // OUTSIDE_ROWS))
    return last[::-1][::step][::-1]


# The command


def verdicts(name: str, highest: int) -> list[ProbeVerdict]:
    """Return a verdict for each stage of a network, on images at most so many pixels high."""
    made = outside_network(name) if ":" in name else catalogue_network(name)
    return receptive_field_support.verdicts(made, highest)


def names_of(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return the networks asked for, by their source."""
    sources = {"named": list(options.names)} if options.names else {}
    if options.catalogue or not (options.names or options.torchvision or options.timm or options.drawn):
        sources["catalogue"] = list(registry.variants())
    if options.torchvision:
        import torchvision.models as zoo

        sources["torchvision"] = [f"torchvision:{name}" for name in zoo.list_models(zoo)]
    if options.timm:
        sources |= {f"timm, {kind}": [f"timm:{name}" for name in names] for kind, names in TIMM.items()}
    if options.drawn:
        sources["timm, drawn"] = check_rows.timm_names(options.drawn, 1, 200)
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
    parser.add_argument("--drawn", type=int, default=0, metavar="COUNT")
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
