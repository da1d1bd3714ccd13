"""What would be trained, shown before it is: the recipe with the origin of each value, its curve, the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..common.json_safe import short
from ..common.text_safe import clean
from ..config import engine_config
from ..config.lr_schedule import curve
from ..config.recipe import renamed, stored
from ..data.dataset_info import FOLDER
from ..data.datasets import DataSet
from ..data.split import counts_of
from .engine_choice import DEFAULT
from .estimate import Estimate, Forecast
from .planner import Plan, summary
from .recipe_choice import IMAGES

CLASSES_TOLD = 20
CURVE_POINTS = 120
ESTIMATE_DIGITS = 4
STORED_ORIGINS = {IMAGES: "pictures"}
"""Origins that have another word in the JSON of schema 1."""


def as_dict(plan: Plan, forecast: Forecast) -> dict[str, object]:
    """Return JSON-able values; docs/json.md describes them."""
    values = plan.config.to_dict()
    return {
        "network": values["network"],
        "data": values["data"],
        "images_per_class": class_counts(plan.data),
        "skipped": list(plan.data.skipped) if plan.data.decoded else None,
        "recipe": values["recipe"],
        "origins": {"recipe": _stored_origins(plan), "engine": dict(plan.choice.origins)},
        "lr_curve": lr_curve(plan),
        "engine": values["engine"],
        "seed": plan.config.seed,
        "estimate": _estimate(forecast.estimate),
        "summary": summary(plan.config),
        "remarks": list(plan.remarks),
        "warnings": list(forecast.warnings),
    }


def _stored_origins(plan: Plan) -> dict[str, str]:
    """Return the origins of the recipe in the words of schema 1."""
    return {key: STORED_ORIGINS.get(origin, origin) for key, origin in stored(plan.origins).items()}


def class_counts(data: DataSet) -> dict[str, list[int]]:
    """Return how many images of each class a split has, in the order of the classes."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    return {name: counts_of(split.labels.tolist(), len(data.classes)) for name, split in splits.items()}


def class_lines(plan: Plan) -> list[str]:
    """Return a line with the classes of a person's own images, and how many images of each are trained on."""
    if not plan.config.data.name.startswith(FOLDER):
        return []
    counts = class_counts(plan.data)["train"]
    told = [f"{clean(name)} ({count:,})" for name, count in zip(plan.data.classes, counts, strict=True)]
    more = f", and {len(told) - CLASSES_TOLD} more" if len(told) > CLASSES_TOLD else ""
    return [f"{len(told)} classes, with images to train on: {', '.join(told[:CLASSES_TOLD])}{more}"]


def _estimate(estimate: Estimate | None) -> dict[str, object] | None:
    if estimate is None:
        return None
    return {key: _short(value) for key, value in vars(estimate).items()}


def _short(value: object) -> object:
    return float(f"{value:.{ESTIMATE_DIGITS}g}") if isinstance(value, float) else value


def lr_curve(plan: Plan) -> list[list[float]]:
    """Return the pairs (epoch, learning rate) at evenly spread steps of the run."""
    recipe = plan.config.recipe
    rates = curve(recipe, plan.config.data.train // recipe.batch_size, CURVE_POINTS)
    return [[round(recipe.epochs * index / len(rates), 4), short(rate)] for index, rate in enumerate(rates)]


def as_lines(plan: Plan, forecast: Forecast, chart: Sequence[str]) -> list[str]:
    """Return the whole plan as plain text, around the ``chart`` of its learning rate."""
    estimate = forecast.estimate
    return [
        summary(plan.config),
        *class_lines(plan),
        "",
        *_table(renamed(plan.config.recipe.to_dict()), plan.origins),
        "",
        *chart,
        "",
        *_table(_engine_values(plan), plan.choice.origins),
        "",
        *([f"calibration: {plan.config.engine.calibration['why']}"] if plan.config.engine.calibration else []),
        estimate.words() if estimate else "no step could be timed",
        *(f"warning: {line}" for line in forecast.warnings),
    ]


def recipe_lines(plan: Plan) -> list[str]:
    """Return the values of the recipe that are not the general default, each with its origin."""
    values = renamed(plan.config.recipe.to_dict())
    chosen = {key: values[key] for key, origin in plan.origins.items() if origin != DEFAULT}
    return _table(chosen, plan.origins)


def _engine_values(plan: Plan) -> dict[str, object]:
    values = plan.config.engine.to_dict()
    return {key: values[key] for key in engine_config.CHOICES}


def _table(values: Mapping[str, object], origins: Mapping[str, str]) -> list[str]:
    """Return a line per value: key, value, and where it comes from unless that is the default."""
    texts = {key: _text(value) for key, value in values.items()}
    keys, wide = max(map(len, texts), default=0), max(map(len, texts.values()), default=0)
    rows = [(key, text, origins.get(key, DEFAULT)) for key, text in texts.items()]
    return [
        f"  {key:<{keys}}  {text:<{wide}}  {'' if origin == DEFAULT else origin}".rstrip() for key, text, origin in rows
    ]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "none"
    return str(value)
