"""Where a run's first weights come from, if not from chance: what a person asks for, and what run.json keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import UsageError

TORCHVISION, FILE, GROWN = "torchvision", "file", "grown"
BY_FLAG = {"pretrained": TORCHVISION, "weights": TORCHVISION, "init_from": FILE, "grow_from": GROWN}

FINE_TUNING = {"backbone_lr": 0.1, "epochs": 10}
"""What a run with weights of another data set changes in its recipe: the new head learns at the recipe's rate, all that
was taken over at a tenth of it."""


@dataclass(frozen=True)
class Wish:
    """Asked for: a ``kind`` of beginning and its ``value``.

    "torchvision" and the name of its weights ("" for its default ones), or "file" or "grown" with a run or a file.
    ``digest`` is what the file had when a run.json was written, "" for any.
    """

    kind: str
    value: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Start:
    """How the first weights of a run came about; everything but the weights themselves, so that resuming needs no file.

    ``kind`` is "torchvision", "file" (taken over by name and shape) or "grown" (as the model file says). ``name`` is that of
    the weights, for people; ``source`` the URL or the file, ``digest`` the file's SHA-256. ``mean`` and ``std`` are what the
    weights expect of pictures, empty where that is not known. ``fresh`` names the parameters that begin by chance.
    """

    kind: str
    name: str
    source: str
    digest: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fresh: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The values as JSON has them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}


def from_dict(values: Mapping | None) -> Start | None:
    """What ``to_dict`` wrote; None for None. TypeError, AttributeError or ValueError where it has another form."""
    if values is None:
        return None
    kind, name, source, digest = (str(values.get(key, "")) for key in ("kind", "name", "source", "digest"))
    if kind not in BY_FLAG.values():
        raise ValueError(f"weights of the kind {kind!r} are unknown")
    mean, std = (tuple(float(value) for value in values.get(key) or ()) for key in ("mean", "std"))
    return Start(kind, name, source, digest, mean, std, tuple(map(str, values.get("fresh") or ())))


def wish(values: Mapping[str, object], origin: str = "") -> Wish | None:
    """The one beginning that the keys pretrained, weights, init_from and grow_from ask for; None for none.

    A key that is missing, None or false asks for nothing. UsageError where two contradict each other.
    """
    asked = {key: values[key] for key in BY_FLAG if values.get(key) not in (None, False)}
    kinds = {BY_FLAG[key] for key in asked}
    if len(kinds) > 1:
        first, *_, last = asked
        raise UsageError(_name(first, origin), None, f"contradicts {_name(last, origin)}; give one of them")
    if not asked:
        return None
    value = asked.get("weights", "") if kinds == {TORCHVISION} else next(iter(asked.values()))
    for key, given in asked.items():
        if key == "pretrained" and given is not True:
            raise UsageError(_name(key, origin), given, "must be true or false")
        if key != "pretrained" and (not isinstance(given, str) or not given.strip()):
            raise UsageError(_name(key, origin), given, "must be a text that is not empty")
    return Wish(kinds.pop(), str(value))


def wish_of_run(pretrained: object) -> Wish | None:
    """What a run.json says under ``network.pretrained``, as a wish to begin in the same way."""
    if not isinstance(pretrained, Mapping):
        return None
    kind = str(pretrained.get("kind"))
    value, digest = pretrained.get("name" if kind == TORCHVISION else "source"), pretrained.get("digest", "")
    if kind not in BY_FLAG.values() or not isinstance(value, str) or not isinstance(digest, str):
        return None
    return Wish(kind, value, digest)


def _name(key: str, origin: str) -> str:
    return f"{origin}: {key}" if origin else key.replace("_", "-")
