"""What a call of PyTorch is in the layer table: its word, the settings worth showing, whether it is a row at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

LAYOUT = frozenset(
    [
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "squeeze",
        "unsqueeze",
        "view_as",
        "reshape_as",
        "ravel",
        "permute",
        "transpose",
        "swapaxes",
        "swapdims",
        "T",
        "mT",
        "t",
        "H",
        "mH",
        "movedim",
        "moveaxis",
    ]
)
"""Calls that only read the same values in another order or another shape; a chain of them is one row."""

UNCHANGED = frozenset(
    [
        "contiguous",
        "to",
        "type",
        "type_as",
        "float",
        "half",
        "bfloat16",
        "double",
        "cpu",
        "cuda",
        "clone",
        "detach",
        "data",
        "requires_grad_",
        "as_subclass",
        "alias",
        "real",
        "resolve_conj",
    ]
)
"""Calls that hand the values on: no row."""

WITHOUT_DATA = frozenset(
    [
        "zeros_like",
        "ones_like",
        "empty_like",
        "full_like",
        "rand_like",
        "randn_like",
        "new_zeros",
        "new_ones",
        "new_empty",
        "new_full",
        "new_tensor",
        "bernoulli_",
        "size",
        "dim",
        "numel",
        "shape_as_tensor",
    ]
)
"""Calls that take a tensor's shape or type and none of its values."""

WORDS = {
    **dict.fromkeys(("add", "__add__", "__radd__", "__iadd__"), "+"),
    **dict.fromkeys(("sub", "subtract", "__sub__", "__rsub__", "__isub__", "rsub"), "−"),
    **dict.fromkeys(("mul", "multiply", "__mul__", "__rmul__", "__imul__"), "×"),
    **dict.fromkeys(
        (
            "div",
            "divide",
            "true_divide",
            "__truediv__",
            "__rtruediv__",
            "__itruediv__",
            "__div__",
            "__rdiv__",
            "__idiv__",
        ),
        "÷",
    ),
    **dict.fromkeys(("floor_divide", "__floordiv__", "__rfloordiv__", "__ifloordiv__"), "floor_divide"),
    **dict.fromkeys(("remainder", "fmod", "__mod__", "__rmod__", "__imod__"), "remainder"),
    **dict.fromkeys(("bitwise_and", "logical_and", "__and__", "__rand__", "__iand__"), "and"),
    **dict.fromkeys(("bitwise_or", "logical_or", "__or__", "__ror__", "__ior__"), "or"),
    **dict.fromkeys(("bitwise_xor", "logical_xor", "__xor__", "__rxor__", "__ixor__"), "xor"),
    **dict.fromkeys(("bitwise_left_shift", "__lshift__", "__rlshift__", "__ilshift__"), "shift"),
    **dict.fromkeys(("bitwise_right_shift", "__rshift__", "__rrshift__", "__irshift__"), "shift"),
    **dict.fromkeys(("matmul", "bmm", "mm", "mv", "__matmul__", "__rmatmul__", "dot"), "matmul"),
    **dict.fromkeys(("cat", "concat", "concatenate"), "concat"),
    **dict.fromkeys(("chunk", "split", "split_with_sizes", "tensor_split", "unbind", "hsplit", "vsplit"), "split"),
    **dict.fromkeys(("__getitem__", "narrow", "select"), "slice"),
    **dict.fromkeys(("__pow__", "__rpow__", "__ipow__", "pow", "float_power", "square"), "power"),
    **dict.fromkeys(("linalg_vector_norm", "vector_norm"), "norm"),
    **dict.fromkeys(("pad", "_pad"), "pad"),
    **dict.fromkeys(("interpolate", "upsample"), "interpolate"),
    "max_pool2d_with_indices": "max_pool2d",
    "adaptive_max_pool2d_with_indices": "adaptive_max_pool2d",
    "__setitem__": "assign",
    "__neg__": "neg",
    "scaled_dot_product_attention": "attention",
    "multi_head_attention_forward": "attention",
    "__iter__": "split",
    "expand_as": "expand",
}
REFLECTED = re.compile("rsub|__r(add|sub|mul|div|truediv|floordiv|mod|pow|matmul|and|or|xor|lshift|rshift)__")
"""Names of calls whose first argument stands behind the sign: 1 - x."""
PERMUTING = frozenset(
    ["permute", "transpose", "swapaxes", "swapdims", "T", "mT", "t", "H", "mH", "movedim", "moveaxis"]
)


def word_of(name: str) -> str:
    """Return the word of a call in the table: "+", "concat", "relu"."""
    if name in WORDS:
        return WORDS[name]
    if name in LAYOUT:
        return "permute" if name in PERMUTING else "flatten" if name == "flatten" else "reshape"
    return WORDS.get(name.rstrip("_"), name.strip("_"))


def does_nothing(word: str, args: tuple[Any, ...], kwargs: dict, result: Tensor) -> bool:
    """Return whether a call hands all values on as they are: padding by nothing, rolling by nothing, a slice of all."""
    if word == "slice":
        source, *rest = args
        index = rest[0] if rest and isinstance(rest[0], tuple) else rest
        return result.shape == source.shape and all(part is Ellipsis or isinstance(part, slice) for part in index)
    if word in ("pad", "roll"):
        by = args[1] if len(args) > 1 else kwargs.get("pad", kwargs.get("shifts"))
        return not any(by if isinstance(by, list | tuple) else (by,))
    return False


def changes_in_place(name: str, kwargs: dict) -> bool:
    """Return whether a call writes into its first argument."""
    if name.startswith("__"):
        return (name.startswith("__i") and name not in ("__iter__", "__invert__", "__index__", "__int__")) or (
            name == "__setitem__"
        )
    return name.endswith("_") or kwargs.get("inplace") is True


def _plain(value: Any) -> Any:
    """Return a setting as plain data, None where it is none."""
    if isinstance(value, list | tuple):
        values = tuple(_plain(part) for part in value)
        return None if None in values else values
    return value if isinstance(value, bool | int | float | str) else None


def _named(args: tuple, kwargs: dict, **places: int) -> dict[str, Any]:
    found = {}
    for name, place in places.items():
        value = _plain(args[place] if len(args) > place else kwargs.get(name))
        if value is not None and value != ():
            found[name] = value
    return found


def _convolution(args: tuple, kwargs: dict) -> dict[str, Any]:
    weight = args[1] if len(args) > 1 else kwargs["weight"]
    bias = args[2] if len(args) > 2 else kwargs.get("bias")
    found = {"kernel_size": tuple(weight.shape[2:]), "stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    found |= _named(args, kwargs, stride=3, padding=4, dilation=5, groups=6)
    return {**found, "bias": bias is not None}


def _transposed(args: tuple, kwargs: dict) -> dict[str, Any]:
    found = _convolution(args[:5], kwargs) | {"dilation": 1, "groups": 1}
    return {**found, **_named(args, kwargs, output_padding=5, groups=6, dilation=7)}


def _linear(args: tuple, kwargs: dict) -> dict[str, Any]:
    return {"bias": (args[2] if len(args) > 2 else kwargs.get("bias")) is not None}


def _pool(args: tuple, kwargs: dict) -> dict[str, Any]:
    found = _named(args, kwargs, kernel_size=1, stride=2, padding=3)
    return {"stride": found.get("kernel_size", 1), **found}


def _over(args: tuple, kwargs: dict) -> dict[str, Any]:
    found = _named(args, kwargs, dim=1)
    return found or _named((), kwargs, axis=9)


def _scalar(args: tuple, kwargs: dict) -> dict[str, Any]:
    """A number added, taken away, multiplied by."""
    given = (*args, *(kwargs[name] for name in ("other", "exponent") if name in kwargs))[:2]
    numbers = [value for value in given if isinstance(value, int | float) and not isinstance(value, bool)]
    return {"by": numbers[0]} if numbers else {}


def _dims(args: tuple, kwargs: dict) -> dict[str, Any]:
    given = args[1:] or tuple(kwargs.values())
    values = given[0] if len(given) == 1 and isinstance(given[0], list | tuple) else given
    plain = _plain(values)
    return {"order": plain} if plain else {}


SETTINGS: dict[str, Callable[[tuple, dict], dict[str, Any]]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
    "linear": _linear,
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"), _pool),
    **dict.fromkeys(
        (
            "mean",
            "sum",
            "amax",
            "amin",
            "max",
            "min",
            "softmax",
            "log_softmax",
            "norm",
            "var",
            "std",
            "logsumexp",
            "prod",
        ),
        _over,
    ),
    **dict.fromkeys(("+", "−", "×", "÷", "power", "floor_divide", "remainder"), _scalar),
    "concat": lambda args, kwargs: _named(args, kwargs, dim=1),
    "roll": lambda args, kwargs: _named(args, kwargs, shifts=1, dims=2),
    "pad": lambda args, kwargs: _named(args, kwargs, pad=1, mode=2),
    "interpolate": lambda args, kwargs: _named(args, kwargs, size=1, scale_factor=2, mode=3),
    "permute": _dims,
    "einsum": lambda args, kwargs: {"equation": args[0]} if isinstance(args[0], str) else {},
    "dropout": lambda args, kwargs: _named(args, kwargs, p=1),
    "pixel_shuffle": lambda args, kwargs: _named(args, kwargs, upscale_factor=1),
}


def settings_of(word: str, args: tuple, kwargs: dict) -> dict[str, Any]:
    """Return what is worth showing of a call's arguments, as plain data."""
    rule = SETTINGS.get(word)
    if rule is None:
        return {}
    try:
        return rule(args, kwargs)
    except (KeyError, IndexError, TypeError, AttributeError):
        return {}


def settings_of_call(name: str, args: tuple, kwargs: dict) -> dict[str, Any]:
    """Return the settings of a call by its own name, which says on which side of the sign the tensor stands."""
    found = settings_of(word_of(name), args, kwargs)
    if name.strip("_") == "square":
        found["by"] = 2
    if "by" in found and (REFLECTED.fullmatch(name) or not isinstance(args[0], Tensor)):
        found["reflected"] = "yes"
    return found


HIDDEN_OPERANDS = frozenset(
    [
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "linear",
        "batch_norm",
        "layer_norm",
        "group_norm",
        "instance_norm",
        "rms_norm",
        "prelu",
        "embedding",
        "deform_conv2d",
    ]
)
"""Calls whose weights are their settings and no input of their own."""


def tensors_in(values: Any) -> list[Tensor]:
    """Return the tensors in arguments or results, those in lists, tuples and dictionaries included."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, list | tuple):
        if len(values) == 1 and isinstance(values[0], Tensor):
            return [values[0]]
        return [tensor for value in values for tensor in tensors_in(value)]
    if isinstance(values, dict):
        return [tensor for value in values.values() for tensor in tensors_in(value)]
    return []
