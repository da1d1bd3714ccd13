"""CvT against a plain re-computation from its weights, its published counts, and the facts that its note tells."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.models import cvt
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.anatomy import stage_shapes
from support.same_function import assert_equals_recomputation, assert_recomputation_can_fail
from support.tensors import gradient, randomise
from torch import Tensor, nn

TINY = cvt.Size((8, 12, 16), (1, 2, 2), (1, 3, 4), 0.0)


def layer_norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5) * layer.weight + layer.bias


def depthwise_by_loop(layer: Any, plane: Tensor, stride: int) -> Tensor:
    """3×3 around every stride-th pixel, one channel at a time, then batch normalisation with the running statistics."""
    padded = F.pad(plane, (1, 1, 1, 1))
    height, width = -(-plane.shape[2] // stride), -(-plane.shape[3] // stride)
    weight, norm = layer.conv.weight, layer.norm
    result = torch.zeros(*plane.shape[:2], height, width, dtype=plane.dtype)
    for i in range(height):
        for j in range(width):
            window = padded[:, :, i * stride : i * stride + 3, j * stride : j * stride + 3]
            result[:, :, i, j] = (window * weight[:, 0]).sum(dim=(2, 3))
    factor = norm.weight / torch.sqrt(norm.running_var + 1e-5)
    return (result - norm.running_mean[:, None, None]) * factor[:, None, None] + norm.bias[:, None, None]


def project(layer: cvt.ConvProjection, x: Tensor, height: int, width: int, stride: int) -> Tensor:
    plane = x[:, x.shape[1] - height * width :].transpose(1, 2).unflatten(2, (height, width))
    tokens = depthwise_by_loop(layer.depthwise, plane, stride).flatten(2).transpose(1, 2)
    tokens = torch.cat((x[:, : x.shape[1] - height * width], tokens), dim=1)
    return tokens @ layer.linear.weight.T + layer.linear.bias


def attend(layer: cvt.Attention, x: Tensor, height: int, width: int) -> Tensor:
    q = project(layer.query, x, height, width, 1)
    k, v = (project(part, x, height, width, 2) for part in (layer.key, layer.value))
    d = x.shape[2] // layer.heads
    heads = []
    for head in range(layer.heads):
        own = slice(head * d, head * d + d)
        shares = torch.softmax(q[:, :, own] @ k[:, :, own].transpose(1, 2) / math.sqrt(x.shape[2]), dim=-1)
        heads.append(shares @ v[:, :, own])
    return torch.cat(heads, dim=2) @ layer.out.weight.T + layer.out.bias


def again(network: Any, x: Tensor) -> Tensor:
    """The whole network from its weights alone, written a second time (ImageNet layout)."""
    for stage, stride, padding in ((network.stage1, 4, 2), (network.stage2, 2, 1), (network.stage3, 2, 1)):
        x = F.conv2d(x, stage.embedding.conv.weight, stage.embedding.conv.bias, stride=stride, padding=padding)
        height, width = x.shape[2:]
        x = layer_norm(stage.embedding.norm, x.flatten(2).transpose(1, 2))
        if stage is network.stage3:
            x = torch.cat((stage.class_token.token.expand(len(x), 1, -1), x), dim=1)
        for block in stage.blocks:
            x = x + attend(block.attention, layer_norm(block.norm1, x), height, width)
            hidden = layer_norm(block.norm2, x) @ block.mlp.linear1.weight.T + block.mlp.linear1.bias
            hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
            x = x + hidden @ block.mlp.linear2.weight.T + block.mlp.linear2.bias
        if stage is not network.stage3:
            x = x.transpose(1, 2).unflatten(2, (height, width))
    return layer_norm(network.norm, x)[:, 0] @ network.head.weight.T + network.head.bias


def tiny() -> cvt.CvT:
    network = cvt.CvT(TINY, num_classes=5, image_size=52).double().eval()
    randomise(network, 0)
    return network


def test_same_function_as_a_plain_recomputation() -> None:
    assert_equals_recomputation(tiny(), again, (3, 52, 52))


def _change_activation(network: Any) -> None:
    network.stage2.blocks[1].mlp.gelu = nn.GELU(approximate="tanh")


def _shift_epsilon(network: Any) -> None:
    network.stage1.blocks[0].attention.value.depthwise.norm.eps = 1e-3


def _shift_layer_epsilon(network: Any) -> None:
    network.norm.eps = 1e-3


def _change_stride(network: Any) -> None:
    for part in (network.stage3.blocks[0].attention.key, network.stage3.blocks[0].attention.value):
        part.depthwise.conv.stride = (1, 1)


def _change_scale(network: Any) -> None:
    network.stage2.blocks[0].attention.scale = 0.5


@pytest.mark.parametrize(
    "spoil", [_change_activation, _shift_epsilon, _shift_layer_epsilon, _change_stride, _change_scale]
)
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_recomputation_can_fail(tiny(), again, (3, 52, 52), spoil)


@pytest.mark.parametrize(
    ("name", "size", "published"),
    [("cvt_13", 224, 4.5), ("cvt_13", 384, 16.3), ("cvt_21", 224, 7.1), ("cvt_21", 384, 24.9), ("cvt_w24", 384, 193.2)],
)
def test_work_at_both_resolutions_is_that_of_the_paper(name: str, size: int, published: float) -> None:
    network = counting.on_meta(lambda: registry.build(name, image_size=size))
    assert counting.count(network, (3, size, size)).macs / 1e9 == pytest.approx(published, rel=0.015)


def test_squeezing_leaves_a_quarter_of_the_keys() -> None:
    attention = cvt.Attention(8, 2)
    tokens = torch.randn(1, 1 + 64, 8)
    assert attention.query(tokens, 8, 8).shape == (1, 65, 8)
    assert attention.key(tokens, 8, 8).shape == attention.value(tokens, 8, 8).shape == (1, 17, 8)


def attention_products(stride_kv: int) -> int:
    """MACs of the comparisons and the weighted sums in stage 1 of CvT-13, all else taken away."""
    network = counting.on_meta(lambda: cvt.cvt_13(stride_kv=stride_kv))
    macs = counting.module_macs(network, (3, 224, 224))
    path = "stage1.blocks.0.attention"
    return macs[path] - sum(macs[f"{path}.{part}"] for part in ("query", "key", "value", "out"))


def test_attention_costs_a_quarter() -> None:
    assert attention_products(1) == 2 * 3136 * 3136 * 64
    assert attention_products(1) == 4 * attention_products(2)


def test_a_built_network_takes_images_of_any_size_and_shape() -> None:
    network = cvt.cvt_nano().eval()
    for shape in ((28, 28), (40, 40), (24, 48)):
        assert network(torch.randn(1, 3, *shape)).shape == (1, 10)


def test_the_convolutions_know_what_lies_beside_what() -> None:
    """No table of positions, and yet a shuffled map of tokens gives something else than shuffled output."""
    torch.manual_seed(0)
    attention = cvt.Attention(8, 2).eval()
    tokens, order = torch.randn(1, 64, 8), torch.randperm(64)
    assert not torch.allclose(attention(tokens[:, order], 8, 8), attention(tokens, 8, 8)[:, order], atol=1e-3)
    assert not any(name.endswith("positions") for name, _ in cvt.cvt_nano().named_parameters())


def test_the_weights_that_cannot_learn_are_those_declared() -> None:
    torch.manual_seed(0)
    network = cvt.cvt_nano().double().train()
    F.cross_entropy(network(torch.randn(4, 3, 32, 32, dtype=torch.float64)), torch.arange(4)).backward()
    endings = tuple(ending for ending, _ in network.declaration.null_gradients)
    largest = {name: gradient(p).abs().max().item() for name, p in network.named_parameters()}
    for name, value in largest.items():
        stage3_key = name.startswith("stage3") and name.endswith("key.depthwise.norm.bias")
        if name.endswith(endings) and not stage3_key:
            assert value < 1e-14, name
        else:
            assert value > 1e-12, name


def test_stochastic_depth_grows_within_the_last_stage() -> None:
    network: Any = counting.on_meta(cvt.cvt_13)
    assert network.stage2.blocks[1].drop_path.rate == 0
    rates = [block.drop_path.rate for block in network.stage3.blocks]
    assert rates[0] == 0 and rates[-1] == pytest.approx(0.1) and rates == sorted(rates)


@pytest.mark.parametrize(("size", "shape"), [(28, (17, 384)), (32, (17, 384))])
def test_small_stem_ends_with_four_by_four(size: int, shape: tuple[int, int]) -> None:
    network: Any = counting.on_meta(lambda: registry.build("cvt_13", stem="small", image_size=size))
    assert stage_shapes(network, (3, size, size))["stage3"] == shape
    assert network.declaration.token_grid == (4, 4)


def test_the_smallest_image_works() -> None:
    assert counting.on_meta(lambda: cvt.cvt_13(image_size=3))(torch.empty(2, 3, 3, 3, device="meta")).shape == (2, 1000)


@pytest.mark.parametrize(("name", "rate"), [("cvt_13", 0.1), ("cvt_21", 0.1), ("cvt_w24", 0.3)])
def test_stochastic_depth_is_that_of_the_authors_configurations(name: str, rate: float) -> None:
    """microsoft/CvT, experiments/imagenet/cvt: DROP_PATH_RATE of the last stage, 0 in the others."""
    network: Any = counting.on_meta(lambda: registry.build(name))
    assert [block.drop_path.rate for stage in (network.stage1, network.stage2) for block in stage.blocks] == [0.0] * (
        len(network.stage1.blocks) + len(network.stage2.blocks)
    )
    rates = [block.drop_path.rate for block in network.stage3.blocks]
    assert rates[0] == 0.0 and rates[-1] == pytest.approx(rate)
