"""ConvNeXt against torchvision, and the facts that its note tells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from cnn_explorer.models import convnext
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn
from torchvision.models.convnext import CNBlockConfig

LITTLE = convnext.Size((1, 2, 2, 1), (16, 32, 64, 128), 0.0)


def theirs() -> nn.Module:
    """torchvision's network with the sizes of ``LITTLE``, for the controls."""
    following = (*LITTLE.widths[1:], None)
    rows = [CNBlockConfig(*sizes) for sizes in zip(LITTLE.widths, following, LITTLE.depths, strict=True)]
    return torchvision.models.ConvNeXt(rows, num_classes=10)


def ours() -> nn.Module:
    return convnext.ConvNeXt(LITTLE, num_classes=10, image_size=64)


def test_same_function_as_torchvision() -> None:
    reference = torchvision.models.convnext_tiny(num_classes=10)
    assert_same_function(registry.build("convnext_tiny", num_classes=10, image_size=64), reference, (3, 64, 64))
    assert_same_function(ours(), theirs(), (3, 64, 64))


def _change_activation(network: Any) -> None:
    network.stage3[2].gelu = nn.ReLU()


def _shift_epsilons(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-5


def _move_the_patches(network: Any) -> None:
    network.stem.conv.padding = (1, 1)


@pytest.mark.parametrize("spoil", [_change_activation, _shift_epsilons, _move_the_patches])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_comparison_can_fail(ours(), theirs(), (3, 64, 64), spoil)


def test_the_block_is_made_of_convolutions_alone() -> None:
    """Linear layers with channels last are 1×1 convolutions with channels first."""
    block = convnext.ConvNextBlock(6).double()
    nn.init.normal_(block.scale)
    x = torch.randn(2, 6, 9, 8, dtype=torch.float64)
    y = block.depthwise(x)
    mean, variance = y.mean(1, keepdim=True), y.var(1, keepdim=True, unbiased=False)
    y = (y - mean) / (variance + 1e-6).sqrt()
    y = nn.functional.conv2d(y, block.linear1.weight[:, :, None, None], block.linear1.bias)
    y = nn.functional.conv2d(nn.functional.gelu(y), block.linear2.weight[:, :, None, None], block.linear2.bias)
    assert torch.allclose(block(x), x + block.scale[:, None, None] * y, atol=1e-12)


def test_places_are_mixed_channel_by_channel_and_channels_place_by_place() -> None:
    torch.manual_seed(0)
    block = convnext.ConvNextBlock(5, layer_scale=1.0).double()
    x = torch.randn(1, 5, 15, 15, dtype=torch.float64)
    changed = x.clone()
    changed[0, 2, 7, 7] += 1.0
    moved = (block.depthwise(changed) - block.depthwise(x))[0].abs()
    assert moved.amax(dim=(1, 2)).nonzero().flatten().tolist() == [2], "depthwise: channel 2 stays in channel 2"
    rows = (block(changed) - block(x))[0].abs().amax(dim=(0, 2)).nonzero().flatten().tolist()
    assert rows == list(range(4, 11)), "one block sees 7 rows"


def test_a_block_begins_as_its_shortcut() -> None:
    network: Any = convnext.convnext_nano()
    block = network.stage2[1]
    x = torch.randn(1, 64, 8, 8)
    assert torch.equal(block.scale, torch.full((64,), 1e-6))
    assert (block(x) - x).abs().max() < 1e-5
    scaled: Any = convnext.convnext_nano(layer_scale=0.1)
    assert scaled.stage1[0].scale[0].item() == pytest.approx(0.1)


def test_seven_by_seven_is_cheap_when_it_is_depthwise() -> None:
    network = counting.on_meta(convnext.convnext_tiny)
    macs = counting.module_macs(network, (3, 224, 224))
    depthwise = sum(n for name, n in macs.items() if name.endswith(".depthwise"))
    assert 0.01 < depthwise / macs[""] < 0.03


def test_stochastic_depth_is_the_papers_unless_told_otherwise() -> None:
    last = {"convnext_tiny": 0.1, "convnext_small": 0.4, "convnext_base": 0.5, "convnext_large": 0.5}
    for name, rate in last.items():
        network: Any = counting.on_meta(lambda name=name: registry.build(name))
        assert network.stage4[-1].drop_path.rate == pytest.approx(rate)
        assert network.stage1[0].drop_path.rate == 0.0
    told: Any = convnext.convnext_nano(drop_path=0.3)
    assert told.stage4[-1].drop_path.rate == pytest.approx(0.3)


@pytest.mark.parametrize(("stem", "smallest"), [("imagenet", 32), ("small", 8)])
def test_the_smallest_image_works_and_a_smaller_one_is_refused(stem: str, smallest: int) -> None:
    network = (
        convnext.convnext_nano(image_size=smallest) if stem == "small" else convnext.convnext_tiny(image_size=smallest)
    )
    assert network.eval()(torch.randn(1, 3, smallest, smallest)).ndim == 2
    message = f"image_size: {smallest - 1} is too small for the {stem} layout; the smallest that works is {smallest}"
    with pytest.raises(ValueError, match=message):
        convnext.convnext_tiny(image_size=smallest - 1, stem=stem)
