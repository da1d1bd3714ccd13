"""Files of weights: what is told of them, whose network they fit, and that nothing in them is run or believed."""

from __future__ import annotations

import argparse
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from cnn_explorer.cli import show_file
from cnn_explorer.errors import UsageError
from cnn_explorer.models.anatomy.saved_weights import (
    weight_file,
    weight_fit,
    weight_pairs,
    weight_reader,
    weight_tables,
)
from cnn_explorer.models.catalogue import registry
from safetensors.torch import save_file
from torch import Tensor, nn


def described(path: Path, state: object, **options: Any) -> weight_file.DescribedFile:
    torch.save(state, path, **options)
    return weight_file.describe(path)


def resnet20(classes: int = 10) -> dict[str, Tensor]:
    return dict(registry.build("resnet20", num_classes=classes).state_dict())


# -- what is in it ---------------------------------------------------------------------------------------------------


def test_names_shapes_types_and_totals(tmp_path: Path) -> None:
    state = {"a.weight": torch.zeros(2, 3), "a.bias": torch.zeros(2, dtype=torch.float16), "n": torch.tensor(5)}
    found = described(tmp_path / "some.pt", state)
    assert [(w.name, w.shape, w.dtype, w.values, w.bytes) for w in found.weights] == [
        ("a.weight", (2, 3), "float32", 6, 24),
        ("a.bias", (2,), "float16", 2, 4),
        ("n", (), "int64", 1, 8),
    ]
    assert found.values == 9 and found.bytes_by_type == {"float32": 24, "int64": 8, "float16": 4}
    assert found.size == (tmp_path / "some.pt").stat().st_size and found.format == "torch" and not found.facts


def test_the_old_format_and_safetensors_hold_the_same(tmp_path: Path) -> None:
    state = resnet20()
    new = described(tmp_path / "new.pt", state)
    old = described(tmp_path / "old.pt", state, _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "x.safetensors", metadata={"format": "pt", "note": "mine"})
    safe = weight_file.describe(tmp_path / "x.safetensors")
    assert (old.format, safe.format) == ("torch before 1.6", "safetensors")
    assert old.weights == new.weights and sorted(safe.weights, key=str) == sorted(new.weights, key=str)
    assert safe.facts == {"format": "pt", "note": "mine"}
    assert [(fit.network, fit.how) for fit in safe.fits[:2]] == [("resnet20", "wholly"), ("plain20", "wholly")]


def test_what_is_not_finite_is_counted_by_tensor(tmp_path: Path) -> None:
    bad = torch.zeros(70)
    bad[3], bad[4], bad[69] = float("nan"), float("inf"), -float("inf")
    whole = torch.zeros(5, dtype=torch.int64)
    found = described(tmp_path / "bad.pt", {"bad": bad, "good": torch.ones(4), "whole": whole, "h": bad.half()})
    assert [(w.name, w.nan, w.infinite) for w in found.not_finite] == [("bad", 1, 2), ("h", 1, 2)]


def test_values_are_looked_at_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_file, "CHUNK", 8)
    values = torch.zeros(5, 5)
    values[0, 0] = values[4, 4] = float("nan")
    assert described(tmp_path / "bad.pt", {"bad": values.t()}).weights[0].nan == 2


def test_a_file_too_large_to_be_looked_at_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_file, "MOST_LOOKED_AT", 10)
    found = described(tmp_path / "bad.pt", {"bad": torch.full((3,), float("nan"))})
    assert not found.looked_at and found.weights[0].nan == 0
    assert weight_file.as_dict(found)["nan"] is None


def test_values_that_only_repeat_take_no_room(tmp_path: Path) -> None:
    found = described(tmp_path / "wide.pt", {"x": torch.ones(1).expand(10**12)})
    assert found.weights[0].values == 10**12 and found.weights[0].bytes <= 8


Wrap = Callable[[dict[str, Tensor]], object]
FORMS: dict[str, tuple[Wrap, str, str]] = {
    "plain": (lambda state: state, "", ""),
    "kuangliu": (lambda state: {"net": state, "acc": 93.2, "epoch": 5}, "net", ""),
    "imagenet": (lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}}, "state_dict", "module."),
    "compiled": (lambda state: {f"_orig_mod.{k}": v for k, v in state.items()}, "", "_orig_mod."),
    "lightning": (
        lambda state: {
            "state_dict": {f"model.{k}": v for k, v in state.items()} | {"loss.weight": torch.ones(10)},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(9999, 99)}}}],
        },
        "state_dict",
        "model.",
    ),
    "timm": (
        lambda state: {
            "state_dict_ema": {k: v + 1 for k, v in state.items()},
            "state_dict": state,
            "optimizer": {"state": {0: {"momentum_buffer": torch.ones(5000, 999)}}},
        },
        "state_dict",
        "",
    ),
    "two deep": (lambda state: {"model": {"state_dict": state}, "epoch": 3}, "model.state_dict", ""),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_usual_form_is_understood(tmp_path: Path, form: str) -> None:
    wrap, key, prefix = FORMS[form]
    found = described(tmp_path / "x.pth", wrap(resnet20()))
    assert (found.key, found.prefix) == (key, prefix)
    best = found.fits[0]
    assert (best.network, best.how, best.by, best.fitted) == ("resnet20", "wholly", "name", best.places)


@pytest.mark.parametrize("prefix", ["model.", "backbone.", "net.", "module.backbone.net."])
def test_what_stands_before_all_names_is_told_where_no_network_fits(tmp_path: Path, prefix: str) -> None:
    own = nn.Sequential(nn.Conv2d(3, 7, 3), nn.Linear(7, 13)).state_dict()
    assert described(tmp_path / "x.pt", {prefix + name: value for name, value in own.items()}).prefix == prefix
    mixed = {prefix + name: value for name, value in own.items()} | {"head.weight": torch.ones(2, 2)}
    assert described(tmp_path / "x.pt", mixed).prefix == ""


def test_several_checkpoints_in_one_file_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = [nn.Linear(3, 2).state_dict() for _ in range(3)]
    found = described(tmp_path / "x.pt", {f"fold{n}": {"model": state} for n, state in enumerate(states)})
    assert [beside.key for beside in found.beside] == ["fold1.model", "fold2.model"]
    show_file.print_summary(found)
    assert "2 tensors under 'fold0.model', the first of 3 such tables, 8 values" in capsys.readouterr().out


def test_what_stands_beside_the_weights(tmp_path: Path) -> None:
    found = described(tmp_path / "x.pth", FORMS["timm"][0](resnet20()))
    kinds = {beside.key: (beside.kind, beside.tensors) for beside in found.beside}
    assert kinds == {"state_dict_ema": ("average", len(found.weights)), "optimizer": ("optimiser", 1)}
    state = {"net": resnet20(), "acc": 93.2, "epoch": 5, "best": torch.tensor(0.5)}
    found = described(tmp_path / "y.pth", state)
    assert found.facts == {"acc": 93.2, "epoch": 5, "best": 0.5}


def test_weights_behind_an_optimiser_with_a_table_for_each_of_many_parameters_are_found(tmp_path: Path) -> None:
    steps = {number: {"exp_avg": torch.ones(3, 3)} for number in range(200)}
    path = tmp_path / "late.pt"
    torch.save({"optimizer": {"state": steps}, "state_dict": nn.Linear(4, 2).state_dict()}, path)
    found = weight_file.describe(path)
    assert (found.key, found.values) == ("state_dict", 10)


def test_the_names_are_a_tree_with_equal_neighbours_folded(tmp_path: Path) -> None:
    state = {f"blocks.{n}.fc.{leaf}": torch.zeros(4) for n in range(3) for leaf in ("weight", "bias")}
    state |= {"blocks.3.fc.weight": torch.zeros(5), "head": torch.zeros(7)}
    rows = list(weight_file.tree(described(tmp_path / "x.pt", state)).walk())
    assert [(level, row.name, row.times, row.values) for level, row in rows] == [
        (0, "", 1, 36),
        (1, "blocks", 1, 29),
        (2, "0", 3, 8),
        (3, "fc", 1, 8),
        (4, "weight", 1, 4),
        (4, "bias", 1, 4),
        (2, "3", 1, 5),
        (3, "fc", 1, 5),
        (4, "weight", 1, 5),
        (1, "head", 1, 7),
    ]
    assert [row.name for _, row in weight_file.cut(rows[0][1], 1).walk()] == ["", "blocks", "head"]


def test_the_description_is_json(tmp_path: Path) -> None:
    state = {"net": resnet20(), "loss": float("nan")}
    text = json.dumps(weight_file.as_dict(described(tmp_path / "x.pt", state)), allow_nan=False)
    assert json.loads(text)["fits"][0]["network"] == "resnet20"


# -- whose network ---------------------------------------------------------------------------------------------------


def fits(state: Mapping[str, Tensor]) -> list[tuple[str, str | None, str, str]]:
    return [(fit.network, fit.stem, fit.how, fit.by) for fit in weight_fit.fits(state)]


def on_meta(build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    with torch.device("meta"):
        return build().state_dict()


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "densenet121", "vit_tiny_16", "swin_v2_tiny", "capsnet", "nin"])
def test_a_network_of_the_catalogue_is_found_by_its_names(name: str) -> None:
    stem = "imagenet" if registry.find(name).small_stem else None
    assert fits(on_meta(lambda: registry.build(name)))[0] == (name, stem, "wholly", "name")


def test_other_classes_are_all_but_the_head() -> None:
    best = weight_fit.fits(on_meta(lambda: registry.build("resnet18", stem="small", num_classes=7)))[0]
    assert (best.network, best.stem, best.how, best.classes) == ("resnet18", "small", "head", 7)
    backbone = {k: v for k, v in on_meta(lambda: registry.build("resnet18")).items() if not k.startswith("head")}
    best = weight_fit.fits(backbone)[0]
    assert (best.network, best.how, best.missing) == ("resnet18", "head", ("head.weight", "head.bias"))


def test_another_size_of_images_is_told() -> None:
    best = weight_fit.fits(on_meta(lambda: registry.build("vit_tiny_16", image_size=384)))[0]
    assert (best.network, best.how, best.missing) == ("vit_tiny_16", "size", ("tokens.positions",))


def test_grey_images() -> None:
    assert fits(on_meta(lambda: registry.build("resnet20", in_channels=1)))[0] == ("resnet20", None, "wholly", "name")


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: torchvision.models.resnet18(), ("resnet18", "wholly", "torchvision:resnet18")),
        (lambda: torchvision.models.resnet18(num_classes=5), ("resnet18", "head", "torchvision:resnet18")),
        (lambda: torchvision.models.vit_b_16(), ("vit_base_16", "wholly", "torchvision:vit_b_16")),
        (
            lambda: torchvision.models.googlenet(init_weights=False),
            ("googlenet_bn_aux", "aux", "torchvision:googlenet"),
        ),
        (
            lambda: timm.create_model("vit_tiny_patch16_224"),
            ("vit_tiny_16", "wholly", "timm:vit_tiny_patch16_224"),
        ),
        (lambda: timm.create_model("mixer_s16_224"), ("mixer_s16", "wholly", "timm:mixer_s16_224")),
    ],
)
def test_names_of_torchvision_and_timm(build: Callable[[], nn.Module], expected: tuple[str, str, str]) -> None:
    best = weight_fit.fits(on_meta(build))[0]
    assert (best.network, best.how, best.by) == expected


def kuangliu(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same network under names that nobody else has, in the order of the layers."""
    with torch.device("meta"):
        order = weight_pairs.transplant.execution_order(
            registry.build("resnet20").eval(), torch.empty(1, 3, 32, 32, device="meta")
        )
    modules = list(OrderedDict.fromkeys(name.rpartition(".")[0] for name in order))
    numbers = {module: f"part{number}" for number, module in enumerate(modules)}
    renamed = {f"{numbers[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": state[name] for name in order}
    return renamed


def test_other_names_in_the_order_of_the_layers() -> None:
    state = kuangliu(resnet20(7))
    best = weight_fit.fits(state)[0]
    assert (best.network, best.how, best.by, best.classes) == ("resnet20", "head", "order", 7)
    # Another order of the same shapes is no proof: two modules of one stage are exchanged for those of another.
    shuffled = dict(sorted(state.items(), reverse=True))
    assert {fit.how for fit in weight_fit.fits(shuffled)} <= {"shapes", "part"}
    # Nor is the order of the alphabet, which safetensors writes, whatever the layers' own.
    assert not any(fit.by == "order" and fit.is_found for fit in weight_fit.fits(dict(sorted(state.items()))))


def test_no_network_fits() -> None:
    with torch.device("meta"):
        strange = timm.create_model("regnety_002").state_dict()
    found = weight_fit.fits(strange)
    assert found and not any(fit.is_found for fit in found)
    assert weight_fit.fits({"a": torch.zeros(3)}) == []
    assert weight_fit.fits({"a.weight": torch.zeros(3, 2)}) == []


def test_a_network_that_torchvision_alone_has(tmp_path: Path) -> None:
    found = described(tmp_path / "m.pth", torchvision.models.mnasnet0_5(weights=None).state_dict())
    assert not any(fit.is_found for fit in found.fits) and found.torchvision == "mnasnet0_5"


def test_only_a_few_networks_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    real = weight_fit.fit_to
    monkeypatch.setattr(weight_fit, "fit_to", lambda tensors, build: built.append(build) or real(tensors, build))
    weight_fit.fits(on_meta(lambda: registry.build("resnet50")))
    assert 1 <= len(built) < weight_fit.MOST_BUILT


# -- what is no file of weights --------------------------------------------------------------------------------------


def refused(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        weight_file.describe(path)
    text = str(caught.value)
    assert "\n" not in text and "weights_only" not in text and str(path) in text
    return text


class Evil:
    """Runs a command when it is loaded by an ordinary unpickler."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("how", ["torch", "old", "pickle", "pickle4"])
def test_code_is_named_and_never_run(tmp_path: Path, how: str) -> None:
    path, target = tmp_path / "evil.pt", tmp_path / "made"
    state = {"weight": torch.ones(3), "evil": Evil(target)}
    if how in ("torch", "old"):
        torch.save(state, path, _use_new_zipfile_serialization=how == "torch")
    else:
        path.write_bytes(pickle.dumps({"evil": Evil(target)}, protocol=4 if how == "pickle4" else 2))
    text = refused(path)
    assert "asks for code to be loaded, which is not done: posix.mkdir" in text and not target.exists()
    pickle.loads(pickle.dumps(Evil(target)))
    assert target.exists(), "it would have been run"


def test_whole_networks_and_settings_are_named(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "whole.pt")
    text = refused(tmp_path / "whole.pt")
    assert "torch.nn.modules.container.Sequential, torch.nn.modules.linear.Linear;" in text
    torch.save({"state_dict": {"a": torch.ones(2)}, "args": argparse.Namespace(lr=1)}, tmp_path / "args.pt")
    assert "argparse.Namespace;" in refused(tmp_path / "args.pt")


def test_classes_are_read_without_running_the_pickle() -> None:
    program = pickle.dumps([argparse.Namespace(), OrderedDict(), argparse.ArgumentTypeError()], protocol=4)
    assert weight_reader.foreign_classes(program) == ["argparse.Namespace", "argparse.ArgumentTypeError"]
    assert weight_reader.foreign_classes(b"garbage") == []


def test_a_file_cut_off_at_any_place_is_one_line(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.rand(40, 5)}, tmp_path / "x.pt")
    save_file({"a.weight": torch.rand(40, 5)}, tmp_path / "x.safetensors")
    for name in ("x.pt", "x.safetensors"):
        whole = (tmp_path / name).read_bytes()
        path = tmp_path / f"cut-{name}"
        for length in range(1, len(whole), 97):
            path.write_bytes(whole[:length])
            refused(path)


def test_a_byte_that_changed_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({"a.weight": torch.zeros(4000)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert "is damaged" in refused(path)


CONTENTS: dict[str, tuple[str, bytes, str]] = {
    "empty": ("x.pt", b"", "is empty"),
    "a web page": ("x.pth", b"<!DOCTYPE html><html>", "is a web page"),
    "Git LFS": ("x.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
    "Keras": ("x.h5", b"\x89HDF\r\n\x1a\n" + bytes(90), "HDF5"),
    "ONNX": ("x.onnx", b"\x08\x08\x12\x07pytorch" + bytes(90), "is an ONNX file"),
    "GGUF": ("x.bin", b"GGUF" + bytes(90), "GGUF"),
    "gzip": ("x.pt", b"\x1f\x8b" + bytes(90), "compressed with gzip"),
    "noise": ("x.pt", bytes(range(1, 200)), "is not a file of weights"),
    "noise like a pickle": ("x.bin", b"\x80" + bytes(range(200)), "is damaged, or no file of weights"),
    "no zip": ("x.pt", b"PK\x03\x04 garbage", "is damaged or cut off"),
    "no header": ("x.safetensors", b"garbage \x00\xff\xfe and more", "does not begin with a header"),
    "a huge header": ("x.safetensors", struct.pack("<Q", 90_000_000) + b"{", "would have 90,000,000 bytes"),
    "no JSON": ("x.safetensors", struct.pack("<Q", 8) + b"{garbage", "its header cannot be used"),
    "deep JSON": ("x.safetensors", struct.pack("<Q", 10**6 + 1) + b"{" + b"[" * 10**6, "its header cannot be used"),
}


@pytest.mark.parametrize("what", CONTENTS)
def test_other_files_are_named_for_what_they_are(tmp_path: Path, what: str) -> None:
    name, content, told = CONTENTS[what]
    (tmp_path / name).write_bytes(content)
    assert told in refused(tmp_path / name)


def header_file(path: Path, **row: object) -> Path:
    row = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16], **row}
    header = json.dumps({"a.weight": row}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    return path


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"shape": [2, 3]}, "which do not make 2×3"),
        ({"data_offsets": [8, 24]}, "lies outside the file"),
        ({"data_offsets": [-16, 0]}, "lies outside the file"),
        ({"shape": [-2, -2]}, "lies outside the file"),
        ({"dtype": "F7"}, "unknown type F7"),
        ({"shape": [2**40, 2**40], "data_offsets": [0, 16]}, "which do not make"),
        ({"shape": "22"}, "no list of axes"),
    ],
)
def test_a_header_is_not_believed(tmp_path: Path, row: dict[str, object], told: str) -> None:
    assert weight_file.describe(header_file(tmp_path / "good.safetensors")).values == 4
    with pytest.raises(UsageError, match=told):
        weight_file.describe(header_file(tmp_path / "x.safetensors", **row))


def test_zip_archives_that_torch_did_not_write(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("x/data.pkl", bytes(200 << 20))
    assert path.stat().st_size < 1 << 20 and "has packed members" in refused(path)
    with zipfile.ZipFile(path, "w") as other:
        other.writestr("notes.txt", "nothing")
    assert "is a zip archive without weights" in refused(path)
    with zipfile.ZipFile(path, "w") as other:
        other.writestr("a.npy", "nothing")
    assert "is a NumPy archive" in refused(path)
    with zipfile.ZipFile(path, "w") as script:
        script.writestr("x/data.pkl", b"")
        script.writestr("x/constants.pkl", b"")
    assert "is a TorchScript file" in refused(path)


def test_members_that_overlap_are_not_added_up(tmp_path: Path) -> None:
    """Many entries of one archive that point at the same bytes: a bomb without compression."""
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({}, protocol=2))
        archive.writestr("x/data/0", bytes(10_000))
        archive.filelist += [archive.filelist[-1]] * 50
    assert "claim more bytes than the file has" in refused(path)


def test_what_holds_no_weights_by_name(tmp_path: Path) -> None:
    for state, told in [
        (torch.ones(3), "one tensor of shape (3,) without a name"),
        ({"epoch": 3, "name": "x"}, "holds a dict with epoch, name, not weights by name"),
        ({}, "is empty: it holds no weights"),
        ([], "is empty: it holds no weights"),
        ([1, 2], "holds a list, not weights by name"),
        ({"optimizer": {"state": {0: {"m": torch.ones(3)}}}}, "the state of an optimiser alone"),
    ]:
        torch.save(state, tmp_path / "x.pt")
        assert told in refused(tmp_path / "x.pt")


def test_folders_and_devices_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "folder.pt").mkdir()
    assert "is a folder" in refused(tmp_path / "folder.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    assert "is not an ordinary file" in refused(tmp_path / "pipe.pt")
    assert "No such file" in refused(tmp_path / "nothing.pt")
    (tmp_path / "link.pt").symlink_to(tmp_path / "link.pt")
    refused(tmp_path / "link.pt")


def test_a_state_that_holds_itself_ends() -> None:
    state: dict[str, Any] = {"weights": {"a": torch.ones(2)}}
    state["again"] = state
    for _ in range(40):
        state = {"left": state, "right": state}
    assert len(weight_tables.tables(state)) <= 1
