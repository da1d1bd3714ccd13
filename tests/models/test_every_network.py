"""What must hold for every network of the catalogue, whoever added it.

What needs only shapes runs on the meta device: parameters are counted for all variants, a network is traced for the
smallest variant of each family and once a week for the others. Real arithmetic runs for each family's smallest variant in
its stem for small images, on real digits.
"""

from __future__ import annotations

import ast
import inspect
import json
import math
import pickle
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from cnn_explorer import models
from cnn_explorer.models import layers
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.rows import trace
from cnn_explorer.models.anatomy.rows.node import Node
from cnn_explorer.models.catalogue import registry
from cnn_explorer.models.catalogue.declaration import Declaration, Stage
from cnn_explorer.trainer.data import digits as bundled
from support.anatomy import stage_shapes
from support.families import FAMILIES, SAMPLE, SAMPLED_FAMILIES
from torch import Tensor, nn

ORACLE = json.loads((Path(__file__).parent / "oracle.json").read_text())["entries"]
NAMES = list(registry.variants())


def smallest(family: str) -> registry.Variant:
    """The variant of a family that costs least on small images."""
    return min(registry.family(family).variants, key=lambda variant: variant.counts("small").macs)


STEMS = [
    (variant.name, stem)
    for variant in registry.variants().values()
    for stem in registry.STEMS
    if stem == "imagenet" or variant.small_stem is not None
]
SMALLEST = {smallest(family).name for family in FAMILIES}
LARGER = [name for name in NAMES if name not in SMALLEST]
SAMPLED_STEMS = [pytest.param(name, stem, marks=() if name in SMALLEST else pytest.mark.slow) for name, stem in STEMS]


@cache
def digits() -> tuple[Tensor, Tensor]:
    """32 scanned digits, (32, 1, 8, 8) in [0, 1], and their classes."""
    images, targets = bundled.read()
    return torch.tensor(images[:32], dtype=torch.float32).unsqueeze(1) / 16, torch.tensor(targets[:32]).long()


def digit_images(channels: int, size: int) -> tuple[Tensor, Tensor]:
    """The same digits as a normalised batch (32, channels, size, size)."""
    images, targets = digits()
    images = nn.functional.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    return ((images - images.mean()) / images.std()).expand(-1, channels, -1, -1).contiguous(), targets


def build_small(name: str, channels: int, size: int) -> nn.Module:
    return registry.build(name, stem="small", num_classes=10, in_channels=channels, image_size=size)


def loss_of(network: Any, images: Tensor, targets: Tensor) -> Tensor:
    """The training loss as the trainer computes it."""
    criterion = nn.functional.cross_entropy
    outputs = network(images)
    if hasattr(network, "training_loss"):
        return network.training_loss(outputs, images, targets, criterion)
    return criterion(outputs if isinstance(outputs, Tensor) else outputs[0], targets)


@dataclass(frozen=True)
class Traced:
    """One run with a stem on the meta device: the network, output shape and MACs of each submodule and of all."""

    network: Any
    shapes: dict[str, tuple[int, ...]]
    macs: dict[str, int]


def traced(name: str, stem: str) -> Traced:
    network = counting.on_meta(lambda: registry.build(name, stem=stem)).eval()
    shape = registry.find(name).counts(stem).input
    shapes: dict[str, tuple[int, ...]] = {}
    macs: dict[str, int] = {}

    def collect(node: Node) -> None:
        if node.is_module:
            shapes[node.name] = node.output[1:]
            macs[node.name] = macs.get(node.name, 0) + node.macs
        for child in node.children:
            collect(child)

    collect(trace.trace(network, torch.empty((1, *shape), device="meta")))
    return Traced(network, shapes, macs)


def owners(layers: list[str], parameter: str) -> list[str]:
    return [layer for layer in layers if parameter == layer or parameter.startswith(layer + ".")]


def check_stages(network: Any) -> None:
    """The declared stages partition the parameters."""
    declaration = network.declaration
    modules = dict(network.named_modules())
    layers = [layer for stage in declaration.stages for layer in stage.layers]
    for parameter, _ in network.named_parameters():
        assert len(owners(layers, parameter)) == 1, f"{parameter} belongs to {owners(layers, parameter)}"
    assert declaration.feature_layer in modules


def stage_parameters(network: Any) -> list[tuple[Stage, int]]:
    """The declared stages, each with the number of its parameters."""
    sizes = {key: parameter.numel() for key, parameter in network.named_parameters()}
    return [
        (stage, sum(size for key, size in sizes.items() if owners(list(stage.layers), key)))
        for stage in network.declaration.stages
    ]


@pytest.mark.parametrize("name", LARGER)
def test_a_larger_variant_has_the_parameters_that_its_note_and_its_declaration_say(name: str) -> None:
    """The cheap part of the test below, for the variants that it takes only among those marked slow."""
    network: Any = counting.on_meta(lambda: registry.build(name))
    check_stages(network)
    stamped = registry.find(name).paper_stem
    assert counting.count_parameters(network) == stamped.parameters
    assert [(stage.name, parameters) for stage, parameters in stage_parameters(network)] == [
        (row[0], row[2]) for row in stamped.stages()
    ]


@pytest.mark.parametrize(("name", "stem"), SAMPLED_STEMS)
def test_a_stem_is_what_its_note_and_its_declaration_say(name: str, stem: str) -> None:
    """One trace for both questions: are the stamped counts the code's, do the stages hold all parameters and all work?"""
    found = traced(name, stem)
    check_stages(found.network)
    stamped = registry.find(name).counts(stem)
    assert (counting.count_parameters(found.network), found.macs[""]) == (stamped.parameters, stamped.macs)
    rows = []
    image = stamped.input
    for stage, parameters in stage_parameters(found.network):
        shape = found.shapes.get(stage.layers[-1])
        if shape is None:  # an auxiliary head, which runs in training mode alone
            assert owners(list(found.network.declaration.auxiliary), stage.layers[-1]), stage.name
            shape = stage_shapes(found.network, image)[stage.name]
        rows.append((stage.name, shape, parameters, sum(found.macs.get(layer, 0) for layer in stage.layers)))
    assert rows == stamped.stages()
    assert sum(row[3] for row in rows) == stamped.macs, "some work lies in no stage"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_trace_counts_what_pytorchs_counter_counts(family: str) -> None:
    variant = smallest(family)
    network = counting.on_meta(lambda: registry.build(variant.name))
    count = counting.count(network, variant.paper_stem.input)
    assert count.macs == variant.paper_stem.macs
    rows = [(stage.name, stage.shape, stage.parameters, stage.macs) for stage in count.stages]
    assert rows == variant.paper_stem.stages()


@pytest.mark.parametrize("name", NAMES)
def test_every_builder_is_a_function_of_the_model_file_under_its_name(name: str) -> None:
    """Also where a row of a table makes it: it can be pickled, and its signature leaves out what the row fills in."""
    code = registry.module(registry.find(name).family)
    builder = getattr(code, name)
    assert (builder.__name__, builder.__module__) == (name, code.__name__)
    assert pickle.loads(pickle.dumps(builder)) is builder
    inspect.signature(builder).bind(num_classes=10, in_channels=1, image_size=28)


def test_a_row_of_a_table_fills_in_the_first_arguments_and_no_others() -> None:
    def make(width: int, kernel: int = 3, *, bias: bool = True) -> nn.Module:
        """A convolution."""
        return nn.Conv2d(1, width, kernel, bias=bias)

    wide = layers.variant("wide", make, 8)
    assert (wide.__name__, wide.__doc__) == ("wide", "A convolution.")
    assert list(inspect.signature(wide).parameters) == ["kernel", "bias"]
    made: Any = wide(bias=False)
    assert (made.out_channels, made.kernel_size, made.bias) == (8, (3, 3), None)
    with pytest.raises(TypeError):
        wide(width=4)  # pyright: ignore[reportCallIssue] refused, which is what is tested


def test_shapes_that_a_declaration_states_are_taken_as_they_are() -> None:
    """Model files of a person may state them, as version 0.1.0 asked; the others are recorded."""
    network: Any = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 10))
    network.declaration = Declaration((Stage("first", ("0",), (4, 7, 7)), Stage("rest", ("1", "2"))), feature_layer="0")
    assert stage_shapes(network.to("meta"), (1, 8, 8)) == {"first": (4, 7, 7), "rest": (10,)}


def test_recording_shapes_leaves_the_mode_of_a_network_alone() -> None:
    network = counting.on_meta(lambda: registry.build("googlenet_aux"))
    for training in (True, False):
        network.train(training)
        assert stage_shapes(network, (3, 224, 224))["auxiliary"] == (1000,)
        assert all(module.training is training for module in network.modules())
        assert not any(module._forward_hooks for module in network.modules())


CANONICAL = [entry for entry in ORACLE if entry["canonical"] and entry["variant"] in NAMES]


@pytest.mark.parametrize("entry", CANONICAL, ids=[f"{e['variant']}-{e['input'][1]}" for e in CANONICAL])
def test_counts_equal_the_oracle(entry: dict) -> None:
    """The stamped counts where the entry is about the paper's stem (they are the code's, see above), else a count now."""
    counts = registry.find(entry["variant"]).paper_stem
    parameters, macs = counts.parameters, counts.macs
    if (list(counts.input), counts.classes) != (entry["input"], entry["num_classes"]):
        channels, size, _ = entry["input"]
        options = {"num_classes": entry["num_classes"], "in_channels": channels, "image_size": size}
        with layers.margin_allowed():  # ViTs with patches of 14 and 28 pixels at 384
            network = counting.on_meta(lambda: registry.build(entry["variant"], **options))
            count = counting.count(network, tuple(entry["input"]))
        parameters, macs = count.parameters, count.macs
    assert parameters == entry["params"]
    assert entry["macs"] in (None, macs)


def test_the_oracle_has_been_met_in_full() -> None:
    missing = {entry["variant"] for entry in ORACLE if entry["canonical"]} - set(NAMES)
    assert not missing


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_every_parameter_learns(family: str, channels: int, size: int) -> None:
    torch.manual_seed(0)
    network: Any = build_small(smallest(family).name, channels, size).train()
    images, targets = digit_images(channels, size)
    loss_of(network, images[:8], targets[:8]).backward()
    excused = tuple(ending for ending, _ in network.declaration.null_gradients)
    for name, parameter in network.named_parameters():
        if excused and name.endswith(excused):
            continue
        assert parameter.grad is not None, f"{name} takes no part in training"
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), f"the gradient of {name} is zero"


@pytest.mark.parametrize("family", FAMILIES)
def test_evaluation_is_deterministic_and_of_the_right_shape(family: str) -> None:
    network = build_small(smallest(family).name, 3, 32).eval()
    images, _ = digit_images(3, 32)
    with torch.no_grad():
        once, again = network(images[:4]), network(images[:4])
        alone = network(images[:1])
    assert once.shape == (4, 10) and torch.isfinite(once).all()
    assert torch.equal(once, again)
    assert torch.allclose(once[:1], alone, rtol=1e-3, atol=1e-4), "an image's scores depend on its neighbours"


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_before_training(family: str) -> None:
    torch.manual_seed(1)
    network: Any = build_small(smallest(family).name, 1, 28).train()
    images, targets = digit_images(1, 28)
    with torch.no_grad():
        loss = loss_of(network, images, targets).item()
    expected = network.declaration.initial_loss
    if expected is None:
        expected = math.log(10)
    else:
        assert network.declaration.initial_loss_reason
    assert abs(loss - expected) < 0.2 * expected


@pytest.mark.parametrize("family", FAMILIES)
def test_building_twice_gives_the_same_network(family: str) -> None:
    """Also when another variant of the family has been built in between: no builder changes a table that all share."""
    name, other = smallest(family).name, registry.family(family).variants[-1].name
    first = counting.on_meta(lambda: registry.build(name))
    counting.on_meta(lambda: registry.build(other))
    second = counting.on_meta(lambda: registry.build(name))
    assert [(n, p.shape) for n, p in first.named_parameters()] == [(n, p.shape) for n, p in second.named_parameters()]


def test_the_sample_has_every_kind_of_network_and_nothing_that_is_skipped() -> None:
    tags = {tag for family in SAMPLE for tag in smallest(family).tags}
    assert {"residual", "dense", "depthwise", "capsules", "recurrent", "attention", "pyramid", "mlp"} <= tags
    assert any(set(smallest(family).tags) <= {"cnn", "imagenet", "mnist", "classic", "nano"} for family in SAMPLE)
    assert not any("plain" in smallest(family).tags for family in SAMPLE)


@pytest.mark.parametrize("family", SAMPLED_FAMILIES)
def test_one_batch_is_learned_by_heart(family: str) -> None:
    variant = smallest(family)
    if "plain" in variant.tags:
        pytest.skip("a plain network need not learn: that is its lesson")
    torch.manual_seed(2)
    network: Any = build_small(variant.name, 1, 28).train()
    declaration = network.declaration
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
        elif hasattr(module, "rate") and type(module).__name__ == "DropPath":
            module.rate = 0.0
    images, targets = (tensor[:16] for tensor in digit_images(1, 28))
    optimizer = torch.optim.Adam(network.parameters(), lr=declaration.overfit_lr)
    for _ in range(declaration.overfit_steps):
        loss = loss_of(network, images, targets)
        if loss.item() < declaration.overfit_loss:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"the loss is still {loss.item():.3f} after {declaration.overfit_steps} steps")


@pytest.mark.parametrize("path", sorted(Path(models.__path__[0]).glob("*.py")), ids=lambda path: path.stem)
def test_a_constructor_writes_its_layers_by_their_names(path: Path) -> None:
    """`self.stage1 = …` is what a reader looks for, so no layer is named by a text that is put together."""
    calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    names = {getattr(call, "id", getattr(call, "attr", "")) for call in calls}
    assert not names & {"setattr", "add_module", "register_module", "__setattr__"}
