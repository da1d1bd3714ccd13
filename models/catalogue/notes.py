"""The notes as a person reads them: figures are put in from the counted front matter, so that none is typed by hand.

In the body of a note
  {{params NAME}} {{params NAME small}} {{params NAME exact}}   11.7 M, with the small stem, 11,689,512
  {{macs NAME}} {{macs NAME small}} {{macs NAME exact}}         MACs of one image: 1.81 G
  {{ratio params A B}} {{ratio macs A B}}                        A divided by B: 22
  {{share params NAME STAGE …}} {{share macs NAME STAGE …}}      part of declared stages together: 75 %
  {{stages NAME}} {{stages NAME small}}                          table of the stages: shape, parameters, work
  {{variants}}                                                  table of the family's variants
A fenced block ```block NAME LAYER is a hand-drawn diagram of one submodule; a test holds the layers it names against the
code. It is shown as plain text. Links between notes are written [ResNet](resnet.md) and [concept](../concepts/page.md).
"""

from __future__ import annotations

import re

from ...errors import UsageError
from . import registry
from .share_text import share_text

MACRO = re.compile(r"\{\{([^{}]+)\}\}")
BLOCK = re.compile(r"^```block (\S+) (\S+)$", re.MULTILINE)


TERA = 0.9995e12
"""From here on three figures of gigabytes are not enough."""


def quantity(value: float) -> str:
    """Return a count in three figures with its unit, as the papers print it: 61.7 k, 11.7 M, 1.81 G."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            scaled = value / size
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f} {unit}"
    return f"{value:.0f}"


def memory_text(size: float) -> str:
    """Return bytes in three figures, in powers of ten: 17.7 TB, 4.60 GB, 262 kB, 512 B."""
    text = quantity(size) if size < TERA else quantity(size / 1000).replace("G", "T")
    return f"{text}B" if " " in text else f"{text} B"


def count_text(count: int) -> str:
    """Return a count that the catalogue has, as :func:`quantity`; "–" where the note was not stamped."""
    return quantity(count) if count else "–"


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as text: (64, 56, 56) as 64×56×56."""
    return "×".join(map(str, shape))


def render(family: registry.Family) -> str:
    """Return the Markdown of a note with all figures put in; UsageError names a macro that cannot be read."""
    return BLOCK.sub("```text", fill(family.body, family.note_path.name, family))


def fill(text: str, file_name: str, family: registry.Family | None) -> str:
    """Replace the macros of ``text``; ``family`` is what {{variants}} speaks of, None on concept pages."""

    def put_in(match: re.Match[str]) -> str:
        words = match.group(1).split()
        try:
            return _MACROS[words[0]](family, *words[1:])
        except (KeyError, TypeError, ValueError, StopIteration, AttributeError) as error:
            raise UsageError("note", match.group(0), f"cannot be filled in {file_name}: {error}") from None

    return MACRO.sub(put_in, text)


def _count(name: str, what: str, stem: str = "imagenet") -> int:
    counts = registry.find(name).counts(stem)
    return {"params": counts.parameters, "macs": counts.macs}[what]


def _figure(what: str, name: str, *how: str) -> str:
    value = _count(name, what, "small" if "small" in how else "imagenet")
    return f"{value:,}" if "exact" in how else quantity(value)


def _ratio(_: registry.Family | None, what: str, first: str, second: str) -> str:
    ratio = _count(first, what) / _count(second, what)
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"


def _share(_: registry.Family | None, what: str, name: str, *stages: str) -> str:
    counts = registry.find(name).counts("small" if "small" in stages else "imagenet")
    rows = {stage: {"params": parameters, "macs": macs}[what] for stage, _, parameters, macs in counts.stages()}
    part = sum(rows[stage] for stage in stages if stage != "small")
    return share_text(part / sum(rows.values()))


def _stages(_: registry.Family | None, name: str, stem: str = "imagenet") -> str:
    counts = registry.find(name).counts(stem)
    lines = ["| stage | output | parameters | MACs |", "|---|---|---:|---:|"]
    lines.append(f"| image | {shape_text(counts.input)} | | |")
    for stage, shape, parameters, macs in counts.stages():
        lines.append(f"| {stage} | {shape_text(shape)} | {quantity(parameters)} | {quantity(macs)} |")
    return "\n".join(lines)


def _variants(family: registry.Family) -> str:
    lines = [
        "| network | image | parameters | MACs | small stem | published |",
        "|---|---|---:|---:|---:|---|",
    ]
    for variant in family.variants:
        paper, small = variant.paper_stem, variant.small_stem
        small_text = f"{count_text(small.parameters)} / {count_text(small.macs)}" if small else "the same"
        published = ", ".join(f"{key} {value}" for key, value in variant.published.items())
        lines.append(
            f"| {variant.name} | {shape_text(paper.input)} | {count_text(paper.parameters)} | {count_text(paper.macs)} "
            f"| {small_text} | {published} |"
        )
    return "\n".join(lines)


_MACROS = {
    "params": lambda family, name, *how: _figure("params", name, *how),
    "macs": lambda family, name, *how: _figure("macs", name, *how),
    "ratio": _ratio,
    "share": _share,
    "stages": _stages,
    "variants": _variants,
}
