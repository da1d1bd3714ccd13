"""What the axes of a tensor mean: all values of an image in one row, channels with tokens, patches, windows, the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.rows.layer import Layer
from cnn_explorer.models.anatomy.words import ideas, walk
from support.anatomy import analyse, analyse_variant
from torch import Tensor, nn
from torch.nn import functional as F

GREY, COLOUR = (1, 28, 28), (3, 28, 28)
Forward = Callable[[Any, Tensor], Tensor]


class Own(nn.Module):
    """A network with the layers ``parts`` and a forward of a test's own."""

    def __init__(self, forward: Forward, parts: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.own = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.own(self, x)


def analysed(forward: Forward, shape: tuple[int, ...] = GREY, **parts: Callable[[], nn.Module]) -> Layer:
    return analyse(counting.on_meta(lambda: Own(forward, {name: make() for name, make in parts.items()})), shape)


def said(tree: Layer) -> dict[str, str]:
    """What each row does, by the name of its module or else by its operation."""
    return {row.name or row.type: walk.phrase(row) for row in tree.children}


FLATTENED: dict[str, Callable[[Tensor], Tensor]] = {
    "flatten": lambda x: x.flatten(1),
    "torch.flatten": lambda x: torch.flatten(x, 1),
    "nn.Flatten": lambda x: nn.Flatten()(x),
    "view": lambda x: x.view(x.size(0), -1),
    "view of known width": lambda x: x.view(-1, x[0].numel()),
    "reshape": lambda x: x.reshape(x.shape[0], -1),
    "two steps": lambda x: x.flatten(2).flatten(1),
    "without the channel": lambda x: x.squeeze(1).flatten(1),
    "permuted": lambda x: x.permute(0, 2, 3, 1).reshape(len(x), -1),
}


@pytest.mark.parametrize("shape", [GREY, COLOUR])
@pytest.mark.parametrize("flattened", FLATTENED.values(), ids=FLATTENED)
def test_a_linear_layer_weighs_all_values_that_lie_in_one_row(flattened: Callable, shape: tuple[int, ...]) -> None:
    values = shape[0] * 784
    tree = analysed(
        lambda self, x: self.b(F.relu(self.a(flattened(x)))),
        shape,
        a=lambda: nn.Linear(values, 64),
        b=lambda: nn.Linear(64, 10),
    )
    assert walk.phrase(tree.children[0]) == "lays all values out in one row"
    assert said(tree)["a"] == f"weighs all {values} values, 64 times + bias"
    assert said(tree)["b"] == "weighs all 64 values, 10 times + bias"
    assert ideas.ideas_in(tree) == []


def test_a_sum_over_one_row_runs_over_all_values() -> None:
    tree = analysed(lambda self, x: self.a(x.flatten(1)).mean(1) + x.flatten(1).amax(1), a=lambda: nn.Linear(784, 9))
    assert {"averages all 9 values", "keeps the maximum of all 784 values"} <= set(said(tree).values())


def test_weights_without_a_module_and_shared_ones_weigh_all_values() -> None:
    def tied(self: Any, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(self.a(x.flatten(1))), self.a.weight.t())

    tree = analysed(tied, a=lambda: nn.Linear(784, 32))
    assert said(tree)["a"] == "weighs all 784 values, 32 times + bias"
    assert said(tree)["linear"] == "weighs all 32 values, 784 times"
    added = analysed(
        lambda self, x: self.b(torch.addmm(self.a.bias, x.flatten(1), self.a.weight.t())),
        a=lambda: nn.Linear(784, 32),
        b=lambda: nn.Linear(32, 10),
    )
    assert said(added)["b"] == "weighs all 32 values, 10 times + bias"


def test_a_gate_of_experts_weighs_all_values() -> None:
    tree = analysed(
        lambda self, x: self.gate(x.flatten(1)).softmax(1)[:, :1, None, None] * self.a(x),
        gate=lambda: nn.Linear(784, 2),
        a=lambda: nn.Conv2d(1, 8, 3),
    )
    assert said(tree)["gate"] == "weighs all 784 values, 2 times + bias"


def test_channels_with_tokens_are_mixed() -> None:
    tree = analysed(
        lambda self, x: self.b(self.a(self.stem(x).flatten(2))),
        stem=lambda: nn.Conv2d(1, 8, 4, 4),
        a=lambda: nn.Linear(49, 49),
        b=lambda: nn.Linear(49, 20),
    )
    assert said(tree)["a"] == "mixes the tokens of each channel, 49 → 49 + bias"
    assert said(tree)["b"] == "mixes the tokens of each channel, 49 → 20 + bias"
    folded = analysed(
        lambda self, x: self.a(self.stem(x).reshape(-1, 49)),
        stem=lambda: nn.Conv2d(1, 8, 4, 4),
        a=lambda: nn.Linear(49, 49),
    )
    assert said(folded)["a"] == "mixes the tokens of each channel, 49 → 49 + bias"


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
@pytest.mark.parametrize("width", [28, 32])
def test_the_last_step_of_a_recurrent_layer_is_one_row_of_values(kind: type[nn.Module], width: int) -> None:
    tree = analysed(
        lambda self, x: self.head(self.rows(x.squeeze(1))[0][:, -1]),
        rows=lambda: kind(28, width, batch_first=True),
        head=lambda: nn.Linear(width, 10),
    )
    rows = next(row for row in tree.children if row.name == "rows")
    assert rows.layout is not None and rows.layout.axes == ("batch", "rows", "channels")
    assert said(tree)["head"] == f"weighs all {width} values, 10 times + bias"


def test_the_last_state_of_a_recurrent_layer_is_one_row_of_values() -> None:
    tree = analysed(
        lambda self, x: self.head(self.rows(x.squeeze(1))[1][-1]),
        rows=lambda: nn.GRU(28, 32, batch_first=True, num_layers=2),
        head=lambda: nn.Linear(32, 10),
    )
    layouts = [row.layout.axes for row in tree.children if row.layout is not None]
    assert layouts[-2:] == [("batch", "channels"), ("batch", "channels")]


def test_rows_without_channels_are_weighed_not_mixed() -> None:
    tree = analysed(
        lambda self, x: self.b(self.a(x[:, 0]).transpose(1, 2)), a=lambda: nn.Linear(28, 16), b=lambda: nn.Linear(28, 5)
    )
    assert said(tree)["a"] == "weighs the 28 values of each row, 16 times + bias"
    assert said(tree)["b"] == "mixes the rows of each channel, 28 → 5 + bias"


def test_values_are_laid_out_as_an_image() -> None:
    for back in (nn.Unflatten(1, (1, 28, 28)), lambda y: y.view(-1, 1, 28, 28), lambda y: y.reshape(len(y), 1, 28, 28)):
        tree = analysed(
            lambda self, x, back=back: self.c(back(self.b(self.a(x.flatten(1))))),
            a=lambda: nn.Linear(784, 16),
            b=lambda: nn.Linear(16, 784),
            c=lambda: nn.Conv2d(1, 4, 3),
        )
        *_, laid_out, conv = tree.children
        assert walk.phrase(laid_out) == "lays the values out as a 28×28 image of 1 channel"
        assert conv.layout is not None and (conv.layout.rows, conv.layout.channels) == (26, 4)
    drawn = analysed(
        lambda self, x: self.b(self.a(x.flatten(1)).view(-1, 32, 7, 7)),
        a=lambda: nn.Linear(784, 32 * 49),
        b=lambda: nn.ConvTranspose2d(32, 1, 4, 4),
    )
    assert "lays the values out as a 7×7 map of 32 channels" in said(drawn).values()
    assert "7×7 → 28×28" in said(drawn)["b"]


def test_a_view_that_lays_all_out_or_divides_values_says_so() -> None:
    tree = analysed(
        lambda self, x: self.b(self.a(x).view(-1, 90)).view(-1, 2, 3),
        a=lambda: nn.Conv2d(1, 10, 3, stride=12),
        b=lambda: nn.Linear(90, 6),
    )
    phrases = [walk.phrase(row) for row in tree.children]
    assert phrases[1:] == [
        "lays all values out in one row",
        "weighs all 90 values, 6 times + bias",
        "lays the 6 values out as 2×3",
    ]


def test_nothing_mixes_along_the_batch() -> None:
    def views(self: Any, x: Tensor) -> Tensor:
        y = self.head(self.a(torch.cat([x, x.flip(3)])).mean((2, 3)))
        return y[: len(x)] + y[len(x) :]

    tree = analysed(views, a=lambda: nn.Conv2d(1, 8, 3), head=lambda: nn.Linear(8, 10))
    rows = {row.name or row.type: row for row in tree.children}
    assert walk.phrase(rows["concat"]) == "lays 2 tensors one after the other in the batch"
    assert walk.phrase(rows["slice"]) == "takes a part of the batch, 1 of 2"
    assert (rows["concat"].receptive_field, rows["a"].receptive_field) == (1, 3)
    assert not rows["a"].is_global
    halves = analysed(
        lambda self, x: torch.add(*self.a(torch.cat([x, x.flip(3)])).chunk(2)), a=lambda: nn.Conv2d(1, 8, 3)
    )
    assert said(halves)["split"] == "divides the batch into 2 parts"
    assert [row.receptive_field for row in halves.children][-3:] == [
        3,
        3,
        28,
    ]  # the sum sees a place and its mirror image


@pytest.mark.parametrize("shape", [GREY, COLOUR])
def test_patches_cut_by_strips_are_tokens(shape: tuple[int, ...]) -> None:
    def patches(self: Any, x: Tensor) -> Tensor:
        cut = x.unfold(2, 7, 7).unfold(3, 7, 7).permute(0, 2, 3, 1, 4, 5).reshape(len(x), 16, -1)
        return self.m(self.a(cut).transpose(1, 2))

    tree = analysed(patches, shape, a=lambda: nn.Linear(49 * shape[0], 32), m=lambda: nn.Linear(16, 16))
    phrases = [walk.phrase(row) for row in tree.children]
    assert phrases[:2] == ["cuts the rows into 4 strips of 7", "cuts the columns into 4 strips of 7"]
    assert said(tree)["a"] == f"weighs the {49 * shape[0]} values of each place, 32 times + bias"
    assert said(tree)["m"] == "mixes the tokens of each channel, 16 → 16 + bias"


def test_strips_that_overlap_are_told() -> None:
    tree = analysed(lambda self, x: x.unfold(3, 5, 2))
    assert said(tree) == {"unfold": "cuts the columns into 12 overlapping strips of 5"}


@pytest.mark.parametrize("is_grid", [True, False])
def test_a_grid_of_places_far_apart_is_no_window(is_grid: bool) -> None:
    def attend(self: Any, x: Tensor) -> Tensor:
        y = self.stem(x)
        y = y.view(-1, 32, 7, 4, 7, 4) if is_grid else y.view(-1, 32, 4, 7, 4, 7).permute(0, 1, 3, 2, 5, 4)
        y = y.permute(0, 3, 5, 2, 4, 1).reshape(16, 49, 32)
        q, k, v = self.qkv(y).view(-1, 49, 3, 4, 8).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v)

    tree = analysed(attend, stem=lambda: nn.Conv2d(1, 32, 1), qkv=lambda: nn.Linear(32, 96))
    phrases = [walk.phrase(row) for row in tree.children]
    if is_grid:
        assert "cuts the map into 16 grids of 49 places that lie 4 apart" in phrases
        assert phrases[-1] == "attention among the 49 places of each of 16 grids (4 places apart), 4 heads"
    else:
        assert "cuts the map into 16 windows of 49 places" in phrases
        assert phrases[-1] == "attention among the 49 places of each of 16 windows, 4 heads"


def test_a_window_after_patch_merging_is_still_a_window() -> None:
    rows = {row.name: row for _, row in analyse_variant("swin_nano").walk() if row.kind == "module"}
    assert "windows" in walk.phrase(rows["stage2.1.attention"])


def test_rows_as_channels_are_a_window_as_high_as_they_are() -> None:
    tree = analysed(
        lambda self, x: self.head(self.p(self.a(x.squeeze(1))).flatten(1)),
        a=lambda: nn.Conv1d(28, 16, 5),
        p=lambda: nn.AvgPool1d(2),
        head=lambda: nn.Linear(16 * 12, 10),
    )
    rows = {row.name: row for row in tree.children if row.name}
    assert [(rows[name].receptive_field, rows[name].is_global) for name in ("a", "p", "head")] == [
        (28, False),
        (28, False),
        (28, True),
    ]


def test_the_batch_axis_is_left_out_where_both_shapes_have_it() -> None:
    tree = analysed(lambda self, x: x.squeeze(1))
    assert said(tree) == {"reshape": "reads 1×28×28 as 28×28"}
