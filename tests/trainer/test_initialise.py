"""Runs that begin with the weights of an earlier run or a file, and deep networks grown from trained shallow ones."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cnn_explorer.errors import UsageError
from cnn_explorer.models.anatomy.saved_weights.transplant import depends_on_classes
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.config import run_config
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.loop import session
from cnn_explorer.trainer.planning import lr_finder, planner
from cnn_explorer.trainer.runs.run_writer import Notes, checkpoint_paths, write_notes
from cnn_explorer.trainer.weights import checkpoint, initialise, weight_files
from support.tensors import randomise
from support.training import asked, create_run, same, status_of, tiny_networks, weights_of


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the runs, with the networks tiny … in the catalogue."""
    yield from tiny_networks(tmp_path, monkeypatch)


def trained(runs: Path, network: str = "tiny", **options: object) -> Path:
    path, lock = create_run(runs, network, **({"recipe": {"epochs": 1}} | options))
    assert execute_run(path, lock, log=lambda line: None) == 0
    return path


def first_weights(path: Path) -> dict[str, torch.Tensor]:
    """What a created run will begin with."""
    config = run_config.from_dict(json.loads((path / "run.json").read_text()))
    network = session.build_network(config)
    initialise.load_initial_weights(network, config.network)
    return network.state_dict()


def planned(**options: Any) -> tuple[run_config.RunConfig, list[str]]:
    said: list[str] = []
    return planner.plan(asked(**options), said.append).config, said


def test_the_run_to_begin_with_is_named_by_its_tag(runs: Path) -> None:
    earlier = trained(runs)
    write_notes(earlier, Notes(("parent",)))
    config, _ = planned(network="tiny", init_from="parent")
    assert config.network.pretrained is not None and config.network.pretrained.name == earlier.name


def test_the_run_to_begin_with_is_named_by_its_directory(runs: Path, tmp_path: Path) -> None:
    earlier = trained(runs)
    elsewhere = earlier.rename(tmp_path / "moved")
    begin = planned(network="tiny", init_from=str(elsewhere))[0].network.pretrained
    assert begin is not None and begin.source == str(elsewhere / "checkpoints" / "best.pt")
    with pytest.raises(UsageError, match="is neither a file nor a run"):
        planned(network="tiny", init_from=str(elsewhere / "checkpoints"))


def test_a_run_of_the_same_classes_is_taken_over_whole(runs: Path) -> None:
    earlier = trained(runs)
    config, _ = planned(network="tiny", init_from=earlier.name[-4:])
    begin = config.network.pretrained
    assert begin is not None
    assert (begin.kind, begin.name, begin.newly_initialised) == ("file", earlier.name, ())
    assert begin.source == str(earlier / "checkpoints" / "best.pt") and len(begin.digest) == 64
    assert config.recipe.backbone_lr == 0.1
    path, lock = create_run(runs, "tiny", init_from="last")
    lock.release()
    assert same(weights_of(earlier, "best") | {"norm.num_batches_tracked": torch.tensor(0)}, first_weights(path))


def test_other_classes_get_a_new_last_layer_and_the_earlier_normalisation(runs: Path, tmp_path: Path) -> None:
    earlier = trained(runs)
    facts = checkpoint.read(checkpoint_paths(earlier).best)
    facts["classes"] = [f"number {n}" for n in range(10)]  # as many, but others
    facts["mean"], facts["std"] = [0.25], [0.5]
    checkpoint.write({k: v for k, v in facts.items() if k != "schema"}, tmp_path / "other.pt")
    path, lock = create_run(
        runs, "tiny", init_from=str(tmp_path / "other.pt"), recipe={"freeze": "backbone", "epochs": 1}
    )
    begin = json.loads((path / "run.json").read_text())["network"]["pretrained"]
    assert begin["fresh"] == ["head.weight", "head.bias"] and (begin["mean"], begin["std"]) == ([0.25], [0.5])
    assert execute_run(path, lock, log=lambda line: None) == 0
    before, after = facts["model"], weights_of(path)
    for name in before:
        assert torch.equal(before[name], after[name]) == (not name.startswith("head")) or "num_batches" in name, name
    assert checkpoint.read(checkpoint_paths(path).best)["mean"] == [0.25]


def test_what_fits_is_taken_and_the_rest_is_told(runs: Path, tmp_path: Path) -> None:
    source = registry.build("resnet18", stem="small", num_classes=10, in_channels=3, image_size=32)
    torch.save({"state_dict": source.state_dict()}, tmp_path / "foreign.pth")
    foreign = str(tmp_path / "foreign.pth")
    config, said = planned(network="resnet34", dataset="digits", init_from=foreign)
    assert config.network.pretrained is not None
    newly_initialised = config.network.pretrained.newly_initialised
    # Grey digits: the first convolution does not fit; ResNet-34 has more blocks than the file.
    assert (
        newly_initialised[0].startswith("stem")
        and "head.weight" in newly_initialised
        and "stage1.2.conv1.conv.weight" in newly_initialised
    )
    assert "stage1.0.conv1.conv.weight" not in newly_initialised
    assert any("tensors loaded" in line and "and" in line for line in said)
    assert any(line.startswith("of foreign.pth find no place: stem") for line in said)
    assert any(line.startswith("of foreign.pth are not taken: head.weight, head.bias") for line in said)
    with pytest.raises(UsageError, match=r"init-from: 'foreign.pth' has no weights that fit tiny"):
        planned(network="tiny", init_from=foreign)


def test_the_stem_of_the_earlier_run_is_kept(runs: Path) -> None:
    earlier = trained(runs, "tiny", image_size=20)
    config, _ = planned(network="tiny", init_from=earlier.name)
    assert config.network.image_size == 20
    config, _ = planned(network="tiny", init_from=earlier.name, image_size=28)
    assert config.network.image_size == 28 and config.network.pretrained is not None
    assert "head.weight" in config.network.pretrained.newly_initialised


def test_a_file_that_changes_or_goes_before_the_run_begins(runs: Path, tmp_path: Path) -> None:
    earlier = trained(runs)
    copy = tmp_path / "copy.pt"
    copy.write_bytes((earlier / "checkpoints" / "best.pt").read_bytes())
    changed, lock = create_run(runs, "tiny", init_from=str(copy))
    state = checkpoint.read(copy)
    state["model"]["head.bias"] += 1
    checkpoint.write({k: v for k, v in state.items() if k != "schema"}, copy)
    assert execute_run(changed, lock, log=lambda line: None) == 1
    assert "copy.pt: has changed since" in status_of(changed)["error"]
    gone, lock = create_run(runs, "tiny", init_from=str(copy))
    copy.unlink()
    assert execute_run(gone, lock, log=lambda line: None) == 1
    assert "copy.pt: is not there" in status_of(gone)["error"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nothing.pt", "init-from: 'nothing.pt' is neither a file nor a run"),
        ("../escape", "init-from: '../escape' is neither a file nor a run"),
        ("zzzz", "init-from: 'zzzz' is n"),
    ],
)
def test_what_is_no_source(runs: Path, value: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        planned(network="tiny", init_from=value)


def test_with_the_same_classes_a_frozen_backbone_would_be_all_of_the_network(runs: Path) -> None:
    trained(runs)
    with pytest.raises(UsageError, match="freeze: 'backbone' would leave nothing to learn"):
        planned(network="tiny", init_from="last", recipe={"freeze": "backbone"})


def test_the_range_test_leaves_frozen_statistics_alone(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = torch.load(trained(runs) / "checkpoints" / "best.pt", weights_only=True)["model"]
    torch.save({name: value for name, value in weights.items() if "head" not in name}, tmp_path / "backbone.pt")
    made = planner.plan(asked(init_from=str(tmp_path / "backbone.pt"), freeze="backbone"), print)
    learn = sum(value.numel() for name, value in weights.items() if "head" in name)
    assert f"({learn:,} of {made.config.network.parameters:,} parameters learn)" in planner.summary(made.config)
    sessions = []
    monkeypatch.setattr(lr_finder, "STEPS", 3)
    monkeypatch.setattr(
        lr_finder, "build_session", lambda *parts: sessions.append(session.build_session(*parts)) or sessions[0]
    )
    lr_finder.range_test(made.config, made.data)
    after = sessions[0].network.state_dict()
    backbone = [name for name in after if "head" not in name and "num_batches" not in name]
    assert any("running_mean" in name for name in backbone)
    assert all(torch.equal(after[name], weights[name]) for name in backbone)


def test_a_bias_that_fits_by_chance_is_no_beginning(runs: Path, tmp_path: Path) -> None:
    torch.save({"head.bias": torch.zeros(10)}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match=r"'other.pt' has no weights that fit tiny"):
        planned(network="tiny", init_from=str(tmp_path / "other.pt"))


def test_names_without_what_wrappers_put_before_them(runs: Path, tmp_path: Path) -> None:
    plain = torch.load(trained(runs) / "checkpoints" / "best.pt", weights_only=True)["model"]
    for wrapper in ("module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."):
        torch.save({wrapper + name: value for name, value in plain.items()}, tmp_path / "wrapped.pt")
        assert weight_files.read(tmp_path / "wrapped.pt").tensors.keys() == plain.keys()


def test_a_whole_network_in_a_file_is_told_as_what_it_is(runs: Path, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(UsageError) as caught:
        planned(network="tiny", init_from=str(tmp_path / "whole.pt"))
    assert "asks for code to be loaded, which is not done: torch.nn.modules.linear.Linear" in str(caught.value)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("contents", [b"", b"PK garbage", "text", "numbers", "code"])
def test_a_file_without_weights(runs: Path, tmp_path: Path, contents: bytes | str) -> None:
    path = tmp_path / "bad.pt"
    if isinstance(contents, bytes):
        path.write_bytes(contents)
    else:
        torch.save({"text": "no weights", "numbers": {"epoch": 3}, "code": print}[contents], path)
    with pytest.raises(UsageError, match=r"init-from: .*bad\.pt: (is empty|is damaged|holds|asks for code)") as caught:
        planned(network="tiny", init_from=str(path))
    assert "\n" not in str(caught.value)


def test_a_run_without_weights(runs: Path) -> None:
    path, lock = create_run(runs)
    lock.release()
    with pytest.raises(UsageError, match="has no weights yet"):
        planned(network="tiny", init_from=path.name)


def test_what_depends_on_the_classes() -> None:
    for name, expected in (
        ("resnet20", {"head.weight", "head.bias"}),
        ("squeezenet1_1", None),
        ("googlenet_bn_aux", None),
    ):
        found = depends_on_classes(lambda n, name=name: registry.build(name, num_classes=n))
        assert found and (expected is None or found == expected)
    assert {name.split(".")[0] for name in found} == {"head", "head1", "head2"}


def test_a_vgg_grown_from_a_shallow_one(runs: Path, tmp_path: Path) -> None:
    """Simonyan and Zisserman, section 3.1, with the small stem: four convolutions with their norms, and the last layer."""
    shallow = registry.build("vgg11_bn", stem="small", num_classes=10, in_channels=1, image_size=8)
    randomise(shallow)
    before = shallow.state_dict()
    config = run_config.NetworkConfig("vgg11_bn", "small", 1, 8, 10, 0).to_dict()
    checkpoint.write({"model": before, "network": config, "classes": []}, tmp_path / "shallow.pt")
    path, lock = create_run(runs, "vgg13_bn", grow_from=str(tmp_path / "shallow.pt"))
    lock.release()
    written = json.loads((path / "run.json").read_text())
    begin = written["network"]["pretrained"]
    assert (begin["kind"], written["network"]["image_size"]) == ("grown", 8)
    assert (written["recipe"]["backbone_lr"], written["recipe"]["freeze"]) == (1.0, "none")
    layers = ("stage1.conv1", "stage2.conv1", "stage3.conv1", "stage3.conv2", "head")
    after = first_weights(path)
    chance = session.build_network(run_config.from_dict(written)).state_dict()
    for name, value in after.items():
        copied = name.startswith(layers)
        assert torch.equal(value, before[name] if copied else chance[name]), name
        if value.dtype.is_floating_point and "running" not in name:
            assert (name in begin["fresh"]) != copied, name


def test_copied_layers_compute_what_they_did() -> None:
    from cnn_explorer.models import vgg

    shallow, deep = (
        build(num_classes=3, in_channels=1, image_size=32, stem="small").double().eval()
        for build in (vgg.vgg11_bn, vgg.vgg16_bn)
    )
    randomise(shallow, 1)
    copied = vgg.grow(deep, shallow)
    assert copied == ["stage1.conv1", "stage2.conv1", "stage3.conv1", "stage3.conv2", "head"]
    for name in copied:
        layer = deep.get_submodule(name)
        weight = next(layer.parameters())
        shape = (2, weight.shape[1], 8, 8) if weight.ndim == 4 else (2, weight.shape[1])
        x = torch.randn(shape, dtype=torch.float64)
        assert torch.equal(layer(x), shallow.get_submodule(name)(x))


@pytest.mark.parametrize(
    ("network", "source", "message"),
    [
        ("tiny", "tiny", "grow-from: 'tiny' cannot be grown: its model file declares no grow"),
        ("vgg13_bn", "tiny", "is of tiny; vgg13_bn grows from a network of its own family, vgg"),
        ("vgg13_bn", "bare", "does not say of which network it is"),
        ("vgg13_bn", "vgg_nano", "grow-from: 'vgg_nano' does not fit vgg13_bn"),
    ],
)
def test_what_cannot_grow(runs: Path, tmp_path: Path, network: str, source: str, message: str) -> None:
    path = tmp_path / "source.pt"
    built = registry.build("tiny" if source == "bare" else source, num_classes=10, in_channels=1, image_size=28)
    if source == "bare":
        torch.save(built.state_dict(), path)
    else:
        config = run_config.NetworkConfig(source, None, 1, 28, 10, 0).to_dict()
        checkpoint.write({"model": built.state_dict(), "network": config, "classes": []}, path)
    with pytest.raises(UsageError, match=message):
        planned(network=network, dataset="digits", stem="small", grow_from=str(path))


# -- files of other programs -----------------------------------------------------------------------------------------


def begins(runs: Path, path: Path, network: str = "resnet20", **options: Any) -> tuple[set[str], list[str]]:
    """The parameters that a plan would draw, and what it says."""
    config, said = planned(network=network, dataset="digits", init_from=str(path), **options)
    assert config.network.pretrained is not None
    return set(config.network.pretrained.newly_initialised), said


def grey_resnet20(classes: int = 10) -> dict[str, torch.Tensor]:
    network = registry.build("resnet20", num_classes=classes, in_channels=1, image_size=28)
    randomise(network)
    return dict(network.state_dict())


FORMS: dict[str, Any] = {
    "plain": lambda state: state,
    "half": lambda state: {k: v.half() for k, v in state.items()},
    "kuangliu": lambda state: {"net": state, "acc": 93.2, "epoch": 5},
    "module in net": lambda state: {"net": {f"module.{k}": v for k, v in state.items()}},
    "lightning": lambda state: {
        "state_dict": {f"model.{k}": v for k, v in state.items()} | {"loss.weight": torch.ones(10)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(999, 999)}}}],
    },
    "lightning, compiled": lambda state: {"state_dict": {f"model._orig_mod.{k}": v for k, v in state.items()}},
    "nested": lambda state: {"model": {"state_dict": state}},
    "with an average": lambda state: {"state_dict_ema": {k: v + 1 for k, v in state.items()}, "state_dict": state},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_usual_form_of_a_checkpoint_begins_a_run(runs: Path, tmp_path: Path, form: str) -> None:
    state, path = grey_resnet20(), tmp_path / "x.pth"
    torch.save(FORMS[form](state), path)
    new, said = begins(runs, path)
    assert new == set() and any("the last layer of x.pth is taken too: its 10 classes have no names" in s for s in said)
    made, lock = create_run(runs, "resnet20", dataset="digits", init_from=str(path))
    lock.release()
    weights = first_weights(made)
    for name, value in state.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.allclose(weights[name], value.float(), atol=2e-3), name


def test_a_last_layer_of_other_classes_is_left_out_and_said(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"net": grey_resnet20(7)}, path)
    new, said = begins(runs, path)
    assert new == {"head.weight", "head.bias"}
    assert any(line == "of x.pth find no place: head.weight, head.bias" for line in said)
    torch.save({"net": grey_resnet20()}, path)
    new, said = begins(runs, path, freeze="backbone")
    assert new == {"head.weight", "head.bias"}, "else nothing would be left to learn"
    expected = "of x.pth are not taken: head.weight, head.bias: the last layer, of classes that the file does not name"
    assert expected in said


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(runs: Path, tmp_path: Path, value: float) -> None:
    state = grey_resnet20()
    state["head.bias"][0] = value
    torch.save(state, tmp_path / "bad.pth")
    with pytest.raises(UsageError, match=r"^init-from: 'bad.pth' has NaN or infinite values in head.bias; a training"):
        planned(network="resnet20", dataset="digits", init_from=str(tmp_path / "bad.pth"))
    state["head.bias"] = torch.full((7,), value)  # what is not loaded does no harm
    torch.save(state, tmp_path / "bad.pth")
    new, _ = begins(runs, tmp_path / "bad.pth")
    assert new == {"head.weight", "head.bias"}


def test_torchvisions_names_are_paired_with_ours(runs: Path, tmp_path: Path) -> None:
    import torchvision

    theirs = torchvision.models.resnet18(num_classes=10)
    randomise(theirs)
    torch.save(theirs.state_dict(), tmp_path / "tv.pth")
    new, said = begins(runs, tmp_path / "tv.pth", "resnet18", stem="imagenet", image_size=64)
    assert {name.partition(".")[0] for name in new} == {"stem", "head"}, "the images are grey"
    assert any("the names in tv.pth are those of torchvision:resnet18" in line for line in said)
    config = run_config.NetworkConfig("resnet18", "imagenet", 3, 64, 10, 0)
    ours = weight_files.build(config).eval()
    begin = run_config.weights_source.InitialWeights(
        "file", "tv.pth", str(tmp_path / "tv.pth"), weight_files.digest(tmp_path / "tv.pth"), (), (), ()
    )
    initialise.load_initial_weights(ours, dataclasses.replace(config, pretrained=begin))
    images = torch.rand(2, 3, 64, 64)
    assert torch.allclose(ours(images), theirs.eval()(images), rtol=1e-3, atol=1e-3), "the same function"


def test_other_names_in_the_same_order_are_paired_and_said(runs: Path, tmp_path: Path) -> None:
    state = {}
    for name, value in grey_resnet20().items():
        module, _, leaf = name.rpartition(".")
        state[f"{module.replace('.', '_')}_x.{leaf}"] = value
    torch.save(state, tmp_path / "other.pth")
    new, said = begins(runs, tmp_path / "other.pth")
    assert new == set() and any("paired by order and shape, which does not prove" in line for line in said)
    torch.save(dict(reversed(state.items())), tmp_path / "other.pth")
    with pytest.raises(UsageError, match="has no weights that fit resnet20"):
        begins(runs, tmp_path / "other.pth")


def test_a_run_of_an_earlier_version_whose_patches_leave_a_margin_still_loads(runs: Path) -> None:
    config = run_config.NetworkConfig("vit_nano", None, 1, 30, 10, 0)
    network: Any = weight_files.build(config)
    assert network.stem.grid == 7
    with pytest.raises(UsageError, match=r"^image_size: 30 is not a multiple of the patch 4; 28 or 32 works$"):
        planned(network="vit_nano", dataset="digits", image_size=30)
    with pytest.raises(UsageError, match=r"^image_size: 30 is not a multiple of the patch 4; 28 or 32 works$"):
        registry.build("vit_nano", image_size=30)


@pytest.mark.parametrize(
    ("new", "of", "names", "words"),
    [
        (0, 61_706, (), "no parameter is new"),
        (1, 1, ("scale",), "1 of 1 parameter is new: scale"),
        (850, 61_706, ("head.weight", "head.bias"), "850 of 61,706 parameters are new: head.weight, head.bias"),
    ],
)
def test_how_many_parameters_are_new_is_plain_english(new, of, names, words):
    assert initialise._new(new, of, names) == words
