"""Hold the receptive fields that the layer tables tell against the support of the gradient, for each stage of a network.

usage: python scripts/receptive_field_probe.py [--highest PIXELS] [NAME ...]

Without names all variants of the catalogue. The image is as wide as need be and as high as the largest field (at most
--highest pixels): a stage agrees where the number of image rows that a place in the middle depends on is the field of the
table, gates held constant, and where all rows are reached without holding them if the table says "global", and no more
than the field otherwise. What cannot be held against the gradient is listed with the reason.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.rows import layer_table
from cnn_explorer.models.catalogue import registry
from cnn_explorer.models.dinat import DiNAT
from cnn_explorer.models.swin import WindowAttention
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.gradient_probe import (  # pyright: ignore[reportMissingImports]  the path of the tests
    Positive,
    outputs_of,
    touched,
    without_memory,
)

WIDTH = 32
WIDER = {"inception_v3": 128, "xception": 64, "alexnet": 96}
FIXED = {"vit", "mixer", "gmlp", "resmlp"}
"""Families whose patches are all that is local, so that the image they are built for is large enough."""
WINDOWS = {"channel_boosted_cnn": 4, "mobilevit_v2": 2}
"""How many places in a row are probed where neighbours do not see equally far."""
NEIGHBOURS = {"nat", "dinat"}

EXCEPTIONS = {
    (
        "swin",
        "stage4",
    ): "at the usual size one window covers the whole map, on the larger image of the probe it does not",
    (
        "swin_v2",
        "stage4",
    ): "at the usual size one window covers the whole map, on the larger image of the probe it does not",
    ("nat", "stage4"): "at the usual size one neighbourhood covers the whole map, on a larger image it does not",
    ("dinat", "stage2"): "the distance of neighbours follows from the size of the image",
    ("dinat", "stage3"): "the distance of neighbours follows from the size of the image",
    ("dinat", "stage4"): "the distance of neighbours follows from the size of the image",
    ("capsnet", "classes"): "routing by agreement divides by lengths; the gradient is no measure of it",
    ("capsnet", "decoder"): "the decoder draws the image from the capsule of one class",
    ("channel_boosted_cnn", "stage1"): "the network itself stops the gradient behind the booster",
    ("channel_boosted_cnn", "stage2"): "the network itself stops the gradient behind the booster",
    ("channel_boosted_cnn", "stage3"): "the network itself stops the gradient behind the booster",
    ("cnn_lstm", "frames"): "an image is cut into strips, whose border is real",
    ("cnn_lstm", "reader"): "an image is cut into strips, whose border is real",
}


@dataclass(frozen=True)
class Verdict:
    """``state`` is "agrees", "differs", "exception" or "beyond" (the field is larger than the largest image)."""

    variant: str
    stage: str
    told: str
    found: str
    state: str


def family_of(name: str) -> str:
    return registry.find(name).family


def network_for(name: str, family: str, size: int) -> nn.Module:
    """Build a network without memory; where tables of neighbours are read, with their values."""
    if family in NEIGHBOURS:
        usual, original = registry.find(name).counts(None).input[1], DiNAT.dilations
        with mock.patch.object(
            DiNAT, "dilations", lambda net, depth, side, kernel: original(net, depth, side * usual // size, kernel)
        ):
            return without_memory(registry.build(name, image_size=size))
    image_size = None if family in FIXED else size
    return without_memory(counting.on_meta(lambda: registry.build(name, image_size=image_size)))


def detached_by(family: str):
    def is_constant(called: str, args: tuple, kwargs: dict) -> bool:
        return family == "mobilevit_v2" and called == "sum" and bool(kwargs.get("keepdim"))

    return is_constant


def run(network: nn.Module, family: str, stages: list[str], size: tuple[int, int], held: bool):
    channels = registry.find(VARIANT[0]).counts(None).input[0]
    image = torch.ones(1, channels, *size, dtype=torch.double, requires_grad=True)
    mixing = [module for name, module in network.named_modules() if held and name.endswith("mix_tokens")]
    hooks = [module.register_forward_hook(lambda m, a, output: output.detach()) for module in mixing]
    with outputs_of(network, stages) as found, Positive(held, detached_by(family)) as mode:
        try:
            network(image)
        except (RuntimeError, IndexError, ValueError):  # the head does not fit; the stages have run
            if not found:
                raise
            if len(found) < len(stages) and size[1] < size[0] <= 512:
                return run(network, family, stages, (size[0], size[0]), held)
    for hook in hooks:
        hook.remove()
    return image, found, mode.has_held or bool(mixing)


VARIANT = [""]


def places(output: Tensor, network: nn.Module, rows: int, columns: int, count: int) -> list[Tensor]:
    """Return the values at some places in the middle of a stage's output, all channels of each."""
    declared: Any = network.declaration
    if output.ndim == 4:
        last = declared.feature_axes == "hwc"
        y, x = (1, 2) if last else (2, 3)
        middle, column = output.shape[y] // 2, output.shape[x] // 2
        found = [min(output.shape[y] - 1, middle + i) for i in range(count)]
        return [output.select(y, at).select(x - 1, column) for at in dict.fromkeys(found)]
    tokens = output.shape[1]
    prefix = tokens % 2 if declared.prefix_tokens else 0
    grid = tokens - prefix
    width = max(1, round((grid * columns / rows) ** 0.5))
    height = grid // width
    return [output[:, prefix + (height // 2) * width + width // 2]]


def window(network: nn.Module) -> int:
    """Return the side of a Swin's windows, after which the view of tokens repeats."""
    return next(module.window for module in network.modules() if isinstance(module, WindowAttention))


def verdicts(name: str, highest: int) -> list[Verdict]:
    VARIANT[0] = name
    family = family_of(name)
    tree = layer_table.analyse_variant(name)
    declared: Any = counting.on_meta(lambda: registry.build(name)).declaration
    stages = [layer for stage in declared.stages for layer in stage.layers[-1:]]
    rows = {layer.name: layer for _, layer in tree.walk() if layer.name in stages and layer.kind == "module"}
    told = [layer for name_, layer in rows.items() if layer.receptive_field is not None and len(layer.output) >= 3]
    largest = max((layer.receptive_field or 0 for layer in told), default=1)
    usual = registry.find(name).counts(None).input[1]
    highest = 320 if family in NEIGHBOURS else highest
    high = min(highest, -(-(largest + 64) // 32) * 32)
    size = (
        (usual, usual)
        if family in FIXED
        else (high, high)
        if family in NEIGHBOURS
        else (max(high, WIDTH), WIDER.get(family, WIDTH))
    )
    network = network_for(name, family, size[0])
    results = []
    stage_names = [layer.name for layer in told]
    image, held, has_held = run(network, family, stage_names, size, True)
    free_image, free, _ = run(network, family, stage_names, size, False) if has_held else (image, held, False)
    size = (int(image.shape[2]), int(image.shape[3]))
    for layer in told:
        if layer.name not in held:
            continue
        says = f"{layer.receptive_field}{' global' if layer.is_global else ''}"
        if reason := EXCEPTIONS.get((family, layer.name.split(".")[0])):
            results.append(Verdict(name, layer.name, says, reason, "exception"))
            continue
        if layer.output[-1] == 1 and len(layer.output) == 4:
            continue
        if (layer.receptive_field or 0) >= size[0] and family not in FIXED:
            results.append(Verdict(name, layer.name, says, "", "beyond"))
            continue
        count = window(network) if "swin" in family else WINDOWS.get(family, 1)
        seen = [touched(v, image) for v in places(held[layer.name], network, *size, count)]
        local = max((s[1] - s[0] + 1 for s in seen if s is not None), default=0)
        all_rows = touched(places(free[layer.name], network, *size, 1)[0], free_image)
        reached = 0 if all_rows is None else all_rows[1] - all_rows[0] + 1
        is_global = reached >= size[0] - 8 and size[0] - 8 > local
        found = f"{local}{' global' if is_global else ''}"
        results.append(Verdict(name, layer.name, says, found, "agrees" if says == found else "differs"))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--highest", type=int, default=5000)
    options = parser.parse_args()
    states: Counter[str] = Counter()
    agree = []
    for name in options.names or list(registry.variants()):
        begun = time.perf_counter()
        try:
            found = verdicts(name, options.highest)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", flush=True)
            states["failed"] += 1
            continue
        counted = Counter(v.state for v in found)
        states.update(counted)
        if not counted["differs"]:
            agree.append(name)
        print(f"{name}: {dict(counted)} in {time.perf_counter() - begun:.1f} s", flush=True)
        for verdict in found:
            if verdict.state == "differs":
                print(f"    {verdict.stage}: told {verdict.told}, found {verdict.found}", flush=True)
    print(f"{len(agree)} variants agree; stages: {dict(states)}")


if __name__ == "__main__":
    main()
