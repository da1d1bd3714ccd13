"""Memory of one training step, from a step on the meta device: nothing is allocated, no GPU is touched.

Forward pass, loss and backward pass are run, and every tensor is counted for as long as it lives (live_bytes.py): what
autograd keeps, which two layers may share, the gradients of the weights, which come while activations go, and what is
under way between two operations. Left out is what a kernel allocates for itself while it runs, such as the workspace of
a convolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from ..forward.inputs import InputSpec, tensors
from .autocast import Autocast, keep_recurrent_layers
from .live_bytes import LiveBytes

STATE_COPIES = {
    "sgd": 1,
    "sgd-plain": 0,
    "rmsprop": 2,
    "rmsprop-plain": 1,
    "adam": 2,
    "adamw": 2,
    "lamb": 2,
    "muon": 1,
}
"""Values that an optimiser keeps for each weight that learns; "plain": without momentum."""
BYTES = {"fp32": 4, "bf16": 2}
STEPS = 3
"""Of the search for the largest batch."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one training step. ``peak`` is less than the sum, because gradients come while activations go.

    ``weights``: the parameters, and their copies in bf16; ``gradients`` and ``optimizer``: of the parameters that learn;
    ``activations``: what the forward pass leaves for the backward pass; ``largest_output``: the largest tensor of it.
    ``tensors``: how many tensors the step made.
    """

    batch: int
    precision: str
    weights: int
    gradients: int
    optimizer: int
    activations: int
    largest_output: int
    peak: int
    tensors: int = 0


def fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return attention as the real devices run it: the fused kernel keeps no matrix of attention weights."""
    if query.ndim == 4 and not enable_gqa and (attn_mask is None or attn_mask.is_floating_point()):
        mask = None if attn_mask is None or attn_mask.requires_grad else attn_mask
        if mask is attn_mask:
            return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                query, key, value, 0.0, is_causal, attn_mask=mask, scale=scale
            )[0]
    return plain_attention(query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)


plain_attention = F.scaled_dot_product_attention


class _FusedAttention(TorchFunctionMode):
    """Replaces attention by the fused kernel, which torch does not choose for tensors without memory."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        func = fused_attention if func is plain_attention else func
        return func(*args, **(kwargs or {}))


@contextmanager
def as_on_device() -> Iterator[None]:
    """Run tensors without memory as a device would; also attention that torch calls itself, in nn.MultiheadAttention."""
    F.scaled_dot_product_attention = fused_attention
    try:
        with _FusedAttention():
            yield
    finally:
        F.scaled_dot_product_attention = plain_attention


def training_memory(
    network: nn.Module,
    shape: tuple[int, ...],
    batch: int,
    precision: str = "fp32",
    optimizer: str = "sgd",
    inputs: Sequence[InputSpec] = (),
) -> Memory:
    """Return the memory of one training step at ``batch`` images of ``shape`` (C, H, W); ``inputs`` are those of a
    network that takes something else.

    ``network`` lives on the meta device; its mode is changed and it gets gradients. "bf16" means autocast: weights,
    gradients and optimiser state stay fp32, activations and a second copy of the weights are bf16.
    """
    if precision not in BYTES:
        raise ValueError(f"precision: {precision!r} is unknown; choose one of {', '.join(BYTES)}")
    if optimizer not in STATE_COPIES:
        raise ValueError(f"optimizer: {optimizer!r} is unknown; choose one of {', '.join(STATE_COPIES)}")
    network.train()
    given = tensors(inputs or (InputSpec(shape),), batch, torch.float32, "meta")
    if any(map(is_lazy, network.parameters())):
        with torch.no_grad():
            network(*given)
    counter = LiveBytes()
    weights = counter.hold(network.parameters())
    standing = counter.hold([*network.buffers(), *given]) + weights
    cast = nullcontext()
    if precision == "bf16":
        keep_recurrent_layers(network)
        cast = Autocast(torch.bfloat16)
    with counter, as_on_device():
        with cast:
            loss = loss_of(network, *given)
        copies = cast.copied if isinstance(cast, Autocast) else 0
        activations, largest = counter.live - standing - copies, counter.largest
        if loss.requires_grad:
            loss.backward()
    gradients = sum(weight.numel() * weight.element_size() for weight in network.parameters() if weight.requires_grad)
    state = gradients * STATE_COPIES[optimizer]
    peak = counter.peak + state
    return Memory(batch, precision, weights + copies, gradients, state, activations, largest, peak, counter.made)


def loss_of(network: nn.Module, images: Tensor, *others: Tensor) -> Tensor:
    """Return the loss of a training step: the network's own, else the cross-entropy of its scores, else a sum."""
    outputs: Any = network(images, *others)
    targets = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    own = getattr(network, "training_loss", None)
    if own is not None:
        return own(outputs, images, targets, _cross_entropy)
    scores = [value for value in tree_leaves(outputs) if isinstance(value, Tensor)]
    if scores[0].ndim == 2:
        return _cross_entropy(scores[0], targets)
    return torch.stack([value.float().sum() for value in scores if value.is_floating_point()]).sum()


def _cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(scores.float(), targets)


def known_largest_batch(
    first: Memory, memory_at: Callable[[int], Memory], available: int
) -> tuple[int, None] | tuple[None, str]:
    """Return :func:`largest_batch` and None, or None and why a network that somebody else wrote does not let it be known.

    One that takes its images one by one would make millions of tensors where a million images fit.
    """
    try:
        if memory_at(2 * first.batch).tensors > first.tensors:
            return None, "it takes its images one by one"
        return largest_batch(first, memory_at, available), None
    except KeyboardInterrupt:
        raise
    except BaseException:
        return None, f"it does not run at every batch, as it does at {first.batch}"


def largest_batch(first: Memory, memory_at: Callable[[int], Memory], available: int) -> int:
    """Return the number of images that fit into ``available`` bytes; 0 where not even one does.

    Memory grows along a line that bends: the gradients of the weights do not grow with the batch, and decide where it is
    small. Two steps along the line through the last two sizes lead to the piece on which the answer lies.
    """
    fixed = first.weights + first.optimizer
    guess = max(2, (available - fixed) * first.batch // max(1, first.peak - fixed))
    before = first
    for _ in range(STEPS):
        if guess == before.batch:
            break
        here = memory_at(guess)
        rise = (here.peak - before.peak) / (here.batch - before.batch)
        if rise <= 0:
            return 0
        before, guess = here, max(1, math.floor(here.batch + (available - here.peak) / rise))
    return guess if guess > 1 or memory_at(1).peak <= available else 0
