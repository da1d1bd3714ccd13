"""CapsNet against a plain re-computation with loops, closed-form counts, and the facts that its note tells."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.models import capsnet
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.tensors import gradient, randomise
from torch import nn

NANO: dict[str, Any] = {"num_classes": 3, "image_size": 20}


def squash_by_hand(s: np.ndarray) -> np.ndarray:
    """Equation 1, for one vector."""
    squared = float((s * s).sum())
    return squared / (1 + squared) * s / math.sqrt(squared)


def forward_by_hand(network: capsnet.CapsNet, image: np.ndarray, iterations: int) -> np.ndarray:
    """One image (C, S, S) → class capsules, by the paper's equations and one loop an index."""
    conv1: Any = network.conv1[0]
    primary: Any = network.primary.conv
    x = np.maximum(convolve(image, conv1.weight.detach().numpy(), conv1.bias.detach().numpy(), 1), 0)
    x = convolve(x, primary.weight.detach().numpy(), primary.bias.detach().numpy(), 2)
    types, side = network.primary.types, x.shape[1]
    dim = x.shape[0] // types
    u = [
        squash_by_hand(x[kind * dim : (kind + 1) * dim, row, column])
        for kind in range(types)
        for row in range(side)
        for column in range(side)
    ]
    weight = network.classes.weight.detach().numpy()  # (J, I, pose, dim)
    parents, children = weight.shape[:2]
    votes = [[weight[j, i] @ u[i] for j in range(parents)] for i in range(children)]
    b = np.zeros((children, parents))
    for iteration in range(iterations):
        c = [np.exp(b[i]) / np.exp(b[i]).sum() for i in range(children)]
        v = [
            squash_by_hand(sum((c[i][j] * votes[i][j] for i in range(children)), np.zeros(weight.shape[2])))
            for j in range(parents)
        ]
        if iteration < iterations - 1:
            for i in range(children):
                for j in range(parents):
                    b[i, j] += votes[i][j] @ v[j]
    return np.stack(v)


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    side = (x.shape[1] - 9) // stride + 1
    out = np.empty((weight.shape[0], side, side))
    for row in range(side):
        for column in range(side):
            window = x[:, row * stride : row * stride + 9, column * stride : column * stride + 9]
            out[:, row, column] = (weight * window).sum(axis=(1, 2, 3)) + bias
    return out


def spoil_axis(votes: torch.Tensor, iterations: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The well-known mistake: the softmax over the capsules below."""
    logits = votes.new_zeros(votes.shape[:3])
    for _ in range(iterations):
        couplings = logits.softmax(dim=2)
        capsules = capsnet.squash((couplings.unsqueeze(-1) * votes).sum(2))
        logits = logits + (votes * capsules.unsqueeze(2)).sum(-1)
    return capsules, couplings


@pytest.mark.parametrize("iterations", [1, 3])
def test_same_function_as_the_equations_with_loops(iterations: int) -> None:
    network = capsnet.capsnet_nano(**NANO, iterations=iterations).double()
    randomise(network)
    image = torch.randn(1, 1, 20, 20, dtype=torch.float64)
    _, capsules = network.train()(image)
    expected = torch.from_numpy(forward_by_hand(network, image[0].numpy(), iterations))
    assert torch.allclose(capsules[0], expected, rtol=1e-9, atol=1e-12)
    assert torch.allclose(network.eval()(image)[0], expected.norm(dim=1), rtol=1e-9)


def _axis(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capsnet, "route", spoil_axis)


def _activation(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network.conv1[1] = nn.GELU()


def _iterations(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network.classes.iterations = 2


@pytest.mark.parametrize("spoil", [_axis, _activation, _iterations])
def test_the_comparison_catches_a_change(spoil, monkeypatch: pytest.MonkeyPatch) -> None:
    network = capsnet.capsnet_nano(**NANO).double().train()
    randomise(network)
    torch.manual_seed(1)  # of one image in twelve the third round of routing changes less than 1e-6
    image = torch.randn(1, 1, 20, 20, dtype=torch.float64)
    expected = torch.from_numpy(forward_by_hand(network, image[0].numpy(), 3))
    spoil(network, monkeypatch)
    assert (network(image)[1][0] - expected).abs().max() > 1e-6


def test_counts_without_decoder_equal_the_published_ones() -> None:
    """The paper prints 8.2 M with the decoder, 6.8 M without; these are the exact figures."""
    count = counting.count(counting.on_meta(lambda: capsnet.capsnet(decoder=False)), (1, 28, 28))
    assert (count.parameters, count.macs) == (6_804_224, 201_793_536)


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_routing_costs_two_products_an_iteration_and_no_parameters(iterations: int) -> None:
    """A sum of I·J vectors of 16 for each iteration, and an agreement after each but the last."""
    network = counting.on_meta(lambda: capsnet.capsnet(iterations=iterations))
    stage = counting.count(network, (1, 28, 28)).stages[2]
    pairs = 32 * 6 * 6 * 10
    assert stage.parameters == pairs * 8 * 16
    assert stage.macs == pairs * 8 * 16 + (2 * iterations - 1) * pairs * 16


def test_couplings_sum_to_one_over_the_capsules_above() -> None:
    votes = torch.randn(2, 10, 30, 16, dtype=torch.float64)
    _, couplings = capsnet.route(votes, 3)
    assert torch.allclose(couplings.sum(1), torch.ones(2, 30, dtype=torch.float64), rtol=1e-12)
    assert (couplings.sum(2) - 1).abs().min() > 1e-3, "nothing is normalised over the capsules below"


def test_routing_follows_agreement() -> None:
    """Votes that point one way for parent 0 and all ways for parent 1: all children turn to parent 0."""
    votes = torch.randn(1, 2, 50, 8, generator=torch.Generator().manual_seed(0))
    votes[:, 0] = torch.ones(8) / 2
    shares = [capsnet.route(votes, iterations)[1][:, 0].mean().item() for iterations in (1, 2, 3)]
    assert shares[0] == 0.5 and shares[0] < shares[1] < shares[2]


def test_squash_keeps_the_direction_and_bounds_the_length() -> None:
    s = torch.randn(200, 8, dtype=torch.float64) * torch.logspace(-4, 4, 200, dtype=torch.float64).unsqueeze(1)
    v = capsnet.squash(s)
    assert (v.norm(dim=1) < 1).all()
    assert torch.allclose(F.cosine_similarity(s, v), torch.ones(200, dtype=torch.float64))
    assert torch.allclose(v.norm(dim=1), s.norm(dim=1) ** 2 / (1 + s.norm(dim=1) ** 2))


def test_squash_of_nothing_is_nothing_with_a_finite_gradient() -> None:
    s = torch.zeros(1, 8, requires_grad=True)
    capsnet.squash(s).sum().backward()
    assert torch.equal(gradient(s), torch.zeros(1, 8))


def test_margin_loss_by_hand() -> None:
    lengths = torch.tensor([[0.95, 0.05, 0.3], [0.5, 0.1, 0.9]])
    present = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    first = 0.5 * (0.3 - 0.1) ** 2
    second = (0.9 - 0.5) ** 2 + 0.5 * (0.9 - 0.1) ** 2
    assert capsnet.margin_loss(lengths, present).item() == pytest.approx((first + second) / 2)


def test_the_loss_adds_the_summed_squares_of_the_reconstruction() -> None:
    network = capsnet.capsnet_nano(num_classes=3, in_channels=3, image_size=20)
    images, targets = torch.randn(4, 3, 20, 20), torch.tensor([0, 2, 1, 1])
    lengths, capsules = network.train()(images)
    present = F.one_hot(targets, 3).float()
    flat = images.flatten(1)
    low, high = flat.min(1, keepdim=True).values, flat.max(1, keepdim=True).values
    pixels = (flat - low) / (high - low)
    summed = (network.reconstruct(capsules, targets).flatten(1) - pixels).square().sum(1)
    expected = capsnet.margin_loss(lengths, present) + 0.0005 * summed.mean()
    ours = network.training_loss((lengths, capsules), images, targets, F.cross_entropy)
    assert torch.allclose(ours, expected)
    assert torch.allclose(network.training_loss((lengths, capsules), images, present, F.cross_entropy), expected)


def test_the_decoder_sees_the_label_in_training_and_the_prediction_otherwise() -> None:
    network = capsnet.capsnet_nano(**NANO)
    seen: list[torch.Tensor] = []
    assert network.decoder is not None
    network.decoder.register_forward_hook(lambda module, inputs, output: seen.append(inputs[1]))
    images, targets = torch.randn(4, 1, 20, 20), torch.tensor([0, 2, 1, 1])
    network.train().training_loss(network(images), images, targets, F.cross_entropy)
    scores = network.eval()(images)
    assert torch.equal(seen[0].argmax(1), targets)
    assert torch.equal(seen[1].argmax(1), scores.argmax(1))
    assert all(torch.equal(mask.sum(1), torch.ones(4)) for mask in seen)


def test_only_the_chosen_capsule_reaches_the_drawing() -> None:
    network = capsnet.capsnet_nano(**NANO)
    capsules = torch.randn(2, 3, 16)
    drawn = network.reconstruct(capsules, torch.tensor([1, 1]))
    capsules[:, 0] += 1
    assert torch.equal(drawn, network.reconstruct(capsules, torch.tensor([1, 1])))
    capsules[:, 1] += 1
    assert not torch.equal(drawn, network.reconstruct(capsules, torch.tensor([1, 1])))


def test_normalisation_is_undone_for_the_drawing() -> None:
    pixels = torch.rand(3, 1, 20, 20)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = 0.0, 1.0
    assert torch.allclose(capsnet.intensities((pixels - 0.13) / 0.31), pixels, atol=1e-6)
    assert torch.isfinite(capsnet.intensities(torch.zeros(1, 1, 20, 20))).all()


def test_large_matrices_leave_nothing_to_learn() -> None:
    """Why the weights start small: standard normal matrices make every class capsule long, where squash is flat."""
    torch.manual_seed(0)
    network = capsnet.capsnet_nano()
    images = 2 * F.interpolate(torch.randn(4, 1, 5, 5), size=28, mode="bilinear")
    assert network.train()(images)[0].max() < 0.1
    nn.init.normal_(network.classes.weight)
    assert network(images)[0].mean() > 0.7


def test_without_decoder_nothing_can_be_drawn() -> None:
    network = capsnet.capsnet_nano(decoder=False)
    assert network.train()(torch.randn(2, 1, 28, 28)).shape == (2, 10)
    with pytest.raises(ValueError, match="decoder"):
        network.reconstruct(torch.zeros(1, 10, 16), torch.tensor([0]))


def test_the_smallest_image_works() -> None:
    assert capsnet.capsnet_nano(image_size=17).eval()(torch.randn(2, 1, 17, 17)).shape == (2, 10)


def test_names() -> None:
    assert registry.find("CapsNet").name == registry.find("capsule_network").name == "capsnet"
