"""The named data sets: what `describe` tells, what `load` gives, where it keeps it, and what it says without a network."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import textwrap
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.trainer.data import (
    dataset_info,
    datasets,
    digits,
    published_sets,
    split,
)
from cnn_explorer.trainer.data.channel_statistics import SMALLEST_STD, ChannelStatistics
from hypothesis import given
from hypothesis import strategies as st

REAL = os.environ.get("CNN_EXPLORER_DATA")
IDX_FILES = dataset_info.NAMED["mnist"].files


def write_idx(folder: Path, train: int = 200, test: int = 50, packed: bool = False, side: int = 28) -> None:
    """Four IDX files of random images; label i % 10."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for file, number in zip(IDX_FILES, (train, train, test, test), strict=True):
        if "images" in file:
            data = struct.pack(">4I", 0x803, number, side, side)
            data += random.integers(0, 256, (number, side, side), dtype=np.uint8).tobytes()
        else:
            data = struct.pack(">2I", 0x801, number) + bytes(row % 10 for row in range(number))
        if packed:
            (folder / f"{file}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / file).write_bytes(data)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A data folder with a small MNIST in it, and a cache folder that does not exist yet."""
    write_idx(tmp_path / "data" / "MNIST" / "raw")
    return tmp_path / "data", tmp_path / "cache"


# -- digits ------------------------------------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn() -> None:
    reference = pytest.importorskip("sklearn.datasets").load_digits()
    images, labels = digits.read()
    assert images.dtype == np.uint8 and images.shape == (1797, 8, 8)
    assert np.array_equal(images, reference.images)
    assert np.array_equal(labels, reference.target)


def test_digits_are_scaled_as_bilinear_interpolation_has_it() -> None:
    images, _ = digits.read()
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(images).double()[:, None] * 255 / 16, size=(28, 28), mode="bilinear", align_corners=False
    )[:, 0]
    assert (torch.from_numpy(digits.enlarge(images)).double() - expected).abs().max() <= 0.5 + 1e-9


def test_the_enlarged_digits_are_the_same_bytes_everywhere() -> None:
    images, _ = digits.read()
    digest = hashlib.sha256(digits.enlarge(images).tobytes()).hexdigest()
    assert digest[:16] == "28e94d53a2698536"


def test_digits_split_is_stratified_fixed_and_without_overlap(tmp_path: Path) -> None:
    one, two = (datasets.load("digits", tmp_path, tmp_path, seed=seed) for seed in (0, 1))
    info = dataset_info.describe("digits", tmp_path)
    assert len(one.train) + len(one.validation) == info.train == 1438
    assert len(one.test) == info.test == 359
    assert torch.equal(one.test.images, two.test.images) and torch.equal(one.test.labels, two.test.labels)
    assert not torch.equal(one.validation.images, two.validation.images)
    for part, share in ((one.test, 359 / 1797), (one.validation, 144 / 1797)):
        counts = torch.bincount(part.labels, minlength=10)
        wanted = torch.bincount(torch.from_numpy(digits.read()[1]).long(), minlength=10) * share
        assert (counts - wanted).abs().max() <= 1.01
    total = one.train.images.long().sum() + one.validation.images.long().sum() + one.test.images.long().sum()
    assert total == digits.enlarge(digits.read()[0]).astype(np.int64).sum()


def test_the_test_part_of_the_digits_stays_what_it_is(tmp_path: Path) -> None:
    """Accuracies on it can only be compared while it does not change."""
    data = datasets.load("digits", tmp_path, tmp_path)
    assert data.test.labels[:12].tolist() == [1, 3, 6, 2, 4, 2, 8, 5, 0, 8, 1, 7]
    assert (data.image_size, data.channels, data.skipped) == (28, 1, ())
    assert data.train.images.dtype == torch.uint8 and data.train.labels.dtype == torch.int64


def test_digits_leave_nothing_behind(tmp_path: Path) -> None:
    datasets.load("digits", tmp_path / "data", tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


# -- the validation split -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "training", "expected"),
    [(None, 60000, 5000), (None, 1438, 144), (None, 3, 1), (0, 100, 0), (0.0, 100, 0), (0.25, 100, 25), (7, 100, 7)],
)
def test_validation_size(asked: float | None, training: int, expected: int) -> None:
    assert split.validation_size(asked, training) == expected


@pytest.mark.parametrize("asked", [-1, 1.5, float("nan"), float("inf"), -0.1])
def test_nonsense_for_a_validation_size_is_refused(asked: float) -> None:
    with pytest.raises(UsageError, match="validation"):
        split.validation_size(asked, 100)


def test_validation_cannot_take_the_last_image_of_a_class(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1428 can be spared"):
        datasets.load("digits", tmp_path, tmp_path, validation=1438)
    largest = datasets.load("digits", tmp_path, tmp_path, validation=1428)
    assert sorted(largest.train.labels.tolist()) == list(range(10))


def test_no_validation_part_when_none_is_asked(folders: tuple[Path, Path]) -> None:
    data = datasets.load("mnist", *folders, validation=0)
    assert len(data.validation) == 0 and data.validation.images.shape == (0, 1, 28, 28)
    assert len(data.train) == 200 and data.train.images is data.train.source


def test_parts_are_rows_of_the_same_memory(folders: tuple[Path, Path]) -> None:
    data = datasets.load("mnist", *folders, validation=0.2, seed=3)
    assert data.train.source is data.validation.source
    assert data.train.rows is not None and data.validation.rows is not None
    rows = torch.cat([data.train.rows, data.validation.rows])
    assert torch.equal(rows.sort().values, torch.arange(200))
    assert torch.equal(data.train.images, data.train.source[data.train.rows])
    index = torch.tensor([5, 0, 5])
    for part in (data.train, data.validation, data.test):
        uncached = datasets.LabelledImages(part.source, part.labels, part.rows)
        assert torch.equal(uncached.batch(index), part.images[index])
        assert len(part.images) == len(part.labels) == len(part)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.floats(0, 1))
def test_shares_are_proportional_and_leave_every_class_an_image(counts: list[int], part: float) -> None:
    held = round(part * sum(counts))
    out = split.shares(counts, held)
    assert all(0 <= gone <= max(0, have - 1) for have, gone in zip(counts, out, strict=True))
    assert sum(out) == min(held, sum(max(0, have - 1) for have in counts))
    wanted = [held * have / max(1, sum(counts)) for have in counts]
    assert max(out, default=0) <= 1 or all(gone for have, gone in zip(counts, out, strict=True) if have >= 3)
    if all(1 <= want <= have - 1 for have, want in zip(counts, wanted, strict=True) if have):
        assert all(abs(gone - want) < 1 for gone, want in zip(out, wanted, strict=True))


def test_a_rare_class_is_evaluated_too() -> None:
    assert split.shares([32, 3], 4) == [3, 1]
    assert split.shares([900, 4, 3, 2], 9) == [7, 1, 1, 0]


@pytest.mark.parametrize(("count", "held"), [(0, 0), (1, 0), (2, 1), (3, 1), (5, 1), (10, 2), (180, 36)])
def test_a_fifth_of_each_class_is_the_test_part(count: int, held: int) -> None:
    assert split.shares_for_test([count]) == [held]


@given(st.lists(st.integers(0, 3), max_size=60), st.integers())
def test_hold_out_partitions_the_rows(labels: list[int], seed: int) -> None:
    held = split.shares(split.counts_of(labels, 4), len(labels) // 3)
    kept, out = split.hold_out(labels, held, split.seeded_keys(len(labels), seed))
    assert sorted(kept + out) == list(range(len(labels)))
    assert kept == sorted(kept) and out == sorted(out)
    assert split.counts_of([labels[row] for row in out], 4) == held


# -- means and deviations ----------------------------------------------------------------------------------------


def test_channel_statistics_are_those_of_all_pixels() -> None:
    images = np.random.default_rng(1).integers(0, 256, (1500, 3, 5, 7), dtype=np.uint8)
    images[:, 1] //= 3
    statistics = ChannelStatistics(3)
    statistics.add(images[:1100])
    statistics.add(images[1100:])
    assert statistics.mean() == pytest.approx((images / 255).mean(axis=(0, 2, 3)), abs=1e-12)
    assert statistics.std() == pytest.approx((images / 255).std(axis=(0, 2, 3)), abs=1e-12)


def test_a_channel_that_never_changes_can_still_be_divided_by() -> None:
    statistics = ChannelStatistics(1)
    statistics.add(np.full((4, 1, 2, 2), 255, np.uint8))
    assert statistics.mean() == pytest.approx((1.0,))
    assert statistics.std() == (SMALLEST_STD,)


def test_means_cover_the_validation_part_too(folders: tuple[Path, Path]) -> None:
    data = datasets.load("mnist", *folders)
    everything = data.train.source.double() / 255
    assert len(everything) == len(data.train) + len(data.validation)
    assert data.mean == pytest.approx((everything.mean().item(),), abs=1e-12)
    assert data.std == pytest.approx((everything.std(correction=0).item(),), abs=1e-12)


@pytest.mark.skipif(not REAL or not (Path(REAL) / "MNIST/raw").is_dir(), reason="CNN_EXPLORER_DATA has no MNIST")
def test_real_mnist(tmp_path: Path) -> None:
    data = datasets.load("mnist", Path(str(REAL)), tmp_path)
    assert (len(data.train), len(data.validation), len(data.test)) == (55000, 5000, 10000)
    assert [round(value, 4) for value in (*data.mean, *data.std)] == [0.1307, 0.3081]
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    whole = torch.cat([data.train.labels, data.validation.labels])
    assert torch.bincount(whole).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    again = datasets.load("mnist", Path(str(REAL)), tmp_path)
    assert torch.equal(again.train.images[::500], data.train.images[::500])


# -- names and descriptions --------------------------------------------------------------------------------------


def test_named_sets_have_as_many_images_as_were_published(tmp_path: Path) -> None:
    described = [dataset_info.describe(name, tmp_path) for name in dataset_info.names()]
    assert {info.name: (info.train, info.test) for info in described} == {
        "digits": (1438, 359),
        "mnist": (60_000, 10_000),
        "fashion-mnist": (60_000, 10_000),
        "cifar10": (50_000, 10_000),
        "cifar100": (50_000, 10_000),
    }


def test_names_and_what_is_known_of_them(tmp_path: Path) -> None:
    assert dataset_info.names() == ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")
    for name in dataset_info.names():
        info = dataset_info.describe(name, tmp_path, cache_folder=tmp_path)
        assert info.name == name and info.on_disk == (name == "digits")
        assert len(set(info.classes)) == len(info.classes) == (100 if name == "cifar100" else 10)
    assert dataset_info.NAMED["cifar100"].classes == tuple(sorted(dataset_info.NAMED["cifar100"].classes))


def test_class_names_are_those_of_torchvision() -> None:
    torchvision = pytest.importorskip("torchvision")
    assert dataset_info.NAMED["fashion-mnist"].classes == tuple(torchvision.datasets.FashionMNIST.classes)
    for name, known in (("cifar10", torchvision.datasets.CIFAR10), ("cifar100", torchvision.datasets.CIFAR100)):
        entry = dataset_info.NAMED[name]
        files = {file for file, _ in known.train_list + known.test_list} | {known.meta["filename"]}
        assert (entry.folder, entry.archive, set(entry.files)) == (known.base_folder, known.filename, files)
    for name, known in (("mnist", torchvision.datasets.MNIST), ("fashion-mnist", torchvision.datasets.FashionMNIST)):
        entry = dataset_info.NAMED[name]
        assert [f"{file}.gz" for file in entry.files] == [file for file, _ in known.resources]
        assert entry.folder == f"{known.__name__}/raw"


@pytest.mark.parametrize(
    ("written", "meant"), [("CIFAR-10", "cifar10"), ("fashion_mnist", "fashion-mnist"), ("MNIST", "mnist")]
)
def test_names_are_understood_as_people_write_them(written: str, meant: str, tmp_path: Path) -> None:
    assert dataset_info.describe(written, tmp_path, cache_folder=tmp_path).name == meant


@pytest.mark.parametrize("load", [False, True])
def test_an_unknown_name_gets_the_nearest(load: bool, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"did you mean 'mnist'") as caught:
        datasets.load("mnits", tmp_path, tmp_path) if load else dataset_info.describe("mnits", tmp_path)
    assert caught.value.field == "dataset" and "digits" in str(caught.value)


def test_a_bare_folder_name_is_told_how_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"write folder:{tmp_path}"):
        dataset_info.describe(str(tmp_path), tmp_path)


def test_channels_of_a_named_set_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="channels"):
        datasets.load("digits", tmp_path, tmp_path, channels=3)
    assert datasets.load("digits", tmp_path, tmp_path, channels=1).channels == 1


def test_on_disk_means_original_files_or_the_decoded_copy(folders: tuple[Path, Path]) -> None:
    data, cache = folders

    def on_disk() -> bool:
        return dataset_info.describe("mnist", data, cache_folder=cache).on_disk

    assert on_disk()
    datasets.load("mnist", data, cache)
    shutil.rmtree(data / "MNIST")
    assert on_disk()
    assert len(datasets.load("mnist", data, cache, download=False).test) == 50
    shutil.rmtree(cache)
    assert not on_disk()


def test_one_missing_file_is_not_on_disk(folders: tuple[Path, Path]) -> None:
    (folders[0] / "MNIST/raw" / IDX_FILES[3]).unlink()
    assert not dataset_info.describe("mnist", folders[0], cache_folder=folders[1]).on_disk


# -- IDX files and the cache -------------------------------------------------------------------------------------


def test_plain_and_packed_files_give_the_same(folders: tuple[Path, Path], tmp_path: Path) -> None:
    write_idx(tmp_path / "packed" / "MNIST" / "raw", packed=True)
    plain = datasets.load("mnist", *folders)
    packed = datasets.load("mnist", tmp_path / "packed", tmp_path / "other", download=False)
    assert torch.equal(plain.train.images, packed.train.images)
    assert torch.equal(plain.test.labels, packed.test.labels)
    assert plain.test.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_a_later_run_opens_neither_the_originals_nor_torchvision(folders: tuple[Path, Path]) -> None:
    datasets.load("mnist", *folders)
    script = """
        import json, sys
        opened = []
        sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
        from pathlib import Path
        from cnn_explorer.trainer.data import datasets
        data = datasets.load("mnist", Path(sys.argv[1]), Path(sys.argv[2]))
        print(json.dumps([int(data.train.images.sum()), [m for m in ("torchvision", "PIL") if m in sys.modules],
                          [path for path in opened if path.startswith(sys.argv[1])]]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, folders)], capture_output=True, text=True, check=True
    )
    total, imported, opened = json.loads(done.stdout)
    assert total == int(datasets.load("mnist", *folders).train.images.sum())
    assert imported == [] and opened == []


def test_describing_needs_neither_torch_nor_numpy(folders: tuple[Path, Path]) -> None:
    script = """
        import sys
        from pathlib import Path
        from cnn_explorer.trainer.data import dataset_info
        for name in dataset_info.names():
            dataset_info.describe(name, Path(sys.argv[1]))
        print([m for m in ("torch", "numpy", "PIL", "torchvision") if m in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(folders[0])], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_changed_originals_are_decoded_anew(folders: tuple[Path, Path]) -> None:
    before = datasets.load("mnist", *folders)
    write_idx(folders[0] / "MNIST/raw", train=100)
    after = datasets.load("mnist", *folders)
    assert len(before.train) + len(before.validation) == 200
    assert len(after.train) + len(after.validation) == 100


def test_writing_to_the_images_does_not_reach_the_cache(folders: tuple[Path, Path]) -> None:
    datasets.load("mnist", *folders)
    mapped = datasets.load("mnist", *folders)
    mapped.test.images.zero_()
    assert mapped.test.images.sum() == 0
    assert datasets.load("mnist", *folders).test.images.sum() > 0


@pytest.mark.parametrize("harm", ["cut", "extended", "half", "changed", "facts", "empty", "garbage"])
def test_a_damaged_copy_is_noticed_and_made_again(harm: str, folders: tuple[Path, Path]) -> None:
    whole = datasets.load("mnist", *folders).train.images.clone()
    path = dataset_info.cache_path(folders[1], "mnist")
    data = bytearray(path.read_bytes())
    data[5000] ^= harm == "changed"
    data[data.rindex(b"0.") + 2] ^= harm == "facts"  # a digit of a standard deviation, which stays a digit
    harmed = {"cut": data[:-1], "half": data[: len(data) // 2], "empty": b"", "garbage": b"\1" * 5000}
    harmed |= {"changed": data, "facts": data}
    path.write_bytes(harmed.get(harm, bytes(data) + b"\0"))
    said: list[str] = []
    assert torch.equal(datasets.load("mnist", *folders, log=said.append).train.images, whole)
    assert any("damaged" in line for line in said)
    said.clear()
    assert torch.equal(datasets.load("mnist", *folders, log=said.append).train.images, whole)
    assert said == []


def test_an_unwritable_cache_folder_is_told_and_done_without(folders: tuple[Path, Path], tmp_path: Path) -> None:
    expected = datasets.load("mnist", *folders)
    (tmp_path / "file").write_text("")
    said: list[str] = []
    data = datasets.load("mnist", folders[0], tmp_path / "file" / "cache", log=said.append)
    assert torch.equal(data.train.images, expected.train.images) and data.std == expected.std
    assert len(said) == 1 and str(tmp_path / "file") in said[0] and "memory" in said[0]


def test_a_disk_that_fills_while_the_copy_is_written(folders: tuple[Path, Path]) -> None:
    """A file size limit of 100 kB stands in for the full disk: the write fails in the middle of the images."""
    script = """
        import resource, sys
        from pathlib import Path
        from cnn_explorer.trainer.data import datasets
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        data = datasets.load("mnist", Path(sys.argv[1]), Path(sys.argv[2]), log=lambda line: print(line))
        print(int(data.train.images.sum()) + int(data.validation.images.sum()), data.test.labels.tolist()[:3])
        print(list(Path(sys.argv[2]).iterdir()))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, folders)], capture_output=True, text=True, check=True
    )
    said, values, left = done.stdout.splitlines()
    total = int(datasets.load("mnist", *folders).train.source.long().sum())
    assert "using memory" in said and values == f"{total} [0, 1, 2]" and left == "[]"


def test_no_temporary_file_stays_behind(folders: tuple[Path, Path]) -> None:
    datasets.load("mnist", *folders)
    folder = folders[1]
    assert [path.name for path in folder.iterdir()] == ["mnist.images"]
    for name, age in ((".mnist.images.1.tmp", 0), (".mnist.images.2.tmp", 7200)):
        (folder / name).write_text("left by a killed process")
        when = (folder / name).stat().st_mtime - age
        os.utime(folder / name, (when, when))
    (folder / "mnist.images").unlink()
    datasets.load("mnist", *folders)
    assert sorted(path.name for path in folder.iterdir()) == [".mnist.images.1.tmp", "mnist.images"]


def test_a_damaged_original_is_named(folders: tuple[Path, Path]) -> None:
    path = folders[0] / "MNIST/raw" / IDX_FILES[0]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WorkError, match=f"{IDX_FILES[0]} is damaged"):
        datasets.load("mnist", *folders)
    write_idx(folders[0] / "MNIST/raw", packed=True)
    assert len(datasets.load("mnist", *folders).test) == 50, "the packed file beside it is whole"


def test_files_of_another_size_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "MNIST/raw", side=27)
    with pytest.raises(WorkError, match="do not fit together as mnist"):
        datasets.load("mnist", tmp_path, tmp_path / "cache")


# -- downloads ---------------------------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's download function finds no host."""
    torchvision = pytest.importorskip("torchvision")

    def fail(*args: object, **options: object) -> None:
        raise urllib.error.URLError("Name or service not known\n(a second line)")

    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", fail)
    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", fail)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100"])
@pytest.mark.usefixtures("no_network")
def test_without_network_and_data_one_clear_error(name: str, tmp_path: Path) -> None:
    before = socket.getdefaulttimeout()
    with pytest.raises(WorkError) as caught:
        datasets.load(name, tmp_path / "nowhere", tmp_path / "cache")
    message = str(caught.value)
    entry = dataset_info.NAMED[name]
    assert "\n" not in message and "--dataset digits" in message and "Name or service not known" in message
    assert str(tmp_path / "nowhere" / entry.folder) in message
    assert all(file in message for file in entry.files) and (entry.archive or ".gz") in message
    assert socket.getdefaulttimeout() == before
    assert not (tmp_path / "nowhere").exists(), "no empty folder is left"


@pytest.mark.usefixtures("no_network")
def test_of_a_set_of_which_a_file_is_missing_that_one_is_named(folders: tuple[Path, Path]) -> None:
    gone, *there = IDX_FILES
    (folders[0] / "MNIST/raw" / gone).unlink()
    with pytest.raises(WorkError) as caught:
        datasets.load("mnist", *folders)
    told = str(caught.value)
    assert f"as a whole ({gone} missing)" in told and f"put {gone} (each may end in .gz) into " in told
    assert not any(name in told for name in there)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_download_can_be_forbidden(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    with pytest.raises(WorkError, match="downloading is switched off"):
        datasets.load(name, tmp_path, tmp_path / "cache", download=False)


def test_a_torchvision_that_cannot_be_imported_is_that_error_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(WorkError, match="torchvision cannot be imported"):
        datasets.load("mnist", tmp_path, tmp_path)


def test_an_interrupted_download_does_not_poison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision = pytest.importorskip("torchvision")
    write_idx(tmp_path / "server", packed=True)
    fetched: list[str] = []
    sums = [
        (f"{file}.gz", hashlib.md5((tmp_path / "server" / f"{file}.gz").read_bytes()).hexdigest()) for file in IDX_FILES
    ]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", sums)

    def fetch(url: str, target: str | Path) -> None:
        data = (tmp_path / "server" / url.rsplit("/", 1)[1]).read_bytes()
        fetched.append(str(target))
        Path(target).write_bytes(data[:20] if len(fetched) in (2, 3) else data)

    monkeypatch.setattr(torchvision.datasets.utils, "_urlretrieve", fetch)
    monkeypatch.setattr(torchvision.datasets.utils, "_get_redirect_url", lambda url, max_hops: url)
    with pytest.raises(WorkError, match="corrupted"):
        datasets.load("mnist", tmp_path / "data", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    said: list[str] = []
    data = datasets.load("mnist", tmp_path / "data", tmp_path / "cache", log=said.append)
    assert len(data.train) + len(data.validation) == 200 and len(said) == 1 and "downloading mnist" in said[0]


# -- CIFAR -------------------------------------------------------------------------------------------------------


class _AsPython2(pickle._Pickler):
    """Writes bytes and text as Python 2 did, which is what CIFAR's files hold."""

    dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)
    write: Callable[[bytes], object]  # set by the base class

    def save_text(self, value: bytes | str) -> None:
        data = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(b"T" + struct.pack("<i", len(data)) + data)

    dispatch[bytes] = dispatch[str] = save_text


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, np.ndarray]:
    """A data folder with a CIFAR-10 of 20 + 20 images a file, which torchvision takes for the true one."""
    torchvision = pytest.importorskip("torchvision")
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(2).integers(0, 256, (6, 20, 3072), dtype=np.uint8)
    sums: dict[str, str] = {}
    for number, file in enumerate(dataset_info.NAMED["cifar10"].files):
        content: dict[str, object] = {"label_names": list(dataset_info.NAMED["cifar10"].classes)}
        if number < 6:
            content = {"data": pixels[number], "labels": [row % 10 for row in range(20)], "batch_label": file}
        with open(folder / file, "wb") as stream:
            _AsPython2(stream, protocol=2).dump(content)
        sums[file] = hashlib.md5((folder / file).read_bytes()).hexdigest()
    known = torchvision.datasets.CIFAR10
    monkeypatch.setattr(known, "train_list", [[file, sums[file]] for file, _ in known.train_list])
    monkeypatch.setattr(known, "test_list", [[file, sums[file]] for file, _ in known.test_list])
    monkeypatch.setattr(known, "meta", {**known.meta, "md5": sums["batches.meta"]})
    with tarfile.open(tmp_path / "data" / known.filename, "w:gz") as archive:
        archive.add(folder, folder.name)
    monkeypatch.setattr(known, "tgz_md5", hashlib.md5((tmp_path / "data" / known.filename).read_bytes()).hexdigest())
    return tmp_path / "data", pixels.reshape(6, 20, 3, 32, 32)


def test_cifar_images_keep_their_planes(cifar: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    folder, pixels = cifar
    data = datasets.load("cifar10", folder, tmp_path / "cache", validation=0)
    assert torch.equal(data.train.images, torch.from_numpy(pixels[:5].reshape(100, 3, 32, 32)))
    assert torch.equal(data.test.images, torch.from_numpy(pixels[5]))
    assert data.test.labels.tolist() == [row % 10 for row in range(20)]
    assert data.mean == pytest.approx((pixels[:5] / 255).mean(axis=(0, 1, 3, 4)), abs=1e-12)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("download", [True, False])
def test_an_archive_put_there_by_hand_is_unpacked(
    download: bool, cifar: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision

    monkeypatch.setattr(
        torchvision.datasets.cifar,
        "download_and_extract_archive",
        torchvision.datasets.utils.download_and_extract_archive,
    )
    folder, pixels = cifar
    shutil.rmtree(folder / "cifar-10-batches-py")
    assert dataset_info.describe("cifar10", folder, cache_folder=tmp_path).on_disk
    data = datasets.load("cifar10", folder, tmp_path / "cache", download=download, validation=0)
    assert torch.equal(data.test.images, torch.from_numpy(pixels[5]))


@pytest.mark.usefixtures("no_network")
def test_a_changed_cifar_file_is_not_unpickled(cifar: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    """A pickle can run anything, so a file whose checksum is another is refused."""
    folder, _ = cifar
    (folder / "cifar-10-python.tar.gz").unlink()
    path = folder / "cifar-10-batches-py" / "data_batch_3"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    path.write_bytes(pickle.dumps({"data": Trap(), "labels": []}))
    with pytest.raises(WorkError, match="cifar-10-batches-py"):
        datasets.load("cifar10", folder, tmp_path / "cache")
    assert not (tmp_path / "sprung").exists()


def test_a_download_is_told_in_tenths_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import utils

    told: list[str] = []
    narration = io.StringIO()
    monkeypatch.setattr(sys, "stderr", narration)

    def log(line: str) -> None:
        told.append(line)
        print(line, file=sys.stderr)

    with published_sets._progress_logged("mnist", log):
        for _ in range(2):
            with utils.tqdm(total=100, mininterval=0) as bar:  # what torchvision draws
                for _ in range(100):
                    bar.update()
    assert "downloading mnist, file 1: 50 %" in told and told[-1] == "downloading mnist, file 2: 100 %"
    assert len(told) == 20
    assert narration.getvalue().splitlines() == told, "the bar is left out, what is told is not"
