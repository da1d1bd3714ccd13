"""GoogLeNet: torchvision's version against torchvision, the paper's against table 1 computed a second time, its ideas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from cnn_explorer.models import googlenet
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.saved_weights.transplant import transplant
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function, relative_difference
from support.tensors import randomise
from torch import Tensor, nn


def torchvision_googlenet(auxiliary: bool = False) -> nn.Module:
    return torchvision.models.googlenet(num_classes=10, aux_logits=auxiliary, init_weights=False)


def test_same_function_as_torchvision() -> None:
    assert_same_function(
        registry.build("googlenet_bn", num_classes=10, image_size=64), torchvision_googlenet(), (3, 64, 64)
    )


def _change_activation(network: Any) -> None:
    network.inception4b.branch5[1].act = nn.GELU()


def _shift_epsilon(network: Any) -> None:
    network.inception3a.branch1.norm.eps = 1e-5


def _pool_with_padding(network: nn.Module) -> None:
    network.pool4 = nn.MaxPool2d(3, 2, padding=1)


@pytest.mark.parametrize("spoil", [_change_activation, _shift_epsilon, _pool_with_padding])
def test_the_comparison_catches_a_change(spoil) -> None:
    ours = registry.build("googlenet_bn", num_classes=10, image_size=64)
    assert_comparison_can_fail(ours, torchvision_googlenet(), (3, 64, 64), spoil)


def test_auxiliary_heads_in_training_are_torchvisions() -> None:
    ours = registry.build("googlenet_bn_aux", num_classes=10, image_size=64).double().train()
    theirs = torchvision_googlenet(auxiliary=True).double().train()
    randomise(theirs)
    for network in (ours, theirs):
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
    image = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    transplant(theirs, ours, image)
    scores, first, second = ours(image)
    reference = theirs(image)
    assert relative_difference(scores, reference.logits) < 1e-9
    assert relative_difference(first, reference.aux_logits1) < 1e-9
    assert relative_difference(second, reference.aux_logits2) < 1e-9


class Table1:
    """The paper's network written down a second time, as a list of calls on weights taken in order of use."""

    columns = (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        "pool",
        (192, 96, 208, 16, 48, 64),
        "head",
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        "head",
        (256, 160, 320, 32, 128, 128),
        "pool",
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    )

    def __init__(self, network: nn.Module) -> None:
        named = list(network.named_parameters())
        self.heads = {n: iter([p for name, p in named if name.startswith(f"head{n}.")]) for n in (1, 2)}
        self.body = iter([p for name, p in named if not name.startswith(("head1.", "head2."))])

    def conv(self, x: Tensor, width: int, kernel: int, stride: int = 1, weights=None) -> Tensor:
        weights = weights or self.body
        weight, bias = next(weights), next(weights)
        assert weight.shape == (width, x.shape[1], kernel, kernel)
        return F.conv2d(x, weight, bias, stride, kernel // 2).clamp_min(0)

    def response_norm(self, x: Tensor) -> Tensor:
        """AlexNet's section 3.3 with k = 1, n = 5, α = 1e-4 (divided by n), β = 0.75."""
        squares = F.pad(x**2, (0, 0, 0, 0, 2, 2))
        around = sum(squares[:, i : i + x.shape[1]] for i in range(5))
        return x / (1 + 1e-4 / 5 * around) ** 0.75

    def pool(self, x: Tensor) -> Tensor:
        below = F.pad(x, (0, 1, 0, 1), value=-math.inf)  # 112 → 56 and so on: the last window reaches over the edge
        return F.max_pool2d(below, 3, 2)

    def module(self, x: Tensor, row: tuple[int, ...]) -> Tensor:
        one, reduce3, three, reduce5, five, projection = row
        return torch.cat(
            [
                self.conv(x, one, 1),
                self.conv(self.conv(x, reduce3, 1), three, 3),
                self.conv(self.conv(x, reduce5, 1), five, 5),
                self.conv(F.max_pool2d(x, 3, 1, 1), projection, 1),
            ],
            1,
        )

    def head(self, x: Tensor, weights) -> Tensor:
        x = self.conv(F.avg_pool2d(x, 5, 3), 128, 1, weights=weights)
        assert x.shape[2:] == (4, 4)
        x = F.linear(x.flatten(1), next(weights), next(weights)).clamp_min(0)
        return F.linear(x, next(weights), next(weights))

    def run(self, x: Tensor) -> list[Tensor]:
        x = self.response_norm(self.pool(self.conv(x, 64, 7, 2)))
        x = self.response_norm(self.conv(self.conv(x, 64, 1), 192, 3))
        x, outputs = self.pool(x), []
        for row in self.columns:
            if row == "pool":
                x = self.pool(x)
            elif row == "head":
                outputs.append(self.head(x, self.heads[len(outputs) + 1]))
            else:
                x = self.module(x, row)
        assert x.shape[1:] == (1024, 7, 7)
        return [F.linear(x.mean((2, 3)), next(self.body), next(self.body)), *outputs]


def test_the_papers_form_is_table_1() -> None:
    network = registry.build("googlenet_aux", num_classes=10).double().train()
    randomise(network)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    image = torch.randn(1, 3, 224, 224, dtype=torch.float64)
    with torch.no_grad():
        ours, table = network(image), Table1(network).run(image)
    for mine, reference in zip(ours, table, strict=True):
        assert relative_difference(mine, reference) < 1e-9


def test_other_versions_in_the_oracle() -> None:
    with_heads = counting.count(counting.on_meta(googlenet.googlenet_aux), (3, 224, 224))
    assert (with_heads.parameters, with_heads.macs) == (13_378_280, 1_582_671_872)
    with_heads = counting.count(counting.on_meta(googlenet.googlenet_bn_aux), (3, 224, 224))
    assert (with_heads.parameters, with_heads.macs) == (13_004_888, 1_498_376_192)
    by_switch = counting.on_meta(lambda: googlenet.googlenet(auxiliary=True))
    assert counting.count_parameters(by_switch) == 13_378_280


@pytest.mark.parametrize(
    ("naive", "parameters", "macs", "channels"),
    [(False, 163_696, 128_049_152, 256), (True, 387_296, 303_464_448, 416)],
)
def test_module_3a(naive: bool, parameters: int, macs: int, channels: int) -> None:
    module = counting.on_meta(lambda: googlenet.Inception(192, googlenet.MODULES["3a"], naive=naive))
    count = counting.count(module, (192, 28, 28))
    assert (count.parameters, count.macs, module.out_channels) == (parameters, macs, channels)


def test_naive_modules_never_lose_a_channel() -> None:
    network: Any = counting.on_meta(googlenet.googlenet_naive)
    channels = 192
    for name, widths in googlenet.MODULES.items():
        channels += widths.one + widths.three + widths.five
        assert getattr(network, f"inception{name}").out_channels == channels
    assert network.head.in_features == channels


def test_branches_are_side_by_side() -> None:
    module = googlenet.Inception(8, googlenet.Widths(2, 3, 4, 2, 3, 1)).eval()
    x = torch.randn(1, 8, 6, 6)
    y = module(x)
    assert torch.equal(y[:, 2:6], module.branch3(x))
    assert torch.equal(y[:, 9:], module.branch_pool(x))


def test_heads_count_a_third_in_training_and_are_absent_in_evaluation() -> None:
    network = googlenet.googlenet_nano(auxiliary=True)
    images, targets = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3])
    outputs = network.train()(images)
    losses = [F.cross_entropy(output, targets) for output in outputs]
    total = network.training_loss(outputs, images, targets, F.cross_entropy)
    assert torch.allclose(total, losses[0] + 0.3 * (losses[1] + losses[2]))
    total.backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
    assert network.eval()(images).shape == (4, 10)


@pytest.mark.parametrize(
    ("build", "stem", "smallest"),
    [
        (googlenet.googlenet, "imagenet", 31),
        (googlenet.googlenet, "small", 8),
        (googlenet.googlenet_bn, "imagenet", 15),
        (googlenet.googlenet_bn, "small", 4),
    ],
)
def test_the_smallest_image(build, stem: str, smallest: int) -> None:
    with pytest.raises(ValueError, match=f"image_size: {smallest - 1} is too small.*works is {smallest}$"):
        build(stem=stem, image_size=smallest - 1)
    network = counting.on_meta(lambda: build(stem=stem, image_size=smallest)).eval()
    assert network(torch.empty(1, 3, smallest, smallest, device="meta")).shape == (1, 1000)
    with pytest.raises(RuntimeError):
        network(torch.empty(1, 3, smallest - 1, smallest - 1, device="meta"))
