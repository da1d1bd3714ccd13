"""The receptive fields of whole networks, held against the support of the gradient."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.models.catalogue import registry

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "receptive_field_probe.py"
SAMPLE = ("lenet5", "vgg11", "resnet18", "se_resnet18", "vit_tiny_16", "mixer_s16", "resmlp_s12", "nin_nano")


@pytest.fixture(scope="module")
def probe() -> Any:
    spec = importlib.util.spec_from_file_location("receptive_field_probe", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.slow) for name in registry.variants()]
)
def test_fields_of_the_stages_are_what_the_gradient_says(probe: Any, name: str) -> None:
    found = probe.verdicts(name, 5000)
    assert found and all(verdict.state in ("agrees", "exception", "beyond") for verdict in found), found
