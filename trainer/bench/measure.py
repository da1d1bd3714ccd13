"""Fair timing on a machine that is never quite quiet: several repetitions, interleaved, with median and spread.

One loop after the other would measure what else the machine did meanwhile. Here every loop has its turn in every round, each
round begins with another one, and two loops are compared within a round.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from ..devices.hardware import wait_for

SHORTEST_LOOK_S = 0.1
"""Seconds that are tried out, at least, before the number of steps of a repetition is fixed, where steps are short."""


class Loop(Protocol):
    """Something that makes steps, and goes on where it was at the next call.

    ``least_steps`` are needed for a repetition to mean something.
    """

    least_steps: int

    def run(self, steps: int) -> None:
        """Make ``steps`` steps. What the device still has to do at the end is waited for by the caller."""
        ...

    def prepare(self) -> None:
        """Do what belongs before the clock starts."""
        ...


@dataclass(frozen=True)
class Timing:
    """Of one loop: seconds a step in each round, and the steps that a repetition made."""

    step_s: tuple[float, ...]
    steps: int

    def faster_than(self, other: Timing) -> float:
        """Return how many times as fast as ``other``: the median over the rounds, compared round by round."""
        return statistics.median(theirs / own for own, theirs in zip(self.step_s, other.step_s, strict=True))

    def longer_than(self, other: Timing) -> float:
        """Return the seconds a step more than ``other``: the median over the rounds; negative where it is faster."""
        return statistics.median(own - theirs for own, theirs in zip(self.step_s, other.step_s, strict=True))


def interleaved(
    loops: Mapping[str, Loop],
    *,
    seconds: float,
    repeats: int,
    device: torch.device,
    log: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time all ``loops``, each ``repeats`` times for about ``seconds``, at least their least steps.

    ``log`` hears of each round. ``clock`` gives seconds; time.process_time counts those on the processor.
    """

    def timed(loop: Loop, steps: int) -> float:
        loop.prepare()
        wait_for(device)
        begun = clock()
        loop.run(steps)
        wait_for(device)
        return max(clock() - begun, 1e-9) / steps

    steps: dict[str, int] = {}
    for name, loop in loops.items():
        log(f"warming up: {name}")
        steps[name] = max(loop.least_steps, _steps_for(lambda count, loop=loop: timed(loop, count), seconds))
    measured: dict[str, list[float]] = {name: [] for name in loops}
    order = list(loops)
    for number in range(repeats):
        log(f"round {number + 1} of {repeats}")
        turn = number % len(order)
        for name in order[turn:] + order[:turn]:
            measured[name].append(timed(loops[name], steps[name]))
    return {name: Timing(tuple(measured[name]), steps[name]) for name in loops}


def _steps_for(timed: Callable[[int], float], seconds: float) -> int:
    """Return how many steps fill ``seconds``; found after a first step, which may compile and allocate."""
    timed(1)
    count, step_s = 1, timed(1)
    while step_s * count < min(SHORTEST_LOOK_S, seconds):
        count = 2 * count
        step_s = timed(count)
    return max(1, round(seconds / step_s))
