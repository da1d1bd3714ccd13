"""Side by side, the difference to a predecessor, the family tree, and the memory of a training step."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.totals import compare, memory
from cnn_explorer.models.anatomy.totals.live_bytes import LiveBytes
from cnn_explorer.models.catalogue import lineage, registry
from cnn_explorer.trainer.config.recipe import Recipe
from cnn_explorer.trainer.config.request import TrainRequest
from cnn_explorer.trainer.optim.build import build_optimizer
from cnn_explorer.trainer.planning import estimate, planner
from support.anatomy import analyse, analyse_variant
from support.weekly import first_of
from torch import Tensor, nn


def test_the_difference_of_a_network_and_its_plain_twin_are_the_sums() -> None:
    plain, residual = analyse_variant("plain20"), analyse_variant("resnet20")
    changes = {change.kind: change for change in compare.difference(plain, residual)}
    assert changes["+ (sum of branches)"].verdict == "added"
    assert changes["+ (sum of branches)"].after == 9
    assert set(changes) == {"+ (sum of branches)", "PadShortcut"}


def test_nothing_differs_from_itself() -> None:
    tree = analyse_variant("resnet18")
    assert compare.difference(tree, tree) == []


def test_depth_is_how_the_paper_counts() -> None:
    for name, layers in [("resnet18", 18), ("resnet34", 34), ("resnet50", 50), ("resnet56", 56)]:
        assert analyse_variant(name).depth == layers


def test_lineage_runs_both_ways() -> None:
    relatives = {relative.name: relative for relative in lineage.lineage()}
    for relative in relatives.values():
        for parent in relative.parents:
            assert relative.name in relatives[parent].children
    lines = lineage.tree_lines()
    assert len(lines) == len(relatives)
    assert sum(map(len, lineage.timeline().values())) == len(relatives)
    assert all(line.isascii() or "é" in line for line in lineage.tree_lines(ascii_only=True) if "ü" not in line)


def load_script():
    path = Path(__file__).resolve().parents[2] / "scripts" / "memory_check.py"
    spec = importlib.util.spec_from_file_location("memory_check", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its data classes look there
    spec.loader.exec_module(module)
    return module


CHECK = load_script()
SMALL = [
    ("lenet5", 32),
    ("resnet20", 8),
    ("squeezenet1_1", 4),
    ("vit_nano", 8),
    ("densenet_bc_100_12", 1),
    ("capsnet", 2),
]
MEMORY_CASES = [
    *SMALL,
    *(
        pytest.param(name, batch, marks=pytest.mark.slow)
        for name, largest in CHECK.TEN
        for batch in (largest // 4, largest)
    ),
]


@pytest.mark.parametrize("optimizer", CHECK.OPTIMIZERS)
@pytest.mark.parametrize(("name", "batch"), MEMORY_CASES)
def test_the_estimate_holds_against_torchs_own_count_of_a_real_step(name: str, batch: int, optimizer: str) -> None:
    """MemTracker counts the tensors of a real step on the CPU; our own count of that step must agree as well."""
    told = CHECK.estimated(name, batch, optimizer)
    assert told == pytest.approx(CHECK.of_mem_tracker(CHECK.prepared(name, batch, optimizer)), rel=0.01)
    assert told == pytest.approx(CHECK.of_live_bytes(CHECK.prepared(name, batch, optimizer)), rel=0.01)


@pytest.mark.parametrize("name", ["resnet20", "lenet5"])
def test_kernels_allocate_little_beside_tensors(name: str) -> None:
    measured = CHECK.of_allocator(CHECK.prepared(name, 16, "sgd"))
    assert 0.85 < CHECK.estimated(name, 16, "sgd") / measured < 1.05


def test_memory_grows_with_batch_and_state_and_shrinks_with_bf16() -> None:
    def peak(**options) -> memory.Memory:
        network = counting.on_meta(lambda: registry.build("resnet18", stem="small"))
        return memory.training_memory(network, (3, 32, 32), **options)

    small, large = peak(batch=8), peak(batch=64)
    assert large.activations == pytest.approx(8 * small.activations, rel=0.01)
    assert peak(batch=8, optimizer="adam").optimizer == 2 * small.optimizer
    assert peak(batch=64, precision="bf16").activations < 0.6 * large.activations
    assert small.weights == 4 * registry.find("resnet18").counts("small").parameters


GIGABYTE = 10**9


@pytest.mark.parametrize(
    ("name", "available", "fits"),
    [
        # By torch's MemTracker: 875,131,384 bytes at batch 12, 778,519,192 at 4, so 601.98 images in 8 GB.
        ("alexnet", 8 * GIGABYTE, 601),
        ("vgg16", 24 * GIGABYTE, 303),
        ("resnet20", 2 * GIGABYTE, None),  # hardly any
        ("resnet50", 3 * GIGABYTE, None),  # fewer than the 64 that are tried first
        ("alexnet", GIGABYTE, None),
    ],
)
def test_the_largest_batch_fits_and_the_next_does_not(name: str, available: int, fits: int | None) -> None:
    def at(batch: int) -> memory.Memory:
        network = counting.on_meta(lambda: registry.build(name))
        return memory.training_memory(network, registry.find(name).paper_stem.input, batch)

    batch = memory.largest_batch(at(64), at, available)
    assert fits in (None, batch)
    assert at(batch).peak <= available < at(batch + 1).peak


def test_where_not_even_one_image_fits_the_largest_batch_is_0() -> None:
    def at(batch: int) -> memory.Memory:
        return memory.Memory(batch, "fp32", 100, 100, 100, 10 * batch, 10, 200 + 10 * batch)

    assert [memory.largest_batch(at(64), at, free) for free in (0, 209, 210, 219, 220, 840, 850)] == [
        0,
        0,
        1,
        1,
        2,
        64,
        65,
    ]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adam", "adamw", "lamb"])
def test_the_state_of_an_optimiser_is_what_it_keeps(name: str, momentum: float) -> None:
    """RMSprop with momentum keeps two values for each weight, SGD without it none."""
    network = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3))
    optimizer = build_optimizer(network, Recipe(optimizer=name, momentum=momentum, nesterov=False))
    network(torch.randn(4, 7)).sum().backward()
    optimizer.step()
    values = sum(weight.numel() for weight in network.parameters())
    kept = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    plain = momentum == 0 and f"{name}-plain" in memory.STATE_COPIES
    copies = memory.STATE_COPIES[f"{name}-plain" if plain else name]
    assert sum(value.numel() for value in kept if value.ndim) == copies * values


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_the_forecast_knows_whether_the_optimiser_has_momentum(home: Path, name: str) -> None:
    def needed(momentum: float) -> int:
        recipe = {"optimizer": name, "momentum": momentum, "nesterov": False}
        request = TrainRequest.of("lenet5", dataset="digits", device="cpu", threads=1, **recipe)
        found = estimate.memory_needed(planner.plan(request, lambda line: None).config)
        assert found is not None
        return found.update

    # LeNet-5 as it is trained on digits: four bytes for each of its values.
    parameters = counting.count_parameters(registry.build("lenet5", num_classes=10, in_channels=1, image_size=28))
    assert needed(0.9) - needed(0.0) == 4 * parameters


def step_of(make, shape: tuple[int, ...], batch: int = 16, **options) -> memory.Memory:
    return memory.training_memory(counting.on_meta(make), shape, batch, **options)


def counted(network: nn.Module, images: Tensor) -> int:
    """The most bytes alive in a real step, with a float for the momentum of each weight that learns."""
    counter = LiveBytes()
    counter.hold([*network.parameters(), *network.buffers(), images])
    with counter:
        memory.loss_of(network.train(), images).backward()
    return counter.peak + 4 * counting.count_trainable(network)


class InPlace(nn.Module):
    """Views, an activation in place, and a tensor that two layers keep."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))
        self.head = nn.Linear(8 * 64, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x), inplace=True)
        return self.head((self.second(x) + self.third(x.flip(3))).view(len(x), -1))


def frozen(network: nn.Module) -> nn.Module:
    for parameter in next(network.children()).parameters():
        parameter.requires_grad_(False)
    return network


@pytest.mark.parametrize(
    "make",
    [
        InPlace,
        lambda: frozen(InPlace()),
        lambda: frozen(
            nn.Sequential(nn.Sequential(nn.Conv2d(8, 64, 3), nn.ReLU()), nn.Flatten(), nn.Linear(64 * 36, 5))
        ),
        lambda: nn.Sequential(*[nn.Conv2d(8, 8, 3, padding=1)] * 4, nn.Flatten(), nn.Linear(512, 5)),
        lambda: OfTorch(),
    ],
    ids=["in place", "first layer frozen", "frozen backbone", "shared", "attention of torch"],
)
def test_views_frozen_and_shared_weights_take_what_a_real_step_takes(make) -> None:
    torch.manual_seed(0)
    told = step_of(make, (8, 8, 8))
    assert told.peak == pytest.approx(counted(make(), torch.randn(16, 8, 8, 8)), rel=0.005)


class OfTorch(nn.Module):
    """nn.MultiheadAttention over the places of a map."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).mT
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


def test_frozen_weights_have_neither_gradient_nor_state() -> None:
    def make() -> nn.Module:
        return frozen(nn.Sequential(nn.Linear(64, 100), nn.Linear(100, 5)))

    found = step_of(make, (64,), optimizer="adam")
    assert (found.weights, found.gradients, found.optimizer) == (4 * (6500 + 505), 4 * 505, 2 * 4 * 505)
    nothing_learns = step_of(lambda: frozen(nn.Sequential(nn.Linear(64, 100))), (64,))
    assert nothing_learns.gradients == 0 and nothing_learns.peak > 4 * 6500


def test_lazy_weights_have_their_size() -> None:
    lazy = step_of(lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(50), nn.Linear(50, 5)), (3, 8, 8))
    eager = step_of(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 50), nn.Linear(50, 5)), (3, 8, 8))
    assert lazy == eager


def test_in_bf16_a_norm_over_the_channels_stays_in_fp32() -> None:
    """So autocast has it on a GPU: the residual stream of a transformer is fp32, that of a convolutional network bf16."""

    def step(norm: nn.Module) -> list[int]:
        def make() -> nn.Module:
            return nn.Sequential(nn.Linear(64, 64, bias=False), norm, nn.Linear(64, 5, bias=False))

        return [step_of(make, (64,), 4096, precision=precision).activations for precision in ("fp32", "bf16")]

    plain, with_norm = step(nn.Identity()), step(nn.LayerNorm(64, device="meta"))
    values = 4096 * 64
    assert with_norm[0] - plain[0] == pytest.approx(4 * values, rel=0.05)  # the output of the norm
    # Its input in fp32, while its output is kept in bf16, as the next layer takes it. In bf16 alone it were 2 bytes.
    assert with_norm[1] - plain[1] == pytest.approx(4 * values, rel=0.05)


def test_the_largest_batch_where_the_line_bends() -> None:
    def at(batch: int) -> memory.Memory:
        return memory.Memory(batch, "fp32", 0, 0, 0, 0, 0, max(1000 + batch, 40 * batch))

    for available in (1000, 1001, 1010, 1030, 2000, 40_000):
        fits = max((batch for batch in range(1100) if at(batch).peak <= available), default=0)
        assert memory.largest_batch(at(64), at, available) == fits


SEVERAL_KINDS = (
    "lenet5",
    "capsnet",
    "cnn_lstm",
    "vit_nano",
    "swin_v2_nano",
    "mobile_former_26m",
    "nat_nano",
    "densenet_nano",
)


class _OneByOne(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.conv(image).mean((1, 2))[None] for image in x])


class _FewAtOnce(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 500:
            raise SystemExit("too many")
        return self.conv(x).mean((2, 3))


@pytest.mark.parametrize(("make", "why"), [(_OneByOne, "one by one"), (_FewAtOnce, "does not run at every batch")])
def test_where_a_network_does_not_let_the_largest_batch_be_known_its_reason_is_said(
    make: Callable[[], nn.Module], why: str
) -> None:
    """That of the first took minutes, and of the second a traceback came."""

    def at(batch: int) -> memory.Memory:
        return memory.training_memory(counting.on_meta(make), (1, 8, 8), batch)

    batch, reason = memory.known_largest_batch(at(64), at, 10**10)
    assert batch is None and why in (reason or "")


@pytest.mark.parametrize("name", first_of(dict.fromkeys((*SEVERAL_KINDS, *registry.variants())), len(SEVERAL_KINDS)))
def test_no_network_of_the_catalogue_makes_more_tensors_of_more_images(name: str) -> None:
    """Or its largest batch would not be known."""
    shape = registry.find(name).paper_stem.input

    def tensors_made(batch: int) -> int:
        return memory.training_memory(counting.on_meta(lambda: registry.build(name)), shape, batch).tensors

    assert tensors_made(64) == tensors_made(128) > 0


def test_a_known_largest_batch_is_the_largest_batch() -> None:
    def at(batch: int) -> memory.Memory:
        return memory.Memory(batch, "fp32", 0, 0, 0, 0, 0, 1000 + batch)

    assert memory.known_largest_batch(at(64), at, 3000) == (2000, None)


def test_unknown_precision_and_optimizer_are_named() -> None:
    network = counting.on_meta(lambda: registry.build("lenet5"))
    with pytest.raises(ValueError, match="precision: 'fp8'"):
        memory.training_memory(network, (1, 28, 28), 1, "fp8")
    with pytest.raises(ValueError, match="optimizer: 'sdg'"):
        memory.training_memory(network, (1, 28, 28), 1, optimizer="sdg")


class _Calls(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(self.conv(x)), 2).flatten(1)


def test_a_function_is_counted_as_the_layer_that_does_the_same() -> None:
    modules = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    older, newer = (analyse(network, (3, 8, 8)) for network in (modules, _Calls()))
    assert compare.difference(older, newer) == []
    assert {"ReLU", "MaxPool2d 2×2"} <= compare.count_layers(newer).keys()
    wider = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.MaxPool2d(2))
    assert {change.kind for change in compare.difference(analyse(wider, (3, 8, 8)), newer)} == {
        "GELU",
        "ReLU",
    }
