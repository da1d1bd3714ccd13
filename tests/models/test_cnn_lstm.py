"""CNN + LSTM against the equations with loops, closed-form counts, and the facts that its note tells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.models import cnn_lstm
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.tensors import randomise
from torch import Tensor, nn


def pieces(image: Tensor, height: int, width: int) -> list[Tensor]:
    """Windows of a batch (B, C, S, S) in reading order, the last ones filled with zeros."""
    size = image.shape[2]
    cut = []
    for top in range(0, size, height):
        for left in range(0, size, width):
            window = image.new_zeros(*image.shape[:2], height, width)
            seen = image[:, :, top : top + height, left : left + width]
            window[:, :, : seen.shape[2], : seen.shape[3]] = seen
            cut.append(window)
    return cut


def plain(network: nn.Module, image: Tensor, height: int, width: int) -> Tensor:
    """Scores in evaluation from the weights alone: one step after another, the gates written out."""
    p = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    state = cell = image.new_zeros(len(image), p["head.weight"].shape[1])
    for x in pieces(image, height, width):
        for block in ("frames.cnn.0.0", "frames.cnn.1.0"):
            x = F.conv2d(x, p[f"{block}.conv.weight"], padding=1)
            statistics = (p[f"{block}.norm.running_mean"], p[f"{block}.norm.running_var"])
            x = F.batch_norm(x, *statistics, p[f"{block}.norm.weight"], p[f"{block}.norm.bias"])
            x = F.max_pool2d(x.clamp_min(0), 2, ceil_mode=True)
        x = (x.flatten(1) @ p["frames.cnn.3.weight"].T + p["frames.cnn.3.bias"]).clamp_min(0)
        gates = x @ p["reader.lstm.weight_ih_l0"].T + p["reader.lstm.bias_ih_l0"]
        gates = gates + state @ p["reader.lstm.weight_hh_l0"].T + p["reader.lstm.bias_hh_l0"]
        take, forget, new, show = gates.chunk(4, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(take) * torch.tanh(new)
        state = torch.sigmoid(show) * torch.tanh(cell)
    return state @ p["head.weight"].T + p["head.bias"]


CASES = [
    ({"image_size": 32}, 3, 4, 32),
    ({"image_size": 28}, 1, 4, 28),
    ({"image_size": 32, "steps": "patches"}, 3, 8, 8),
    ({"image_size": 28, "steps": "patches"}, 1, 7, 7),
    ({"image_size": 30, "steps": "patches", "step": 8, "hidden": 20}, 2, 8, 8),
    ({"image_size": 30, "step": 8}, 2, 8, 30),
]


@pytest.mark.parametrize(("options", "channels", "height", "width"), CASES)
def test_same_function_as_the_equations_with_loops(options: dict, channels: int, height: int, width: int) -> None:
    network = cnn_lstm.cnn_lstm(in_channels=channels, **options).double().eval()
    randomise(network)
    size = options["image_size"]
    image = torch.randn(2, channels, size, size, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(network(image), plain(network, image, height, width), rtol=1e-9, atol=1e-12)


def _activation(network: Any) -> None:
    network.frames.cnn[4] = nn.GELU()


def _epsilon(network: Any) -> None:
    network.frames.cnn[1][0].norm.eps = 1e-3


def _order(network: Any) -> None:
    network.steps.register_forward_hook(lambda module, inputs, output: output.flip(1))


@pytest.mark.parametrize("spoil", [_activation, _epsilon, _order])
def test_the_comparison_catches_a_change(spoil) -> None:
    network = cnn_lstm.cnn_lstm().double().eval()
    randomise(network)
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = plain(network, image, 4, 32)
        spoil(network)
        assert (network(image) - expected).abs().max() > 1e-6


@pytest.mark.parametrize(
    ("name", "channels", "size", "steps", "height", "width"),
    [
        ("cnn_lstm", 3, 32, 8, 4, 32),
        ("cnn_lstm", 1, 28, 7, 4, 28),
        ("cnn_lstm_patches", 3, 32, 16, 8, 8),
        ("cnn_lstm_patches", 1, 28, 16, 7, 7),
    ],
)
def test_closed_forms(name: str, channels: int, size: int, steps: int, height: int, width: int) -> None:
    """LSTM: 4h(in + h) + 8h parameters, 4h(in + h) MACs a step. The CNN's work is done at every step, its weights
    are there once.
    """
    h = features = 128
    small = (-(-height // 2), -(-width // 2))
    places = -(-small[0] // 2) * -(-small[1] // 2)
    weights = {"conv1": 9 * channels * 32, "conv2": 9 * 32 * 64, "linear": 64 * places * features}
    cnn_parameters = sum(weights.values()) + 2 * 32 + 2 * 64 + features
    cnn_macs = weights["conv1"] * height * width + weights["conv2"] * small[0] * small[1] + weights["linear"]
    lstm = 4 * h * (features + h)
    network = counting.on_meta(lambda: registry.build(name, in_channels=channels, image_size=size))
    frames, reader, head = counting.count(network, (channels, size, size)).stages
    assert (frames.parameters, frames.macs) == (cnn_parameters, steps * cnn_macs)
    assert (reader.parameters, reader.macs) == (lstm + 8 * h, steps * lstm)
    assert (head.parameters, head.macs) == (h * 10 + 10, h * 10)


def test_reading_further_costs_work_but_no_parameters_of_the_lstm() -> None:
    readers = []
    for step in (8, 4, 2):
        network = counting.on_meta(lambda step=step: cnn_lstm.cnn_lstm(step=step))
        readers.append(counting.count(network, (3, 32, 32)).stages[1])
    assert len({reader.parameters for reader in readers}) == 1
    assert [reader.macs // readers[0].macs for reader in readers] == [1, 2, 4]


def test_every_step_is_read_by_the_same_cnn() -> None:
    network = cnn_lstm.cnn_lstm_patches().eval()
    patch = torch.randn(1, 3, 8, 8)
    image = patch.repeat(1, 1, 4, 4)
    features = network.frames(network.steps(image))
    assert features.shape == (1, 16, 128)
    assert torch.allclose(features, features[:, :1].expand_as(features), atol=1e-6)


def test_a_strip_that_moves_down_moves_one_step() -> None:
    network = cnn_lstm.cnn_lstm().eval()
    image = torch.randn(1, 3, 32, 32)
    features = network.frames(network.steps(image))
    moved = network.frames(network.steps(image.roll(4, dims=2)))
    assert torch.allclose(moved[:, 1:], features[:, :-1], atol=1e-6)


def test_the_order_of_the_steps_matters() -> None:
    """Unlike an average of the steps, the last state depends on what came when."""
    network = cnn_lstm.cnn_lstm().double().eval()
    randomise(network)
    image = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    upside_down = image.unflatten(2, (8, 4)).flip(2).flatten(2, 3)
    forward, backward = network.frames(network.steps(image)), network.frames(network.steps(upside_down))
    assert torch.allclose(forward.mean(1), backward.mean(1))
    assert not torch.allclose(network(image), network(upside_down))


def test_the_cell_keeps_what_it_has_at_first() -> None:
    reader: Any = cnn_lstm.LastState(4, 3)
    bias = reader.lstm.bias_ih_l0 + reader.lstm.bias_hh_l0
    assert torch.equal(bias[3:6], torch.ones(3))
    assert bias[:3].abs().max() <= 2 * 3**-0.5


def test_steps_are_cut_in_reading_order() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    strips = cnn_lstm.Steps(4, "rows", 2)(image)
    assert strips.flatten(2)[0].tolist() == [list(range(8)), list(range(8, 16))]
    patches = cnn_lstm.Steps(4, "patches", 2)(image)
    assert patches.flatten(2)[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


@pytest.mark.parametrize("builder", [cnn_lstm.cnn_lstm, cnn_lstm.cnn_lstm_patches])
def test_the_smallest_image_works(builder) -> None:
    assert builder(image_size=1).eval()(torch.randn(2, 3, 1, 1)).shape == (2, 10)


def test_names() -> None:
    assert registry.find("LRCN").name == registry.find("cnn-lstm").name == "cnn_lstm"
