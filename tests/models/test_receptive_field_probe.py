"""The receptive fields of whole networks, held against the support of the gradient."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cnn_explorer.models.catalogue import registry
from support.anatomy import analyse
from support.gradient_probe import extent, without_memory
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import receptive_field_probe as probe
from receptive_field_support import EXCEPTIONS, Probed, verdicts

SAMPLE = ("lenet5", "vgg11", "resnet18", "se_resnet18", "vit_tiny_16", "mixer_s16", "resmlp_s12", "nin_nano")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.slow) for name in registry.variants()]
)
def test_fields_of_the_stages_are_what_the_gradient_says(name: str) -> None:
    found = probe.verdicts(name, 5000)
    assert found and all(verdict.state in ("agrees", "global agrees", "exception") for verdict in found), found
    assert [v.stage for v in found if v.state == "exception"] == [s for n, s in EXCEPTIONS if n == name]
    assert name.startswith("cnn_lstm") or any(verdict.state == "agrees" for verdict in found)


@pytest.mark.parametrize(
    ("name", "stage", "change"),
    [
        ("resnet18", "stage2", {"receptive_field": 98}),
        ("resnet18", "stage2", {"is_global": True}),
        ("resnet18", "stage2", {"global_along": "width"}),
        ("resnet18", "head", {"is_global": False, "global_along": "width"}),
        ("se_resnet18", "stage1", {"is_global": False}),
        ("se_resnet18", "stage1", {"receptive_field": 43 * 4}),
        ("swin_nano", "stage4", {"receptive_field": 128}),
        ("cnn_lstm", "frames", {"global_along": "height"}),
    ],
)
def test_a_table_that_is_wrong_differs(
    monkeypatch: pytest.MonkeyPatch, name: str, stage: str, change: dict[str, Any]
) -> None:
    probed = probe.catalogue_network(name)
    probed.rows = [replace(row, **change) if row.name == stage else row for row in probed.rows]
    monkeypatch.setattr(probe, "catalogue_network", lambda _: probed)
    assert [verdict.stage for verdict in probe.verdicts(name, 5000) if verdict.state == "differs"] == [stage]


def test_a_gradient_does_not_vanish_in_hundreds_of_layers() -> None:
    deep = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(350)))
    assert extent(deep, (750, 1))[375, 0] == (25, 725, 0, 0)  # the outermost row has a weight of 9 to the power of -350


class Gated(nn.Module):
    """A group norm and a gate made of the mean, as in squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        made = self.norm(self.conv(x))
        return made * made.mean((2, 3), keepdim=True)


def test_values_stay_in_range_through_norms_and_gates() -> None:
    found = extent(nn.Sequential(*(Gated() for _ in range(20))), (100, 1), channels=4)
    assert found[50, 0] == (30, 70, 0, 0)


def test_a_field_that_lies_on_one_side_of_its_place_is_held_by_a_higher_image() -> None:
    def built(size: tuple[int, int]) -> nn.Module:
        pairs = (layer for _ in range(300) for layer in (nn.ZeroPad2d((0, 0, 0, 1)), nn.Conv2d(1, 1, (2, 1))))
        return without_memory(nn.Sequential(*pairs))

    rows = [row for _, row in analyse(built((32, 32)), (1, 32, 32)).walk() if row.name == "599"]
    assert [row.receptive_field for row in rows] == [301]
    found = verdicts(Probed("own", 1, (32, 32), rows, built), 5000)
    assert [(one.found, one.state) for one in found] == [("301", "agrees")]


class Clamped(nn.Module):
    """Keeps values between two buffers, which the probe makes equal, and scales them by a single number."""

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.register_buffer("low", torch.tensor(-1.0))
        self.register_buffer("high", torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.clamp(self.conv(x), self.low, self.high) * (self.high + 0.5)


def test_a_clamp_lets_the_gradient_through() -> None:
    assert extent(Clamped(), (9, 1))[4, 0] == (3, 5, 0, 0)
