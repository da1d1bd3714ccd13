"""Rows with their data flow: what a network does without a module is a row, and each row names the rows it reads."""

from __future__ import annotations

import importlib.util
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.rows import check, folding
from cnn_explorer.models.anatomy.rows.layer import Layer
from cnn_explorer.models.catalogue import registry
from einops import rearrange
from support.anatomy import analyse, analyse_variant
from torch import Tensor, nn
from torch.nn import functional as F


def analysed(network: type[nn.Module], shape: tuple[int, ...]) -> Layer:
    return analyse(counting.on_meta(network), shape)


def rows_of(tree: Layer) -> list[tuple[str, tuple[int | None, ...]]]:
    """Each row of the first level, with what it reads counted from 1; 0 is the input."""
    numbers = {child.id: number for number, child in enumerate(tree.children, 1)} | {0: 0}
    return [
        (
            row.short_name if row.kind == "module" else row.type,
            tuple(None if at is None else numbers[at] for at in row.reads),
        )
        for row in tree.children
    ]


class Mnist(nn.Module):
    """The network of pytorch/examples, which has no module for most of what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, 1), nn.Conv2d(32, 64, 3, 1)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = self.dropout1(F.max_pool2d(x, 2))
        x = torch.flatten(x, 1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def test_what_a_network_does_without_a_module_is_a_row() -> None:
    tree = analysed(Mnist, (1, 28, 28))
    names = [
        "conv1",
        "relu",
        "conv2",
        "relu",
        "max_pool2d",
        "dropout1",
        "flatten",
        "fc1",
        "relu",
        "dropout2",
        "fc2",
        "log_softmax",
    ]
    assert rows_of(tree) == [(name, (number,)) for number, name in enumerate(names)]
    assert [row.output[1:] for row in tree.children[4:7]] == [(64, 12, 12), (64, 12, 12), (9216,)]
    assert tree.children[-1].returned and not any(row.returned for row in tree.children[:-1])


def test_branches_read_what_they_read() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)
            self.same = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            left, right = self.left(x), self.right(x)
            both = torch.cat((left, right, self.same(x)), 1)
            one, two = both.split([4, 7], 1)
            return one * 2 + two[:, :4] + left

    assert rows_of(analysed(Branches, (3, 8, 8))) == [
        ("left", (0,)), ("right", (0,)), ("same", (0,)), ("concat", (1, 2, 3)), ("split", (4,)), ("×", (5,)),
        ("slice", (5,)), ("+", (6, 7)), ("+", (8, 1)),
    ]  # fmt: skip


def test_what_is_written_in_place_is_read_by_who_comes_later() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            kept = x
            self.relu(x)
            x += 1
            x[:, 0] = kept[:, 1]
            return x.sigmoid_()

    names = ["conv", "relu", "+", "slice", "assign", "sigmoid"]
    assert rows_of(analysed(InPlace, (3, 4, 4))) == list(
        zip(names, [(0,), (1,), (2,), (3,), (3, 4), (5,)], strict=True)
    )


def test_modules_see_what_they_were_not_handed() -> None:
    """A block that reads an earlier map through an attribute names it as an input, on each level."""

    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            kept: Any = self.kept
            return x + kept

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.block = nn.Conv2d(3, 3, 1), nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), Inner())

        def forward(self, x: Tensor) -> Tensor:
            object.__setattr__(self.block[1], "kept", self.conv(x))
            return self.block(x)

    tree = analysed(Outer, (3, 4, 4))
    assert rows_of(tree) == [("conv", (0,)), ("block", (0, 1))]
    block = tree.children[1]
    inner = block.children[1]
    assert inner.reads == (block.children[0].id, block.id)
    assert inner.children[0].reads == (inner.id, inner.id)
    assert check.problems(tree) == []


def test_changes_of_layout_one_after_the_other_are_one_row() -> None:
    class Reshapes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(2).transpose(1, 2).contiguous()
            y = x.reshape(-1, 8, 8, 3).permute(0, 3, 1, 2)
            return rearrange(y, "b c h w -> b (h w) c") + x

    tree = analysed(Reshapes, (3, 8, 8))
    assert rows_of(tree) == [("rearrange", (0,)), ("rearrange", (1,)), ("rearrange", (2,)), ("+", (3, 1))]
    assert [row.output for row in tree.children] == [(1, 64, 3), (1, 3, 8, 8), (1, 64, 3), (1, 64, 3)]


def test_tables_and_masks_are_no_rows_and_their_sums_say_learned() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(3, 4))

        def forward(self, x: Tensor) -> Tensor:
            table = (self.table.repeat(1, 2) * 2).unsqueeze(1).relu()
            mask = torch.arange(8, device=x.device) > torch.zeros_like(x)[0, 0, 0]
            return (x + table).masked_fill(mask, 0.0)

    tree = analysed(Table, (3, 8, 8))
    assert [name for name, _ in rows_of(tree)] == ["+", "masked_fill"]
    assert tree.children[0].settings["learned"] == "yes" and tree.children[0].reads == (0, None)


def test_one_call_is_one_row_however_much_it_does() -> None:
    class Calls(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(8, 4, 3, 3))

        def forward(self, x: Tensor) -> Tensor:
            x = F.conv2d(x, self.weight, padding=1)
            x = F.group_norm(x, 2)
            x = F.interpolate(x, scale_factor=2)
            return F.scaled_dot_product_attention(x, x, x)

    tree = analysed(Calls, (4, 4, 4))
    assert rows_of(tree) == [("conv2d", (0,)), ("group_norm", (1,)), ("interpolate", (2,)), ("attention", (3, 3, 3))]
    assert tree.children[0].macs == 8 * 4 * 9 * 16
    assert tree.children[0].settings["kernel_size"] == (3, 3)


def test_layers_of_torch_show_nothing_inside() -> None:
    tree = analyse(counting.on_meta(lambda: torchvision.models.vit_b_16()), (3, 224, 224))
    for _, row in tree.walk():
        if row.base and row.base not in ("Sequential", "ModuleList", "Container"):
            assert not row.children, row.type


def test_equal_blocks_fold_and_chain() -> None:
    folded = folding.fold(analyse_variant("resnet50"))
    stage = next(row for row in folded.children if row.name == "stage3")
    first, others = stage.children
    assert (others.times, others.reads, others.in_turn) == (5, (first.id,), True)
    assert check.problems(folded) == []


def test_equal_branches_fold_where_all_read_the_same() -> None:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([part(x) for part in self.parts], 1)

    branch, concat = folding.fold(analysed(Wide, (3, 4, 4))).children
    assert (branch.times, branch.in_turn, branch.reads) == (4, False, (0,))
    assert concat.reads == (branch.id,) * 4


def broken(tree: Layer, **changes: object) -> list[str]:
    """The rules that the checker finds broken where the third row of a tree is changed."""
    children = list(tree.children)
    children[2] = replace(children[2], **changes)
    return [problem.rule for problem in check.problems(replace(tree, children=tuple(children)))]


def test_the_checker_sees_what_is_wrong() -> None:
    tree = analysed(Mnist, (1, 28, 28))
    assert check.problems(tree) == []
    assert broken(tree, reads=(0,)) == ["reads", "unread"]  # another shape, and nobody reads the row before
    assert broken(tree, inputs=((1, 32, 13, 13),)) == ["reads"]
    assert broken(tree, reads=()) == ["reads", "unread"]
    assert broken(tree, macs=1) == ["sum"]
    assert broken(tree, id=99) == ["reads", "unread"]
    layout = tree.children[2].layout
    assert layout is not None and layout.rows == 24
    assert broken(tree, layout=replace(layout, rows=27)) == ["grows"]


SAMPLE = (
    "cvt_13",
    "swin_v2_nano",
    "mobile_former_26m",
    "capsnet",
    "densenet121",
    "cnn_lstm",
    "googlenet",
    "shufflenet_v1_100_g3",
)


@pytest.mark.parametrize("name", [name for name in SAMPLE if name in registry.variants()])
def test_rows_of_the_catalogue_chain(name: str) -> None:
    tree = analyse_variant(name)
    assert check.problems(tree) == [] and check.problems(folding.fold(tree)) == []


@pytest.mark.parametrize(
    "name", ["densenet121", "swin_v2_t", "maxvit_t", "efficientnet_b0", "shufflenet_v2_x0_5", "s3d"]
)
def test_rows_of_other_networks_chain(name: str) -> None:
    tree = external.anatomy_of(external.network_spec(f"torchvision:{name}"))
    assert check.problems(tree) == [] and check.problems(folding.fold(tree)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", list(registry.variants()))
def test_rows_of_every_network_chain(name: str) -> None:
    assert load_script().wrong_with(name, load_script().recorded()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", torchvision.models.list_models())
def test_rows_of_every_network_of_torchvision_chain(name: str) -> None:
    assert load_script().wrong_with(f"torchvision:{name}", {}) == []


@pytest.mark.slow
def test_rows_of_three_hundred_networks_of_timm_chain() -> None:
    pytest.importorskip("timm")
    script = load_script()
    names = script.timm_names(300, seed=1, largest=200)
    assert len(names) == 300
    assert {name: wrong for name in names if (wrong := script.wrong_with(name, {}))} == {}


def test_the_script_fails_where_a_row_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    script = load_script()
    monkeypatch.setattr("sys.argv", ["check_rows.py", "lenet5"])
    assert script.main() == 0
    monkeypatch.setattr(script, "recorded", lambda: {"lenet5": (1, 1)})
    assert script.main() == 1
    assert "recorded 1, 1" in capsys.readouterr().out


def test_channels_moved_apart_into_places_may_grow() -> None:
    class Up(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return rearrange(x, "b (c y x) h w -> b c (h y) (w x)", y=2, x=2)

    tree = analysed(Up, (4, 6, 6))
    assert tree.output == (1, 1, 12, 12) and check.problems(tree) == []


def load_script():
    path = Path(__file__).resolve().parents[2] / "scripts" / "check_rows.py"
    spec = importlib.util.spec_from_file_location("check_rows", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_compares_with_the_recorded_sums() -> None:
    script = load_script()
    parameters, macs = script.recorded()["resnet18"]
    assert script.wrong_with("resnet18", {"resnet18": (parameters, macs)}) == []
    assert script.wrong_with("resnet18", {"resnet18": (parameters, (macs or 0) + 1)})
    names = script.recorded()
    assert len(names) > 100 and random.Random(0).choice(sorted(names)) in registry.variants()


def test_the_pixels_of_patches_become_places_and_nothing_grows() -> None:
    class Inside(nn.Module):
        """A convolution inside each patch, as in a transformer in a transformer."""

        def __init__(self) -> None:
            super().__init__()
            self.unfold, self.conv = nn.Unfold(8, stride=8), nn.Conv2d(3, 6, 3, stride=2, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            patches = rearrange(self.unfold(x), "b (c h w) n -> (b n) c h w", c=3, h=8)
            return self.conv(patches)

    tree = analysed(Inside, (3, 32, 32))
    assert check.problems(tree) == []
    layout = tree.children[-1].layout
    assert layout is not None and (layout.rows, layout.windows) == (16, 16)  # 4×4 patches, 4 places a side in each
