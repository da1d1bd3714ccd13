"""Swin v2 against timm, and its three repairs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from cnn_explorer.models import swin, swin_v2
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from timm.models.swin_transformer_v2 import SwinTransformerV2 as Reference
from torch import nn

ROW = {"depths": (2, 2, 2, 2), "heads": (2, 4, 8, 16)}


def theirs(window: int = 8, size: int = 64) -> nn.Module:
    shape = {"depths": ROW["depths"], "num_heads": ROW["heads"], "embed_dim": 32}
    return Reference(img_size=size, window_size=window, num_classes=10, **shape)


def ours(window: int = 8, size: int = 64) -> nn.Module:
    row = swin.Size(32, ROW["depths"], ROW["heads"], window=window)
    return swin_v2.SwinTransformerV2(row, num_classes=10, image_size=size)


@pytest.mark.parametrize(("window", "size"), [(8, 64), (4, 64), (16, 128)])
def test_same_function_as_timm(window: int, size: int) -> None:
    """Windows that are shifted, that cover a whole map, and that shrink with a map smaller than they are."""
    assert_same_function(ours(window, size), theirs(window, size), (3, size, size))


def _norm_in_front(network: Any) -> None:
    block = network.stage1[1]
    block.attention, block.norm1 = block.norm1, block.attention


def _linear_offsets(network: Any) -> None:
    attention = network.stage1[0].attention
    first = attention.position[0]
    attention.position[0] = nn.Sequential(_Linearly(), first)


class _Linearly(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sign() * (2 ** (x.abs() * 3) - 1) / 8


def _change_activation(network: Any) -> None:
    network.stage3[1].mlp.gelu = nn.ReLU()


@pytest.mark.parametrize("spoil", [_norm_in_front, _linear_offsets, _change_activation])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_comparison_can_fail(ours(), theirs(), (3, 64, 64), spoil)


def test_offsets_are_odd_logarithmic_and_end_at_the_same_place_for_every_window() -> None:
    for window in (4, 8, 16):
        offsets = swin_v2.log_offsets(window)
        assert offsets.shape == (2 * window - 1, 2 * window - 1, 2)
        assert torch.equal(offsets, -offsets.flip(0, 1))
        assert offsets.max().item() == pytest.approx(math.log2(9) / 3)
        steps = offsets[window - 1 :, 0, 0].diff()
        assert (steps > 0).all() and (steps.diff() < 0).all(), "near offsets are told apart better than far ones"


def authors_offsets(window: int, pretrained: int) -> torch.Tensor:
    """The table as microsoft/Swin-Transformer computes it, models/swin_transformer_v2.py, for one axis."""
    table = torch.arange(-(window - 1), window, dtype=torch.float32)
    table = table / (pretrained - 1) if pretrained > 0 else table / (window - 1)
    table = table * 8
    return torch.sign(table) * torch.log2(torch.abs(table) + 1.0) / math.log2(8)


@pytest.mark.parametrize(("window", "pretrained"), [(8, 0), (7, 0), (16, 12), (24, 12), (8, 6), (12, 16)])
def test_offsets_are_the_authors(window: int, pretrained: int) -> None:
    offsets = swin_v2.log_offsets(window, pretrained)
    expected = authors_offsets(window, pretrained)
    assert torch.allclose(offsets[:, 0, 0], expected) and torch.allclose(offsets[0, :, 1], expected)


def test_a_larger_window_stretches_the_logarithmic_scale_by_a_third() -> None:
    """What the note tells."""
    assert swin_v2.log_offsets(8).max().item() == pytest.approx(1.06, abs=0.005)
    assert swin_v2.log_offsets(16, 8).max().item() == pytest.approx(1.39, abs=0.005)


def test_same_function_as_timm_with_windows_of_an_earlier_training() -> None:
    shape = {"depths": ROW["depths"], "num_heads": ROW["heads"], "embed_dim": 32}
    reference = Reference(img_size=64, window_size=8, num_classes=10, pretrained_window_sizes=(4, 4, 4, 2), **shape)
    row = swin.Size(32, ROW["depths"], ROW["heads"], window=8)
    network = swin_v2.SwinTransformerV2(row, num_classes=10, image_size=64, pretrained_window=(4, 4, 4, 2))
    assert_same_function(network, reference, (3, 64, 64))
    with pytest.raises(AssertionError):
        assert_same_function(ours(), reference, (3, 64, 64))


def test_windows_of_an_earlier_training_are_one_for_each_stage() -> None:
    with pytest.raises(ValueError, match="pretrained_window: \\(12, 6\\) is not four numbers"):
        swin_v2.swin_v2_nano(pretrained_window=(12, 6))  # pyright: ignore[reportArgumentType]  the mistake


def test_attention_looks_at_directions_alone() -> None:
    torch.manual_seed(0)
    attention = swin_v2.ScaledCosineAttention(16, 2, 4, 0).double()
    x = torch.randn(1, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        before = attention.attend(x, None)
        attention.qkv.weight[:32] *= 7  # longer queries and keys, the same directions: their biases are zero here
        assert torch.allclose(attention.attend(x, None), before, rtol=1e-10)
        attention.log_scale.fill_(50.0)
        capped = attention.attend(x, None)
        attention.log_scale.fill_(math.log(100.0))
        assert torch.allclose(attention.attend(x, None), capped), "the temperature stays above 0.01"


def test_a_branch_adds_unit_variance_whatever_its_weights() -> None:
    torch.manual_seed(0)
    block = swin_v2.SwinV2Block(16, 2, 4, 0).eval()
    nn.init.ones_(block.norm2.weight)
    x = torch.randn(64, 16)
    with torch.no_grad():
        for scale in (10, 1000):
            for parameter in block.mlp.parameters():
                parameter.mul_(scale)
            added = block.norm2(block.mlp(x))
            assert added.var(-1, unbiased=False).mean().item() == pytest.approx(1, rel=1e-2)


def test_every_weight_of_a_branch_learns_once_the_gains_have_moved() -> None:
    torch.manual_seed(0)
    network: Any = swin_v2.swin_v2_nano()
    for name, module in network.named_modules():
        if name.endswith(("norm1", "norm2")):
            assert not module.weight.any(), "a block begins as the identity"
            nn.init.ones_(module.weight)
    nn.functional.cross_entropy(network(torch.randn(4, 3, 32, 32)), torch.arange(4)).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_the_weights_do_not_know_the_window() -> None:
    tiny, wide = registry.find("swin_v2_tiny").paper_stem, registry.find("swin_v2_tiny_w16").paper_stem
    assert tiny.parameters == wide.parameters and tiny.macs < wide.macs


def test_torchvisions_keys_have_a_bias_that_is_always_zero() -> None:
    """The oracle's other counts differ by the sum of the blocks' widths, one key bias each."""
    size = swin_v2.SIZES["tiny"]
    widths = sum(depth * size.width * 2**index for index, depth in enumerate(size.depths))
    assert registry.find("swin_v2_tiny").paper_stem.parameters + widths == 28_351_570
