"""Swin against torchvision, its windows and masks against brute force, and the facts that its note tells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from cnn_explorer.models import swin
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn


def theirs(window: int = 7) -> nn.Module:
    return torchvision.models.SwinTransformer([4, 4], 32, [2, 2, 2, 2], [2, 4, 8, 16], [window, window], num_classes=10)


def ours(window: int = 7, size: int = 64) -> nn.Module:
    row = swin.Size(32, (2, 2, 2, 2), (2, 4, 8, 16), window=window)
    return swin.SwinTransformer(row, num_classes=10, image_size=size)


def test_same_function_as_torchvision() -> None:
    """At 64 pixels no window of 7 divides any of the maps (16, 8, 4, 2): all are filled up, two are shifted."""
    reference = torchvision.models.swin_t(num_classes=10)
    assert_same_function(registry.build("swin_tiny", num_classes=10, image_size=64), reference, (3, 64, 64))


@pytest.mark.parametrize(("window", "size"), [(12, 96), (4, 64), (7, 60)])
def test_same_function_as_torchvision_with_other_windows(window: int, size: int) -> None:
    assert_same_function(ours(window, size), theirs(window), (3, size, size))


def _change_activation(network: Any) -> None:
    network.stage3[2].mlp.gelu = nn.ReLU()


def _shift_epsilons(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-4


def _forget_a_shift(network: Any) -> None:
    network.stage1[1].attention.shift = 0


def _shift_the_wrong_way(network: Any) -> None:
    network.stage1[1].attention.shift = 4  # 7 - 3


@pytest.mark.parametrize("spoil", [_change_activation, _shift_epsilons, _forget_a_shift, _shift_the_wrong_way])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_comparison_can_fail(ours(), theirs(), (3, 64, 64), spoil)


@pytest.mark.parametrize(("height", "width", "window"), [(8, 12, 4), (7, 7, 7), (6, 4, 2), (5, 3, 1)])
def test_windows_round_trip(height: int, width: int, window: int) -> None:
    x = torch.randn(2, height, width, 3)
    windows = swin.window_partition(x, window)
    assert windows.shape == (2 * (height // window) * (width // window), window**2, 3)
    assert torch.equal(swin.window_reverse(windows, window, height, width), x)
    assert torch.equal(windows[0], x[0, :window, :window].reshape(window**2, 3)), "the first window is the top left one"


@pytest.mark.parametrize(
    ("height", "width", "window", "shifts"), [(8, 12, 4, (2, 2)), (14, 14, 7, (3, 3)), (6, 3, 3, (1, 0))]
)
def test_the_mask_blocks_exactly_the_pairs_that_came_around(height, width, window, shifts) -> None:
    """Brute force: two places of a shifted window may meet when they lie within one window's reach in the image."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack((rows, columns), dim=-1)[None].roll((-shifts[0], -shifts[1]), dims=(1, 2))
    windows = swin.window_partition(places, window)
    mask = swin.shift_mask(height, width, window, shifts)
    assert mask.shape == (len(windows), window**2, window**2)
    for index, window_places in enumerate(windows.tolist()):
        for i, (row_i, column_i) in enumerate(window_places):
            for j, (row_j, column_j) in enumerate(window_places):
                near = abs(row_i - row_j) < window and abs(column_i - column_j) < window
                assert mask[index, i, j].item() == near


def test_without_a_shift_everything_in_a_window_may_meet() -> None:
    assert swin.shift_mask(8, 8, 4, (0, 0)).all()


def test_relative_index_depends_on_the_offset_alone() -> None:
    window = 4
    index = swin.relative_index(window)
    assert index.min() == 0 and index.max() == (2 * window - 1) ** 2 - 1
    seen: dict[tuple[int, int], int] = {}
    for i in range(window**2):
        for j in range(window**2):
            offset = (i // window - j // window, i % window - j % window)
            assert seen.setdefault(offset, int(index[i, j])) == int(index[i, j])
    assert len(set(seen.values())) == len(seen) == (2 * window - 1) ** 2


def receptive_field(network: nn.Module, side: int, place: tuple[int, int]) -> set[tuple[int, int]]:
    """Places whose tokens change when the token at ``place`` changes."""
    x = torch.randn(1, side, side, 16, dtype=torch.float64)
    changed = x.clone()
    changed[0, place[0], place[1]] = torch.randn(16, dtype=torch.float64)
    with torch.no_grad():
        moved = (network(changed) - network(x))[0].abs().amax(-1) > 1e-12
    return {tuple(p) for p in moved.nonzero().tolist()}


def test_windows_alone_lose_the_context_and_shifted_ones_bring_it_back() -> None:
    torch.manual_seed(0)
    plain = swin.SwinBlock(16, 2, 4, 0).double()
    shifted = swin.SwinBlock(16, 2, 4, 2).double()
    own = {(r, c) for r in range(4, 8) for c in range(4, 8)}
    assert receptive_field(plain, 12, (5, 5)) == own
    assert receptive_field(nn.Sequential(plain, plain), 12, (5, 5)) == own, "two unshifted blocks see no more than one"
    both = receptive_field(nn.Sequential(plain, shifted), 12, (5, 5))
    assert both == {(r, c) for r in range(2, 10) for c in range(2, 10)}
    corner = receptive_field(shifted, 12, (0, 0))
    assert corner == {(r, c) for r in range(2) for c in range(2)}, "what came around must not be seen"


def test_merging_is_the_patch_of_a_vit_on_the_map() -> None:
    x = torch.randn(1, 4, 6, 3)
    merged = swin.merge_neighbours(x, 2)
    assert merged.shape == (1, 2, 3, 12)
    quarters = [x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]]
    assert torch.equal(merged, torch.cat(quarters, dim=-1))
    assert torch.equal(swin.merge_neighbours(x, 1), x)
    assert swin.merge_neighbours(torch.ones(1, 7, 7, 3), 2)[0, 3, 3].tolist() == [1.0] * 3 + [0.0] * 9


def test_attention_grows_with_the_area_and_not_with_its_square() -> None:
    def cost(side: int) -> tuple[int, int]:
        network = counting.on_meta(lambda: nn.Sequential(swin.WindowAttention(96, 3, 7, 0)))
        windows = counting.on_meta(lambda: nn.Sequential(nn.Conv2d(96, 96, 1), _ChannelsLast(), network))
        return counting.module_macs(windows, (96, side, side))[""], side**2

    (small, small_area), (large, large_area) = cost(14), cost(56)
    assert large / small == large_area / small_area


class _ChannelsLast(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1)


def test_small_stem_has_windows_of_four() -> None:
    network: Any = counting.on_meta(lambda: registry.build("swin_base", stem="small"))
    assert network.stage1[1].attention.window == 4 and network.stage1[1].attention.shift == 2


def test_an_image_need_not_be_square() -> None:
    network = swin.swin_nano().eval()
    with torch.no_grad():
        assert network(torch.randn(2, 3, 40, 24)).shape == (2, 10)


def test_stochastic_depth_is_the_papers_unless_told_otherwise() -> None:
    for name, rate in {"swin_tiny": 0.2, "swin_small": 0.3, "swin_base": 0.5}.items():
        network: Any = counting.on_meta(lambda name=name: registry.build(name))
        assert network.stage4[-1].drop_path.rate == pytest.approx(rate)
    told: Any = swin.swin_nano(drop_path=0.1)
    assert told.stage4[-1].drop_path.rate == pytest.approx(0.1)


def test_the_smallest_image_works() -> None:
    assert swin.swin_tiny(image_size=4).eval()(torch.randn(1, 3, 4, 4)).shape == (1, 1000)
