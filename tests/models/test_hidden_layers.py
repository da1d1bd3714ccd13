"""Layers in a plain list or dict are told, and nothing else is taken for some."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cnn_explorer as cx
import pytest
from cnn_explorer.models.catalogue import registry
from cnn_explorer.models.own import hidden_layers
from cnn_explorer.trainer.config.request import TrainRequest
from cnn_explorer.trainer.planning import planner
from torch import Tensor, nn

SEEN = "where PyTorch does not see them: they are not counted, do not learn and are not saved; use nn.ModuleList"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(784, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))


def with_attribute(value: Callable[[nn.Module], object]) -> nn.Module:
    network = Net()
    network.__dict__["extra"] = value(network)
    return network


def itself() -> list:
    found: list = [nn.Linear(2, 3)]
    found.append(found)
    return found


def siblings() -> list[nn.Module]:
    """Twenty layers that all know each other."""
    found: list[nn.Module] = [nn.Linear(2, 1) for _ in range(20)]
    for layer in found:
        layer.__dict__["others"] = found
    return found


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (lambda _: [nn.Linear(2, 3), nn.ReLU()], "extra: 9 parameters in"),
        (lambda _: {"a": (nn.Linear(2, 3), [nn.Linear(3, 1)])}, "extra: 13 parameters in"),
        (lambda _: [nn.Parameter(nn.Linear(2, 3).weight)], "extra: 6 parameters in"),
        (lambda _: itself(), "extra: 9 parameters in"),
        (lambda _: 2 * [nn.Linear(2, 3)], "extra: 9 parameters in"),
        (lambda _: [with_attribute(lambda _: [nn.Linear(2, 3)])], "extra: 7,859 parameters in"),
        (lambda _: siblings(), "extra: 60 parameters in"),
        (lambda _: [nn.LazyLinear(3)], "extra: parameters that have no size yet in"),
        (lambda network: [network.head], ""),
        (lambda network: [network], ""),
        (lambda _: nn.ModuleList([nn.Linear(2, 3)]), ""),
        (lambda _: [nn.ReLU(), nn.Flatten(), 3, None, "text"], ""),
        (lambda _: [], ""),
    ],
)
def test_layers_that_pytorch_does_not_see_are_counted(value: Callable[[nn.Module], object], told: str) -> None:
    found = hidden_layers.remark(with_attribute(value))
    assert found.startswith(told) and (SEEN in found) == bool(told) and bool(found) == bool(told)


def test_a_list_with_an_underscore_in_front_hides_them_too() -> None:
    network = Net()
    network.__dict__["_layers"] = [nn.Linear(2, 3)]
    assert hidden_layers.remark(network).startswith("_layers: 9 parameters in")


def test_several_lists_are_told_together_and_inner_ones_by_their_path() -> None:
    network = Net()
    network.block = with_attribute(lambda _: [nn.Linear(2, 3)])
    network.__dict__["more"] = [nn.Linear(1, 1)]
    assert hidden_layers.remark(network).startswith("more and 1 more: 11 parameters")
    assert hidden_layers.remark(network.block).startswith("extra: 9 parameters")


def test_no_network_of_the_catalogue_hides_any() -> None:
    for name in ("lenet5", "googlenet_nano", "swin_nano", "capsnet", "mobile_former_26m"):
        assert hidden_layers.remark(registry.build(name)) == ""


FILE = """
from torch import nn


class Listed(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.layers = [nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)]
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        return self.head(x.mean((2, 3)))


class Nothing(Listed):
    def __init__(self, num_classes=10):
        super().__init__()
        self.layers.append(nn.Conv2d(4, num_classes, 1))
        self.head = nn.Identity()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "listed_net.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNN_EXPLORER_RUNS", str(tmp_path / "runs"))
    return tmp_path


def test_the_table_and_the_plan_tell_it(project: Path) -> None:
    remarks = cx.anatomy("listed_net:Listed", input=(1, 28, 28)).remarks
    assert any(line.startswith("layers: 188 parameters") for line in remarks)
    said: list[str] = []
    plan = planner.plan(TrainRequest.of("listed_net:Listed", device="cpu"), said.append)
    assert plan.config.network.parameters == 50
    assert [line for line in said if line.startswith("listed_net:Listed: layers: 188 parameters in a plain list")]


def test_a_network_whose_layers_are_all_hidden_is_refused_with_the_reason(project: Path) -> None:
    with pytest.raises(cx.UsageError, match=r"has no parameters that learn; layers: 238 parameters in a plain list"):
        planner.plan(TrainRequest.of("listed_net:Nothing", device="cpu"), lambda line: None)
