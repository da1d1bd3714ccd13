"""What the app computes without Textual: the bench's arithmetic, questions, points, exports, ASCII, options, images."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
import torch
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.models.catalogue import registry
from cnn_explorer.models.catalogue.notes import memory_text
from cnn_explorer.trainer.common.text_safe import width
from cnn_explorer.trainer.data import digits as trainer_digits
from cnn_explorer.trainer.runs.states import STATES
from cnn_explorer.tui.core import ascii_filter, key_bindings, options, screen_export
from cnn_explorer.tui.core.workspaces import PLACES
from cnn_explorer.tui.networks import (
    catalogue_list,
    conv_lab,
    digits,
    layer_quiz,
    layer_tree,
    pages,
    quiz,
    scatter,
)
from cnn_explorer.tui.networks import (
    images as image_files,
)
from cnn_explorer.tui.networks.conv_lab import KERNELS, ConvSetting
from cnn_explorer.tui.networks.selection import NetworkSelection
from cnn_explorer.tui.networks.selection import changed as changed_selection
from cnn_explorer.tui.screens.bench import WORDS, changed
from cnn_explorer.tui.widgets.pixel_view import PixelSum, lines_of, moved, short
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.tui import answered, layer_node
from torch.nn import functional as F

EVERYTHING = list(registry.variants().values())

SETTINGS_STRATEGY = st.builds(
    ConvSetting,
    kind=st.sampled_from(conv_lab.KINDS),
    size=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
    groups=st.integers(1, 4),
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 4),
    kernel=st.sampled_from(list(KERNELS)),
)


@settings(max_examples=60, deadline=None)
@given(SETTINGS_STRATEGY, st.integers(2, 9), st.integers(0, 10**6))
def test_bench_computes_what_torch_computes(setting: ConvSetting, side: int, seed: int) -> None:
    assume(not conv_lab.problem(setting, side))
    rng = random.Random(seed)
    image = [[float(rng.randint(0, 16)) for _ in range(side)] for _ in range(side)]
    inputs = conv_lab.make_input(image, setting.resolved.inputs)
    s = setting.resolved
    channels = torch.tensor(inputs, dtype=torch.float64)[None]
    kernels = [
        [conv_lab.weights(s, output, channel) for channel in conv_lab.channels_of(s, output)]
        for output in range(s.outputs)
    ]
    weight = torch.tensor(kernels, dtype=torch.float64)
    if s.kind == "transposed":
        expected = F.conv_transpose2d(
            channels, weight.transpose(0, 1), stride=s.stride, padding=s.padding, dilation=s.dilation
        )
    else:
        expected = F.conv2d(channels, weight, stride=s.stride, padding=s.padding, dilation=s.dilation, groups=s.groups)
    ours = torch.tensor([conv_lab.convolve(s, inputs, output) for output in range(s.outputs)], dtype=torch.float64)
    assert tuple(ours.shape) == tuple(expected.shape[1:])
    assert conv_lab.output_side(setting, side) == expected.shape[-1]
    assert torch.allclose(ours, expected[0])
    assert conv_lab.parameters(setting) == weight.numel()


@given(SETTINGS_STRATEGY, st.integers(1, 9))
def test_impossible_settings_say_why(setting: ConvSetting, side: int) -> None:
    words = conv_lab.problem(setting, side)
    if words:
        assert any(character.isdigit() for character in words)
    else:
        assert conv_lab.output_side(setting, side) >= 1
    assert "out = " in conv_lab.formula(setting, side)


def test_known_impossible_settings() -> None:
    assert "reaches over 2·(5 − 1) + 1 = 9 pixels" in conv_lab.problem(ConvSetting(size=5, dilation=2), 8)
    assert "3 input channels cannot be divided into 2" in conv_lab.problem(
        ConvSetting(kind="grouped", inputs=3, groups=2), 8
    )
    assert conv_lab.problem(ConvSetting(), 8) == ""


def test_sum_is_written_out() -> None:
    found = conv_lab.terms(ConvSetting(size=2, kernel="identity"), [[[1.0, 2.0], [3.0, 4.0]]], 0, 0, 0)
    assert conv_lab.written_out(found) == "1 = 1·1 + 2·0 + 3·0 + 4·0"
    padded = conv_lab.terms(ConvSetting(size=1, padding=1, kernel="identity"), [[[7.0]]], 0, 0, 0)
    assert conv_lab.written_out(padded) == "0 = pad·1"


@given(
    st.lists(
        st.tuples(st.sampled_from([name for name in WORDS if name not in ("image", "digit")]), st.sampled_from([1, -1]))
    )
)
def test_every_change_on_the_bench_leads_to_a_valid_setting(steps: list[tuple[str, int]]) -> None:
    setting = ConvSetting()
    for name, by in steps:
        setting = changed(setting, name, by)
        conv_lab.problem(setting, 8)
        assert setting.resolved.groups >= 1 and setting.kernel in KERNELS


def test_digits_are_the_ones_that_networks_are_given() -> None:
    images, labels = trainer_digits.read()
    assert digits.count() == len(images)
    for number in (0, 1, 42, 1796):
        assert digits.raw(number) == images[number].tolist()
        assert digits.label(number) == labels[number]
    enlarged = trainer_digits.enlarge(images[:3])
    assert [digits.image(number) for number in range(3)] == enlarged.tolist()


def test_mnist_is_read_where_it_is_on_disk(tmp_path: Path) -> None:
    assert image_files.mnist(tmp_path, 0) is None
    path = tmp_path / image_files.MNIST
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(16) + bytes(784) + bytes(range(256)) * 4)
    first = image_files.mnist(tmp_path, 1)
    assert first is not None and first[0][:3] == [0.0, 1.0, 2.0]
    assert image_files.mnist(tmp_path, 5000) is None


# Questions


@pytest.mark.parametrize("seed", range(20))
def test_answers_about_networks_are_right(seed: int) -> None:
    rng = random.Random(seed)
    everything = list(registry.variants().values())
    variant = rng.choice(everything)
    question = quiz.about_network(variant, everything, rng)
    assert question is not None and 2 <= len(question.options) <= quiz.MOST_OPTIONS
    assert len(set(question.options)) == len(question.options)
    counts = {"more parameters": "parameters", "more MACs": "macs"}
    for words, what in counts.items():
        if words in question.text:
            values = [getattr(registry.variants()[name].paper_stem, what) for name in question.options]
            assert values.index(max(values)) == question.right


@pytest.mark.parametrize("seed", range(12))
def test_answers_about_layers_are_right(seed: int) -> None:
    question = layer_quiz.about_layer(layer_node(), random.Random(seed))
    assert question is not None
    assert question.options[question.right] in ("64×16×16", "1,792")
    assert question.options.count(question.options[question.right]) == 1


def test_a_layer_without_anything_to_ask_is_left_alone() -> None:
    assert (
        layer_quiz.about_layer(layer_node(inputs=[], output=[], executed=False, formulas=[]), random.Random(0)) is None
    )


# The layer tree


def test_tree_rows_and_budgets() -> None:
    tree = layer_tree.from_answer(
        answered(
            {
                **vars_of(layer_node(name="", type="Net")),
                "children": [vars_of(layer_node(name="a", times=3)), vars_of(layer_node(name="b"))],
            }
        )
    )
    assert [node.key for node in layer_tree.visible(tree, {"0"})] == ["0", "0.0", "0.1"]
    assert [node.key for node in layer_tree.visible(tree, set())] == ["0"]
    assert layer_tree.budget(tree, "parameters") == [("a", 0.75), ("b", 0.25)]
    assert "a " in layer_tree.bar(layer_tree.budget(tree, "parameters"), 40)
    parts = [("small", 0.06), ("large", 0.5), ("tiny", 0.04), ("middle", 0.4)]
    named = ["large", "50 %", "middle", "40 %"]
    assert re.findall(r"[a-z]+|[0-9]+ %|…", layer_tree.bar(parts, 40)) == [*named, "others", "10 %"]
    assert re.findall(r"[a-z]+", layer_tree.bar(parts, 60)) == ["small", "large", "tiny", "middle"]
    assert layer_tree.bar([*parts, ("others", 0.0)], 40).count("others") == 1
    assert layer_tree.bar([("a", 0.997), ("others", 0.003)], 40).endswith(" others ▏ <1 %"), "what is there is not 0 %"


def test_bars_are_drawn_of_what_the_axes_mean_and_never_of_sizes_alone() -> None:
    def layout(*axes: str, **known: int) -> dict:
        return {"axes": axes, "rows": None, "columns": None, "channels": None, **known}

    last = layout("batch", "rows", "columns", "channels", rows=56, columns=56, channels=96)
    assert layer_tree.extent(last) == (56.0, 96)
    assert layer_tree.extent(layout("batch", "tokens", "channels", rows=14, columns=14, channels=192)) == (14.0, 192)
    assert layer_tree.extent(layout("batch", "channels", channels=1000)) == (1.0, 1000)
    assert layer_tree.extent(layout("batch", "tokens", "channels", channels=64)) is None
    assert layer_tree.extent(layout("?", "?")) is None and layer_tree.extent(None) is None


def test_minor_operations_can_be_left_out() -> None:
    relu = vars_of(layer_node(name="", type="relu", kind="operation", minor=True))
    tree = layer_tree.from_answer(
        answered({**vars_of(layer_node(name="", type="Net")), "children": [vars_of(layer_node(name="a")), relu]})
    )
    assert [node.key for node in layer_tree.visible(tree, {"0"})] == ["0", "0.0", "0.1"]
    assert [node.key for node in layer_tree.visible(tree, {"0"}, without_minor=True)] == ["0", "0.0"]


def vars_of(node: layer_tree.LayerNode) -> dict:
    """A node as the helper process would send it."""
    values = {**vars(node), "formulas": [vars(formula) for formula in node.formulas], "children": []}
    return values | {"inputs": [[1, *shape] for shape in node.inputs], "output": [1, *node.output]}


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=12), st.floats(0.01, 1)), min_size=1, max_size=9),
    st.integers(20, 120),
)
def test_budget_bars_fit(shares: list[tuple[str, float]], cells: int) -> None:
    total = sum(share for _, share in shares)
    text = layer_tree.bar([(name, share / total) for name, share in shares], cells)
    assert len(text) <= max(cells + 4, max(len(name) for name, _ in shares) + 12)


# The catalogue's views


def test_family_tree_has_each_family_once_and_below_its_parent() -> None:
    entries = catalogue_list.tree_entries(list(registry.variants().values()))
    families = [registry.variants()[entry.name].family for entry in entries]
    assert sorted(families) == sorted(family.name for family in registry.families())
    for place, name in enumerate(families):
        parents = [parent for parent in registry.family(name).builds_on if parent in families]
        assert not parents or families.index(parents[0]) < place


@pytest.mark.parametrize("pair", scatter.PAIRS)
def test_points_lie_in_the_grid_and_can_all_be_reached(pair: str) -> None:
    variants = list(registry.variants().values())
    plot = scatter.place(variants, pair, 60, 20)
    assert len(plot.points) + plot.missing == len(variants)
    assert all(0 <= point.column < 60 and 0 <= point.row < 20 for point in plot.points)
    assert all(0 <= at < 60 for at, _ in plot.x_ticks) and all(0 <= at < 20 for at, _ in plot.y_ticks)
    if not plot.points:
        return
    for step in ((1, 0), (0, 1)):
        name, seen = "", set()
        for _ in plot.points:
            name = scatter.neighbour(plot, name, step)
            seen.add(name)
        assert seen == {point.name for point in plot.points}


def test_points_in_no_room_are_no_error() -> None:
    assert scatter.place(list(registry.variants().values()), "year and MACs", 1, 1).points == ()
    assert scatter.place([], "year and MACs", 60, 20).points == ()


# Exports, ASCII, options, commands


def test_export_as_table_json_and_file(tmp_path: Path) -> None:
    data = [{"name": "x", "value": 1}, {"name": "longer", "value": 2}]
    made = screen_export.table("a/b c", ("name", "value"), [("x", "1"), ("longer", "2")], data)
    assert made.text.splitlines() == ["name    value", "x       1", "longer  2"]
    assert json.loads(made.json()) == {"schema": 2, "name": "a/b c", "data": data}
    first, second = (screen_export.write(tmp_path, made.name, "txt", made.text) for _ in range(2))
    assert first.name == "cnn-explorer-a-b-c.txt" and second.name == "cnn-explorer-a-b-c-2.txt"
    with pytest.raises(WorkError, match="cannot be written"):
        screen_export.write(tmp_path / "missing", "x", "txt", "")


def test_an_export_never_takes_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "cnn-explorer-x.txt").symlink_to("nowhere")
    for number in range(2, 1000):
        (tmp_path / f"cnn-explorer-x-{number}.txt").touch()
    with pytest.raises(WorkError, match="999 files"):
        screen_export.write(tmp_path, "x", "txt", "new")
    assert not any(found.is_file() and found.read_text() for found in tmp_path.iterdir())
    (tmp_path / "cnn-explorer-x-7.txt").unlink()
    assert screen_export.write(tmp_path, "x", "txt", "new").name == "cnn-explorer-x-7.txt"


@given(st.text())
def test_ascii_keeps_the_width(text: str) -> None:
    drawn = ascii_filter.plain(text)
    assert (drawn.isascii() and len(drawn) == width(text)) or any(width(character) == 0 for character in text)


def test_ascii_keeps_the_points_of_the_chart_apart() -> None:
    assert len(set(ascii_filter.plain("·•◉◆"))) == 4


def test_ascii_keeps_states_apart() -> None:
    signs = [ascii_filter.plain(state.symbol) for state in STATES.values()]
    assert len(set(signs)) == len(signs)


def test_options_come_from_flag_then_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.toml"
    file.write_text('theme = "light"\nascii = true\nquiz = false\n')
    monkeypatch.setenv("CNN_EXPLORER_CONFIG", str(file))
    assert options.resolve() == options.AppOptions(theme="light", ascii=True, quiz=False)
    assert options.resolve(theme="dark", ascii=False).theme == "dark"
    with pytest.raises(UsageError, match=r"--theme: 'durk' is unknown; did you mean 'dark'"):
        options.resolve(theme="durk")
    other = tmp_path / "other.toml"
    other.write_text('color = "pink"\n')
    monkeypatch.setenv("CNN_EXPLORER_CONFIG", str(other))
    with pytest.raises(UsageError, match="config file: color"):
        options.resolve()


def test_no_key_is_bound_twice_in_one_place() -> None:
    assert set(PLACES) == {command.where for command in key_bindings.COMMANDS}, "the help names each place"
    for place in {command.where for command in key_bindings.COMMANDS}:
        keys = [key for command in key_bindings.of(place) for key in command.keys.split(",")]
        assert len(keys) == len(set(keys)), place


def test_every_key_can_be_typed_in_tmux_and_over_ssh() -> None:
    keys = [key for command in key_bindings.COMMANDS for key in command.keys.split(",")]
    assert not [key for key in keys if "shift+" in key or key in ("ctrl+b", "ctrl+a", "ctrl+enter")]


def test_numbers_of_a_linear_layer_are_listed_as_far_as_there_is_room() -> None:
    numbers = [0.5] * 2000
    pixel = PixelSum(
        "head", "linear", (3,), (("values", numbers), ("weights", numbers)), "the sum + bias", 1.0, ("channels",)
    )
    lines = lines_of(pixel, columns=78, rows=17)
    assert len(lines) <= 17 and max(map(len, lines)) <= 78
    assert lines[:2] == ["head: channel 3", "the sum + bias = 1.0000"]
    assert sum(line.startswith("and ") and "more, together" in line for line in lines) == 2


def test_the_keys_of_a_value_move_along_what_the_axes_mean() -> None:
    first, last = ("channels", "rows", "columns"), ("rows", "columns", "channels")
    assert moved([0, 0, 0], (1, 2, 3), (8, 8, 8), first) == [1, 2, 3]
    assert moved([0, 0, 0], (1, 2, 3), (8, 8, 8), last) == [2, 3, 1]
    assert moved([5, 5], (9, 0, -9), (8, 8), ("tokens", "channels")) == [0, 7]
    assert moved([5], (0, 0, 1), (8,), ("channels",)) == [6]


def test_selection_of_another_image() -> None:
    selection = NetworkSelection("lenet5")
    assert changed_selection(selection, "", "", "") == NetworkSelection("lenet5")
    assert changed_selection(selection, "64", "3", "8") == NetworkSelection("lenet5", "imagenet", 64, 3, 8)
    assert changed_selection(selection, "64", "3", "8").details()["image_size"] == 64
    for typed in (("0", "", ""), ("x", "", ""), ("", "99999", ""), ("", "", "-1")):
        with pytest.raises(UsageError):
            changed_selection(selection, *typed)


@pytest.mark.parametrize(("columns", "rows", "drawn"), [(78, 17, False), (110, 40, True), (110, 11, False)])
def test_a_large_kernel_shows_its_numbers(columns: int, rows: int, drawn: bool) -> None:
    """9×9, as in CapsNet: as a window beside a kernel where there is room, else as two lists."""
    window = [[[0.25] * 9] * 9]
    parts = (("values under the kernel", window), ("weights", window))
    pixel = PixelSum("conv1.0", "convolution", (0, 5, 5), parts, "the sum + bias", 5.0625)
    lines = lines_of(pixel, columns=columns, rows=rows)
    assert len(lines) <= rows and max(map(len, lines)) <= columns
    numbers = " ".join(lines).replace("0.25", ".25").count(".25")
    assert numbers == 162 if drawn else numbers >= 2 * (columns // 7)
    assert any(line.startswith("values under the kernel: 81") for line in lines) is not drawn


@pytest.mark.parametrize(("channels", "side", "columns", "rows"), [(3, 7, 78, 17), (64, 3, 78, 17), (3, 7, 120, 40)])
def test_one_value_fits_its_room(channels: int, side: int, columns: int, rows: int) -> None:
    window = [[[-1.25] * side] * side] * channels
    total = 1.5625 * channels * side * side
    parts = (("values under the kernel", window), ("weights", window))
    pixel = PixelSum("stem.0.conv", "convolution", (0, 28, 56), parts, "the sum", total)
    lines = lines_of(pixel, columns=columns, rows=rows)
    assert len(lines) <= rows and max(map(len, lines)) <= columns
    assert f"the sum = {total:.4f}" in lines[1]
    assert "channels more" in lines[-1] or rows == 40
    assert [short(value) for value in (0.25, -0.04, 1.85, -1.85, 12.34, -123.4)] == [
        ".25", "-.04", "1.85", "-1.9", "12.3", "-123"
    ]  # fmt: skip


def test_a_family_stands_in_the_tree_for_the_paper_and_not_for_the_nano_form_of_this_program() -> None:
    shown = {registry.variants()[entry.name].family: entry.name for entry in catalogue_list.tree_entries(EVERYTHING)}
    assert {"vit": "vit_base_16", "mixer": "mixer_b16", "cvt": "cvt_13", "vgg": "vgg16"}.items() <= shown.items()
    assert shown == {family.name: registry.find(family.name).name for family in registry.families()}
    for family in registry.families():
        if any("nano" not in variant.tags for variant in family.variants):
            assert "nano" not in registry.variants()[shown[family.name]].tags
    nano = [variant for variant in EVERYTHING if "nano" in variant.tags]
    assert "vit_nano" in {entry.name for entry in catalogue_list.tree_entries(nano)}, "where nothing else is shown"
    assert "vit_nano" in {entry.name for entry in catalogue_list.tree_entries(EVERYTHING, ["vit_nano"])}


def test_the_years_of_the_chart_begin_with_the_first_network() -> None:
    ticks = scatter.place(EVERYTHING, "year and MACs", 60, 20).x_ticks
    assert ticks[0] == (0, "1998") and "2015" in dict(ticks).values()


def test_a_network_without_a_figure_says_which_one_is_missing() -> None:
    vit_nano, lenet = registry.variants()["vit_nano"], registry.variants()["lenet5"]
    assert scatter.without_figure("MACs and accuracy", vit_nano) == "no published top-1 %"
    assert scatter.without_figure("year and MACs", lenet) == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (17_700 * 10**9, "17.7 TB"),
        (10**12 - 10**8, "1.00 TB"),
        (998 * 10**9, "998 GB"),
        (10**9 - 1, "1.00 GB"),
        (900, "900 B"),
    ],
)
def test_memory_is_told_in_a_unit_that_needs_no_power_of_ten(size: int, text: str) -> None:
    assert memory_text(size) == text


def test_an_excerpt_shows_the_word_that_was_found() -> None:
    line = (
        "Against over-fitting, the strongest first: more images, augmentation, weight decay, and then dropout at last"
    )
    hit = pages.Hit(pages.Page("concept", "x", "X"), 1, line)
    shown = pages.excerpt(hit, "dropout", 60)
    assert shown.startswith("…") and "dropout" in shown[:60] and shown.endswith("at last")
    assert pages.excerpt(hit, "against", 60) == line
    assert pages.excerpt(hit, "dropout", 200) == line


def test_the_marks_of_emphasis_are_no_part_of_what_search_shows() -> None:
    assert (
        pages.MARKS.sub("", "raw *Dropout* and **bold** `code`, 3 * 4, a*b") == "raw Dropout and bold code, 3 * 4, a*b"
    )
    shown = [hit.text for hit in pages.search("dropout")]
    assert shown and not [text for text in shown if "*Dropout*" in text]
