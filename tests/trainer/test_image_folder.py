"""One's own images: layouts, formats and modes, unreadable files, and what is said of a folder that is no data set."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.data import dataset_info, datasets, folder_scan, image_folder
from cnn_explorer.trainer.data.folder_scan import SUFFIXES, list_folder
from cnn_explorer.trainer.data.image_folder import read_image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

REAL = os.environ.get("CNN_EXPLORER_DATA")


def paint(path: Path, colour: Sequence[int] = (200, 30, 40), size: tuple[int, int] = (12, 9), **options: Any) -> None:
    """One image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, tuple(colour)).save(path, **options)


def paint_folder(root: Path, numbers: dict[str, int], suffix: str = ".png") -> None:
    """``numbers`` images in each folder; each has a colour of its own."""
    for row, (folder, number) in enumerate(numbers.items()):
        for image in range(number):
            paint(root / folder / f"{image:03d}{suffix}", (row * 40 % 256, image, 100))


def load(root: Path, cache: Path, **options: object) -> datasets.DataSet:
    """The folder, at 8 pixels unless something else is asked."""
    return datasets.load(f"folder:{root}", cache / "data", cache, **{"image_size": 8, **options})


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """train/ and test/ of cats and dogs."""
    root = tmp_path / "animals"
    paint_folder(root, {"train/cat": 12, "train/dog": 8, "test/cat": 3, "test/dog": 2})
    return root


# -- layouts -----------------------------------------------------------------------------------------------------


def test_train_and_test_parts(animals: Path, tmp_path: Path) -> None:
    data = load(animals, tmp_path / "cache")
    info = dataset_info.describe(f"folder:{animals}", tmp_path, 8)
    assert data.classes == info.classes == ("cat", "dog")
    assert (info.train, info.test, info.validation, info.size, info.channels) == (20, 5, 0, 8, 3)
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 5)
    assert data.test.labels.tolist() == [0, 0, 0, 1, 1]
    assert data.test.images.shape == (5, 3, 8, 8) and data.test.images.dtype == torch.uint8
    assert data.test.images[:, :, 4, 4].tolist() == [
        [80, 0, 100],
        [80, 1, 100],
        [80, 2, 100],
        [120, 0, 100],
        [120, 1, 100],
    ]
    assert data.name == f"folder:{animals}" and data.skipped == ()
    assert data.mean == pytest.approx(tuple((data.train.source / 255).double().mean((0, 2, 3)).tolist()), abs=1e-6)


def test_relative_and_home_paths_get_an_absolute_name(
    animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(animals.parent)
    monkeypatch.setenv("HOME", str(animals.parent))
    for text in ("folder:animals", "folder:./animals/", "folder:~/animals"):
        assert dataset_info.describe(text, tmp_path).name == f"folder:{animals}"
        assert datasets.load(text, tmp_path, tmp_path / "cache").name == f"folder:{animals}"
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize("folder", ["val", "valid", "validation", "Val"])
def test_a_validation_part_of_its_own(folder: str, animals: Path, tmp_path: Path) -> None:
    paint_folder(animals, {f"{folder}/cat": 4, f"{folder}/dog": 3})
    data = load(animals, tmp_path / "cache")
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 7, 5)
    assert dataset_info.describe(f"folder:{animals}", tmp_path).validation == 7
    said: list[str] = []
    again = load(animals, tmp_path / "cache", validation=0.5, log=said.append)
    assert len(again.validation) == 7 and any("its own validation split" in line for line in said)


def test_train_and_val_alone_make_val_the_test_part(animals: Path, tmp_path: Path) -> None:
    shutil.move(animals / "test", animals / "val")
    said: list[str] = []
    data = load(animals, tmp_path / "cache", log=said.append)
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 5)
    assert any("val is taken for it" in line for line in said)


def test_class_folders_alone_are_split_once_and_for_all(tmp_path: Path) -> None:
    root = tmp_path / "birds"
    paint_folder(root, {"owl": 20, "jay": 10, "wren": 2})
    one, two = (load(root, tmp_path / "cache", seed=seed) for seed in (1, 2))
    info = dataset_info.describe(f"folder:{root}", tmp_path)
    assert one.classes == ("jay", "owl", "wren")
    assert torch.bincount(one.test.labels).tolist() == [2, 4, 1]
    assert (info.train, info.test) == (25, 7) == (len(one.train) + len(one.validation), len(one.test))
    assert torch.equal(one.test.images, two.test.images)
    assert not torch.equal(one.train.images, two.train.images)


def test_an_image_that_is_added_moves_hardly_any_other(tmp_path: Path) -> None:
    root = tmp_path / "birds"
    paint_folder(root, {"owl": 50, "jay": 50})
    before = {item.path for item in list_folder(str(root)).test}
    paint(root / "owl" / "new.png")
    after = {item.path for item in list_folder(str(root)).test}
    assert len(before ^ after) <= 2


def test_a_lone_train_folder_is_split(tmp_path: Path) -> None:
    paint_folder(tmp_path / "set", {"train/a": 10, "train/b": 10})
    found = list_folder(str(tmp_path / "set"))
    assert found.classes == ("a", "b") and (len(found.train), len(found.test)) == (16, 4)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    paint_folder(tmp_path / "set", {"train/steam": 3, "train/electric": 3, "bus": 5, "tram": 5})
    assert list_folder(str(tmp_path / "set")).classes == ("bus", "train", "tram")


def test_nested_hidden_and_strange_files(animals: Path, tmp_path: Path) -> None:
    paint(animals / "train/cat/siamese/deep/er/000.jpg")
    paint(animals / "train/cat/without_suffix", format="PNG")
    paint(animals / "train/cat/.hidden.png")
    paint(animals / "train/.ipynb_checkpoints/000.png")
    paint(animals / "train/__MACOSX/000.png")
    (animals / "train/cat/labels.txt").write_text("cat")
    (animals / "train/empty").mkdir()
    (animals / "README.md").write_text("animals")
    (animals / "extra").mkdir()
    said: list[str] = []
    data = load(animals, tmp_path / "cache", log=said.append, validation=0)
    assert data.classes == ("cat", "dog") and len(data.train) == 22 and data.skipped == ()
    text = "\n".join(said)
    assert "train/empty holds no image" in text
    assert "one file is no image by name" in text and "train/cat/labels.txt" in text
    assert "extra is none of train, validation and test" in text


def test_links_are_followed_but_not_in_circles(animals: Path, tmp_path: Path) -> None:
    (animals / "train/cat/again").symlink_to(animals / "train")
    (animals / "train/cat/more").symlink_to(animals / "elsewhere")
    shutil.copytree(animals / "train/dog", animals / "elsewhere/inner")
    (animals / "elsewhere/inner/back").symlink_to(animals / "elsewhere")
    (animals / "train/fox").symlink_to(animals / "train/dog")
    (animals / "train/cat/nowhere.png").symlink_to(tmp_path / "missing.png")
    (animals / "train/cat/self.png").symlink_to(animals / "train/cat/self.png")
    data = load(animals, tmp_path / "cache", validation=0)
    # cat: its 12, and the 8 behind the link, once. A link back up, where all classes lie, gives it nothing.
    assert torch.bincount(data.train.labels).tolist() == [12 + 8, 8, 8]
    assert len(data.skipped) == 2 and all(
        "nowhere.png (No such file" in line or "self.png (" in line for line in data.skipped
    )


@pytest.mark.parametrize("place", [".", "train", "train/cat"])
def test_a_link_that_leads_to_itself_is_no_folder(animals: Path, tmp_path: Path, place: str) -> None:
    root = animals if place == "." else animals / "train"
    (animals / place / "self").symlink_to("self")
    data = load(root, tmp_path / "cache", validation=0)
    assert data.classes == ("cat", "dog") and len(data.train) + len(data.test) >= 20


def test_a_folder_that_is_far_too_large_is_refused(animals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_scan, "MOST_ENTRIES", 24)
    with pytest.raises(UsageError, match="more than 24 files"):
        list_folder(str(animals))
    monkeypatch.setattr(folder_scan, "MOST_ENTRIES", 25)
    assert len(list_folder(str(animals)).train) == 20


def test_a_pipe_does_not_hold_the_reader(animals: Path, tmp_path: Path) -> None:
    os.mkfifo(animals / "train/cat/pipe.png")
    assert len(load(animals, tmp_path / "cache", validation=0).train) == 20


@pytest.mark.skipif(sys.platform == "darwin", reason="the file system takes UTF-8 names only")
def test_names_that_are_no_text(animals: Path, tmp_path: Path) -> None:
    strange = os.fsencode(animals) + b"/train/\xff\x1b[31m"
    os.mkdir(strange)
    with open(strange + b"/bad\xfe.png", "wb") as file:
        file.write(b"no image")
    shutil.copy(animals / "train/cat/000.png", os.fsdecode(strange + b"/good.png"))
    data = load(animals, tmp_path / "cache")
    assert data.classes == ("cat", "dog", "\\udcff\\x1b[31m")
    assert data.skipped == ("train/\\udcff\\x1b[31m/bad\\udcfe.png (not an image that Pillow knows)",)
    json.dumps(data.classes).encode("utf-8")
    assert load(animals, tmp_path / "cache").skipped == data.skipped


# -- what is wrong with a folder ---------------------------------------------------------------------------------


def _missing(root: Path) -> None:
    shutil.rmtree(root)


def _file(root: Path) -> None:
    shutil.rmtree(root)
    root.write_text("")


def _no_image(root: Path) -> None:
    shutil.rmtree(root / "train")
    shutil.rmtree(root / "test")


def _loose(root: Path) -> None:
    _no_image(root)
    paint(root / "cat1.jpg")


def _one_class(root: Path) -> None:
    shutil.rmtree(root / "train/dog")


def _strange_class(root: Path) -> None:
    paint(root / "test/eel/0.png")


def _unlabelled_train(root: Path) -> None:
    shutil.rmtree(root / "train")
    paint(root / "train/cat.0.jpg")


def _unlabelled_test(root: Path) -> None:
    shutil.rmtree(root / "test")
    paint(root / "test/0.jpg")


def _no_train(root: Path) -> None:
    shutil.move(root / "train", root / "val")


def _too_small(root: Path) -> None:
    shutil.rmtree(root / "test")
    paint(root / "train/eel/0.png")


HARMS = [
    (_missing, "does not exist"),
    (_file, "is a file, not a folder"),
    (_no_image, "holds no image"),
    (_loose, "holds images but no class folders"),
    (_one_class, r"one class only \(cat\)"),
    (_strange_class, "classes in test that are not in train: eel"),
    (_unlabelled_train, "no class folders in train"),
    (_unlabelled_test, "no class folders with images in test"),
    (_no_train, "has test and val but no train"),
    (_too_small, "one image of class eel, which cannot be split"),
]


@pytest.mark.parametrize(("harm", "message"), HARMS, ids=[harm.__name__[1:] for harm, _ in HARMS])
def test_what_is_wrong_is_told_in_one_line(
    harm: Callable[[Path], None], message: str, animals: Path, tmp_path: Path
) -> None:
    harm(animals)
    for ask in (
        lambda: dataset_info.describe(f"folder:{animals}", tmp_path),
        lambda: load(animals, tmp_path / "cache"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            ask()
        assert caught.value.field == "dataset" and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["folder:", "folder: ", "folder:\0", "folder:~nobody_here/x"])
def test_paths_that_are_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dataset"):
        dataset_info.describe(name, tmp_path)


def test_a_class_missing_in_the_test_part_is_fine(animals: Path, tmp_path: Path) -> None:
    shutil.rmtree(animals / "test/dog")
    assert load(animals, tmp_path / "cache").test.labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("options", "field"),
    [({"image_size": 0}, "image-size"), ({"image_size": 9999}, "image-size"), ({"channels": 2}, "channels")],
)
def test_sizes_and_channels_that_cannot_be(options: dict, field: str, animals: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(animals, tmp_path / "cache", **options)
    assert caught.value.field == field


# -- unreadable files --------------------------------------------------------------------------------------------


def test_unreadable_files_are_named_and_skipped(animals: Path, tmp_path: Path) -> None:
    (animals / "train/cat/empty.png").touch()
    (animals / "train/cat/text.jpg").write_text("not an image")
    paint(animals / "test/dog/torn.jpg", size=(200, 200))
    whole = (animals / "test/dog/torn.jpg").read_bytes()
    (animals / "test/dog/torn.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    (animals / "test/dog/drawing.svg").write_text("<svg/>")
    (animals / "test/dog/script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for _ in ("decoded", "from the copy"):
        said: list[str] = []
        data = load(animals, tmp_path / "cache", log=said.append, validation=0)
        assert (len(data.train), len(data.test)) == (20, 5)
        assert [line.split(" (")[0] for line in data.skipped] == [
            "train/cat/empty.png",
            "train/cat/text.jpg",
            "test/dog/drawing.svg",
            "test/dog/script.png",
            "test/dog/torn.jpg",
        ]
        assert data.skipped[-1].startswith("test/dog/torn.jpg (image file is truncated")
        assert "5 files could not be read and were skipped: train/cat/empty.png" in said[-1]


def test_fewer_of_large_images_are_decoded_at_a_time(
    animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_batch, lengths = image_folder._read_batch, []

    def noted(root: Path, items: Sequence[Any], size: int, channels: int) -> Any:
        lengths.append(len(items))
        return read_batch(root, items, size, channels)

    monkeypatch.setattr(image_folder, "_read_batch", noted)
    monkeypatch.setattr(image_folder, "BATCH_BYTES", 4 * 3 * 8 * 8)
    load(animals, tmp_path / "cache")
    assert (max(lengths), sum(lengths)) == (4, 25)


def test_a_class_without_one_readable_image(animals: Path, tmp_path: Path) -> None:
    for file in (animals / "train/dog").iterdir():
        file.write_text("garbage")
    with pytest.raises(UsageError, match=r"no readable image of class dog to train on; for example train/dog/000.png"):
        load(animals, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_test_part_without_one_readable_image(animals: Path, tmp_path: Path) -> None:
    for file in (animals / "test").glob("*/*"):
        file.write_text("garbage")
    with pytest.raises(UsageError, match="no readable image to test on"):
        load(animals, tmp_path / "cache")


# -- how an image is read ---------------------------------------------------------------------------------------


def one(path: Path, size: int = 4, channels: int = 3) -> list[int]:
    """The channels of the middle pixel."""
    return read_image(path, size, channels)[:, size // 2, size // 2].tolist()


def test_modes_and_formats(tmp_path: Path) -> None:
    red = Image.new("RGB", (9, 9), (255, 0, 0))
    cases: dict[str, tuple[Image.Image, list[int]]] = {
        "rgb.png": (red, [255, 0, 0]),
        "grey.png": (Image.new("L", (9, 9), 77), [77, 77, 77]),
        "bit.png": (Image.new("1", (9, 9), 1), [255, 255, 255]),
        "palette.gif": (red.convert("P"), [255, 0, 0]),
        "palette.png": (red.quantize(8), [255, 0, 0]),
        "glass.png": (Image.new("RGBA", (9, 9), (255, 0, 0, 0)), [255, 255, 255]),
        "half.png": (Image.new("RGBA", (9, 9), (255, 0, 0, 51)), [255, 204, 204]),
        "half_grey.png": (Image.new("LA", (9, 9), (0, 51)), [204, 204, 204]),
        "cmyk.tif": (Image.new("CMYK", (9, 9), (0, 255, 255, 0)), [255, 0, 0]),
        "lab.tif": (Image.new("LAB", (9, 9), (0, 128, 128)), [0, 0, 0]),
        "word.png": (Image.fromarray(np.full((9, 9), 0x8080, np.uint16)), [128, 128, 128]),
        "big_endian.tif": (Image.fromarray(np.full((9, 9), 0xFFFF, ">u2")), [255, 255, 255]),
        "long.tif": (Image.fromarray(np.full((9, 9), 100, np.int32)), [100, 100, 100]),
        "long_word.tif": (Image.fromarray(np.full((9, 9), 32896, np.int32)), [128, 128, 128]),
        "float.tif": (Image.fromarray(np.full((9, 9), 0.2, np.float32)), [51, 51, 51]),
        "float_255.tif": (Image.fromarray(np.full((9, 9), 51.0, np.float32)), [51, 51, 51]),
        "nan.tif": (Image.fromarray(np.full((9, 9), np.nan, np.float32)), [0, 0, 0]),
        "negative.tif": (Image.fromarray(np.full((9, 9), -3.0, np.float32)), [0, 0, 0]),
        "lossless.webp": (red, [255, 0, 0]),
    }
    for name, (image, expected) in cases.items():
        image.save(tmp_path / name, lossless=True)
        # LAB goes through a colour conversion that rounds.
        assert np.abs(np.array(one(tmp_path / name)) - expected).max() <= (1 if name == "lab.tif" else 0), name
    red.save(tmp_path / "clear.png", transparency=(255, 0, 0))
    assert one(tmp_path / "clear.png") == [255, 255, 255]
    clear = red.quantize(8)
    clear.save(tmp_path / "clear.gif", transparency=clear.getpixel((0, 0)))
    assert one(tmp_path / "clear.gif") == [255, 255, 255]
    red.save(tmp_path / "film.gif", save_all=True, append_images=[Image.new("RGB", (9, 9), "blue")])
    assert one(tmp_path / "film.gif") == [255, 0, 0]
    Image.new("CMYK", (9, 9), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=100)
    assert np.abs(np.array(one(tmp_path / "cmyk.jpg")) - [255, 0, 0]).max() <= 4


def test_grey_on_request(animals: Path, tmp_path: Path) -> None:
    Image.new("RGBA", (9, 9), (255, 0, 0, 51)).save(tmp_path / "half.png")
    assert one(tmp_path / "half.png", channels=1) == [219]
    data = load(animals, tmp_path / "cache", channels=1)
    colour = load(animals, tmp_path / "cache")
    assert data.channels == 1 and data.test.images.shape == (5, 1, 8, 8) and len(data.mean) == 1
    assert colour.channels == 3 and dataset_info.describe(f"folder:{animals}", tmp_path, channels=1).channels == 1


def test_orientation_of_a_camera(tmp_path: Path) -> None:
    """EXIF orientation 6: the camera was turned, so the left of the stored image is the top of the scene."""
    stored = Image.new("RGB", (8, 8), "black")
    stored.paste("white", (0, 0, 4, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(tmp_path / "turned.png", exif=exif)
    read = read_image(tmp_path / "turned.png", 8, 1)[0]
    assert read[:4].min() == 255 and read[4:].max() == 0


def test_the_centre_is_what_scaling_and_cutting_gives(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (16, 64, 3), dtype=np.uint8)
    wide, tall = Image.fromarray(pixels), Image.fromarray(pixels.transpose(1, 0, 2))
    wide.save(tmp_path / "wide.png")
    tall.save(tmp_path / "tall.png")
    expected = np.asarray(wide.resize((32, 8), Image.Resampling.BILINEAR).crop((12, 0, 20, 8)))
    assert np.array_equal(read_image(tmp_path / "wide.png", 8, 3), expected.transpose(2, 0, 1))
    assert np.array_equal(read_image(tmp_path / "tall.png", 8, 3), expected.transpose(2, 1, 0))


def test_downscaling_is_antialiased_and_upscaling_interpolates(tmp_path: Path) -> None:
    board = (np.indices((96, 96)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "board.png")
    small = read_image(tmp_path / "board.png", 8, 1).astype(int)
    assert np.abs(small - 127.5).max() <= 8, "an image of fine checks is grey from afar"
    Image.fromarray(np.array([[0, 255], [0, 255]], np.uint8)).save(tmp_path / "two.png")
    row = read_image(tmp_path / "two.png", 8, 1)[0, 4].astype(int)
    assert (np.diff(row) >= 0).all() and row[0] == 0 and row[-1] == 255 and len(set(row)) > 3


def test_an_image_of_the_right_size_is_not_touched(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", 16, 3), pixels.transpose(2, 0, 1))


def test_a_large_photograph_decoded_small_is_close_to_decoding_it_whole(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 1600, dtype=np.float32)
    pixels = np.stack([np.tile(ramp, (1200, 1)), np.tile(ramp[:1200, None], (1, 1600)), np.full((1200, 1600), 90)], -1)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photo.jpg", quality=95)
    Image.open(tmp_path / "photo.jpg").save(tmp_path / "photo.png")
    jpeg, whole = (read_image(tmp_path / name, 32, 3).astype(int) for name in ("photo.jpg", "photo.png"))
    assert np.abs(jpeg - whole).max() <= 4


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"]),
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "TGA", "JPEG2000", "ICO"]),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    size=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
    orientation=st.integers(0, 12),
    harm=st.one_of(st.none(), st.tuples(st.integers(0, 6000), st.binary(max_size=40))),
)
def test_any_file_gives_an_image_or_a_reason(
    mode: str, kind: str, width: int, height: int, size: int, channels: int, seed: int, orientation: int, harm: tuple | None,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Whatever is in the file, the reader of a batch gives an image of the asked shape or the name with a reason."""
    from cnn_explorer.trainer.data.folder_scan import Item
    from cnn_explorer.trainer.data.image_folder import _read_batch

    values = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    image = Image.fromarray(values).convert("L" if mode == "I;16" else "RGB")
    image = image if mode == "LAB" else image.convert(mode)
    stream, exif = BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    try:
        image.save(stream, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {}))
    except (OSError, ValueError, KeyError):
        Image.fromarray(values[..., :3]).save(stream, "PNG")  # a format that cannot hold this mode
    data = stream.getvalue()
    if harm is not None:
        at, garbage = harm[0] % (len(data) + 1), harm[1]
        data = data[:at] + garbage + (data[at + len(garbage) :] if seed % 2 else b"")
    path = tmp_path / "file"
    path.write_bytes(data)
    images, labels, failed, _ = _read_batch(tmp_path, [Item("file", 7, 0, 0)], size, channels)
    assert images.shape == (len(labels), channels, size, size) and images.dtype == np.uint8
    assert len(labels) + len(failed) == 1
    assert all(line.startswith("file (") and line.isprintable() for line in failed)
    if pillow_reads(path):
        assert failed == []


def pillow_reads(path: Path) -> bool:
    """Whether Pillow decodes the file by itself."""
    try:
        with Image.open(path) as file:
            file.load()
    except Exception:
        return False
    return True


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=300),
    head=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"P6 "]),
)
def test_garbage_never_raises(data: bytes, head: bytes, tmp_path: Path) -> None:
    from cnn_explorer.trainer.data.folder_scan import Item
    from cnn_explorer.trainer.data.image_folder import _read_batch

    (tmp_path / "file.jpg").write_bytes(head + data)
    images, labels, failed, _ = _read_batch(tmp_path, [Item("file.jpg", 0, 0, 0)], 8, 3)
    assert len(images) == len(labels) == 1 - len(failed)


def test_every_common_suffix_is_known() -> None:
    for suffix in (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"):
        assert suffix in SUFFIXES and suffix in Image.registered_extensions()


# -- the decoded copy --------------------------------------------------------------------------------------------


def test_a_later_run_opens_no_image_and_imports_no_pillow(animals: Path, tmp_path: Path) -> None:
    total = int(load(animals, tmp_path / "cache").train.source.long().sum())
    script = """
        import json, sys
        opened = []
        sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
        from pathlib import Path
        from cnn_explorer.trainer.data import datasets
        data = datasets.load("folder:" + sys.argv[1], Path(sys.argv[2]), Path(sys.argv[2]), image_size=8)
        print(json.dumps([int(data.train.source.long().sum()), [m for m in ("torchvision", "PIL") if m in sys.modules],
                          [path for path in opened if path.startswith(sys.argv[1])]]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(animals), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [total, [], []]


@pytest.mark.parametrize("change", ["add", "remove", "rename", "rewrite", "move"])
def test_the_copy_follows_every_change_of_the_folder(change: str, animals: Path, tmp_path: Path) -> None:
    cache, decoded = tmp_path / "cache", "decoding 2"
    load(animals, cache)
    said: list[str] = []
    load(animals, cache, log=said.append)
    assert said == []
    first = animals / "train/cat/000.png"
    if change == "add":
        paint(animals / "train/cat/new.png")
    elif change == "remove":
        first.unlink()
    elif change == "rename":
        first.rename(first.with_name("zzz.png"))
    elif change == "rewrite":
        paint(first, (1, 2, 3))
    else:
        first.rename(animals / "test/cat/moved.png")
    data = load(animals, cache, log=said.append, validation=0)
    assert decoded in said[0]
    assert len(data.train) == 20 + {"add": 1, "remove": -1, "move": -1}.get(change, 0)
    if change == "rewrite":
        assert data.train.images[0, :, 4, 4].tolist() == [1, 2, 3]
    assert len(list(cache.iterdir())) == 1, "the copy of what is gone is gone as well"


def test_each_size_has_its_own_copy(animals: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for _ in range(2):
        assert [load(animals, cache, image_size=size).image_size for size in (8, 16, 32)] == [8, 16, 32]
    assert datasets.load(f"folder:{animals}", cache, cache).image_size == 32, "the default"
    assert len(list(cache.iterdir())) == 3


def test_progress_is_told(animals: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    load(animals, tmp_path / "cache", progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (25, 25) and [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_an_interrupted_decoding_leaves_nothing(animals: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(animals, tmp_path / "cache", progress=interrupt)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.skipif(
    not REAL or not (Path(REAL) / "cifar10-jpeg").is_dir(), reason="CNN_EXPLORER_DATA has no cifar10-jpeg"
)
def test_cifar_as_a_folder_of_jpegs(tmp_path: Path) -> None:
    """500 training and 100 test images of each class, linked: means near those published for all 50,000."""
    source, root = Path(str(REAL)) / "cifar10-jpeg", tmp_path / "cifar"
    for part, number in (("train", 500), ("test", 100)):
        for folder in sorted((source / part).iterdir()):
            (root / part / folder.name).mkdir(parents=True)
            for file in sorted(folder.iterdir())[:number]:
                (root / part / folder.name / file.name).symlink_to(file)
    data = load(root, tmp_path / "cache", image_size=32)
    assert data.classes == dataset_info.NAMED["cifar10"].classes and data.skipped == ()
    assert (len(data.train), len(data.validation), len(data.test)) == (4500, 500, 1000)
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=0.01)
    assert data.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=0.01)
    assert torch.bincount(data.train.labels).tolist() == [450] * 10
