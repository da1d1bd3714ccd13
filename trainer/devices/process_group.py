"""Several processes that train one network together, each on its device: ranks of a ``torch.distributed`` job.

Every rank has the whole data set, the same order of images and the same draws of augmentation; it works off its rows of
each batch, and DistributedDataParallel (Li et al., arXiv:2006.15704) averages the gradients. So nothing but the weights need
agree, a checkpoint holds nothing of a rank, and a run can go on with another number of them. Rank 0 alone writes.

``ALONE`` stands for a process without others: what it does costs nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ...errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

TIMEOUT = timedelta(hours=1)
"""How long a rank waits for another: longer than a data set takes to be downloaded or a checkpoint to be written."""

SYNC_S = 0.1
LONGEST_SYNC_STEPS = 256

MOST_PER_CORE = 4
"""So many processes may share a core: slower, but a run of more ranks than there are cores can go on."""

LOST = "another process of the run has ended; 'cnn-explorer runs resume' goes on from the last checkpoint"


class Group:
    """A process that trains alone; and what ranks have in common with it.

    ``rank`` counts through all hosts up to ``world`` - 1; ``local_rank`` and ``local_world`` are those on this host.
    """

    rank = 0
    local_rank = 0
    world = 1
    local_world = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of ``values``, of any shape, over all ranks; in place."""
        return values

    def all_reduce_max(self, *numbers: int) -> list[int]:
        """Return the largest of each number over all ranks. Waits for all of them."""
        return list(numbers)

    def broadcast_object(self, value: Any) -> Any:
        """Return rank 0's ``value``, on every rank; what the others give is not looked at. Tensors must be in main
        memory.
        """
        return value

    def broadcast_parameters(self, network: nn.Module, *, buffers_only: bool = False) -> None:
        """Give every rank the parameters and buffers that rank 0 has."""

    def wrapped(self, network: nn.Module, *, partly_used: bool = False) -> nn.Module:
        """Return ``network`` such that a backward pass gives the mean gradient over all ranks.

        ``partly_used``: some parameters may get no gradient.
        """
        return network

    def destroy(self) -> None:
        """Leave the group of processes: the work is done."""


ALONE = Group()


class Ranks(Group):
    """One of several ranks, connected with the others."""

    def __init__(self, rank: int, world: int, local_rank: int, local_world: int) -> None:
        self.rank, self.world, self.local_rank, self.local_world = rank, world, local_rank, local_world

    def sum(self, values: Tensor) -> Tensor:
        import torch.distributed as dist

        dist.all_reduce(values)
        return values

    def all_reduce_max(self, *numbers: int) -> list[int]:
        import torch
        import torch.distributed as dist

        # In main memory, through gloo: no rank waits for its GPU here, and a rank that died is noticed at once.
        values = torch.tensor(numbers, dtype=torch.int64)
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return values.tolist()

    def broadcast_object(self, value: Any) -> Any:
        import torch
        import torch.distributed as dist

        values = [value if self.first else None]
        dist.broadcast_object_list(values, device=torch.device("cpu"))
        return values[0]

    def broadcast_parameters(self, network: nn.Module, *, buffers_only: bool = False) -> None:
        import torch.distributed as dist

        tensors = list(network.buffers()) if buffers_only else [*network.parameters(), *network.buffers()]
        for tensor in tensors:
            dist.broadcast(tensor.detach(), 0)

    def wrapped(self, network: nn.Module, *, partly_used: bool = False) -> nn.Module:
        import inspect

        from torch.nn.parallel import DistributedDataParallel

        device = next(network.parameters()).device
        # Running statistics are not sent at each step: rank 0's count, see `broadcast_parameters`.
        # The option has a new name in torch 2.14.
        names = inspect.signature(DistributedDataParallel.__init__).parameters
        unsent: dict[str, Any] = {
            "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers": False
        }
        return DistributedDataParallel(
            network,
            device_ids=[device.index] if device.type == "cuda" else None,
            find_unused_parameters=partly_used,
            **unsent,
        )

    def destroy(self) -> None:
        import torch.distributed as dist

        self.all_reduce_max(
            0
        )  # no rank may end while rank 0 still writes: torchrun would take that for the end of the job
        dist.destroy_process_group()


class SyncSchedule:
    """The steps at which ranks tell each other what they want, so that all of them do it after the same step.

    They are as far apart as rank 0 thinks that a tenth of a second is.
    """

    def __init__(self, group: Group) -> None:
        self._group = group
        self._every = 1
        self._steps = 0
        self._since = time.monotonic()

    def agreed(self, stop: bool, due: bool, *, now: bool) -> tuple[bool, bool]:
        """Return whether to stop and whether a record is due: what any rank wants and what rank 0 wants, otherwise
        nothing.

        ``now``: all ranks have reached a step at which they agree anyway.
        """
        self._steps += 1
        if not now and self._steps < self._every:
            return False, False
        passed = max(time.monotonic() - self._since, 1e-6)
        every = max(1, min(LONGEST_SYNC_STEPS, int(self._steps * SYNC_S / passed)))
        first = self._group.first
        any_stop, first_due, self._every = self._group.all_reduce_max(stop, due and first, every if first else 0)
        self._steps, self._since = 0, time.monotonic()
        return bool(any_stop), bool(first_due)


def quiet(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return variables that keep torch, where it is loaded later, from warnings that do not concern the person.

    At every start it would advise to leave out the search for parameters without a gradient; whether a network of one's
    own has some may differ from step to step.
    """
    return {} if "TORCH_CPP_LOG_LEVEL" in environment else {"TORCH_CPP_LOG_LEVEL": "ERROR"}


def ranked(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether torchrun, or another launcher with its variables, started this process as one of several."""
    try:
        return int(environment.get("WORLD_SIZE", "1")) > 1 and "RANK" in environment
    except ValueError:
        return False


def is_first(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process is rank 0, or alone."""
    return not ranked(environment) or environment["RANK"] == "0"


def join(environment: Mapping[str, str] = os.environ) -> Group:
    """Join the other ranks of the job that the environment names; ``ALONE`` where there is none.

    Waits until all are there. Sums on a GPU go through NCCL, words in main memory through gloo.
    """
    if not ranked(environment):
        return ALONE
    os.environ.update(quiet())
    import torch
    import torch.distributed as dist
    from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage] not in its __all__
    from torch.distributed.rendezvous import rendezvous

    store, rank, world = next(rendezvous("env://", timeout=TIMEOUT))
    # Ranks that torchrun has started again get the store of the ones before: they must not call at those addresses.
    store = PrefixStore(f"attempt {environment.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=TIMEOUT)
    local_rank = int(environment.get("LOCAL_RANK", rank))
    global _joined
    _joined = True
    return Ranks(rank, world, local_rank, int(environment.get("LOCAL_WORLD_SIZE", world)))


_joined = False


def leave_if_joined(code: int) -> None:
    """End this process now if it has been a rank; return otherwise.

    Threads of the process group are still at work then. When Python is taken down, one that lets go of its last tensor asks
    for Python's lock and is ended in the middle of C++, which aborts the process: the run is done, and the job counts as
    failed. So the handlers for the end are run, and Python is not taken down.
    """
    if not _joined:
        return
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def own_device(group: Group) -> str:
    """Return the device of a rank where none was named: the GPU with its number on this host, or the CPU."""
    import torch

    return f"cuda:{group.local_rank}" if torch.cuda.is_available() else "cpu"


def device_of(group: Group, device: str, devices: Sequence[str]) -> str:
    """Return the name of the device that a rank computes on: its own of ``devices``; else the GPU with its number, or
    the CPU.
    """
    if group.world == 1:
        return device
    if group.local_rank < len(devices):
        return devices[group.local_rank]
    kind = device.partition(":")[0]
    return f"cuda:{group.local_rank}" if kind == "cuda" else kind


def rows_of_batch(batch_size: int, rank: int, world: int) -> list[int]:
    """Return the places in a batch that a rank works off, such that its batch read from the end pairs the same images.

    Mixup and CutMix mix place i with place B - 1 - i. A rank takes such pairs, the first of each in order, then their
    partners in reverse; a middle image without one goes to the last rank. Shares differ by three images at most.
    """
    pairs = batch_size // 2
    low, high = rank * pairs // world, (rank + 1) * pairs // world
    middle = [pairs] if batch_size % 2 and rank == world - 1 else []
    return [*range(low, high), *middle, *range(batch_size - high, batch_size - low)]


def check_batch(batch_size: int, world: int) -> None:
    """Raise UsageError where a batch is too small to be shared out: each rank needs two images, as batch norm does."""
    if world > 1 and batch_size < 2 * world:
        raise UsageError(
            "batch-size", batch_size, f"is too small for {world} processes: each needs at least 2 of a batch"
        )


def part(count: int, rank: int, world: int) -> tuple[int, int]:
    """Start and stop of a rank's part of ``count`` images: every image once, none added."""
    return rank * count // world, (rank + 1) * count // world


def lost(error: Exception) -> bool:
    """Return whether ``error`` means that another rank could not be reached."""
    import torch.distributed as dist

    if isinstance(error, getattr(dist, "DistError", ())):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in text for word in ("gloo", "by peer", "nccl"))
