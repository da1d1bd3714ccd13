"""What stands below the settings of a training: the data, the machine, how long it would take. Plain text, no Textual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...models.catalogue.notes import memory_text, quantity, shape_text
from ...trainer.common.number_text import about, duration, speed
from ...trainer.runs.run import number
from ..charts.sparkline import sparkline
from . import form
from .commands import Device, Preview
from .form_values import Filled
from .resolved import READING
from .values import in_app, key_of


def facts(filled: Filled, devices: Sequence[Device] | None, device: str, width: int) -> str:
    """Return data, learning rate and machine, a line each; ``device`` is the one that is chosen.

    ``devices`` is None until the machine was looked at.
    """
    lines = []
    data = filled.data
    if data is not None:
        image = f"{shape_text((data.channels, data.size, data.size))}, {len(data.classes)} classes"
        counts = f"{filled.training_images:,} images to train on, {data.test:,} to test"
        lines.append(f"data      {image}, {counts}" + ("" if data.on_disk else f"; will be put into {data.folder}"))
    rates, steps = form.curve(filled)
    if rates:
        peak = next(iter(filled.recipes.values())).lr
        lines.append(f"rate      {sparkline(rates, width)} up to {peak:g} in {quantity(steps)} steps")
    chosen = [found for found in devices or () if device in ("auto", found.name)]
    if devices is None:
        lines.append(f"machine   {READING}")
    elif chosen:
        lines += [f"machine   {found.name}: {found.words}" for found in chosen]
    else:
        lines.append("machine   " + ("no GPU is seen through NVML" if not devices else "the CPU"))
    return "\n".join(lines)


def plans(preview: Preview | None) -> list[dict[str, Any]]:
    """Return the plan of each network; none where there is no plan."""
    found = preview.plan if preview is not None else None
    several = (found or {}).get("plans")
    listed = several if isinstance(several, list) else [found]
    return [plan for plan in listed if isinstance(plan, dict)]


def refused(preview: Preview | None) -> tuple[str, str]:
    """Return the setting that the command refuses, and its words; two empty texts where it refuses none."""
    name, colon, words = (preview.problem if preview is not None else "").partition(": ")
    return (key_of(name), in_app(words)) if colon else ("", "")


def estimate(preview: Preview) -> str:
    """Return how long it would take, what the engine is, and what speaks against it."""
    if preview.plan is None:
        return in_app(preview.problem)
    found = plans(preview)
    seconds = [number(_part(plan, "estimate").get("seconds")) for plan in found]
    lines = [f"time      {_times(_part(plan, 'estimate'))}, {_engine(plan)}" for plan in found[:3]]
    if len(found) > 1 and None not in seconds:
        lines.append(f"          {duration(sum(filter(None, seconds)))} for all {len(found)}")
    warnings = [text for plan in found for text in plan.get("warnings", ()) if isinstance(text, str)]
    return "\n".join([*lines, *(f"warning   {in_app(text)}" for text in warnings)])


def _part(plan: dict[str, Any], key: str) -> dict[str, Any]:
    part = plan.get(key)
    return part if isinstance(part, dict) else {}


def _times(found: dict[str, Any]) -> str:
    epoch, whole, pace = (number(found.get(key)) for key in ("seconds_per_epoch", "seconds", "images_per_s"))
    if epoch is None or whole is None or pace is None:
        return "not known"
    memory = number(found.get("memory"))
    room = f", {memory_text(memory)}" if memory else ""
    return f"about {about(epoch)} an epoch, {about(whole)} in all ({speed(pace)} images/s{room})"


def _engine(plan: dict[str, Any]) -> str:
    engine = _part(plan, "engine")
    words = [str(engine.get("device", "")), str(engine.get("precision", ""))]
    words += [
        name for key, name in (("channels_last", "channels last"), ("compile", "compiled")) if engine.get(key) is True
    ]
    return ", ".join(word for word in words if word)
