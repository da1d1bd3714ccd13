"""MobileNet v1 against timm, and what its two dials and its separable block promise."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from cnn_explorer.models import mobilenet_v1
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import Tensor, nn


def reference(width: float) -> nn.Module:
    """timm's network with ReLU as in the paper (timm's default is ReLU6)."""
    build = timm.models.efficientnet._gen_mobilenet_v1
    return build("mobilenetv1_100", channel_multiplier=width, num_classes=10, act_layer=nn.ReLU)


@pytest.mark.parametrize(("name", "width"), [("mobilenet_v1_100", 1.0), ("mobilenet_v1_075", 0.75)])
def test_same_function_as_timm(name: str, width: float) -> None:
    assert_same_function(registry.build(name, num_classes=10, image_size=64), reference(width), (3, 64, 64))


def _shift_epsilon(network: Any) -> None:
    network.stage3[1].pointwise.norm.eps = 1e-3


def _drop_activation(network: Any) -> None:
    network.stage4[2].depthwise.act = nn.Identity()


def _move_stride(network: Any) -> None:
    network.stage4[0].depthwise.conv.stride, network.stage5[1].depthwise.conv.stride = (1, 1), (2, 2)


@pytest.mark.parametrize("spoil", [_shift_epsilon, _drop_activation, _move_stride])
def test_the_comparison_catches_a_change(spoil) -> None:
    ours = registry.build("mobilenet_v1_100", num_classes=10, image_size=64)
    assert_comparison_can_fail(ours, reference(1.0), (3, 64, 64), spoil)


def macs(network: nn.Module, shape: tuple[int, int, int]) -> int:
    return counting.module_macs(network, shape)[""]


@pytest.mark.parametrize(("channels", "out_channels"), [(32, 64), (512, 512), (512, 1024)])
def test_cost_of_the_block_is_the_quotient_of_equation_5(channels: int, out_channels: int) -> None:
    separable = counting.on_meta(lambda: mobilenet_v1.DepthwiseSeparable(channels, out_channels))
    standard = counting.on_meta(lambda: mobilenet_v1.standard_convolution(channels, out_channels))
    quotient = macs(separable, (channels, 14, 14)) / macs(standard, (channels, 14, 14))
    assert quotient == pytest.approx(1 / out_channels + 1 / 9, rel=1e-12)


def test_depthwise_keeps_channels_apart_and_pointwise_keeps_pixels_apart() -> None:
    block = mobilenet_v1.DepthwiseSeparable(6, 4).eval()
    x = torch.randn(1, 6, 5, 5)
    changed = x.clone()
    changed[:, 2] += 1.0
    difference = (block.depthwise(x) - block.depthwise(changed)).abs().sum((0, 2, 3))
    assert difference.nonzero().flatten().tolist() == [2]
    changed = x.clone()
    changed[:, :, 1, 3] += 1.0
    difference = (block.pointwise.conv(x) - block.pointwise.conv(changed)).abs().sum((0, 1))
    assert difference.nonzero().tolist() == [[1, 3]]


def test_separable_is_a_standard_convolution_of_rank_one() -> None:
    """Without what stands between, the pair equals the 3×3 whose weights are pointwise[n, m] · depthwise[m]."""
    block = mobilenet_v1.DepthwiseSeparable(5, 7).double()
    depthwise, pointwise = block.depthwise.conv, block.pointwise.conv
    weight: Tensor = pointwise.weight * depthwise.weight.transpose(0, 1)
    x = torch.randn(2, 5, 8, 8, dtype=torch.float64)
    assert torch.allclose(pointwise(depthwise(x)), nn.functional.conv2d(x, weight, padding=1), atol=1e-12)


def convolution_macs(name: str, size: int) -> int:
    """MACs of everything but the linear layer."""
    network = counting.on_meta(lambda: registry.build(name, image_size=size))
    return sum(stage.macs for stage in counting.count(network, (3, size, size)).stages[:-1])


def test_resolution_scales_the_work_with_its_square_and_leaves_the_parameters() -> None:
    half, full = (counting.on_meta(lambda s=s: registry.build("mobilenet_v1_100", image_size=s)) for s in (128, 256))
    assert counting.count_parameters(half) == counting.count_parameters(full)
    assert 4 * convolution_macs("mobilenet_v1_100", 128) == convolution_macs("mobilenet_v1_100", 256)


def test_width_scales_pointwise_layers_with_its_square() -> None:
    def pointwise(name: str) -> int:
        network = counting.on_meta(lambda: registry.build(name))
        modules: dict[str, Any] = {key: m for key, m in network.named_modules() if key.endswith("pointwise.conv")}
        return sum(m.weight.numel() for m in modules.values())

    assert pointwise("mobilenet_v1_100") == 4 * pointwise("mobilenet_v1_050") == 16 * pointwise("mobilenet_v1_025")
    ratio = convolution_macs("mobilenet_v1_100", 224) / convolution_macs("mobilenet_v1_050", 224)
    assert 3.5 < ratio < 4


def test_pointwise_layers_hold_what_table_2_says() -> None:
    network = counting.on_meta(lambda: registry.build("mobilenet_v1_100"))
    work = counting.module_macs(network, (3, 224, 224))
    share = sum(value for key, value in work.items() if key.endswith("pointwise.conv")) / work[""]
    held = sum(p.numel() for key, p in network.named_parameters() if key.endswith("pointwise.conv.weight"))
    assert share == pytest.approx(0.9486, abs=5e-4)  # the paper's figure, table 2
    assert held / counting.count_parameters(network) == pytest.approx(0.7459, abs=5e-3)


def test_the_papers_two_comparisons_have_its_sizes() -> None:
    for name, parameters, work in [("mobilenet_v1_conv", 29.3e6, 4866e6), ("mobilenet_v1_shallow", 2.9e6, 307e6)]:
        variant = registry.find(name).paper_stem
        assert variant.parameters == pytest.approx(parameters, rel=5e-3)
        assert variant.macs == pytest.approx(work, rel=2e-3)


def test_bad_arguments_of_a_class_are_named() -> None:
    with pytest.raises(ValueError, match=r"width: 0\.0"):
        mobilenet_v1.MobileNetV1(0.0)
