"""What a place of a map really depends on: the support of its gradient, found without any rule of the receptive field.

The network runs on the CPU in double precision with positive weights and without anything by which a gradient could
vanish: activations are the identity, norms divide by a constant, pooling averages, softmax passes its scores on. On its
way back a gradient is set to one wherever it is not zero, since after hundreds of layers its tail would be too small for
a number. All weights of a layer are equal, so one channel is computed for each group, which makes the largest networks
small.

``held``: what a mean over the whole map made, or attention between all tokens, counts as a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

PASSED_ON = {
    "relu", "relu_", "gelu", "silu", "silu_", "hardswish", "hardsigmoid", "hardtanh", "hardtanh_", "relu6", "sigmoid",
    "tanh", "leaky_relu", "elu", "mish", "softplus", "prelu", "dropout", "celu", "selu", "sigmoid_", "logsigmoid",
}  # fmt: skip
CLAMPS = {"clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_max"}
NORMS = {"layer_norm", "batch_norm", "group_norm", "instance_norm", "normalize", "local_response_norm", "rms_norm"}


SUMS = {"add", "add_", "__add__", "__radd__", "__iadd__", "mul", "mul_", "__mul__", "__rmul__", "__imul__"}
SCALED = SUMS | {"sub", "sub_", "__sub__", "div", "div_", "__div__", "__truediv__", "true_divide"}


def _thin(function: Callable[..., Tensor], *values: Any) -> Tensor:
    """Compute once what is the same along an axis, such as the channels that one expanded value stands for."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    shape = torch.broadcast_shapes(*(tensor.shape for tensor in tensors))
    given = next((value for value in values if isinstance(value, tuple)), range(len(shape)))
    same = [a for a in given if all(_is_same(t.expand(shape) if len(tensors) > 1 else t, a) for t in tensors)]
    cut = [t.expand(shape) if len(tensors) > 1 else t for t in tensors]
    for axis in same:
        cut = [tensor.narrow(axis, 0, 1) for tensor in cut]
    made = function(*cut)
    if not shape:  # a single number
        return made
    return made.expand(*(shape[a] if a in same else -1 for a in range(len(shape))))


def _is_same(tensor: Tensor, axis: int) -> bool:
    return tensor.shape[axis] == 1 or tensor.stride(axis) == 0


class _Support(torch.autograd.Function):
    """The identity; on the way back the gradient becomes one wherever it is not zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return (gradients[0] != 0).to(gradients[0].dtype)


def rescaled(x: Tensor) -> Tensor:
    """Divide by the mean, as a constant, so that values stay in range through hundreds of layers."""
    return _Support.apply(x) / x.detach().abs().mean().clamp_min(1e-30)  # pyright: ignore[reportOptionalOperand]


class Positive(TorchFunctionMode):
    """Replaces what could hide a dependence, and computes layers with equal weights once for each group."""

    def __init__(
        self,
        held: bool,
        detached: Callable[[str, tuple, dict], bool] = lambda name, args, kwargs: False,
        sums: bool = False,
    ) -> None:
        """``detached`` tells what else counts as constant where ``held``. ``sums``: whatever is laid side by side as
        channels is read as a whole by all that comes behind, so its sum stands for all of it.
        """
        super().__init__()
        self.held, self.detached, self.sums, self.has_held = held, detached, sums, False

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        made = self.replaced(func, name, args, kwargs)
        constant = (
            self.held
            and isinstance(made, Tensor)
            and (_is_global_mean(name, args, kwargs) or self.detached(name, args, kwargs))
        )
        self.has_held |= constant
        return made.detach() if constant else made

    def replaced(self, func: Any, name: str, args: tuple, kwargs: dict) -> Any:
        if name in PASSED_ON or (name in CLAMPS and args[0].requires_grad):  # not of indices
            return args[0]
        if name in SUMS and len(args) == 2 and isinstance(args[1], Tensor):
            return _thin(torch.add if "add" in name else torch.mul, *args)
        if name in SCALED and len(args) == 2 and isinstance(args[0], Tensor) and isinstance(args[1], int | float):
            return _thin(lambda x: func(x, args[1], **kwargs), args[0])
        if self.sums and name == "cat" and 1 in (*args[1:], kwargs.get("dim")) and all(_is_same(x, 1) for x in args[0]):
            thin = torch.cat([x[:, :1] for x in args[0]], 1).mean(1, keepdim=True)
            return thin.expand(-1, sum(x.shape[1] for x in args[0]), -1, -1)
        if name in ("group_norm", "instance_norm"):
            return self.norm_over_places(args[0])
        if name in NORMS:
            return _thin(rescaled, args[0])
        if name in ("softmax", "log_softmax"):
            return _thin(_passed_on, args[0])
        if name == "detach":  # a network that lets no gradient through depends on the image all the same
            return args[0]
        if name == "masked_fill":
            value: Any = args[-1]
            return _thin(lambda x, mask: x.masked_fill(mask, value), args[0], args[1])
        if name in ("matmul", "__matmul__", "bmm"):
            return _product(*args)
        if name == "index_select":
            return _selected(*args)
        if (
            name == "__getitem__"
            and isinstance(args[1], Tensor)
            and not args[0].requires_grad
            and not any(args[0].stride())
        ):
            shape = torch.empty(args[0].shape, device="meta")[args[1].to("meta")].shape
            return args[0].flatten()[:1].view((1,) * len(shape)).expand(shape)
        if name == "maximum":
            return args[0] + args[1]
        if name in ("conv1d", "conv2d", "conv_transpose2d"):
            return _convolution(func, *args, **kwargs)
        if name == "linear":
            return _linear(*args, **kwargs)
        if name == "max_pool2d":
            return _thin(lambda x: _average(x, *args[1:], **kwargs), args[0], (1,))
        if name == "scaled_dot_product_attention":
            return self.attention(*args)
        return func(*args, **kwargs)

    def norm_over_places(self, x: Tensor) -> Tensor:
        """Each value meets the mean of all places, which is a constant where it is held."""
        self.has_held = True
        mean = x.mean(tuple(range(1, x.ndim)), keepdim=True)
        return _thin(rescaled, _thin(torch.add, x, mean.detach() if self.held else mean))

    def attention(self, q: Tensor, k: Tensor, v: Tensor, *_: Any) -> Tensor:
        """Each query meets the sum of keys and values, which is a constant where it is held; never inside windows."""
        met = k.mean((-2, -1), keepdim=True) + v.mean(-2, keepdim=True)
        if not _in_windows(q):
            self.has_held = True
            met = met.detach() if self.held else met
        return q.mean(-1, keepdim=True) * met


def _in_windows(q: Tensor) -> bool:
    """Return whether tokens attend inside windows: more sequences than the one image has.

    (windows, heads, tokens, width), or (images, heads, windows, tokens, width), with heads and windows in any order as
    long as there are several windows: one window before several heads is taken for windows.
    """
    return q.shape[0] > 1 or (q.ndim == 5 and q.shape[2] > 1)


def _passed_on(scores: Tensor) -> Tensor:
    return torch.where(scores == -torch.inf, 0.0, scores - scores.detach() + 1)


def _linear(x: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    one = x[..., :1] if x.stride(-1) == 0 else x.mean(-1, keepdim=True)
    return one.expand(*x.shape[:-1], weight.shape[0])


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Multiply matrices, computing once what is the same along an axis."""
    if a.ndim < 2 or b.ndim < 2:
        return torch.matmul(a, b)
    shape = (*torch.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    a, b = a.expand(*shape[:-2], *a.shape[-2:]), b.expand(*shape[:-2], *b.shape[-2:])
    if _is_same(a, -1) and _is_same(b, -2):
        a, b = a[..., :1], b[..., :1, :]
    a = a[..., :1, :] if _is_same(a, -2) else a
    b = b[..., :1] if _is_same(b, -1) else b
    for axis in range(len(shape) - 2):
        if _is_same(a, axis) and _is_same(b, axis):
            a, b = a.narrow(axis, 0, 1), b.narrow(axis, 0, 1)
    return torch.matmul(a, b).expand(shape)


def _selected(x: Tensor, axis: int, index: Tensor) -> Tensor:
    shape = [len(index) if a == axis % x.ndim else length for a, length in enumerate(x.shape)]
    for a in range(x.ndim):
        if a != axis % x.ndim and _is_same(x, a):
            x = x.narrow(a, 0, 1)
    return torch.index_select(x, axis, index).expand(shape)


def constant(x: Tensor) -> Tensor:
    """Return the same values, which depend on nothing, also while ``Positive`` is at work."""
    with torch._C.DisableTorchFunction():
        return x.detach()


def _is_global_mean(name: str, args: Any, kwargs: dict) -> bool:
    if name == "mean":
        axes = args[1] if len(args) > 1 else kwargs.get("dim")
        return isinstance(axes, tuple | list) and len(axes) == 2 and args[0].ndim == 4
    return name == "adaptive_avg_pool2d" and args[1] in (1, (1, 1))


def _convolution(func: Any, x: Tensor, weight: Tensor, bias: Any = None, *args: Any, **kwargs: Any) -> Tensor:
    transposed = func.__name__ == "conv_transpose2d"
    place = 3  # of groups, behind stride, padding and dilation or output padding
    groups = kwargs.pop("groups", args[place] if len(args) > place else 1)
    args = (*args[:place], groups, *args[place + 1 :]) if len(args) > place else args
    if len(args) <= place:
        kwargs["groups"] = groups
    spatial = weight.shape[2:]
    out = weight.shape[1] * groups if transposed else weight.shape[0]
    if x.stride(1) == 0 or groups == 1:  # all channels of the output are the same
        thin = x[:, :1] if x.stride(1) == 0 else x.mean(1, keepdim=True)
        ones = torch.full((1, 1, *spatial), 1 / spatial.numel(), dtype=x.dtype)
        if len(args) > place:
            args = (*args[:place], 1, *args[place + 1 :])
        else:
            kwargs["groups"] = 1
        made: Any = _Support.apply(func(thin, ones, None, *args, **kwargs))
        return made.expand(-1, out, *(-1,) * len(spatial))
    thin = x.unflatten(1, (groups, -1)).mean(2)
    ones = torch.full((groups, 1, *spatial), 1 / spatial.numel(), dtype=x.dtype)
    made: Any = _Support.apply(func(thin, ones, None, *args, **kwargs))
    return made.unsqueeze(2).expand(-1, -1, out // groups, *made.shape[2:]).flatten(1, 2)


def _average(
    x: Tensor, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, *args: Any, **options: Any
) -> Tensor:
    ceil = options.get("ceil_mode", args[0] if args else False)
    if dilation not in (1, (1, 1), [1, 1]):
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        ones = torch.ones(x.shape[1], 1, *sides, dtype=x.dtype)
        return torch.conv2d(x, ones, None, stride or kernel, padding, dilation, x.shape[1])
    return F.avg_pool2d(x, kernel, stride, padding, ceil)


def without_memory(network: nn.Module) -> nn.Module:
    """Give all parameters and buffers one positive value that takes no memory; tables of whole numbers stay."""
    usual, small = torch.tensor(0.5, dtype=torch.double), torch.tensor(0.01, dtype=torch.double)
    for module in network.modules():
        value = small if isinstance(module, nn.RNNBase) else usual  # so that its gates are not saturated
        for name, tensor in module._parameters.items():
            if tensor is not None:
                module._parameters[name] = nn.Parameter(value.expand(tensor.shape), requires_grad=False)
        for name, tensor in module._buffers.items():
            if tensor is not None and tensor.is_floating_point():
                module._buffers[name] = value.expand(tensor.shape)
            elif tensor is not None and tensor.is_meta:
                module._buffers[name] = torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)
        for name, tensor in list(vars(module).items()):
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                setattr(module, name, value.expand(tensor.shape))
    return network.eval()


@contextmanager
def outputs_of(network: nn.Module, names: list[str]) -> Iterator[dict[str, Tensor]]:
    """Collect what the named submodules return."""
    found: dict[str, Tensor] = {}
    hooks = []
    for name in names:

        def keep(module: nn.Module, args: Any, output: Any, name: str = name) -> None:
            found[name] = output[0] if isinstance(output, tuple) else output

        hooks.append(network.get_submodule(name).register_forward_hook(keep))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def touched(values: Tensor, image: Tensor) -> tuple[int, int, int, int] | None:
    """Return first and last row, first and last column of the image on which the sum of ``values`` depends."""
    if not values.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(values.sum(), image, retain_graph=True, allow_unused=True)
    if gradient is None:
        return None
    depends = (gradient != 0).flatten(0, -3).any(0)
    rows, columns = depends.any(1).nonzero().ravel(), depends.any(0).nonzero().ravel()
    if not len(rows):
        return None
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def extent(
    module: nn.Module, size: tuple[int, int], channels: int = 1, held: bool = True
) -> dict[tuple[int, int], Any]:
    """Return the rows and columns of the image on which each place near the middle of the output depends.

    ``module`` maps (1, channels, H, W) to (1, C, H', W').
    """
    image = torch.ones(1, channels, *size, dtype=torch.double, requires_grad=True)
    with Positive(held):
        output = without_memory(module)(image)
    height, width = output.shape[-2:]
    near = [(height // 2 + i, width // 2 + j) for i in range(-2, 2) for j in range(-2, 2)]
    inside = [(y, x) for y, x in near if 0 <= y < height and 0 <= x < width]
    return {place: touched(output[..., place[0], place[1]], image) for place in inside}
