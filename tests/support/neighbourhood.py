"""Neighbourhood attention written a second time, from the weights alone, for the tests of NAT and DiNAT."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from cnn_explorer.models import nat
from torch import Tensor, nn


def nearest_places(side: int, kernel_size: int, dilation: int, place: int) -> list[int]:
    """By the definition: of all windows that lie inside the axis, the one whose middle is nearest to the place."""
    row = [p for p in range(side) if (p - place) % dilation == 0]
    windows = [row[i : i + kernel_size] for i in range(len(row) - kernel_size + 1)]
    return min(windows, key=lambda window: abs(window[kernel_size // 2] - place))


def masked_attention(attention: nat.NeighbourhoodAttention, x: Tensor) -> Tensor:
    """The same by another way: every pixel compared with every pixel, and all that are no neighbours forbidden."""
    batch, side, _, width = x.shape
    size, heads, k = side * side, attention.heads, attention.kernel_size
    allowed = torch.zeros(size, size, dtype=torch.bool)
    rows, columns = torch.zeros(size, size, dtype=torch.long), torch.zeros(size, size, dtype=torch.long)
    near = [nearest_places(side, k, attention.dilation, place) for place in range(side)]
    for i in range(side):
        for j in range(side):
            for a in near[i]:
                for b in near[j]:
                    here, there = i * side + j, a * side + b
                    allowed[here, there] = True
                    rows[here, there] = (a - i) // attention.dilation + k - 1
                    columns[here, there] = (b - j) // attention.dilation + k - 1
    parts = F.linear(x.flatten(1, 2), attention.qkv.weight, attention.qkv.bias).split(width, dim=-1)
    q, k_, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
    bias = attention.bias[:, rows, columns].masked_fill(~allowed, -math.inf)
    mixed = F.scaled_dot_product_attention(q, k_, v, attn_mask=bias)
    return F.linear(mixed.transpose(1, 2).reshape(batch, side, side, width), attention.out.weight, attention.out.bias)


def norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5) * layer.weight + layer.bias


def again(network: Any, image: Tensor, strides: tuple[int, int]) -> Tensor:
    """The whole network from its weights alone, written a second time."""
    x = F.conv2d(image, network.stem.conv1.weight, network.stem.conv1.bias, stride=strides[0], padding=1)
    x = F.conv2d(x, network.stem.conv2.weight, network.stem.conv2.bias, stride=strides[1], padding=1)
    x = norm(network.stem.norm, x.movedim(1, -1))
    for name, stage in network.named_children():
        if not name.startswith("stage"):
            continue
        for layer in stage:
            if isinstance(layer, nat.Downsample):
                x = norm(layer.norm, F.conv2d(x.movedim(-1, 1), layer.conv.weight, stride=2, padding=1).movedim(1, -1))
                continue
            first = getattr(layer.scale1, "factors", 1.0)
            second = getattr(layer.scale2, "factors", 1.0)
            x = x + first * masked_attention(layer.attention, norm(layer.norm1, x))
            hidden = F.linear(norm(layer.norm2, x), layer.mlp.linear1.weight, layer.mlp.linear1.bias)
            hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
            x = x + second * F.linear(hidden, layer.mlp.linear2.weight, layer.mlp.linear2.bias)
    x = norm(network.norm, x).flatten(1, 2).mean(1)
    return F.linear(x, network.head.weight, network.head.bias)


TINY = nat.Size(32, (2, 2, 1), 2, 0.0, layer_scale=1e-5)
