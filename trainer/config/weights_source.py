"""Where a run's first weights come from, if they are not drawn: what is asked for, and what run.json keeps of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import UsageError
from .setting import WEIGHTS, setting, settings_of

TORCHVISION, FILE, GROWN = "torchvision", "file", "grown"
BY_FLAG = {"pretrained": TORCHVISION, "weights": TORCHVISION, "init_from": FILE, "grow_from": GROWN}

FINE_TUNING = {"backbone_lr": 0.1, "epochs": 10}
"""What a run with weights of another data set changes in its recipe: the new head learns at the recipe's rate, all that
was loaded at a tenth of it."""


@dataclass(frozen=True)
class WeightsRequest:
    """The weights that are asked for, None where nothing is said; ``pretrained`` false: none, whatever a file says.

    ``digest`` is what the file had when the run.json was written that is repeated, "" for any.
    """

    pretrained: bool | None = setting(
        None, "Begin with the weights that torchvision publishes.", WEIGHTS, page="transfer-learning"
    )
    weights: str | None = setting(
        None,
        "Which of torchvision's weights to begin with, for example IMAGENET1K_V1.",
        WEIGHTS,
        page="transfer-learning",
        metavar="NAME",
        rare=True,
    )
    init_from: str | None = setting(
        None,
        "Begin with the weights of a run or a file, where they fit.",
        WEIGHTS,
        page="transfer-learning",
        metavar="RUN|FILE",
        rare=True,
    )
    grow_from: str | None = setting(
        None,
        "Begin with a trained shallower network of the same family (VGG).",
        WEIGHTS,
        page="transfer-learning",
        metavar="RUN|FILE",
        rare=True,
    )
    keep_head: bool | None = setting(
        None,
        "Keep the last layer of the weights too; without either, only where its classes are the same.",
        WEIGHTS,
        page="transfer-learning",
        rare=True,
    )
    digest: str = ""

    @property
    def kind(self) -> str:
        """TORCHVISION, FILE or GROWN; "" where the weights are drawn."""
        return next((kind for key, kind in BY_FLAG.items() if getattr(self, key)), "")

    @property
    def value(self) -> str:
        """The name of torchvision's weights ("" for its default ones), or the run or file."""
        return self.weights or self.init_from or self.grow_from or ""


SETTINGS = settings_of(WeightsRequest)


@dataclass(frozen=True)
class InitialWeights:
    """How the first weights of a run came about; everything but the weights themselves, so that resuming needs no file.

    ``kind`` is "torchvision", "file" (loaded by name and shape) or "grown" (as the model file says). ``name`` is that of
    the weights, for people; ``source`` the URL or the file, ``digest`` the file's SHA-256. ``mean`` and ``std`` are what the
    weights expect of images, empty where that is not known. ``newly_initialised`` names the parameters that begin at random.
    ``keep_head`` is what was asked for of the last layer, None for nothing.
    """

    kind: str
    name: str
    source: str
    digest: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    newly_initialised: tuple[str, ...] = ()
    keep_head: bool | None = None

    def to_dict(self) -> dict[str, object]:
        """Return the values as JSON has them."""
        values: dict[str, object] = {
            key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()
        }
        values["fresh"] = values.pop("newly_initialised")  # the key of run.json
        if self.keep_head is None:  # run.json is as before where nobody asks for it
            del values["keep_head"]
        return values


def from_dict(values: Mapping | None) -> InitialWeights | None:
    """Return what ``to_dict`` wrote; None for None. TypeError, AttributeError or ValueError where it cannot be read."""
    if values is None:
        return None
    kind, name, source, digest = (str(values.get(key, "")) for key in ("kind", "name", "source", "digest"))
    if kind not in BY_FLAG.values():
        raise ValueError(f"weights of the kind {kind!r} are unknown")
    mean, std = (tuple(float(value) for value in values.get(key) or ()) for key in ("mean", "std"))
    begin_anew = tuple(map(str, values.get("fresh") or ()))
    return InitialWeights(kind, name, source, digest, mean, std, begin_anew, _yes_or_no(values.get("keep_head")))


def _yes_or_no(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def asked(values: Mapping[str, object], origin: str = "") -> WeightsRequest:
    """Return the weights that some of the keys pretrained, weights, init_from, grow_from and keep_head ask for.

    A key that is missing or None asks for nothing. UsageError where two contradict each other.
    """
    known = {key: SETTINGS[key].check(value, origin) for key in SETTINGS if (value := values.get(key)) is not None}
    wanted = [key for key, value in known.items() if key in BY_FLAG and value is not False]
    if len({BY_FLAG[key] for key in wanted}) > 1:
        hint = f"contradicts {_name(wanted[-1], origin)}; give one of them"
        raise UsageError(_name(wanted[0], origin), None, hint)
    return WeightsRequest(**known)


def check_head(request: WeightsRequest) -> None:
    """Raise UsageError where a last layer is asked for and there are no weights that have one."""
    if request.keep_head is not None and request.kind not in (TORCHVISION, FILE):
        raise UsageError("keep-head", None, "needs weights with a last layer: --init-from or --pretrained")


def of_run(pretrained: object) -> WeightsRequest:
    """Return what a run.json says under ``network.pretrained``, as a request to begin in the same way."""
    if not isinstance(pretrained, Mapping):
        return WeightsRequest()
    kind = str(pretrained.get("kind"))
    value, digest = pretrained.get("name" if kind == TORCHVISION else "source"), pretrained.get("digest", "")
    if kind not in BY_FLAG.values() or not isinstance(value, str) or not isinstance(digest, str):
        return WeightsRequest()
    keep_head = _yes_or_no(pretrained.get("keep_head"))
    if kind == TORCHVISION:
        return WeightsRequest(pretrained=True, weights=value or None, keep_head=keep_head, digest=digest)
    if kind == FILE:
        return WeightsRequest(init_from=value, keep_head=keep_head, digest=digest)
    return WeightsRequest(grow_from=value, digest=digest)


def _name(key: str, origin: str) -> str:
    return f"{origin}: {key}" if origin else SETTINGS[key].name
