"""The import that the documentation of 0.1.0 gave: `load_network` is in trainer/weights/weight_files.py now."""

from __future__ import annotations

from .weights.weight_files import load_network

__all__ = ["load_network"]
