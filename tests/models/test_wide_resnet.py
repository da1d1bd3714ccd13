"""Wide ResNet against torchvision, the CIFAR networks computed a second time, and what the factor k costs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from cnn_explorer.models import wide_resnet
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function, relative_difference
from support.tensors import randomise
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Module, nn.Module]:
    """Our WRN-50-2 and torchvision's, both with one block per stage: all shapes occur, in a tenth of the time."""
    monkeypatch.setitem(wide_resnet.DEPTHS, 50, (1, 1, 1, 1))
    reference = torchvision.models.ResNet(Bottleneck, [1, 1, 1, 1], num_classes=10, width_per_group=2 * 64)
    return registry.build("wide_resnet50_2", num_classes=10, image_size=32), reference


def test_same_function_as_torchvision(pair: tuple[nn.Module, nn.Module]) -> None:
    assert_same_function(*pair, (3, 32, 32))


def _move_stride(network: Any) -> None:
    block = network.stage2[0]
    block.conv1.conv.stride, block.conv2.conv.stride = (2, 2), (1, 1)


def test_the_comparison_catches_a_change(pair: tuple[nn.Module, nn.Module]) -> None:
    assert_comparison_can_fail(*pair, (3, 32, 32), _move_stride)


@pytest.mark.parametrize(("name", "parameters"), [("wide_resnet50_2", 68_883_240), ("wide_resnet101_2", 126_886_696)])
def test_counts_recorded_by_torchvision(name: str, parameters: int) -> None:
    assert registry.find(name).paper_stem.parameters == parameters
    with torch.device("meta"):
        reference = getattr(torchvision.models, name)()
    assert counting.count_parameters(reference) == parameters
    assert counting.module_macs(reference, (3, 224, 224))[""] == registry.find(name).paper_stem.macs


def closed_form(depth: int, k: int, classes: int = 10) -> int:
    """Parameters of WRN-depth-k from table 1: convolutions without bias, two values per normalised channel."""
    n, channels, total = (depth - 4) // 6, 16, 3 * 16 * 9
    for width in (16 * k, 32 * k, 64 * k):
        for index in range(n):
            total += 2 * channels + 9 * channels * width + 2 * width + 9 * width * width
            total += channels * width if index == 0 else 0
            channels = width
    return total + 2 * channels + channels * classes + classes


@pytest.mark.parametrize(("depth", "k"), [(28, 10), (40, 4), (16, 8), (10, 2)])
def test_parameters_of_the_table(depth: int, k: int) -> None:
    assert registry.find(f"wrn_{depth}_{k}").paper_stem.parameters == closed_form(depth, k)


def by_hand(network: nn.Module, x: Tensor, n: int) -> Tensor:
    """WRN in eval mode written down a second time, on weights taken in order of use."""
    weights = iter([v for key, v in network.state_dict().items() if not key.endswith("num_batches_tracked")])

    def norm_relu(x: Tensor) -> Tensor:
        scale, shift, mean, variance = (next(weights) for _ in range(4))
        return F.relu(F.batch_norm(x, mean, variance, scale, shift))

    def conv(x: Tensor, stride: int = 1) -> Tensor:
        weight = next(weights)
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    x = norm_relu(conv(x))
    for stage in range(3):
        for index in range(n):
            stride = 2 if stage and index == 0 else 1
            activated = x if stage == 0 and index == 0 else norm_relu(x)
            branch = conv(norm_relu(conv(activated, stride)))
            x = branch + (conv(activated, stride) if index == 0 else x)
    return F.linear(norm_relu(x).mean((2, 3)), next(weights), next(weights))


def test_a_wide_network_is_the_papers() -> None:
    network = wide_resnet.wide(16, 3, dropout=0.3).double().eval()
    randomise(network)
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        assert relative_difference(network(image), by_hand(network, image, n=2)) < 1e-9


def test_k_counts_squared_and_depth_once() -> None:
    def work(depth: int, k: int) -> int:
        return counting.count(counting.on_meta(lambda: wide_resnet.wide(depth, k)), (3, 32, 32)).macs

    assert work(28, 8) / work(28, 4) == pytest.approx(4, rel=0.01)
    assert work(28, 4) / work(16, 4) == pytest.approx(2, rel=0.1)


def test_dropout_stands_between_the_convolutions_and_never_on_the_sum() -> None:
    network: Any = wide_resnet.wide_resnet10_2(dropout=0.3)
    places = [name for name, module in network.named_modules() if isinstance(module, nn.Dropout)]
    assert places == [f"stages.{i}.0.conv2.dropout" for i in range(3)]
    block = network.stages[1][0].train()
    torch.manual_seed(0)
    nn.init.zeros_(block.conv2.conv.weight)
    x = torch.randn(2, 32, 8, 8)
    assert torch.equal(block(x), block.shortcut(block.before(x)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: wide_resnet.wide(12, 2), "depth: 12 is not 6n"),
        (lambda: wide_resnet.wide(4, 2), "depth: 4"),
        (lambda: wide_resnet.wide(16, 0), "k: 0"),
        (lambda: wide_resnet.wide(16, 2, dropout=1.0), "dropout: 1.0"),
    ],
)
def test_bad_arguments_are_named(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
