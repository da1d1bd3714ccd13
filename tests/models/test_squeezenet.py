"""SqueezeNet against torchvision; its meta-parameters, Fire module and bypasses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from cnn_explorer.models import squeezenet
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn


def reference(name: str) -> nn.Module:
    return getattr(torchvision.models, name)(num_classes=10)


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_same_function_as_torchvision(name: str) -> None:
    assert_same_function(registry.build(name, num_classes=10, image_size=64), reference(name), (3, 64, 64))


def _floor_the_pooling(network: Any) -> None:
    network.stage1.pool.ceil_mode = False
    network.stage2.pool.ceil_mode = False


def _change_activation(network: Any) -> None:
    network.stage2.fire5.relu = nn.GELU()


def _move_stride(network: Any) -> None:
    network.stem[0].stride, network.stage2.fire5.squeeze.stride = (1, 1), (2, 2)


@pytest.mark.parametrize("spoil", [_floor_the_pooling, _change_activation, _move_stride])
def test_the_comparison_catches_a_change(spoil) -> None:
    ours = registry.build("squeezenet1_0", num_classes=10, image_size=66)
    assert_comparison_can_fail(ours, reference("squeezenet1_0"), (3, 66, 66), spoil)


def test_meta_parameters_give_table_1() -> None:
    sizes = squeezenet.fire_sizes()
    assert [size[0] for size in sizes] == [16, 16, 32, 32, 48, 48, 64, 64]
    assert [sum(size[1:]) for size in sizes] == [128, 128, 256, 256, 384, 384, 512, 512]
    assert all(narrow == wide for _, narrow, wide in sizes)


@pytest.mark.parametrize(("ratio", "megabytes"), [(0.125, 4.8), (0.75, 19)])
def test_squeeze_ratio_gives_the_papers_file_sizes(ratio: float, megabytes: float) -> None:
    network = counting.on_meta(lambda: squeezenet.squeezenet1_0(squeeze_ratio=ratio))
    assert 4 * counting.count_parameters(network) / 1e6 == pytest.approx(megabytes, rel=0.05)


def test_simple_bypass_is_free_and_joins_the_modules_of_equal_width() -> None:
    plain, simple, complex_ = (
        counting.on_meta(lambda b=b: squeezenet.squeezenet1_0(bypass=b)) for b in ("none", "simple", "complex")
    )
    assert counting.count_parameters(plain) == counting.count_parameters(simple)
    fires = {name.rsplit(".", 1)[-1]: m for name, m in simple.named_modules() if isinstance(m, squeezenet.Fire)}
    assert [name for name, fire in fires.items() if fire.shortcut is not None] == ["fire3", "fire5", "fire7", "fire9"]
    # Four 1×1 convolutions with biases, where the channels change: 96→128, 128→256, 256→384, 384→512.
    extra = sum(a * b + b for a, b in ((96, 128), (128, 256), (256, 384), (384, 512)))
    assert counting.count_parameters(complex_) - counting.count_parameters(plain) == extra


def test_fire_is_written_out_by_hand() -> None:
    fire: Any = squeezenet.Fire(6, 2, 3, 4, "complex").double()
    x = torch.randn(2, 6, 5, 5, dtype=torch.float64)
    few = torch.einsum("oc,bchw->bohw", fire.squeeze.weight[:, :, 0, 0], x) + fire.squeeze.bias[:, None, None]
    few = few.clamp_min(0)
    one = torch.einsum("oc,bchw->bohw", fire.expand1x1.weight[:, :, 0, 0], few) + fire.expand1x1.bias[:, None, None]
    padded = nn.functional.pad(few, (1, 1, 1, 1))
    windows = torch.stack([padded[:, :, i : i + 5, j : j + 5] for i in range(3) for j in range(3)], dim=2)
    three = torch.einsum("ock,bckhw->bohw", fire.expand3x3.weight.flatten(2), windows)
    three = three + fire.expand3x3.bias[:, None, None]
    around = torch.einsum("oc,bchw->bohw", fire.shortcut.weight[:, :, 0, 0], x) + fire.shortcut.bias[:, None, None]
    assert torch.allclose(fire(x), torch.cat((one, three), 1).clamp_min(0) + around, atol=1e-12)


def test_every_class_is_alive_before_training() -> None:
    torch.manual_seed(0)
    network: Any = registry.build("squeezenet1_1", stem="small")
    network(torch.randn(4, 3, 32, 32)).sum().backward()
    assert network.head.conv.bias.grad.ne(0).all()


def test_scores_are_averages_of_maps() -> None:
    head = squeezenet.MapPerClass(8, 3).eval()
    x = torch.randn(2, 8, 4, 4)
    assert torch.allclose(head(x), torch.relu(head.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("name", "stem", "smallest"),
    [
        ("squeezenet1_0", "imagenet", 21),
        ("squeezenet1_1", "imagenet", 17),
        ("squeezenet1_0", "small", 4),
    ],
)
def test_smallest_image_is_the_one_that_is_named(name: str, stem: str, smallest: int) -> None:
    network = getattr(squeezenet, name)(image_size=smallest, num_classes=5, stem=stem).eval()
    assert network(torch.randn(1, 3, smallest, smallest)).shape == (1, 5)
    with pytest.raises(ValueError, match=f"image_size: {smallest - 1} .* {smallest}$"):
        getattr(squeezenet, name)(image_size=smallest - 1, stem=stem)


def test_bad_arguments_of_a_class_are_named() -> None:
    with pytest.raises(ValueError, match=r"version: '2\.0'"):
        squeezenet.SqueezeNet("2.0")
