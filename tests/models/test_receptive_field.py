"""Receptive fields of single operations, of small networks that hold several, and of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.models.anatomy.fields import lines
from cnn_explorer.models.anatomy.fields.receptive_field import ReceptiveField
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.rows import table_text
from cnn_explorer.models.anatomy.rows.layer import Layer
from cnn_explorer.models.anatomy.rows.trace import trace
from einops import rearrange
from support.anatomy import analyse, analyse_variant
from support.gradient_probe import extent
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

SIDE = 32


class Of(nn.Module):
    """A module whose forward is a function; ``layers`` are its submodules, handed to the function."""

    def __init__(self, function: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x, *self.layers)


def field(module: nn.Module, channels: int = 4, size: tuple[int, int] = (SIDE, SIDE)) -> ReceptiveField:
    found = trace(module.to("meta").eval(), torch.empty(1, channels, *size, device="meta")).receptive_field
    assert found is not None
    return found


def conv(kernel: Any, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(4, 4, kernel, **options)


def flat(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def windows(x: Tensor, side: int) -> Tensor:
    return rearrange(x, "b c (h y) (w x) -> (b h w) (y x) c", y=side, x=side)


def back(x: Tensor, side: int, height: int) -> Tensor:
    return rearrange(x, "(b h w) (y x) c -> b c (h y) (w x)", y=side, x=side, h=height // side, w=height // side)


def attend(x: Tensor) -> Tensor:
    return (x @ x.transpose(1, 2)).softmax(-1) @ x


def two_attentions(x: Tensor, y: Tensor) -> Tensor:
    """One in windows of 4, one in windows that are shifted by 2."""
    x = x + back(attend(windows(x, 4)), 4, SIDE)
    y = x.roll((-2, -2), (2, 3))
    return x + back(attend(windows(y, 4)), 4, SIDE).roll((2, 2), (2, 3))


# what, its field's height and width; the image has 4 channels and 32 × 32 pixels
LOCAL = {
    "convolution": (conv(3, padding=1), 3, 3),
    "convolution without padding": (conv(5), 5, 5),
    "7×1": (conv((7, 1)), 7, 1),
    "1×7 after 7×1": (nn.Sequential(conv((7, 1)), conv((1, 7))), 7, 7),
    "7×1 dilated": (conv((7, 1), dilation=(2, 1)), 13, 1),
    "grouped": (conv(3, groups=2), 3, 3),
    "depthwise": (conv(3, groups=4), 3, 3),
    "stride larger than kernel": (nn.Sequential(conv(2, stride=3), conv(2)), 5, 5),
    "stride 2 twice": (nn.Sequential(conv(3, stride=2), conv(3, stride=2), conv(3)), 15, 15),
    "parts of the channels moved up and down": (
        Of(lambda x: torch.cat([x[:, :2], x[:, 2:3].roll(2, 2), x[:, 3:].roll(-2, 2)], 1).sum(1, keepdim=True)),
        5,
        1,
    ),
    "the wider branch": (Of(lambda x, a, b: a(x) + b(x), conv(3, padding=1), conv(7, padding=3)), 7, 7),
    "concatenated": (
        Of(lambda x, a, b: torch.cat([a(x), b(x)], 1), conv(3, padding=1), conv((1, 9), padding=(0, 4))), 3, 9),
    "max pooling": (nn.MaxPool2d(3, 2), 3, 3),
    "dilated max pooling": (nn.MaxPool2d(3, 1, dilation=2), 5, 5),
    "average pooling, ceil mode": (nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), conv(3, padding=1)), 6, 6),
    "pooling 2×1": (nn.Sequential(nn.MaxPool2d((2, 1)), conv(3)), 6, 3),
    "one-dimensional, along the rows": (
        Of(lambda x, c: c(rearrange(x, "b c h w -> (b w) c h")), nn.Conv1d(4, 4, 5, padding=2)), 5, 1),
    "transposed 2×2": (nn.Sequential(conv(2, stride=2), nn.ConvTranspose2d(4, 4, 2, 2), conv(3)), 4, 4),
    "transposed 3×3": (nn.Sequential(conv(2, stride=2), nn.ConvTranspose2d(4, 4, 3, 2)), 4, 4),
    "transposed, output padding": (
        nn.Sequential(conv(3, stride=2, padding=1), nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1), conv(1)), 5, 5),
    "nearest": (nn.Sequential(conv(2, stride=2), nn.Upsample(scale_factor=2), conv(3)), 4, 4),
    "bilinear": (nn.Sequential(conv(2, stride=2), nn.Upsample(scale_factor=2, mode="bilinear")), 4, 4),
    "bilinear, corners": (
        Of(lambda x: F.interpolate(x[:, :, :17, :17], size=(33, 33), mode="bilinear", align_corners=True)), 2, 2),
    "bicubic": (nn.Upsample(scale_factor=2, mode="bicubic"), 4, 4),
    "pixel shuffle": (nn.Sequential(conv(2, stride=2), nn.PixelShuffle(2), nn.Conv2d(1, 1, 3)), 4, 4),
    "pixel unshuffle": (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(16, 4, 1)), 2, 2),
    "channel shuffle": (nn.Sequential(conv(3), nn.ChannelShuffle(2)), 3, 3),
    "adaptive pooling to a quarter": (nn.AdaptiveAvgPool2d(8), 4, 4),
    "adaptive pooling, overlapping": (nn.Sequential(nn.AdaptiveAvgPool2d(5)), 8, 8),
    "every second pixel": (Of(lambda x, c: c(x[:, :, ::2, 1::2]), conv(3)), 5, 5),
    "patches by rearrange": (
        Of(lambda x, c: c(rearrange(x, "b c (h y) (w x) -> b (h w) (y x c)", y=8, x=8)), nn.Linear(256, 8)), 8, 8),
    "patch merging by slices": (
        Of(lambda x, c: c(torch.cat([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], 1)),
           nn.Conv2d(16, 4, 3)), 6, 6),
    "F.unfold": (Of(lambda x, c: c(F.unfold(x, 3, padding=1).transpose(1, 2)), nn.Linear(36, 4)), 3, 3),
    "F.fold": (Of(lambda x: F.fold(F.unfold(x, 3, padding=1), (SIDE, SIDE), 3, padding=1)), 1, 1),
    "Tensor.unfold": (Of(lambda x: x.unfold(2, 4, 4).sum(-1)), 4, 1),
    "chunks joined again": (Of(lambda x, c: c(torch.cat(x.chunk(2, 2), 2)), conv(3)), 3, 3),
    "rows joined again": (Of(lambda x, c: c(torch.stack([x[:, :, i] for i in range(SIDE)], 2)), conv(3)), 3, 3),
    "mean over channels": (Of(lambda x, c: c(x.mean(1, keepdim=True)), nn.Conv2d(1, 1, 5, padding=2)), 5, 5),
    "layer norm over channels": (Of(lambda x, n: n(x.permute(0, 2, 3, 1)), nn.LayerNorm(4)), 1, 1),
    "batch norm": (nn.Sequential(conv(3), nn.BatchNorm2d(4)), 3, 3),
    "linear over channels": (Of(lambda x, c: c(x.permute(0, 2, 3, 1)), nn.Linear(4, 4)), 1, 1),
    "softmax over channels": (Of(lambda x: x.softmax(1)), 1, 1),
    "flip": (Of(lambda x, c: c(x.flip(3)), conv(3, stride=2)), 3, 3),
    "rows and columns exchanged": (Of(lambda x, c: c(x.transpose(2, 3)), conv((5, 1))), 1, 5),
    "rolled": (Of(lambda x, c: c(x.roll(3, 2)), conv(3)), 3, 3),
    "padded by reflection": (nn.Sequential(nn.ReflectionPad2d(2), conv(5)), 5, 5),
    "written into channels": (Of(lambda x, c: _shifted(c(x)), conv(3, padding=1)), 5, 3),
    "a known table": (Of(lambda x: x[:, :, torch.arange(SIDE - 4)] + x[:, :, torch.arange(4, SIDE)]), 5, 1),
    "attention in windows": (Of(lambda x: back(attend(windows(x, 4)), 4, SIDE)), 4, 4),
    "attention in shifted windows": (Of(lambda x: two_attentions(x, x)), 8, 8),
    "in words of four rows": (
        Of(lambda x, m: m(rearrange(x, "b c (h y) w -> (b h w) y c", y=4)), nn.Linear(4, 4)), 1, 1),
    "local response norm": (nn.LocalResponseNorm(3), 1, 1),
    "einsum over channels": (Of(lambda x, c: torch.einsum("bchw,dc->bdhw", x, c.weight[:, :, 0, 0]), conv(1)), 1, 1),
    "top values of channels": (Of(lambda x: x.topk(2, 1).values), 1, 1),
}  # fmt: skip


def _shifted(x: Tensor) -> Tensor:
    moved = torch.zeros_like(x)
    moved[:, ::2, 1:] = x[:, ::2, :-1]
    moved[:, 1::2, :-1] = x[:, 1::2, 1:]
    return moved.sum(1, keepdim=True)


@pytest.mark.parametrize("name", LOCAL)
def test_field_of_a_local_operation(name: str) -> None:
    module, height, width = LOCAL[name]
    assert field(module) == ReceptiveField(height, width, False, field(module).depth)


# what, the field that stays, and that every place is reached
GLOBAL = {
    "mean": (Of(lambda x, c: c(x).mean((2, 3)), conv(3)), 3),
    "amax": (Of(lambda x: x.amax((2, 3))), 1),
    "sum": (Of(lambda x: x.sum((2, 3))), 1),
    "standard deviation": (Of(lambda x: x.std((2, 3))), 1),
    "norm": (Of(lambda x: x.norm(dim=(2, 3))), 1),
    "adaptive maximum": (nn.Sequential(conv(3), nn.AdaptiveMaxPool2d(1)), 3),
    "pooling as large as the map": (nn.Sequential(conv(3, padding=1), nn.AvgPool2d(SIDE)), SIDE + 2),
    "FFT": (Of(lambda x: torch.fft.irfft2(torch.fft.rfft2(x))), 1),
    "softmax over places": (Of(lambda x: x.flatten(2).softmax(-1)), 1),
    "cumulated along both axes": (Of(lambda x: x.cumsum(2).cumsum(3)), 1),
    "group norm": (nn.Sequential(conv(3), nn.GroupNorm(2, 4)), 3),
    "instance norm": (nn.InstanceNorm2d(4), 1),
    "layer norm over places": (nn.LayerNorm([4, SIDE, SIDE]), 1),
    "flattened, linear": (nn.Sequential(conv(3, padding=1), nn.Flatten(), nn.Linear(4 * SIDE**2, 5)), 3),
    "flattened map of one place": (nn.Sequential(conv(SIDE), nn.Flatten(), nn.Linear(4, 5)), SIDE),
    "token mixing": (Of(lambda x, m: m(x.flatten(2)), nn.Linear(SIDE**2, SIDE**2)), 1),
    "token mixing by a convolution": (Of(lambda x, m: m(flat(x)), nn.Conv1d(SIDE**2, 8, 1)), 1),
    "attention of all": (Of(lambda x: F.scaled_dot_product_attention(flat(x), flat(x), flat(x))), 1),
    "MultiheadAttention": (
        Of(lambda x, a: a(flat(x), flat(x), flat(x))[0], nn.MultiheadAttention(4, 2, batch_first=True)), 1),
    "transformer layer": (Of(lambda x, a: a(flat(x)), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)), 1),
    "non-local block": (Of(lambda x: x + (attend(flat(x))).transpose(1, 2).reshape(x.shape)), 1),
    "class token": (
        Of(lambda x, c: attend(torch.cat([c.weight.new_zeros(1, 1, 4), flat(c(x))], 1))[:, 0], conv(3, stride=2)), 3),
    "one window covers the map": (Of(lambda x, c: back(attend(windows(c(x), 8)), 8, 8), conv(4, stride=4)), 4),
    "axial attention, both axes": (
        Of(lambda x: attend(rearrange(attend(rearrange(x, "b c h w -> (b h) w c")), "(b h) w c -> (b w) h c", h=SIDE))), 1),
    "LSTM over all rows": (
        Of(lambda x, r: r(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1], nn.LSTM(4 * SIDE, 5, batch_first=True)), 1),
    "GRU's last state": (Of(lambda x, r: r(flat(F.avg_pool2d(x, 8)))[1], nn.GRU(4, 5, batch_first=True)), 8),
    "LSTM of two directions": (
        Of(lambda x, r: r(flat(F.avg_pool2d(x, 8)))[0], nn.LSTM(4, 5, batch_first=True, bidirectional=True)), 8),
    "einsum over places": (Of(lambda x: torch.einsum("bchw,bdhw->bcd", x, x)), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", GLOBAL)
def test_an_operation_that_reaches_every_place(name: str) -> None:
    module, size = GLOBAL[name]
    found = field(module)
    assert (found.size, found.is_global, found.unknown) == (size, True, "")


class Gate(nn.Module):
    """Squeeze-and-excitation beside a wider convolution: the gate's branch is the plain one's rival in width."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.squeeze = conv(5, padding=2), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.wide(x)
        return x + y * self.squeeze(y.mean((2, 3)))[:, :, None, None].sigmoid()


def coordinate_attention(x: Tensor, c: nn.Module) -> Tensor:
    return x * c(x.mean(3, keepdim=True)) * c(x.mean(2, keepdim=True))


# what, the field, whether every place is reached, and the axes that are reached as a whole where not
MIXED = {
    "a gate": (Gate(), 5, True, ""),
    "attention over channels and places (CBAM)": (
        Of(lambda x, s: x * s(torch.stack([x.mean(1), x.amax(1)], 1)).sigmoid(), nn.Conv2d(2, 1, 7, padding=3)),
        7, False, ""),
    "strip pooling along the width": (
        Of(lambda x, c: x + c(x.mean(3, keepdim=True)), conv((3, 1), padding=(1, 0))), 1, False, "width"),
    "coordinate attention": (Of(coordinate_attention, conv(1)), 1, False, "height and width"),
    "coordinate attention twice": (
        Of(lambda x, c: coordinate_attention(coordinate_attention(x, c), c), conv(1)), 1, True, ""),
    "axial attention along the width": (
        Of(lambda x: rearrange(attend(rearrange(x, "b c h w -> (b h) w c")), "h w c -> 1 c h w")), 1, False, "width"),
    "a part of the map": (Of(lambda x: x[:, :, 4:8, 4:8].mean((2, 3))), 4, False, ""),
    "two halves pooled": (Of(lambda x: F.adaptive_avg_pool2d(x, 2)), 16, False, ""),
    "every second place after a 2×2": (
        Of(lambda x, c: c(x)[:, :, ::2, ::2].mean((2, 3)), conv(2, padding=1)), 2, True, ""),
    "strip pooling along the height": (
        Of(lambda x, c: x + c(x.mean(2, keepdim=True)), conv((1, 3), padding=(0, 1))), 1, False, "height"),
    "strip pooling, then a convolution": (
        Of(lambda x, a, b: b(x + a(x.mean(3, keepdim=True))), conv(1), conv(5)), 5, False, "width"),
    "strips of both axes, one after the other": (
        Of(lambda x, c: x + c(c(x.mean(3, keepdim=True)).mean(2, keepdim=True)), conv(1)), 1, True, ""),
    "pooling to one column": (nn.Sequential(conv(3), nn.AdaptiveAvgPool2d((None, 1)), conv(1)), 3, False, "width"),
    "a gate for each row": (Of(lambda x, c: x * c(x).mean(3, keepdim=True), conv(7, padding=3)), 1, False, "width"),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXED)
def test_field_and_global_are_two_figures(name: str) -> None:
    module, size, is_global, along = MIXED[name]
    found = field(module)
    assert (found.size, found.is_global, found.global_along, found.unknown) == (size, is_global, along, "")


@pytest.mark.parametrize("name", [name for name in MIXED if MIXED[name][3]])
def test_what_is_global_along_an_axis_is_the_support_of_the_gradient(name: str) -> None:
    module, _, _, along = MIXED[name]
    height, width = seen_by_the_gradient(module)
    assert (height >= SIDE - 4, width >= SIDE - 4) == ("height" in along, "width" in along)


def seen_by_the_gradient(module: nn.Module, held: bool = False) -> tuple[int, int]:
    """Return on how many rows and columns of the image a place in the middle depends, at most."""
    found = [box for box in extent(module, (SIDE, SIDE), 4, held=held).values() if box is not None]
    return max(b - a + 1 for a, b, _, _ in found), max(b - a + 1 for _, _, a, b in found)


def test_a_table_words_what_is_global_along_one_axis() -> None:
    strip = analyse(nn.Sequential(conv(3), nn.AdaptiveAvgPool2d((None, 1))), (4, 16, 16))
    assert [table_text.field_text(row) for row in strip.children] == ["3", "3 global along the width"]
    assert table_text.field_text(analyse(Gate(), (4, 16, 16))) == "5 global"


UNKNOWN = {
    "gather": Of(lambda x: x.gather(2, x.long())),
    "boolean mask": Of(lambda x: torch.masked_select(x, x > 0)),
    "indexed by a boolean mask": Of(lambda x: x[x > 0]),
    "the largest places": Of(lambda x: x.flatten(2).topk(5, -1).values),
    "sorted places": Of(lambda x: x.sort(3).values),
    "spatial transformer": Of(lambda x, c: F.grid_sample(x, c(x).permute(0, 2, 3, 1)), nn.Conv2d(4, 2, 1)),
    "deformable": Of(lambda x, o, d: d(x, o(x)), nn.Conv2d(4, 18, 3, padding=1), DeformConv2d(4, 4, 3, padding=1)),
    "rolled over all axes": Of(lambda x: x.roll(3)),
}
REAL = {
    "boolean mask": "masked_select picks places by their values",
    "indexed by a boolean mask": "indexing picks places by their values",
}
"""What runs on real numbers alone, since its size depends on values."""


# what reads an axis step by step: field, global, along
RECURRENT = {
    "GRU along each row": (
        Of(lambda x, r: _map(r(rearrange(x, "b c h w -> (b h) w c"))[0]), nn.GRU(4, 4, batch_first=True)),
        1, False, "width"),
    "LSTM along each row, two directions": (
        Of(lambda x, r: _map(r(rearrange(x, "b c h w -> (b h) w c"))[0]),
           nn.LSTM(4, 2, batch_first=True, bidirectional=True)), 1, False, "width"),
    "GRU over words of four pixels": (
        Of(lambda x, r: _map(r(rearrange(x, "b c h (w p) -> (b h w) p c", p=4))[0].flatten(0, 1).unflatten(0, (SIDE, -1))),
           nn.GRU(4, 4, batch_first=True)), 4, False, ""),
    "LSTM over strips of four rows": (
        Of(lambda x, r: r(rearrange(x, "b c (t p) w -> (b t) (p w) c", p=4))[0][:, -1], nn.LSTM(4, 5, batch_first=True)),
        1, False, "width"),
}  # fmt: skip


def _map(x: Tensor) -> Tensor:
    return rearrange(x, "h w c -> 1 c h w")


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_layer_sees_the_steps_that_it_reads(name: str) -> None:
    module, size, is_global, along = RECURRENT[name]
    found = field(module)
    assert (found.size, found.is_global, found.global_along, found.unknown) == (size, is_global, along, "")


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [("GRU over words of four pixels", 1, 4), ("LSTM along each row, two directions", 1, SIDE)],
)
def test_the_gradient_reaches_the_steps_that_a_recurrent_layer_reads(name: str, height: int, width: int) -> None:
    assert seen_by_the_gradient(RECURRENT[name][0]) == (height, width)


def test_the_depth_of_a_recurrent_layer_is_that_of_its_steps() -> None:
    assert field(Of(lambda x, r: r(flat(F.avg_pool2d(x, 8)))[1], nn.GRU(4, 5, batch_first=True))).depth >= 16


@pytest.mark.parametrize("name", [name for name in UNKNOWN if name not in REAL])
def test_where_the_places_depend_on_values_the_field_is_unknown_and_the_reason_is_said(name: str) -> None:
    found = field(UNKNOWN[name])
    assert found.size is None and len(found.unknown.split()) >= 3


@pytest.mark.parametrize(("name", "reason"), REAL.items())
def test_a_boolean_mask_made_of_the_image_picks_places_by_their_values(name: str, reason: str) -> None:
    layer = analyse(nn.Sequential(conv(3), UNKNOWN[name]), (4, 16, 16))
    assert (layer.receptive_field, layer.is_global, layer.field_unknown) == (None, False, reason)


def test_a_mask_that_only_weighs_or_fills_leaves_the_field_as_it_is() -> None:
    masked = Of(lambda x, a, b: torch.where(a(x) > 0, b(x), 0.0), conv(3, padding=1), conv(5, padding=2))
    assert field(masked).size == 5
    filled = Of(lambda x, a, b: a(x).masked_fill(b(x) > 0, 0.0), conv(3, padding=1), conv(5, padding=2))
    assert field(filled).size == 5 and field(Of(lambda x, c: c(x) * (x > 0), conv(3, padding=1))).size == 3


def test_a_mask_of_known_values_is_a_table() -> None:
    chosen = torch.arange(SIDE) % 2 == 0
    found = field(Of(lambda x, c: c(x[:, :, chosen]), conv(3)))
    assert (found.height, found.width, found.unknown) == (5, 3, "")


def test_a_deformable_convolution_beside_a_plain_one_makes_the_sum_unknown() -> None:
    layer = analyse(nn.Sequential(conv(3), UNKNOWN["deformable"], conv(3)), (4, 16, 16))
    assert layer.children[0].receptive_field == 3
    assert [row.receptive_field for row in layer.children[1:]] == [None, None]
    reason = "deform_conv2d reads places that are computed"
    assert [row.field_unknown for row in layer.children] == ["", reason, reason]


def test_a_row_says_why_its_field_is_unknown() -> None:
    layer = analyse(nn.Sequential(conv(3), UNKNOWN["spatial transformer"]), (4, 16, 16))
    assert layer.receptive_field is None and layer.field_unknown == "grid_sample reads places that are computed"
    assert layer.children[0].receptive_field == 3 and not layer.children[0].field_unknown


def test_inside_vmap_a_row_says_why_its_field_is_unknown_and_behind_it_the_field_is_told() -> None:
    class Mapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside, self.behind = conv(3), conv(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.behind(torch.vmap(self.inside)(x.unsqueeze(1)).squeeze(1))

    inside, behind = (row for row in analyse(Mapped(), (4, 8, 8)).children if row.kind == "module")
    assert inside.receptive_field is None and "torch.vmap" in inside.field_unknown
    assert behind.receptive_field == 5


def test_what_is_made_of_weights_alone_has_no_field() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.make, self.conv = Of(lambda x, c: c.weight * 2, conv(1)), conv(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) + self.make(x).sum()

    layer = analyse(Table(), (4, 8, 8))
    assert [child.receptive_field for child in layer.children if child.name == "make"] == [None]
    assert layer.receptive_field == 3


PROBED = [
    "convolution", "7×1 dilated", "stride larger than kernel", "stride 2 twice", "the wider branch", "dilated max pooling",
    "transposed 2×2", "transposed 3×3", "transposed, output padding", "nearest", "bilinear", "pixel shuffle",
    "pixel unshuffle", "adaptive pooling, overlapping", "patch merging by slices", "rolled", "attention in windows",
    "attention in shifted windows", "flip", "written into channels",
    "parts of the channels moved up and down",
]  # fmt: skip


@pytest.mark.parametrize("name", PROBED)
def test_field_is_the_support_of_the_gradient(name: str) -> None:
    module, height, width = LOCAL[name]
    found = [box for box in extent(module, (SIDE, SIDE), 4).values() if box is not None]
    assert max(bottom - top + 1 for top, bottom, _, _ in found) == height
    assert max(right - left + 1 for _, _, left, right in found) == width


def test_a_field_does_not_depend_on_the_size_of_the_image() -> None:
    deep = nn.Sequential(*(conv(3, stride=2, padding=1) for _ in range(5)), conv(3, padding=1))
    assert {field(deep, size=(side, side)).size for side in (8, 32, 200)} == {127}


def test_gates_are_no_part_of_the_depth() -> None:
    assert analyse_variant("se_resnet50").depth == 50


def test_lines_join_only_where_their_places_lie_side_by_side() -> None:
    fine, coarse = lines.Line(8, 1, 1, (0,), (0,)), lines.Line(8, 1, 2, (0,), (3,))
    assert lines.hull(fine, coarse) is None
    assert lines.hull(coarse, coarse._replace(lo=(-4,))) == lines.Line(8, 1, 2, (-4,), (3,))


# variant, layer, field, global
NAMED = [
    ("resnet50_v1", "stage4", 483, False),
    ("se_resnet18", "stage1", 43, True), ("se_resnet18", "stage2", 99, True),
    ("se_resnet18", "stage3", 211, True), ("se_resnet18", "stage4", 435, True),
    ("mobile_former_26m", "stage1", 15, True), ("mobile_former_26m", "stage4", 327, True),
    ("channel_boosted_cnn", "booster", 15, False),
    ("cyclemlp_b1", "stage4", 367, True),
    ("convnext_tiny", "stage1", 76, False), ("convnext_tiny", "stage4", 1688, False), ("convnext_tiny", "head", 1688, True),
    ("swin_tiny", "stage1.0", 28, False), ("swin_tiny", "stage1.1", 56, False),
    ("swin_tiny", "stage3", 840, False), ("swin_tiny", "stage4", 952, True),
    ("nat_tiny", "stage1.0", 31, False), ("nat_tiny", "stage2", 279, False),
    ("mixer_s16", "blocks.0", 16, True), ("resmlp_s12", "blocks.0", 16, True), ("gmlp_ti16", "blocks.0", 16, True),
    ("mobilevit_v2_050", "stage2", 19, False), ("mobilevit_v2_050", "stage3", 43, True),
    ("cvt_13", "stage1", 15, True), ("cvt_13", "head", 391, True),
    ("vit_tiny_16", "tokens", 16, False), ("vit_tiny_16", "head", 16, True),
    ("capsnet", "primary", 17, False), ("lenet5", "s4", 16, False), ("lenet5", "c5", 16, True),
    ("dinat_tiny", "stage1.0", 31, False),
]  # fmt: skip


@pytest.mark.parametrize(("variant", "name", "size", "is_global"), NAMED)
def test_fields_of_the_catalogue(variant: str, name: str, size: int, is_global: bool) -> None:
    layer = next(layer for _, layer in _tree(variant).walk() if layer.name == name and layer.kind == "module")
    assert (layer.receptive_field, layer.is_global, layer.field_unknown) == (size, is_global, "")


TREES: dict[str, Layer] = {}


def _tree(variant: str) -> Layer:
    if variant not in TREES:
        TREES[variant] = analyse_variant(variant)
    return TREES[variant]


def test_a_grid_made_of_a_global_vector_is_global_and_keeps_its_field() -> None:
    found = field(Of(lambda x, c, m: F.affine_grid(m(c(x).mean((2, 3))).view(-1, 2, 3), [1, 4, SIDE, SIDE], False),
                     conv(5), nn.Linear(4, 6)))  # fmt: skip
    assert (found.size, found.is_global, found.unknown) == (5, True, "")


def test_a_running_sum_along_the_rows_reaches_the_width_alone() -> None:
    found = field(Of(lambda x, c: c(x).cumsum(3), conv(3)))
    assert (found.size, found.is_global, found.global_along) == (3, False, "width")


class AfterOneAxis(nn.Module):
    """Reads whole rows or columns of the image, then looks through windows."""

    def __init__(self, mix: Callable[[Tensor], Tensor], after: nn.Module) -> None:
        super().__init__()
        self.mix, self.after = mix, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.mix(x))


ONES = torch.ones(15, 15)
ONE_AXIS = {
    "linear over columns": (lambda x: F.linear(x, ONES.to(x.device)), nn.Conv2d(1, 1, (3, 5)), "width", 3),
    "linear over rows": (lambda x: F.linear(x.mT, ONES.to(x.device)).mT, nn.Conv2d(1, 1, (3, 5)), "height", 5),
    "mean over rows": (lambda x: x.mean(2), nn.Conv1d(1, 1, 7), "height", 7),
    "mean over columns": (
        lambda x: x.mean(3, keepdim=True),
        nn.Sequential(nn.Conv2d(1, 1, (3, 1)), nn.Conv2d(1, 1, (3, 1))),
        "width",
        5,
    ),
}


@pytest.mark.parametrize("name", ONE_AXIS)
def test_windows_after_one_axis_was_read_as_a_whole_widen_the_other_one(name: str) -> None:
    mix, after, along, expected = ONE_AXIS[name]
    network = AfterOneAxis(mix, after).eval()
    for weight in network.parameters():
        nn.init.constant_(weight, 0.5)
    tree = analyse(network, (1, 15, 15))
    assert (tree.receptive_field, tree.is_global, tree.global_along) == (expected, False, along)
    image = torch.ones(1, 1, 15, 15, requires_grad=True)
    output = network(image)
    output.flatten()[output.numel() // 2].backward()
    assert image.grad is not None
    rows, columns = (len(places.unique()) for places in image.grad[0, 0].nonzero(as_tuple=True))
    assert (rows, columns) == ((expected, 15) if along == "width" else (15, expected))


def test_a_mean_over_all_places_keeps_the_field_behind_shifted_windows() -> None:
    tree = analyse_variant("swin_nano")
    fields = {layer.name or layer.type: layer.receptive_field for _, layer in tree.walk()}
    assert fields["mean"] == fields["head"] == fields["stage4"] == 48


@pytest.mark.parametrize("batch_first", [True, False])
def test_all_recurrent_layers_see_the_same(batch_first: bool) -> None:
    class Reads(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x[:, 0] if batch_first else x[:, 0].transpose(0, 1))[0]

    found = set()
    for kind in (nn.LSTM, nn.GRU, nn.RNN):
        tree = analyse(Reads(kind(16, 5, 2, batch_first=batch_first)), (3, 16, 16))
        found.add((tree.receptive_field, tree.is_global, tree.field_unknown))
    assert found == {(1, True, "")}


def test_a_mean_over_a_map_of_attention_in_grids_keeps_the_field() -> None:
    """A place of a grid is read with gaps, which the places beside it fill: no path to single places is left."""
    rows = {layer.name: layer for _, layer in external.anatomy_of(external.network_spec("torchvision:maxvit_t")).walk()}
    block, pooled = rows["blocks.3"], rows["classifier.0"]
    assert (block.receptive_field, block.is_global) == (pooled.receptive_field, pooled.is_global) == (1547, True)
    assert rows[""].receptive_field == rows["classifier.5"].receptive_field == 1547
