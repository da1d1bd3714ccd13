"""Finds the network of a run, in the catalogue or outside it; a person's own is stored first, and kept with the run."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ...models.catalogue import registry
from ...models.catalogue.registry import Variant
from ...models.catalogue.user_code import away_from_stdout
from ...models.own import outside, stored, storing
from ...models.own.stored import Stored
from ..config.run_config import OWN_FOLDER, OwnNetwork

GIVEN_FOLDER = "stored:"
"""Before the folder of a network that Python has stored, in the place of a name."""


@dataclass(frozen=True)
class PlannedNetwork:
    """A network that can be trained: its entry in the catalogue, or what takes the place of one.

    ``own`` is where a person's own network is stored, None for all others.
    """

    variant: Variant
    own: OwnNetwork | None = None

    @property
    def in_catalogue(self) -> bool:
        """Whether it is of the catalogue, so that its stems are known."""
        return not outside.is_outside(self.variant.name)


def find(name: str, folder: Path | None = None) -> PlannedNetwork:
    """Return the network that ``name`` means; ``folder`` is where a run, which is repeated, keeps it. UsageError.

    A ``package.module:callable`` is stored in a folder of this process first, so that what is tried out is what a run
    gets. ``stored:FOLDER`` names a network that Python has stored there.
    """
    if not outside.is_outside(name):
        return PlannedNetwork(registry.find(name))
    if name.startswith(GIVEN_FOLDER):
        folder = Path(name.removeprefix(GIVEN_FOLDER)).absolute()
        what = stored.read(folder)
        name = what.name
    elif folder is not None:
        what = stored.read(folder)
    elif outside.is_own(name):
        folder, what = _store(name)
        name = what.name  # of a file, its module
    else:
        return PlannedNetwork(outside.variant(name))
    return PlannedNetwork(outside.variant(name), OwnNetwork(folder, what.path, what.kind, what.pickled))


def check_stem(network: PlannedNetwork, name: str, stem: str) -> None:
    """UsageError for a stem that is asked of a network with one stem, which ``name`` means."""
    if not network.in_catalogue and stem in ("small", "imagenet"):
        raise UsageError("stem", stem, f"is for networks of the catalogue; {name} has one stem")


def _store(name: str) -> tuple[Path, Stored]:
    """Store what ``package.module:callable`` names in a folder of this process."""
    if name.partition(":")[0] == stored.OWN:
        raise UsageError("network", name, "is the network of a run; `cnn-explorer runs clone ID` trains it anew")
    parent = Path(tempfile.mkdtemp(prefix="cnn-explorer-"))
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    folder = parent / "network"
    with away_from_stdout():
        return folder, storing.store_callable(name, folder)


def named(argv: Sequence[str], name: str) -> list[str]:
    """Return the words of a command with the network's name in the place of the folder where Python stored it."""
    return [name if str(word).startswith(GIVEN_FOLDER) else word for word in argv]


@contextmanager
def kept(own: OwnNetwork | None, run: Path) -> Iterator[None]:
    """Copy a person's network into the directory ``run``, in which a run is made; it is taken away if that fails."""
    target = run / OWN_FOLDER
    try:
        if own is not None:
            shutil.copytree(own.folder, target)
        yield
    except BaseException:
        if own is not None:
            shutil.rmtree(target, ignore_errors=True)
        raise
