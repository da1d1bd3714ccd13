"""The options of `show` and `compare` that say which network is meant, and how its code is run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError, nearest
from .narrate import log

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_IMAGE = 65_536
MOST_CLASSES = 10_000_000
LARGEST_BATCH = 1_000_000
"""Beyond these the numbers of values would no longer fit into 64 bits, and there are no such images."""

Stem = Annotated[
    str | None,
    typer.Option(
        "--stem", metavar="NAME", help="imagenet (the paper's, the default) or small (for images up to 64 pixels)."
    ),
]
Small = Annotated[bool, typer.Option("--small", hidden=True)]


def _count(flag: str, widest: int, words: str) -> Any:
    """Return an option for a number from 1 to ``widest``."""
    return typer.Option(flag, min=1, max=widest, metavar="N", help=words)


ImageSize = Annotated[int | None, _count("--image-size", LARGEST_IMAGE, "Side of the image in pixels.")]
Channels = Annotated[int | None, _count("--channels", LARGEST_IMAGE, "Channels of the image.")]
Classes = Annotated[int | None, _count("--classes", MOST_CLASSES, "Number of classes.")]
Batch = Annotated[int, _count("--batch", LARGEST_BATCH, "Images in a batch, for shapes and memory.")]
Input = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="SHAPE",
        help="Shape of one input without the batch: 3x224x224 an image, 3x16x112x112 a clip, 4x200 a signal, 20 a "
        "vector, 16:int64 whole numbers; again for each further input.",
    ),
]


@contextlib.contextmanager
def their_code(name: str) -> Iterator[None]:
    """Run the code of a network from elsewhere: its prints go to stderr, and one line is told where it runs for long."""
    from ..models.catalogue.user_code import away_from_stdout
    from .long_runs import noted_when_long

    with away_from_stdout(), noted_when_long(name):
        yield


def chosen_stem(stem: str | None, small: bool) -> str:
    """Return the stem that was asked for, and log where ``small``, the earlier name of the option, was given."""
    if small:
        log("--small is now called --stem small")
    from ..models.catalogue.registry import STEMS

    chosen = stem or ("small" if small else "imagenet")
    if chosen not in STEMS:
        raise UsageError("stem", chosen, f"is unknown; {nearest(chosen, STEMS)}")
    return chosen
