"""Which precision, memory layout, compilation and CUDA graphs make this network fast on this machine, found by trying.

All of these help one network and slow down another. So a few steps of throw-away copies of the run are timed, each choice
beside the best one so far, in turns, so that what else the machine does strikes both. Choices change the rounding of single
numbers and nothing else: fp16, which can overflow, is never chosen here. What was found is remembered.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from ..common.out_of_memory import release
from ..common.progress import Log
from ..config.engine_config import TIMED_AT_START
from ..config.run_config import RunConfig
from ..devices import hardware
from . import calibration_store, estimate
from .estimate import Forecast
from .planner import Plan
from .trial import Trial, undisturbed

BUDGET_S = 8.0
"""No further choice is tried after these seconds."""

MIN_SPEEDUP = 0.03
"""Part of the run's estimated time that trying may take; it does not pay in shorter runs."""

ROUNDS = 3
BLOCK_S = 0.05
"""Steps are timed in blocks of these seconds, three of each choice."""

SETTING_UP_S = 0.3
"""What another copy of the network costs, about."""

MARGIN = 0.05
"""A choice must be faster by this part: less could be chance, and the default is what others have as well."""

COMPILING_PAYS_S = 1200.0
"""Runs that are shorter are over before a compilation, which takes one or two minutes, has paid."""


@dataclass(frozen=True)
class Candidate:
    """Seconds of a step with a choice, beside those of the best one before."""

    choice: Mapping[str, object]
    seconds: float
    against: float
    taken: bool

    def words(self) -> str:
        """Return the outcome in words: ``channels-last 1.21× as fast, taken``."""
        gain = self.against / self.seconds
        unsteady = ", but not every time" if gain > 1 / (1 - MARGIN) and not self.taken else ""
        return f"{named(self.choice)} {gain:.2f}× as fast{unsteady}, {'taken' if self.taken else 'not taken'}"


def named(choice: Mapping[str, object]) -> str:
    """Return a choice as its flags name it."""
    words = []
    for key, value in choice.items():
        flag = key.replace("_", "-")
        words.append(str(value) if key == "precision" else flag if value else f"no {flag}")
    return ", ".join(words)


def resolve(plan: Plan, log: Log, *, wanted: bool | None, measure: bool = True) -> tuple[Plan, Forecast]:
    """Return the plan with the engine that suits network and machine, and the forecast for it.

    ``wanted`` False leaves the engine as it is, True tries anew whatever is remembered and however short the run; None
    takes what is remembered, or else tries, where it pays and ``measure`` allows it. What somebody asked for stays.
    """
    try:
        return _resolve(plan, log, wanted, measure)
    finally:
        if plan.config.engine.device.startswith("cuda"):
            release()  # for the process that trains


def _resolve(plan: Plan, log: Log, wanted: bool | None, measure: bool) -> tuple[Plan, Forecast]:
    options = [] if plan.choice.complete or wanted is False else _options(plan)
    if not options:
        reason = "switched off" if wanted is False else "nothing to choose"
        found = plan if plan.choice.complete else _noted(plan, {}, "none", reason)
        return found, estimate.forecast(found.config, found.data)
    key = calibration_store.key(plan.config, plan.choice.fixed)
    known = None if wanted else calibration_store.find(key)
    if known is not None:
        found = _noted(plan, known["choice"], "remembered", known["why"], known)
        log(f"calibration of {str(known['date'])[:10]}: {known['why']}")
        return found, estimate.forecast(found.config, found.data)
    forecast = estimate.forecast(plan.config, plan.data)
    refusal = _refusal(forecast, options, forced=bool(wanted), measure=measure)
    if refusal:
        return _noted(plan, {}, "none", refusal), forecast
    log(f"calibrating: {', '.join(named(option) for option in options)}")
    with undisturbed(torch.device(plan.config.engine.device)):
        tried = _try_all(plan, forecast, options)
    return _choose_fastest(plan, forecast, tried, key, log)


def _options(plan: Plan) -> list[dict[str, object]]:
    """Return the choices that are open on this device, each a change of the engine, in the order in which they are
    tried.
    """
    now, fixed = plan.config.engine, plan.choice.fixed
    device = torch.device(now.device)
    if now.devices:
        return []
    open_choices: list[dict[str, object]] = []
    if hardware.has_bf16(device):
        open_choices.append({"precision": "fp32" if now.precision == "bf16" else "bf16"})
    open_choices.append({"channels_last": not now.channels_last})
    if device.type == "cuda":
        if plan.config.recipe.accumulate == 1 and plan.config.recipe.sam == "none":
            open_choices.append({"cuda_graphs": not now.cuda_graphs})
        open_choices.append({"compile": not now.compile})
    return [option for option in open_choices if not fixed & option.keys()]


def _refusal(forecast: Forecast, options: list, *, forced: bool, measure: bool) -> str:
    """Return why nothing is tried, or "" where it is."""
    found = forecast.estimate
    if found is None or forecast.timing is None:
        return "nothing could be timed"
    if found.memory is not None and 2 * found.memory > forecast.free_memory:
        return "no memory for a second copy"
    if forced:
        return ""
    cost = len(options) * (SETTING_UP_S + 2 * (ROUNDS + 1) * max(BLOCK_S, forecast.timing.step_s))
    if cost > MIN_SPEEDUP * found.seconds:
        return "the run is too short for it to pay"
    return "" if measure else TIMED_AT_START


def _try_all(plan: Plan, forecast: Forecast, options: list[dict[str, object]]) -> list[Candidate]:
    assert forecast.estimate is not None and forecast.timing is not None
    deadline = time.monotonic() + BUDGET_S
    # A compilation that was asked for would be made anew for each choice; what is faster without it is so with it.
    config, batch = _with(plan.config, {"compile": False}), forecast.timing.batch
    best: Trial | None = None
    tried: list[Candidate] = []
    for option in options:
        pays = not option.get("compile") or forecast.estimate.seconds >= COMPILING_PAYS_S
        # What is compiled or recorded is so for batches of the run's size.
        of_this_size = batch == config.recipe.batch_size or not {"compile", "cuda_graphs"} & option.keys()
        if not (pays and of_this_size) or time.monotonic() > deadline:
            continue
        changed = _with(config, option)
        try:
            best = best or Trial(config, plan.data)
            rival = Trial(changed, plan.data)
            seconds, against, faster = _compared(rival, best, batch)
        except Exception:  # what does not work with this network is not chosen, for whatever reason
            continue
        tried.append(Candidate(option, seconds, against, faster))
        if faster:
            config, best = changed, rival
    return tried


def _compared(rival: Trial, best: Trial, batch: int) -> tuple[float, float, bool]:
    """Return the seconds of a step with either, medians of blocks in turns, and whether the rival is certainly
    faster.
    """
    works = [trial.stepper(batch) for trial in (rival, best)]
    repetitions = []
    for trial, work in zip((rival, best), works, strict=True):
        trial.seconds(work)
        repetitions.append(max(1, round(BLOCK_S / max(trial.seconds(work), 1e-7))))
    blocks = [
        tuple(trial.seconds(work, count) for trial, work, count in zip((rival, best), works, repetitions, strict=True))
        for _ in range(ROUNDS)
    ]
    return *_medians(blocks), faster(blocks)


def _medians(blocks: list[tuple[float, ...]]) -> tuple[float, float]:
    first, second = (statistics.median(column) for column in zip(*blocks, strict=True))
    return first, second


def faster(blocks: list[tuple[float, ...]]) -> bool:
    """Return whether the first is faster than the second by MARGIN in the median, and in every round at all."""
    seconds, against = _medians(blocks)
    return seconds < (1 - MARGIN) * against and all(first < second for first, second in blocks)


def _with(config: RunConfig, choice: Mapping[str, object]) -> RunConfig:
    return dataclasses.replace(config, engine=dataclasses.replace(config.engine, **choice))


def _choose_fastest(
    plan: Plan, forecast: Forecast, tried: list[Candidate], key: str, log: Log
) -> tuple[Plan, Forecast]:
    """Tell, remember and apply what came out."""
    choice: dict[str, object] = {}
    gain = 1.0
    for one in tried:
        if one.taken:
            choice |= one.choice
            gain *= one.against / one.seconds
    why = "; ".join(one.words() for one in tried) or "nothing else worked"
    entry: dict[str, object] = {
        "choice": choice,
        "why": why,
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "batch": forecast.timing.batch if forecast.timing else None,
        "tried": [
            {"choice": dict(one.choice), "seconds": one.seconds, "against": one.against, "taken": one.taken}
            for one in tried
        ],
    }
    calibration_store.remember(key, entry)
    log(f"calibration: {why}")
    return _noted(plan, choice, "measured", why, entry), forecast.faster(plan.config, gain)


def _noted(plan: Plan, choice: Mapping[str, object], origin: str, why: str, entry: Mapping | None = None) -> Plan:
    """Return the plan with ``choice`` in its engine, and how it came about in the engine's ``calibration``."""
    note = dict(entry or {}) | {"origin": origin, "why": why}
    engine = dataclasses.replace(plan.config.engine, **choice, calibration=note)
    origins = dict(plan.choice.origins) | dict.fromkeys(choice, calibration_store.ORIGIN)
    return dataclasses.replace(
        plan,
        config=dataclasses.replace(plan.config, engine=engine),
        choice=dataclasses.replace(plan.choice, engine=engine, origins=origins),
    )
