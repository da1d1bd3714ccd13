"""What calibrations found, remembered in the state folder: one JSON file, of which any part may be garbage."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Collection, Mapping
from pathlib import Path

import torch

from ... import settings
from ...errors import UsageError
from ..common.files import read_bytes, remove_abandoned, replace_file
from ..common.json_safe import encode_json
from ..config import engine_config
from ..config.run_config import RunConfig

ORIGIN = "calibration"
SCHEMA = 1
FILE = "calibrations.json"
LARGEST_FILE = 4_000_000
MOST = 500
"""Entries that are kept, the newest ones."""

CHOSEN = ("precision", "channels_last", "cuda_graphs", "compile")
"""What a calibration may choose."""


def key(config: RunConfig, fixed: Collection[str]) -> str:
    """Return everything on which the fastest choice depends; ``fixed`` are the fields of the engine that were asked for."""
    network, recipe, machine = config.network, config.recipe, config.engine
    return json.dumps(
        [
            [platform.machine(), os.cpu_count(), machine.device, machine.device_name, machine.threads],
            [torch.__version__, torch.version.cuda],
            [network.name, network.stem, network.image_size, network.in_channels, network.num_classes]
            + ([network.own.path, network.parameters] if network.own else []),
            [
                recipe.batch_size,
                recipe.accumulate,
                recipe.optimizer,
                bool(recipe.ema),
                recipe.sam != "none",
                recipe.freeze,
            ],
            [(name, getattr(machine, name)) for name in CHOSEN],
            sorted(set(fixed) & set(CHOSEN)),
        ],
        default=str,
    )


def _path() -> Path:
    return settings.state_folder() / FILE


def _entries() -> dict[str, dict]:
    """Return what the file holds, oldest first; nothing where it cannot be read."""
    try:
        found = json.loads(read_bytes(_path(), LARGEST_FILE))
        entries = found["entries"] if found.get("schema") == SCHEMA else {}
        return {key: entry for key, entry in entries.items() if isinstance(entry, dict)}
    except (OSError, ValueError, RecursionError, KeyError, AttributeError, TypeError):
        return {}


def find(wanted: str) -> dict | None:
    """Return the entry under that key: ``choice``, ``why``, ``date`` and what was measured; None where there is none of
    use.
    """
    entry = _entries().get(wanted)
    if entry is None or not isinstance(entry.get("choice"), dict):
        return None
    if not all(isinstance(entry.get(name), str) for name in ("why", "date")) or set(entry["choice"]) - set(CHOSEN):
        return None
    try:
        for name, value in entry["choice"].items():
            engine_config.check(name, value)
    except UsageError:
        return None
    return entry


def remember(wanted: str, entry: Mapping[str, object]) -> None:
    """Keep an entry, in the place of an older one. A folder that cannot be written costs the next run its seconds."""
    entries = _entries()
    entries.pop(wanted, None)
    entries[wanted] = dict(entry)
    newest = dict(list(entries.items())[-MOST:])
    with contextlib.suppress(OSError):
        _path().parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(_path())
        replace_file(_path(), encode_json({"schema": SCHEMA, "entries": newest}, indent=1), sync=False)
