"""The families that stand for all of them in tests that take long; the marker ``slow`` has the others.

One for each kind of network, so that what a push changes for a kind is noticed; `.ci/weekly` tries all.
"""

from __future__ import annotations

import pytest
from cnn_explorer.models.catalogue import registry

SAMPLE = {
    "vgg": "plain convolutions",
    "resnet": "residual",
    "densenet": "concatenation",
    "mobilenet_v1": "depthwise convolutions",
    "capsnet": "capsules with a loss of their own",
    "cnn_lstm": "recurrent",
    "vit": "attention over the whole image",
    "swin": "attention in windows",
    "mixer": "MLPs alone",
}
FAMILIES = [family.name for family in registry.families()]
SAMPLED_FAMILIES = [pytest.param(name, marks=() if name in SAMPLE else pytest.mark.slow) for name in FAMILIES]
