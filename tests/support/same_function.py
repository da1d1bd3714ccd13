"""The proof that two networks compute the same function: all weights random, float64, outputs and gradients equal."""

from __future__ import annotations

from collections.abc import Callable

import torch
from cnn_explorer.models.anatomy.saved_weights.transplant import Pair, named_weights, transplant
from torch import Tensor, nn

from .tensors import randomise


def relative_difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference over the largest absolute value."""
    return ((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-300)).item()


def first(outputs) -> Tensor:
    """The scores of outputs that may carry auxiliary ones."""
    return outputs if isinstance(outputs, Tensor) else outputs[0]


def differences(
    ours: nn.Module,
    theirs: nn.Module,
    shape: tuple[int, int, int],
    *,
    batch: int = 2,
    seed: int = 0,
    convert: Callable[[str, Tensor], Tensor] | None = None,
) -> tuple[float, float]:
    """Relative difference of the outputs and of the gradients (worst tensor; the image's gradient included).

    ``theirs`` is the reference; its weights are drawn at random and put into ``ours``.
    """
    ours, theirs, image, pairs = _with_the_same_weights(ours, theirs, shape, batch, seed, convert)
    our_scores, our_gradients = _run(ours, image)
    their_scores, their_gradients = _run(theirs, image)
    gradient = relative_difference(our_gradients[""], their_gradients[""])
    if convert is None:
        gradient = max(gradient, _worst(pairs, our_gradients, their_gradients))
    return relative_difference(our_scores, their_scores), gradient


def _with_the_same_weights(
    ours: nn.Module,
    theirs: nn.Module,
    shape: tuple[int, int, int],
    batch: int,
    seed: int,
    convert: Callable[[str, Tensor], Tensor] | None,
) -> tuple[nn.Module, nn.Module, Tensor, list[Pair]]:
    """Both networks in float64 with the same random weights, random images, and which tensors belong together."""
    ours, theirs = ours.double().eval(), theirs.double().eval()
    randomise(theirs, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    image = torch.randn((batch, *shape), generator=generator, dtype=torch.float64)
    pairs = transplant(theirs, ours, image[:1], convert=convert)  # the order of use is that of one image
    assert {pair.target for pair in pairs} >= set(dict(ours.named_parameters())), "some of our weights were never set"
    return ours, theirs, image, pairs


def _run(network: nn.Module, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    image = image.clone().requires_grad_(True)
    scores = first(network(image))
    _weighted(scores).backward()
    gradients = {name: p.grad for name, p in named_weights(network).items() if p.grad is not None}
    assert image.grad is not None
    return scores.detach(), {**gradients, "": image.grad}


def _worst(pairs: list[Pair], ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    worst = 0.0
    for pair in pairs:
        if pair.target in ours and pair.source in theirs:
            reference = theirs[pair.source].reshape(ours[pair.target].shape)
            scale = max(reference.abs().max().item(), 1e-12)
            worst = max(worst, (ours[pair.target] - reference).abs().max().item() / scale)
    return worst


def assert_same_function(ours: nn.Module, theirs: nn.Module, shape: tuple[int, int, int], **options) -> None:
    """Outputs equal to 1e-9 and gradients to 1e-7 relative in float64, all weights random."""
    output, gradient = differences(ours, theirs, shape, **options)
    assert output < 1e-9, f"outputs differ by {output:.2e}"
    assert gradient < 1e-7, f"gradients differ by {gradient:.2e}"


def assert_comparison_can_fail(
    ours: nn.Module,
    theirs: nn.Module,
    shape: tuple[int, int, int],
    spoil: Callable[[nn.Module], None],
    *,
    convert: Callable[[str, Tensor], Tensor] | None = None,
) -> None:
    """The control: after ``spoil(ours)`` the outputs differ visibly.

    One image and no gradients: that the unchanged networks agree is what ``assert_same_function`` proves.
    """
    ours, theirs, image, _ = _with_the_same_weights(ours, theirs, shape, 1, 0, convert)
    spoil(ours)
    with torch.no_grad():
        output = relative_difference(first(ours(image)), first(theirs(image)))
    assert output > 1e-6, f"a changed network passes for the same: {output:.2e}"


Again = Callable[[nn.Module, Tensor], Tensor]
"""A second way to compute the scores of a network from its weights, written by hand: (network, image) → scores."""


def assert_equals_recomputation(network: nn.Module, again: Again, shape: tuple[int, int, int]) -> None:
    """Scores equal to 1e-9 and the image's gradient to 1e-7 relative, for a network in float64 with random weights."""
    image = _random_images(shape)
    scores, gradients = _run(network, image)
    expected, expected_gradients = _run_again(network, again, image)
    output = relative_difference(scores, expected)
    gradient = relative_difference(gradients[""], expected_gradients)
    assert output < 1e-9, f"outputs differ by {output:.2e}"
    assert gradient < 1e-7, f"gradients differ by {gradient:.2e}"


def assert_recomputation_can_fail(
    network: nn.Module, again: Again, shape: tuple[int, int, int], spoil: Callable[[nn.Module], None]
) -> None:
    """The control: the scores agree, and after ``spoil(network)`` they do not."""
    image = _random_images(shape)
    with torch.no_grad():
        expected = again(network, image)
        assert relative_difference(first(network(image)), expected) < 1e-9
        spoil(network)
        output = relative_difference(first(network(image)), expected)
    assert output > 1e-6, f"a changed network passes for the same: {output:.2e}"


def _random_images(shape: tuple[int, int, int]) -> Tensor:
    return torch.randn((2, *shape), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _run_again(network: nn.Module, again: Again, image: Tensor) -> tuple[Tensor, Tensor]:
    image = image.clone().requires_grad_(True)
    scores = again(network, image)
    _weighted(scores).backward()
    assert image.grad is not None
    return scores.detach(), image.grad


def _weighted(scores: Tensor) -> Tensor:
    """A fixed non-uniform weighting, so that every score matters and softmax cannot saturate."""
    weights = torch.linspace(-1.0, 1.0, scores.numel(), dtype=scores.dtype).reshape(scores.shape)
    return (scores * weights).sum()
