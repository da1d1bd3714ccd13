"""Taking a network apart leaves it, and everything random, exactly as it was."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cnn_explorer as cx
import numpy
import pytest
import torch
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.catalogue import registry
from support.anatomy import analyse
from torch import nn

SHAPE = (3, 16, 16)


class Odd(nn.Module):
    """Something of everything that a copy gets wrong easily."""

    def __init__(self) -> None:
        super().__init__()
        self.lazy = nn.LazyConv2d(4, 3)
        self.normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))
        self.norm = nn.BatchNorm2d(4)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.dropout = nn.Dropout(0.5)
        self.register_buffer("unsaved", torch.ones(4, 1, 1), persistent=False)
        self.plain = torch.full((4, 1, 1), 2.0)
        self.hidden = [nn.Parameter(torch.ones(4, 1, 1))]
        self.computed = self.hidden[0] * 3
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        random.random()
        numpy.random.rand()
        x = self.norm(self.normed(self.lazy(x))) * self.unsaved * self.plain * self.hidden[0] * self.computed
        x = x + torch.rand(4, 1, 1)
        return self.second(self.dropout(self.first(x.mean((2, 3)))))


def state_of(network: nn.Module) -> list[object]:
    """Everything that must not change, as values and identities."""
    found: list[object] = [[(name, module.training, id(module)) for name, module in network.named_modules()]]
    for name, weight in network.named_parameters(remove_duplicate=False):
        lazy = isinstance(weight, nn.UninitializedParameter)
        values = None if lazy else weight.detach().clone()
        grad = None if weight.grad is None else weight.grad.clone()
        found.append((name, id(weight), weight.requires_grad, str(weight.device), values, grad))
    found += [(name, id(buffer), buffer.clone()) for name, buffer in network.named_buffers()]
    for module in network.modules():
        found.append([(number, id(hook)) for number, hook in module._forward_hooks.items()])
        found.append(list(module._forward_pre_hooks))
        found.append(type(module))
    found += [torch.get_rng_state(), random.getstate(), numpy.random.get_state()]
    return found


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, numpy.ndarray):
        return numpy.array_equal(first, second)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def test_a_network_stays_as_it_was_bit_for_bit() -> None:
    network = Odd()
    network.norm.eval()
    network.first.bias.requires_grad_(False)
    network.second.bias.grad = torch.ones(4)
    seen: list[object] = []
    network.norm.register_forward_hook(lambda *given: seen.append(given))
    before = state_of(network)
    found = cx.anatomy(network, SHAPE)
    assert same(before, state_of(network))
    assert network.calls == 0 and not seen
    assert torch.equal(network.plain, torch.full((4, 1, 1), 2.0)) and network.computed.grad_fn is not None
    weights = 4 * 3 * 9 + 4 + 4 * 4 * 9 + 4 + 4 + 8 + 16 + 4 + 4
    assert found.parameters == weights  # shared weights count once
    assert found.trainable == weights - 4  # without the bias that does not learn
    assert found.macs == 14 * 14 * 4 * (27 + 36) + 2 * 16


def test_the_comparison_of_states_sees_each_kind_of_change() -> None:
    def train(network: nn.Module) -> None:
        network.train()

    def draw(network: nn.Module) -> None:
        torch.rand(1)

    def hook(network: nn.Module) -> None:
        network.register_forward_hook(lambda *given: None)

    def freeze(network: nn.Module) -> None:
        network.first.requires_grad_(False)

    def step(network: Any) -> None:
        network.first.weight.data += 1e-7

    changes: tuple[Callable[[nn.Module], object], ...] = (train, draw, hook, freeze, step)
    for change in changes:
        network = Odd().eval()
        before = state_of(network)
        change(network)
        assert not same(before, state_of(network)), change.__name__


def test_a_built_network_has_the_anatomy_of_its_name() -> None:
    by_name = external.anatomy_of(external.network_spec("mobilenet_v2", stem="small"))
    network = registry.build("mobilenet_v2", stem="small")
    assert analyse(network, registry.find("mobilenet_v2").counts("small").input) == by_name
    assert network.training


def test_a_network_that_reads_values_is_run_on_real_ones() -> None:
    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).mean((2, 3)) if x.mean() > 0 else x

    network = Reads()
    before = state_of(network)
    assert cx.anatomy(network, SHAPE).macs == 14 * 14 * 5 * 27
    assert same(before, state_of(network))


def test_hooks_by_which_torch_works_run_on_the_copy() -> None:
    with pytest.warns(FutureWarning):
        normed = torch.nn.utils.weight_norm(nn.Conv2d(3, 4, 3))
    network = nn.Sequential(normed, nn.Flatten(), nn.LazyLinear(7))
    hooks = len(normed._forward_pre_hooks)
    assert cx.anatomy(network, SHAPE).output == (7,)
    assert isinstance(network[2], nn.LazyLinear) and len(normed._forward_pre_hooks) == hooks == 1


def test_a_network_of_another_precision_gets_images_of_it() -> None:
    for network in (nn.Conv2d(3, 4, 3).half(), nn.Conv2d(3, 4, 3).double()):
        found = cx.anatomy(network, SHAPE)
        assert found.rows[0].output_bytes == 4 * 14 * 14 * network.weight.element_size()


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_compiled_script_is_refused() -> None:
    with pytest.raises(cx.UsageError, match=r"compiled by torch\.jit"):
        script: Any = torch.jit.trace(nn.Conv2d(3, 4, 3), torch.zeros(1, *SHAPE))
        cx.anatomy(script, SHAPE)


def test_what_cannot_be_copied_is_said_in_one_line(tmp_path: Path) -> None:
    network: Any = nn.Sequential(nn.Conv2d(3, 4, 3))
    with open(tmp_path / "log", "w") as file:
        network.file = file
        with pytest.raises(cx.UsageError, match="'Sequential' cannot be copied: TypeError") as caught:
            cx.anatomy(network, SHAPE)
    assert "\n" not in str(caught.value)


def test_a_size_that_does_not_pass_names_layer_and_smallest_size() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 5), nn.MaxPool2d(4), nn.Conv2d(4, 8, 3), nn.AdaptiveAvgPool2d(1))
    with pytest.raises(
        cx.UsageError, match=r"layer '2' \(Conv2d\) was given 1x4x1x1.*the smallest square that works is 16"
    ):
        cx.anatomy(network, (3, 8, 8))


def test_an_error_in_the_persons_code_names_its_file_and_line() -> None:
    class Wrong(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.missing(x)  # pyright: ignore[reportCallIssue] the error of the person's code

    with pytest.raises(cx.UsageError, match=r"AttributeError: 'Wrong' object has no attribute 'missing'") as caught:
        cx.anatomy(Wrong(), SHAPE)
    line = Wrong.forward.__code__.co_firstlineno + 1
    assert f"(test_untouched.py, line {line})" in str(caught.value)


@pytest.mark.parametrize(
    "given", [(), (3, 0, 32), (3, -1), (True, 32, 32), (3.0, 32, 32), "3x32x32", b"20", {"x": 20}, (3, 2**70)]
)
def test_shapes_that_are_none(given: Any) -> None:
    with pytest.raises(cx.UsageError, match=r"input: .*is not the shape of one input without batch axis"):
        cx.anatomy(nn.Conv2d(3, 4, 3), given)


@pytest.mark.parametrize("given", [torch.zeros(3, 8, 8), torch.rand(3), torch.ones(3, 8, 8, dtype=torch.int64)])
def test_an_input_in_the_place_of_its_shape_is_named_as_such(given: Any) -> None:
    with pytest.raises(cx.UsageError, match="input: 'Tensor' is an input and not its shape"):
        cx.anatomy(nn.Conv2d(3, 4, 3), given)


def test_an_input_that_is_too_large_to_count_is_refused() -> None:
    with pytest.raises(cx.UsageError, match="'3x1000000000x1000000000' is too large: at most 1,000,000,000,000 values"):
        cx.anatomy("lenet5", (3, 10**9, 10**9))


@pytest.mark.parametrize("given", [(3,), (3, 32), (3, 32, 32, 32, 32)])
@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(3)])
def test_an_input_with_another_number_of_sides_is_told_which_ones_the_layer_takes(
    layer: nn.Module, given: tuple[int, ...]
) -> None:
    sides = "×".join(map(str, given))
    with pytest.raises(cx.UsageError, match=rf"{sides} arrives, this \w+ takes channels×height×width"):
        cx.anatomy(layer, given)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_network_on_the_gpu_stays_there() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()).cuda()
    before, drawn = copy.deepcopy(network.state_dict()), torch.cuda.get_rng_state()
    assert cx.anatomy(network, SHAPE).parameters == 112
    assert next(network.parameters()).is_cuda and torch.equal(torch.cuda.get_rng_state(), drawn)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
