"""What operators with a number on their left, routing and stems are called, and how a single value is written."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cnn_explorer.cli import walk_into
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.values.caught import number
from cnn_explorer.models.anatomy.words import walk
from cnn_explorer.tui.widgets.pixel_view import short
from support.anatomy import analyse
from torch import Tensor, nn


class Applies(nn.Module):
    def __init__(self, apply: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.apply_to = apply

    def forward(self, x: Tensor) -> Tensor:
        return self.apply_to(x)


OPERATORS = {
    "2 + x": ("+", "adds 2", lambda x: 2 + x),
    "2 - x": ("−", "subtracts every value from 2", lambda x: 2 - x),
    "rsub": ("−", "subtracts every value from 2", lambda x: torch.rsub(x, 2)),
    "x - 2": ("−", "subtracts 2", lambda x: x - 2),
    "2 * x": ("×", "multiplies every value by 2", lambda x: 2 * x),
    "2 / x": ("÷", "divides 2 by every value", lambda x: 2 / x),
    "x / 2": ("÷", "divides by 2", lambda x: x / 2),
    "2 // x": ("floor_divide", "divides 2 by every value, rounded down", lambda x: 2 // x),
    "x // 2": ("floor_divide", "divides by 2, rounded down", lambda x: x // 2),
    "3 ** x": ("power", "raises 3 to the power of every value", lambda x: 3**x),
    "torch.pow(3, x)": ("power", "raises 3 to the power of every value", lambda x: torch.pow(3, x)),
    "x ** 3": ("power", "raises every value to the power of 3", lambda x: x**3),
    "x ** 2": ("power", "squares every value", lambda x: x**2),
    "square": ("power", "squares every value", lambda x: x.square()),
    "x ** x": ("power", "raises each value to the power of another", lambda x: x**x),
    "3 % x": ("remainder", "keeps what is left of 3 after dividing it by every value", lambda x: 3 % x),
    "x % 3": ("remainder", "keeps what is left after dividing by 3", lambda x: x % 3),
}


@pytest.mark.parametrize("written", OPERATORS)
def test_an_operator_is_told_by_what_it_does(written: str) -> None:
    word, phrase, apply = OPERATORS[written]
    [row] = analyse(Applies(apply), (3, 4, 4)).children
    assert (row.type, walk.phrase(row)) == (word, phrase)


def test_one_value_for_an_image_has_words_where_its_shape_would_be_empty() -> None:
    tree = analyse(Applies(lambda x: x.flatten(1).argmax(1)), (3, 4, 4))
    assert [row[3] for row in walk_into.step_rows(tree, 1)] == ["48", "one value"]


def test_no_value_is_written_as_minus_zero() -> None:
    assert (number(-0.00001), number(-0.5)) == ("0.0000", "-0.5000")
    assert (short(-0.001), short(-0.2)) == (".00", "-.20")


def test_routing_is_told_in_the_rows_of_the_capsules() -> None:
    tree = external.anatomy_of(external.network_spec("capsnet_nano"))
    told = [walk.phrase(row) for _, row in tree.walk() if row.type == "einsum"]
    assert told[0].startswith("each capsule votes")
    assert all(phrase.startswith("routing by agreement") for phrase in told[1:]) and len(told) == 6


def test_a_stem_names_its_convolutions() -> None:
    tree = external.anatomy_of(external.network_spec("se_resnet50"))
    [stem] = [row for row in tree.children if row.name == "stem"]
    assert walk.phrase(stem) == "7×7 convolution and 3×3 pooling; side 224 → 56, channels 3 → 64"

    def unit(entering: int, stride: int = 1) -> nn.Module:
        return nn.Sequential(nn.Conv2d(entering, 8, 3, stride, 1), nn.BatchNorm2d(8), nn.ReLU())

    deep = nn.Sequential(nn.Sequential(unit(3, 2), unit(8), unit(8), nn.MaxPool2d(2)), nn.ReLU())
    [stem, _] = analyse(deep, (3, 32, 32)).children
    assert walk.phrase(stem) == "three 3×3 convolutions and 2×2 pooling; side 32 → 8, channels 3 → 8"
