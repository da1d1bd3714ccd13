"""AlexNet: torchvision's tower, the paper's two towers computed apart, and the facts that its note tells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from cnn_explorer.models import alexnet
from cnn_explorer.models.anatomy import counting
from support.same_function import assert_comparison_can_fail, assert_same_function, relative_difference
from support.tensors import randomise
from torch import Tensor, nn

HIDDEN = 32


def torchvision_alexnet() -> nn.Module:
    """torchvision's network with narrow fully connected layers, which are the same code at any width."""
    reference = torchvision.models.alexnet(num_classes=10)
    reference.classifier[1] = nn.Linear(9216, HIDDEN)
    reference.classifier[4] = nn.Linear(HIDDEN, HIDDEN)
    reference.classifier[6] = nn.Linear(HIDDEN, 10)
    return reference


def ours() -> nn.Module:
    return alexnet.alexnet_owt(num_classes=10, image_size=127, hidden=HIDDEN)


def test_same_function_as_torchvision() -> None:
    assert_same_function(ours(), torchvision_alexnet(), (3, 127, 127))


def _change_activation(network: Any) -> None:
    network.conv3[1] = nn.GELU()


def _change_stride(network: Any) -> None:
    network.conv1[0].stride = (3, 3)


def _change_padding(network: Any) -> None:
    network.conv1[0].padding = (1, 1)


@pytest.mark.parametrize("spoil", [_change_activation, _change_stride, _change_padding])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_comparison_can_fail(ours(), torchvision_alexnet(), (3, 127, 127), spoil)


def response_by_hand(x: Tensor) -> Tensor:
    """Equation of section 3.3, channel by channel."""
    channels = x.shape[1]
    damped = []
    for c in range(channels):
        neighbours = range(max(0, c - 2), min(channels - 1, c + 2) + 1)
        total = sum(x[:, j] ** 2 for j in neighbours)
        damped.append(x[:, c] / (2 + 1e-4 * total) ** 0.75)
    return torch.stack(damped, dim=1)


def test_local_response_normalisation() -> None:
    x = 30 * torch.randn(2, 9, 4, 4, dtype=torch.float64)
    layer = alexnet.LocalResponseNorm()
    assert torch.allclose(layer(x), response_by_hand(x), rtol=1e-12)
    assert torch.allclose(layer(x), nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)(x), rtol=1e-12)


def two_cards(network: Any, image: Tensor) -> Tensor:
    """The paper's network with the halves of conv2, conv4 and conv5 computed apart, as on two cards."""

    def apart(x: Tensor, conv: nn.Conv2d, padding: int) -> Tensor:
        assert conv.bias is not None
        cards = zip(x.chunk(2, 1), conv.weight.chunk(2), conv.bias.chunk(2), strict=True)
        return torch.cat([F.conv2d(half, w, b, padding=padding) for half, w, b in cards], dim=1).relu()

    x = F.conv2d(image, network.conv1[0].weight, network.conv1[0].bias, stride=4).relu()
    x = F.max_pool2d(response_by_hand(x), 3, 2)
    x = F.max_pool2d(response_by_hand(apart(x, network.conv2[0], 2)), 3, 2)
    x = F.conv2d(x, network.conv3[0].weight, network.conv3[0].bias, padding=1).relu()
    x = apart(x, network.conv4[0], 1)
    x = F.max_pool2d(apart(x, network.conv5[0], 1), 3, 2)
    x = F.linear(x.flatten(1), network.fc6[0].weight, network.fc6[0].bias).relu()
    x = F.linear(x, network.fc7[0].weight, network.fc7[0].bias).relu()
    return F.linear(x, network.fc8.weight, network.fc8.bias)


def test_two_groups_are_two_cards() -> None:
    network = alexnet.alexnet(num_classes=10, image_size=99, hidden=HIDDEN).double().eval()
    randomise(network)
    image = torch.randn(2, 3, 99, 99, dtype=torch.float64)
    expected = two_cards(network, image)
    assert relative_difference(network(image), expected) < 1e-12
    network.conv2[2] = nn.Identity()
    assert relative_difference(network(image), expected) > 1e-6, "a lost normalisation passes unnoticed"


def test_without_groups() -> None:
    network = counting.on_meta(lambda: alexnet.alexnet(grouped=False))
    count = counting.count(network, (3, 227, 227))
    assert (count.parameters, count.macs) == (62_378_344, 1_135_256_096)


def test_dropout_stands_where_the_two_papers_have_it() -> None:
    of_paper: Any = counting.on_meta(alexnet.alexnet)
    of_torchvision: Any = counting.on_meta(alexnet.alexnet_owt)
    assert [type(layer).__name__ for layer in of_paper.fc6] == ["Linear", "ReLU", "Dropout"]
    assert [type(layer).__name__ for layer in of_torchvision.fc6] == ["Dropout", "Linear", "ReLU"]


def test_initial_weights_of_the_paper() -> None:
    network: Any = alexnet.alexnet(image_size=67, hidden=HIDDEN)
    assert abs(network.conv3[0].weight.std().item() - 0.01) < 2e-4
    ones = [
        name for name in ("conv1", "conv2", "conv3", "conv4", "conv5") if getattr(network, name)[0].bias.eq(1).all()
    ]
    assert ones == ["conv2", "conv4", "conv5"]


def test_nano_by_closed_form() -> None:
    count = counting.count(counting.on_meta(lambda: alexnet.alexnet_nano()), (3, 32, 32))
    convolutions = [(3, 24, 9, 1, 32), (24, 64, 25, 2, 16), (64, 96, 9, 1, 8), (96, 96, 9, 2, 8), (96, 64, 9, 2, 8)]
    linears = [(64 * 4 * 4, 256), (256, 256), (256, 10)]
    weights = sum(i // g * o * k for i, o, k, g, _ in convolutions) + sum(i * o for i, o in linears)
    biases = sum(o for _, o, *_ in convolutions) + sum(o for _, o in linears)
    work = sum(i // g * o * k * s * s for i, o, k, g, s in convolutions) + sum(i * o for i, o in linears)
    assert (count.parameters, count.macs) == (weights + biases, work)


@pytest.mark.parametrize(("build", "smallest"), [(alexnet.alexnet, 67), (alexnet.alexnet_owt, 63)])
def test_smallest_image(build, smallest: int) -> None:
    network = build(num_classes=10, image_size=smallest, hidden=HIDDEN).eval()
    assert network(torch.randn(1, 3, smallest, smallest)).shape == (1, 10)
    with pytest.raises(ValueError, match=f"image_size: {smallest - 1} .*smallest that works is {smallest}"):
        build(image_size=smallest - 1, hidden=HIDDEN)
