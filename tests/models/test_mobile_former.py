"""Mobile-Former against a plain re-computation from its weights, and the facts that its note tells."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.models import mobile_former
from support.same_function import assert_equals_recomputation, assert_recomputation_can_fail
from support.tensors import randomise
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

STAGES = (((8, 2), (8, 3)), ((12, 6), (12, 2), (16, 2)), ((16, 6),), ((20, 6), (20, 2)))
TINY = mobile_former.Size(4, 2, STAGES, features=10, tokens=3, width=8, groups=2)


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return x @ layer.weight.T + layer.bias


def layer_norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5) * layer.weight + layer.bias


def hard_sigmoid(x: Tensor) -> Tensor:
    return (x + 3).clamp(0, 6) / 6


def conv(layer: Any, x: Tensor, stride: int = 1) -> Tensor:
    weight, norm = layer.conv.weight, layer.norm
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2, groups=x.shape[1] // weight.shape[1])
    scale = norm.weight / torch.sqrt(norm.running_var + 1e-5)
    return (x - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]


def shuffle(x: Tensor, groups: int) -> Tensor:
    each = x.shape[1] // groups
    return x[:, [group * each + member for member in range(each) for group in range(groups)]]


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """q (B, N, C), k and v (B, M, C), head by head."""
    d = q.shape[2] // heads
    parts = []
    for head in range(heads):
        own = slice(head * d, head * d + d)
        shares = torch.softmax(q[..., own] @ k[..., own].transpose(1, 2) / math.sqrt(d), dim=-1)
        parts.append(shares @ v[..., own])
    return torch.cat(parts, dim=2)


def collect(bridge: Any, x: Tensor, tokens: Tensor) -> Tensor:
    pixels = x.flatten(2).transpose(1, 2)
    found = attend(linear(bridge.query, tokens), pixels, pixels, 2)
    found = found * 2 * hard_sigmoid(linear(bridge.gate, tokens))
    return layer_norm(bridge.norm, tokens + linear(bridge.out, found))


def think(former: Any, tokens: Tensor) -> Tensor:
    found = attend(linear(former.query, tokens), tokens, tokens, 4)
    tokens = layer_norm(former.norm1, tokens + linear(former.out, found))
    hidden = linear(former.mlp.linear1, tokens)
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    return layer_norm(former.norm2, tokens + linear(former.mlp.linear2, hidden))


def dynamic_relu(layer: Any, x: Tensor, tokens: Tensor) -> Tensor:
    slopes = hard_sigmoid(linear(layer.slopes, linear(layer.squeeze, tokens[:, 0]).clamp_min(0)))
    channels = x.shape[1]
    first = 2 * (slopes[:, :channels] - 0.5) + 1
    second = 2 * (slopes[:, channels:] - 0.5)
    lines = torch.stack([x * first[:, :, None, None], x * second[:, :, None, None]])
    return lines.amax(0)


def again(network: Any, x: Tensor, groups: int) -> Tensor:
    """The whole network from its weights alone, written a second time (stride 2 in the stem and in each stage)."""
    tokens = network.tokens.vectors.unsqueeze(0).repeat(len(x), 1, 1)
    x = conv(network.stem, x, 2).clamp(0, 6)
    for stage in (network.stage1, network.stage2, network.stage3, network.stage4):
        for block in stage:
            if isinstance(block, mobile_former.LiteBottleneck):
                wide = conv(block.depthwise, x, 2).clamp(0, 6)
                x = conv(block.project, shuffle(wide, x.shape[1]))
                continue
            tokens = think(block.former, collect(block.to_former, x, tokens))
            m = block.mobile
            if isinstance(m, mobile_former.DownBottleneck):
                wide = shuffle(conv(m.depthwise1, x, 2), x.shape[1])
                x = conv(m.project1, dynamic_relu(m.act1, wide, tokens))
                wide = shuffle(conv(m.depthwise2, x), x.shape[1])
                x = x + conv(m.project2, dynamic_relu(m.act2, wide, tokens))
            else:
                wide = dynamic_relu(m.act1, shuffle(conv(m.expand, x), groups), tokens)
                wide = dynamic_relu(m.act2, conv(m.depthwise, wide), tokens)
                made = shuffle(conv(m.project, wide), groups)
                x = made + x if made.shape == x.shape else made
            pixels = x.flatten(2).transpose(1, 2)
            bridge = block.to_mobile
            found = attend(pixels, linear(bridge.key, tokens), linear(bridge.value, tokens), 2)
            x = x + found.transpose(1, 2).unflatten(2, x.shape[2:])
    tokens = collect(network.last_bridge, x, tokens)
    merge = network.merge
    mean = conv(merge.expand, shuffle(x, groups)).clamp(0, 6).mean(dim=(2, 3))
    hidden = linear(merge.hidden, torch.cat([mean * hard_sigmoid(mean), tokens[:, 0]], dim=1))
    norm = merge.norm
    hidden = (hidden - norm.running_mean) / torch.sqrt(norm.running_var + 1e-5) * norm.weight + norm.bias
    return linear(network.head, hidden * hard_sigmoid(hidden))


def tiny() -> mobile_former.MobileFormer:
    network = mobile_former.MobileFormer(TINY, num_classes=5, image_size=40).double().eval()
    randomise(network, 0)
    return network


def test_same_function_as_a_plain_recomputation() -> None:
    assert_equals_recomputation(tiny(), partial(again, groups=2), (3, 40, 40))


def _change_activation(network: Any) -> None:
    network.stage1[1].former.mlp.gelu = nn.GELU(approximate="tanh")


def _shift_epsilon(network: Any) -> None:
    network.stage2[1].mobile.depthwise.norm.eps = 1e-3


def _move_stride(network: Any) -> None:
    network.stem.conv.stride, network.stage1[0].depthwise.conv.stride = (1, 1), (4, 4)


def _leave_out_a_shuffle(network: Any) -> None:
    network.stage2[0].mobile.shuffle2 = nn.Identity()


@pytest.mark.parametrize("spoil", [_change_activation, _shift_epsilon, _move_stride, _leave_out_a_shuffle])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_recomputation_can_fail(tiny(), partial(again, groups=2), (3, 40, 40), spoil)


def test_before_training_a_dynamic_relu_is_nearly_a_relu() -> None:
    layer = mobile_former.DynamicReLU(4, 8)
    mobile_former.initialise(layer)
    x = torch.randn(2, 4, 5, 5)
    assert torch.allclose(layer(x, torch.randn(2, 3, 8)), torch.relu(x), atol=0.05)


def test_slopes_of_a_dynamic_relu_depend_on_the_image() -> None:
    torch.manual_seed(0)
    layer = mobile_former.DynamicReLU(4, 8)
    x = torch.ones(2, 4, 1, 1)
    first, second = layer(x, torch.randn(2, 3, 8))
    assert not torch.allclose(first, second)
    assert ((first > -1) & (first < 2)).all()


def test_the_bridge_goes_both_ways() -> None:
    """A change of one pixel in a corner reaches the opposite corner within one block, through the tokens alone."""
    torch.manual_seed(0)
    size = mobile_former.SIZES["52m"]
    block = mobile_former.Block(mobile_former.InvertedBottleneck(8, 8, 2, size), (8, 8), size.width).eval()
    x, tokens = torch.randn(1, 8, 12, 12), torch.randn(1, 3, size.width)
    changed = x.clone()
    changed[:, :, 0, 0] += 5
    before, after = block((x, tokens)), block((changed, tokens))
    assert not torch.allclose(before[1], after[1], atol=1e-6)
    assert not torch.allclose(before[0][..., -1, -1], after[0][..., -1, -1], atol=1e-7)


def test_tokens_are_few_and_their_order_matters_only_for_the_first() -> None:
    torch.manual_seed(0)
    former = mobile_former.Former(16).eval()
    tokens = torch.randn(2, 6, 16)
    order = torch.tensor([0, 3, 2, 5, 1, 4])
    assert torch.allclose(former(tokens)[:, order], former(tokens[:, order]), atol=1e-5)
    assert max(size.tokens for size in mobile_former.SIZES.values()) == 6


def test_pixels_have_no_projections_of_their_own() -> None:
    """Keys and values of one bridge and queries of the other are the map itself: the matrices stand on the token side."""
    size = mobile_former.SIZES["294m"]
    to_former = mobile_former.MobileToFormer(48, size.width)
    to_mobile = mobile_former.FormerToMobile(48, size.width)
    assert {name for name, _ in to_former.named_children()} == {"query", "gate", "out", "norm"}
    assert {name for name, _ in to_mobile.named_children()} == {"key", "value"}
    with FlopCounterMode(display=False) as counter:
        to_mobile(torch.zeros(1, 48, 28, 28), torch.zeros(1, 6, size.width))
    assert counter.get_total_flops() // 2 == 2 * 6 * size.width * 48 + 2 * 784 * 6 * 48


def test_26m_is_52m_with_grouped_convolutions() -> None:
    one, four = mobile_former.SIZES["52m"], mobile_former.SIZES["26m"]
    assert (one.stages, one.stem, one.tokens, one.width) == (four.stages, four.stem, four.tokens, four.width)
    assert (one.groups, four.groups) == (1, 4)


def test_dropout_acts_in_training_only() -> None:
    network = mobile_former.mobile_former_26m(stem="small", image_size=32, num_classes=10, dropout=0.5)
    assert network.dropout.p == 0.5
    image = torch.randn(2, 3, 32, 32)
    assert torch.equal(network.eval()(image), network(image))
