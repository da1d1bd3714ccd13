"""Networks from outside the catalogue, and what is said when one cannot take a size."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
from cnn_explorer.errors import UsageError
from cnn_explorer.models.anatomy import external


def parameters(name: str, **options) -> int:
    return external.anatomy_of(external.network_spec(name, **options)).parameters


def test_torchvision_and_timm_by_name() -> None:
    assert parameters("torchvision:mobilenet_v3_small") == 2_542_856
    assert parameters("timm:resnet10t") == sum(p.numel() for p in timm.create_model("resnet10t").parameters())


def test_a_video_network_takes_a_clip() -> None:
    spec = external.network_spec("torchvision:r3d_18")
    assert spec.shape == (3, 16, 112, 112)
    layer = external.anatomy_of(spec)
    assert layer.output == (1, 400) and layer.parameters == 33_371_472


def test_a_detector_is_run_on_real_values() -> None:
    spec = external.network_spec("torchvision:fasterrcnn_mobilenet_v3_large_320_fpn")
    layer = external.anatomy_of(spec)
    assert spec.takes_list and layer.parameters == sum(p.numel() for p in spec.make().parameters())
    assert any(row.name == "roi_heads" and row.executed for _, row in layer.walk())


def test_ones_own_callable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mynets.py").write_text(
        "from torch import nn\nclass Tiny(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Conv2d(3, 4, 3), nn.Flatten())\n"
    )
    monkeypatch.chdir(tmp_path)
    assert parameters("mynets:Tiny", shape=(3, 8, 8)) == 3 * 4 * 9 + 4
    (tmp_path / "mynets2.py").write_text(
        "from torch import nn\ndef made(num_classes, in_channels=1):\n    return nn.Conv2d(in_channels, num_classes, 1)\n"
        "def wrong():\n    return 1 / 0\n"
    )
    assert parameters("mynets2:made", shape=(5, 8, 8), num_classes=7) == 5 * 7 + 7
    with pytest.raises(UsageError, match=r"ZeroDivisionError: division by zero \(mynets2.py, line 5\)"):
        external.anatomy_of(external.network_spec("mynets2:wrong"))
    with pytest.raises(UsageError, match="did you mean 'Tiny'"):
        external.network_spec("mynets:Tiy")
    with pytest.raises(UsageError, match=r"not a torch\.nn\.Module"):
        external.anatomy_of(external.network_spec("builtins:dict"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torchvision:resnt18", "did you mean 'resnet18'"),
        ("timm:vit_tiny_patch16_225", "did you mean"),
        ("no_such_package:Net", "cannot be imported"),
        ("resnt18", "did you mean 'resnet18'"),
    ],
)
def test_misses_name_what_would_work(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        external.network_spec(name)


def test_a_size_that_cannot_pass_names_layer_shape_and_smallest() -> None:
    with pytest.raises(UsageError) as caught:
        external.anatomy_of(external.network_spec("torchvision:vgg16", image_size=16))
    assert "features.30" in str(caught.value) and "1x512x1x1" in str(caught.value)
    assert "smallest square that works is 32" in str(caught.value)


def test_the_smallest_size_is_the_smallest() -> None:
    with pytest.raises(UsageError, match="smallest square that works is 75"):
        external.anatomy_of(external.network_spec("torchvision:inception_v3", image_size=40))
    assert external.anatomy_of(external.network_spec("torchvision:inception_v3", image_size=75)).macs


@pytest.mark.parametrize("text", ["224", "3x0x3", "ax2x3", "", "3x224", "1x2x3x4x5"])
def test_shapes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--input"):
        external.parse_shape(text)


def test_shapes() -> None:
    assert external.parse_shape("3x224x224") == (3, 224, 224)
    assert external.parse_shape("3×16×112×112") == (3, 16, 112, 112)
