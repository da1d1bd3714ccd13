"""The convolution bench under the keyboard, and how its images are drawn on few and on many colours."""

from __future__ import annotations

from pathlib import Path

import pytest
from cnn_explorer.tui.networks import conv_lab, digits, images
from cnn_explorer.tui.networks.conv_lab import KINDS, ConvSetting
from cnn_explorer.tui.screens import bench
from cnn_explorer.tui.screens.bench import IMAGES, BenchScreen
from cnn_explorer.tui.screens.question import QuestionScreen
from cnn_explorer.tui.widgets.image_view import ImageView, short_number
from support.tui import make_app, screen_text, until
from textual.app import App
from textual.pilot import Pilot


async def open_bench(pilot: Pilot) -> BenchScreen:
    await pilot.press("b")
    screen = pilot.app.screen
    assert isinstance(screen, BenchScreen)
    await until(pilot, lambda: "out = " in screen_text(pilot.app))
    return screen


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_window_moves_and_the_sum_is_written_out(tmp_path: Path, size: tuple[int, int]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=size) as pilot:
        screen = await open_bench(pilot)
        assert screen.place == (0, 0)
        await pilot.press("right", "J")
        assert screen.place == (1, 1)
        found = conv_lab.terms(screen.setting, screen.inputs, 0, 1, 1)
        assert f"output row 1, column 1 = {conv_lab.written_out(found)}"[:60] in screen_text(app)
        await pilot.press("left", "left")
        assert screen.place == (0, 5), "at the beginning of a row it goes on at the end of the one before"
        await pilot.press("K")
        assert screen.place == (5, 5)


async def test_window_goes_by_itself_until_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "TICK_S", 0.01)
    app = make_app(tmp_path)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await open_bench(pilot)
        await pilot.press("space")
        await until(pilot, lambda: screen.place >= (1, 0))
        await pilot.press("space")
        stopped = screen.place
        await pilot.pause(0.1)
        assert screen.place == stopped


async def test_settings_are_changed_and_impossible_ones_say_why(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(100, 40)) as pilot:
        screen = await open_bench(pilot)
        await pilot.press("j", "plus", "plus", "plus", "plus")
        assert screen.setting.size == 7
        await pilot.press("j", "j", "j", "plus")
        assert screen.setting.dilation == 2
        assert "impossible: the kernel reaches over 2·(7 − 1) + 1 = 13 pixels" in screen_text(app)
        await pilot.press("right", "space", "space", "full_stop", "minus")
        assert screen.setting == ConvSetting(size=7)
        await pilot.press("g")
        for kind in (*KINDS[1:], KINDS[0]):
            await pilot.press("plus")
            assert screen.setting.kind == kind
            assert not screen.problem or screen.problem in screen_text(app)


async def test_a_key_without_effect_says_why(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(100, 40), notifications=True) as pilot:
        screen = await open_bench(pilot)
        await pilot.press("j", "j", "minus")
        await until(pilot, lambda: "stride s: 1 to 4 on this bench" in screen_text(app))
        screen.setting = ConvSetting(kind="pointwise", inputs=4, outputs=4)
        await pilot.press("j", "j", "plus")
        await until(pilot, lambda: "single pixel" in screen_text(app))
        assert screen.setting.dilation == 1
    assert conv_lab.without_effect(ConvSetting(kind="depthwise", inputs=4), "outputs")
    assert conv_lab.without_effect(ConvSetting(size=1), "kernel") and not conv_lab.without_effect(
        ConvSetting(), "kernel"
    )


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (120, 40)])
async def test_a_large_output_leaves_the_settings_in_sight(tmp_path: Path, size: tuple[int, int]) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=size) as pilot:
        screen = await open_bench(pilot)
        screen.setting = ConvSetting(kind="transposed", size=7, stride=4, dilation=4, inputs=2, outputs=2)
        screen._recompute()
        await pilot.pause()
        side = len(screen._output)
        assert side == 53 and "kernel size k" in screen_text(app)
        view = screen.query_one("#output", ImageView)
        assert screen.region.contains_region(view.region)
        await pilot.press("K")
        assert screen.place[0] == side - 1
        top, left = view._corner()
        assert top <= side - 1 < top + 2 * view.size.height and left <= screen.place[1] < left + view.size.width
        screen.setting = ConvSetting(kind="transposed", size=7, stride=4, dilation=4, padding=6)
        screen.image = IMAGES[1]
        screen._load()
        await pilot.pause()
        assert "not shown: 121×121 pixels, more than 64×64" in screen_text(app)


SETTINGS = [
    ConvSetting(),
    ConvSetting(size=4, stride=3, padding=5, dilation=2),
    ConvSetting("depthwise", inputs=3, padding=1, kernel="blur"),
    ConvSetting("grouped", groups=2, inputs=4, outputs=2, kernel="sharpen"),
    ConvSetting("pointwise", inputs=4, outputs=4, stride=2),
    ConvSetting("transposed", size=3, stride=2, padding=1, inputs=2, outputs=2),
    ConvSetting("transposed", size=2, stride=3, dilation=2),
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_whole_channel_is_its_values(setting: ConvSetting) -> None:
    image = [[float(value) for value in row] for row in digits.raw(3)]
    inputs = conv_lab.make_input(image, setting.resolved.inputs)
    for output in range(setting.resolved.outputs):
        made = conv_lab.convolve(setting, inputs, output)
        side = conv_lab.output_side(setting, 8)
        values = [
            [conv_lab.value(setting, inputs, output, row, column) for column in range(side)] for row in range(side)
        ]
        assert made == [pytest.approx(row) for row in values]


@pytest.mark.parametrize("size", range(2, 8))
def test_kernels_do_what_they_are_called(size: int) -> None:
    even = [[3.0] * 20 for _ in range(20)]
    sums = {name: conv_lab.value(ConvSetting(size=size, kernel=name), [even], 0, 2, 2) for name in conv_lab.KERNELS}
    assert sums == pytest.approx(
        {"vertical edges": 0, "horizontal edges": 0, "all edges": 0, "blur": 3, "sharpen": 3, "identity": 3}
    )


def test_numbers_are_written_as_in_a_book() -> None:
    assert (
        conv_lab.number_text(-0.0) == "0"
        and conv_lab.number_text(-0.004) == "0"
        and conv_lab.number_text(-7.5) == "−7.50"
    )
    assert (
        conv_lab.written_out([conv_lab.Product(0, 0, 0, 5.0, -1.0), conv_lab.Product(0, 0, 1, None, 2.0)])
        == "−5 = 5·(−1) + pad·2"
    )
    assert conv_lab.formula(ConvSetting(size=7, dilation=2), 8).endswith("= ⌊(8 + 2·0 − 2·(7 − 1) − 1)/1⌋ + 1 = −4")


async def test_depthwise_sees_one_channel_and_grouped_its_group(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(100, 40)) as pilot:
        await open_bench(pilot)
        await pilot.press("plus")
        assert "output channel 0 sees the input channel 0" in screen_text(app)
        await pilot.press("full_stop")
        assert "output channel 1 sees the input channel 1" in screen_text(app)
        await pilot.press("plus", "plus")
        await until(pilot, lambda: "sees the input channels 0, 1" in screen_text(app))


async def test_every_image_can_be_chosen(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(120, 45)) as pilot:
        screen = await open_bench(pilot)
        await pilot.press("G", "plus", "plus", "k")
        assert app.saved_state.digit == 2
        for name in (*IMAGES[1:], IMAGES[0]):
            await pilot.press("plus")
            assert screen.image == name
            assert screen.side == (8 if name == IMAGES[0] else 28)
        assert screen._image == [[float(value) for value in row] for row in digits.raw(2)]


async def test_question_about_the_bench(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=(100, 40)) as pilot:
        await open_bench(pilot)
        for _ in range(3):
            await pilot.press("p")
            assert isinstance(app.screen, QuestionScreen)
            await pilot.press("abcd"[app.screen._question.right], "enter")
        assert app.saved_state.right == app.saved_state.asked == 3


class ImageApp(App):
    def __init__(self, side: int, colours: str) -> None:
        super().__init__()
        self.side = side
        self.colours = colours

    def compose(self):
        yield ImageView(id="image")

    def on_mount(self) -> None:
        view = self.query_one(ImageView)
        view.styles.width, view.styles.height = "auto", "auto"
        image = [[float(row + column) for column in range(self.side)] for row in range(self.side)]
        view.show(image, {(0, 0)})


@pytest.mark.parametrize(
    ("side", "by_colour", "size"),
    [(28, True, (28, 14)), (32, True, (32, 16)), (8, True, (16, 8)), (28, False, (56, 28))],
)
async def test_images_take_exact_cells(
    monkeypatch: pytest.MonkeyPatch, side: int, by_colour: bool, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(ImageView, "by_colour", property(lambda view: by_colour))
    app = ImageApp(side, "")
    async with app.run_test(size=(100, 40)):
        view = app.query_one(ImageView)
        assert (view.size.width, view.size.height) == size
        first = "".join(segment.text for segment in view.render_line(0))
        assert ("▀" in first) == (by_colour and side > 12)
        if not by_colour:
            assert (first.startswith("[ ") and images.SHADES[-1] in first) or side == 28
            assert {
                character for y in range(28) for segment in view.render_line(y) for character in segment.text
            } <= set(images.SHADES + "[]")


@pytest.mark.parametrize("by_colour", [True, False])
async def test_an_enlarged_image_shows_its_values(monkeypatch: pytest.MonkeyPatch, by_colour: bool) -> None:
    monkeypatch.setattr(ImageView, "by_colour", property(lambda view: by_colour))
    app = ImageApp(8, "")
    async with app.run_test(size=(100, 40)) as pilot:
        view = app.query_one(ImageView)
        view.enlarge(2)
        await pilot.pause()
        assert (view.size.width, view.size.height) == (32, 16)
        lines = ["".join(segment.text for segment in view.render_line(y)) for y in range(16)]
        for row in range(8):
            assert lines[2 * row].split() == [str(row + column) for column in range(8)]
        assert lines[1].startswith("[  ]") and "[" not in "".join(lines[2:])
        view.enlarge(0)
        await pilot.pause()
        assert (view.size.width, view.size.height) == (16, 8)


def test_numbers_in_little_room() -> None:
    assert [short_number(number, 4) for number in (7.0, -64.0, 3.4375, -3.4375, -1020.0, -0.1)] == [
        "7",
        "−64",
        "3.44",
        "−3",
        "",
        "0",
    ]


@pytest.mark.parametrize(("size", "lines"), [((80, 24), 1), ((120, 40), 2), ((200, 60), 4)])
async def test_images_are_as_large_as_the_room_allows(tmp_path: Path, size: tuple[int, int], lines: int) -> None:
    app = make_app(tmp_path)
    async with app.run_test(size=size) as pilot:
        screen = await open_bench(pilot)
        views = [screen.query_one(f"#{name}", ImageView) for name in ("input", "output")]
        wanted = [(16 * lines, 8 * lines), (12 * lines, 6 * lines)]
        await until(pilot, lambda: [tuple(view.size) for view in views] == wanted)
        assert screen.query_one("#bench-words").region.bottom <= size[1] and "impossible" not in screen_text(app)


def test_levels_of_an_even_image() -> None:
    assert images.levels([[5.0, 5.0]]) == [[0.0, 0.0]]
    assert images.levels([[0.0, 4.0], [2.0, 1.0]]) == [[0.0, 1.0], [0.5, 0.25]]
    assert images.shade(1.0) == "█" and images.shade(0.0) == " "
    assert images.grey(2.0) == "#ffffff" and images.grey(0.5) == "#808080"
