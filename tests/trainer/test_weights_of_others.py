"""Files of weights from elsewhere: `show FILE` and `--init-from` agree, the last layer is kept where that is wanted, what
is no file of weights is one line; and a finished run names the command that trains it longer.
"""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.models.anatomy.saved_weights import weight_file
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.config import weights_source
from cnn_explorer.trainer.planning import planner
from cnn_explorer.trainer.weights import checkpoint, weight_files
from support.tensors import randomise
from support.training import asked, call, create_run, tiny_networks
from torch import Tensor

State = dict[str, Tensor]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the runs, with the networks tiny … in the catalogue."""
    yield from tiny_networks(tmp_path, monkeypatch)


def planned(**options: Any) -> tuple[weights_source.InitialWeights, list[str]]:
    said: list[str] = []
    begin = planner.plan(asked(**options), said.append).config.network.pretrained
    assert begin is not None
    return begin, said


def grey_resnet20() -> State:
    network = registry.build("resnet20", num_classes=10, in_channels=1, image_size=28)
    randomise(network)
    return dict(network.state_dict())


def prefixed(prefix: str) -> Callable[[State], object]:
    return lambda state: {prefix + name: value for name, value in state.items()}


def with_part(wrapper: str) -> Callable[[State], object]:
    """A part of the network alone is wrapped."""
    return lambda state: {name.replace("stage2.", f"stage2.{wrapper}"): value for name, value in state.items()}


FORMS: dict[str, Callable[[State], object]] = {
    "net": lambda state: {"net": state, "acc": 93.2, "epoch": 5},
    "state_dict of DataParallel": lambda state: {"state_dict": prefixed("module.")(state), "arch": "resnet20"},
    "model beside words of its own": lambda state: {
        "model": state,
        "network": "resnet20",
        "classes": 10,
        "average": torch.zeros(3),
        "mean": 0.5,
    },
    "model._orig_mod.": prefixed("model._orig_mod."),
    "_orig_mod.model.": prefixed("_orig_mod.model."),
    "module.model.net.": prefixed("module.model.net."),
    "_orig_mod.module.model.backbone.": prefixed("_orig_mod.module.model.backbone."),
    "model.module.": prefixed("model.module."),
    "backbone.": prefixed("backbone."),
    "a compiled part": with_part("_orig_mod."),
    "a part sharded and computed again": with_part("_fsdp_wrapped_module._checkpoint_wrapped_module."),
    "AveragedModel": lambda state: {"n_averaged": torch.tensor(7), **{f"module.{k}": v for k, v in state.items()}},
    "a list": lambda state: [{"state_dict": state}, {"lr": 0.1}],
    "weights of half precision": lambda state: {"params": {k: v.half() for k, v in state.items()}},
}


@pytest.mark.parametrize("form", FORMS)
def test_what_show_proposes_a_run_begins_with(tmp_path: Path, form: str) -> None:
    path = tmp_path / "x.pth"
    torch.save(FORMS[form](grey_resnet20()), path)
    fit = weight_file.describe(path).fits[0]
    assert (fit.network, fit.how, fit.by) == ("resnet20", "wholly", "name")
    begin, _ = planned(
        network=fit.network, dataset="digits", init_from=str(path), **({"stem": fit.stem} if fit.stem else {})
    )
    assert begin.newly_initialised == ()


def test_the_prefix_that_is_told_is_the_one_in_the_file(tmp_path: Path) -> None:
    for form in ("model._orig_mod.", "_orig_mod.model.", "module.model.net.", "backbone."):
        torch.save(FORMS[form](grey_resnet20()), tmp_path / "x.pth")
        assert weight_file.describe(tmp_path / "x.pth").prefix == form


SEVERAL: dict[str, tuple[Callable[[State, State], object], str, str]] = {
    "an average first": (lambda own, other: {"ema": other, "model": own}, "model", "ema"),
    "the same one twice": (lambda own, _: {"ema": own, "model": own}, "model", "ema"),
    "a backbone": (lambda own, other: {"teacher": other, "backbone": own}, "backbone", "teacher"),
    "an optimiser too": (
        lambda own, other: {"net": own, "swa": other, "optim": {"state": {0: {"exp_avg": torch.ones(2, 2)}}}},
        "net",
        "swa",
    ),
}


@pytest.mark.parametrize("form", SEVERAL)
def test_of_several_sets_of_weights_the_one_of_a_known_key_is_taken_and_the_others_are_named(
    tmp_path: Path, form: str
) -> None:
    wrap, key, other = SEVERAL[form]
    own = grey_resnet20()
    torch.save(wrap(own, {name: value + 1 for name, value in own.items()}), tmp_path / "x.pth")
    _, said = planned(network="resnet20", dataset="digits", init_from=str(tmp_path / "x.pth"))
    assert f"of x.pth the weights under {key} are taken; beside them it holds {other}" in said
    assert weight_files.read(tmp_path / "x.pth").tensors["head.bias"].equal(own["head.bias"])
    assert weight_file.describe(tmp_path / "x.pth").key == key


@pytest.mark.parametrize("keys", [("teacher", "student"), ("ema", "student"), ("swa_ema", "ema")])
def test_several_sets_of_weights_of_which_none_is_known_are_refused_by_their_keys(
    tmp_path: Path, keys: tuple[str, str]
) -> None:
    own = grey_resnet20()
    torch.save({key: {name: value + 1 for name, value in own.items()} for key in keys}, tmp_path / "x.pth")
    with pytest.raises(UsageError) as caught:
        planned(network="resnet20", dataset="digits", init_from=str(tmp_path / "x.pth"))
    told = str(caught.value)
    assert "holds several sets of weights (" in told and all(key in told for key in keys) and "\n" not in told
    with pytest.raises(UsageError, match="none of the keys says which is meant"):
        weight_file.describe(tmp_path / "x.pth")


def test_tensors_that_are_no_set_of_weights_leave_no_doubt(tmp_path: Path) -> None:
    state = {
        "mine": grey_resnet20(),
        "opt": {"state": {0: {"exp_avg": torch.ones(3, 3)}}},
        "loss": {"weight": torch.ones(3)},
    }
    torch.save(state, tmp_path / "x.pth")
    assert weight_files.read(tmp_path / "x.pth").beside == () and weight_file.describe(tmp_path / "x.pth").key == "mine"


def test_two_names_that_would_become_one_stay_apart(tmp_path: Path) -> None:
    torch.save({"a._orig_mod.w": torch.zeros(2, 2), "a.w": torch.ones(2, 2)}, tmp_path / "x.pth")
    assert set(weight_files.read(tmp_path / "x.pth").tensors) == {"a._orig_mod.w", "a.w"}


# -- the last layer --------------------------------------------------------------------------------------------------


def tiny_file(path: Path, classes: int = 10, names: tuple[str, ...] = ()) -> Path:
    """Weights of `tiny` for images of 28 × 28, whose classes may have names."""
    network = registry.build("tiny", num_classes=classes, in_channels=1, image_size=28)
    randomise(network)
    torch.save({"net": network.state_dict(), **({"classes": list(names)} if names else {})}, path)
    return path


HEAD = ("head.weight", "head.bias")
OTHERS = tuple("abcdefghij")


@pytest.mark.parametrize(
    ("names", "more", "new"),
    [
        (OTHERS, {}, HEAD),
        (OTHERS, {"keep_head": True}, ()),
        ((), {}, ()),
        ((), {"keep_head": False}, HEAD),
        (tuple("0123456789"), {}, ()),
        (tuple("0123456789"), {"keep_head": False}, HEAD),
        ((), {"keep_head": False, "recipe": {"freeze": "backbone"}}, HEAD),
    ],
)
def test_the_last_layer_is_kept_where_it_is_wanted(
    runs: Path, tmp_path: Path, names: tuple[str, ...], more: dict[str, Any], new: tuple[str, ...]
) -> None:
    file = tiny_file(tmp_path / "x.pth", names=names)
    begin, said = planned(dataset="digits", init_from=str(file), **more)
    assert begin.newly_initialised == new and begin.keep_head is more.get("keep_head")
    told = " ".join(said)
    assert ("--keep-head takes it too" in told) == (new == HEAD and not more)
    assert ("its classes a, b, c, d, e, f and 4 more are taken for 0, 1, 2" in told) == (names == OTHERS and not new)


def test_a_last_layer_that_does_not_fit_cannot_be_kept(runs: Path, tmp_path: Path) -> None:
    file = tiny_file(tmp_path / "x.pth", classes=7)
    with pytest.raises(UsageError) as caught:
        planned(dataset="digits", init_from=str(file), keep_head=True)
    assert str(caught.value) == (
        "keep-head: cannot be done: the last layer of x.pth does not fit; here it has 10 classes (head.bias, head.weight)"
    )
    assert planned(dataset="digits", init_from=str(file))[0].newly_initialised == HEAD


def test_keep_head_needs_weights_and_something_to_learn(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^keep-head: needs weights with a last layer: --init-from or --pretrained$"):
        planner.plan(asked(keep_head=True), print)
    file = tiny_file(tmp_path / "x.pth")
    with pytest.raises(UsageError, match=r"freeze: 'backbone' would leave nothing to learn.*; leave out --keep-head"):
        planned(dataset="digits", init_from=str(file), keep_head=True, recipe={"freeze": "backbone"})


def test_a_clone_keeps_the_last_layer_as_its_run_did(runs: Path, tmp_path: Path) -> None:
    file = tiny_file(tmp_path / "x.pth", names=OTHERS)
    path, lock = create_run(runs, init_from=str(file), keep_head=True)
    lock.release()
    config = path / "run.json"
    assert json.loads(config.read_text())["network"]["pretrained"]["keep_head"] is True
    assert planned(network=None, config=config)[0].newly_initialised == ()
    assert planned(network=None, config=config, keep_head=False)[0].newly_initialised == HEAD
    plain, lock = create_run(runs, init_from=str(file))
    lock.release()
    assert "keep_head" not in json.loads((plain / "run.json").read_text())["network"]["pretrained"]


def test_a_configuration_file_keeps_the_last_layer(runs: Path, tmp_path: Path) -> None:
    file = tiny_file(tmp_path / "x.pth", names=OTHERS)
    config = tmp_path / "mine.toml"
    config.write_text(f'network = "tiny"\ninit_from = "{file}"\nkeep_head = true\n')
    assert planned(network=None, config=config)[0].newly_initialised == ()


def test_the_form_asks_for_the_last_layer_too(tmp_path: Path) -> None:
    from cnn_explorer.tui.launch.form import LaunchForm, LaunchRequest, fill, words

    alone = LaunchForm(LaunchRequest(("lenet5",), "digits"), {"keep_head": "yes"})
    assert fill(alone, tmp_path).problems["keep_head"].startswith("needs weights with a last layer")
    whole = alone.with_value("init_from", "x.pth")
    assert "keep_head" not in fill(whole, tmp_path).problems
    assert {"--init-from", "x.pth", "--keep-head"} <= set(words(whole))
    assert "--no-keep-head" in words(whole.with_value("keep_head", "no"))


# -- what is no file of weights --------------------------------------------------------------------------------------

CONTENTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "web page": (b"\n<!DOCTYPE html><html>", "is a web page or XML, not a file of weights"),
    "web page with a mark": (b"\xef\xbb\xbf<html>", "is a web page or XML, not a file of weights"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a pointer of Git LFS"),
    "text": ("Quota exceeded für diese Datei. ".encode() * 9, "is text, not a file of weights"),
    "JSON": (b'{"error": "not found"}', "is text, not a file of weights"),
    "bytes": (b"\x00\x01\x02\xff" * 40, "is not a file of weights"),
    "cut off": (b"PK\x03\x04" + b"\0" * 60, "is damaged or cut off"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("what", CONTENTS)
def test_what_is_no_file_of_weights_is_the_same_line_everywhere(tmp_path: Path, what: str, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(CONTENTS[what][0])
    if what == "bytes" and suffix == ".safetensors":
        pytest.skip("a header that cannot be is told as such")
    with pytest.raises(UsageError) as shown:
        weight_file.describe(path)
    with pytest.raises(WorkError) as loaded:
        weight_files.read(path)
    assert str(loaded.value) == f"{path}: {shown.value.hint}" and "\n" not in str(loaded.value)
    assert CONTENTS[what][1] in str(loaded.value)


@pytest.mark.parametrize(
    ("state", "asked_for"),
    [
        ({"state_dict": {}, "hyper_parameters": argparse.Namespace(lr=1)}, "argparse.Namespace"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"net": torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1))}, "torch.nn.modules.container.Sequential"),
    ],
)
def test_code_is_refused_by_the_name_of_its_class(tmp_path: Path, state: object, asked_for: str) -> None:
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(WorkError, match=f"asks for code to be loaded, which is not done: .*{asked_for}") as caught:
        weight_files.read(tmp_path / "x.pt")
    assert "\n" not in str(caught.value)


def test_a_tensor_that_is_not_finite_is_named_as_in_the_file(runs: Path, tmp_path: Path) -> None:
    state = dict(registry.build("tiny", num_classes=10, in_channels=1, image_size=28).state_dict())
    state["conv.weight"] = torch.full_like(state["conv.weight"], float("nan"))
    torch.save({"net": {f"model.{name}": value for name, value in state.items()}}, tmp_path / "x.pth")
    with pytest.raises(UsageError, match=r"^init-from: 'x.pth' has NaN or infinite values in model.conv.weight; "):
        planned(dataset="digits", init_from=str(tmp_path / "x.pth"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda value: (100 * value).to(torch.int8), "int8"),
        (lambda value: value.to(torch.complex64), "complex64"),
        (lambda value: value.to("meta"), "a shape without values"),
        (lambda value: value.to_sparse(), "sparse float32"),
    ],
)
def test_tensors_that_are_no_floating_point_numbers_are_refused(
    runs: Path, tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], told: str
) -> None:
    state = dict(registry.build("tiny", num_classes=10, in_channels=1, image_size=28).state_dict())
    torch.save(state | {"conv.weight": change(state["conv.weight"])}, tmp_path / "x.pth")
    with pytest.raises(UsageError, match=rf"^init-from: 'x.pth' keeps conv.weight as {told}; "):
        planned(dataset="digits", init_from=str(tmp_path / "x.pth"))


def test_eight_bit_floating_point_numbers_are_taken_and_counters_stay_whole(runs: Path, tmp_path: Path) -> None:
    state = dict(registry.build("resnet20", num_classes=10, in_channels=1, image_size=28).state_dict())
    first = next(iter(state))
    torch.save(state | {first: state[first].to(torch.float8_e4m3fn)}, tmp_path / "x.pth")
    begin, _ = planned(network="resnet20", dataset="digits", init_from=str(tmp_path / "x.pth"))
    assert begin.newly_initialised == ()


def test_a_network_grown_from_weights_that_are_not_finite_is_refused(tmp_path: Path) -> None:
    shallow = dict(registry.build("vgg11_bn", stem="small", num_classes=10, in_channels=1, image_size=8).state_dict())
    shallow["stage1.conv1.conv.weight"] = torch.full_like(shallow["stage1.conv1.conv.weight"], float("inf"))
    network = {
        "name": "vgg11_bn",
        "stem": "small",
        "in_channels": 1,
        "image_size": 8,
        "num_classes": 10,
        "parameters": 0,
    }
    checkpoint.write({"model": shallow, "network": network, "classes": []}, tmp_path / "x.pt")
    with pytest.raises(UsageError, match=r"grow-from: 'x.pt' has NaN or infinite values in stage1.conv1.conv.weight"):
        planned(network="vgg13_bn", dataset="digits", grow_from=str(tmp_path / "x.pt"))


# -- longer ----------------------------------------------------------------------------------------------------------


def test_the_command_of_a_finished_run_trains_it_longer(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "tiny", "--dataset", "digits", "--epochs", "1", "--device", "cpu", "--threads", "1"]
    assert call(monkeypatch, *words, "--no-calibrate") == 0
    (first,) = runs.iterdir()
    told = capsys.readouterr().err
    assert call(monkeypatch, "runs", "resume", "last") == 2
    refused = capsys.readouterr().err
    expected = f"cnn-explorer runs clone {first.name} --init-from {first.name} --epochs 1"
    assert f"finished; '{expected}' trains it longer" in told
    assert f"cannot be resumed: it is finished; '{expected}' trains it longer" in refused
    assert call(monkeypatch, *shlex.split(expected)[1:]) == 0
    (second,) = set(runs.iterdir()) - {first}
    begin, earlier = (json.loads((path / "run.json").read_text()) for path in (second, first))
    assert begin["network"]["pretrained"]["name"] == first.name and begin["network"]["pretrained"]["fresh"] == []
    assert begin["recipe"] == earlier["recipe"]


def test_runs_elsewhere_and_frozen_weights_are_in_the_command(tmp_path: Path) -> None:
    from cnn_explorer.trainer.runs import train_longer
    from cnn_explorer.trainer.runs.annotations import Notes
    from cnn_explorer.trainer.runs.run import RunSnapshot

    def command(state: str, **recipe: object) -> str:
        config = {"recipe": {"epochs": 5} | recipe}
        return train_longer.command(RunSnapshot("x", tmp_path / "my runs" / "x", config, {}, Notes(), state))

    assert command("stopped") == command("training") == ""
    elsewhere = f"--runs '{tmp_path}/my runs'"
    assert command("finished") == f"cnn-explorer runs clone x --init-from x --epochs 5 {elsewhere}"
    assert command("finished", freeze="backbone").endswith(f"--freeze none {elsewhere}")
