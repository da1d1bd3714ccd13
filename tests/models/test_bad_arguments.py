"""Arguments that no network can be built with: each is refused in one line that names it, before anything is built."""

from __future__ import annotations

import pytest
from cnn_explorer.models.catalogue import registry

VARIANTS = list(registry.variants().values())
NAMES = [variant.name for variant in VARIANTS]
WITH_STEMS = [variant.name for variant in VARIANTS if variant.small_stem is not None]


def build(name: str, **arguments: object) -> None:
    getattr(registry.module(registry.find(name).family), name)(**arguments)


@pytest.mark.parametrize(("argument", "value"), [("num_classes", 0), ("in_channels", -1), ("image_size", 0)])
@pytest.mark.parametrize("name", NAMES)
def test_every_variant_refuses_what_is_not_above_zero(name: str, argument: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"^{argument}: {value} .*smallest that works is 1$"):
        build(name, **{argument: value})


@pytest.mark.parametrize("name", WITH_STEMS)
def test_an_unknown_stem_is_named_with_the_choices(name: str) -> None:
    with pytest.raises(ValueError, match=r"^stem: 'tiny' is unknown; choose one of 'imagenet', 'small'"):
        build(name, stem="tiny")


OTHERS = [
    ("alexnet", {"hidden": 0}, "hidden: 0"),
    ("capsnet_nano", {"image_size": 16}, "image_size: 16 .*smallest that works is 17"),
    ("capsnet_nano", {"iterations": 0}, "iterations: 0 .*smallest that works is 1"),
    ("channel_boosted_cnn", {"boost": 0}, "boost: 0 .*smallest that works is 1"),
    ("cnn_lstm", {"steps": "columns"}, "steps: 'columns'"),
    ("cnn_lstm", {"step": 0}, "step: 0 .*smallest that works is 1"),
    ("cnn_lstm", {"step": 33}, "step: 33 is more than the image has"),
    ("cnn_lstm", {"hidden": -1}, "hidden: -1"),
    ("convnext_tiny", {"layer_scale": 0}, "layer_scale: 0"),
    ("convnext_tiny", {"drop_path": -1.0}, "drop_path: -1.0"),
    (
        "cvt_13",
        {"image_size": 2},
        "image_size: 2 is too small for a first convolution of 7×7; the smallest that works is 3",
    ),
    ("cvt_13", {"stride_kv": 0}, "stride_kv: 0"),
    ("cvt_13", {"drop_path": 1.0}, "drop_path: 1.0"),
    (
        "cyclemlp_b1",
        {"image_size": 2},
        "image_size: 2 is too small for the imagenet stem; the smallest that works is 3",
    ),
    ("cyclemlp_b1", {"drop_path": 1.0}, "drop_path: 1.0"),
    (
        "dinat_mini",
        {"image_size": 100},
        "image_size: 100 is too small for neighbourhoods of 7×7.*smallest that works is 193",
    ),
    ("dinat_mini", {"kernel_size": 2, "image_size": 224}, "kernel_size: 2 has no middle"),
    ("efficientnet_v2_s", {"drop_path": 2.0}, "rate: "),
    (
        "gmlp_ti16",
        {"image_size": 12},
        "image_size: 12 is too small for patches of 16 pixels; the smallest that works is 16",
    ),
    ("gmlp_ti16", {"patch_size": 0}, "patch_size: 0"),
    ("gmlp_ti16", {"drop_path": 1.5}, "drop_path: 1.5"),
    ("lenet5", {"image_size": 11}, "image_size: 11 .*smallest that works is 12"),
    ("lenet5", {"activation": "swish"}, "activation: 'swish'"),
    ("lenet5", {"pooling": "median"}, "pooling: 'median'"),
    (
        "mixer_s32",
        {"image_size": 30},
        "image_size: 30 is too small for patches of 32 pixels; the smallest that works is 32",
    ),
    ("mixer_s32", {"patch_size": -4}, "patch_size: -4"),
    ("mixer_s32", {"drop_path": 1.0}, "drop_path: 1.0"),
    ("mobile_former_26m", {"dropout": 1.0}, "dropout: 1.0"),
    (
        "nat_mini",
        {"image_size": 192},
        "image_size: 192 is too small for neighbourhoods of 7×7.*smallest that works is 193",
    ),
    ("nat_mini", {"image_size": 16, "stem": "small"}, "image_size: 16 .*smallest that works is 17"),
    ("nat_mini", {"kernel_size": 0}, "kernel_size: 0"),
    ("nat_mini", {"kernel_size": 4}, "kernel_size: 4 has no middle"),
    ("nat_mini", {"drop_path": 1.0}, "drop_path: 1.0"),
    (
        "resmlp_s12",
        {"image_size": 12},
        "image_size: 12 is too small for patches of 16 pixels; the smallest that works is 16",
    ),
    ("resmlp_s12", {"patch_size": 0}, "patch_size: 0"),
    ("resmlp_s12", {"drop_path": -0.1}, "drop_path: -0.1"),
    ("squeezenet1_0", {"bypass": "all"}, "bypass: 'all'"),
    ("squeezenet1_0", {"squeeze_ratio": 0.0}, r"squeeze_ratio: 0\.0"),
    ("squeezenet1_0", {"share_3x3": 1.0}, r"share_3x3: 1\.0"),
    (
        "swin_tiny",
        {"image_size": 3},
        "image_size: 3 is too small for patches of 4 pixels; the smallest that works is 4",
    ),
    ("swin_tiny", {"window": 0}, "window: 0"),
    ("swin_tiny", {"drop_path": 1.0}, "drop_path: 1.0"),
    ("swin_v2_tiny", {"image_size": 3}, "smallest that works is 4"),
    ("swin_v2_tiny", {"window": 0}, "window: 0"),
    ("vgg11", {"image_size": 31}, "image_size: 31 .*smallest that works is 32"),
    ("vgg11", {"hidden": 0}, "hidden: 0"),
    (
        "vit_tiny_16",
        {"image_size": 12},
        "image_size: 12 is too small for patches of 16 pixels; the smallest that works is 16",
    ),
    ("vit_tiny_16", {"patch_size": 0}, "patch_size: 0"),
    ("vit_tiny_16", {"patch_size": 300}, "image_size: 224 is too small for patches of 300 pixels"),
    ("vit_tiny_16", {"dropout": 1.0}, "dropout: 1.0"),
    ("xception", {"image_size": 6}, "image_size: 6 .*smallest that works is 7"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), OTHERS)
def test_what_an_architecture_cannot_take_is_named(name: str, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, **arguments)
