"""ResMLP against timm, and the facts that its note tells."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from cnn_explorer.models import resmlp
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn

TIMM = {
    "resmlp_s12": "resmlp_12_224",
    "resmlp_s24": "resmlp_24_224",
    "resmlp_s36": "resmlp_36_224",
    "resmlp_b24": "resmlp_big_24_224",
}


def theirs() -> nn.Module:
    return timm.create_model("resmlp_12_224", img_size=48, num_classes=10)


def ours() -> nn.Module:
    return registry.build("resmlp_s12", num_classes=10, image_size=48)


def test_same_function_as_timm() -> None:
    assert_same_function(ours(), theirs(), (3, 48, 48))


def _change_activation(network: Any) -> None:
    network.blocks[2].mix_channels.gelu = nn.ReLU()


def _forget_a_scale(network: Any) -> None:
    network.blocks[1].scale1.data.fill_(1.0)


def _add_an_activation_between_places(network: Any) -> None:
    network.blocks[0].mix_tokens = nn.Sequential(network.blocks[0].mix_tokens, nn.GELU())


@pytest.mark.parametrize("spoil", [_change_activation, _forget_a_scale, _add_an_activation_between_places])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_comparison_can_fail(ours(), theirs(), (3, 48, 48), spoil)


@pytest.mark.parametrize("name", TIMM)
def test_counts_are_those_of_timm_and_of_the_closed_form(name: str) -> None:
    network: Any = counting.on_meta(lambda: registry.build(name))
    reference = counting.on_meta(lambda: timm.create_model(TIMM[name]))
    count = counting.count(network, (3, 224, 224))
    assert count.parameters == counting.count_parameters(reference)
    assert count.macs == counting.module_macs(reference, (3, 224, 224))[""]
    width, depth = network.head.in_features, len(network.blocks)
    patch = network.stem.patch_size
    n = (224 // patch) ** 2
    # Work: the matrix over places for each channel, two matrices over channels for each place, patches, head.
    assert count.macs == depth * (n * n * width + n * 8 * width**2) + n * 3 * patch**2 * width + 1000 * width


def test_affine_merges_into_the_next_linear_layer() -> None:
    affine, linear = resmlp.Affine(6).double(), nn.Linear(6, 4).double()
    nn.init.normal_(affine.alpha)
    nn.init.normal_(affine.beta)
    merged = nn.Linear(6, 4).double()
    with torch.no_grad():
        merged.weight.copy_(linear.weight * affine.alpha)
        merged.bias.copy_(linear.bias + linear.weight @ affine.beta)
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    assert torch.allclose(merged(x), linear(affine(x)))


def test_mixing_of_places_is_linear() -> None:
    block = resmlp.ResMlpBlock(9, resmlp.SIZES["nano"]).double()
    a, b = torch.randn(2, 1, 128, 9, dtype=torch.float64)
    none = block.mix_tokens(torch.zeros_like(a))
    assert torch.allclose(block.mix_tokens(a + b) + none, block.mix_tokens(a) + block.mix_tokens(b))


@pytest.mark.parametrize(("name", "scale"), [("resmlp_s12", 0.1), ("resmlp_s24", 1e-5), ("resmlp_s36", 1e-6)])
def test_a_deep_network_begins_as_its_shortcuts(name: str, scale: float) -> None:
    network: Any = registry.build(name, image_size=32).eval()
    block = network.blocks[0]
    assert torch.equal(block.scale1, torch.full((384,), scale)) and torch.equal(block.scale2, block.scale1)
    x = torch.randn(1, 4, 384)
    assert (block(x) - x).abs().max() < 10 * scale


def test_every_block_has_the_same_rate() -> None:
    network: Any = resmlp.resmlp_nano(drop_path=0.25)
    assert {block.drop_path.rate for block in network.blocks} == {0.25}
