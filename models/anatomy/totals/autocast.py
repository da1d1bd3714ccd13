"""Mixed precision for tensors without memory, as ``torch.autocast`` has it on a GPU: it knows no meta device.

The lists are those of torch 2.6 to 2.14 (aten/src/ATen/autocast_mode.h), as far as networks use them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

LOWER = {
    F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d, F.linear, F.bilinear,
    F.prelu, F.scaled_dot_product_attention, F.multi_head_attention_forward,
    torch.matmul, torch.mm, torch.bmm, torch.mv, torch.addmm, torch.addbmm, torch.baddbmm, torch.einsum, torch.chain_matmul,
    Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__, Tensor.mm, Tensor.bmm, Tensor.mv, Tensor.addmm, Tensor.baddbmm,
}  # fmt: skip
"""Convolutions and products run in the lower precision."""
FULL = {
    F.layer_norm, F.group_norm, F.softmax, F.log_softmax, F.softmin, F.cosine_similarity, F.cross_entropy, F.nll_loss,
    F.mse_loss, F.softplus, F.normalize, F.local_response_norm,
    torch.softmax, torch.log_softmax, torch.exp, torch.expm1, torch.log, torch.log1p, torch.log2, torch.log10, torch.pow,
    torch.rsqrt, torch.reciprocal, torch.sum, torch.cumsum, torch.cumprod, torch.prod, torch.norm, torch.cdist,
    torch.linalg.vector_norm, torch.linalg.matrix_norm,
    Tensor.softmax, Tensor.log_softmax, Tensor.exp, Tensor.log, Tensor.pow, Tensor.__pow__, Tensor.rsqrt,
    Tensor.reciprocal, Tensor.sum, Tensor.cumsum, Tensor.prod, Tensor.norm,
}  # fmt: skip
"""What needs the range or the digits of fp32 runs in it."""


class Autocast(TorchFunctionMode):
    """Casts the arguments of what runs inside its ``with`` block. ``copied``: bytes of the weights in ``dtype``.

    As in torch, a weight that is used twice is cast once.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype
        self._weights: dict[int, Tensor] = {}
        self.copied = 0

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        cast = self._lower if func in LOWER else self._full if func in FULL else None
        if cast is None:
            return func(*args, **(kwargs or {}))
        return func(*tree_map(cast, args), **tree_map(cast, kwargs or {}))

    def __exit__(self, *reason: Any) -> None:
        super().__exit__(*reason)
        self._weights.clear()

    def _lower(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        if not (value.is_leaf and value.requires_grad):
            return value.to(self._dtype)
        if id(value) not in self._weights:
            self._weights[id(value)] = value.to(self._dtype)
            self.copied += self._weights[id(value)].untyped_storage().nbytes()
        return self._weights[id(value)]

    def _full(self, value: Any) -> Any:
        is_lower = isinstance(value, Tensor) and value.dtype == self._dtype
        return value.float() if is_lower else value


def keep_recurrent_layers(network: nn.Module) -> None:
    """Let the recurrent layers of a network, which ask whether the real autocast is on, stay in fp32."""
    for module in network.modules():
        if isinstance(module, nn.RNNBase):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))
