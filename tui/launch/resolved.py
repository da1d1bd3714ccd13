"""What "auto" stands for in the form, as far as it is known: from the form itself, or from what `train --plan` says.

Nothing is guessed here: what only the command can know is read from its plan. No Textual, no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...trainer.config import engine_config, weights_source
from ...trainer.config.engine_config import TIMED_AT_START
from ...trainer.config.lr_schedule import ONE_CYCLE_RISE
from ...trainer.config.recipe import Recipe
from .form import weights_of
from .form_values import Filled, LaunchForm
from .values import value_text

READING = "reading …"
TIMED = ("precision", "channels_last", "cuda_graphs", "compile")
"""What the start may choose otherwise, when it times what is fast."""
IN_PLAN: dict[str, tuple[str, str]] = {
    "stem": ("network", "stem"),
    "image_size": ("network", "image_size"),
    **{key: ("engine", key) for key in engine_config.CHOICES},
}
"""Where the JSON of a plan has what "auto" became."""
OF_COMMAND = (*IN_PLAN, "calibrate")


def known(form: LaunchForm, filled: Filled, plans: Iterable[Mapping[str, Any]], *, reading: bool) -> dict[str, str]:
    """Return what "auto" stands for by key: "reading …" where the command is being asked, nothing where nobody knows."""
    found = {"preset": "none", "devices": "one", "init_from": "none", "grow_from": "none", **_weights(form)}
    if held_out := _held_out(filled):
        found["validation"] = held_out
    told = [_of_plan(plan) for plan in plans]
    for key in OF_COMMAND:
        values = list(dict.fromkeys(one[key] for one in told if key in one))
        if values or reading:
            found[key] = " · ".join(values) or READING
    if warmup := _rise(filled.recipes.values()):
        found["warmup"] = warmup
    return found


def _weights(form: LaunchForm) -> dict[str, str]:
    """Return whether published weights are taken, and which."""
    asked = weights_of(form)
    repeated = form.request.run.get("network")
    if not asked.kind and isinstance(repeated, Mapping) and form.changed.get("pretrained") != "no":
        asked = weights_source.of_run(repeated.get("pretrained"))
    published = asked.kind == weights_source.TORCHVISION
    return {
        "pretrained": value_text(published),
        "weights": (asked.value or "the default ones") if published else "none",
    }


def _held_out(filled: Filled) -> str:
    """Return how many images are validated on."""
    data = filled.data
    if data is None or not filled.training_images:
        return ""
    if data.validation:
        return f"its own {data.validation:,} images"
    return f"{data.train - filled.training_images:,} images"


def _rise(recipes: Iterable[Recipe]) -> str:
    """Return how long the rate of one-cycle rises where the recipe has no warm-up of its own."""
    rises = {
        f"rises for {ONE_CYCLE_RISE * recipe.epochs:g} epochs"
        for recipe in recipes
        if recipe.schedule == "one-cycle" and not recipe.warmup
    }
    return rises.pop() if len(rises) == 1 else ""


def _of_plan(plan: Mapping[str, Any]) -> dict[str, str]:
    """Return what a plan says of the settings that only the command resolves."""
    found: dict[str, str] = {}
    for key, (part, name) in IN_PLAN.items():
        values = plan.get(part)
        if isinstance(values, Mapping) and name in values:
            value = values[name]
            found[key] = "the only one" if value is None else value_text(value)
    engine = plan.get("engine")
    calibration = engine.get("calibration") if isinstance(engine, Mapping) else None
    why = calibration.get("why") if isinstance(calibration, Mapping) else None
    if isinstance(why, str):
        found["calibrate"] = why
        if why == TIMED_AT_START:
            found |= {key: f"{found[key]}, or what is timed as faster" for key in TIMED if key in found}
    return found
