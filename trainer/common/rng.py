"""Where every random number of a run comes from: the seed, a purpose and a number such as the epoch."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported late everywhere below: whoever only derives a seed needs no torch
    import torch


def derive(seed: int, purpose: str, number: int = 0) -> int:
    """Return a 63-bit seed for one purpose; neighbouring seeds and numbers give unrelated ones."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, purpose: str, number: int = 0) -> torch.Generator:
    """Return a generator on the CPU, so that the numbers are the same whatever device they are used on."""
    import torch

    return torch.Generator().manual_seed(derive(seed, purpose, number))


def reseed(seed: int, rank: int, step: int) -> None:
    """Make what layers of one of several ranks draw in a step a function of the seed, the rank and the step.

    So ranks drop different units, and a checkpoint need not hold the state of each rank's generators.
    """
    import torch

    torch.manual_seed(derive(seed, f"layers of rank {rank}", step))


def begin(seed: int) -> None:
    """Set the global generators of torch, of Python and of numpy: layers of whatever origin may draw from them."""
    import numpy
    import torch

    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(derive(seed, "numpy") % 2**32)


def state(device: torch.device) -> dict[str, object]:
    """Return the state of the global generators that layers such as dropout draw from, as a checkpoint can hold it."""
    import numpy
    import torch

    found = numpy.random.get_state()
    assert isinstance(found, tuple), "numpy gives a dict only where one is asked for"
    kind, words, *rest = found
    states: dict[str, object] = {
        "cpu": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (str(kind), torch.from_numpy(words.astype("int64")), *rest),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore(states: dict, device: torch.device) -> None:
    """Put the global generators back to what ``state`` gave; those of other kinds of device are left out."""
    import numpy
    import torch

    torch.set_rng_state(states["cpu"].cpu())
    if "python" in states:
        random.setstate(states["python"])
    if "numpy" in states:
        kind, words, *rest = states["numpy"]
        numpy.random.set_state((kind, words.cpu().numpy(), *rest))
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)
    if device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"].cpu())
