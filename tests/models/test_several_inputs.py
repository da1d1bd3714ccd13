"""What the helper process says of a network with several inputs: its memory, what fits, its figures beside others."""

from __future__ import annotations

import json
from pathlib import Path

import cnn_explorer as cx
import pytest
import torch
from cnn_explorer.cli import compare, show_text
from cnn_explorer.models.anatomy import counting, server
from cnn_explorer.models.anatomy.forward.inputs import InputSpec, parse_inputs
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.outside.external import NetworkSpec
from cnn_explorer.models.anatomy.rows.table_text import field_text
from cnn_explorer.tui.widgets.layers_pane import memory_line
from support.training import Here
from torch import Tensor, nn


class Two(nn.Module):
    """Reads an image and a row of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 64 + 500, 10)

    def forward(self, image: Tensor, numbers: Tensor) -> Tensor:
        return self.head(torch.cat([self.conv(image).flatten(1), numbers], 1))


@pytest.fixture
def two_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = NetworkSpec("own:Two", Two, (3, 8, 8), inputs=(InputSpec((3, 8, 8)), InputSpec((500,))))
    monkeypatch.setattr(external, "network_spec", lambda *names, **what: spec)
    monkeypatch.setattr("cnn_explorer.machine.room_for_training", lambda: ("here", 10_000_000))


def test_the_memory_of_a_network_with_several_inputs_counts_them_all(two_inputs: None) -> None:
    answer = server.memory(64, network="own:Two")
    plain, half = answer["memory"]
    assert plain == {**plain, "precision": "fp32", "batch": 64} and half["precision"] == "bf16"
    weights = (4 * 27 + 4 + 756 * 10 + 10) * 4
    read = 64 * (3 * 64 + 500) * 4
    assert plain["weights"] == weights and plain["peak"] > 3 * weights + read
    spec = external.network_spec("own:Two")
    assert plain["peak"] == show_text.training_memory(spec, "fp32", 64).peak
    assert show_text.training_memory(spec, "fp32", plain["fits"]).peak <= 10_000_000
    assert show_text.training_memory(spec, "fp32", plain["fits"] + 1).peak > 10_000_000
    assert f"({plain['fits']:,} fit here)" in memory_line(answer)
    for row in answer["memory"]:
        row |= {"fits": None, "fits_unknown": "it takes its images one by one"}
    assert memory_line(answer).endswith("; how many fit is not known: it takes its images one by one")


def test_the_figures_beside_others_name_all_inputs(two_inputs: None, capsys: pytest.CaptureFixture[str]) -> None:
    [row] = server.summaries([{"network": "own:Two"}], 64)["summaries"]
    assert row["inputs"] == ((3, 8, 8), (500,))
    assert row["memory_bytes"] == server.memory(64, network="own:Two")["memory"][0]["peak"]
    spec = external.network_spec("own:Two")
    summary = show_summary(spec)
    compare.print_summaries([summary])
    assert "3×8×8 and 500" in capsys.readouterr().out


def show_summary(spec: NetworkSpec) -> object:
    from cnn_explorer.models.anatomy.totals import compare

    return compare.summary(spec.name, external.anatomy_of(spec), None)


class OfAVector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(20, 8), nn.Linear(8, 3)

    def forward(self, vector: Tensor) -> Tensor:
        return self.second(self.first(vector).relu())


class OfASignal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(2, 8, 5), nn.Linear(8, 3)

    def forward(self, signal: Tensor) -> Tensor:
        return self.second(self.first(signal).mean(2))


class OfBoth(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.vector, self.head = nn.Conv2d(3, 4, 3), nn.Linear(5, 4), nn.Linear(8, 3)

    def forward(self, image: Tensor, vector: Tensor) -> Tensor:
        map_ = self.conv(image) * self.vector(vector)[:, :, None, None]
        return self.head(torch.cat([map_.mean((2, 3)), self.vector(vector)], 1))


@pytest.mark.parametrize(("make", "shape"), [(OfAVector, "20:float32"), (OfASignal, "2x200:float32")])
def test_of_what_is_no_image_no_field_is_told_and_its_depth_is(make: type[nn.Module], shape: str) -> None:
    tree = external.traced_module(counting.on_meta(make), parse_inputs([shape])).tree
    for _, row in tree.walk():
        assert (row.receptive_field, row.field_unknown, row.is_global) == (None, "its input is no image", False), row
    assert tree.depth == 2 and field_text(tree) == "–"


def test_what_is_made_of_an_image_and_a_vector_has_the_field_of_the_image() -> None:
    tree = external.traced_module(counting.on_meta(OfBoth), parse_inputs(["3x32x32:float32", "5:float32"])).tree
    rows = {row.name: row for _, row in tree.walk() if row.kind == "module"}
    assert [field_text(rows[name]) for name in ("conv", "vector", "head", "")] == ["3", "–", "3 global", "3 global"]
    product = next(row for _, row in tree.walk() if row.type == "×")
    assert field_text(product) == "3" and product.depth == 1


@pytest.mark.parametrize(
    ("network", "shape", "arriving"),
    [
        (nn.Linear(20, 8), (20,), (20,)),
        (nn.Linear(20, 8), [6, 20], (6, 20)),
        (OfASignal(), torch.Size((2, 200)), (2, 200)),
        (nn.Linear(4, 3), (2, 3, 2, 3, 4), (2, 3, 2, 3, 4)),
        (OfAVector(), ((20,),), (20,)),
    ],
)
def test_a_flat_shape_of_any_number_of_sides_is_one_input(network: nn.Module, shape: object, arriving: object) -> None:
    table = cx.anatomy(network, shape)  # pyright: ignore[reportArgumentType]
    assert table.rows[0].input == arriving and table.macs > 0


def test_shapes_in_a_shape_are_several_inputs() -> None:
    tree = external.traced_module(OfBoth(), parse_inputs(["3x9x9", "5"])).tree
    assert tree.inputs_of_one == ((3, 9, 9), (5,))
    assert cx.anatomy(OfBoth(), ((3, 9, 9), (5,))).macs == tree.macs
    with pytest.raises(cx.UsageError, match=r"its forward takes several inputs"):
        cx.anatomy(OfBoth(), (3, 9, 9))


@pytest.mark.parametrize("shape", [(), (0,), (5.0,), 5, "5", (3, "x"), (5, (3,))])
def test_what_is_no_shape_is_refused_with_shapes(shape: object) -> None:
    with pytest.raises(cx.UsageError, match=r"^input: .* is not the shape of one input .*\(20,\)$"):
        cx.anatomy(nn.Linear(5, 3), shape)  # pyright: ignore[reportArgumentType]


def test_show_takes_a_vector_and_a_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Here) -> None:
    monkeypatch.chdir(tmp_path)
    source = (
        "from torch import nn",
        "lin = lambda: nn.Linear(20, 3)",
        "sig = lambda: nn.Sequential(nn.Conv1d(4, 8, 3))",
    )
    (tmp_path / "flat_nets.py").write_text("\n".join(source))
    for name, shape, output in (("lin", "20", [1, 3]), ("sig", "4x20", [1, 8, 18]), ("lin", "6x20", [1, 6, 3])):
        run = here("show", f"flat_nets.py:{name}", "--input", shape, "--json")
        told = json.loads(run.stdout)
        assert told["input"] == [int(side) for side in shape.split("x")] and told["rows"]["output"] == output
    run = here("show", "flat_nets.py:sig", "--input", "4x20", "--walk", "1")
    assert run.returncode == 2 and "takes no image" in run.stderr


@pytest.mark.parametrize(
    ("network", "shape", "line"),
    [
        (nn.Conv2d(3, 4, 3), (1, 8, 8), "1 channel arrives, this Conv2d expects 3; write 1"),
        (nn.Conv2d(3, 4, 3), (2, 8, 8), "2 channels arrive, this Conv2d expects 3; write 2"),
        (nn.BatchNorm1d(3), (1,), "1 channel arrives, this BatchNorm1d expects 3; write 1"),
        (nn.Linear(3, 2), (1,), "1 value arrives, this Linear expects 3; write 1"),
        (nn.Sequential(nn.Linear(1, 2)), (3, 4, 5), "a map of 3×4×5 arrives, this Linear expects 1 value; "),
        (nn.Conv2d(3, 4, 3), (5,), "Expected 3D (unbatched) or 4D (batched) input to conv2d"),
    ],
)
def test_what_arrives_is_told_in_the_singular_of_one(network: nn.Module, shape: tuple[int, ...], line: str) -> None:
    with pytest.raises(cx.UsageError) as caught:
        cx.anatomy(network, shape)
    assert line in str(caught.value) and "5 channels" not in str(caught.value)


def test_one_product_is_one_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: Here) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one_product.py").write_text("from torch import nn\nNet = lambda: nn.Sequential(nn.Conv2d(1, 1, 1))\n")
    shown = here("show", "one_product.py:Net", "--input", "1x4x4", "--walk", "1")
    assert shown.returncode == 0 and "the sum of 1 product " in shown.stdout
