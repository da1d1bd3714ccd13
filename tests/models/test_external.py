"""Networks from outside the catalogue, and what is said when one cannot take a size."""

from __future__ import annotations

import importlib
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cnn_explorer as cx
import pytest
import timm
import torch
from cnn_explorer.cli import show_text
from cnn_explorer.errors import UsageError, with_article
from cnn_explorer.models.anatomy.outside import external, sizes
from torch import nn
from torchvision import models as zoo


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


@pytest.mark.parametrize("text", ["0", "3x0x3", "ax2x3", "", "3x", "3x-2", "3 x 4"])
def test_shapes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--input"):
        external.parse_shape(text)


def test_shapes() -> None:
    assert external.parse_shape("3x224x224") == (3, 224, 224)
    assert external.parse_shape("3×16×112×112") == (3, 16, 112, 112)
    assert [external.parse_shape(text) for text in ("5", "4x20", "1x2x3x4x5")] == [(5,), (4, 20), (1, 2, 3, 4, 5)]


def test_several_shapes_and_number_formats() -> None:
    found = external.parse_inputs(["3x32x32", "10", "16:int64"])
    assert [(one.shape, one.dtype) for one in found] == [((3, 32, 32), ""), ((10,), ""), ((16,), "int64")]
    assert external.parse_inputs(["16:int64"])[0].dtype == "int64" and external.parse_inputs([]) == ()


@pytest.mark.parametrize("texts", [["0"], [":int64"], ["5:"], ["3x32x32", "16:int65"], ["3x32x32", "0"], ["a", "b"]])
def test_inputs_that_are_none(texts: list[str]) -> None:
    with pytest.raises(UsageError, match="--input"):
        external.parse_inputs(texts)


OWN = """
from dataclasses import dataclass
import torch
from torch import nn


class TwoIn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.words, self.head = nn.Conv2d(3, 4, 3), nn.Embedding(50, 6), nn.Linear(10, 5)

    def forward(self, image, words):
        both = torch.cat([self.conv(image).mean((2, 3)), self.words(words).mean(1)], 1)
        return {"logits": self.head(both), "maps": {"first": self.conv(image)}}


@dataclass
class Found:
    scores: torch.Tensor
    maps: torch.Tensor


class Packs(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 4, 3)

    def forward(self, x):
        maps = super().forward(x)
        return Found(maps.mean((2, 3)), maps)


class Double(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.Flatten())
        self.double()


class Nothing(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


class Counts(nn.Module):
    RUNS = 0

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3 * 41 * 41, 5)

    def forward(self, x):
        print("it runs")
        return self.head(x.flatten(1))


class Large(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(60_000, 10_000)

    def forward(self, x):
        return x if x.sum() > 0 else self.head(x)


class Window(nn.Sequential):
    def __init__(self):
        pool = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 3, 3))
        super().__init__(pool, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3 * 9 * 9, 5))


class Views(nn.Module):
    def forward(self, x):
        return x.view(-1, 3 * 20 * 20)


def side(image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2 if image_size % 16 == 0 else 7, 5))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of one's own with ``own_nets.py``, which is the working directory."""
    (tmp_path / "own_nets.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    sys.modules.pop("own_nets", None)


def traced(name: str, *shapes: str) -> external.Traced:
    return external.traced_network(external.network_spec(name, inputs=external.parse_inputs(shapes)))


def test_several_inputs_and_a_packed_output(own: Path) -> None:
    found = traced("own_nets.py:TwoIn", "3x32x32", "16:int64")
    assert found.remarks == ("returns a dict: logits 5, maps.first 4×30×30",)
    assert found.tree.inputs == ((1, 3, 32, 32), (1, 16)) and found.tree.output == (1, 5)
    assert [row.name for _, row in found.tree.walk() if row.kind == "module"] == ["", "conv", "words", "head", "conv"]
    with pytest.raises(UsageError, match=r"takes several inputs; give each its shape.*own_nets.py, line 12"):
        traced("own_nets:TwoIn", "3x32x32")
    packed = traced("own_nets:Packs", "3x32x32")
    assert packed.tree.output == (1, 4) and packed.remarks == ("returns a Found: scores 4, maps 4×30×30",)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_memory_of_a_network_with_several_inputs(own: Path, precision: str) -> None:
    spec = external.network_spec("own_nets.py:TwoIn", inputs=external.parse_inputs(["3x32x32", "16:int64"]))
    at_once = show_text.training_memory(spec, precision, 1)
    assert at_once.weights >= at_once.gradients == 4 * (4 * 27 + 4 + 50 * 6 + 10 * 5 + 5)
    image, maps = 4 * 3 * 32 * 32, (4 if precision == "fp32" else 2) * 4 * 30 * 30
    assert at_once.peak > at_once.weights + image + maps
    [more, most] = (show_text.training_memory(spec, precision, batch).peak for batch in (11, 21))
    assert most - more >= 10 * (image + 8 * 16 + maps)  # both inputs grow with the batch


def test_show_tells_the_memory_of_several_inputs(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = external.network_spec("own_nets.py:TwoIn", inputs=external.parse_inputs(["3x32x32", "16:int64"]))
    show_text.print_totals(spec, external.anatomy_of(spec), 1)
    said = capsys.readouterr().out
    assert "TwoIn for 3×32×32 and 16, batch 1" in said
    assert "at batch 64 in fp32" in said and "at batch 64 in bf16" in said


@pytest.mark.parametrize("given", [(1, 3, 32, 32), [1, 3, 32, 32]])
def test_a_batch_axis_in_a_shape_is_told(given: Sequence[int]) -> None:
    with pytest.raises(UsageError, match="the batch axis is left out of a shape: 3x32x32 is one image"):
        cx.anatomy(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), input=given)
    with pytest.raises(UsageError) as other:
        cx.anatomy(nn.Sequential(nn.Conv2d(3, 4, 3)), input=(4, 32, 32))
    assert "batch axis" not in str(other.value)


@pytest.mark.parametrize(
    "word",
    ["an int", "a list", "an LSTM", "a UNet", "a NoneType", "an Identity", "an RNN", "a GRU", "a ReLU", "an Unflatten"],
)
def test_the_article_of_a_word(word: str) -> None:
    assert with_article(word.split()[1]) == word


def test_the_same_from_python(own: Path) -> None:
    sys.path.insert(0, str(own))
    module = importlib.import_module("own_nets")
    found = cx.anatomy(module.TwoIn(), input=((3, 32, 32), "16:int64"))
    assert found.output == (5,) and "returns a dict: logits 5" in str(found)
    assert cx.anatomy(module.TwoIn, input=[[3, 32, 32], "16:int64"]).parameters == found.parameters
    for wrong in (((3, 32, 32), (0,)), ((3, 32, 32), 7), "3x32x32", ((3, 32, 32), "x")):
        with pytest.raises(UsageError, match="input"):
            cx.anatomy(module.TwoIn(), input=wrong)  # pyright: ignore[reportArgumentType] what is refused


def test_double_precision_and_no_parameters(own: Path) -> None:
    assert traced("own_nets:Double", "3x8x8").tree.parameters == 112
    assert traced("own_nets:Nothing", "3x8x8").tree.output == (1, 3)


def test_all_sizes_that_work_are_found_in_silence(
    own: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "SECONDS", 600.0)
    with pytest.raises(UsageError, match=r"squares of 41 pixels work$"):
        traced("own_nets:Counts", "3x224x224")
    assert capfd.readouterr().out.count("it runs") == 1
    with pytest.raises(UsageError, match=r"squares of 40 to 43 pixels work$"):
        traced("own_nets:Window", "3x64x64")
    with pytest.raises(UsageError, match=r"write 2352, or x.flatten\(1\).*; squares of 20 pixels work$"):
        traced("own_nets:Views", "3x28x28")
    with pytest.raises(UsageError, match=r"squares whose side is a multiple of 16 work: 96 or 112$"):
        traced("own_nets:side", "3x100x100")


@pytest.mark.parametrize(
    ("working", "words"),
    [
        (range(75, 513), "the smallest square that works is 75"),
        (range(40, 44), "squares of 40 to 43 pixels work"),
        ([28], "squares of 28 pixels work"),
        ([*range(20, 30), *range(100, 513)], "squares from 100 pixels work"),
        ([3, 4], ""),
        ([], ""),
    ],
)
def test_the_words_for_sizes(working: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "SECONDS", 600.0)
    assert sizes.words(sizes.working_sizes(lambda size: size in working, 80), 80) == words


def test_where_time_is_short_the_edge_is_found_by_halving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "SECONDS", -1.0)
    tried: list[int] = []
    found = sizes.working_sizes(lambda size: tried.append(size) or size >= 75, 40)
    assert found == [(75, 512)] and len(tried) <= 10


def test_the_table_ends_at_the_layer_that_failed(own: Path) -> None:
    with pytest.raises(external.CannotRun) as caught:
        traced("own_nets:Window", "3x64x64")
    tree = caught.value.tree
    assert tree is not None
    rows = [(row.name, row.output, row.failed) for _, row in tree.walk()]
    assert rows[1:4] == [("0", (1, 3, 30, 30), False), ("0.0", (1, 3, 32, 32), False), ("0.1", (1, 3, 30, 30), False)]
    assert rows[-1] == ("3", (), True) and [failed for *_, failed in rows].count(True) == 1
    assert "675 = 3×15×15 values arrive, this Linear expects 243 = 3×9×9; write 675" in str(caught.value)


def test_a_network_too_large_for_real_numbers_is_not_built_with_them(own: Path) -> None:
    with pytest.raises(
        UsageError, match=r"cannot be run without real numbers and is too large.*600,010,000 parameters"
    ):
        traced("own_nets:Large", "3x8x8")


@pytest.fixture
def cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and no folder to keep weights in."""

    def refuse(*_: object) -> None:
        raise OSError("there is no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file" / "cache"))


SLOW = pytest.mark.slow
SOME = ("quantized_resnet18", "fcn_resnet50", "lraspp_mobilenet_v3_large", "deeplabv3_resnet50")


@pytest.mark.usefixtures("cut_off")
@pytest.mark.parametrize(
    "name", [*SOME, *(pytest.param(name, marks=SLOW) for name in zoo.list_models() if name not in SOME)]
)
def test_every_name_of_torchvision_is_shown_and_downloads_nothing(name: str) -> None:
    spec = external.network_spec(f"torchvision:{name}")
    found = external.traced_network(spec)
    with torch.device("meta"):
        made = spec.make() if not name.startswith("regnet") else None
    counted = sum(weight.numel() for weight in made.parameters()) if made is not None else found.tree.parameters
    assert found.tree.output and found.tree.parameters == counted > 100_000


@pytest.mark.usefixtures("cut_off")
def test_figures_of_torchvision_that_were_missing() -> None:
    assert parameters("torchvision:regnet_y_400mf") == 4_344_144
    assert parameters("torchvision:vit_h_14") == 632_045_800
    assert parameters("torchvision:raft_small") == 990_162
    vit = external.network_spec("torchvision:vit_b_16", image_size=32)
    assert external.anatomy_of(vit).parameters == 86_567_656 - 192 * 768


def test_clips_take_an_image_size() -> None:
    spec = external.network_spec("torchvision:r3d_18", image_size=32)
    assert spec.shape == (3, 16, 32, 32) and external.anatomy_of(spec).parameters == 33_371_472


def test_what_the_figures_of_a_detector_depend_on_is_said() -> None:
    name = "torchvision:fasterrcnn_mobilenet_v3_large_320_fpn"
    words = "\n".join(external.traced_network(external.network_spec(name)).remarks)
    assert "MACs depend on how many boxes are kept" in words
    assert "images of 224×224 are resized to 320×320 first" in words
    assert "24,400 parameters more than the 19,386,354 that torchvision publishes" in words
