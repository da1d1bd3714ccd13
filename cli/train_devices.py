"""Which devices the networks of one `cnn-explorer train` get.

Several processes train one network, one process each trains several, or torchrun has started the ranks already.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    from ..trainer.config.machine_share import MachineShare
    from ..trainer.config.request import TrainRequest

Draw = Callable[[Path], str]
"""Returns the chart of a run."""


@dataclass(frozen=True)
class DeviceAssignment:
    """The devices of ``--devices``, none where nothing was said, and how many networks there are for them."""

    devices: tuple[str, ...]
    networks: int

    @property
    def beside(self) -> tuple[str, ...]:
        """The devices on which several networks are trained side by side; none where there is one network or device."""
        return self.devices if self.networks > 1 and len(self.devices) > 1 else ()

    def of(self, number: int, *, alone: bool) -> MachineShare:
        """Return the place of network ``number`` (from 0)."""
        from ..trainer.config.machine_share import MachineShare

        if not self.devices:
            return MachineShare(alone=alone)
        if self.networks == 1:
            return MachineShare(self.devices, len(self.devices), alone=alone)
        own = self.devices[number % len(self.devices)]
        return MachineShare((own,), min(len(self.devices), self.networks), alone=alone)


def assign_devices(wanted: str | None, device: str | None, networks: int) -> DeviceAssignment:
    """Return the devices that were asked for; UsageError for what cannot be had."""
    if wanted is None:
        return DeviceAssignment((), networks)
    from ..trainer.devices import device_list

    return DeviceAssignment(device_list.choose(wanted, device), networks)


def train_as_rank(path: Path, devices: list[str], draw: Draw | None = None) -> int:
    """Run one of the processes that our own launcher starts; ``draw`` returns the chart above the progress bar."""
    from ..trainer.devices import process_group
    from ..trainer.launch import execute, local_ranks

    lock = local_ranks.adopt_lock(path)
    return execute.execute_rank(path, lock, process_group.join(), devices, launched=True, draw=draw)


def train_under_torchrun(
    request: TrainRequest, folder: Path, create: Callable[[MachineShare], tuple], draw: Draw | None = None
) -> tuple[int, Path | None]:
    """Train one network in the ranks of which this process is one; returns the exit code, and on rank 0 the run's folder.

    ``create`` takes the place of the run and gives the new run with its lock.
    """
    from ..trainer.config.machine_share import MachineShare
    from ..trainer.devices import process_group
    from ..trainer.launch import spawn, torchrun

    def begin() -> tuple:
        if request.run.detach:
            raise UsageError(
                "detach", None, "is not for ranks: torchrun waits for them; start torchrun in the background"
            )
        if (devices := request.engine.devices) is not None:
            raise UsageError("devices", devices, "is not for ranks: torchrun --nproc-per-node says how many")
        if len(request.networks) > 1:
            raise UsageError("network", None, "torchrun trains one network; --devices trains several side by side")
        before = torchrun.begun_by_this_job(folder)
        if before is not None:
            torchrun.check_not_ended(before)
            return before, spawn.prepare_resume(before)
        any_device = request.engine.values.get("device", "auto") in ("auto", "cuda")
        devices = (str(process_group.own_device(group)),) if any_device else ()
        return create(MachineShare(devices, group.local_world, group.world))

    group = process_group.join()
    return _execute(group, begin, draw)


def resume_under_torchrun(path: Path) -> tuple[int, Path | None]:
    """Go on with a run in the ranks of which this process is one; returns what :func:`train_under_torchrun` returns."""
    from ..trainer.devices import process_group
    from ..trainer.launch import spawn, torchrun

    def begin() -> tuple:
        if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
            torchrun.check_not_ended(path)
        return path, spawn.prepare_resume(path)

    return _execute(process_group.join(), begin)


def _execute(group, begin: Callable[[], tuple], draw: Draw | None = None) -> tuple[int, Path | None]:
    from ..trainer.launch import execute, torchrun

    path, lock = torchrun.resolve_run(group, begin)
    code = execute.execute_rank(path, lock, group, draw=draw)
    sys.stderr.flush()
    return code, path if group.first else None
