"""ViT against torchvision and timm, and the facts that its note tells."""

from __future__ import annotations

import re
from typing import Any

import pytest
import timm
import torch
import torchvision
from cnn_explorer.errors import UsageError
from cnn_explorer.models import vit
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import registry
from cnn_explorer.models.layers import margin_allowed
from einops import rearrange
from support.anatomy import stage_shapes
from support.same_function import assert_comparison_can_fail, assert_same_function
from torch import nn


def torchvision_mini_16() -> nn.Module:
    return torchvision.models.VisionTransformer(
        image_size=48, patch_size=16, num_layers=6, num_heads=8, hidden_dim=256, mlp_dim=1024, num_classes=10
    )


def ours_mini_16() -> nn.Module:
    return registry.build("vit_mini_16", num_classes=10, image_size=48)


def test_same_function_as_torchvision() -> None:
    assert_same_function(ours_mini_16(), torchvision_mini_16(), (3, 48, 48))


def test_same_function_as_timm_with_a_patch_that_does_not_divide() -> None:
    """Only runs of 0.1.0 have such networks; new ones are refused."""
    reference = timm.create_model("vit_tiny_patch16_224", img_size=40, num_classes=10)
    with margin_allowed():
        ours = registry.build("vit_tiny_16", num_classes=10, image_size=40)
    assert_same_function(ours, reference, (3, 40, 40))


def _change_activation(network: Any) -> None:
    network.encoder[2].mlp.gelu = nn.GELU(approximate="tanh")


def _shift_epsilons(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-5


def _change_heads(network: Any) -> None:
    network.encoder[1].attention.heads = 4


@pytest.mark.parametrize("spoil", [_change_activation, _shift_epsilons, _change_heads])
def test_the_comparison_catches_a_change(spoil) -> None:
    assert_comparison_can_fail(ours_mini_16(), torchvision_mini_16(), (3, 48, 48), spoil)


# arXiv:2106.04560, table 2: parameters in millions without the head, GFLOPs (two per MAC) at 224 and 384.
PAPER = {
    "vit_mini_28": (5.4, 0.7, 2.0),
    "vit_mini_16": (5.0, 2.2, 7.8),
    "vit_small_32": (22, 2.3, 6.9),
    "vit_tiny_16": (5.5, 2.5, 9.5),
    "vit_base_32": (87, 8.7, 26.0),
    "vit_small_16": (22, 9.2, 31.2),
    "vit_base_28": (87, 11.3, 30.5),
    "vit_base_16": (86, 35.1, 111.3),
    "vit_large_16": (303, 122.9, 382.8),
    "vit_giant_14": (1011, 533.1, 1596.4),
    "vit_gigantic_14": (1843, 965.3, 2859.9),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_size_table_of_the_paper_is_reproduced(name: str) -> None:
    parameters, *gflops = PAPER[name]
    patch = int(name.rsplit("_", 1)[1])
    for printed_size, printed in zip((224, 384), gflops, strict=True):
        size = printed_size // patch * patch  # the paper's patches of 28 and 14 do not cover 384 pixels
        network: Any = counting.on_meta(lambda size=size: registry.build(name, image_size=size))
        counted = 2 * counting.count(network, (3, size, size)).macs / 1e9
        assert abs(counted - printed) <= max(0.015 * printed, 0.05)
        if size == 224:
            without_head = counting.count_parameters(network) - counting.count_parameters(network.head)
            assert abs(without_head / 1e6 - parameters) <= (0.05 if parameters < 10 else 0.7)


def test_the_size_table_of_the_note_is_that_of_the_code() -> None:
    body = registry.family("vit").body
    rows = re.findall(
        r"^\| \S+ \| (vit_\w+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|.*?\| ([\d.]+) / ([\d.]+) \|", body, re.M
    )
    assert {row[0] for row in rows} == set(PAPER)
    for name, *numbers in rows:
        size = vit.SIZES[name.split("_")[1]]
        assert [int(n) for n in numbers[:4]] == [size.width, size.depth, size.hidden, size.heads]
        assert tuple(float(n) for n in numbers[4:]) == PAPER[name][1:]


def test_patch_embedding_is_one_linear_layer_on_flattened_patches() -> None:
    stem = vit.PatchEmbedding(3, 8, 12, 4).double()
    image = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    patches = rearrange(image, "b c (row y) (column x) -> b (row column) (c y x)", y=4, x=4)
    assert stem.project.bias is not None
    expected = patches @ stem.project.weight.flatten(1).T + stem.project.bias
    assert torch.allclose(stem(image), expected, atol=1e-12)


def test_only_for_weights_of_an_earlier_version_a_patch_leaves_pixels_unread() -> None:
    with pytest.raises(UsageError, match=r"^image_size: 384 is not a multiple of the patch 28; 364 or 392 works$"):
        vit.vit_mini_28(image_size=384)
    with margin_allowed():
        network: Any = counting.on_meta(lambda: vit.vit_mini_28(image_size=384))
        stem = vit.PatchEmbedding(1, 4, 10, 4)
    assert network.stem.grid == 13 and "20 pixels a side unread" in repr(network.stem)
    with pytest.raises(UsageError, match="8 or 12 works"):
        vit.PatchEmbedding(1, 4, 10, 4)
    image = torch.randn(1, 1, 10, 10)
    changed = image.clone()
    changed[:, :, 8:] += 1
    changed[:, :, :, 8:] += 1
    assert torch.equal(stem(image), stem(changed))


def test_attention_is_what_the_note_says() -> None:
    attention = vit.SelfAttention(12, 3).double()
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    shares = attention.weights(x)
    assert shares.shape == (2, 3, 5, 5)
    assert torch.allclose(shares.sum(-1), torch.ones(2, 3, 5, dtype=torch.float64))
    q, k, v = attention.qkv(x).chunk(3, dim=-1)
    mixed = torch.zeros_like(v)
    for head in range(3):
        own = slice(4 * head, 4 * head + 4)
        for b in range(2):
            for i in range(5):
                scores = torch.stack([(q[b, i, own] * k[b, j, own]).sum() / 4**0.5 for j in range(5)])
                mine = torch.softmax(scores, dim=0)
                assert torch.allclose(mine, shares[b, head, i])
                mixed[b, i, own] = mine @ v[b, :, own]
    assert torch.allclose(attention(x), attention.out(mixed))


def test_without_positions_the_encoder_reads_a_bag_of_patches() -> None:
    torch.manual_seed(0)
    network = vit.vit_nano().double().eval()
    order = torch.randperm(65)
    tokens = torch.randn(1, 65, 128, dtype=torch.float64)
    assert torch.allclose(network.encoder(tokens[:, order]), network.encoder(tokens)[:, order], atol=1e-10)
    assert not torch.allclose(network.tokens(tokens[:, order[:64] % 64]), network.tokens(tokens[:, :64])[:, order])


@pytest.mark.parametrize(("size", "tokens"), [(28, 49), (32, 64)])
def test_small_stem_has_patches_of_four(size: int, tokens: int) -> None:
    network: Any = counting.on_meta(lambda: registry.build("vit_base_16", stem="small", image_size=size))
    assert network.stem.patch_size == 4
    assert stage_shapes(network, (3, size, size))["stem"] == (tokens, 768)


def test_patch_size_is_a_keyword() -> None:
    assert vit.vit_nano(patch_size=8).stem.grid == 4
    assert counting.on_meta(lambda: vit.vit_base_16(patch_size=32)).get_submodule("stem").grid == 7


def test_dropout_acts_in_training_only() -> None:
    network = vit.vit_nano(dropout=0.5)
    image = torch.randn(1, 3, 32, 32)
    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="40×40 pixels, but the network was built for image_size 32"):
        vit.vit_nano()(torch.zeros(1, 3, 40, 40))
