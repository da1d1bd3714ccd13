"""What is told of a folder of images before anything is trained, and what decoding leaves behind."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cnn_explorer.trainer.data import datasets, folder_scan, image_file, image_folder
from PIL import Image
from support.patience import PATIENCE_S
from support.training import call

QUICK = ("--threads", "1", "--no-calibrate", "--device", "cpu")


def grey16(path: Path, low: int, high: int) -> None:
    """A 16-bit image whose values rise from ``low`` to ``high``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.linspace(low, high, 256).reshape(16, 16).astype(np.uint16)).save(path)


def tiff_of_16_bit_colours(values: np.ndarray) -> bytes:
    """An uncompressed TIFF of 16 x 16 pixels; Pillow writes none of 16 bits a colour."""
    tags = {256: (3, 16), 257: (3, 16), 258: (3, 16), 259: (3, 1), 262: (3, 2), 277: (3, 3), 278: (3, 16)}
    body = np.stack([values] * 3, -1).astype("<u2").tobytes()
    start = 8 + 2 + 12 * (len(tags) + 2) + 4
    entries = {tag: (kind, 1, value) for tag, (kind, value) in tags.items()}
    entries |= {258: (3, 3, start), 273: (4, 1, start + 6), 279: (4, 1, len(body))}
    listed = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    return (
        b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + listed + bytes(4) + struct.pack("<3H", 16, 16, 16) + body
    )


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """12 cats and 3 dogs to train on, 2 of each to test on."""
    for part, label, number in (("train", "cat", 12), ("train", "dog", 3), ("test", "cat", 2), ("test", "dog", 2)):
        for image in range(number):
            path = tmp_path / "pets" / part / label / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12, 9), (image, 50, 99)).save(path)
    return tmp_path / "pets"


def load(root: Path, cache: Path, **options: Any) -> tuple[datasets.DataSet, list[str]]:
    said: list[str] = []
    return datasets.load(f"folder:{root}", cache, cache, image_size=8, log=said.append, **options), said


def test_classes_and_their_counts_stand_in_the_plan_and_before_a_run(
    home: Path, pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "2 classes, with images to train on: cat (11), dog (3)"  # a cat is held out for validation
    words = ("train", "tiny", "--dataset", f"folder:{pets}", "--epochs", "1", "--batch-size", "2", *QUICK)
    assert call(monkeypatch, *words, "--validation", "1", "--plan") == 0
    assert line in capsys.readouterr().out.splitlines()
    assert call(monkeypatch, *words, "--validation", "1") == 0
    assert line in capsys.readouterr().err.splitlines()


def test_classes_that_differ_by_capitals_alone_are_told_in_the_plan_and_before_a_run(
    home: Path, pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("train", "test"):
        (pets / part / "dog").rename(pets / part / "Cat")
    line = "the classes Cat and cat differ by capital letters alone and are classes of their own"
    words = ("train", "tiny", "--dataset", f"folder:{pets}", "--epochs", "1", "--batch-size", "2", *QUICK)
    for more in (("--plan",), ()):
        assert call(monkeypatch, *words, "--validation", "1", *more) == 0
        told = capsys.readouterr()
        assert line in (told.out + told.err).splitlines()


def test_of_many_classes_the_first_are_named_in_the_order_of_numbers(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in range(1, 23):
        for image in range(3):
            path = tmp_path / "many" / str(label) / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 9), (label, image, 99)).save(path)
    words = ("train", "tiny", "--dataset", f"folder:{tmp_path / 'many'}", "--validation", "0", "--batch-size", "4")
    assert call(monkeypatch, *words, *QUICK, "--plan") == 0
    told = (
        "22 classes, with images to train on: " + ", ".join(f"{label} (2)" for label in range(1, 21)) + ", and 2 more"
    )
    assert told in capsys.readouterr().out.splitlines()


def test_the_json_of_a_plan_has_all_counts_and_all_files_that_cannot_be_read(
    home: Path, pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(7):
        (pets / f"train/dog/broken{number}.jpg").write_text("no image")
    words = ("train", "tiny", "--dataset", f"folder:{pets}", "--validation", "0", "--batch-size", "2", *QUICK)
    assert call(monkeypatch, *words, "--plan", "--json") == 0
    shown = capsys.readouterr()
    plan = json.loads(shown.out)
    assert plan["images_per_class"] == {"train": [12, 3], "validation": [0, 0], "test": [2, 2]}
    assert plan["skipped"] == [f"train/dog/broken{n}.jpg (not an image that Pillow knows)" for n in range(7)]
    assert "7 files could not be read and were skipped" in shown.err and "--plan --json` names them all" in shown.err


def test_each_reason_is_told_before_one_is_told_again(pets: Path, tmp_path: Path) -> None:
    for number in range(5):
        (pets / f"train/cat/broken ({number}).jpg").write_text("no image")
    Image.effect_noise((64, 64), 99).save(pets / "train/dog/whole.jpg")
    for number in range(5):
        cut = (pets / "train/dog/whole.jpg").read_bytes()[: -300 - number]
        (pets / f"train/dog/cut{number}.jpg").write_bytes(cut)
    (pets / "train/dog/photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    _, remarks = load(pets, tmp_path / "cache")
    told = next(line for line in remarks if "could not be read" in line)
    assert told.startswith("11 files could not be read and were skipped: train/cat/broken (0).jpg (not an image")
    assert "train/dog/cut0.jpg (" in told and "train/dog/photo.heic (HEIC needs the package" in told
    assert told.count("broken") == told.count("cut") == 1 and told.endswith(
        "; … (`train --plan --json` names them all)"
    )


def test_a_plan_opens_no_image_of_a_set_that_is_very_large(
    home: Path, pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (pets / "train/dog/broken.jpg").write_text("no image")
    words = ("train", "tiny", "--dataset", f"folder:{pets}", "--epochs", "1", "--batch-size", "2", *QUICK)
    monkeypatch.setattr("cnn_explorer.trainer.planning.asked.PLAN_BYTES", 20 * 3 * 32**2 - 1)
    with monkeypatch.context() as patch:
        patch.setattr(image_folder, "read_with_levels", None)
        assert call(monkeypatch, *words, "--validation", "0", "--plan", "--json") == 0
    shown = capsys.readouterr()
    plan = json.loads(shown.out)
    assert plan["images_per_class"]["train"] == [12, 4] and plan["skipped"] is None
    assert "20 images are not decoded for a plan: their numbers are those of the files" in shown.err
    assert not list((home / "cache").glob("**/*"))
    assert call(monkeypatch, *words, "--validation", "0") == 0, "a training opens them"
    capsys.readouterr()
    assert call(monkeypatch, *words, "--validation", "0", "--plan", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["skipped"]) == 1, "then a plan takes the copy"


def test_a_plan_does_not_read_very_large_files(
    home: Path, pets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train", "tiny", "--dataset", f"folder:{pets}", "--epochs", "1", "--batch-size", "2", *QUICK)
    monkeypatch.setattr(image_folder, "PLAN_FILE_BYTES", sum(path.stat().st_size for path in pets.glob("*/*/*")) - 1)
    monkeypatch.setattr(image_folder, "read_with_levels", None)
    assert call(monkeypatch, *words, "--validation", "0", "--plan") == 0
    assert "images are not decoded for a plan" in capsys.readouterr().err


def test_images_of_16_bits_with_few_levels_are_told_of(tmp_path: Path) -> None:
    for label in ("ill", "well"):
        for image in range(6):
            grey16(tmp_path / "xray" / label / f"{image}.png", 940, 1060)
    grey16(tmp_path / "xray/ill/wide.png", 0, 65535)
    Image.new("L", (9, 9), 7).save(tmp_path / "xray/ill/flat.png")
    for _ in ("decoded", "from the copy"):
        _, said = load(tmp_path / "xray", tmp_path / "cache")
        told = "12 of 14 images have more than 8 bits a value and keep fewer than 32 of 256 grey levels; "
        assert told + "stretch such images over the whole range first" in said


@pytest.mark.parametrize("kind", ["floating point", "0 to 1", "colours", "a white mark"])
def test_images_of_more_than_8_bits_with_few_levels_are_told_of_in_every_mode(tmp_path: Path, kind: str) -> None:
    values = np.linspace(940, 1060, 256).reshape(16, 16)
    if kind == "a white mark":
        values[0] = 65535
    scale = 65535 if kind == "0 to 1" else 1
    for label in ("ill", "well"):
        for image in range(2):
            path = tmp_path / "xray" / label / f"{image}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "colours":
                path.write_bytes(tiff_of_16_bit_colours(values))
            else:
                dtype = np.uint16 if kind == "a white mark" else np.float32
                Image.fromarray((values / scale).astype(dtype)).save(path)
    _, said = load(tmp_path / "xray", tmp_path / "cache")
    assert any("4 of 4 images have more than 8 bits" in line for line in said), said


def test_a_mask_of_16_bits_loses_nothing_and_is_not_told_of(tmp_path: Path) -> None:
    for label in ("ill", "well"):
        for image in range(2):
            path = tmp_path / "masks" / label / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((np.eye(16) * 65535).astype(np.uint16)).save(path)
    _, said = load(tmp_path / "masks", tmp_path / "cache")
    assert not any("grey levels" in line for line in said)


def test_a_photo_of_a_telephone_names_the_package_that_reads_it(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("photo.HEIC", "photo.hif", "renamed.jpg", "without_suffix")
    for name in names:
        (pets / "train/cat" / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    monkeypatch.setattr(image_file, "PLUGIN", "a_plugin_nobody_has")
    data, _ = load(pets, tmp_path / "cache")
    told = "HEIC needs the package a-plugin-nobody-has: pip install a-plugin-nobody-has"
    assert data.skipped == tuple(f"train/cat/{name} ({told})" for name in names)


def test_the_plugin_is_taken_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "heif_for_tests.py").write_text(
        "registered = []\ndef register_heif_opener():\n    registered.append(1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(image_file, "PLUGIN", "heif_for_tests")
    image_file.formats.cache_clear()
    image_file.formats()
    image_file.formats.cache_clear()
    assert sys.modules["heif_for_tests"].registered == [1]


def test_what_a_killed_decoder_left_is_removed_by_the_next_that_looks_and_not_while_it_lives(
    pets: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    script = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from cnn_explorer.trainer.data.decoded_cache import Writer
    with Writer(Path(sys.argv[1]) / "another.images", print) as writer:
        writer.add("train.images", np.zeros((100, 3, 8, 8), np.uint8))
        print("ready", flush=True)
        time.sleep(3600)
    """
    words = [sys.executable, "-c", textwrap.dedent(script), str(cache)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as decoder:
        assert decoder.stdout is not None and decoder.stdout.readline() == "ready\n"
        (left,) = cache.glob(".*.tmp")
        long_ago = time.time() - 7200
        os.utime(left, (long_ago, long_ago))
        load(pets, cache)
        assert left.exists(), "it is slow, but alive"
        decoder.send_signal(signal.SIGKILL)
        decoder.wait(PATIENCE_S)
    load(pets, cache)
    assert not left.exists(), "although the copy that was asked for is there"


@pytest.mark.parametrize("target", ["..", "../..", "../../.."])
@pytest.mark.parametrize("layout", ["", "train/"])
def test_a_link_back_up_makes_no_cat_a_dog(tmp_path: Path, target: str, layout: str) -> None:
    root = tmp_path / "above" / "pets"
    for part in {layout, layout and "test/"}:
        for number, name in enumerate(("cat", "dog")):
            for index in range(4 + number):
                grey16(root / part / name / f"{index}.png", 0, 60_000)
    (root / layout / "dog" / "up").symlink_to(target)
    listing = folder_scan.list_folder(str(root))
    found = [item for part in (listing.train, listing.validation, listing.test) for item in part]
    assert {item.path.split("/")[-2] for item in found if item.label == 1} == {"dog"}
    assert len(found) == 9 * (1 + bool(layout))
