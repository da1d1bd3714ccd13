"""Side by side, the difference to a predecessor, the family tree, and the memory of a training step."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from cnn_explorer.models.anatomy import compare, counting, layer_table, memory
from cnn_explorer.models.catalogue import lineage, registry
from cnn_explorer.trainer.config.recipe import Recipe
from cnn_explorer.trainer.config.request import TrainRequest
from cnn_explorer.trainer.optim.build import build_optimizer
from cnn_explorer.trainer.planning import estimate, planner
from torch import Tensor, nn


def test_the_difference_of_a_network_and_its_plain_twin_are_the_sums() -> None:
    plain, residual = layer_table.analyse_variant("plain20"), layer_table.analyse_variant("resnet20")
    changes = {change.kind: change for change in compare.difference(plain, residual)}
    assert changes["+ (sum of branches)"].verdict == "added"
    assert changes["+ (sum of branches)"].after == 9
    assert set(changes) <= {"+ (sum of branches)", "PadShortcut"}


def test_nothing_differs_from_itself() -> None:
    tree = layer_table.analyse_variant("resnet18")
    assert compare.difference(tree, tree) == []


def test_depth_is_how_the_paper_counts() -> None:
    for name, layers in [("resnet18", 18), ("resnet34", 34), ("resnet50", 50), ("resnet56", 56)]:
        assert layer_table.analyse_variant(name).depth == layers


def test_lineage_runs_both_ways() -> None:
    relatives = {relative.name: relative for relative in lineage.lineage()}
    for relative in relatives.values():
        for parent in relative.parents:
            assert relative.name in relatives[parent].children
    lines = lineage.tree_lines()
    assert len(lines) == len(relatives)
    assert sum(map(len, lineage.timeline().values())) == len(relatives)
    assert all(line.isascii() or "é" in line for line in lineage.tree_lines(ascii_only=True) if "ü" not in line)


def load_script():
    path = Path(__file__).resolve().parents[2] / "scripts" / "measure_memory.py"
    spec = importlib.util.spec_from_file_location("measure_memory", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("name", "batch"), [("resnet20", 16), ("lenet5", 64), ("mobilenet_v2_100", 8)])
def test_the_estimate_holds_against_the_allocator(name: str, batch: int) -> None:
    measured = load_script().measured_peak(name, batch)
    network = counting.on_meta(lambda: registry.build(name, stem="small"))
    estimate = memory.training_memory(network, registry.find(name).counts("small").input, batch)
    assert 0.85 < estimate.peak / measured < 1.15


def test_memory_grows_with_batch_and_state_and_shrinks_with_bf16() -> None:
    def peak(**options) -> memory.Memory:
        network = counting.on_meta(lambda: registry.build("resnet18", stem="small"))
        return memory.training_memory(network, (3, 32, 32), **options)

    small, large = peak(batch=8), peak(batch=64)
    assert large.activations == pytest.approx(8 * small.activations, rel=0.01)
    assert peak(batch=8, optimizer="adam").optimizer == 2 * small.optimizer
    assert peak(batch=64, precision="bf16").activations < 0.6 * large.activations
    assert small.weights == 4 * registry.find("resnet18").counts("small").parameters


GIGABYTE = 10**9


@pytest.mark.parametrize(
    ("name", "available", "fits"),
    [
        # By torch's MemTracker: 875,131,384 bytes at batch 12, 778,519,192 at 4, so 601.98 images in 8 GB.
        ("alexnet", 8 * GIGABYTE, 601),
        ("vgg16", 24 * GIGABYTE, 303),
        ("resnet20", 2 * GIGABYTE, None),  # hardly any
        ("resnet50", 3 * GIGABYTE, None),  # fewer than the 64 that are tried first
        ("alexnet", GIGABYTE, None),
    ],
)
def test_the_largest_batch_fits_and_the_next_does_not(name: str, available: int, fits: int | None) -> None:
    def at(batch: int) -> memory.Memory:
        network = counting.on_meta(lambda: registry.build(name))
        return memory.training_memory(network, registry.find(name).paper_stem.input, batch)

    batch = memory.largest_batch(at(64), at, available)
    assert fits in (None, batch)
    assert at(batch).peak <= available < at(batch + 1).peak


def test_where_not_even_one_image_fits_the_largest_batch_is_0() -> None:
    def at(batch: int) -> memory.Memory:
        return memory.Memory(batch, "fp32", 100, 100, 100, 10 * batch, 10, 200 + 10 * batch)

    assert [memory.largest_batch(at(64), at, free) for free in (0, 209, 210, 219, 220, 840, 850)] == [
        0,
        0,
        1,
        1,
        2,
        64,
        65,
    ]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam", "adamw", "lamb"])
def test_the_state_of_an_optimiser_is_what_it_keeps(name: str, momentum: float) -> None:
    """RMSprop with momentum keeps two values for each weight, SGD without it none."""
    network = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3))
    optimizer = build_optimizer(network, Recipe(optimizer=name, momentum=momentum, nesterov=False))
    network(torch.randn(4, 7)).sum().backward()
    optimizer.step()
    values = sum(weight.numel() for weight in network.parameters())
    kept = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    plain = momentum == 0 and f"{name}-plain" in memory.STATE_COPIES
    copies = memory.STATE_COPIES[f"{name}-plain" if plain else name]
    assert sum(value.numel() for value in kept if value.ndim) == copies * values


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_the_forecast_knows_whether_the_optimiser_has_momentum(home: Path, name: str) -> None:
    def needed(momentum: float) -> int:
        recipe = {"optimizer": name, "momentum": momentum, "nesterov": False}
        request = TrainRequest.of("lenet5", dataset="digits", device="cpu", threads=1, **recipe)
        found = estimate.memory_needed(planner.plan(request, lambda line: None).config)
        assert found is not None
        return found

    # LeNet-5 as it is trained on digits: four bytes for each of its values.
    parameters = counting.count_parameters(registry.build("lenet5", num_classes=10, in_channels=1, image_size=28))
    assert needed(0.9) - needed(0.0) == 4 * parameters


def test_unknown_precision_and_optimizer_are_named() -> None:
    network = counting.on_meta(lambda: registry.build("lenet5"))
    with pytest.raises(ValueError, match="precision: 'fp8'"):
        memory.training_memory(network, (1, 28, 28), 1, "fp8")
    with pytest.raises(ValueError, match="optimizer: 'sdg'"):
        memory.training_memory(network, (1, 28, 28), 1, optimizer="sdg")
