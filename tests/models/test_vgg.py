"""VGG against torchvision, growing a deep one from a shallow one, and the facts that its note tells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from cnn_explorer.models import vgg
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from support.tensors import gradient
from torch import nn

HIDDEN = 16


def torchvision_vgg(name: str) -> nn.Module:
    """torchvision's network with narrow fully connected layers, which are the same code at any width."""
    with torch.device("meta"):
        reference = getattr(torchvision.models, name)(num_classes=10)
    reference.features.to_empty(device="cpu")
    reference.classifier[0] = nn.Linear(512 * 7 * 7, HIDDEN)
    reference.classifier[3] = nn.Linear(HIDDEN, HIDDEN)
    reference.classifier[6] = nn.Linear(HIDDEN, 10)
    return reference


@pytest.mark.parametrize(("name", "size"), [("vgg11", 64), ("vgg16_bn", 32)])
def test_same_function_as_torchvision(name: str, size: int) -> None:
    ours = registry.build(name, num_classes=10, image_size=size, hidden=HIDDEN)
    assert_same_function(ours, torchvision_vgg(name), (3, size, size))


def _change_epsilon(network: Any) -> None:
    network.stage2.conv1.norm.eps = 1e-3


def _change_activation(network: Any) -> None:
    network.stage3.conv2.act = nn.GELU()


def _change_stride(network: Any) -> None:
    network.stage1.pool = nn.MaxPool2d(3, 2, padding=1)


@pytest.mark.parametrize("spoil", [_change_epsilon, _change_activation, _change_stride])
def test_the_comparison_catches_a_change(spoil) -> None:
    ours = registry.build("vgg11_bn", num_classes=10, image_size=32, hidden=HIDDEN)
    assert_comparison_can_fail(ours, torchvision_vgg("vgg11_bn"), (3, 32, 32), spoil)


def test_configuration_c_by_closed_form() -> None:
    """The paper rounds to 134 M: vgg13 and three more 1×1 convolutions with 256, 512 and 512 channels."""
    one_by_one = sum(width * width + width for width in (256, 512, 512))
    b, c = (counting.count_parameters(counting.on_meta(make)) for make in (vgg.vgg13, vgg.vgg16_c))
    assert c == b + one_by_one
    assert round(c / 1e6) == 134
    work = registry.find("vgg16_c").paper_stem.macs - registry.find("vgg13").paper_stem.macs
    assert work == 256**2 * 56**2 + 512**2 * 28**2 + 512**2 * 14**2


@pytest.mark.parametrize(
    ("name", "layers"), [("vgg11", 11), ("vgg13", 13), ("vgg16", 16), ("vgg16_c", 16), ("vgg19", 19)]
)
def test_the_name_counts_the_layers(name: str, layers: int) -> None:
    network = counting.on_meta(lambda: registry.build(name))
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules()) == layers


def seen_pixels(layers: nn.Module, size: int) -> int:
    """Side of the square of pixels that the middle output depends on."""
    image = torch.rand(1, 1, size, size, requires_grad=True)
    out = layers(image)
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    return int(gradient(image)[0, 0].any(dim=0).sum())


@pytest.mark.parametrize(("depth", "side"), [(1, 3), (2, 5), (3, 7)])
def test_stacked_windows_see_what_a_large_one_sees(depth: int, side: int) -> None:
    block = vgg.Block(1, 1, (3,) * depth, pool="none")
    for parameter in block.parameters():
        nn.init.constant_(parameter, 0.5)
    large = nn.Conv2d(1, 1, side, padding=side // 2)
    nn.init.constant_(large.weight, 0.5)
    assert seen_pixels(block, 15) == seen_pixels(large, 15) == side


def test_three_small_windows_have_55_percent_of_the_weights() -> None:
    channels = 64
    three = 3 * nn.Conv2d(channels, channels, 3, bias=False).weight.numel()
    one = nn.Conv2d(channels, channels, 7, bias=False).weight.numel()
    assert round(100 * three / one) == 55


def small(name: str, **options: Any) -> vgg.VGG:
    network = registry.build(name, stem="small", **options)
    assert isinstance(network, vgg.VGG)
    return network


@pytest.mark.parametrize("names", [("vgg19", "vgg11"), ("vgg16_bn", "vgg11_bn"), ("vgg16_c", "vgg11")])
def test_a_deep_one_grows_from_a_shallow_one(names: tuple[str, str]) -> None:
    deep, shallow = (small(name) for name in names)
    before = {name: value.clone() for name, value in deep.state_dict().items()}
    copied = vgg.grow(deep, shallow)
    assert copied == ["stage1.conv1", "stage2.conv1", "stage3.conv1", "stage3.conv2", "head"]
    source = shallow.state_dict()
    for name, value in deep.state_dict().items():
        if any(name.startswith(layer + ".") for layer in copied):
            assert torch.equal(value, source[name]), name
        else:
            assert torch.equal(value, before[name]), name
    assert all(parameter.requires_grad for parameter in deep.parameters())


def test_growing_takes_the_fully_connected_layers_of_the_imagenet_form() -> None:
    deep: Any = registry.build("vgg13", num_classes=10, image_size=32, hidden=HIDDEN)
    shallow: Any = registry.build("vgg11", num_classes=10, image_size=32, hidden=HIDDEN)
    assert vgg.grow(deep, shallow)[-3:] == ["fc6", "fc7", "head"]
    assert torch.equal(deep.fc6[0].weight, shallow.fc6[0].weight)
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(deep.stage1.conv1(image), shallow.stage1.conv1(image))


def test_growing_refuses_what_does_not_fit() -> None:
    deep = small("vgg13")
    with pytest.raises(ValueError, match=r"shallow: stage1\.conv1 does not fit"):
        vgg.grow(deep, small("vgg11_bn"))
    with pytest.raises(ValueError, match="shallow: head does not fit"):
        vgg.grow(deep, small("vgg11", num_classes=100))


def test_local_response_normalisation_stands_behind_the_first_convolution() -> None:
    network: Any = counting.on_meta(lambda: vgg.vgg11(local_response=True))
    assert type(network.stage1.conv1[-1]).__name__ == "LocalResponseNorm"
    assert counting.count_parameters(network) == registry.find("vgg11").paper_stem.parameters


def test_nano_is_the_small_stem_with_a_quarter_of_the_widths() -> None:
    nano = counting.on_meta(vgg.vgg_nano)
    small = counting.on_meta(lambda: registry.build("vgg11_bn", stem="small"))
    widths = [[m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)] for net in (nano, small)]
    assert [4 * width for width in widths[0]] == widths[1]


def test_names() -> None:
    assert registry.find("VGGNet").name == registry.find("vgg").name == "vgg16"
