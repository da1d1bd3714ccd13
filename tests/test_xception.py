"""Xception against timm, and what it means to decouple space from channels."""

from __future__ import annotations

import pytest
import timm
import torch
from cnn_explorer.models import catalogue, counting, xception
from same_function import assert_comparison_can_fail, assert_same_function
from torch import nn


def pair() -> tuple[nn.Module, nn.Module]:
    ours = catalogue.build("xception", num_classes=10, image_size=48)
    return ours, timm.create_model("legacy_xception", num_classes=10)


def test_same_function_as_timm() -> None:
    assert_same_function(*pair(), (3, 48, 48))


def _activate_between_the_halves(network: nn.Module) -> None:
    conv = network.middle[3].branch[1]
    conv.depthwise = nn.Sequential(conv.depthwise, nn.ReLU())


def _shift_epsilon(network: nn.Module) -> None:
    network.entry[2].branch[1].norm.eps = 1e-3


def _activate_the_sum(network: nn.Module) -> None:
    network.exit[0].register_forward_hook(lambda module, inputs, output: output.relu())


@pytest.mark.parametrize("spoil", [_activate_between_the_halves, _shift_epsilon, _activate_the_sum])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_comparison_can_fail(*pair(), (3, 48, 48), spoil)


def test_the_paper_prints_the_exact_number() -> None:
    assert catalogue.find("xception").paper_form.parameters == 22_855_952


def test_there_are_36_convolution_layers() -> None:
    network = counting.on_meta(xception.xception)
    separable = [module for module in network.modules() if isinstance(module, xception.SeparableConv)]
    assert len(separable) + len(network.stem) == 36


def test_a_separable_convolution_is_a_3x3_of_a_special_form() -> None:
    separable = xception.SeparableConv(5, 7).double().eval()
    depth, point = separable.depthwise.weight, separable.pointwise.weight
    full = nn.Conv2d(5, 7, 3, padding=1, bias=False).double()
    with torch.no_grad():
        full.weight.copy_(point * depth[:, 0])  # (7, 5, 1, 1) · (5, 3, 3): weight = what belongs together × where
        x = torch.randn(2, 5, 6, 6, dtype=torch.float64)
        assert torch.allclose(separable.norm(full(x)), separable(x))


def test_what_it_saves() -> None:
    def weights(module: nn.Module) -> int:
        return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d))

    ratio = weights(xception.SeparableConv(728, 728)) / weights(nn.Conv2d(728, 728, 3))
    assert ratio == pytest.approx(1 / 728 + 1 / 9)


def test_a_block_that_does_nothing_passes_its_input_on() -> None:
    block = xception.XceptionBlock(6, (6, 6, 6)).eval()
    nn.init.zeros_(block.branch[-1].norm.weight)
    x = torch.randn(1, 6, 5, 5)
    assert torch.equal(block(x), x)


def test_the_widespread_small_form_does_the_same_work() -> None:
    network = counting.on_meta(lambda: catalogue.build("xception", form="small", num_classes=100))
    assert counting.count(network, (3, 32, 32)).macs == 1_129_865_728


def test_the_smallest_picture_has_7_pixels() -> None:
    with pytest.raises(ValueError, match=r"image_size: 6 is too small.*works is 7$"):
        xception.xception(image_size=6)
    network = counting.on_meta(lambda: xception.xception(image_size=7)).eval()
    assert network(torch.empty(1, 3, 7, 7, device="meta")).shape == (1, 1000)
    with pytest.raises(RuntimeError):
        network(torch.empty(1, 3, 4, 4, device="meta"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: xception.xception(num_classes=0), "num_classes: 0"),
        (lambda: xception.xception(in_channels=-1), "in_channels: -1"),
        (lambda: xception.xception(stem="tiny"), "stem: 'tiny'"),
        (lambda: xception.xception_nano(image_size=0), "image_size: 0"),
        (lambda: xception.Xception(middle=0), "middle: 0"),
    ],
)
def test_bad_arguments_are_named(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
