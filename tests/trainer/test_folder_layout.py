"""Which folders are splits and which are classes; the order of classes, also in runs of earlier versions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.config import run_config
from cnn_explorer.trainer.data import dataset_info, datasets
from cnn_explorer.trainer.data.folder_layout import natural
from cnn_explorer.trainer.data.folder_scan import Listing, list_folder
from cnn_explorer.trainer.launch import spawn
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.planning import planner
from cnn_explorer.trainer.runs.run_writer import read_config
from PIL import Image
from support.training import asked, create_run, status_of

PETS = ("cat", "dog")


def fill(root: Path, folders: Iterable[str], number: int = 3) -> Path:
    """Files that are images by their names in each folder."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for image in range(number):
            (root / folder / f"{image}.png").touch()
    return root


def split(root: Path, *parts: str, classes: Iterable[str] = PETS) -> Path:
    return fill(root, [f"{part}/{name}" for part in parts for name in classes])


def counts(found: Listing) -> tuple[int, int, int]:
    return len(found.train), len(found.validation), len(found.test)


@pytest.mark.parametrize(
    "names",
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("train", "dev"),
        ("train", "eval"),
        ("Training Data", "Testing Data"),
        ("trainset", "testset"),
        ("TrainImages", "TestImages"),
        ("train2014", "val2014"),
        ("pets-train", "pets-test"),
        ("train", "holdout"),
    ],
)
def test_splits_are_known_by_a_word_in_their_names(tmp_path: Path, names: tuple[str, str]) -> None:
    found = list_folder(str(split(tmp_path, *names)))
    assert found.classes == PETS and counts(found) == (6, 0, 6)
    assert all(item.path.startswith(names[0]) for item in found.train)


def test_three_splits_of_other_names_and_what_is_none_of_them(tmp_path: Path) -> None:
    fill(split(tmp_path, "seg_train", "seg_val", "seg_test"), ["seg_pred"])
    found = list_folder(str(tmp_path))
    assert found.classes == PETS and counts(found) == (6, 6, 6)
    assert any("seg_pred is none of train, validation and test" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    "names",
    [("part1", "part2"), ("train", "other"), ("train1", "train2"), ("pets_train", "birds_test"), ("a", "b", "c")],
)
def test_folders_that_hold_the_same_classes_are_refused_with_what_to_write(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    root = split(tmp_path, *names)
    with pytest.raises(UsageError) as caught:
        list_folder(str(root))
    one, other, *more = sorted(names)
    told = str(caught.value)
    held = f"{one}, {other} and {more[0]} all hold" if more else f"{one} and {other} both hold"
    assert f"{held} cat, dog" in told and f"folder:classes:{root}" in told and "\n" not in told
    assert list_folder(f"classes:{root}").classes == tuple(sorted(names))


def test_every_fold_is_named_also_one_that_lacks_a_class(tmp_path: Path) -> None:
    split(tmp_path, "fold1", "fold2", classes=("cat", "dog", "owl"))
    split(tmp_path, "fold3")
    fill(tmp_path, ["other/x"])
    with pytest.raises(UsageError) as caught:
        list_folder(str(tmp_path))
    told = str(caught.value)
    assert "fold1 holds cat, dog, owl, fold2 holds cat, dog, owl, and fold3 holds cat, dog" in told
    assert "if fold1, fold2 and fold3 are the classes" in told and "other" not in told


def test_folders_that_share_half_of_their_classes_are_doubted_and_others_are_not(tmp_path: Path) -> None:
    fill(tmp_path / "doubted", ["one/a", "one/b", "one/c", "one/d", "two/a", "two/b"])
    with pytest.raises(UsageError, match="is not clear: one and two both hold a, b"):
        list_folder(str(tmp_path / "doubted"))
    fill(tmp_path / "clear", ["one/front", "one/x", "one/y", "two/front", "two/z", "three"])
    assert list_folder(str(tmp_path / "clear")).classes == ("one", "three", "two")


@pytest.mark.parametrize(
    ("folders", "told"),
    [
        (("a/Cat", "a/Dog", "b/cat", "b/dog"), "a holds Cat, Dog, and b holds cat, dog"),
        (("a/set/cat", "a/set/dog", "b/rest/cat", "b/rest/dog"), "a and b both hold cat, dog"),
        (("a/train_cat", "a/train_dog", "b/test_cat", "b/test_dog"), "b holds test_cat, test_dog"),
        (("cat/test", "cat/train", "dog/test", "dog/train"), r"If these are splits, .*\(train/cat\)"),
        (
            ("data/train/cat", "data/train/dog", "data/test/cat", "figures"),
            "data holds test and train. .*folder:/.*/data;",
        ),
        (("train", "dev", "ops"), "if train and dev are themselves classes"),
    ],
)
def test_splits_that_nearly_look_like_classes_are_refused_and_the_word_for_classes_is_named(
    tmp_path: Path, folders: tuple[str, ...], told: str
) -> None:
    fill(tmp_path, folders)
    with pytest.raises(UsageError, match=told) as caught:
        list_folder(str(tmp_path))
    assert f"folder:classes:{tmp_path}" in str(caught.value)
    top = {folder.partition("/")[0] for folder in folders}
    assert set(list_folder(f"classes:{tmp_path}").classes) == top


def test_a_class_whose_images_lie_in_folders_called_like_splits_is_one(tmp_path: Path) -> None:
    assert list_folder(str(fill(tmp_path, ("bus/train", "bus/test", "bike")))).classes == ("bike", "bus")


def test_classes_by_day_and_by_night_are_classes_where_that_is_said(tmp_path: Path) -> None:
    root = fill(tmp_path, [f"person{number}/{when}" for number in (1, 2, 10) for when in ("day", "night")])
    with pytest.raises(UsageError, match="person1, person2 and person10 all hold day, night"):
        list_folder(str(root))
    found = list_folder(f"classes:{root}")
    assert found.classes == ("person1", "person2", "person10") and len(found.train) + len(found.test) == 18
    info = dataset_info.describe(f"folder:classes:{root}", tmp_path)
    assert info.name == f"folder:classes:{root}" and info.classes == found.classes


def test_names_that_only_sound_like_splits_are_classes(tmp_path: Path) -> None:
    names = ("test_tube", "train_station", "validator")
    assert list_folder(str(fill(tmp_path, names))).classes == names


@pytest.mark.parametrize("top", ["archive", "archive/pets", "archive/pets/data"])
def test_a_folder_that_holds_nothing_but_another_is_looked_into(tmp_path: Path, top: str) -> None:
    fill(tmp_path / "classes", [f"{top}/{name}" for name in PETS])
    found = list_folder(str(tmp_path / "classes"))
    assert found.classes == PETS and f"the images lie in {top}" in found.remarks
    split(tmp_path / "splits", f"{top}/train", f"{top}/test")
    found = list_folder(str(tmp_path / "splits"))
    assert found.classes == PETS and counts(found) == (6, 0, 6)


def test_splits_that_hold_a_folder_of_their_own_name_are_looked_into(tmp_path: Path) -> None:
    found = list_folder(str(split(tmp_path, "seg_train/seg_train", "seg_test/seg_test")))
    assert found.classes == PETS and counts(found) == (6, 0, 6)


def test_one_class_whose_folders_may_be_the_classes_is_told_with_them(tmp_path: Path) -> None:
    fill(tmp_path, ["images/cat", "images/dog"])
    (tmp_path / "annotations").mkdir()
    with pytest.raises(UsageError, match=rf"one class only \(images\).*folder:{tmp_path}/images may be meant"):
        list_folder(str(tmp_path))


def test_numbers_are_sorted_as_numbers(tmp_path: Path) -> None:
    names = [str(number) for number in range(1, 21)]
    assert list_folder(str(fill(tmp_path / "plain", names))).classes == tuple(names)
    words = ("a", "class2", "class10", "class10b", "x1y2", "x1y10")
    assert list_folder(str(fill(tmp_path / "words", words))).classes == words
    values = ("-10", "-5", "0", "0.25", "0.5", "10.0")
    assert list_folder(str(fill(tmp_path / "values", values))).classes == values
    assert sorted(["010", "10", "9", "²"], key=natural) == ["9", "010", "10", "²"]


def test_a_run_that_goes_on_has_the_order_of_its_classes_and_the_same_images_in_the_same_order(tmp_path: Path) -> None:
    split(tmp_path, "train", "test", classes=("1", "2", "10"))
    new = list_folder(str(tmp_path))
    old = list_folder(str(tmp_path), classes=("1", "10", "2"))
    assert (new.classes, old.classes) == (("1", "2", "10"), ("1", "10", "2"))
    assert [item.path for item in old.train] == [item.path for item in new.train]
    assert [old.classes[item.label] for item in old.train] == [new.classes[item.label] for item in new.train]


def test_a_run_that_took_splits_for_classes_goes_on_so(tmp_path: Path) -> None:
    split(tmp_path / "one", "training_set", "test_set")
    assert list_folder(str(tmp_path / "one"), classes=("test_set", "training_set")).classes == (
        "test_set",
        "training_set",
    )
    split(tmp_path / "two", "person1", "person2", classes=("day", "night"))
    assert list_folder(str(tmp_path / "two"), classes=("person1", "person2")).classes == ("person1", "person2")
    with pytest.raises(UsageError, match="is not clear"):
        list_folder(str(tmp_path / "two"), classes=("person1", "person3"))


def numbered(root: Path) -> Path:
    for part, number in (("train", 8), ("test", 2)):
        for label in ("1", "2", "10"):
            for image in range(number):
                path = root / part / label / f"{image}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (12, 9), (int(label) * 20, image, 9)).save(path)
    return root


def test_a_run_of_an_earlier_version_on_numbered_classes_is_resumed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnn_explorer.trainer.data import folder_scan

    root = numbered(home / "digits")
    with monkeypatch.context() as patch:  # as version 0.1.0 sorted them
        patch.setattr(folder_scan, "natural", lambda name: name)
        path, lock = create_run(home / "runs", dataset=f"folder:{root}", recipe={"epochs": 1, "batch_size": 4})
    lock.release()
    assert run_config.from_dict(read_config(path)).data.classes == ("1", "10", "2")
    said: list[str] = []
    assert execute_run(path, spawn.prepare_resume(path), log=said.append) == 0, said
    assert status_of(path)["state"] == "finished"
    made = planner.plan(asked(dataset=f"folder:{root}", recipe={"epochs": 1, "batch_size": 4}), said.append)
    assert made.config.data.classes == ("1", "2", "10"), "a new run sorts them as numbers"


def test_the_decoded_copy_knows_the_order_of_the_classes(tmp_path: Path) -> None:
    root, cache = numbered(tmp_path / "digits"), tmp_path / "cache"
    options: dict[str, Any] = {"image_size": 8, "validation": 0}
    new = datasets.load(f"folder:{root}", cache, cache, **options)
    old = datasets.load(f"folder:{root}", cache, cache, classes=("1", "10", "2"), **options)
    assert old.classes == ("1", "10", "2") and old.train.images.equal(new.train.images)
    for data in (old, new):
        reds = data.train.images[:, 0, 0, 0].tolist()
        assert [str(red // 20) for red in reds] == [data.classes[label] for label in data.train.labels]


@pytest.mark.parametrize("parts", [("",), ("train/", "test/")])
def test_classes_that_differ_by_capitals_alone_are_told(tmp_path: Path, parts: tuple[str, ...]) -> None:
    fill(tmp_path, [f"{part}{name}" for part in parts for name in ("cat", "Cat", "dog")])
    found = list_folder(str(tmp_path))
    assert found.classes == ("Cat", "cat", "dog")
    told = "the classes Cat and cat differ by capital letters alone and are classes of their own"
    assert found.remarks.count(told) == 1
