"""MACs of each kind of layer with weights in torch.nn, against formulas written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.outside.external import NetworkSpec
from cnn_explorer.models.anatomy.totals import torchinfo_summary
from cnn_explorer.models.anatomy.words import formulas, phrases
from support.anatomy import analyse
from torch import Tensor, nn

WIDTH, STEPS = 8, 12
SHAPE = (3, 4, WIDTH)
"""An image of 3·4 rows of 8 values; a sequence of 12 steps for what reads one."""


class Applies(nn.Module):
    """One layer, applied in a way of its own."""

    def __init__(self, layer: nn.Module, apply: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.apply_layer = layer, apply

    def forward(self, x: Tensor) -> Tensor:
        output = self.apply_layer(self.layer, x)
        return output[0] if isinstance(output, tuple) else output


def sequence(layer: Any, x: Tensor) -> Any:
    return layer(x.flatten(1, 2))


def rows(layer: Any, x: Tensor) -> Any:
    return layer(x.flatten(0, 2))


def to_itself(layer: Any, x: Tensor) -> Any:
    x = x.flatten(1, 2)
    return layer(x, x, x) if isinstance(layer, nn.MultiheadAttention) else layer(x, x)


def other_widths(layer: Any, x: Tensor) -> Any:
    x = x.flatten(1, 2).transpose(0, 1)
    return layer(x, x[..., :6], x[..., :4])


def attention(width: int = WIDTH, queries: int = STEPS, keys: int = STEPS) -> int:
    """MACs of attention: four linear layers, the scores, the sums of values."""
    return (2 * queries + 2 * keys) * width**2 + 2 * queries * keys * width


PERCEPTRON = 2 * STEPS * WIDTH * 16
GATES = WIDTH * 5 + 5 * 5
"""Weights of one gate of a recurrent layer of 5 units."""

LAYERS = {
    "Bilinear": (nn.Bilinear(5, 6, 7), lambda layer, x: layer(x[..., :5], x[..., :6]), STEPS * 7 * 5 * 6),
    "RNN": (nn.RNN(WIDTH, 5, batch_first=True), sequence, STEPS * GATES),
    "GRU, 2 layers, both ways": (
        nn.GRU(WIDTH, 5, 2, bidirectional=True, batch_first=True),
        sequence,
        STEPS * 2 * 3 * (GATES + 10 * 5 + 5 * 5),
    ),
    "LSTM": (nn.LSTM(WIDTH, 5, batch_first=True), sequence, STEPS * 4 * GATES),
    "LSTM with proj_size": (
        nn.LSTM(WIDTH, 5, proj_size=3, batch_first=True),
        sequence,
        STEPS * (4 * (WIDTH * 5 + 3 * 5) + 5 * 3),
    ),
    "RNNCell": (nn.RNNCell(WIDTH, 5), rows, STEPS * GATES),
    "GRUCell": (nn.GRUCell(WIDTH, 5), rows, STEPS * 3 * GATES),
    "LSTMCell": (nn.LSTMCell(WIDTH, 5), rows, STEPS * 4 * GATES),
    "Embedding": (nn.Embedding(10, 4), lambda layer, x: layer((x > 0).long()), 0),
    "EmbeddingBag": (nn.EmbeddingBag(10, 4), lambda layer, x: rows(layer, (x > 0).long()), 0),
    # Each value is spread over the kernel, into all channels of its group.
    "ConvTranspose1d": (nn.ConvTranspose1d(3, 6, 3, 2, groups=3), lambda layer, x: layer(x.flatten(2)), 32 * 3 * 3 * 2),
    "ConvTranspose2d": (nn.ConvTranspose2d(3, 6, 3, 2), lambda layer, x: layer(x), 32 * 9 * 3 * 6),
    "ConvTranspose3d": (nn.ConvTranspose3d(3, 6, 3, 2, 1), lambda layer, x: layer(x[:, :, None]), 32 * 27 * 3 * 6),
    "Conv3d": (nn.Conv3d(3, 6, 3, padding=1), lambda layer, x: layer(x[:, :, None]), 32 * 27 * 3 * 6),
    "MultiheadAttention": (nn.MultiheadAttention(WIDTH, 2, batch_first=True), to_itself, attention()),
    "MultiheadAttention, kdim and vdim": (
        nn.MultiheadAttention(WIDTH, 2, kdim=6, vdim=4),
        other_widths,
        STEPS * (2 * WIDTH**2 + 6 * WIDTH + 4 * WIDTH) + 2 * STEPS**2 * WIDTH,
    ),
    "MultiheadAttention, two more keys": (
        nn.MultiheadAttention(WIDTH, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True),
        to_itself,
        4 * STEPS * WIDTH**2 + 2 * STEPS * (STEPS + 2) * WIDTH,
    ),
    "TransformerEncoder": (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 2, 16, batch_first=True), 2),
        sequence,
        2 * (attention() + PERCEPTRON),
    ),
    "TransformerDecoderLayer": (
        nn.TransformerDecoderLayer(WIDTH, 2, 16, batch_first=True),
        to_itself,
        2 * attention() + PERCEPTRON,
    ),
    "Transformer": (
        nn.Transformer(WIDTH, 2, 1, 1, 16, batch_first=True),
        to_itself,
        3 * attention() + 2 * PERCEPTRON,
    ),
    "AdaptiveLogSoftmaxWithLoss": (
        nn.AdaptiveLogSoftmaxWithLoss(WIDTH, 10, [4]),
        lambda layer, x: layer.log_prob(x.flatten(0, 2)),
        STEPS * (WIDTH * 5 + WIDTH * 2 + 2 * 6),
    ),
    "a matrix by a vector": (nn.Identity(), lambda layer, x: x @ x[0, 0, 0], STEPS * WIDTH),
    "addmv": (nn.Identity(), lambda layer, x: torch.addmv(x[0, 0, :, 0], x[0, 0], x[0, 0, 0]), 4 * WIDTH),
    "addbmm": (
        nn.Identity(),
        lambda layer, x: torch.addbmm(x[0, 0, :, :4], x[0], x[0].transpose(1, 2)),
        3 * 4 * WIDTH * 4,
    ),
    "dot": (nn.Identity(), lambda layer, x: torch.dot(x.flatten(), x.flatten())[None], STEPS * WIDTH),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_with_weights_is_counted_by_its_definition(name: str) -> None:
    layer, apply, expected = LAYERS[name]
    network = Applies(layer, apply).eval()
    assert analyse(network, SHAPE).macs == expected
    assert counting.module_macs(network.to("meta"), SHAPE)[""] == expected


def test_a_bilinear_layer_is_told_with_its_numbers() -> None:
    layer, apply, expected = LAYERS["Bilinear"]
    [row] = [row for row in analyse(Applies(layer, apply), SHAPE).children if row.type == "Bilinear"]
    assert phrases.of_one_row(row) == "weighs all products of 5 values with 6 others, 7 times + bias"
    found = {formula.what: (formula.filled, formula.value) for formula in formulas.formulas(row)}
    assert found == {
        "parameters": ("5·6·7 + 7", 5 * 6 * 7 + 7),
        "MACs": ("5·6·7·12 positions", expected),
    }
    assert row.parameters == 5 * 6 * 7 + 7


def test_torchinfo_is_compared_with_the_work_of_a_bilinear_layer() -> None:
    def make() -> nn.Module:
        return Applies(nn.Bilinear(WIDTH, WIDTH, 7), lambda layer, x: layer(x, x))

    summary = torchinfo_summary.summarise(NetworkSpec("own:Bilinear", make, SHAPE))
    assert summary.macs == STEPS * 7 * WIDTH**2
