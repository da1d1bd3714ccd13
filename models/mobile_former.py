"""Mobile-Former: Chen, Dai, Chen, Liu, Dong, Yuan, Liu, "Mobile-Former: Bridging MobileNet and Transformer", CVPR 2022,
arXiv:2108.05895.

The idea: a MobileNet and a transformer run side by side, and after each block they talk. The MobileNet sees the pixels;
the transformer has six tokens or fewer, which begin as learned vectors and collect what concerns the whole image.

What to look at: ``Block.forward``, four lines: pixels to tokens, tokens among themselves, the convolutions, tokens to
pixels. Then ``MobileToFormer``: its keys and values are the pixels themselves, so attention costs almost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import ConvNormAct, GlobalAveragePool, check_choice, check_positive, variant
from .shufflenet_v1 import ChannelShuffle
from .vit import Mlp

Pair = tuple[Tensor, Tensor]  # the map (B, C, H, W) and the tokens (B, T, D), which travel together
BRIDGE_HEADS, FORMER_HEADS = 2, 4
DOWN_EXPANSIONS = (6, 4)  # of every block that begins a stage


@dataclass(frozen=True)
class Size:
    """One network of table 1 and of the appendix.

    ``stages``: rows (channels, expansion), stage by stage. The first row of all is a plain convolution block with stride
    ``first_stride``; the first row of each later stage halves the map. ``features`` is the width of the hidden layer of the
    head; ``groups`` those of all 1×1 convolutions.
    """

    stem: int
    first_stride: int
    stages: tuple[tuple[tuple[int, int], ...], ...]
    features: int
    tokens: int
    width: int
    groups: int = 1


def _five(
    first: tuple[int, int], c2: int, c3: int, c4: int, c4b: int, c5: int, expansions: tuple[int, int] = (4, 4)
) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return the five stages of the four large sizes, which differ in channels and in the expansions of stages 2 and 3."""
    e2, e3 = expansions
    return (
        (first,),
        ((c2, 6), (c2, e2)),
        ((c3, 6), (c3, e3)),
        ((c4, 6), (c4, 4), (c4b, 6), (c4b, 6)),
        ((c5, 6), (c5, 6), (c5, 6)),
    )


_FOUR = (((12, 3), (12, 3)), ((24, 6), (24, 3)), ((48, 6), (48, 4), (64, 6)), ((96, 6), (96, 6)))
_96 = (((12, 2),), ((16, 6),), ((32, 6), (32, 3)), ((64, 6), (64, 4), (88, 6)), ((128, 6), (128, 6)))
SIZES = {
    "26m": Size(8, 2, _FOUR, 1024, 3, 128, groups=4),
    "52m": Size(8, 2, _FOUR, 1024, 3, 128),
    "96m": Size(12, 1, _96, 1280, 4, 128),
    "151m": Size(12, 1, _five((12, 2), 16, 32, 64, 88, 128, (3, 3)), 1280, 6, 192),
    "214m": Size(12, 1, _five((12, 2), 20, 40, 80, 112, 160, (3, 4)), 1600, 6, 192),
    "294m": Size(16, 1, _five((16, 2), 24, 48, 96, 128, 192), 1920, 6, 192),
    "508m": Size(24, 1, _five((24, 2), 40, 72, 128, 176, 240, (3, 3)), 1920, 6, 192),
}


class DynamicReLU(nn.Module):
    """max(a·x, b·x) with slopes that the first token decides (Chen et al., arXiv:2003.10027): (B, C, H, W) → the same.

    a lies in (0, 2), b in (-1, 1), one of each per channel and image. Before training a = 1 and b = 0: a ReLU.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(width, width // 4)
        self.slopes = nn.Linear(width // 4, 2 * channels)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        token = tokens[:, 0]  # (B, D)
        slopes = F.hardsigmoid(self.slopes(F.relu(self.squeeze(token))))  # (B, 2·C)   each in [0, 1]
        a, b = (2 * slopes - 1)[:, :, None, None].chunk(2, dim=1)  # twice (B, C, 1, 1)
        return torch.maximum((1 + a) * x, b * x)  # (B, C, H, W)


class MobileToFormer(nn.Module):
    """Tokens collect from the pixels (equation 1): map (B, C, H, W) and tokens (B, T, D) → tokens (B, T, D).

    Attention whose queries come from the tokens; keys and values are the map as it is. A gate per token and channel in
    (0, 2) weights what was collected.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, channels)
        self.gate = nn.Linear(width, channels)
        self.out = nn.Linear(channels, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        q = rearrange(self.query(tokens), "b t (n d) -> b n t d", n=BRIDGE_HEADS)  # (B, heads, T, C / heads)
        pixels = rearrange(x, "b (n d) h w -> b n (h w) d", n=BRIDGE_HEADS)  # (B, heads, H·W, C / heads)
        found = F.scaled_dot_product_attention(q, pixels, pixels)  # (B, heads, T, C / heads)
        found = rearrange(found, "b n t d -> b t (n d)")  # (B, T, C)
        found = found * 2 * F.hardsigmoid(self.gate(tokens))  # (B, T, C)
        return self.norm(tokens + self.out(found))  # (B, T, D)


class Former(nn.Module):
    """A transformer block on few tokens, (B, T, D) → (B, T, D). The normalisations come after the sums."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = Mlp(width, 2 * width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        q, kv = (rearrange(t, "b t (n d) -> b n t d", n=FORMER_HEADS) for t in (self.query(tokens), tokens))
        found = F.scaled_dot_product_attention(q, kv, kv)  # (B, heads, T, D / heads)
        found = self.out(rearrange(found, "b n t d -> b t (n d)"))  # (B, T, D)
        tokens = self.norm1(tokens + found)  # (B, T, D)
        return self.norm2(tokens + self.mlp(tokens))  # (B, T, D)


class FormerToMobile(nn.Module):
    """Pixels collect from the tokens (equation 2): map (B, C, H, W) and tokens (B, T, D) → map (B, C, H, W).

    The pixels are the queries as they are; keys and values come from the tokens.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.key = nn.Linear(width, channels)
        self.value = nn.Linear(width, channels)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        pixels = rearrange(x, "b (n d) h w -> b n (h w) d", n=BRIDGE_HEADS)  # (B, heads, H·W, C / heads)
        k, v = (rearrange(t, "b t (n d) -> b n t d", n=BRIDGE_HEADS) for t in (self.key(tokens), self.value(tokens)))
        found = F.scaled_dot_product_attention(pixels, k, v)  # (B, heads, H·W, C / heads)
        return x + rearrange(found, "b n (h w) d -> b (n d) h w", h=x.shape[2])  # (B, C, H, W)


def pointwise(in_channels: int, out_channels: int, groups: int) -> ConvNormAct:
    """1×1 convolution without activation: (B, C, H, W) → (B, out_channels, H, W)."""
    return ConvNormAct(in_channels, out_channels, 1, groups=groups, activation=None)


def widening(channels: int, expansion: int, stride: int = 1) -> ConvNormAct:
    """Depthwise 3×3 that makes ``expansion`` maps of each: (B, C, H, W) → (B, expansion·C, H/stride, W/stride)."""
    return ConvNormAct(channels, expansion * channels, 3, stride, groups=channels, activation=None)


def shuffle(by: int, groups: int) -> nn.Module:
    """Build a channel shuffle where the 1×1 convolutions are grouped, so that their groups exchange channels."""
    return ChannelShuffle(by) if groups > 1 else nn.Identity()


class InvertedBottleneck(nn.Module):
    """MobileNetV2's block with dynamic ReLUs: 1×1 up, depthwise 3×3, 1×1 down; (B, C, H, W) → (B, C', H, W)."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, size: Size) -> None:
        super().__init__()
        wide = expansion * in_channels
        self.expand = pointwise(in_channels, wide, size.groups)
        self.shuffle1 = shuffle(size.groups, size.groups)
        self.act1 = DynamicReLU(wide, size.width)
        self.depthwise = ConvNormAct(wide, wide, 3, groups=wide, activation=None)
        self.act2 = DynamicReLU(wide, size.width)
        self.project = pointwise(wide, out_channels, size.groups)
        self.shuffle2 = shuffle(size.groups, size.groups)
        self.has_shortcut = in_channels == out_channels

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        change = self.act1(self.shuffle1(self.expand(x)), tokens)  # (B, e·C, H, W)
        change = self.act2(self.depthwise(change), tokens)  # (B, e·C, H, W)
        change = self.shuffle2(self.project(change))  # (B, C', H, W)
        return x + change if self.has_shortcut else change  # (B, C', H, W)


class DownBottleneck(nn.Module):
    """Two lite bottlenecks, the first of which halves the map: (B, C, H, W) → (B, C', H/2, W/2)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, size: Size) -> None:
        super().__init__()
        e1, e2 = DOWN_EXPANSIONS
        self.depthwise1 = widening(in_channels, e1, stride)
        self.shuffle1 = shuffle(in_channels, size.groups)
        self.act1 = DynamicReLU(e1 * in_channels, size.width)
        self.project1 = pointwise(e1 * in_channels, out_channels, size.groups)
        self.depthwise2 = widening(out_channels, e2)
        self.shuffle2 = shuffle(out_channels, size.groups)
        self.act2 = DynamicReLU(e2 * out_channels, size.width)
        self.project2 = pointwise(e2 * out_channels, out_channels, size.groups)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        x = self.act1(self.shuffle1(self.depthwise1(x)), tokens)  # (B, 6·C, H/2, W/2)
        x = self.project1(x)  # (B, C', H/2, W/2)
        change = self.act2(self.shuffle2(self.depthwise2(x)), tokens)  # (B, 4·C', H/2, W/2)
        return x + self.project2(change)  # (B, C', H/2, W/2)


class Block(nn.Module):
    """One Mobile-Former block (section 3): the two networks, and the bridge in both directions; a pair in, a pair out."""

    def __init__(self, mobile: InvertedBottleneck | DownBottleneck, channels: tuple[int, int], width: int) -> None:
        super().__init__()
        self.to_former = MobileToFormer(channels[0], width)
        self.former = Former(width)
        self.mobile = mobile
        self.to_mobile = FormerToMobile(channels[1], width)

    def forward(self, pair: Pair) -> Pair:
        x, tokens = pair  # (B, C, H, W), (B, T, D)
        tokens = self.to_former(x, tokens)  # (B, T, D)
        tokens = self.former(tokens)  # (B, T, D)
        x = self.mobile(x, tokens)  # (B, C', H', W')
        return self.to_mobile(x, tokens), tokens  # (B, C', H', W'), (B, T, D)


class LiteBottleneck(nn.Module):
    """The first block: depthwise 3×3 that widens, 1×1 that narrows; the tokens wait. A pair in, a pair out."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int, groups: int) -> None:
        super().__init__()
        self.depthwise = widening(in_channels, expansion, stride)
        self.act = nn.ReLU6()
        self.shuffle = shuffle(in_channels, groups)
        self.project = pointwise(expansion * in_channels, out_channels, groups)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, pair: Pair) -> Pair:
        x, tokens = pair  # (B, C, H, W), (B, T, D)
        change = self.project(self.shuffle(self.act(self.depthwise(x))))  # (B, C', H/stride, W/stride)
        return (x + change if self.has_shortcut else change), tokens  # (B, C', H/stride, W/stride), (B, T, D)


class Tokens(nn.Module):
    """The learned vectors with which the transformer begins, the same for every image: → (B, T, D)."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(count, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.vectors.repeat(x.shape[0], 1, 1)  # (B, T, D)


class Merge(nn.Module):
    """Averaged map beside the first token, through a hidden layer: (B, C, H, W), (B, T, D) → (B, features)."""

    def __init__(self, channels: int, size: Size) -> None:
        super().__init__()
        self.shuffle = shuffle(size.groups, size.groups)
        self.expand = ConvNormAct(channels, 6 * channels, 1, groups=size.groups, activation=nn.ReLU6)
        self.pool = GlobalAveragePool()
        self.hidden = nn.Linear(6 * channels + size.width, size.features)
        self.norm = nn.BatchNorm1d(size.features)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        x = self.pool(self.expand(self.shuffle(x)))  # (B, 6·C)
        x = torch.cat((F.hardswish(x), tokens[:, 0]), dim=1)  # (B, 6·C + D)
        return F.hardswish(self.norm(self.hidden(x)))  # (B, features)


def make_stage(
    channels: int, rows: tuple[tuple[int, int], ...], stride: int, size: Size, *, first: bool = False
) -> nn.Sequential:
    """Build the blocks of one stage; the first of them has the stride, and in the ``first`` stage it is a lite
    bottleneck.
    """
    blocks: list[nn.Module] = []
    for row, (out_channels, expansion) in enumerate(rows):
        ends = (channels, out_channels)
        if row == 0 and first:
            blocks.append(LiteBottleneck(*ends, expansion, stride, size.groups))
        elif row == 0:
            blocks.append(Block(DownBottleneck(*ends, stride, size), ends, size.width))
        else:
            blocks.append(Block(InvertedBottleneck(*ends, expansion, size), ends, size.width))
        channels = out_channels
    return nn.Sequential(*blocks)


class MobileFormer(nn.Module):
    """Stem and tokens, four or five stages of pairs, one linear layer: (B, in_channels, S, S) → (B, num_classes)."""

    def __init__(
        self,
        size: Size,
        *,
        dropout: float = 0.0,
        num_classes: int = 1000,
        in_channels: int = 3,
        image_size: int = 224,
        stem: str = "imagenet",
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_choice("stem", stem, ("imagenet", "small"))
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout: {dropout} is not in [0, 1); the smallest that works is 0")
        strides = [2, size.first_stride] + [2] * (len(size.stages) - 1)  # of the stem and of each stage
        if stem == "small":  # a small image keeps its size through the first two layers that would halve it
            strides = [1, 1, *strides[2:]] if size.first_stride == 2 else [1, 1, 1, *strides[3:]]
        rows, widths = size.stages, [blocks[-1][0] for blocks in size.stages]
        self.stem = ConvNormAct(in_channels, size.stem, 3, strides[0], activation=nn.ReLU6)
        self.tokens = Tokens(size.tokens, size.width)
        self.stage1 = make_stage(size.stem, rows[0], strides[1], size, first=True)
        self.stage2 = make_stage(widths[0], rows[1], strides[2], size)
        self.stage3 = make_stage(widths[1], rows[2], strides[3], size)
        self.stage4 = make_stage(widths[2], rows[3], strides[4], size)
        self.stage5 = make_stage(widths[3], rows[4], strides[5], size) if len(rows) == 5 else None
        channels = widths[-1]
        self.last_bridge = MobileToFormer(channels, size.width)
        self.merge = Merge(channels, size)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(size.features, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        pair = self.stem(x), self.tokens(x)  # (B, C, 112, 112), (B, T, D)
        pair = self.stage1(pair)  # (B, C', 112, 112), (B, T, D)   with five stages
        pair = self.stage2(pair)  # (B, C', 56, 56), (B, T, D)
        pair = self.stage3(pair)  # (B, C', 28, 28), (B, T, D)
        pair = self.stage4(pair)  # (B, C', 14, 14), (B, T, D)
        if self.stage5 is not None:  # all but 26M and 52M, whose first stage has stride 2
            pair = self.stage5(pair)  # (B, C', 7, 7), (B, T, D)
        x, tokens = pair
        tokens = self.last_bridge(x, tokens)  # (B, T, D)
        x = self.merge(x, tokens)  # (B, features)
        return self.head(self.dropout(x))  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        fifth, last = (("stage5",), self.stage5) if self.stage5 is not None else ((), self.stage4)
        names = ("stem", "tokens", "stage1", "stage2", "stage3", "stage4", *fifth)
        return Declaration(
            stages(*names, merge=("last_bridge", "merge"), head=("dropout", "head")),
            feature_layer=f"{names[-1]}.{len(last) - 1}.to_mobile",
            null_gradients=(
                ("to_mobile.key.bias", "adds the same to all comparisons of a pixel, which softmax does not see"),
                ("merge.hidden.bias", "is subtracted again by the batch normalisation behind it"),
                ("last_bridge.norm.bias", "reaches that normalisation as the same number for all images"),
            ),
        )


def initialise(network: nn.Module) -> None:
    """As in the authors' code: convolutions by He's rule over the fan-out, linear layers with a deviation of 0.01."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)


mobile_former_26m = variant("mobile_former_26m", MobileFormer, SIZES["26m"])
mobile_former_52m = variant("mobile_former_52m", MobileFormer, SIZES["52m"])
mobile_former_96m = variant("mobile_former_96m", MobileFormer, SIZES["96m"])
mobile_former_151m = variant("mobile_former_151m", MobileFormer, SIZES["151m"])
mobile_former_214m = variant("mobile_former_214m", MobileFormer, SIZES["214m"])
mobile_former_294m = variant("mobile_former_294m", MobileFormer, SIZES["294m"])
mobile_former_508m = variant("mobile_former_508m", MobileFormer, SIZES["508m"])
