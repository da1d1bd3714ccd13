"""MLP-Mixer against timm, and the facts that its note tells."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from cnn_explorer.models import mixer
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from support.anatomy import stage_shapes
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn


def theirs() -> nn.Module:
    # 48 pixels in patches of 16: 9 tokens, so that no two weights have the same shape by accident.
    return timm.create_model("mixer_s16_224", img_size=48, num_classes=10)


def ours() -> nn.Module:
    return registry.build("mixer_s16", num_classes=10, image_size=48)


def test_same_function_as_timm() -> None:
    assert_same_function(ours(), theirs(), (3, 48, 48))


def _change_activation(network: Any) -> None:
    network.blocks[2].mix_tokens.gelu = nn.ReLU()


def _shift_epsilons(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-5


def _pool_by_maximum(network: Any) -> None:
    network.pool.forward = lambda x: x.amax(dim=1)


@pytest.mark.parametrize("spoil", [_change_activation, _shift_epsilons, _pool_by_maximum])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_comparison_can_fail(ours(), theirs(), (3, 48, 48), spoil)


def test_counts_follow_from_table_1() -> None:
    for name, size, patch in [("mixer_b16", mixer.SIZES["base"], 16), ("mixer_h14", mixer.SIZES["huge"], 14)]:
        n, c = (224 // patch) ** 2, size.width
        tokens = 2 * n * size.token_hidden + n + size.token_hidden
        channels = 2 * c * size.channel_hidden + c + size.channel_hidden
        block = tokens + channels + 2 * 2 * c
        expected = 3 * patch**2 * c + c + size.depth * block + 2 * c + 1000 * c + 1000
        assert counting.count_parameters(counting.on_meta(lambda name=name: registry.build(name))) == expected


def test_the_sizes_keep_the_proportions_of_the_paper() -> None:
    for size in mixer.SIZES.values():
        assert (size.token_hidden, size.channel_hidden) == (size.width // 2, 4 * size.width)


def test_token_mixing_keeps_channels_apart_and_channel_mixing_keeps_places_apart() -> None:
    torch.manual_seed(0)
    block = mixer.MixerBlock(9, mixer.SIZES["nano"]).double()
    x = torch.randn(1, 9, 128, dtype=torch.float64)
    changed = x.clone()
    changed[0, :, 5] += 1.0
    difference = block.mix_tokens(changed.transpose(1, 2)) - block.mix_tokens(x.transpose(1, 2))  # (1, C, N)
    assert difference[0].abs().amax(dim=1).nonzero().flatten().tolist() == [5]
    changed = x.clone()
    changed[0, 3] += torch.randn(128, dtype=torch.float64)
    difference = block.mix_channels(changed) - block.mix_channels(x)  # (1, N, C)
    assert difference[0].abs().amax(dim=1).nonzero().flatten().tolist() == [3]


def test_shuffled_pixels_are_another_parametrisation_of_the_same_network() -> None:
    """The invariance of the paper: a permutation of patches can be undone in the weights of the token MLPs."""
    torch.manual_seed(0)
    network: Any = mixer.mixer_nano().double().eval()
    tokens = network.stem(torch.randn(2, 3, 32, 32, dtype=torch.float64))
    expected = network.pool(network.norm(network.blocks(tokens)))
    order = torch.randperm(64)
    with torch.no_grad():
        for block in network.blocks:
            block.mix_tokens.linear1.weight.copy_(block.mix_tokens.linear1.weight[:, order])
            block.mix_tokens.linear2.weight.copy_(block.mix_tokens.linear2.weight[order])
            block.mix_tokens.linear2.bias.copy_(block.mix_tokens.linear2.bias[order])
    assert torch.allclose(network.pool(network.norm(network.blocks(tokens[:, order]))), expected, atol=1e-10)
    assert not torch.allclose(network.pool(network.norm(network.blocks(tokens))), expected, atol=1e-4)


def test_stochastic_depth_acts_in_training_only() -> None:
    network: Any = mixer.mixer_nano(drop_path=0.5)
    assert [block.drop_path.rate for block in network.blocks] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    image = torch.randn(4, 3, 32, 32)
    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))


@pytest.mark.parametrize(("size", "tokens"), [(28, 49), (32, 64)])
def test_small_stem_has_patches_of_four(size: int, tokens: int) -> None:
    network: Any = counting.on_meta(lambda: registry.build("mlpmixer", stem="small", image_size=size))
    assert network.stem.patch_size == 4
    assert stage_shapes(network, (3, size, size))["stem"] == (tokens, 768)
