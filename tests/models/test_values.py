"""One output value of a row and the numbers that it is made of, against what the layer itself gives."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
import torchvision
from cnn_explorer.models import alexnet, layers
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.values import one_value as values
from cnn_explorer.models.catalogue import registry
from support.anatomy import analyse
from support.weekly import first_of
from torch import Tensor, nn
from torch.nn import functional as F

MAPS = [
    nn.Conv2d(4, 6, 3),
    nn.Conv2d(4, 6, (1, 5), padding=(0, 2), bias=False),
    nn.Conv2d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2),
    nn.Conv2d(4, 4, 3, padding="same", padding_mode="reflect"),
    nn.Conv2d(4, 4, (2, 3), padding="same"),
    nn.Conv2d(4, 4, 3, padding=(1, 2), padding_mode="circular"),
    nn.Conv2d(4, 4, 3, padding=2, padding_mode="replicate", groups=4),
    nn.MaxPool2d(3, 2, padding=1),
    nn.MaxPool2d(2, dilation=2),
    nn.MaxPool2d(3, 2, ceil_mode=True),
    nn.AvgPool2d(2),
    nn.AvgPool2d(3, 2, padding=1),
    nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
    nn.AvgPool2d(2, divisor_override=3),
    nn.AdaptiveAvgPool2d(1),
    nn.AdaptiveAvgPool2d((4, 3)),
    nn.AdaptiveMaxPool2d((2, 5)),
    nn.BatchNorm2d(4),
    nn.BatchNorm2d(4, affine=False),
    nn.BatchNorm2d(4, track_running_stats=False),
    nn.GroupNorm(2, 4),
    nn.GroupNorm(1, 4, affine=False),
    nn.LayerNorm([10, 11]),
    nn.LayerNorm(11, bias=False),
    layers.LayerNorm2d(4),
    nn.Linear(11, 5),
    nn.Linear(11, 5, bias=False),
    nn.Softmax(dim=1),
    nn.ReLU(),
    nn.ReLU6(),
    nn.LeakyReLU(0.2),
    nn.PReLU(),
    nn.PReLU(4),
    nn.ELU(0.7),
    nn.CELU(0.7),
    nn.SELU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Mish(),
    nn.Hardswish(),
    nn.Hardsigmoid(),
    nn.Hardtanh(-0.5, 0.7),
    nn.Sigmoid(),
    nn.LogSigmoid(),
    nn.Tanh(),
    nn.Softplus(0.7, 1.5),
    nn.Softsign(),
    nn.GLU(dim=1),
    nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
    nn.ConvTranspose2d(4, 6, (2, 3), stride=(1, 3), groups=2, dilation=2, bias=False),
    nn.ConvTranspose2d(4, 2, 2, stride=3),
    nn.RMSNorm(11),
    nn.RMSNorm([10, 11], eps=0.1),
    nn.RMSNorm(11, elementwise_affine=False),
    nn.LocalResponseNorm(2, alpha=0.3, beta=0.6, k=1.5),
    nn.LocalResponseNorm(3),
    alexnet.LocalResponseNorm(alpha=0.3),
    nn.InstanceNorm2d(4),
    nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    torchvision.ops.FrozenBatchNorm2d(4),
]


def filled(module: nn.Module) -> nn.Module:
    """The module with drawn weights and statistics, so that none of them is 0 or 1."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.3, 1.7)
    return module


def places(shape: tuple[int, ...], count: int = 6) -> list[tuple[int, ...]]:
    draw = random.Random(4)
    drawn = [tuple(draw.randrange(size) for size in shape) for _ in range(count)]
    return [*drawn, (0,) * len(shape), tuple(size - 1 for size in shape)]


@pytest.mark.parametrize("module", MAPS, ids=str)
def test_a_value_is_what_its_numbers_make(module: nn.Module) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(filled(module)).eval()
    image = torch.randn(1, 4, 10, 11)
    output = network(image)
    for position in places(tuple(output.shape[1:])):
        found = values.output_value(network, "0", image, position)
        expected = output[(0, *position)].item()
        assert found.total == pytest.approx(expected, abs=1e-6)
        assert found.computed == pytest.approx(expected, rel=1e-5, abs=2e-6)


class Calls(nn.Module):
    """What modules do, done by calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.conv.weight, self.conv.bias, stride=2, padding=1)
        x = F.max_pool2d(x, 2) + F.avg_pool2d(x, 2)
        x = F.layer_norm(x.permute(0, 2, 3, 1), (8,), self.norm.weight, self.norm.bias)
        x = x.flatten(1, 2)
        scores = (x @ x.transpose(1, 2) * 0.5).softmax(-1)
        x = scores @ x - 0.25
        heads = x.unflatten(-1, (2, 4)).transpose(1, 2)
        x = F.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2)
        return F.linear(x.mean(1), self.head.weight, self.head.bias)


def test_calls_open_to_one_value_as_well() -> None:
    torch.manual_seed(0)
    network = Calls().eval()
    filled(network.norm)
    image = torch.randn(1, 3, 16, 16)
    tree = analyse(network, (3, 16, 16))
    rows = [row for row in tree.children if values.opens(row)]
    kinds = {
        "conv2d",
        "max_pool2d",
        "avg_pool2d",
        "+",
        "layer_norm",
        "matmul",
        "×",
        "softmax",
        "−",
        "attention",
        "mean",
        "linear",
    }
    assert {row.type for row in rows} == kinds
    for row in rows:
        for position in places(row.output[1:], 4):
            found = values.output_value(network, row.id, image, position)
            assert found.computed == pytest.approx(found.total, rel=1e-5, abs=2e-6), row.type
    last = values.output_value(network, rows[-1].id, image, (2,))
    assert last.total == pytest.approx(network(image)[0, 2].item(), abs=1e-6)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_multi_head_attention_opens_to_one_value(batch_first: bool, bias: bool) -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(12, 3, bias=bias, batch_first=batch_first)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(2).transpose(1, 2)
            x = x if batch_first else x.transpose(0, 1)
            return self.attention(x, x.flip(0 if not batch_first else 1), x, need_weights=False)[0]

    torch.manual_seed(1)
    network = Attends().eval()
    image = torch.randn(1, 12, 3, 4)
    output = network(image)
    for position in places(tuple(output.shape)):
        found = values.output_value(network, "attention", image, position)
        assert found.total == pytest.approx(output[position].item(), abs=1e-6)
        assert found.computed == pytest.approx(found.total, rel=1e-5, abs=2e-6)


@pytest.mark.parametrize("name", first_of(["swin_nano", "se_resnet20", "vit_nano", "nat_nano"], 2))
def test_every_row_that_opens_in_a_network_of_the_catalogue(name: str) -> None:
    torch.manual_seed(2)
    if name not in registry.variants():
        pytest.skip(f"no {name} in the catalogue")
    network = registry.build(name, image_size=32).eval()
    image = torch.randn(1, 3, 32, 32)
    rows = [row for _, row in analyse(network, (3, 32, 32)).walk() if values.opens(row)]
    for row in random.Random(5).sample(rows, 25):
        [position] = places(row.output, 1)[:1]
        found = values.output_value(network, row.id, image, position)
        assert found.shape == row.output
        assert found.computed == pytest.approx(found.total, rel=1e-4, abs=1e-5), (row.name, row.type)


class Reads(nn.Module):
    """A recurrent layer that reads the rows of an image, from a state of its own where it has one."""

    def __init__(self, layer: nn.RNNBase, begins: bool) -> None:
        super().__init__()
        self.layer, self.begins = layer, begins

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(0, 1) if self.layer.batch_first else x.flatten(0, 1).transpose(0, 1)
        if not self.begins:
            return self.layer(x)[0]
        rows = self.layer.num_layers * (2 if self.layer.bidirectional else 1)
        state = torch.linspace(-1, 1, rows * 4 * self.layer.hidden_size).view(rows, 4, -1)
        return self.layer(x, (state, 2 * state) if isinstance(self.layer, nn.LSTM) else state)[0]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize(
    ("options", "begins"),
    [
        ({"batch_first": True}, False),
        ({"num_layers": 2, "bidirectional": True, "batch_first": True}, True),
        ({"bidirectional": True, "bias": False}, False),
        ({"num_layers": 3}, True),
    ],
)
def test_a_recurrent_layer_opens_to_one_value(kind: Any, options: dict, begins: bool) -> None:
    torch.manual_seed(3)
    network = Reads(kind(11, 5, **options), begins).eval()
    image = torch.randn(1, 4, 10, 11)
    output = network(image)
    for position in places(tuple(output.shape)):
        found = values.output_value(network, "layer", image, position)
        assert found.kind == "recurrent"
        assert found.total == pytest.approx(output[position].item(), abs=1e-6)
        assert found.computed == pytest.approx(found.total, rel=1e-5, abs=2e-6)


def test_the_gates_of_an_lstm_make_the_value() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Flatten(0, 1), nn.LSTM(6, 3, batch_first=True)).eval()
    found = values.output_value(network, "1", torch.randn(1, 1, 2, 6), (0, 0, 2))
    gates = found.parts[-1]
    assert gates.name == "input gate, forget gate, candidate, output gate"
    enter, _, candidate, leave = gates.numbers.tolist()
    assert found.total == pytest.approx(leave * math.tanh(enter * candidate), abs=1e-6)
    weights = found.parts[2].numbers
    sums = weights @ found.parts[0].numbers + found.parts[4].numbers.sum(0)
    assert leave == pytest.approx(torch.sigmoid(sums[3]).item(), abs=1e-6)


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_a_recurrent_cell_opens_to_one_value(kind: type[nn.Module]) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = kind(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(1)
            first = self.cell(x)
            again = self.cell(x, first)
            return again[0] if isinstance(again, tuple) else again

    torch.manual_seed(3)
    network = Twice().eval()
    image = torch.randn(1, 2, 2, 2)
    tree = analyse(network, (2, 2, 2))
    first, second = (row for row in tree.children if row.name == "cell")
    for row, output in ((first, network.cell(image.flatten(1))), (second, network(image))):
        output = output[0] if isinstance(output, tuple) else output
        found = values.output_value(network, row.id, image, (3,))
        assert found.total == pytest.approx(output[0, 3].item(), abs=1e-6)
        assert found.computed == pytest.approx(found.total, rel=1e-5, abs=2e-6)


class Careless(nn.Module):
    """Writes into what earlier rows gave and read, and has the number first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv(x))
        y = torch.add(3 - x, x, alpha=2)
        y = F.leaky_relu(F.avg_pool2d(y - 4, 2), 0.1, inplace=True)
        return (2 / (y + 9)).mul_(-3).sigmoid_()


def test_a_value_is_right_where_a_later_row_writes_into_it() -> None:
    torch.manual_seed(5)
    network = Careless().eval()
    image = torch.randn(1, 3, 8, 8)
    conv = network.conv(image)
    rows = [row for row in analyse(network, (3, 8, 8)).children if values.opens(row)]
    kinds = "Conv2d ReLU − + − avg_pool2d leaky_relu + ÷ × sigmoid"
    assert [row.type for row in rows] == kinds.split()
    for row in rows:
        for position in places(row.output[1:], 4):
            found = values.output_value(network, row.id, image, position)
            assert found.computed == pytest.approx(found.total, rel=1e-5, abs=2e-6), row.type
            if row.type == "Conv2d":
                assert found.total == pytest.approx(conv[(0, *position)].item(), abs=1e-6)
    turned = values.output_value(network, rows[2].id, image, (1, 2, 3))
    assert turned.total == pytest.approx(3 - conv.relu()[0, 1, 2, 3].item(), abs=1e-6)


class Standardised(nn.Conv2d):
    """A convolution that normalises its weights, as those of timm's ResNet v2."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(F.pad(x, (1, 0, 1, 0)), weight, self.bias, self.stride)


class Doubled(nn.Conv2d):
    """A convolution that does more than one call."""

    def forward(self, x: Tensor) -> Tensor:
        return (super().forward(x) + 1).relu()


def test_a_layer_with_a_forward_of_its_own_shows_what_it_computes_or_does_not_open() -> None:
    torch.manual_seed(5)
    image = torch.randn(1, 3, 8, 8)
    network = nn.Sequential(Standardised(3, 4, 3, stride=2)).eval()
    for position in places((4, 4, 4)):
        found = values.output_value(network, "0", image, position)
        assert found.total == pytest.approx(network(image)[(0, *position)].item(), abs=1e-6)
        assert found.computed == pytest.approx(found.total, rel=1e-5, abs=2e-6)
    assert found.parts[1].numbers.mean().item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="Doubled has a forward of its own"):
        values.output_value(nn.Sequential(Doubled(3, 4, 3)), "0", image, (0, 0, 0))


@pytest.mark.parametrize(
    "name", ["torchvision:mobilenet_v3_small", "torchvision:shufflenet_v2_x0_5", "timm:resnetv2_50"]
)
def test_every_kind_of_row_that_opens_in_a_network_from_outside(name: str) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    torch.manual_seed(2)
    spec = external.network_spec(name, image_size=64)
    network = spec.make().eval()
    image = torch.randn(1, *spec.shape)
    kinds = {}
    for _, row in external.anatomy_of(spec).walk():
        if values.opens(row):
            kinds.setdefault(row.type, row)
    assert len(kinds) >= 5
    for row in kinds.values():
        [position] = places(row.output[1:], 1)[:1]
        found = values.output_value(network, row.id, image, position)
        assert found.shape == row.output
        assert found.computed == pytest.approx(found.total, rel=1e-4, abs=1e-5), (row.name, row.type)


def test_what_does_not_open_says_so() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Dropout())
    image = torch.randn(1, 1, 4, 4)
    with pytest.raises(ValueError, match="'1' does not open to one value"):
        values.output_value(network, "1", image, (0, 0, 0))
    with pytest.raises(ValueError, match="outside the output"):
        values.output_value(network, "0", image, (0, 2, 0))
    with pytest.raises(ValueError, match="is not a row that runs"):
        values.output_value(network, 99, image, (0, 0, 0))


class Refuses(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("this layer is not needed")


def test_what_comes_after_the_row_is_not_run() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), Refuses())
    image = torch.randn(1, 1, 4, 4)
    expected = network[:2](image)[0, 0, 1, 1].item()
    for row in ("1", 2):
        assert values.output_value(network, row, image, (0, 1, 1)).total == pytest.approx(expected)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    with pytest.raises(AssertionError, match="not needed"):
        values.output_value(network, 99, image, (0, 0, 0))
