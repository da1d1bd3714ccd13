"""Tests that a call answered from memory gives what PyTorch would have given, and that nothing else is remembered."""

import pytest
import torch
from cnn_explorer.models.anatomy.counting import on_meta
from cnn_explorer.models.anatomy.meta import known_shapes
from cnn_explorer.models.anatomy.meta.known_shapes import KnownShapes
from torch import nn


def empty(*shape, dtype=torch.float32):
    return torch.empty(shape, dtype=dtype, device="meta")


CALLS = {
    "a convolution": lambda: torch.conv2d(empty(2, 3, 9, 9), empty(4, 3, 3, 3), stride=2),
    "a convolution, channels last": lambda: torch.conv2d(
        empty(2, 3, 9, 9).to(memory_format=torch.channels_last), empty(4, 3, 3, 3)
    ),
    "a sum": lambda: empty(2, 5) + empty(5),
    "a sum of a transposed tensor": lambda: empty(5, 2).T + 1.0,
    "whole numbers": lambda: empty(4, dtype=torch.int64) + 1,
    "whole numbers and a float": lambda: empty(4, dtype=torch.int64) + 1.0,
    "truth values": lambda: empty(4, dtype=torch.bool) + True,
    "truth values and a number": lambda: empty(4, dtype=torch.bool) + 1,
    "two outputs": lambda: empty(3, 4).max(dim=1),
    "a list of outputs": lambda: empty(6, 2).unsafe_chunk(3),
    "a view": lambda: empty(6, 2).view(3, 4),
    "in place": lambda: empty(6, 2).add_(1).mul_(2.0),
    "a resize": lambda: empty(6).resize_(3),
    "a quotient of whole numbers": lambda: empty(4, dtype=torch.int64) / 2,
}


def forms(made):
    tensors = [made] if isinstance(made, torch.Tensor) else list(made)
    return [(tensor.shape, tensor.stride(), tensor.dtype, tensor.device.type) for tensor in tensors]


@pytest.fixture(autouse=True)
def nothing_known():
    known_shapes.KNOWN.clear()


@pytest.mark.parametrize("name", CALLS)
def test_the_second_time_is_as_the_first_and_as_without(name):
    plain = forms(CALLS[name]())
    with KnownShapes():
        assert [forms(CALLS[name]()) for _ in range(3)] == [plain] * 3


def test_all_calls_after_each_other_are_not_taken_for_each_other():
    plain = {name: forms(call()) for name, call in CALLS.items()}
    with KnownShapes():
        for _ in range(2):
            assert {name: forms(call()) for name, call in CALLS.items()} == plain


def test_a_convolution_is_worked_out_once():
    with KnownShapes():
        CALLS["a convolution"]()
        known = len(known_shapes.KNOWN)
        CALLS["a convolution"]()
    assert known == len(known_shapes.KNOWN) > 0


def test_each_result_is_a_tensor_of_its_own_and_a_change_in_place_gives_its_own_argument():
    a, b = empty(3, 4), empty(4)
    with KnownShapes():
        first, second = a + b, a + b
        changed = [a.add_(b) for _ in range(2)]
    assert first is not second and first.untyped_storage()._cdata != second.untyped_storage()._cdata
    assert all(one is a for one in changed)


def test_the_default_type_counts():
    with KnownShapes():
        CALLS["a quotient of whole numbers"]()
        torch.set_default_dtype(torch.float64)
        try:
            assert CALLS["a quotient of whole numbers"]().dtype == torch.float64
        finally:
            torch.set_default_dtype(torch.float32)


def test_values_on_the_cpu_are_computed():
    with KnownShapes():
        assert [(torch.ones(2) + torch.ones(2)).tolist() for _ in range(2)] == [[2.0, 2.0]] * 2


@pytest.mark.parametrize(
    "fill",
    [
        lambda: nn.init.kaiming_uniform_(torch.empty(3)),
        lambda: nn.init.kaiming_uniform_(torch.empty(3, 3), mode="wrong"),  # pyright: ignore[reportArgumentType]
        lambda: nn.init.normal_(torch.empty(3), std=-1.0),
        lambda: nn.Parameter(torch.empty(3)).zero_(),
    ],
)
def test_what_pytorch_refuses_to_fill_is_refused_on_the_meta_device_too(fill):
    with pytest.raises((ValueError, RuntimeError)):
        fill()
    with pytest.raises((ValueError, RuntimeError)):
        on_meta(fill)


def test_a_network_built_on_meta_is_the_one_that_is_built_otherwise():
    def build():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2), nn.Embedding(3, 4), nn.LSTM(4, 4))

    plain = {name: (w.shape, w.dtype, w.requires_grad) for name, w in build().state_dict(keep_vars=True).items()}
    made = on_meta(build).state_dict(keep_vars=True)
    assert {name: (w.shape, w.dtype, w.requires_grad) for name, w in made.items()} == plain
    assert all(weight.is_meta for weight in made.values())
