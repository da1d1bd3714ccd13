"""The catalogue: what architectures there are, read from the notes' front matter in milliseconds and without torch.

An architecture is a pair of files, ``models/NAME.py`` and ``docs/architectures/NAME.md``. The note begins with TOML
between two lines ``+++``; the code is imported only when a network is built. A user's own folder of such pairs (setting
``models``) is read in the same way.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ... import settings
from ...errors import UsageError, nearest, nearest_or_all, with_article
from . import user_code

if TYPE_CHECKING:
    from torch import nn

MODELS = Path(__file__).resolve().parents[1]
NOTES = MODELS.parent / "docs" / "architectures"
FENCE = "+++"


STEMS = ("imagenet", "small")
"""The stem of the paper, and the one for small images. A network that was made for small images has one stem only."""

FORMS = {"paper": "imagenet", "small": "small"}
"""The stems as version 0.1.0 called them: in `build`, and in the JSON of `list` and `show` to this day."""


@dataclass(frozen=True)
class StemCounts:
    """What a variant counts with one of its stems: ``input`` is (channels, height, width).

    ``parameters`` is 0, and so are ``macs``, where nobody has counted them: in a note that was not stamped.
    """

    input: tuple[int, int, int]
    classes: int
    parameters: int
    macs: int
    stages_text: str = ""

    def stages(self) -> list[tuple[str, tuple[int, ...], int, int]]:
        """Return the rows (name, output shape, parameters, MACs) of the declared stages, in order."""
        rows = []
        for row in filter(None, self.stages_text.split("; ")):
            name, shape, parameters, macs = row.rsplit(" ", 3)
            rows.append((name, tuple(int(n) for n in shape.split("x")), int(parameters), int(macs)))
        return rows


@dataclass(frozen=True)
class Variant:
    """One network that can be built by name.

    ``small_stem`` is that for 28×28 and 32×32 images, where it has one. ``torchvision`` is the name under which
    torchvision publishes ImageNet weights that fit its paper's stem, "" where it publishes none.
    """

    name: str
    title: str
    family: str
    year: int
    paper_stem: StemCounts
    small_stem: StemCounts | None
    published: dict[str, Any]
    recipe: dict[str, Any]
    tags: tuple[str, ...]
    torchvision: str = ""

    def counts(self, stem: str | None) -> StemCounts:
        """Return the counts with a stem, "imagenet" or "small"; a network with one stem has one answer for both."""
        return self.small_stem if stem == "small" and self.small_stem is not None else self.paper_stem


@dataclass(frozen=True)
class Family:
    """One note: the citation, what it builds on, its variants and how they deviate from the paper."""

    name: str
    title: str
    year: int
    authors: str
    venue: str
    paper: str
    arxiv: str
    builds_on: tuple[str, ...]
    aliases: dict[str, str]
    tags: tuple[str, ...]
    deviations: tuple[str, ...]
    variants: tuple[Variant, ...]
    note_path: Path
    code_path: Path
    body: str = field(repr=False, default="")
    named_canonical: str = ""

    @property
    def canonical(self) -> Variant:
        """The variant that stands for the family: the one that its note names so, or that its name is an alias of, else
        the first that is no nano variant, which is this program's own.
        """
        named = (self.named_canonical, self.aliases.get(self.name))
        found = [variant for variant in self.variants if variant.name in named]
        papers = [variant for variant in self.variants if "nano" not in variant.tags]
        return next(iter([*sorted(found, key=lambda variant: named.index(variant.name)), *papers, *self.variants]))


def split_note(text: str, path: Path) -> tuple[str, str]:
    """Split a note into front matter (TOML text) and Markdown body; UsageError where the fences are missing."""
    parts = text.split(FENCE + "\n", 2)
    if len(parts) != 3 or parts[0].strip():
        raise UsageError("note", str(path), "must begin with TOML front matter between two lines '+++'")
    return parts[1], parts[2].lstrip("\n")


def _counts(head: dict[str, Any], name: str, stem: str, shape: list[int], classes: int) -> StemCounts:
    """Return what a note counts for a variant with its "paper" or "small" stem.

    It says so in one string, because parsing tables takes long. Version 0.1.0 wrote a table ``counts`` for each variant.
    """
    line = head.get("counted", {}).get(stem, {}).get(name)
    if line is not None:
        parameters, macs, *stages = line.split(" ", 2)
        return StemCounts((shape[0], shape[1], shape[2]), classes, int(parameters), int(macs), *stages)
    counts = head.get("counts", {}).get(name, {})
    counts = counts.get("small", {}) if stem == "small" else counts
    shape = counts.get("input", shape)
    return StemCounts(
        (shape[0], shape[1], shape[2]),
        counts.get("classes", classes),
        counts.get("parameters", 0),
        counts.get("macs", 0),
        counts.get("stages", ""),
    )


def _variant(name: str, row: dict[str, Any], head: dict[str, Any], family: str) -> Variant:
    shape = row.get("input", head.get("input", [3, 224, 224]))
    classes = row.get("classes", head.get("classes", 1000))
    small = row.get("small", head.get("small"))
    return Variant(
        name=name,
        title=row.get("title", name),
        family=family,
        year=row.get("year", head["year"]),
        paper_stem=_counts(head, name, "paper", shape, classes),
        small_stem=_counts(head, name, "small", small, 10) if small else None,
        published=row.get("published", {}),
        recipe={**head.get("recipe", {}), **row.get("recipe", {})},
        tags=tuple(head.get("tags", ())) + tuple(row.get("tags", ())),
        torchvision=head.get("torchvision", {}).get(name, ""),
    )


def read_family(path: Path) -> Family:
    """Read one note. UsageError names the file and the key that is missing or wrong."""
    try:
        front, body = split_note(path.read_text(encoding="utf-8"), path)
        head = tomllib.loads(front)
        return Family(
            name=path.stem,
            title=head["title"],
            year=head["year"],
            authors=head.get("authors", ""),
            venue=head.get("venue", ""),
            paper=head.get("paper", ""),
            arxiv=head.get("arxiv", ""),
            builds_on=tuple(head.get("builds_on", ())),
            aliases=dict(head.get("aliases", {})),
            tags=tuple(head.get("tags", ())),
            deviations=tuple(head.get("deviations", ())),
            variants=tuple(_variant(name, row, head, path.stem) for name, row in head["variants"].items()),
            note_path=path,
            code_path=_code_path(path),
            body=body,
            named_canonical=head.get("canonical", ""),
        )
    except KeyError as error:
        raise UsageError("note", str(path), f"lacks the key {error.args[0]!r} in its front matter") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError("note", str(path), f"has front matter that is not TOML: {error}") from None
    except (TypeError, ValueError, AttributeError, UnicodeDecodeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError("note", str(path), f"has front matter that cannot be used: {error}") from None


def _code_path(note: Path) -> Path:
    if note.parent == NOTES:
        return MODELS / f"{note.stem}.py"
    return note.with_suffix(".py")


@cache
def families() -> tuple[Family, ...]:
    """Return every architecture, oldest first; the user's own folder of pairs included."""
    notes = sorted(NOTES.glob("*.md"))
    own = settings.models_folder()
    if own is not None:
        if not own.is_dir():
            raise UsageError("models", str(own), "is not a folder; it should hold pairs NAME.py and NAME.md")
        notes += sorted(own.glob("*.md"))
    found = [read_family(note) for note in notes]
    seen: dict[str, Path] = {}
    for family in found:
        for name in (family.name, *(variant.name for variant in family.variants if variant.name != family.name)):
            if seen.setdefault(name, family.note_path) != family.note_path:
                raise UsageError("models", name, f"is the name of a network in {seen[name]} already")
    return tuple(sorted(found, key=lambda family: (family.year, family.name)))


@cache
def variants() -> dict[str, Variant]:
    """Return every network by name, in the order of the catalogue."""
    return {variant.name: variant for family in families() for variant in family.variants}


def tagged(tag: str | None, field: str) -> list[Variant]:
    """The networks with ``tag``, oldest first; all for None. UsageError about ``field`` for a tag that none has."""
    tags = {name for variant in variants().values() for name in variant.tags}
    if tag is not None and str(tag) not in tags:
        raise UsageError(field, tag, f"is not the tag of any network; {nearest_or_all(str(tag), sorted(tags))}")
    return [variant for variant in variants().values() if tag is None or tag in variant.tags]


NAMES_THEM_ALL = "`cnn-explorer list` names them all"


@cache
def _aliases() -> dict[str, str]:
    names: dict[str, str] = {}
    for family in families():
        names |= {**family.aliases, family.name: family.canonical.name}
    return names | {name: name for name in variants()}


def family(name: str) -> Family:
    """Return the family of that name; UsageError with the nearest name on a miss."""
    by_name = {family.name: family for family in families()}
    if name not in by_name:
        raise UsageError("architecture", name, f"is unknown; {nearest(name, by_name)}")
    return by_name[name]


def find(name: str) -> Variant:
    """Return the network that a person means: exact name, alias or family name; case and hyphens do not matter."""
    plain = name.strip().lower().replace("-", "_")
    known = _aliases()
    for candidate in (plain, plain.replace("_", "")):
        if candidate in known:
            return variants()[known[candidate]]
    hint = ("is unknown;", nearest(plain, known), NAMES_THEM_ALL)
    raise UsageError("network", name, " ".join(filter(None, hint)))


def comes_with_the_program(name: str) -> bool:
    """Return whether the network called ``name`` is one of the program's own, not of the user's folder; UsageError as
    `find`.

    Names with a colon are those of networks from outside the catalogue.
    """
    return ":" not in name and family(find(name).family).note_path.parent == NOTES


def module(name: str) -> ModuleType:
    """Import the model file of a family (this is where torch comes in)."""
    found = family(name)
    if found.note_path.parent == NOTES:
        return importlib.import_module(f"...models.{name}", __package__)
    qualified = f"cnn_explorer_user.{name}"
    if qualified not in sys.modules:
        spec = importlib.util.spec_from_file_location(qualified, found.code_path)
        if spec is None or spec.loader is None or not found.code_path.exists():
            raise UsageError("models", str(found.code_path), "is missing beside its note")
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[qualified] = loaded
        try:
            with user_code.one_line(str(found.code_path), "cannot be imported", field="models"):
                spec.loader.exec_module(loaded)
        except BaseException:
            del sys.modules[qualified]
            raise
    return sys.modules[qualified]


def build(
    name: str,
    *,
    stem: str | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    **options: Any,
) -> nn.Module:
    """Build a network by name.

    ``stem`` "imagenet", also taken for None, has the size and the classes of the paper, "small" is for 28×28 and 32×32
    images (networks that were made for such images have only one). Arguments given replace these values. ``options`` go
    to the builder as they are; ``form`` among them is the earlier name of ``stem`` (`FORMS`). UsageError for an unknown
    name or stem, ValueError from the model file for values it cannot take.
    """
    variant = find(name)
    if "form" in options:
        form = options.pop("form")
        stem = FORMS.get(form, form)
    given = {"num_classes": num_classes, "in_channels": in_channels, "image_size": image_size}
    return build_variant(variant, stem=stem, **given, **options)


def build_variant(
    variant: Variant,
    *,
    stem: str | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    **options: Any,
) -> nn.Module:
    """Build a network of the catalogue that has been found already, as `build` does."""
    if stem not in (None, *STEMS):
        raise UsageError("stem", stem, f"is unknown; choose one of {', '.join(STEMS)}")
    defaults = variant.counts(stem)
    if stem == "small" and variant.small_stem is not None:
        options.setdefault("stem", "small")
    code = module(variant.family)
    builder = getattr(code, variant.name, None)
    if builder is None:
        raise UsageError("models", variant.name, f"is in the note but has no builder in {code.__file__}")
    options["num_classes"] = defaults.classes if num_classes is None else num_classes
    options["in_channels"] = defaults.input[0] if in_channels is None else in_channels
    options["image_size"] = defaults.input[1] if image_size is None else image_size
    return builder(**options) if comes_with_the_program(variant.name) else _built_by_user(variant, builder, options)


def _built_by_user(variant: Variant, builder: Callable[..., Any], options: dict[str, Any]) -> nn.Module:
    """Build a network of the user's own folder, whose builder may do anything. UsageError with its file and line."""
    with user_code.one_line(variant.name, "cannot be built", builder):
        made = builder(**options)
    if not hasattr(made, "named_modules"):  # asked without torch
        where = user_code.place_of(builder)
        hint = f"made {with_article(type(made).__name__)}, not a torch.nn.Module"
        raise UsageError("network", variant.name, f"{hint} ({where})" if where else hint)
    return made


def forget() -> None:
    """Drop what was read, so that a changed setting, note or model file of a person is seen (tests, the app's reload)."""
    for name in [name for name in sys.modules if name.startswith("cnn_explorer_user.")]:
        del sys.modules[name]
    families.cache_clear()
    variants.cache_clear()
    _aliases.cache_clear()
