"""LeNet-5 against plain re-computations of both versions, and the facts that its note tells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.models import lenet
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function, relative_difference
from support.tensors import gradient, randomise
from torch import Tensor, nn

# Table I of the paper as it is printed: rows are S2 maps, columns are C3 maps.
PRINTED_TABLE = (
    "X...XXX..XXXX.XX",
    "XX...XXX..XXXX.X",
    "XXX...XXX..X.XXX",
    ".XXX..XXXX..X.XX",
    "..XXX..XXXX.XX.X",
    "...XXX..XXXX.XXX",
)


def plain_lenet5(channels: int, padding: int, activation: type[nn.Module], pooling: type[nn.Module]) -> nn.Module:
    return nn.Sequential(
        *[nn.Conv2d(channels, 6, 5, padding=padding), activation(), pooling(2)],
        *[nn.Conv2d(6, 16, 5), activation(), pooling(2), nn.Flatten()],
        *[nn.Linear(400, 120), activation(), nn.Linear(120, 84), activation(), nn.Linear(84, 10)],
    )


@pytest.mark.parametrize(
    ("options", "reference", "shape"),
    [
        ({}, (1, 2, nn.ReLU, nn.AvgPool2d), (1, 28, 28)),
        ({"activation": "tanh", "pooling": "max"}, (3, 0, nn.Tanh, nn.MaxPool2d), (3, 32, 32)),
        ({"activation": "sigmoid"}, (1, 2, nn.Sigmoid, nn.AvgPool2d), (1, 28, 28)),
    ],
)
def test_same_function_as_a_plain_stack(options: dict, reference: tuple, shape: tuple[int, int, int]) -> None:
    ours = lenet.lenet5(in_channels=shape[0], image_size=shape[1], **options)
    assert_same_function(ours, plain_lenet5(*reference), shape)


def _change_activation(network: Any) -> None:
    network.c3[1] = nn.GELU()


def _change_pooling(network: nn.Module) -> None:
    network.s2 = nn.MaxPool2d(2)


@pytest.mark.parametrize("spoil", [_change_activation, _change_pooling])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_comparison_can_fail(lenet.lenet5(), plain_lenet5(1, 2, nn.ReLU, nn.AvgPool2d), (1, 28, 28), spoil)


def test_counts_of_the_colour_form() -> None:
    network = counting.on_meta(lambda: lenet.lenet5(in_channels=3, image_size=32, activation="relu", pooling="max"))
    count = counting.count(network, (3, 32, 32))
    assert (count.parameters, count.macs) == (62_006, 651_720)


def squash(x: Tensor) -> Tensor:
    return 1.7159 * torch.tanh(2 * x / 3)


def paper_by_hand(network: Any, image: Tensor) -> Tensor:
    """The penalties of lenet5_paper computed map by map from the printed table, with none of its modules."""
    x = squash(F.conv2d(image, network.c1[0].weight, network.c1[0].bias))
    x = subsample_by_hand(x, network.s2)
    maps = []
    by_inputs = {}  # our three grouped convolutions, unpacked: number of inputs → iterator over (weight, bias)
    for conv in network.c3[0].convs:
        by_inputs[conv.weight.shape[1]] = iter(zip(conv.weight, conv.bias, strict=True))
    for column in range(16):
        seen = [row for row in range(6) if PRINTED_TABLE[row][column] == "X"]
        weight, bias = next(by_inputs[len(seen)])
        # the grouped convolution keeps the order in which lenet.C3_TABLE names the inputs
        order = lenet.C3_TABLE[column]
        assert sorted(order) == seen
        terms = [F.conv2d(x[:, [m]], weight[None, [order.index(m)]]) for m in seen]
        maps.append(sum(terms, torch.zeros(()))[:, 0] + bias)
    x = subsample_by_hand(squash(torch.stack(maps, dim=1)), network.s4)
    x = squash(x.flatten(1) @ network.c5[0].weight.flatten(1).T + network.c5[0].bias)
    x = squash(x @ network.f6[1].weight.T + network.f6[1].bias)
    codes = network.output.codes
    return torch.stack([((x - code) ** 2).sum(1) for code in codes], dim=1)


def subsample_by_hand(x: Tensor, layer: Any) -> Tensor:
    total = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
    return squash(layer.coefficient * total + layer.bias)


def test_the_paper_version_map_by_map() -> None:
    network = lenet.lenet5_paper().double().eval()
    randomise(network)
    image = torch.randn(3, 1, 32, 32, dtype=torch.float64)
    ours, theirs = network(image), -paper_by_hand(network, image)
    assert relative_difference(ours, theirs) < 1e-12
    network.c1[1] = nn.Tanh()
    assert relative_difference(network(image), theirs) > 1e-6, "a changed activation passes unnoticed"


def test_parameters_of_the_paper_layer_by_layer() -> None:
    network = lenet.lenet5_paper()
    layers = {name: counting.count_parameters(layer) for name, layer in network.named_children()}
    assert layers == {"pad": 0, "c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48120, "f6": 10164, "output": 0}


def test_connections_of_the_paper() -> None:
    """Section II.B counts every multiplication by a weight and every bias: 340,908."""
    c1, s2, c3, s4 = 156 * 28 * 28, 6 * (4 + 1) * 14 * 14, 1516 * 10 * 10, 16 * (4 + 1) * 5 * 5
    assert c1 + s2 + c3 + s4 + 48120 + 10164 + 84 * 10 == 340_908


def test_the_squashing_function_keeps_the_targets() -> None:
    at_targets = lenet.ScaledTanh()(torch.tensor([-1.0, 1.0]))
    assert torch.allclose(at_targets, torch.tensor([-1.0, 1.0]), atol=1e-4)


def test_codes_are_distinct_and_fixed() -> None:
    network = lenet.lenet5_paper(num_classes=100)
    codes = network.output.codes
    assert codes.shape == (100, 84) and set(codes.unique().tolist()) == {-1.0, 1.0}
    assert "output.codes" not in dict(network.named_parameters())
    differing = (codes[:, None] != codes[None]).sum(2) + 84 * torch.eye(100, dtype=torch.int64)
    assert differing.min() >= 3
    assert torch.equal(codes, lenet.lenet5_paper(num_classes=100).output.codes)


def test_the_loss_is_equation_9() -> None:
    network = lenet.lenet5_paper()
    outputs = -torch.rand(5, 10, dtype=torch.float64) * 60
    targets = torch.tensor([3, 1, 4, 1, 5])
    by_hand = torch.zeros((), dtype=torch.float64)
    for penalties, right in zip(-outputs, targets, strict=True):
        rubbish = torch.exp(torch.tensor(-lenet.RUBBISH_PENALTY, dtype=torch.float64))
        by_hand += penalties[right] + torch.log(rubbish + torch.exp(-penalties).sum())
    ours = network.training_loss(outputs, torch.empty(0), targets, F.cross_entropy)
    assert torch.allclose(ours, by_hand / 5, rtol=1e-12)
    as_probabilities = F.one_hot(targets, 10).double()
    assert torch.allclose(network.training_loss(outputs, torch.empty(0), as_probabilities, F.cross_entropy), ours)


def test_far_classes_are_left_alone() -> None:
    """What the constant j is for: a class further away than j is hardly pushed any more."""
    outputs = torch.tensor([[-1.0, -10.0, -80.0]], requires_grad=True)
    lenet.lenet5_paper(num_classes=3).training_loss(
        outputs, torch.empty(0), torch.tensor([0]), F.cross_entropy
    ).backward()
    push = gradient(outputs)[0]
    assert push[1] > 1e-5 > push[2] >= 0


def test_the_paper_version_starts_at_its_declared_loss() -> None:
    torch.manual_seed(0)
    network = lenet.lenet5_paper()
    image, targets = torch.randn(16, 1, 32, 32), torch.arange(16) % 10
    loss = network.training_loss(network(image), image, targets, F.cross_entropy).item()
    declared = network.declaration.initial_loss
    assert declared is not None
    assert abs(loss - declared) < 0.05 * declared


def test_small_images_get_their_border_continued() -> None:
    image = torch.rand(1, 1, 28, 28)
    padded = lenet.PadTo(28, 32)(image)
    assert padded.shape == (1, 1, 32, 32)
    assert torch.equal(padded[:, :, 2:30, 2:30], image)
    assert torch.equal(padded[0, 0, :2, 2:30], image[0, 0, :1].expand(2, -1))


def test_the_smallest_image_works() -> None:
    assert lenet.lenet5(image_size=12)(torch.randn(2, 1, 12, 12)).shape == (2, 10)


def test_names() -> None:
    assert registry.find("LeNet").name == "lenet5"
    assert registry.find("lenet-5").name == "lenet5"
