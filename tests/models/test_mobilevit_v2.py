"""MobileViT v2 against timm, and the facts that its note tells."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from cnn_explorer.models import mobilevit_v2
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.anatomy import stage_shapes
from support.same_function import assert_comparison_can_fail, assert_same_function
from support.tensors import gradient
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def ours(name: str = "mobilevit_v2_050", size: int = 64) -> nn.Module:
    return registry.build(name, num_classes=10, image_size=size)


@pytest.mark.parametrize(("name", "size"), [("050", 64), ("075", 32), ("050", 40)])
def test_same_function_as_timm(name: str, size: int) -> None:
    """40 pixels give maps of 5×5 and 3×3, which are stretched to whole patches."""
    reference = timm.create_model(f"mobilevitv2_{name}", num_classes=10)
    assert_same_function(ours(f"mobilevit_v2_{name}", size), reference, (3, size, size))


def _change_activation(network: Any) -> None:
    network.stage3[1].layers[0].act = nn.GELU()


def _shift_epsilon(network: Any) -> None:
    network.stage4[1].norm.eps = 1e-3


def _move_stride(network: Any) -> None:
    network.stem.conv.stride, network.stage1[0].depthwise.conv.stride = (1, 1), (2, 2)


@pytest.mark.parametrize("spoil", [_change_activation, _shift_epsilon, _move_stride])
def test_the_comparison_catches_a_change(spoil) -> None:
    reference = timm.create_model("mobilevitv2_050", num_classes=10)
    assert_comparison_can_fail(ours(), reference, (3, 64, 64), spoil)


def test_attention_is_what_the_note_says() -> None:
    attention = mobilevit_v2.SeparableSelfAttention(3).double()
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    weight, bias = attention.project.weight[:, :, 0, 0], attention.project.bias
    assert bias is not None
    expected = torch.zeros_like(x)
    for pixel in range(4):
        made = [weight @ x[0, :, pixel, token] + bias for token in range(5)]
        shares = torch.softmax(torch.stack([one[0] for one in made]), dim=0)
        context = sum(share * one[1:4] for share, one in zip(shares, made, strict=True))
        for token in range(5):
            expected[0, :, pixel, token] = context * made[token][4:].clamp_min(0)
    assert torch.allclose(attention(x), attention.out(expected))


def test_unfold_and_fold_are_inverse_and_keep_patches_together() -> None:
    x = torch.arange(2 * 3 * 6 * 8.0).reshape(2, 3, 6, 8)
    patches = mobilevit_v2.unfold(x)
    assert patches.shape == (2, 3, 4, 12)
    assert torch.equal(mobilevit_v2.fold(patches, 6), x)
    assert torch.equal(patches[0, 0, :, 0], x[0, 0, :2, :2].flatten())
    assert torch.equal(patches[0, 0, 3], x[0, 0, 1::2, 1::2].flatten())


def test_only_pixels_at_the_same_place_of_their_patch_meet() -> None:
    attention = mobilevit_v2.SeparableSelfAttention(4).double()
    x = torch.randn(1, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    mobilevit_v2.fold(attention(mobilevit_v2.unfold(x)), 6)[0, :, 0, 0].sum().backward()
    assert gradient(x).abs().sum(1)[0].nonzero().tolist() == [[i, j] for i in (0, 2, 4) for j in (0, 2, 4)]


def test_attention_does_not_care_for_the_order_of_tokens() -> None:
    attention = mobilevit_v2.SeparableSelfAttention(4).double()
    x, order = torch.randn(2, 4, 4, 9, dtype=torch.float64), torch.randperm(9)
    assert torch.allclose(attention(x[..., order]), attention(x)[..., order])


def test_work_grows_with_the_tokens_not_with_their_square() -> None:
    def macs(tokens: int) -> int:
        layer = counting.on_meta(lambda: mobilevit_v2.SeparableSelfAttention(64))
        with FlopCounterMode(display=False) as counter:
            layer(torch.empty(1, 64, 4, tokens, device="meta"))
        return counter.get_total_flops() // 2

    assert macs(256) == 4 * macs(64) == 4 * 256 * (64 * 129 + 64 * 64)


def test_an_image_of_28_pixels_is_stretched_where_patches_do_not_fit() -> None:
    network = mobilevit_v2.mobilevit_v2_nano(image_size=28, in_channels=1).eval()
    shapes = stage_shapes(copy.deepcopy(network).to("meta"), (1, 28, 28))
    assert [shapes[f"stage{number}"][1:] for number in (3, 4, 5)] == [(14, 14), (8, 8), (4, 4)]
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_twice_the_width_costs_about_four_times() -> None:
    narrow, wide = (registry.find(f"mobilevit_v2_{width}").paper_stem for width in ("100", "200"))
    assert 3.5 < wide.parameters / narrow.parameters < 4
    assert 3.8 < wide.macs / narrow.macs < 4


def test_the_weights_that_cannot_learn_are_those_declared() -> None:
    torch.manual_seed(0)
    network = mobilevit_v2.mobilevit_v2_nano().double().train()
    F.cross_entropy(network(torch.randn(4, 3, 32, 32, dtype=torch.float64)), torch.arange(4)).backward()
    declared = {name for name, _ in network.declaration.null_gradients}
    for name, parameter in network.named_parameters():
        assert (gradient(parameter).abs().max().item() < 1e-13) == (name in declared), name


def test_a_width_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"width: 0\.0 is not above zero"):
        mobilevit_v2.MobileViTV2(0.0)
