"""One output value of a row and the numbers that it is made of, against what the layer itself gives."""

from __future__ import annotations

import random

import pytest
import torch
from cnn_explorer.models import layers
from cnn_explorer.models.anatomy.rows import layer_table
from cnn_explorer.models.anatomy.values import one_value as values
from cnn_explorer.models.catalogue import registry
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
    tree = layer_table.analyse(network, (3, 16, 16))
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


@pytest.mark.parametrize("name", ["swin_nano", "vit_nano", "nat_nano", "se_resnet20"])
def test_every_row_that_opens_in_a_network_of_the_catalogue(name: str) -> None:
    torch.manual_seed(2)
    if name not in registry.variants():
        pytest.skip(f"no {name} in the catalogue")
    network = registry.build(name, image_size=32).eval()
    image = torch.randn(1, 3, 32, 32)
    rows = [row for _, row in layer_table.analyse(network, (3, 32, 32)).walk() if values.opens(row)]
    for row in random.Random(5).sample(rows, 25):
        [position] = places(row.output, 1)[:1]
        found = values.output_value(network, row.id, image, position)
        assert found.shape == row.output
        assert found.computed == pytest.approx(found.total, rel=1e-4, abs=1e-5), (row.name, row.type)


def test_what_does_not_open_says_so() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU())
    image = torch.randn(1, 1, 4, 4)
    with pytest.raises(ValueError, match="'1' does not open to one value"):
        values.output_value(network, "1", image, (0, 0, 0))
    with pytest.raises(ValueError, match="outside the output"):
        values.output_value(network, "0", image, (0, 2, 0))
    with pytest.raises(ValueError, match="no row that runs"):
        values.output_value(network, 99, image, (0, 0, 0))
