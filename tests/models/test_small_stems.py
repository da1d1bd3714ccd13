"""The layouts for small images: how large the maps are behind each stage.

ImageNet's strides would leave a 32-pixel image with a single pixel. Each small stem gives up some of them, so that the last
map has four pixels a side or so; the rows here were worked out from the strides by hand.
"""

from __future__ import annotations

from typing import Any

import pytest
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.anatomy import stage_shapes

SIDES = [
    ("convnext_base", 28, [14, 14, 7, 3, 3]),
    ("convnext_base", 32, [16, 16, 8, 4, 4]),
    ("cyclemlp_b2", 28, [14, 14, 7, 4, 4]),
    ("cyclemlp_b2", 32, [16, 16, 8, 4, 4]),
    ("darknet_nano", 32, [32, 32, 32, 16, 8, 4]),
    ("efficientnet_v2_nano", 28, [28, 28, 28, 14, 7, 7, 4, 4]),
    ("efficientnet_v2_nano", 32, [32, 32, 32, 16, 8, 8, 4, 4]),
    ("efficientnet_v2_s", 28, [28, 28, 28, 14, 7, 7, 4, 4]),
    ("efficientnet_v2_s", 32, [32, 32, 32, 16, 8, 8, 4, 4]),
    ("efficientnet_v2_m", 28, [28, 28, 28, 14, 7, 7, 4, 4, 4]),
    ("efficientnet_v2_m", 32, [32, 32, 32, 16, 8, 8, 4, 4, 4]),
    ("mobile_former_26m", 28, [28, 28, 14, 7, 4]),
    ("mobile_former_26m", 32, [32, 32, 16, 8, 4]),
    ("mobile_former_294m", 28, [28, 28, 28, 14, 7, 4]),
    ("mobile_former_294m", 32, [32, 32, 32, 16, 8, 4]),
    ("swin_base", 28, [14, 14, 7, 4, 4]),
    ("swin_base", 32, [16, 16, 8, 4, 4]),
    ("swin_v2_tiny", 28, [14, 14, 7, 4, 4]),
    ("swin_v2_tiny", 32, [16, 16, 8, 4, 4]),
    ("xception", 28, [28, 14, 7, 7, 7, 4]),
    ("xception", 32, [32, 16, 8, 8, 8, 4]),
]


@pytest.mark.parametrize(("name", "size", "sides"), SIDES, ids=[f"{name}-{size}" for name, size, _ in SIDES])
def test_sides_of_the_maps_behind_each_stage(name: str, size: int, sides: list[int]) -> None:
    network: Any = counting.on_meta(
        lambda: registry.build(name, stem="small", num_classes=10, in_channels=3, image_size=size)
    )
    shapes = stage_shapes(network, (3, size, size)).values()
    rows = 0 if network.declaration.feature_axes == "hwc" else 1
    maps = [shape[rows : rows + 2] for shape in shapes if len(shape) == 3]
    assert maps == [(side, side) for side in sides]
