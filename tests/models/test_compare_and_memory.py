"""Side by side, the difference to a predecessor, the family tree, and the memory of a training step."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from cnn_explorer.models.anatomy import compare, counting, layer_table, memory
from cnn_explorer.models.catalogue import lineage, registry


def test_the_difference_of_a_network_and_its_plain_twin_are_the_sums() -> None:
    plain, residual = layer_table.dissect_variant("plain20"), layer_table.dissect_variant("resnet20")
    changes = {change.kind: change for change in compare.difference(plain, residual)}
    assert changes["+ (sum of branches)"].verdict == "added"
    assert changes["+ (sum of branches)"].after == 9
    assert set(changes) <= {"+ (sum of branches)", "PadShortcut"}


def test_nothing_differs_from_itself() -> None:
    tree = layer_table.dissect_variant("resnet18")
    assert compare.difference(tree, tree) == []


def test_depth_is_how_the_paper_counts() -> None:
    for name, layers in [("resnet18", 18), ("resnet34", 34), ("resnet50", 50), ("resnet56", 56)]:
        assert layer_table.dissect_variant(name).depth == layers


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
    network = counting.on_meta(lambda: registry.build(name, form="small"))
    estimate = memory.training_memory(network, registry.find(name).form("small").input, batch)
    assert 0.85 < estimate.peak / measured < 1.15


def test_memory_grows_with_batch_and_state_and_shrinks_with_bf16() -> None:
    def peak(**options) -> memory.Memory:
        network = counting.on_meta(lambda: registry.build("resnet18", form="small"))
        return memory.training_memory(network, (3, 32, 32), **options)

    small, large = peak(batch=8), peak(batch=64)
    assert large.activations == pytest.approx(8 * small.activations, rel=0.01)
    assert peak(batch=8, optimizer="adam").optimizer == 2 * small.optimizer
    assert peak(batch=64, precision="bf16").activations < 0.6 * large.activations
    assert small.weights == 4 * registry.find("resnet18").form("small").parameters


def test_the_largest_batch_fits_and_the_next_does_not() -> None:
    def at(batch: int) -> memory.Memory:
        network = counting.on_meta(lambda: registry.build("resnet20"))
        return memory.training_memory(network, (3, 32, 32), batch)

    available = 2 * 10**9
    batch = memory.largest_batch(at(256), available)
    assert at(batch).peak <= 1.01 * available < 1.02 * at(batch + batch // 50 + 1).peak


def test_unknown_precision_and_optimizer_are_named() -> None:
    network = counting.on_meta(lambda: registry.build("lenet5"))
    with pytest.raises(ValueError, match="precision: 'fp8'"):
        memory.training_memory(network, (1, 28, 28), 1, "fp8")
    with pytest.raises(ValueError, match="optimizer: 'sdg'"):
        memory.training_memory(network, (1, 28, 28), 1, optimizer="sdg")
