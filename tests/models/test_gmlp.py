"""gMLP against timm, and the facts that its note tells."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from cnn_explorer.models import gmlp
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn

TIMM = {"gmlp_ti16": "gmlp_ti16_224", "gmlp_s16": "gmlp_s16_224", "gmlp_b16": "gmlp_b16_224"}


def theirs() -> nn.Module:
    return timm.create_model("gmlp_ti16_224", img_size=48, num_classes=10)


def ours() -> nn.Module:
    return registry.build("gmlp_ti16", num_classes=10, image_size=48)


def test_same_function_as_timm() -> None:
    assert_same_function(ours(), theirs(), (3, 48, 48))


def _change_activation(network: Any) -> None:
    network.blocks[2].gelu = nn.ReLU()


def _shift_epsilons(network: Any) -> None:
    for block in network.blocks:
        block.gate.norm.eps = 1e-4


class _OtherHalf(gmlp.SpatialGate):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(torch.cat(x.chunk(2, dim=-1)[::-1], dim=-1))


def _swap_the_halves(network: Any) -> None:
    network.blocks[1].gate.__class__ = _OtherHalf


@pytest.mark.parametrize("spoil", [_change_activation, _shift_epsilons, _swap_the_halves])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_comparison_can_fail(ours(), theirs(), (3, 48, 48), spoil)


@pytest.mark.parametrize("name", TIMM)
def test_counts_are_those_of_timm_and_of_the_closed_form(name: str) -> None:
    network: Any = counting.on_meta(lambda: registry.build(name))
    reference = counting.on_meta(lambda: timm.create_model(TIMM[name]))
    count = counting.count(network, (3, 224, 224))
    assert count.parameters == counting.count_parameters(reference)
    assert count.macs == counting.module_macs(reference, (3, 224, 224))[""]
    w, n = network.head.in_features, 196
    # Per block: w → 6w and 3w → w at each place, one n × n matrix for each of the 3w gated channels.
    assert count.macs == 30 * (n * 9 * w**2 + n * n * 3 * w) + n * 768 * w + 1000 * w


def test_the_gate_starts_open_so_that_the_block_is_a_plain_mlp() -> None:
    torch.manual_seed(0)
    block: Any = gmlp.gmlp_nano().blocks[3].double()
    x = torch.randn(2, 64, 96, dtype=torch.float64)
    hidden = block.gelu(block.linear1(block.norm(x)))
    plain = x + block.linear2(hidden[..., :288])
    assert torch.allclose(block(x), plain, atol=1e-3)
    assert not torch.equal(block(x), plain), "the matrix over places is small, not absent"


def test_the_gate_is_the_product_of_the_paper() -> None:
    gate = gmlp.SpatialGate(5, 6).double()
    nn.init.normal_(gate.norm.weight)
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    u, v = x[..., :3], gate.norm(x[..., 3:])
    expected = torch.zeros_like(u)
    for place in range(5):
        for other in range(5):
            expected[:, place] += gate.mix_tokens.weight[place, other] * v[:, other]
        expected[:, place] += gate.mix_tokens.bias[place]
    assert torch.allclose(gate(x), u * expected)


def test_places_meet_in_the_gate_alone() -> None:
    torch.manual_seed(0)
    block = gmlp.GmlpBlock(9, gmlp.SIZES["nano"]).double()
    x = torch.randn(1, 9, 96, dtype=torch.float64)
    changed = x.clone()
    changed[0, 4] += 1.0
    moved = (block(changed) - block(x)).abs().amax(dim=(0, 2))
    assert (moved > 0).all()
    nn.init.zeros_(block.gate.mix_tokens.weight)
    moved = (block(changed) - block(x)).abs().amax(dim=(0, 2))
    assert moved.nonzero().flatten().tolist() == [4]
