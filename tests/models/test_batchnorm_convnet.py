"""Batch normalisation written from scratch against torch.nn.BatchNorm2d, and the facts that the note tells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cnn_explorer.models import batchnorm_convnet
from cnn_explorer.models.catalogue import registry
from hypothesis import given, settings
from hypothesis import strategies as st
from support.same_function import assert_comparison_can_fail, assert_same_function, relative_difference
from support.tensors import gradient
from torch import nn

Own = batchnorm_convnet.BatchNorm2d


def a_pair(channels: int, seed: int = 0) -> tuple[Any, Any]:
    """Our module and torch's with the same random parameters and running statistics, in float64."""
    generator = torch.Generator().manual_seed(seed)
    own, reference = Own(channels).double(), nn.BatchNorm2d(channels).double()
    for name in ("weight", "bias", "running_mean", "running_var"):
        values = 0.5 + torch.rand(channels, generator=generator, dtype=torch.float64)
        getattr(own, name).data.copy_(values)
        getattr(reference, name).data.copy_(values)
    return own, reference


def batch(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 + 2 * torch.randn(shape, generator=generator, dtype=torch.float64)


def run(layer: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Value and all gradients of a loss that weighs every output differently."""
    x = x.clone().requires_grad_(True)
    y = layer(x)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)).sum().backward()
    return {"value": y.detach(), "input": gradient(x), "weight": layer.weight.grad, "bias": layer.bias.grad}


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)).filter(
        lambda s: s[0] * s[2] * s[3] > 2
    ),
    training=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_equal_to_torch_in_value_gradient_and_statistics(shape, training: bool, seed: int) -> None:
    own, reference = a_pair(shape[1], seed)
    own.train(training)
    reference.train(training)
    ours, theirs = run(own, batch(shape, seed)), run(reference, batch(shape, seed))
    for name in theirs:
        assert torch.allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-9), name
    for name in ("running_mean", "running_var"):
        assert torch.allclose(getattr(own, name), getattr(reference, name), rtol=1e-12, atol=0), name


@pytest.mark.parametrize("mistake", ["eps", "momentum"])
def test_the_comparison_catches_a_change(mistake: str) -> None:
    own, reference = a_pair(3)
    setattr(own, mistake, 2 * getattr(own, mistake))
    x = batch((4, 3, 5, 5))
    value = relative_difference(own(x), reference(x))
    statistics = relative_difference(own.running_var, reference.running_var)
    assert (value if mistake == "eps" else statistics) > 1e-7


def test_many_steps_keep_the_statistics_together() -> None:
    own, reference = a_pair(3)
    for seed in range(50):
        x = batch((4, 3, 6, 6), seed)
        own(x)
        reference(x)
    x = batch((2, 3, 6, 6), 99)
    assert torch.allclose(own.eval()(x), reference.eval()(x), rtol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_low_precision_keeps_its_type(training: bool) -> None:
    own = Own(3).train(training)
    x = (100 + torch.randn(8, 3, 16, 16)).bfloat16()
    reference = nn.BatchNorm2d(3).train(training)
    assert own(x).dtype == torch.bfloat16
    assert torch.allclose(own.running_mean, run_statistics(reference, x), atol=0.05)


def run_statistics(reference: Any, x: torch.Tensor) -> torch.Tensor:
    reference(x.float())
    return reference.running_mean


def test_training_output_has_the_learned_mean_and_deviation() -> None:
    own, _ = a_pair(4)
    own.eps = 0.0
    y = own(batch((16, 4, 8, 8)))
    assert torch.allclose(y.mean(dim=(0, 2, 3)), own.bias, rtol=1e-9)
    assert torch.allclose(y.var(dim=(0, 2, 3), unbiased=False).sqrt(), own.weight, rtol=1e-9)


def test_the_gradient_by_formula() -> None:
    """dx = γ/σ · (dy - mean(dy) - x̂ · mean(dy · x̂)), the formula of the note."""
    own, _ = a_pair(3)
    x = batch((4, 3, 5, 5)).requires_grad_(True)
    y = own(x)
    dy = batch((4, 3, 5, 5), seed=7)
    y.backward(dy)
    with torch.no_grad():
        axes = (0, 2, 3)
        sigma = (x.var(dim=axes, unbiased=False, keepdim=True) + own.eps).sqrt()
        normal = (x - x.mean(dim=axes, keepdim=True)) / sigma
        centred = dy - dy.mean(dim=axes, keepdim=True) - normal * (dy * normal).mean(dim=axes, keepdim=True)
        assert torch.allclose(gradient(x), own.weight[:, None, None] / sigma * centred, rtol=1e-9, atol=1e-12)


def test_the_size_of_the_weights_before_it_does_not_matter() -> None:
    conv, own = nn.Conv2d(3, 4, 3, bias=False).double(), Own(4).double()
    own.eps = 0.0
    x = batch((4, 3, 8, 8))
    before = own(conv(x))
    conv.weight.data.mul_(10)
    assert torch.allclose(own(conv(x)), before, rtol=1e-9)


def test_training_depends_on_the_batch_and_evaluation_does_not() -> None:
    own, _ = a_pair(2)
    x = batch((4, 2, 3, 3))
    assert not torch.allclose(own(x)[:1], own(x[:2])[:1], rtol=1e-3)
    own.eval()
    assert torch.allclose(own(x)[:1], own(x[:1]), rtol=1e-12)


def test_a_single_value_has_no_variance() -> None:
    with pytest.raises(ValueError, match="batch: 1 value per channel"):
        Own(3)(torch.randn(1, 3, 1, 1))
    assert Own(3).eval()(torch.randn(1, 3, 1, 1)).shape == (1, 3, 1, 1)


def test_the_network_is_basic_convnet() -> None:
    ours = batchnorm_convnet.batchnorm_convnet()
    assert_same_function(ours, registry.build("basic_convnet"), (3, 32, 32))


def _change_epsilon(network: Any) -> None:
    network.stage2[1].eps = 1e-3


def test_the_comparison_of_networks_catches_a_change() -> None:
    ours = batchnorm_convnet.batchnorm_convnet()
    assert_comparison_can_fail(ours, registry.build("basic_convnet"), (3, 32, 32), _change_epsilon)


def test_the_plain_twin_differs_by_the_normalisation_alone() -> None:
    plain = batchnorm_convnet.plain_convnet()
    assert not any(isinstance(module, Own | nn.BatchNorm2d) for module in plain.modules())
    widths = sum(batchnorm_convnet.WIDTHS)
    counts = [
        sum(p.numel() for p in network.parameters()) for network in (batchnorm_convnet.batchnorm_convnet(), plain)
    ]
    assert counts[0] - counts[1] == widths  # scale and shift against one bias per channel


def test_bad_arguments_of_a_class_are_named() -> None:
    with pytest.raises(ValueError, match="channels: 0"):
        Own(0)
