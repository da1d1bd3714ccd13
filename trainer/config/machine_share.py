"""Which part of a machine a run is trained on, where others are trained beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MachineShare:
    """What one network has of a machine on which others may be trained at the same time.

    ``devices`` holds a device for each process that is to train it, empty where the request decides. ``sharing`` counts
    the processes that share the cores of this machine, ``ranks`` those that train the run together, on all machines.
    ``alone``: the run is trained in the foreground and no other one is under way.
    """

    devices: tuple[str, ...] = ()
    sharing: int = 1
    ranks: int = 1
    alone: bool = True
