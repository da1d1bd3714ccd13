"""What hands the calls of a run to its recorder: calls of PyTorch as they are written, its basic operations, einops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import einops.einops
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ..meta import known_shapes
from . import operations


class TakesCalls(Protocol):
    """What the calls are handed to; `trace.Recorder` is one."""

    def call(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Run a call of PyTorch and note it as a row."""

    def quietly(self, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Run a call that reads no values of a tensor, without a row."""

    def note(self, packet: Any, args: tuple, kwargs: dict, output: Any, macs: int) -> None:
        """Note a basic operation that has run, with its MACs."""

    def one_row(self, pattern: str, reduction: Any, tensor: Any) -> AbstractContextManager[list[Any]]:
        """Make one row of what einops does meanwhile, whose results are put into the list."""
        ...


@contextmanager
def einops_patterns(recorder: TakesCalls) -> Iterator[None]:
    """Make one row of every pattern that ``einops`` applies to a tensor meanwhile.

    All of einops' reorderings pass its function ``reduce``; there is no hook, so that it is wrapped for the moment.
    """
    original = einops.einops.reduce

    def reduce(tensor: Any, pattern: str, reduction: Any = None, **sizes: Any) -> Any:
        with recorder.one_row(pattern, reduction, tensor) as results:
            results.append(original(tensor, pattern, reduction, **sizes))
        return results[0]

    einops.einops.reduce = reduce
    try:
        yield
    finally:
        einops.einops.reduce = original


class Calls(TorchFunctionMode):
    """Hands every call of PyTorch, as it is written in Python, to the recorder."""

    def __init__(self, recorder: TakesCalls) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = func.__name__
        if name == "__get__":
            name = func.__self__.__name__
            if name not in operations.LAYOUT:
                return func(*args)
        elif name in operations.WITHOUT_DATA:
            return self.recorder.quietly(func, args, kwargs or {})
        return self.recorder.call(name, func, args, kwargs or {})


class Operations(TorchDispatchMode):
    """Hands every basic operation to the recorder."""

    def __init__(self, recorder: TakesCalls) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        output, macs = known_shapes.run(func, args, kwargs)
        self.recorder.note(func._overloadpacket, args, kwargs, output, macs)
        return output
