"""What must hold for every network of the catalogue, whoever added it.

What needs only shapes runs on the meta device for all variants; real arithmetic runs for each family's smallest variant in
its form for small pictures, on real digits.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

import pytest
import torch
from cnn_explorer.models import catalogue, counting
from sklearn.datasets import load_digits
from torch import Tensor, nn

ORACLE = json.loads((Path(__file__).parent / "oracle.json").read_text())["entries"]
NAMES = list(catalogue.variants())
FORMS = [
    (variant.name, form)
    for variant in catalogue.variants().values()
    for form in ("paper", "small")
    if form == "paper" or variant.small_form is not None
]
FAMILIES = [family.name for family in catalogue.families()]


def smallest(family: str) -> catalogue.Variant:
    """The variant of a family that costs least on small pictures."""
    return min(catalogue.family(family).variants, key=lambda variant: variant.form("small").macs)


@cache
def digits() -> tuple[Tensor, Tensor]:
    """32 scanned digits, (32, 1, 8, 8) in [0, 1], and their classes."""
    scanned = load_digits()
    images = torch.tensor(scanned.images[:32], dtype=torch.float32).unsqueeze(1) / 16
    return images, torch.tensor(scanned.target[:32])


def pictures(channels: int, size: int) -> tuple[Tensor, Tensor]:
    """The same digits as a normalised batch (32, channels, size, size)."""
    images, targets = digits()
    images = nn.functional.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    return ((images - images.mean()) / images.std()).expand(-1, channels, -1, -1).contiguous(), targets


def build_small(name: str, channels: int, size: int) -> nn.Module:
    return catalogue.build(name, form="small", num_classes=10, in_channels=channels, image_size=size)


def loss_of(network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The training loss as the trainer computes it."""
    criterion = nn.functional.cross_entropy
    outputs = network(images)
    if hasattr(network, "training_loss"):
        return network.training_loss(outputs, images, targets, criterion)
    return criterion(outputs if isinstance(outputs, Tensor) else outputs[0], targets)


@cache
def counted(name: str, form: str) -> tuple[counting.Count, dict[str, tuple[int, ...]], nn.Module]:
    """Count a variant on meta and record the output shape of every submodule."""
    network = counting.on_meta(lambda: catalogue.build(name, form=form))
    counts = catalogue.find(name).form(form)
    shapes: dict[str, tuple[int, ...]] = {}

    def remember(key: str):
        def hook(module, inputs, output):
            tensor = output[0] if isinstance(output, tuple | list) else output
            if isinstance(tensor, Tensor):
                shapes[key] = tuple(tensor.shape[1:])

        return hook

    hooks = [module.register_forward_hook(remember(key)) for key, module in network.named_modules() if key]
    count = counting.count(network, counts.input)
    for hook in hooks:
        hook.remove()
    return count, shapes, network


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_stamped_counts_are_those_of_the_code(name: str, form: str) -> None:
    count, _, _ = counted(name, form)
    stamped = catalogue.find(name).form(form)
    assert (count.parameters, count.macs) == (stamped.parameters, stamped.macs)
    assert [(s.name, s.shape, s.parameters, s.macs) for s in count.stages] == stamped.stages()


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_stages_partition_the_network_and_have_the_declared_shapes(name: str, form: str) -> None:
    _, shapes, network = counted(name, form)
    declaration = network.declaration
    modules = dict(network.named_modules())
    for stage in declaration.stages:
        last = [layer for layer in stage.layers if layer in modules][-1]
        if not any(last == layer or last.startswith(layer + ".") for layer in declaration.auxiliary):
            assert shapes[last] == stage.shape, stage.name
    layers = [layer for stage in declaration.stages for layer in stage.layers]
    for parameter, _ in network.named_parameters():
        owners = [layer for layer in layers if parameter == layer or parameter.startswith(layer + ".")]
        assert len(owners) == 1, f"{parameter} belongs to {owners}"
    assert declaration.feature_layer in modules


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_the_stages_hold_all_the_work(name: str, form: str) -> None:
    count, _, _ = counted(name, form)
    assert sum(stage.macs for stage in count.stages) == count.macs


CANONICAL = [entry for entry in ORACLE if entry["canonical"] and entry["variant"] in NAMES]


@pytest.mark.parametrize("entry", CANONICAL, ids=[f"{e['variant']}-{e['input'][1]}" for e in CANONICAL])
def test_counts_equal_the_oracle(entry: dict) -> None:
    channels, size, _ = entry["input"]
    network = counting.on_meta(
        lambda: catalogue.build(
            entry["variant"], num_classes=entry["num_classes"], in_channels=channels, image_size=size
        )
    )
    count = counting.count(network, tuple(entry["input"]))
    assert count.parameters == entry["params"]
    if entry["macs"] is not None:
        assert count.macs == entry["macs"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_every_parameter_learns(family: str, channels: int, size: int) -> None:
    torch.manual_seed(0)
    network = build_small(smallest(family).name, channels, size).train()
    images, targets = pictures(channels, size)
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
    images, _ = pictures(3, 32)
    with torch.no_grad():
        once, again = network(images[:4]), network(images[:4])
        alone = network(images[:1])
    assert once.shape == (4, 10) and torch.isfinite(once).all()
    assert torch.equal(once, again)
    assert torch.allclose(once[:1], alone, rtol=1e-3, atol=1e-4), "a picture's scores depend on its neighbours"


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_before_training(family: str) -> None:
    torch.manual_seed(1)
    network = build_small(smallest(family).name, 1, 28).train()
    images, targets = pictures(1, 28)
    with torch.no_grad():
        loss = loss_of(network, images, targets).item()
    expected = network.declaration.initial_loss
    if expected is None:
        expected = math.log(10)
    else:
        assert network.declaration.initial_loss_reason
    assert abs(loss - expected) < 0.2 * expected


@pytest.mark.parametrize("name", NAMES)
def test_building_twice_gives_the_same_network(name: str) -> None:
    first = counting.on_meta(lambda: catalogue.build(name))
    second = counting.on_meta(lambda: catalogue.build(name))
    assert [(n, p.shape) for n, p in first.named_parameters()] == [(n, p.shape) for n, p in second.named_parameters()]


@pytest.mark.parametrize("family", FAMILIES)
def test_one_batch_is_learned_by_heart(family: str) -> None:
    variant = smallest(family)
    if "plain" in variant.tags:
        pytest.skip("a plain network need not learn: that is its lesson")
    torch.manual_seed(2)
    network = build_small(variant.name, 1, 28).train()
    declaration = network.declaration
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
        if hasattr(module, "rate") and type(module).__name__ == "DropPath":
            module.rate = 0.0
    images, targets = pictures(1, 28)
    optimizer = torch.optim.Adam(network.parameters(), lr=declaration.overfit_lr)
    for _ in range(declaration.overfit_steps):
        loss = loss_of(network, images, targets)
        if loss.item() < declaration.overfit_loss:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"the loss is still {loss.item():.3f} after {declaration.overfit_steps} steps")
