"""The layer tree: its sums against the counter, its receptive fields against the gradient's support."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import torchvision
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.rows import folding, layer_json
from cnn_explorer.models.anatomy.rows.layer import Layer
from cnn_explorer.models.catalogue import registry
from support.anatomy import analyse, analyse_variant
from torch import Tensor, nn


def tree(network: nn.Module, shape: tuple[int, ...] = (3, 224, 224)) -> Layer:
    return analyse(network, shape)


def reference(name: str, **options) -> nn.Module:
    return counting.on_meta(lambda: getattr(torchvision.models, name)(**options))


def row(layer: Layer, name: str) -> Layer:
    return next(found for _, found in layer.walk() if found.name == name and found.kind == "module")


@pytest.mark.parametrize("name", ["resnet50", "vit_b_16", "swin_v2_t", "convnext_tiny", "efficientnet_b0", "googlenet"])
def test_the_sum_is_that_of_the_counter(name: str) -> None:
    network = reference(name)
    layer = tree(network)
    assert layer.macs == counting.module_macs(network, (3, 224, 224))[""]
    assert layer.parameters == counting.count_parameters(network)


def test_work_of_the_children_adds_up_everywhere() -> None:
    for _, layer in tree(reference("swin_t")).walk():
        if layer.children:
            assert sum(child.macs for child in layer.children) == layer.macs, layer.name


def test_deformable_convolution_is_counted_by_a_declared_rule() -> None:
    class Deformed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offset = nn.Conv2d(3, 18, 3, padding=1)
            self.conv = torchvision.ops.DeformConv2d(3, 5, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x, self.offset(x))

    layer = tree(counting.on_meta(Deformed), (3, 8, 8))
    assert layer.macs == 8 * 8 * (18 * 27 + 5 * 27)


@pytest.mark.parametrize(
    ("name", "size", "expected"), [("vgg16", 224, 212), ("resnet50", 224, 427), ("inception_v3", 299, 1311)]
)
def test_receptive_fields_of_the_classics(name: str, size: int, expected: int) -> None:
    options = {"init_weights": False} if name == "inception_v3" else {}
    layer = tree(reference(name, **options), (3, size, size))
    assert layer.receptive_field == expected


def test_receptive_field_of_resnet50_as_the_paper_strides() -> None:
    assert analyse_variant("resnet50_v1").receptive_field == 483


class Branches(nn.Module):
    """A small net with a stride, a dilation, a pooling, a skip and two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, stride=2, padding=1)
        self.wide = nn.Conv2d(2, 2, 3, padding=2, dilation=2)
        self.narrow = nn.Conv2d(2, 2, 1)
        self.pool = nn.AvgPool2d(2)
        self.last = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([self.wide(x) + x, self.narrow(x)], 1)
        return self.last(self.pool(x))


def support(network: nn.Module, size: int, at: int | None = None) -> int:
    """Side of the square of image pixels that an output pixel depends on, by its gradient; by default the middle one."""
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1.0)
    image = torch.ones(1, 1, size, size, requires_grad=True)
    output = network(image)
    middle = output.shape[-1] // 2 if at is None else at
    output[0, 0, middle, middle].backward()
    assert image.grad is not None
    touched = image.grad[0, 0].nonzero()
    return int((touched.max(0).values - touched.min(0).values).max()) + 1


def test_receptive_field_is_the_support_of_the_gradient() -> None:
    layer = tree(counting.on_meta(Branches), (1, 64, 64))
    assert layer.receptive_field == support(Branches(), 64)


def test_receptive_field_of_resnet_stages_is_the_support_of_the_gradient() -> None:
    class Trunk(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net: Any = registry.build("resnet20", in_channels=1, image_size=96)

        def forward(self, x: Tensor) -> Tensor:
            return self.net.stage2(self.net.stage1(self.net.stem(x))).sum(1, keepdim=True)

    trunk = Trunk().eval()
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    expected = row(analyse_variant("resnet20", in_channels=1, image_size=96), "stage2").receptive_field
    assert expected == support(trunk, 96)


def test_global_mixing_is_marked() -> None:
    layer = tree(reference("vit_b_16"))
    assert not row(layer, "conv_proj").is_global
    assert row(layer, "encoder").is_global
    vgg = tree(reference("vgg16"))
    assert not row(vgg, "features").is_global and row(vgg, "classifier").is_global


def test_a_mean_over_the_map_is_global_and_nothing_before_it_is() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(x).mean((2, 3)))

    layer = tree(counting.on_meta(Pooled), (1, 16, 16))
    assert not row(layer, "conv").is_global
    assert row(layer, "head").is_global and layer.is_global


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (4, 2), (3, 1)])
def test_receptive_field_through_a_transposed_convolution_is_the_support_of_the_gradient(
    kernel: int, stride: int
) -> None:
    """Its output lies denser: a convolution after it widens the field by less than one before it."""

    class UpAgain(nn.Sequential):
        def __init__(self) -> None:
            up = nn.ConvTranspose2d(1, 1, kernel, stride)
            super().__init__(nn.Conv2d(1, 1, 2, 2), up, nn.Conv2d(1, 1, 3))

    layer = tree(counting.on_meta(UpAgain), (1, 32, 32))
    widest = max(support(UpAgain(), 32, at) for at in range(6, 10))
    assert layer.receptive_field == widest


def test_sums_of_branches_and_concatenations_are_rows() -> None:
    types = [layer.type for _, layer in analyse_variant("resnet18").walk() if layer.kind == "operation"]
    assert types == ["+"] * 8
    dense = tree(reference("densenet121"))
    assert any(layer.type == "concat" for _, layer in dense.walk())


def test_auxiliary_heads_are_marked_not_run() -> None:
    layer = tree(reference("googlenet", init_weights=False))
    assert not row(layer, "aux1").executed and row(layer, "aux1").macs == 0
    assert row(layer, "inception3a").executed


def test_weights_used_without_their_module_do_not_count_as_idle() -> None:
    assert all(layer.executed for _, layer in tree(reference("swin_t")).walk())


def test_equal_blocks_fold_and_keep_the_last_receptive_field() -> None:
    folded = folding.fold(analyse_variant("resnet50"))
    stage = row(folded, "stage3")
    assert [(child.times, child.parameters) for child in stage.children][1][0] == 5
    assert stage.children[-1].receptive_field == stage.receptive_field
    assert sum(child.times * child.macs for child in stage.children) == stage.macs


def test_only_rows_that_change_the_size_survive_the_filter() -> None:
    kept = folding.prune(analyse_variant("resnet18"), lambda layer: layer.changes_size)
    leaves = [layer for _, layer in kept.walk() if not layer.children]
    assert leaves and all(layer.changes_size for layer in leaves)
    assert "stage1" not in {layer.name for _, layer in kept.walk()}


def test_depth_cut_and_json_round_trip() -> None:
    layer = folding.cut(analyse_variant("resnet18", stem="small"), 2)
    assert max(depth for depth, _ in layer.walk()) == 2
    assert layer_json.from_dict(json.loads(json.dumps(layer_json.as_dict(layer)))) == layer


def test_the_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    analyse_variant("resnet18")
    assert torch.equal(before, torch.get_rng_state())
