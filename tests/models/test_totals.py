"""Parameters, those that learn, and MACs: the same figures wherever they are shown, for whatever network."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict

import cnn_explorer as cx
import pytest
import torch
import torchvision
from cnn_explorer.cli import show, show_text
from cnn_explorer.cli.list import as_dict as listed
from cnn_explorer.cli.show import show_as_dict
from cnn_explorer.models.anatomy import counting, server
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.outside.external import NetworkSpec
from cnn_explorer.models.anatomy.rows import folding, layer_json, table_text
from cnn_explorer.models.anatomy.rows.layer import Layer
from cnn_explorer.models.anatomy.totals import compare
from cnn_explorer.models.anatomy.totals import torchinfo_summary as torchinfo_summaries
from cnn_explorer.models.anatomy.words import formulas
from cnn_explorer.models.catalogue import registry
from cnn_explorer.models.catalogue.notes import count_text, quantity
from cnn_explorer.tui.networks import layer_tree
from cnn_explorer.tui.networks.selection import NetworkSelection
from cnn_explorer.tui.widgets import diff_pane
from support.families import FAMILIES
from support.training import call
from torch import Tensor, nn

SMALLEST = {
    min(registry.family(family).variants, key=lambda variant: variant.counts("small").macs).name for family in FAMILIES
}
SAMPLED_NAMES = [pytest.param(name, marks=() if name in SMALLEST else pytest.mark.slow) for name in registry.variants()]


def taken_apart(make: Callable[[], nn.Module], shape: tuple[int, ...] = (3, 8, 8)) -> Layer:
    return external.anatomy_of(NetworkSpec("own:Net", make, shape))


def row(tree: Layer, name: str, place: int = 0) -> Layer:
    return [layer for _, layer in tree.walk() if layer.name == name and layer.kind == "module"][place]


# The same everywhere


@pytest.mark.parametrize("name", SAMPLED_NAMES)
def test_every_place_shows_the_same_totals(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(show, "training_memories", lambda spec: {})  # not asked here
    variant = registry.find(name)
    for stem in ("imagenet", "small"):
        if stem == "small" and variant.small_stem is None:
            continue
        stamped = variant.counts(stem)
        spec = external.network_spec(name, stem=stem)
        traced = external.traced_network(spec)
        tree, shown = traced.tree, show_as_dict(spec, traced, 1, 1)
        in_list = listed(variant)["stems"][stem]
        of_torchinfo = torchinfo_summaries.summarise(spec)
        in_app = layer_tree.from_answer(server.layers(network=name, stem=stem)["tree"])
        summary = compare.summary(name, tree, None)
        expected = stamped.parameters, stamped.macs
        assert (shown["parameters"], shown["multiply_adds"]) == expected
        assert (in_list["parameters"], in_list["multiply_adds"]) == expected
        assert (of_torchinfo.parameters, of_torchinfo.macs) == expected
        assert (in_app.parameters, in_app.macs) == expected
        assert (summary.parameters, summary.macs) == expected
        assert shown["trainable"] == summary.trainable == stamped.parameters, "the catalogue freezes nothing"
        facts = NetworkSelection(name, stem).facts()
        assert f"{count_text(stamped.parameters)} parameters, {count_text(stamped.macs)} MACs" in facts
        rows = [layer.own_parameters - sum(c.own_parameters for c in layer.children) for _, layer in tree.walk()]
        assert sum(rows) == stamped.parameters and min(rows) >= 0
        counted = compare.count_layers(tree).values()
        assert sum(count.parameters for count in counted) == stamped.parameters


def test_show_ends_with_the_way_to_torchinfo_and_has_one_total(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "show", "vit_tiny_16") == 0
    text = capsys.readouterr().out.splitlines()
    assert text[-1] == "torchinfo's own summary, and what it counts otherwise: show vit_tiny_16 --torchinfo"
    assert [line for line in text if re.match(r"\s*(parameters|Total params)\b.*\d{3}$", line)] == [
        "  parameters     5,717,416"
    ]


# Frozen weights


def frozen_resnet18() -> nn.Module:
    network = torchvision.models.resnet18(weights=None)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    network.fc = nn.Linear(512, 2)
    return network


def test_frozen_weights_are_parameters_that_do_not_learn() -> None:
    tree = taken_apart(frozen_resnet18, (3, 224, 224))
    assert (tree.parameters, tree.trainable, tree.frozen) == (11_177_538, 1_026, 11_176_512)
    assert (row(tree, "conv1").parameters, row(tree, "conv1").trainable) == (9_408, 0)
    assert (row(tree, "fc").parameters, row(tree, "fc").trainable) == (1_026, 1_026)
    names = table_text.columns(tree)
    table = {cells[0].strip(): dict(zip(names, cells, strict=True)) for cells in table_text.cells(tree, 1)}
    assert (table["conv1"]["params"], table["conv1"]["learning"]) == ("9.41 k", "0")
    assert (table["input"]["params"], table["input"]["learning"]) == ("11.2 M", "1.03 k")
    assert table["relu"]["learning"] == ""
    assert table_text.columns(taken_apart(torchvision.models.resnet18, (3, 224, 224))) == table_text.COLUMNS
    through_json = layer_json.from_dict(json.loads(json.dumps(layer_json.as_dict(tree))))
    assert [layer.trainable for _, layer in through_json.walk()] == [layer.trainable for _, layer in tree.walk()]


def test_the_python_interface_says_how_many_learn() -> None:
    found = cx.anatomy(frozen_resnet18(), (3, 224, 224))
    assert (found.parameters, found.trainable) == (11_177_538, 1_026)
    assert "11,177,538 parameters, of which 1,026 learn," in str(found) and "learning" in found._repr_html_()
    assert {r.name: r.trainable for r in found.rows if r.name in ("conv1", "fc")} == {"conv1": 0, "fc": 1_026}
    assert "learn" not in str(cx.anatomy(nn.Conv2d(3, 4, 3), (3, 8, 8)))


def test_nothing_is_called_resized_because_it_is_frozen() -> None:
    frozen = taken_apart(frozen_resnet18, (3, 224, 224))
    whole = taken_apart(lambda: torchvision.models.resnet18(weights=None, num_classes=2), (3, 224, 224))
    assert compare.difference(frozen, whole) == []


def test_the_app_says_how_many_learn_where_some_do_not() -> None:
    frozen, whole = (
        asdict(compare.summary(name, taken_apart(make, (3, 224, 224)), None))
        for name, make in (("frozen", frozen_resnet18), ("whole", lambda: torchvision.models.resnet18(weights=None)))
    )
    lines = diff_pane.totals(frozen, whole).splitlines()
    assert lines[0].startswith("parameters  11.2 M → 11.7 M") and lines[1].startswith("learning    1.03 k → 11.7 M")
    assert "learning" not in diff_pane.totals(whole, whole)
    node = layer_tree.from_answer(server._row(taken_apart(frozen_resnet18, (3, 224, 224))))
    assert node.parameters_text == "11.2 M parameters, 1.03 k learn"
    assert node.children[0].parameters_text == "9.41 k parameters, frozen"


@pytest.mark.parametrize(
    ("parameters", "trainable", "text"),
    [(112, 112, "112"), (1_112, 4, "1,112, of which 4 learn"), (112, 0, "112, none of which learns"), (0, 0, "0")],
)
def test_the_line_of_the_parameters(parameters: int, trainable: int, text: str) -> None:
    assert table_text.parameters_text(parameters, trainable) == text


# Shared weights


class Tied(nn.Module):
    """``b`` has the weight of ``a`` and a bias of its own; ``a`` is called twice."""

    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.b = nn.Conv2d(3, 3, 3, padding=1)
        if tied:
            self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(self.a(x)))


def test_shared_weights_count_once_and_the_row_says_whose_they_are() -> None:
    tree = taken_apart(Tied)
    assert (tree.parameters, tree.shared) == (84, 0)
    first, again, second = row(tree, "a"), row(tree, "a", 1), row(tree, "b")
    assert (first.parameters, first.shared, first.weights_of) == (81, 0, "")
    assert (again.parameters, again.shared, again.weights_of) == (81, 81, "a")
    assert (second.parameters, second.shared, second.weights_of) == (84, 81, "a")
    assert [(cells[1], cells[3]) for cells in table_text.cells(tree, 2)] == [
        ("Tied", "84"),
        ("Conv2d 3×3", "81"),
        ("Conv2d 3×3 (weights of a)", ""),
        ("Conv2d 3×3 (81 weights of a)", "3"),
    ]
    assert tree.macs == 3 * 81 * 64, "the work is that of three convolutions"
    in_app = layer_tree.from_answer(server._row(tree))
    assert in_app.children[2].parameters_text == "84 parameters, 81 weights of a"
    assert layer_tree.cells(in_app.children[1], set())[3] == ""
    assert sum(share for _, share in layer_tree.budget(in_app, "parameters")) == pytest.approx(1)
    assert (
        dict(show_text.budget(tree)["parameters"]) == {"a": 0, "b": 3}
        and sum(v for _, v in show_text.budget(tree)["parameters"]) == 84
    )


def test_a_shared_block_names_the_block() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
            self.blocks = nn.ModuleList([block, block, nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))])
            self.other = nn.Sequential(block[0], block[1])

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = block(x)
            return self.other(x)

    tree = taken_apart(Twice)
    assert tree.parameters == 84 + 6 + 12 + 6
    assert [layer.weights_of for layer in tree.children] == ["", "blocks.0", "", "blocks.0"]


def test_untying_weights_is_no_change_of_size() -> None:
    tied, untied = taken_apart(Tied), taken_apart(lambda: Tied(tied=False))
    [change] = compare.difference(tied, untied)
    assert (change.verdict, change.kind, change.parameters_before, change.parameters_after) == (
        "shared",
        "Conv2d 3×3",
        84,
        165,
    )
    assert change.parameters_after - change.parameters_before == untied.parameters - tied.parameters
    assert compare.difference(tied, taken_apart(Tied)) == []


def test_shared_and_repeated_blocks_fold_only_with_their_like() -> None:
    block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())
    folded = folding.fold(taken_apart(lambda: nn.Sequential(*[block] * 4)))
    assert [(layer.times, layer.weights_of) for layer in folded.children] == [(1, ""), (3, "0")]
    assert sum(layer.own_parameters * layer.times for layer in folded.children) == folded.parameters


# What other tools count wrongly


class Loop(nn.Module):
    """One convolution called five times."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(5):
            x = self.conv(x)
        return x


def test_a_layer_called_five_times_has_its_weights_once_and_its_work_five_times() -> None:
    tree = taken_apart(Loop, (8, 6, 6))
    assert (tree.parameters, tree.macs) == (8 * 8 * 9 + 8, 5 * 8 * 8 * 9 * 36)
    assert [layer.own_parameters for layer in tree.children] == [584, 0, 0, 0, 0]


class ByHand(nn.Module):
    """Attention of one head in plain products."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).chunk(3, -1)
        weights = torch.einsum("bid,bjd->bij", query, key).softmax(-1)
        return self.out(weights @ value)


class OfTorch(nn.Module):
    """nn.MultiheadAttention, whose layers are not called."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


@pytest.mark.parametrize("kind", [ByHand, OfTorch])
def test_attention_is_counted_whole(kind: Callable[[int], nn.Module]) -> None:
    width, tokens = 64, 50
    tree = taken_apart(lambda: kind(width), (tokens, width))
    assert tree.parameters == 4 * (width**2 + width)
    assert tree.macs == 4 * tokens * width**2 + 2 * tokens**2 * width
    assert sum(count.parameters for count in compare.count_layers(tree).values()) == tree.parameters


class Odd(nn.Module):
    """A bare parameter, a buffer, a lazy layer, and a head that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.register_buffer("table", torch.zeros(1000))
        self.lazy = nn.LazyLinear(5)
        self.head = nn.Linear(7, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.lazy((x * self.scale).flatten(1))


def test_buffers_do_not_count_lazy_weights_do_and_nothing_is_lost() -> None:
    tree = taken_apart(Odd)
    assert tree.parameters == 3 + (192 * 5 + 5) + 56
    counted = compare.count_layers(tree)
    assert counted[compare.HELD].parameters == 3
    assert counted["Linear (not run in eval)"].parameters == 56
    assert sum(count.parameters for count in counted.values()) == tree.parameters


def test_lazy_weights_without_a_shape_are_no_parameters_yet() -> None:
    network = nn.Sequential(nn.LazyLinear(5), nn.Linear(5, 2))
    assert counting.count_parameters(network) == counting.count_trainable(network) == 12
    network(torch.zeros(1, 3))
    assert counting.count_parameters(network) == counting.count_trainable(network) == 12 + 20


PAIRS = [
    ("resnet18", "se_resnet18"),
    ("vit_tiny_16", "mixer_s32"),
    ("googlenet", "inception_v3_aux"),
    ("vgg11", "vgg16"),
]


@pytest.mark.parametrize(("older", "newer"), PAIRS)
def test_the_changes_add_up_to_the_difference_of_the_totals(older: str, newer: str) -> None:
    before, after = (external.anatomy_of(external.network_spec(name)) for name in (older, newer))
    changes = compare.difference(before, after)
    moved = sum(change.parameters_after - change.parameters_before for change in changes)
    assert moved == after.parameters - before.parameters
    assert quantity(before.parameters) == table_text.cells(before, 0)[0][3]


@pytest.mark.parametrize("name", ["cnn_lstm", "resnet20", "vit_nano"])
def test_the_formulas_give_the_figures_of_the_row(name: str) -> None:
    """CNN-LSTM has the strips of an image in the batch axis."""
    for _, layer in external.anatomy_of(external.network_spec(name)).walk():
        found = {formula.what: formula.value for formula in formulas.formulas(layer)}
        if "MACs" in found:
            assert found["MACs"] == layer.macs, layer.name
        if "parameters" in found:
            assert found["parameters"] == layer.parameters, layer.name
