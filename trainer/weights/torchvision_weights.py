"""torchvision's published ImageNet weights for networks of the catalogue: which there are, their file, what is in it.

Files lie in the cache of torch's hub ($TORCH_HOME/hub/checkpoints), where torchvision keeps them too, so that a file fetched
by either serves both. They are read with ``weights_only=True``; a file fetched here is held against the SHA-256 in its name.
"""

from __future__ import annotations

import os
import pickle
import re
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from ...errors import UsageError, WorkError
from ...models.anatomy import counting
from ...models.anatomy.saved_weights import transplant
from ...models.catalogue import registry
from . import checkpoint

CLASSES = 1000

# torchvision builds these two with transform_input=True when it loads their weights: they come from networks that saw
# (x - 0.5) / 0.5, and the first thing its forward does is to turn ImageNet's normalisation into that one.
HALVES = {"googlenet", "inception_v3"}


@dataclass(frozen=True)
class Published:
    """One set of weights. ``name`` is torchvision's, e.g. "ResNet50_Weights.IMAGENET1K_V2"; ``size`` the side in pixels.

    ``mean`` and ``std`` are those of the images that the network expects, by channel, in 0 … 1.
    """

    model: str
    name: str
    url: str
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def file(self) -> Path:
        """Where the file is or belongs."""
        return Path(torch.hub.get_dir()) / "checkpoints" / os.path.basename(urlparse(self.url).path)


def find(variant: registry.Variant, name: str = "") -> Published:
    """Return the weights ``name`` ("" for torchvision's default ones) of a network.

    UsageError where torchvision has none for it, naming networks that have some, or none of that name.
    """
    if not variant.torchvision:
        raise UsageError("pretrained", variant.name, f"has no published weights in torchvision; {_others(variant)}")
    from torchvision import models as zoo

    known = zoo.get_model_weights(variant.torchvision)
    usable = {entry.name: entry for entry in known if entry.meta.get("categories")}
    wanted = name.rpartition(".")[2] or known["DEFAULT"].name
    if wanted not in usable:
        hint = f"is not a set of weights for {variant.name}; there are {', '.join(usable)}"
        raise UsageError("weights", name, hint)
    entry = usable[wanted]
    view = entry.transforms()
    halves = variant.torchvision in HALVES
    return Published(
        variant.torchvision,
        str(entry),
        entry.url,
        int(view.crop_size[0]),
        (0.5,) * 3 if halves else tuple(view.mean),
        (0.5,) * 3 if halves else tuple(view.std),
    )


def _others(variant: registry.Variant) -> str:
    """Return the networks that have weights: those of the family, else one of each family."""
    having = [other for other in registry.variants().values() if other.torchvision]
    family = [other.name for other in having if other.family == variant.family]
    if family:
        return f"in its family {', '.join(family)} {'has' if len(family) == 1 else 'have'} some"
    firsts = {other.family: other.name for other in reversed(having)}
    return f"these and their like have some: {', '.join(reversed(firsts.values()))}"


def fetch(published: Published, log: Callable[[str], None]) -> None:
    """Return the file, downloaded where it must be. WorkError says which file, where, and how to get it."""
    target = published.file
    if target.is_file():
        return
    log(f"fetching {published.url}")
    found = torch.hub.HASH_REGEX.search(target.name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(
            published.url, str(target), found[1] if found else None, progress=sys.stderr.isatty()
        )
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise WorkError(
            f"{published.name}: {target.name} is not in {target.parent} and cannot be fetched: {reason}; "
            f"get it where there is a network, curl -LO {published.url}, and copy it there"
        ) from None


def pair_up(published: Published, build: Callable[[int], nn.Module], size: int) -> list[transplant.Pair]:
    """Return which tensor of torchvision's network belongs to which of ours, with images of ``size`` pixels a side.

    ``build(classes)`` makes ours; both are run without memory in eval mode, so auxiliary heads have no part in it.
    """
    ours = counting.on_meta(lambda: build(CLASSES)).eval()
    return transplant.pair_up(reference(published, size), ours, torch.empty((1, 3, size, size), device="meta"))


def copy_into(
    network: nn.Module,
    published: Published,
    build: Callable[[int], nn.Module],
    size: int,
    newly_initialised: Collection[str],
) -> None:
    """Copy the published weights into ``network``, but for those ``newly_initialised``. WorkError for an unusable file."""
    values = read(published, size)
    parameters = transplant.named_weights(network)
    with torch.no_grad():
        for pair in pair_up(published, build, size):
            if pair.target not in newly_initialised:
                parameters[pair.target].copy_(values[pair.source].reshape(parameters[pair.target].shape))


def reference(published: Published, size: int) -> nn.Module:
    """Build torchvision's network without memory, in eval mode, for images of ``size`` pixels a side."""
    from torchvision import models as zoo

    options: dict[str, Any] = {"weights": None}
    if published.model in HALVES:
        options |= {"aux_logits": True, "init_weights": False, "transform_input": False}
    if published.model.startswith("vit_"):
        options["image_size"] = size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return counting.on_meta(lambda: zoo.get_model(published.model, **options)).eval()


def read(published: Published, size: int) -> dict[str, Tensor]:
    """Return the parameters and statistics of torchvision's network by name; position tables are stretched to images of
    ``size``.

    WorkError where the file is missing, damaged, or of another network.
    """
    theirs: Any = reference(published, size)
    state = _read_file(published)
    if published.model.startswith("densenet"):
        # Written by an early version, whose layers had a dot in their names; torchvision renames them as well.
        state = {re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", key): value for key, value in state.items()}
    try:
        if published.model.startswith("vit_") and size != published.size:
            from torchvision.models.vision_transformer import interpolate_embeddings

            state = interpolate_embeddings(size, int(theirs.patch_size), OrderedDict(state))
        theirs.load_state_dict(state, assign=True)
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = (str(error).splitlines() or [""])[-1].strip()[:200]
        raise WorkError(f"{published.file}: does not hold torchvision's {published.model}: {reason}") from None
    return transplant.named_weights(theirs)


def _read_file(published: Published) -> Mapping[str, Tensor]:
    """Return the state dict in the file; a damaged file is an error that says to delete it."""
    path = published.file
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise WorkError(f"{published.name}: {path.name} is not in {path.parent}") from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        reason = checkpoint.why_unreadable(error)
        raise WorkError(f"{path}: is damaged, delete it and it is fetched again: {reason}") from None
