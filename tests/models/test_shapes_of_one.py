"""The shape of one image: the axis of the batch is left out, wherever it stands, and nothing else is."""

from __future__ import annotations

import math
from collections.abc import Callable

import cnn_explorer as cx
import pytest
import torch
from cnn_explorer.models.anatomy import counting, server
from cnn_explorer.models.anatomy.axes.layout import AxisLayout, batch_axis
from cnn_explorer.models.anatomy.forward.inputs import InputSpec
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.anatomy.rows.layer import Layer
from cnn_explorer.models.anatomy.values import one_value
from cnn_explorer.models.anatomy.words import walk
from cnn_explorer.models.catalogue import registry
from cnn_explorer.tui.networks import layer_tree
from support.anatomy import analyse
from support.weekly import first_of
from torch import Tensor, nn
from torch.nn import functional

SAMPLE = ("vit_nano", "swin_nano", "swin_v2_nano", "nat_nano", "cnn_lstm", "capsnet", "mobile_former_26m", "cvt_13")
OTHERS = tuple(variant.name for family in registry.families() for variant in family.variants)


def tree_of(name: str) -> Layer:
    return external.anatomy_of(external.network_spec(name))


@pytest.mark.parametrize("name", first_of(dict.fromkeys((*SAMPLE, *OTHERS)), len(SAMPLE)))
def test_a_shape_for_one_image_holds_all_of_its_values(name: str) -> None:
    for _, row in tree_of(name).walk():
        assert math.prod(row.output_of_one) == math.prod(row.output), (row.name, row.type)
        for whole, one in zip(row.inputs, row.inputs_of_one, strict=True):
            assert math.prod(one) == math.prod(whole), (row.name, row.type)


def shapes(tree: Layer) -> dict[str, tuple[int, ...]]:
    """The output of each row by name and type; the first row of a name counts."""
    found: dict[str, tuple[int, ...]] = {}
    for _, row in tree.walk():
        found.setdefault(f"{row.name} {row.type}".strip(), row.output_of_one)
    return found


def test_queries_keys_and_values_windows_and_tables_keep_their_first_axis() -> None:
    vit = shapes(tree_of("vit_nano"))
    assert vit["encoder.0.attention rearrange"] == (3, 4, 65, 32)  # queries, keys, values; heads; places; width
    assert vit["encoder.0.attention split"] == (4, 65, 32)
    swin = shapes(tree_of("swin_v2_nano"))
    assert swin["stage1.0.attention softmax"] == (16, 2, 16, 16)  # 16 windows
    assert swin["stage1.0.attention.position Sequential"] == (7, 7, 2)  # a table of weights, for all images
    assert swin["stage1 Sequential"] == (16, 16, 32)
    assert shapes(tree_of("cnn_lstm"))["frames.cnn Sequential"] == (8, 128)  # 8 frames


class SequenceFirst(nn.Module):
    """Attention as torch's default has it: places, images, channels."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.linear, self.head = nn.MultiheadAttention(8, 2), nn.Linear(8, 12), nn.Linear(12, 10)

    def forward(self, images: Tensor) -> Tensor:
        places = images.flatten(2).permute(2, 0, 1)
        return self.head(self.linear(self.attention(places, places, places)[0]).mean(0))


class OneByOne(nn.Module):
    """Takes each image out of its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 10)

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([self.head(self.conv(image).mean((1, 2))) for image in images])


@pytest.mark.parametrize("batch", [1, 2])
def test_a_batch_axis_behind_the_places_is_the_one_left_out(batch: int) -> None:
    tree = analyse(counting.on_meta(SequenceFirst), (8, 4, 5), batch)
    found = shapes(tree)
    assert found["attention MultiheadAttention"] == (20, 8) and found["linear Linear"] == (20, 12)
    assert found["head Linear"] == (10,) and tree.output_of_one == (10,)
    linear = next(row for _, row in tree.walk() if row.name == "linear")
    assert (
        linear.inputs_of_one == ((20, 8),) and linear.batch_axis == 1 and linear.axes_of_one == ("tokens", "channels")
    )


def test_an_image_without_a_batch_axis_keeps_its_channel() -> None:
    rows = {row.name: row for _, row in analyse(counting.on_meta(OneByOne), (1, 28, 28)).walk() if row.kind == "module"}
    assert rows["conv"].inputs_of_one == ((1, 28, 28),) and rows["conv"].output_of_one == (4, 26, 26)
    assert rows["head"].output_of_one == (10,) and rows[""].output_of_one == (10,)
    for batch in (1, 3):
        tree = analyse(counting.on_meta(OneByOne), (1, 28, 28), batch)
        assert walk.phrase(tree.children[0]) == "takes each image out of the batch"
        assert tree.output_of_one == (10,)  # their stack is the batch again


def layout(*axes: str) -> AxisLayout:
    return AxisLayout(axes)


@pytest.mark.parametrize(
    ("shape", "known", "axis"),
    [
        ((1, 3, 32, 32), layout("batch", "channels", "rows", "columns"), 0),
        ((2, 3, 32, 32), layout("batch", "channels", "rows", "columns"), 0),
        ((3, 1, 4, 65, 32), layout("channels", "one", "channels", "tokens", "channels"), 1),
        ((65, 2, 32), layout("tokens", "batch", "channels"), 1),
        ((16, 49, 96), layout("windows", "tokens", "channels"), None),
        ((1, 28, 28), layout("channels", "rows", "columns"), None),
        ((1, 65, 32), None, 0),
        ((7, 7, 2), None, None),
        ((), None, None),
    ],
)
def test_which_axis_counts_images(shape: tuple[int, ...], known: AxisLayout | None, axis: int | None) -> None:
    assert batch_axis(shape, known) == axis


def test_a_table_in_a_notebook_has_these_shapes() -> None:
    rows = cx.anatomy("vit_nano").rows
    row = next(row for row in rows if row.name == "encoder.0.attention" and row.type == "rearrange")
    assert (row.input, row.output) == ((65, 384), (3, 4, 65, 32))


@pytest.mark.parametrize(("make", "name", "position"), [(SequenceFirst, "linear", (3, 11)), (OneByOne, "head", (7,))])
def test_a_value_is_named_by_its_place_in_the_shape_that_is_shown(
    make: Callable[[], nn.Module], name: str, position: tuple[int, ...]
) -> None:
    network = make().eval()
    shape = (8, 4, 5) if make is SequenceFirst else (1, 28, 28)
    row = next(row for _, row in analyse(network, shape).walk() if row.name == name)
    outputs: list[Tensor] = []
    network.get_submodule(name).register_forward_hook(lambda *call: outputs.append(call[-1]))
    image = torch.rand(1, *shape)
    network(image)
    found = one_value.output_value(network, row.id, image, position, row.batch_axis)
    expected = outputs[0][3, 0, 11] if make is SequenceFirst else outputs[0][7]
    assert found.position == position and found.total == pytest.approx(expected.item(), abs=1e-5)


def test_the_app_shows_the_same_shapes_and_sends_the_axis_back() -> None:
    answered = server.layers(network="vit_nano")["tree"]
    nodes = list(layer_tree.from_answer(answered).walk())
    node = next(node for node in nodes if node.type == "rearrange" and node.name == "encoder.0.attention")
    assert node.inputs == ((65, 384),) and node.output == (3, 4, 65, 32) and node.batch_axis == 1
    assert node.axes == ("channels", "channels", "tokens", "channels")


def test_what_happens_to_the_axis_of_the_batch_alone_is_said() -> None:
    phrases = {
        (row.name, row.type): walk.phrase(row) for name in ("swin_nano", "cnn_lstm") for _, row in tree_of(name).walk()
    }
    assert phrases["stage1.1.attention", "reshape"] == "parts the batch from the first axis"
    assert phrases["stage1.1.attention", "flatten"] == "joins the batch with the first axis"
    assert phrases["frames", "reshape"] == "parts the batch from the first axis"
    slices = [walk.phrase(row) for _, row in tree_of("swin_v2_nano").walk() if row.type == "slice"]
    assert slices[0] == "picks values by an index: 49×2 → 16×16×2"


class Signal(nn.Module):
    """Reads a signal: an input of two axes beside the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(2, 8, 9, 4), nn.Linear(8, 10)

    def forward(self, signal: Tensor) -> Tensor:
        return self.head(self.conv(signal).mean(-1))


class Words(nn.Module):
    """Reads numbers of words."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Embedding(50, 16), nn.Linear(16, 10)

    def forward(self, words: Tensor) -> Tensor:
        return self.head(self.conv(words).mean(1))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("make", "one", "first", "second"),
    [
        (Signal, InputSpec((2, 200)), (2, 200), (8, 48)),
        (Words, InputSpec((12,), "int64"), (12,), (12, 16)),
        (lambda: nn.Sequential(nn.Linear(20, 8), nn.Linear(8, 10)), InputSpec((20,)), (20,), (8,)),
    ],
)
def test_a_signal_a_vector_and_words_have_the_batch_in_front(
    make: Callable[[], nn.Module], one: InputSpec, first: tuple[int, ...], second: tuple[int, ...], batch: int
) -> None:
    tree = external.traced_module(make(), (one,), batch).tree
    assert tree.inputs_of_one == (first,) and tree.output_of_one == (10,)
    row = tree.children[0]
    assert row.inputs_of_one == (first,) and row.output_of_one == second


class WithNumbers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.numbers, self.head = nn.Conv2d(3, 8, 3), nn.Linear(5, 8), nn.Linear(16, 10)

    def forward(self, images: Tensor, numbers: Tensor) -> Tensor:
        return self.head(torch.cat([self.conv(images).mean((2, 3)), self.numbers(numbers)], 1))


def test_a_second_input_leaves_out_the_batch_too() -> None:
    tree = external.traced_module(WithNumbers(), (InputSpec((3, 8, 8)), InputSpec((5,))), 4).tree
    assert tree.inputs_of_one == ((3, 8, 8), (5,))
    assert shapes(tree)["numbers Linear"] == (8,) and shapes(tree)["head Linear"] == (10,)


class OwnKernels(nn.Module):
    """Makes the kernel for each image of the image: images side by side as groups."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels, self.head = nn.Linear(3, 108), nn.Linear(4, 10)

    def forward(self, images: Tensor) -> Tensor:
        count, channels, height, width = images.shape
        kernels = self.kernels(images.mean((2, 3))).view(count * 4, channels, 3, 3)
        maps = functional.conv2d(images.reshape(1, count * channels, height, width), kernels, groups=count)
        return self.head(maps.view(count, 4, height - 2, width - 2).mean((2, 3)))


@pytest.mark.parametrize("batch", [1, 3])
def test_kernels_made_of_the_image_keep_all_their_values(batch: int) -> None:
    tree = analyse(OwnKernels(), (3, 8, 8), batch)
    laid_out = next(row for _, row in tree.walk() if row.type == "reshape")
    assert laid_out.output_of_one == (4 * batch, 3, 3, 3)
    assert shapes(tree)["head Linear"] == (10,) and tree.output_of_one == (10,)


def test_the_channels_of_an_image_without_a_batch_axis_are_told() -> None:
    row = next(row for _, row in analyse(counting.on_meta(OneByOne), (1, 28, 28)).walk() if row.name == "conv")
    assert walk.phrase(row) == "looks through a 3×3 window, 1 → 4 channels"
    assert row.axes_of_one == ("channels", "rows", "columns")


def test_gaps_are_told_for_each_axis_and_of_pooling() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, (3, 5), dilation=(2, 3)), nn.MaxPool2d(3, 1, dilation=2))
    conv, pool = map(walk.phrase, analyse(network, (3, 32, 32)).children)
    assert conv == "looks through a 3×5 window with gaps (dilation 2×3), 3 → 4 channels"
    assert pool == "keeps the maximum of each 3×3 window with gaps (dilation 2)"


def test_a_detector_takes_single_images_without_a_batch() -> None:
    tree = tree_of("torchvision:ssdlite320_mobilenet_v3_large")
    assert tree.inputs_of_one == tree.inputs and len(tree.inputs[0]) == 3 and tree.inputs[0][0] == 3
