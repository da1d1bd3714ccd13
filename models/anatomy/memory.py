"""Memory of one training step, from a run on the meta device: nothing is allocated, no GPU is touched.

What backward needs is what autograd saves; hooks on saved tensors see each of them, with the storage it lives in, so that
an output that two layers keep is counted once. Summing layer outputs instead is off by up to a factor of two. The peak
follows backward in time: saved activations are given back from the end of the network to its beginning, while the
gradients of the parameters appear in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

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
"""Values that an optimiser keeps for each weight; "plain": without momentum."""
BYTES = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True)
class Memory:
    """Bytes of one training step. ``peak`` is less than the sum, because gradients come while activations go."""

    batch: int
    precision: str
    weights: int
    gradients: int
    optimizer: int
    activations: int
    largest_output: int
    peak: int


@dataclass(frozen=True)
class _Saved:
    """One tensor that autograd keeps: its bytes, or the bytes of the gradient that its parameter will get."""

    activation: int
    gradient: int


class _FusedAttention(TorchFunctionMode):
    """Attention as the real devices run it: the fused kernel keeps no matrix of attention weights."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            given: tuple[Any, ...] = args if len(args) >= 6 else (*args, None, 0.0, False)
            query, key, value, mask, _, causal = given[:6]
            if kwargs.get("attn_mask", mask) is None and query.ndim == 4:
                causal = kwargs.get("is_causal", causal)
                scale = kwargs.get("scale")
                return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                    query, key, value, 0.0, bool(causal), scale=scale
                )[0]
        return func(*args, **kwargs)


def _saved_in_order(network: nn.Module, image: Tensor) -> tuple[list[_Saved], int]:
    """Return what autograd saves, in order of the forward pass, and the largest single activation in bytes."""
    owners = {weight.untyped_storage()._cdata: weight for weight in network.parameters()}
    buffers = {buffer.untyped_storage()._cdata for buffer in network.buffers()}
    seen: dict[int, Tensor] = {}
    order: list[_Saved] = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in seen and storage._cdata not in buffers:
            seen[storage._cdata] = tensor  # kept alive, so that the storage's address stays its own
            weight = owners.get(storage._cdata)
            if weight is not None:
                order.append(_Saved(0, storage.nbytes()))
            else:
                order.append(_Saved(storage.nbytes(), 0))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), _FusedAttention():
        outputs = network(image)
    assert outputs is not None
    return order, max((saved.activation for saved in order), default=0)


def training_memory(
    network: nn.Module, shape: tuple[int, ...], batch: int, precision: str = "fp32", optimizer: str = "sgd"
) -> Memory:
    """Return the memory of one training step at ``batch`` images of ``shape`` (C, H, W).

    ``network`` lives on the meta device and is used up (its precision is changed). "bf16" means autocast: weights,
    gradients and optimiser state stay fp32, activations and a second copy of the weights are bf16.
    """
    if precision not in BYTES:
        raise ValueError(f"precision: {precision!r} is unknown; choose one of {', '.join(BYTES)}")
    if optimizer not in STATE_COPIES:
        raise ValueError(f"optimizer: {optimizer!r} is unknown; choose one of {', '.join(STATE_COPIES)}")
    values = sum(weight.numel() for weight in network.parameters())
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    network = network.to(dtype).train()
    order, largest = _saved_in_order(network, torch.empty((batch, *shape), device="meta", dtype=dtype))
    scale = 4 // BYTES[precision]
    weights = 4 * values + (2 * values if precision == "bf16" else 0)
    state = 4 * values * STATE_COPIES[optimizer]
    activations = sum(saved.activation for saved in order)
    # At the moment before the layer saved at position i runs backward, everything before it is still kept and the
    # gradients of everything after it exist; the gradients of two neighbouring outputs are in flight.
    kept, gradients, peak = activations, 0, activations
    for saved in reversed(order):
        gradients += saved.gradient * scale
        peak = max(peak, kept + gradients + 2 * saved.activation)
        kept -= saved.activation
    return Memory(
        batch, precision, weights, 4 * values, state, activations, largest, weights + state + max(peak, 4 * values)
    )


def largest_batch(first: Memory, memory_at: Callable[[int], Memory], available: int) -> int:
    """Return the number of images that fit into ``available`` bytes; 0 where not even one does.

    Follows the straight line through the memory at two batch sizes: ``first``, and that which ``memory_at`` gives near
    the answer. One size would not do, because the gradients of the weights do not grow with the batch.
    """
    fixed = first.weights + first.optimizer
    guess = max(2, (available - fixed) * first.batch // max(1, first.peak - fixed))
    second = memory_at(guess if guess != first.batch else 2 * guess)
    rise = (second.peak - first.peak) / (second.batch - first.batch)
    return max(0, math.floor(first.batch + (available - first.peak) / rise)) if rise else 0
