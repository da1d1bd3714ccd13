"""The receptive fields of whole networks, held against the support of the gradient."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.models.catalogue import registry
from support.gradient_probe import extent
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import receptive_field_probe as probe
from receptive_field_support import EXCEPTIONS

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
