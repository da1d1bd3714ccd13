"""CapsNet: Sabour, Frosst, Hinton, "Dynamic Routing Between Capsules", NIPS 2017, arXiv:1710.09829.

The idea: a capsule is a group of neurons whose vector describes one thing. Its length is the probability that the thing
is there, its direction how it looks (position, slant, thickness). A capsule of the lower layer predicts the vector of
every capsule above it and sends its output to those that the other predictions agree with: routing by agreement.

What to look at: ``route``, six lines. The softmax runs over the capsules *above*: each lower capsule shares out one vote
among its possible parents. Over the capsules below, as in many copies of this network, nobody would have to choose.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Unpack

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .catalogue.declaration import Declaration, stages
from .layers import BuildOptions, check_image_size, check_positive

# Equation 4: the right capsule should be longer than m+, the others shorter than m-; λ weights the latter down.
PRESENT, ABSENT, ABSENT_WEIGHT = 0.9, 0.1, 0.5
# Section 4.1: what the summed squared error of the reconstruction counts beside the margin loss.
RECONSTRUCTION_WEIGHT = 0.0005
KERNEL = 9


@dataclass(frozen=True)
class Size:
    """``channels`` of the first convolution; ``types`` of primary capsules at each place, each a vector of ``primary``
    values; ``pose`` values of a class capsule; ``decoder``: widths of the two hidden layers of the decoder.
    """

    channels: int
    types: int
    primary: int
    pose: int
    decoder: tuple[int, int]


# Figures 1 and 2 of the paper; nano is this program's.
PAPER = Size(channels=256, types=32, primary=8, pose=16, decoder=(512, 1024))
NANO = Size(channels=64, types=8, primary=8, pose=16, decoder=(128, 256))


def squash(s: Tensor) -> Tensor:
    """Equation 1: vectors (…, D) keep their direction, their length n becomes n² / (1 + n²), between 0 and 1."""
    n = torch.linalg.vector_norm(s, dim=-1, keepdim=True)  # (…, 1)
    return s * (n / (1 + n**2))  # (…, D): n/(1 + n²) = n²/(1 + n²) / n, without a division by zero


def route(votes: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Procedure 1: predictions û_j|i (B, J, I, D) → capsules v_j (B, J, D) and couplings c_ij (B, J, I).

    I capsules below, J capsules above. The couplings of each i sum to one over j.
    """
    logits = votes.new_zeros(votes.shape[:3])  # (B, J, I): b_ij, at first no parent is preferred
    for iteration in range(iterations):
        couplings = logits.softmax(dim=1)  # (B, J, I): c_ij, over the J parents of each capsule
        capsules = squash(torch.einsum("bji,bjid->bjd", couplings, votes))  # (B, J, D): v_j
        if iteration + 1 < iterations:
            logits = logits + torch.einsum("bjid,bjd->bji", votes, capsules)  # (B, J, I): agreement û_j|i · v_j
    return capsules, couplings


class PrimaryCapsules(nn.Module):
    """A convolution whose channels are read as vectors: (B, C, H, W) → (B, types·H'·W', dim), lengths below 1."""

    def __init__(self, in_channels: int, types: int, dim: int) -> None:
        super().__init__()
        self.types = types
        self.conv = nn.Conv2d(in_channels, types * dim, KERNEL, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)  # (B, types·dim, 6, 6)
        return squash(rearrange(x, "b (types dim) h w -> b (types h w) dim", types=self.types))  # (B, 1152, 8)


class ClassCapsules(nn.Module):
    """One capsule a class, found by routing: (B, I, dim) → (B, num_classes, pose).

    W_ij, one matrix for each pair, turns what capsule i sees into what it expects of class j (equation 2). The matrices
    start small: with standard normal ones every class capsule starts at a length near 1, where ``squash`` is flat.
    """

    def __init__(self, capsules: int, dim: int, num_classes: int, pose: int, iterations: int) -> None:
        super().__init__()
        self.iterations = iterations
        self.weight = nn.Parameter(torch.empty(num_classes, capsules, pose, dim))
        nn.init.normal_(self.weight, std=0.01)

    def votes(self, u: Tensor) -> Tensor:
        """Return the predictions û_j|i = W_ij u_i: (B, I, dim) → (B, num_classes, I, pose)."""
        return torch.einsum("jidk,bik->bjid", self.weight, u).contiguous()  # (B, 10, 1152, 16)

    def forward(self, u: Tensor) -> Tensor:
        return route(self.votes(u), self.iterations)[0]  # (B, 10, 16)


class Lengths(nn.Module):
    """The length of each capsule is its score: (B, num_classes, pose) → (B, num_classes), each in [0, 1)."""

    def forward(self, capsules: Tensor) -> Tensor:
        return torch.linalg.vector_norm(capsules, dim=-1)  # (B, 10)


class Decoder(nn.Sequential):
    """Draws the image from one class capsule (figure 2): (B, num_classes, pose), mask (B, num_classes) → (B, C, S, S).

    The mask sets the capsules of all other classes to zero. Pixels lie in (0, 1).
    """

    def __init__(self, num_classes: int, pose: int, hidden: tuple[int, int], image: tuple[int, int, int]) -> None:
        channels, height, width = image
        super().__init__(
            nn.Linear(num_classes * pose, hidden[0]),
            nn.ReLU(),
            nn.Linear(hidden[0], hidden[1]),
            nn.ReLU(),
            nn.Linear(hidden[1], channels * height * width),
            nn.Sigmoid(),
            nn.Unflatten(1, image),
        )

    def forward(self, capsules: Tensor, mask: Tensor) -> Tensor:
        kept = (capsules * mask.unsqueeze(-1)).flatten(1)  # (B, num_classes·pose)
        return super().forward(kept)  # (B, C, S, S)


class CapsNet(nn.Module):
    """Convolution, primary capsules, class capsules: (B, in_channels, S, S) → lengths (B, num_classes).

    In training mode the result is (lengths, capsules), because the decoder must be told the right class, which only
    ``training_loss`` knows. In evaluation the decoder draws what the longest capsule says; its image can be caught
    with a hook or asked for with ``reconstruct``. ``decoder=False`` leaves it out, and the margin loss alone remains.
    """

    def __init__(
        self,
        size: Size,
        *,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        iterations: int = 3,
        decoder: bool = True,
    ) -> None:
        super().__init__()
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size, iterations=iterations)
        check_image_size(image_size, 2 * KERNEL - 1, "two 9×9 convolutions without padding")
        first = image_size - KERNEL + 1
        second = (first - KERNEL) // 2 + 1
        capsules = size.types * second * second
        self.image_shape = (in_channels, image_size, image_size)
        self.conv1 = nn.Sequential(nn.Conv2d(in_channels, size.channels, KERNEL), nn.ReLU())
        self.primary = PrimaryCapsules(size.channels, size.types, size.primary)
        self.classes = ClassCapsules(capsules, size.primary, num_classes, size.pose, iterations)
        self.lengths = Lengths()
        self.decoder = Decoder(num_classes, size.pose, size.decoder, self.image_shape) if decoder else None

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.conv1(x)  # (B, 256, 20, 20)
        x = self.primary(x)  # (B, 1152, 8)
        capsules = self.classes(x)  # (B, 10, 16)
        lengths = self.lengths(capsules)  # (B, 10)
        if self.decoder is None:
            return lengths
        if self.training:
            return lengths, capsules
        self.reconstruct(capsules, lengths.argmax(1))  # (B, 1, 28, 28), less than 1 % of the work
        return lengths

    def reconstruct(self, capsules: Tensor, labels: Tensor) -> Tensor:
        """Return what class capsules (B, num_classes, pose) say of the image, if it shows ``labels`` (B,): (B, C, S, S)."""
        if self.decoder is None:
            raise ValueError("decoder: this network was built with decoder=False and cannot draw")
        return self.decoder(capsules, F.one_hot(labels, capsules.shape[1]).to(capsules.dtype))

    def training_loss(
        self, outputs: Tensor | tuple[Tensor, Tensor], images: Tensor, targets: Tensor, criterion: Callable[..., Tensor]
    ) -> Tensor:
        """Margin loss plus 0.0005 times the summed squared error of the reconstruction, a mean over the batch.

        ``criterion`` (cross-entropy) is not used: lengths are probabilities already, and several may be long at once.
        """
        lengths, capsules = (outputs, None) if isinstance(outputs, Tensor) else outputs
        present = one_hot(targets, lengths)  # (B, num_classes)
        loss = margin_loss(lengths, present)
        if self.decoder is None or capsules is None:
            return loss
        drawn = self.decoder(capsules, present)  # (B, C, S, S): in training the label chooses the capsule
        error = (drawn - intensities(images)).square().flatten(1).sum(1)  # (B,)
        return loss + RECONSTRUCTION_WEIGHT * error.mean()

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        loss, reason = PRESENT**2, "all capsules start short: only the right one is at fault, by 0.9, squared 0.81"
        names = ("conv1", "primary", "classes", "lengths")
        if self.decoder is not None:
            names += ("decoder",)
            loss += RECONSTRUCTION_WEIGHT * math.prod(self.image_shape) / 8
            reason += "; the first drawing is grey, and a pixel of 0 to 1 misses 0.5 by 1/8, squared, or so"
        return Declaration(stages(*names), feature_layer="primary.conv", initial_loss=loss, initial_loss_reason=reason)


def one_hot(targets: Tensor, scores: Tensor) -> Tensor:
    """Return the class indices (B,) or probabilities (B, classes) as T_k of equation 4: (B, classes)."""
    return (F.one_hot(targets, scores.shape[1]) if targets.ndim == 1 else targets).to(scores.dtype)


def margin_loss(lengths: Tensor, present: Tensor) -> Tensor:
    """Equation 4 for lengths and T_k, both (B, classes), summed over the classes, a mean over the batch: a scalar."""
    missed = present * F.relu(PRESENT - lengths).square()  # (B, classes)
    imagined = (1 - present) * F.relu(lengths - ABSENT).square()  # (B, classes)
    return (missed + ABSENT_WEIGHT * imagined).sum(1).mean()


def intensities(images: Tensor) -> Tensor:
    """Undo the normalisation: each image (C, S, S) of the batch is stretched to [0, 1], darkest to brightest value."""
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(1e-6)  # (B, C, S, S)


class Options(BuildOptions, total=False):
    """``iterations`` of routing and whether there is a ``decoder``."""

    iterations: int
    decoder: bool


def capsnet(**options: Unpack[Options]) -> CapsNet:
    return CapsNet(PAPER, **options)


def capsnet_nano(**options: Unpack[Options]) -> CapsNet:
    return CapsNet(NANO, **options)
