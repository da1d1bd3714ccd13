"""The primitives of models/layers.py: what stochastic depth keeps, how weights are drawn, how channels are rounded."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from cnn_explorer.models import layers
from cnn_explorer.models.anatomy import counting
from torch import nn


def test_stochastic_depth_scales_what_it_keeps_and_leaves_out_whole_samples() -> None:
    torch.manual_seed(0)
    drop = layers.DropPath(0.25).train()
    kept = drop(torch.ones(4000, 3, 2))
    values = kept.flatten(1)
    assert torch.equal(values, values[:, :1].expand_as(values)), "a sample is kept or left out as a whole"
    assert values[:, 0].unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert values[:, 0].mean().item() == pytest.approx(1.0, abs=0.05), "the expectation stays"
    assert (values[:, 0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)


def test_stochastic_depth_changes_nothing_in_eval_mode_or_at_rate_0() -> None:
    x = torch.randn(5, 3)
    assert torch.equal(layers.DropPath(0.9).eval()(x), x)
    assert torch.equal(layers.DropPath(0.0).train()(x), x)
    assert layers.DropPath().rate == 0.0


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match=rf"rate: {rate} is not in \[0, 1\)"):
        layers.DropPath(rate)
    with pytest.raises(ValueError, match="drop_path"):
        layers.drop_path_rates(rate, 3)


def test_rates_grow_evenly_from_0_to_the_last() -> None:
    assert layers.drop_path_rates(0.3, 4) == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert layers.drop_path_rates(0.3, 1) == [0.0]


def test_he_initialisation_has_the_variance_of_fan_out() -> None:
    """64 channels in and 256 out: by fan in the standard deviation would be twice as large."""
    torch.manual_seed(0)
    network: Any = nn.Sequential(nn.Conv2d(64, 256, 3), nn.BatchNorm2d(256))
    nn.init.constant_(network[1].weight, 0.5)
    layers.initialise_he(network)
    assert network[0].weight.std().item() == pytest.approx(math.sqrt(2 / (256 * 9)), rel=0.01)
    assert not network[0].bias.any() and not network[1].bias.any()
    assert torch.equal(network[1].weight, torch.ones(256))


def test_truncated_normal_initialisation() -> None:
    torch.manual_seed(0)
    network: Any = nn.Sequential(nn.Linear(300, 300), nn.Conv2d(16, 64, 5))
    layers.initialise_truncated_normal(network, std=0.05)
    for module in network:
        assert module.weight.std().item() == pytest.approx(0.05, rel=0.02)
        assert not module.bias.any()


def test_convolution_keeps_the_size_at_stride_1_and_has_no_bias() -> None:
    x = torch.randn(2, 4, 9, 9)
    assert layers.ConvNormAct(4, 6, 5)(x).shape == (2, 6, 9, 9)
    assert layers.ConvNormAct(4, 6, (1, 7))(x).shape == (2, 6, 9, 9)
    assert layers.ConvNormAct(4, 6, 3, padding=0)(x).shape == (2, 6, 7, 7)
    assert layers.ConvNormAct(4, 6, 3, stride=2)(x).shape == (2, 6, 5, 5)
    made = layers.ConvNormAct(4, 6)
    assert made.conv.bias is None and made(x).min() == 0
    assert layers.ConvNormAct(4, 6, activation=None)(x).min() < 0


def test_layer_norm_over_the_channels_of_each_pixel() -> None:
    x = torch.randn(2, 8, 3, 5) * 3 + 1
    normed = layers.LayerNorm2d(8)(x)
    assert normed.shape == x.shape
    assert torch.allclose(normed.mean(1), torch.zeros(2, 3, 5), atol=1e-5)
    assert torch.allclose(normed.std(1, unbiased=False), torch.ones(2, 3, 5), atol=1e-3)


def test_the_global_pool_is_the_mean_over_height_and_width() -> None:
    x = torch.arange(12.0).view(1, 2, 2, 3)
    assert layers.GlobalAveragePool()(x).tolist() == [[2.5, 8.5]]


@pytest.mark.parametrize(
    ("value", "divisor", "floor", "expected"),
    [(16, 8, None, 16), (19, 8, None, 24), (11.9, 8, None, 16), (3, 8, None, 8), (3, 8, 16, 16), (22, 16, None, 32)],
)
def test_channels_are_rounded_and_lose_at_most_a_tenth(value, divisor, floor, expected: int) -> None:
    assert layers.make_divisible(value, divisor, floor) == expected


def test_halving_rounds_up_each_time() -> None:
    assert [layers.halved(28), layers.halved(7), layers.halved(28, 3), layers.halved(5, 0)] == [14, 4, 4, 5]


def test_arguments_are_checked_by_name() -> None:
    layers.check_positive(depth=1)
    with pytest.raises(ValueError, match="width: 0 is not above zero"):
        layers.check_positive(depth=1, width=0)
    layers.check_image_size(8, 8, "the small layout")
    with pytest.raises(ValueError, match=r"image_size: 7 is too small for the small layout; .* is 8"):
        layers.check_image_size(7, 8, "the small layout")
    with pytest.raises(ValueError, match="stem: 'big' is unknown; choose one of 'imagenet', 'small'"):
        layers.check_choice("stem", "big", ("imagenet", "small"))


def test_frozen_weights_are_not_counted_as_trainable() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    network[0].requires_grad_(False)
    assert counting.count_trainable(network) == 4 * 5 + 5
    assert counting.count_parameters(network) == 3 * 4 + 4 + 4 * 5 + 5
    assert counting.count_parameters(nn.Sequential(network[1], network[1])) == 4 * 5 + 5, "shared weights count once"
