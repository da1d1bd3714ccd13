"""Channel-Boosted CNN against a plain re-computation, closed-form counts, and the facts that its note tells."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.models import channel_boosted_cnn
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.tensors import randomise
from torch import Tensor, nn


def plain(network: nn.Module, x: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    """Scores and reconstruction, from the weights alone, by torch's functions."""
    weights = {**dict(network.named_parameters()), **{name: b.clone() for name, b in network.named_buffers()}}

    def block(x: Tensor, name: str, stride: int = 1) -> Tensor:
        x = F.conv2d(x, weights[f"{name}.conv.weight"], stride=stride, padding=1)
        mean, variance = weights[f"{name}.norm.running_mean"], weights[f"{name}.norm.running_var"]
        x = F.batch_norm(x, mean, variance, weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"], training)
        return x.clamp_min(0)

    size = x.shape[2:]
    half = block(x, "booster.encoder.0", 2)
    code = block(half, "booster.encoder.1", 2)
    unfolded = block(F.interpolate(code, half.shape[2:]), "booster.decoder.1")
    extra = block(F.interpolate(unfolded, size), "booster.extra")
    drawn = torch.einsum("ck,bkhw->bchw", weights["reconstruct.weight"][:, :, 0, 0], extra)
    drawn = drawn + weights["reconstruct.bias"][:, None, None]
    x = torch.cat([x, extra], 1)
    for name in ("stage1.0", "stage2.0", "stage3.0"):
        x = F.max_pool2d(block(x, name), 2, ceil_mode=True)
    x = F.relu(x.flatten(1) @ weights["head.1.weight"].T + weights["head.1.bias"])
    return x @ weights["head.3.weight"].T + weights["head.3.bias"], drawn


def random_network(**options) -> nn.Module:
    network = channel_boosted_cnn.channel_boosted_cnn(**options).double()
    randomise(network)
    return network


@pytest.mark.parametrize(("channels", "size", "boost"), [(3, 32, 8), (1, 28, 8), (2, 30, 5)])
def test_same_function_as_a_plain_computation(channels: int, size: int, boost: int) -> None:
    network = random_network(in_channels=channels, image_size=size, boost=boost)
    image = torch.randn(3, channels, size, size, dtype=torch.float64)
    with torch.no_grad():
        for training in (False, True):
            network.train(training)
            scores, drawn = plain(network, image, training)
            ours = network(image)
            assert torch.allclose(ours[0] if training else ours, scores, rtol=1e-9, atol=1e-11)
            if training:
                assert torch.allclose(ours[1], drawn, rtol=1e-9, atol=1e-11)


def _activation(network: Any) -> None:
    network.booster.extra.act = nn.GELU()


def _epsilon(network: Any) -> None:
    network.booster.encoder[0].norm.eps = 1e-3


def _upsampling(network: Any) -> None:
    network.booster.decoder[0].mode = "bilinear"


@pytest.mark.parametrize("spoil", [_activation, _epsilon, _upsampling])
def test_the_comparison_catches_a_change(spoil) -> None:
    network = random_network().eval()
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = plain(network, image, False)[0]
        spoil(network)
        assert (network(image) - expected).abs().max() > 1e-6


@pytest.mark.parametrize(("channels", "size", "boost"), [(3, 32, 8), (1, 28, 8), (3, 32, 2)])
def test_closed_forms(channels: int, size: int, boost: int) -> None:
    """A 3×3 convolution without bias: 9·C_in·C_out weights, used at each place of its output; BN: two values a channel."""
    half, quarter = size // 2, size // 4
    layers = [  # (C_in, C_out, side of the output)
        (channels, 16, half),
        (16, 8, quarter),
        (8, 16, half),
        (16, boost, size),
        (channels + boost, 32, size),
        (32, 64, half),
        (64, 128, quarter),
    ]
    features = 128 * 4 * 4  # 32 → 16 → 8 → 4, and 28 → 14 → 7 → 4
    parameters = sum(9 * n * m + 2 * m for n, m, _ in layers)
    parameters += boost * channels + channels  # the 1×1 of the reconstruction, which runs in training alone
    parameters += features * 128 + 128 + 128 * 10 + 10
    macs = sum(9 * n * m * side * side for n, m, side in layers) + features * 128 + 128 * 10
    network = counting.on_meta(
        lambda: registry.build("channel_boosted_cnn", in_channels=channels, image_size=size, boost=boost)
    )
    count = counting.count(network, (channels, size, size))
    assert (count.parameters, count.macs) == (parameters, macs)


def test_the_classifier_is_the_basic_convnet() -> None:
    """Apart from the channels of its first convolution: what the boost brings can be seen by comparing the two."""
    boosted, basic = registry.build("channel_boosted_cnn"), registry.build("basic_convnet")
    own = {name: p.shape for name, p in boosted.named_parameters() if not name.startswith(("booster.", "reconstruct."))}
    theirs = {name: p.shape for name, p in basic.named_parameters()}
    assert own.pop("stage1.0.conv.weight") == (32, 11, 3, 3)
    assert theirs.pop("stage1.0.conv.weight") == (32, 3, 3, 3)
    assert own == theirs


@pytest.mark.parametrize("joint", [False, True])
def test_the_auto_encoder_learns_from_labels_only_if_asked(joint: bool) -> None:
    network = channel_boosted_cnn.channel_boosted_cnn(joint=joint).train()
    scores, _ = network(torch.randn(4, 3, 32, 32))
    F.cross_entropy(scores, torch.arange(4)).backward()
    learned = [p.grad is not None and p.grad.any().item() for p in network.booster.parameters()]
    assert all(learned) if joint else not any(learned)


def test_the_image_itself_stays_among_the_channels() -> None:
    network = channel_boosted_cnn.channel_boosted_cnn().eval()
    seen: list[Tensor] = []
    network.stage1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    image = torch.randn(2, 3, 32, 32)
    network(image)
    assert seen[0].shape == (2, 11, 32, 32)
    assert torch.equal(seen[0][:, :3], image)


def test_the_code_is_too_small_for_a_copy() -> None:
    for channels, size in ((1, 28), (3, 32)):
        booster = channel_boosted_cnn.AutoEncoder(channels, 8, size)
        code = booster.encoder(torch.randn(1, channels, size, size))
        assert code.numel() <= channels * size * size / 2


def test_loss_is_that_of_the_scores_plus_the_reconstruction() -> None:
    network = channel_boosted_cnn.channel_boosted_cnn().train()
    images, targets = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
    scores, drawn = network(images)
    expected = F.cross_entropy(scores, targets) + ((drawn - images) ** 2).mean()
    assert torch.allclose(network.training_loss((scores, drawn), images, targets, F.cross_entropy), expected)
    assert network.declaration.initial_loss == pytest.approx(math.log(10) + 1)


def test_the_smallest_image_works() -> None:
    network = channel_boosted_cnn.channel_boosted_cnn(image_size=1).eval()
    assert network(torch.randn(2, 3, 1, 1)).shape == (2, 10)
