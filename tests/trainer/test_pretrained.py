"""Published weights in our networks: the same function as torchvision with the same file, and what a run makes of them.

There is no network in a test, so the files are made here: torchvision's networks with every weight drawn at random, under
the names and in the folder where torchvision would put them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import urllib.error
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.models import convnext, swin, vgg, vit
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.saved_weights.transplant import named_weights
from cnn_explorer.models.catalogue import registry
from cnn_explorer.trainer.batches.batches import InputTransform
from cnn_explorer.trainer.config import run_config, weights_source
from cnn_explorer.trainer.config.request import TrainRequest
from cnn_explorer.trainer.config.weights_source import WeightsRequest
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.loop import session
from cnn_explorer.trainer.loop.trainer import Stopped
from cnn_explorer.trainer.optim import fine_tuning
from cnn_explorer.trainer.planning import planner
from cnn_explorer.trainer.runs.run_writer import checkpoint_paths
from cnn_explorer.trainer.weights import checkpoint, torchvision_weights
from PIL import Image
from support.same_function import relative_difference
from support.tensors import randomise
from support.training import asked, bench, create_run, same, status_of, weights_of
from torch import nn
from torchvision.models.convnext import CNBlockConfig

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch's hub in an empty folder."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def write_file(chosen: torchvision_weights.Published, theirs: nn.Module) -> None:
    """Draw the weights of torchvision's network and save them where its loader looks.

    The published files of DenseNet have names with one dot more, from before torchvision renamed these layers.
    """
    randomise(theirs)
    chosen.file.parent.mkdir(parents=True, exist_ok=True)
    state = theirs.state_dict()
    if chosen.model.startswith("densenet"):
        state = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value for key, value in state.items()}
    torch.save(state, chosen.file)


def torchvisions(model: str, **options) -> nn.Module:
    if model in torchvision_weights.HALVES:
        options |= {"aux_logits": True, "init_weights": False, "transform_input": True}
    return without_values(lambda: getattr(torchvision.models, model)(**options))


def without_values(build: Callable[[], nn.Module]) -> nn.Module:
    """A network whose values are whatever lay in memory: drawing them costs more than all the rest, and none survives."""
    return counting.on_meta(build).to_empty(device="cpu")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 64),
        ("mobilenet_v2_100", 64),
        ("efficientnet_b0", 64),
        ("densenet121", 64),
        ("googlenet_bn", 64),
        ("inception_v3", 80),
    ],
)
def test_the_function_is_torchvisions(name: str, size: int) -> None:
    """The same images, normalised as each side says, and the same scores; GoogLeNet and Inception convert inside."""
    variant = registry.find(name)
    chosen = torchvision_weights.find(variant)
    theirs = torchvisions(variant.torchvision)
    write_file(chosen, theirs)
    ours = without_values(lambda: registry.build(name, image_size=size))
    torchvision_weights.copy_into(
        ours, chosen, lambda n: registry.build(name, num_classes=n, image_size=size), size, ()
    )
    assert_equal(ours, theirs, size, chosen)


def assert_equal(ours: nn.Module, theirs: nn.Module, size: int, chosen: torchvision_weights.Published) -> None:
    images = torch.rand((2, 3, size, size), dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def normalised(mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
        mean_, std_ = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (mean, std))
        return (images - mean_) / std_

    with torch.no_grad():
        scores = ours.double().eval()(normalised(chosen.mean, chosen.std))
        wanted = theirs.double().eval()(normalised(IMAGENET_MEAN, IMAGENET_STD))
    assert relative_difference(scores, wanted) < 1e-9


WIDTHS = (16, 32, 64, 128)


def _convnext(size: int) -> nn.Module:
    rows = [CNBlockConfig(*pair, 1) for pair in zip(WIDTHS, (*WIDTHS[1:], None), strict=True)]
    return torchvision.models.ConvNeXt(rows, num_classes=1000)


def _swin(size: int) -> nn.Module:
    return torchvision.models.SwinTransformer([4, 4], 32, [2, 2, 2, 2], [2, 4, 8, 16], [7, 7], num_classes=1000)


def _vit(size: int) -> nn.Module:
    return torchvision.models.VisionTransformer(size, 16, 2, 2, 32, 64, num_classes=1000)


def _vgg(size: int) -> nn.Module:
    network = torchvision.models.vgg11_bn(init_weights=False)
    network.classifier[0], network.classifier[3] = nn.Linear(25088, 16), nn.Linear(16, 16)
    network.classifier[6] = nn.Linear(16, 1000)
    return network


# Families whose smallest published network has 28 million parameters and more: the same code, narrower.
NARROW = {
    "convnext_tiny": (
        lambda n: convnext.ConvNeXt(convnext.Size((1, 1, 1, 1), WIDTHS, 0.0), num_classes=n, image_size=64),
        _convnext,
    ),
    "swin_tiny": (
        lambda n: swin.SwinTransformer(
            swin.Size(32, (2, 2, 2, 2), (2, 4, 8, 16), window=7), num_classes=n, image_size=64
        ),
        _swin,
    ),
    "vit_base_16": (
        lambda n: vit.VisionTransformer(vit.Size(32, 2, 64, 2), patch_size=16, num_classes=n, image_size=64),
        _vit,
    ),
    "vgg11_bn": (lambda n: vgg.vgg11_bn(num_classes=n, image_size=64, hidden=16), _vgg),
}


@pytest.mark.parametrize("name", NARROW)
def test_the_function_is_torchvisions_in_large_families(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """``reference`` is put aside for a narrow network; file, reading, pairing and copying are the real ones."""
    build, theirs = NARROW[name]
    monkeypatch.setattr(
        torchvision_weights, "reference", lambda chosen, size: counting.on_meta(lambda: theirs(size)).eval()
    )
    chosen = dataclasses.replace(torchvision_weights.find(registry.find(name)), size=64)
    # Swin's table of indices is no weight and has to be computed.
    network = theirs(64) if name == "swin_tiny" else without_values(lambda: theirs(64))
    ours = build(1000)
    write_file(chosen, network)
    torchvision_weights.copy_into(ours, chosen, build, 64, ())
    assert_equal(ours, network, 64, chosen)


def test_a_vits_positions_are_stretched_to_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dosovitskiy et al., section 3.2: the table is interpolated as an image; the class token's row stays."""
    build, theirs = (
        (lambda n: vit.VisionTransformer(vit.Size(32, 2, 64, 2), patch_size=16, num_classes=n, image_size=64)),
        _vit,
    )
    monkeypatch.setattr(
        torchvision_weights, "reference", lambda chosen, size: counting.on_meta(lambda: theirs(size)).eval()
    )
    chosen = dataclasses.replace(torchvision_weights.find(registry.find("vit_base_16")), size=32)
    network: Any = theirs(32)
    ours = build(1000)
    write_file(chosen, network)
    torchvision_weights.copy_into(ours, chosen, build, 64, ())
    before, after = network.encoder.pos_embedding[0], dict(ours.named_parameters())["tokens.positions"][0]
    assert before.shape == (1 + 4, 32) and after.shape == (1 + 16, 32)
    assert torch.equal(before[0], after[0])
    # Corners of the stretched table lie on the corners of the old one.
    assert torch.allclose(after[1:].reshape(4, 4, 32)[::3, ::3].reshape(4, 32), before[1:], atol=1e-6)


def test_the_notes_declare_what_torchvision_has() -> None:
    """Each name is one of torchvision's, and its weights have as many parameters as a network of ours that declares it."""
    having = [variant for variant in registry.variants().values() if variant.torchvision]
    assert len(having) > 50
    for variant in having:
        entries = [e for e in torchvision.models.get_model_weights(variant.torchvision) if e.meta["categories"]]
        size = variant.paper_stem.input[1]
        entry = next((e for e in entries if e.transforms().crop_size[0] == size), entries[-1])
        same = {other.paper_stem.parameters for other in having if other.torchvision == variant.torchvision}
        assert entry.meta["num_params"] in same, variant.name


def test_the_view_of_the_weights() -> None:
    assert torchvision_weights.find(registry.find("resnet50")).name == "ResNet50_Weights.IMAGENET1K_V2"
    older = torchvision_weights.find(registry.find("resnet50"), "IMAGENET1K_V1")
    assert (older.name, older.file.name, older.size) == ("ResNet50_Weights.IMAGENET1K_V1", "resnet50-0676ba61.pth", 224)
    assert (older.mean, older.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert torchvision_weights.find(registry.find("efficientnet_v2_l")).mean == (0.5, 0.5, 0.5)
    assert torchvision_weights.find(registry.find("efficientnet_b3")).size == 300
    for name in ("googlenet_bn", "inception_v3"):
        assert torchvision_weights.find(registry.find(name)).std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("lenet5", "", r"pretrained: 'lenet5' has no published weights.* resnet18, .*convnext_tiny$"),
        ("googlenet", "", r"in its family googlenet_bn, googlenet_bn_aux have some$"),
        (
            "resnet18",
            "IMAGENET1K_V7",
            r"weights: 'IMAGENET1K_V7' is not a set of weights for resnet18; there are IMAGENET1K_V1$",
        ),
        ("vgg16", "IMAGENET1K_FEATURES", r"there are IMAGENET1K_V1$"),
    ],
)
def test_weights_that_do_not_exist(name: str, weights: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        torchvision_weights.find(registry.find(name), weights)


def test_no_network_and_no_file_is_one_clear_line(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args, **options):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(WorkError) as caught:
        planner.plan(TrainRequest.of("resnet18", pretrained=True, device="cpu"), print)
    text = str(caught.value)
    assert "\n" not in text
    for part in ("resnet18-f37072fd.pth", str(hub), "Name or service not known", "curl -LO https://"):
        assert part in text


def test_a_file_fetched_is_held_against_its_hash(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own downloader fetches from a file: URL, and finds that its name promises other contents."""
    origin = hub.parent / "resnet18-f37072fd.pth"
    origin.parent.mkdir(parents=True)
    origin.write_bytes(b"not what was published")
    chosen = dataclasses.replace(torchvision_weights.find(registry.find("resnet18")), url=origin.as_uri())
    with pytest.raises(WorkError, match="invalid hash value"):
        torchvision_weights.fetch(chosen, lambda line: None)
    assert not chosen.file.exists()
    sha = hashlib.sha256(origin.read_bytes()).hexdigest()
    right = origin.rename(origin.with_name(f"resnet18-{sha[:8]}.pth"))
    chosen = dataclasses.replace(chosen, url=right.as_uri())
    torchvision_weights.fetch(chosen, lambda line: None)
    assert chosen.file.read_bytes() == right.read_bytes()


@pytest.mark.parametrize("contents", [b"", b"garbage", "another network", "code"])
def test_a_file_that_cannot_be_used(contents: bytes | str, hub: Path) -> None:
    chosen = torchvision_weights.find(registry.find("squeezenet1_1"))
    hub.mkdir(parents=True)
    if isinstance(contents, bytes):
        chosen.file.write_bytes(contents)
    else:
        torch.save({"conv.weight": torch.ones(3)} if contents == "another network" else print, chosen.file)
    with pytest.raises(WorkError, match="does not hold" if contents == "another network" else "is damaged") as caught:
        torchvision_weights.read(chosen, 64)
    assert str(chosen.file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture
def animals(tmp_path: Path) -> str:
    """Two classes of twelve tiny images, as those who fine-tune begin with."""
    generator = np.random.default_rng(0)
    for number, name in enumerate(("ants", "bees")):
        (tmp_path / "animals" / name).mkdir(parents=True)
        for index in range(12):
            values = generator.integers(0, 128, (40, 40, 3), dtype=np.uint8) + np.uint8(120 * number)
            Image.fromarray(values).save(tmp_path / "animals" / name / f"{index}.png")
    return f"folder:{tmp_path / 'animals'}"


@pytest.fixture
def published_file() -> torchvision_weights.Published:
    """A file of random weights for a small network with batch normalisation."""
    chosen = torchvision_weights.find(registry.find("shufflenet_v2_050"))
    write_file(chosen, torchvision.models.shufflenet_v2_x0_5())
    return chosen


def requested(dataset: str, **recipe: object) -> dict:
    values = {"epochs": 2, "batch_size": 4} | recipe
    return {"dataset": dataset, "pretrained": True, "image_size": 32, "recipe": values}


def as_published(chosen: torchvision_weights.Published, size: int = 32) -> dict[str, torch.Tensor]:
    """The backbone's weights as they are in the file, under our names."""
    network = registry.build("shufflenet_v2_050", num_classes=2, image_size=size)
    build = partial(registry.build, "shufflenet_v2_050", image_size=size)
    torchvision_weights.copy_into(network, chosen, lambda n: build(num_classes=n), size, HEAD)
    return {name: value for name, value in named_weights(network).items() if name not in HEAD}


HEAD = ("head.weight", "head.bias")


def test_a_frozen_backbone_and_a_new_head(
    tmp_path: Path, animals: str, published_file: torchvision_weights.Published
) -> None:
    path, lock = create_run(tmp_path / "runs", "shufflenet_v2_050", **requested(animals, freeze="backbone", ema=0.9))
    written = json.loads((path / "run.json").read_text())
    begin = written["network"]["pretrained"]
    assert (begin["kind"], begin["name"], begin["source"]) == ("torchvision", published_file.name, published_file.url)
    assert tuple(begin["fresh"]) == HEAD and begin["mean"] == list(IMAGENET_MEAN)
    assert (written["network"]["stem"], written["network"]["num_classes"]) == ("imagenet", 2)
    chance = session.build_network(run_config.from_dict(written)).state_dict()
    assert execute_run(path, lock, log=lambda line: None) == 0
    trained = weights_of(path)
    for name, value in as_published(published_file).items():
        assert torch.equal(trained[name], value), f"{name} has moved"
    assert not any(torch.equal(trained[name], chance[name]) for name in HEAD)
    best = checkpoint.read(checkpoint_paths(path).best)
    assert (best["classes"], best["mean"]) == (["ants", "bees"], list(IMAGENET_MEAN))


def test_discriminative_rates(tmp_path: Path, animals: str, published_file: torchvision_weights.Published) -> None:
    options = requested(animals, lr=0.01, momentum=0, weight_decay=0, schedule="constant", layer_decay=0.5)
    path, lock = create_run(tmp_path / "runs", "shufflenet_v2_050", **options)
    with bench(path, lock, stop_after=1) as ours:
        optimizer = ours.session.updater.optimizer
        network: Any = ours.session.network
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        before = {name: value.clone() for name, value in network.state_dict().items()}
        with pytest.raises(Stopped):
            ours.trainer.run()
        stages = [stage.name for stage in network.declaration.stages]
        rates = {}
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                rates[names[id(parameter)]] = group["lr"]
                moved = before[names[id(parameter)]] - parameter.detach()
                assert torch.allclose(moved, group["lr"] * parameter.grad, rtol=1e-2, atol=1e-6)
    assert rates["head.weight"] == pytest.approx(0.01)  # new: the whole rate
    first = next(iter(network.named_parameters()))[0]
    assert rates[first] == pytest.approx(0.01 * 0.1 * 0.5 ** (len(stages) - 1))
    assert len({round(rate, 12) for rate in rates.values()}) >= len(stages)
    lock.release()


def test_frozen_statistics_stay_and_others_do_not() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4))
    fine_tuning.freeze(network, ["3.weight", "4.weight", "4.bias"])
    fine_tuning.train_mode(network)
    assert [module.training for module in network] == [True, False, True, True, True]


def test_resuming_needs_the_file_no_more(tmp_path: Path, animals: str) -> None:
    """And before the first checkpoint it does, and says so."""
    chosen = torchvision_weights.find(registry.find("squeezenet1_1"))
    write_file(chosen, torchvisions("squeezenet1_1"))
    through, lock = create_run(tmp_path / "runs", "squeezenet1_1", **requested(animals))
    assert execute_run(through, lock, log=lambda line: None) == 0
    halves, lock = create_run(tmp_path / "runs", "squeezenet1_1", **requested(animals))
    with bench(halves, lock, stop_after=3) as ours, pytest.raises(Stopped):
        ours.trainer.run()
    chosen.file.unlink()
    assert execute_run(halves, lock, log=lambda line: None) == 0
    assert same(weights_of(halves), weights_of(through))
    write_file(chosen, torchvisions("squeezenet1_1"))
    early, lock = create_run(tmp_path / "runs", "squeezenet1_1", **requested(animals))
    chosen.file.write_bytes(b"")
    assert execute_run(early, lock, log=lambda line: None) == 1
    assert str(chosen.file) in status_of(early)["error"]


def test_grey_images_the_weights_own_size_and_a_rate_for_fine_tuning(
    published_file: torchvision_weights.Published,
) -> None:
    said: list[str] = []
    config = planner.plan(TrainRequest.of("shufflenet_v2_050", pretrained=True, device="cpu"), said.append).config
    network = config.network
    assert (network.in_channels, network.image_size, network.num_classes) == (3, 224, 10)
    assert (config.recipe.backbone_lr, config.recipe.epochs, config.recipe.freeze) == (0.1, 10, "none")
    assert any("grey images become 3" in line for line in said)
    assert any("10,250 of 352,042 parameters are new: head.weight, head.bias" in line for line in said)
    assert network.pretrained is not None
    input_transform = InputTransform(network.pretrained.mean, network.pretrained.std, 28, torch.device("cpu"))
    grey = torch.full((2, 1, 28, 28), 255, dtype=torch.uint8)
    seen = input_transform.normalised(grey)
    assert seen.shape == (2, 3, 28, 28)
    expected = [(1 - m) / s for m, s in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    assert seen[0, :, 0, 0].tolist() == pytest.approx(expected, rel=1e-5)


def test_a_run_json_begins_in_the_same_way_again(tmp_path: Path, published_file: torchvision_weights.Published) -> None:
    path, lock = create_run(tmp_path / "runs", "shufflenet_v2_050", **requested("digits", freeze="backbone"))
    lock.release()
    first = run_config.from_dict(json.loads((path / "run.json").read_text()))
    request = TrainRequest.of(config=path / "run.json", threads=1)
    assert planner.plan(request, lambda line: None).config == first
    from_chance = planner.plan(
        TrainRequest.of(config=path / "run.json", threads=1, pretrained=False), lambda line: None
    ).config
    assert from_chance.network.pretrained is None and from_chance.recipe.freeze == "none"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stem": "small"}, "stem: 'small' has no published weights"),
        ({"pretrained": None, "recipe": {"freeze": "backbone"}}, "freeze: 'backbone' needs weights to begin with"),
        ({"pretrained": None, "recipe": {"backbone_lr": 0.5}}, "backbone-lr: 0.5 needs weights"),
        ({"recipe": {"backbone_lr": 2}}, "backbone-lr: 2 must be"),
        ({"recipe": {"freeze": "head"}}, "freeze: 'head' is unknown"),
        ({"weights": "V9"}, "weights: 'V9'"),
    ],
)
def test_what_cannot_be_is_named(changes: dict, message: str, published_file: torchvision_weights.Published) -> None:
    values = {"network": "shufflenet_v2_050", "pretrained": True, "image_size": 32, "device": "cpu"} | changes
    with pytest.raises(UsageError, match=message):
        planner.plan(asked(**values), lambda line: None)


def test_flags_and_keys_that_contradict_each_other() -> None:
    for values, kind, value in (
        ({}, "", ""),
        ({"pretrained": False}, "", ""),
        ({"pretrained": True}, "torchvision", ""),
        ({"weights": "IMAGENET1K_V1"}, "torchvision", "IMAGENET1K_V1"),
        ({"init_from": "last"}, "file", "last"),
        ({"grow_from": "a.pt"}, "grown", "a.pt"),
    ):
        found = weights_source.asked(values)
        assert (found.kind, found.value) == (kind, value)
    assert weights_source.of_run({"kind": "file", "source": "a.pt", "digest": "12"}) == WeightsRequest(
        init_from="a.pt", digest="12"
    )
    with pytest.raises(UsageError, match="pretrained: contradicts init-from; give one of them"):
        weights_source.asked({"pretrained": True, "init_from": "last"})
    with pytest.raises(UsageError, match=r"a\.toml: pretrained: 1 must be true or false"):
        weights_source.asked({"pretrained": 1}, "a.toml")
