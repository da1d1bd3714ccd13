"""Operations that read along whole axes: means, norms, softmax, products of matrices, attention."""

from __future__ import annotations

from torch import Tensor

from . import spans
from .rules import (
    RULES,
    WEIGHTED,
    Call,
    beside_all,
    made,
    moved,
    name_of,
    normal,
    operation,
    over,
    rule,
    with_axes,
    without_grids,
)
from .rules_by_value import pointwise
from .terms import Seen
from .tracked import Tracked

REDUCTIONS = {  # where the axes and keepdim stand among the arguments
    "mean": (1, 2), "sum": (1, 2), "amax": (1, 2), "amin": (1, 2), "max": (1, 2), "min": (1, 2), "std": (1, 3),
    "var": (1, 3), "prod": (1, 2), "any": (1, 2), "all": (1, 2), "argmax": (1, 2), "argmin": (1, 2),
    "linalg_vector_norm": (2, 3), "logsumexp": (1, 2), "nansum": (1, 2), "norm": (2, 3), "median": (1, 2),
    "nanmedian": (1, 2), "var_mean": (1, 3), "std_mean": (1, 3), "count_nonzero": (1, 9), "aminmax": (9, 9),
    "mode": (1, 2), "kthvalue": (2, 3), "nanmean": (1, 2),
}  # fmt: skip


def reduction(fields: Tracked, call: Call) -> Seen:
    if len(call.args) > 1 and isinstance(call.args[1], Tensor):  # max of two tensors
        return pointwise(fields, call)
    seen = fields.entering(call.args[0])
    at, _ = REDUCTIONS[name_of(call.packet)]
    asked = call.args[at] if len(call.args) > at else call.kwargs.get("dim")
    axes = normal(None if isinstance(asked, bool) else asked, call.args[0].ndim)
    less = without_grids(over(seen, axes), seen)
    return less if call.outputs[0].ndim == call.args[0].ndim else moved(less, spans.squeezed_out, axes)


for _packet in operation(*REDUCTIONS):
    RULES[_packet] = reduction


@rule(*operation("_softmax", "_safe_softmax", "_log_softmax", "softmax", "log_softmax"))
def softmax(fields: Tracked, call: Call) -> Seen:
    return beside_all(fields.entering(call.args[0]), normal(call.args[1], call.args[0].ndim))


@rule(*operation("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"))
def scan(fields: Tracked, call: Call) -> Seen:
    """The last place of a running sum has seen all."""
    return beside_all(fields.entering(call.args[0]), normal(call.args[1], call.args[0].ndim))


@rule(*operation("native_layer_norm", "layer_norm", "_fused_rms_norm", "rms_norm"))
def layer_norm(fields: Tracked, call: Call) -> Seen:
    n = call.args[0].ndim
    return beside_all(fields.entering(call.args[0]), tuple(range(n - len(call.args[1]), n)))


@rule(*operation("native_group_norm"))
def group_norm(fields: Tracked, call: Call) -> Seen:
    return beside_all(fields.entering(call.args[0]), tuple(range(1, call.args[0].ndim)))


@rule(*operation("native_batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm", "_batch_norm_impl_index"))
def batch_norm(fields: Tracked, call: Call) -> Seen:
    """With the statistics of training each value is its own; with those of the batch (instance norm) all meet."""
    seen = fields.entering(call.args[0])
    live = next((value for value in call.args[3:6] if isinstance(value, bool)), False)
    return beside_all(seen, tuple(a for a in range(call.args[0].ndim) if a != 1)) if live else seen


@rule(*operation("_fft_r2c", "_fft_c2c", "_fft_c2r"))
def fft(fields: Tracked, call: Call) -> Seen:
    return over(fields.entering(call.args[0]), normal(call.args[1], call.args[0].ndim))


@rule(*operation("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot", "linear", "matmul", "addbmm"))
def product(fields: Tracked, call: Call) -> Seen:
    """Rows times columns: the first factor is read along its last axis, the second along the one before."""
    bias = call.args[0] if "add" in name_of(call.packet) else None
    a, b = call.args[1:3] if bias is not None else call.args[:2]
    dimensions = call.outputs[0].ndim
    sources, terms = [], []
    if bias is not None and (seen := fields.seen(bias)) is not None:
        sources.append(seen)
        terms.append(with_axes(seen, bias, dimensions))
    for factor, axis in ((a, a.ndim - 1), (b, max(0, b.ndim - 2))):
        if (seen := fields.seen(factor)) is None:
            continue
        sources.append(seen)
        less = over(seen, (axis,))
        if less.is_global and not seen.is_global:
            sources.append(less)
        if factor.ndim > dimensions:
            less = moved(less, spans.squeezed_out, (axis,))
        terms.append(less.terms)
    return made(sources, terms, weighted=call.packet in WEIGHTED and len(sources) < len(call.inputs))


@rule(*operation("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
                 "_scaled_dot_product_efficient_attention", "_scaled_dot_product_fused_attention_overrideable",
                 "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_attention_math",
                 "scaled_dot_product_attention"))  # fmt: skip
def attention(fields: Tracked, call: Call) -> Seen:
    """Each query meets all keys and values."""
    sources, terms, everywhere = [], [], False
    last = call.args[0].ndim - 1
    for tensor, axes in ((call.args[0], (last,)), (call.args[1], (last - 1, last)), (call.args[2], (last - 1,))):
        if (seen := fields.seen(tensor)) is None:
            continue
        less = over(seen, axes)
        sources.append(seen)
        terms.append(less.terms)
        everywhere |= less.is_global
    return made(sources or [s for t in call.inputs if (s := fields.seen(t))], terms, everywhere=everywhere)


@rule(*operation("affine_grid_generator"))
def affine_grid(fields: Tracked, call: Call) -> Seen:
    """Each place of the grid is made of all values of its matrix."""
    seen = over(fields.entering(call.args[0]), tuple(range(1, call.args[0].ndim)))
    terms = with_axes(seen, call.args[0], call.outputs[0].ndim)
    return made([seen], [terms])


RECURRENT = frozenset(["lstm", "gru", "rnn_tanh", "rnn_relu"])
"""Calls that read a sequence step by step. PyTorch takes them apart into single steps before a rule sees them."""


def recurrent(fields: Tracked, args: tuple, outputs: list[Tensor]) -> None:
    """Say of what a recurrent call made that each step meets the whole sequence, and the last state nothing else.

    How deep it is stays as its single steps told.
    """
    if len(args) < 9 or isinstance(args[2], Tensor) or (seen := fields.seen(args[0])) is None:
        return  # a packed sequence, whose steps stand in one row
    features = args[0].ndim - 1
    axis = 1 if args[8] and features == 2 else 0
    seen = over(seen, (features,))
    whole = over(seen, (axis,))
    last = moved(whole, spans.permuted, (1, 0, 2)) if axis else whole
    for number, output in enumerate(outputs):
        told = fields.seen(output)
        now = beside_all(seen, (axis,)) if number == 0 else last
        depth = told.depth if told is not None else now.depth + 1
        fields.keep(output, Seen(now.terms, now.is_global, depth, now.before, now.unknown))


@rule(*operation("_native_multi_head_attention", "_transformer_encoder_layer_fwd"))
def fused_layer(fields: Tracked, call: Call) -> Seen:
    """A whole attention layer in one operation: (B, tokens, width)."""
    sources = [seen for tensor in call.inputs if (seen := fields.seen(tensor)) is not None]
    query = fields.seen(call.args[0])
    less = [over(seen, (1, 2)) for seen in sources]
    terms = [seen.terms for seen in less] + ([query.terms] if query is not None else [])
    return made(sources, terms, weighted=True, everywhere=any(seen.is_global for seen in less))
