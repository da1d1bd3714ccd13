"""cnn-explorer: learn, take apart, train and compare image-classification networks, in the terminal and from Python.

``import cnn_explorer as cx`` loads next to nothing: the names below come from :mod:`cnn_explorer.api` when they are
used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api import Anatomy as Anatomy
    from .api import Best as Best
    from .api import Curve as Curve
    from .api import Network as Network
    from .api import Records as Records
    from .api import Row as Row
    from .api import Run as Run
    from .api import RunState as RunState
    from .api import TrainOptions as TrainOptions
    from .api import UsageError as UsageError
    from .api import WorkError as WorkError
    from .api import anatomy as anatomy
    from .api import create as create
    from .api import load as load
    from .api import networks as networks
    from .api import run as run
    from .api import runs as runs
    from .api import train as train
    from .settings import VERSION as __version__

__all__ = [
    "Anatomy",
    "Best",
    "Curve",
    "Network",
    "Records",
    "Row",
    "Run",
    "RunState",
    "TrainOptions",
    "UsageError",
    "WorkError",
    "__version__",
    "anatomy",
    "create",
    "load",
    "networks",
    "run",
    "runs",
    "train",
]


if not TYPE_CHECKING:  # a type checker would take every name for one that there is

    def __getattr__(name):
        if name in __all__:
            from importlib import import_module

            # By its name: pytest reads this file a second time under another one.
            if name == "__version__":
                return import_module("cnn_explorer.settings").VERSION
            return getattr(import_module("cnn_explorer.api"), name)
        raise AttributeError(f"module 'cnn_explorer' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
