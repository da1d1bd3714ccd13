"""The tensor walk, the arithmetic of one pixel, and the formulas with live numbers: all against the network itself."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from cnn_explorer.models.anatomy import counting, server
from cnn_explorer.models.anatomy.rows import folding
from cnn_explorer.models.anatomy.rows.layer import Layer
from cnn_explorer.models.anatomy.words import formulas, walk
from cnn_explorer.models.catalogue import registry
from support.anatomy import analyse, analyse_variant
from torch import nn


def test_a_walk_hands_shapes_on_without_a_gap() -> None:
    steps = walk.steps(folding.fold(analyse_variant("resnet18")))
    assert [step.name for step in steps] == ["stem", "stage1", "stage2", "stage3", "stage4", "pool", "head"]
    for before, after in itertools.pairwise(steps):
        assert before.after == after.before
    assert steps[0].before == (3, 224, 224) and steps[-1].after == (1000,)
    assert "56 → 28" in steps[2].phrase and "64 → 128" in steps[2].phrase


def test_every_step_of_every_family_has_a_phrase() -> None:
    for family in registry.families():
        name = min(family.variants, key=lambda variant: variant.paper_stem.macs).name
        for _, layer in analyse_variant(name).walk():
            assert walk.phrase(layer)


def test_depthwise_and_pointwise_are_told_apart() -> None:
    class Pair(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 16, 1), nn.Conv2d(16, 16, 3, groups=4))

    steps = walk.steps(analyse(counting.on_meta(Pair), (8, 12, 12)))
    assert "each channel alone" in steps[0].phrase
    assert "mixes the channels of each pixel" in steps[1].phrase
    assert "4 groups" in steps[2].phrase


@pytest.mark.parametrize(
    ("stride", "words"), [(1, ""), (2, ", every second pixel"), (3, ", every third pixel"), (4, ", every 4th pixel")]
)
def test_the_stride_is_told_as_the_ordinal_of_the_pixels(stride: int, words: str) -> None:
    def network() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 8, 3, stride=stride, padding=1), nn.MaxPool2d(2, 2))

    convolution, pool = walk.steps(analyse(counting.on_meta(network), (3, 24, 24)))
    assert convolution.phrase == f"looks through a 3×3 window, 3 → 8 channels{words}"
    assert pool.phrase == "keeps the maximum of each 2×2 window, every second pixel"


def test_einops_patterns_stand_where_they_act() -> None:
    rows = [layer for _, layer in analyse_variant("vit_tiny_16").walk() if layer.type == "rearrange"]
    assert rows[0].name.startswith("stem") and rows[0].output == (1, 196, 192)
    assert "row column" in rows[0].settings["pattern"]
    assert any("heads" in row.settings["pattern"] for row in rows)


def test_a_learned_table_is_not_called_a_branch() -> None:
    phrases = [walk.phrase(layer) for _, layer in analyse_variant("vit_tiny_16").walk() if layer.type == "+"]
    assert phrases[0] == "adds a learned table" and set(phrases[1:]) == {"adds two branches"}


def test_the_helper_takes_one_value_apart_with_the_weights_of_a_run(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = registry.build("lenet5", num_classes=7)
    kept = {"schema": 1, "model": network.state_dict(), "mean": [0.2], "std": [0.4], "epoch": 3}
    torch.save(kept, tmp_path / "best.pt")
    name = next(name for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    image = [[(row * column) % 256 for column in range(28)] for row in range(28)]
    asked = {"network": "lenet5", "stem": "imagenet", "layer": name, "position": [1, 2, 3], "image": image}
    trained = server.pixel(**asked, weights=str(tmp_path / "best.pt"), num_classes=7)
    entering = (torch.tensor(image, dtype=torch.float32)[None, None] / 255 - 0.2) / 0.4
    expected = network.get_submodule(name)(entering)[0, 1, 2, 3].item()
    assert trained["total"] == pytest.approx(expected, abs=1e-5)
    assert server.pixel(**asked)["parts"][1] != trained["parts"][1], "without the run's weights others are drawn"

    for weights in network.parameters():
        weights.data.zero_()
    torch.save(kept, tmp_path / "best.pt")  # the run found better ones
    os.utime(tmp_path / "best.pt", ns=(1, 1))
    beside: dict[str, Any] = {**asked, "position": [1, 2, 4], "weights": str(tmp_path / "best.pt"), "num_classes": 7}
    assert server.pixel(**beside)["total"] == 0
    corner: dict[str, Any] = {**beside, "position": [0, 0, 0]}
    network_runs = server._built.cache_info().hits
    assert server.pixel(**corner)["position"] == [0, 0, 0]
    assert server._built.cache_info().hits == network_runs, "a neighbour needs no other run"


def leaves(name: str, **options) -> list[Layer]:
    return [layer for _, layer in analyse_variant(name, **options).walk() if not layer.children and layer.executed]


@pytest.mark.parametrize("name", ["resnet50", "googlenet", "mobilenet_v2_100", "vit_tiny_16", "lenet5"])
def test_formulas_give_what_the_layer_has(name: str) -> None:
    seen = 0
    for layer in leaves(name):
        for formula in formulas.formulas(layer):
            expected = {
                "output height": layer.output[2] if len(layer.output) == 4 else None,
                "output width": layer.output[3] if len(layer.output) == 4 else None,
                "parameters": layer.parameters,
                "MACs": layer.macs,
            }[formula.what]
            assert formula.value == expected, (layer.name, formula)
            seen += 1
    assert seen > 5


def test_the_numbers_in_a_formula_give_its_value() -> None:
    for layer in leaves("resnet18"):
        for formula in formulas.formulas(layer):
            text = formula.filled.replace("·", "*").replace("⌊", "(").replace("⌋", ")//1").replace("²", "**2")
            assert int(eval(text)) == formula.value, formula  # the text is our own arithmetic
