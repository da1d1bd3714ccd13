"""The architectures, one file each, and the primitives they share (layers.py).

Each file reads from top to bottom like its paper. A file may import layers.py, the declaration in catalogue/ and the
architectures it builds on; nothing here imports trainer/, cli/ or tui/. Importing a model file loads torch; the
package itself loads nothing.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

MOVED = {"cnn_explorer.models.declare": "cnn_explorer.models.catalogue.declaration"}
"""Modules that the documentation of 0.1.0 told people to import, and where they are now."""


class _Moved(ModuleType):
    """Stands for a module under its old name and imports it when something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(MOVED[self.__name__]), name)


for _name in MOVED:
    sys.modules.setdefault(_name, _Moved(_name))
