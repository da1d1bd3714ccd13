"""The primitives: what nobody introduced, and what many architectures share.

A block that a paper introduced lives in the file of that paper. Here are only the pieces that have no such home:
convolution + normalisation + activation, stochastic depth as a layer, the two usual initialisations, argument checks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Concatenate, ParamSpec, TypedDict, TypeVar, overload

from torch import Tensor, nn

from ..errors import UsageError

P = ParamSpec("P")
Network = TypeVar("Network", bound=nn.Module)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class BuildOptions(TypedDict, total=False):
    """What every builder takes: ``num_classes``, ``in_channels`` and the side of the square image in pixels."""

    num_classes: int
    in_channels: int
    image_size: int


class StemOptions(BuildOptions, total=False):
    """The same for architectures with an ImageNet layout: ``stem`` is "imagenet" (the paper's) or "small" (28 to 64 px)."""

    stem: str


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch normalisation, activation: (B, C_in, H, W) → (B, C_out, H', W').

    The bias is left out because the normalisation subtracts it again. ``padding=None`` keeps the size at stride 1.
    ``activation=None`` leaves the output linear.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int] = 3,
        stride: int = 1,
        padding: int | tuple[int, int] | None = None,
        groups: int = 1,
        activation: Callable[[], nn.Module] | None = nn.ReLU,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        if padding is None:
            padding = (kernel_size // 2) if isinstance(kernel_size, int) else (kernel_size[0] // 2, kernel_size[1] // 2)
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, eps=eps, momentum=momentum)
        if activation is not None:
            self.act = activation()


class DropPath(nn.Module):
    """Stochastic depth per sample (Huang et al., arXiv:1603.09382): in training a branch is left out with ``rate``.

    Survivors are scaled by 1 / (1 - rate), so that the expectation stays; any shape (B, …) in, the same out.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"rate: {rate} is not in [0, 1)")
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * (mask / keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def drop_path_rates(last: float, depth: int) -> list[float]:
    """Return the rates that grow linearly from 0 at the first block to ``last`` at the last of ``depth`` blocks, in [0,
    1).
    """
    if not 0.0 <= last < 1.0:
        raise ValueError(f"drop_path: {last} is not in [0, 1); the smallest that works is 0")
    return [last * i / max(1, depth - 1) for i in range(depth)]


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel: (B, C, H, W) → (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # (B, C, H, W)


class GlobalAveragePool(nn.Module):
    """Mean over height and width: (B, C, H, W) → (B, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))  # (B, C)


def _is_meta(network: nn.Module) -> bool:
    return next(network.parameters()).is_meta


def initialise_he(network: nn.Module) -> None:
    """He initialisation for ReLU networks (He et al., arXiv:1502.01852): normal, variance 2 / fan_out; norms 1 and 0.

    Linear layers keep PyTorch's default, as the usual reference networks do. On the meta device there is nothing to draw.
    """
    if _is_meta(network):
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm) and module.affine:
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def initialise_truncated_normal(network: nn.Module, std: float = 0.02) -> None:
    """Truncated normal weights and zero biases for linear and convolutional layers, as the ViT line of papers uses."""
    if _is_meta(network):
        return
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def make_divisible(value: float, divisor: int = 8, floor: int | None = None) -> int:
    """Return the multiple of ``divisor`` nearest to ``value``, never more than 10 % below it (the rounding of the
    mobile nets).
    """
    rounded = max(floor or divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def check_positive(**arguments: int | float) -> None:
    """Raise ValueError that names the first argument that is not above zero."""
    for name, value in arguments.items():
        if value <= 0:
            raise ValueError(f"{name}: {value} is not above zero; the smallest that works is 1")


def check_choice(name: str, value: object, choices: tuple) -> None:
    """Raise ValueError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{name}: {value!r} is unknown; choose one of {', '.join(map(repr, choices))}")


def check_image_size(image_size: int, smallest: int, layout: str) -> None:
    """Raise ValueError where ``image_size`` (pixels a side) is too small for ``layout``."""
    if image_size < smallest:
        raise ValueError(f"image_size: {image_size} is too small for {layout}; the smallest that works is {smallest}")


_MARGIN_ALLOWED: ContextVar[bool] = ContextVar("a margin that no patch reads is allowed", default=False)


@contextmanager
def margin_allowed() -> Iterator[None]:
    """Let networks be built whose patches leave pixels of the image unread, as version 0.1.0 built them.

    Runs of that version have weights for such networks; new ones are refused by :func:`check_whole_patches`.
    """
    before = _MARGIN_ALLOWED.set(True)
    try:
        yield
    finally:
        _MARGIN_ALLOWED.reset(before)


def check_whole_patches(image_size: int, patch: int) -> None:
    """Raise UsageError where patches of ``patch`` pixels do not cover an image of ``image_size`` pixels a side.

    A convolution whose stride is its kernel would leave the rest at the right and at the bottom unread without a word.
    """
    check_image_size(image_size, patch, f"patches of {patch} pixels")
    below = image_size // patch * patch
    if below != image_size and not _MARGIN_ALLOWED.get():
        hint = f"is not a multiple of the patch {patch}; {below} or {below + patch} works"
        raise UsageError("image_size", image_size, hint)


def halved(size: int, times: int = 1) -> int:
    """Return the side of a map after ``times`` stride-2 layers with same padding: ceil(size / 2) each time."""
    for _ in range(times):
        size = -(-size // 2)
    return size


def stack(make: Callable[[int], nn.Module], depth: int) -> nn.Sequential:
    """``depth`` modules ``make(0), make(1), …`` one after another."""
    return nn.Sequential(*(make(i) for i in range(depth)))


@overload
def variant(name: str, build: Callable[Concatenate[A, P], Network], a: A, /) -> Callable[P, Network]: ...


@overload
def variant(name: str, build: Callable[Concatenate[A, B, P], Network], a: A, b: B, /) -> Callable[P, Network]: ...


@overload
def variant(
    name: str, build: Callable[Concatenate[A, B, C, P], Network], a: A, b: B, c: C, /
) -> Callable[P, Network]: ...


def variant(name: str, build: Callable[..., nn.Module], /, *row: Any) -> Callable[..., nn.Module]:
    """Make the builder of one published variant: a function called ``name`` that calls ``build(*row, **options)``.

    So the variants of a family that differ by numbers alone stand below one another as a table, one row for each.
    """

    def builder(**options: Any) -> nn.Module:
        return build(*row, **options)

    signature = inspect.signature(build)
    builder.__name__ = builder.__qualname__ = name
    builder.__module__ = build.__module__
    builder.__doc__ = build.__doc__
    builder.__signature__ = signature.replace(  # pyright: ignore[reportFunctionMemberAccess]  what inspect reads first
        parameters=list(signature.parameters.values())[len(row) :]
    )
    return builder
