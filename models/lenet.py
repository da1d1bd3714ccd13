"""LeNet-5: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE, 1998.

The idea: a small window with the same weights slides over the image (convolution), the map is made coarser
(subsampling), twice; what remains is small enough for fully connected layers. All of it is learned from the pixels.

What to look at: ``LeNet5`` is the version taught today. ``LeNet5Paper`` is the network of the paper, with three parts
that nobody copied: the table that says which maps a C3 unit sees, the subsampling with weights, and the output layer that
measures distances to drawn characters. Layer names are the paper's (section II.B): C convolves, S subsamples, F is full.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import BuildOptions, check_choice, check_image_size, check_positive

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
POOLINGS = {"average": nn.AvgPool2d, "max": nn.MaxPool2d}

# Table I of the paper: the S2 maps that each of the sixteen C3 maps sees. No two see the same, so no two can become alike.
C3_TABLE = (
    *[(0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0), (5, 0, 1)],
    *[(0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 0), (4, 5, 0, 1), (5, 0, 1, 2)],
    *[(0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)],
    (0, 1, 2, 3, 4, 5),
)

# The targets of F6: ten digits on a grid of 7×12 pixels, hence 84 units. A filled pixel is +1, an empty one -1.
GLYPHS = """
..###.. ...#... .#####. .#####. .....#. ####### ..####. ####### .#####. .#####.
.#...#. ..##... #.....# #.....# ....##. #...... .#..... ......# #.....# #.....#
#.....# .#.#... ......# ......# ...#.#. #...... #...... ......# #.....# #.....#
#.....# ...#... ......# ......# ..#..#. #...... #...... .....#. #.....# #.....#
#.....# ...#... .....#. .....#. .#...#. ######. #...... .....#. #.....# #.....#
#.....# ...#... ....#.. ..####. #....#. ......# #.####. ....#.. .#####. .######
#.....# ...#... ...#... .....#. #....#. ......# ##....# ....#.. #.....# ......#
#.....# ...#... ..#.... ......# ####### ......# #.....# ...#... #.....# ......#
#.....# ...#... .#..... ......# .....#. ......# #.....# ...#... #.....# ......#
#.....# ...#... #...... ......# .....#. ......# #.....# ..#.... #.....# ......#
.#...#. ...#... #...... #.....# .....#. #.....# #.....# ..#.... #.....# .....#.
..###.. .#####. ####### .#####. .....#. .#####. .#####. ..#.... .#####. .####..
"""
CODE_LENGTH = 7 * 12

# The constant j of equation 9, the penalty of "none of the classes"; the paper says positive and gives no value.
RUBBISH_PENALTY = 20.0


class ScaledTanh(nn.Module):
    """The squashing function of appendix A: 1.7159 · tanh(2/3 · x), so that f(1) = 1 and f(-1) = -1; any shape."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsampling(nn.Module):
    """Sum of 2×2 pixels, times a learned coefficient, plus a learned bias, one of each per map, then squashed.

    (B, C, H, W) → (B, C, H/2, W/2), layers S2 and S4 of section II.B.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.full((channels, 1, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.squash = ScaledTanh()

    def forward(self, x: Tensor) -> Tensor:
        total = 4 * F.avg_pool2d(x, 2)  # (B, C, H/2, W/2)
        return self.squash(self.coefficient * total + self.bias)  # (B, C, H/2, W/2)


class PartialConv(nn.Module):
    """A 5×5 convolution in which each output map sees only the input maps that ``table`` lists (table I).

    (B, C, H, W) → (B, len(table), H-4, W-4). Rows of equal length become one grouped convolution; no weight exists for
    a connection that is not in the table.
    """

    def __init__(self, table: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList()
        self.inputs: list[list[int]] = []
        for length in sorted({len(row) for row in table}):
            rows = [row for row in table if len(row) == length]
            self.inputs.append([channel for row in rows for channel in row])
            self.convs.append(nn.Conv2d(length * len(rows), len(rows), 5, groups=len(rows)))

    def forward(self, x: Tensor) -> Tensor:
        parts = [conv(x[:, channels]) for conv, channels in zip(self.convs, self.inputs, strict=True)]
        return torch.cat(parts, dim=1)  # (B, 16, 10, 10)


class PadTo(nn.Module):
    """Continue the border of an image until it has ``size`` pixels a side: (B, C, S, S) → (B, C, size, size)."""

    def __init__(self, image_size: int, size: int) -> None:
        super().__init__()
        missing = max(0, size - image_size)
        self.before, self.after = missing // 2, missing - missing // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (self.before, self.after) * 2, mode="replicate") if self.after else x  # (B, C, 32, 32)


class DistanceToCodes(nn.Module):
    """Euclidean radial basis functions (equation 7): penalty of class i = Σ_j (x_j - w_ij)²; (B, 84) → (B, classes).

    The codes w are fixed, not learned. The scores returned are the penalties with a minus sign: the nearest code wins.
    """

    codes: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.tensor(class_codes(num_classes)))  # (classes, 84)

    def forward(self, x: Tensor) -> Tensor:
        return -(x.unsqueeze(1) - self.codes).square().sum(dim=2)  # (B, classes)


def class_codes(num_classes: int) -> list[list[float]]:
    """Return one code of 84 values ±1 per class: the drawn digits, and chance codes (seeded) where there are more
    classes.
    """
    rows = [line.split() for line in GLYPHS.split("\n") if line]
    codes = [[1.0 if pixel == "#" else -1.0 for row in rows for pixel in row[digit]] for digit in range(10)]
    chance = random.Random(1998)
    while len(codes) < num_classes:
        codes.append([chance.choice((-1.0, 1.0)) for _ in range(CODE_LENGTH)])
    return codes[:num_classes]


def side_of_s4(image_size: int) -> int:
    """Return the side of the map S4: a 5×5 without padding takes four pixels away, subsampling halves; twice."""
    s2 = (image_size - 4) // 2
    return (s2 - 4) // 2


class LeNet5(nn.Module):
    """LeNet-5 as it is taught: full C3, plain pooling, linear output: (B, in_channels, S, S) → (B, num_classes).

    28-pixel images are padded by two pixels, so that the maps have the sizes of the paper; from 32 pixels on nothing is.
    ``activation`` is "relu", "tanh" or "sigmoid", ``pooling`` "average" or "max".
    """

    def __init__(
        self,
        *,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        activation: str = "relu",
        pooling: str = "average",
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        check_image_size(image_size, 12, "two 5×5 convolutions and two poolings")
        check_choice("activation", activation, tuple(ACTIVATIONS))
        check_choice("pooling", pooling, tuple(POOLINGS))
        act: Callable[[], nn.Module] = ACTIVATIONS[activation]
        padding = 2 if image_size < 32 else 0
        s4 = side_of_s4(image_size + 2 * padding)
        self.c1 = nn.Sequential(nn.Conv2d(in_channels, 6, 5, padding=padding), act())
        self.s2 = POOLINGS[pooling](2)
        self.c3 = nn.Sequential(nn.Conv2d(6, 16, 5), act())
        self.s4 = POOLINGS[pooling](2)
        self.c5 = nn.Sequential(nn.Flatten(), nn.Linear(16 * s4 * s4, 120), act())
        self.f6 = nn.Sequential(nn.Linear(120, 84), act())
        self.head = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c1(x)  # (B, 6, 28, 28)
        x = self.s2(x)  # (B, 6, 14, 14)
        x = self.c3(x)  # (B, 16, 10, 10)
        x = self.s4(x)  # (B, 16, 5, 5)
        x = self.c5(x)  # (B, 120)
        x = self.f6(x)  # (B, 84)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(stages("c1", "s2", "c3", "s4", "c5", "f6", "head"), feature_layer="s4", overfit_lr=3e-3)


class LeNet5Paper(nn.Module):
    """LeNet-5 of section II.B, 60,000 learned values: (B, in_channels, 32, 32) → (B, num_classes).

    Smaller images are padded to 32 pixels by continuing their border. C5 is a convolution as large as the map it sees.
    """

    def __init__(self, *, num_classes: int = 10, in_channels: int = 1, image_size: int = 32) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size)
        s4 = side_of_s4(max(image_size, 32))
        self.pad = PadTo(image_size, 32)
        self.c1 = nn.Sequential(nn.Conv2d(in_channels, 6, 5), ScaledTanh())
        self.s2 = Subsampling(6)
        self.c3 = nn.Sequential(PartialConv(C3_TABLE), ScaledTanh())
        self.s4 = Subsampling(16)
        self.c5 = nn.Sequential(nn.Conv2d(16, 120, s4), ScaledTanh())
        self.f6 = nn.Sequential(nn.Flatten(), nn.Linear(120, CODE_LENGTH), ScaledTanh())
        self.output = DistanceToCodes(num_classes)
        initialise_by_fan_in(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pad(x)  # (B, in_channels, 32, 32)
        x = self.c1(x)  # (B, 6, 28, 28)
        x = self.s2(x)  # (B, 6, 14, 14)
        x = self.c3(x)  # (B, 16, 10, 10)
        x = self.s4(x)  # (B, 16, 5, 5)
        x = self.c5(x)  # (B, 120, 1, 1)
        x = self.f6(x)  # (B, 84)
        return self.output(x)  # (B, num_classes)

    def training_loss(
        self, outputs: Tensor, images: Tensor, targets: Tensor, criterion: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Equation 9, the mean of y_D + log(e^-j + Σ_i e^-y_i), where y = -outputs and D is the right class.

        With cross-entropy as ``criterion`` the first two terms are criterion(outputs, targets) = y_D + log Σ_i e^-y_i; what
        is added here puts e^-j beside the sum. So label smoothing and class weights keep their meaning.
        """
        evidence = torch.logsumexp(outputs, dim=1)  # (B,): log Σ_i e^-y_i
        return criterion(outputs, targets) + F.softplus(-RUBBISH_PENALTY - evidence).mean()

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages("pad", "c1", "s2", "c3", "s4", "c5", "f6", "output"),
            feature_layer="s4",
            initial_loss=CODE_LENGTH - RUBBISH_PENALTY,
            initial_loss_reason="F6 starts near 0, which is 84 away from every code of 84 values ±1; j is taken off",
            overfit_lr=3e-3,
        )


def initialise_by_fan_in(network: nn.Module) -> None:
    """Draw weights and biases uniformly from ±2.4 / fan_in, the rule of appendix A."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            bound = 2.4 / module.weight[0].numel()
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.uniform_(module.bias, -bound, bound)


def lenet5(*, activation: str = "relu", pooling: str = "average", **options: Unpack[BuildOptions]) -> LeNet5:
    return LeNet5(activation=activation, pooling=pooling, **options)


def lenet5_paper(**options: Unpack[BuildOptions]) -> LeNet5Paper:
    return LeNet5Paper(**options)
