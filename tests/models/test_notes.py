"""The notes: complete, filled with computed figures, their diagrams true to the code, their lineage without circles."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from pathlib import Path

import pytest
import torch
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.catalogue import notes, registry
from cnn_explorer.tui.networks import pages
from torch import nn

FAMILIES = [family.name for family in registry.families()]
HEADINGS = (
    "What hurt",
    "The idea in one sentence",
    "How it works",
    "What changed",
    "What it costs",
    "On 28×28 and 32×32",
    "Try it",
    "What came of it",
    "Sources",
)
PRIMITIVES = {"layers", "catalogue.declaration"}


def ancestors(name: str) -> set[str]:
    known = {family.name: family for family in registry.families()}
    found: set[str] = set()
    waiting = list(known[name].builds_on)
    while waiting:
        parent = waiting.pop()
        if parent not in found and parent in known:
            found.add(parent)
            waiting += known[parent].builds_on
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_a_note_answers_every_question_in_order(name: str) -> None:
    family = registry.family(name)
    headings = re.findall(r"^## (.+)$", family.body, re.MULTILINE)
    assert tuple(headings) == HEADINGS
    assert family.authors and family.paper and family.venue and family.tags
    assert "cnn-explorer train" in family.body, "no experiment to run"


@pytest.mark.parametrize("name", FAMILIES)
def test_figures_are_put_in(name: str) -> None:
    text = notes.render(registry.family(name))
    assert "{{" not in text and "}}" not in text


@pytest.mark.parametrize("name", FAMILIES)
def test_links_lead_somewhere(name: str) -> None:
    family = registry.family(name)
    for target in re.findall(r"\]\(([^)#]+\.md)\)", family.body):
        assert (family.note_path.parent / target).resolve().exists(), target


@pytest.mark.parametrize("name", FAMILIES)
def test_lineage_names_older_families_without_circles(name: str) -> None:
    family = registry.family(name)
    for parent in family.builds_on:
        assert registry.family(parent).year <= family.year
    assert name not in ancestors(name)


@pytest.mark.parametrize("name", FAMILIES)
def test_imports_point_to_ancestors(name: str) -> None:
    allowed = ancestors(name) | PRIMITIVES
    tree = ast.parse(registry.family(name).code_path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            assert set(names) <= allowed, f"{names} is no ancestor of {name}"


def layer_words(module: nn.Module) -> list[str]:
    """The convolutions and linear layers of a module as a diagram writes them."""
    words = []
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            kernel = "×".join(map(str, layer.kernel_size))
            depthwise = layer.groups == layer.in_channels and layer.groups > 1
            kind = "depthwise" if depthwise else "conv"
            stride = f"/{layer.stride[0]}" if layer.stride[0] > 1 else ""
            words.append(f"{kind}{kernel}{stride}, {layer.out_channels}")
        elif isinstance(layer, nn.Linear):
            words.append(f"linear {layer.out_features}")
    return sorted(words)


def diagrams(family: registry.Family) -> list[tuple[str, str, str]]:
    """Return the hand-drawn block diagrams of a note as (network, submodule, text)."""
    found = []
    for match in notes.BLOCK.finditer(family.body):
        text = family.body[match.end() : family.body.index("\n```", match.end())]
        found.append((match.group(1), match.group(2), text))
    return found


DIAGRAMS = [(name, *diagram) for name in FAMILIES for diagram in diagrams(registry.family(name))]


@pytest.mark.parametrize(("name", "network", "layer", "text"), DIAGRAMS, ids=[f"{d[1]}-{d[2]}" for d in DIAGRAMS])
def test_diagrams_show_the_layers_of_the_code(name: str, network: str, layer: str, text: str) -> None:
    module = counting.on_meta(lambda: registry.build(network)).get_submodule(layer)
    drawn = re.findall(r"(?:conv|depthwise)\d+×\d+(?:/\d+)?, \d+|linear \d+", text)
    assert sorted(drawn) == layer_words(module)


def test_no_note_without_code_and_no_code_without_note() -> None:
    folder = registry.NOTES.parent.parent / "models"
    code = {path.stem for path in folder.glob("*.py")} - {"__init__", "layers"}
    assert {family.name for family in registry.families()} == code


HAND_WRITTEN = """+++
title = "Tiny"
year = 2020
input = [3, 40, 40]
classes = 7
small = [3, 32, 32]

[variants.tiny]
[variants.tiny_gray]
input = [1, 28, 28]
classes = 10
small = false
"""
BY_THIS_VERSION = """
[counted.paper]
tiny = '1234 56789 stem 8x40x40 234 4000; head 7 1000 52789'
tiny_gray = '99 100 '

[counted.small]
tiny = '1200 5000 stem 8x32x32 200 4000; head 10 1000 1000'
+++
"""
BY_VERSION_0_1_0 = """
[counts.tiny]
parameters = 1234
macs = 56789
stages = 'stem 8x40x40 234 4000; head 7 1000 52789'
[counts.tiny.small]
input = [3, 32, 32]
classes = 10
parameters = 1200
macs = 5000
stages = 'stem 8x32x32 200 4000; head 10 1000 1000'

[counts.tiny_gray]
parameters = 99
macs = 100
stages = ''
+++
"""


@pytest.mark.parametrize("counted", [BY_THIS_VERSION, BY_VERSION_0_1_0])
def test_counts_of_a_note_are_read_as_any_version_wrote_them(tmp_path: Path, counted: str) -> None:
    path = tmp_path / "tiny.md"
    path.write_text(HAND_WRITTEN + counted)
    tiny, gray = registry.read_family(path).variants
    assert (tiny.paper_stem.input, tiny.paper_stem.classes) == ((3, 40, 40), 7)
    assert (tiny.paper_stem.parameters, tiny.paper_stem.macs) == (1234, 56789)
    assert tiny.paper_stem.stages() == [("stem", (8, 40, 40), 234, 4000), ("head", (7,), 1000, 52789)]
    assert tiny.small_stem == registry.StemCounts(
        (3, 32, 32), 10, 1200, 5000, "stem 8x32x32 200 4000; head 10 1000 1000"
    )
    assert gray.small_stem is None and gray.paper_stem == registry.StemCounts((1, 28, 28), 10, 99, 100)


def test_stamping_writes_what_the_catalogue_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note of LeNet without its counts gets them back, letter by letter."""
    monkeypatch.syspath_prepend(str(registry.NOTES.parents[1] / "scripts"))
    import stamp_notes

    note = registry.NOTES / "lenet.md"
    stamped = note.read_text()
    bare = tmp_path / "lenet.md"
    written, _, counted = stamped.partition(stamp_notes.MARKER)
    bare.write_text(written + counted[counted.index(registry.FENCE) :])
    stamp_notes.stamp(bare)
    assert bare.read_text() == stamped


def test_a_note_that_is_none_is_one_clear_line(tmp_path: Path) -> None:
    from cnn_explorer.errors import UsageError

    for text, words in [
        ("no fences", "front matter"),
        ("+++\ntitle = \n+++\nx", "not TOML"),
        ("+++\ntitle = 'x'\n+++\nx", "'year'"),
        ("+++\ntitle = 'x'\nyear = 2000\nvariants = 3\n+++\nx", "cannot be used"),
        ("+++\ntitle = 'x'\nyear = 2000\nvariants.x = {}\ncounted.paper.x = 'many few'\n+++\nx", "cannot be used"),
    ]:
        note = tmp_path / "mine.md"
        note.write_text(text)
        with pytest.raises(UsageError, match=words):
            registry.read_family(note)


PAGES = {page.name: page for page in pages.concepts() if page.name != "glossary"}


@pytest.mark.parametrize("name", PAGES)
def test_concept_pages_are_filled_and_their_links_lead_somewhere(name: str) -> None:
    text = pages.text(PAGES[name])
    assert text.startswith(f"# {PAGES[name].title}\n") and "{{" not in text
    for target in re.findall(r"\]\(([^)#]+\.md)\)", text):
        assert (pages.CONCEPTS / target).resolve().exists(), target


def test_every_concept_has_its_page() -> None:
    assert PAGES.keys() == {path.stem for path in pages.CONCEPTS.glob("*.md")} and len(PAGES) >= 16


def test_the_python_of_the_notes_runs() -> None:
    """Imports, calls of builders and whole examples; the networks are built without values."""
    calls = 0
    for family in registry.families():
        text = notes.render(family)
        variants = "|".join(re.escape(variant.name) for variant in family.variants)
        found = re.findall(rf"`((?:from|import) cnn_explorer[^`\n]+|(?:{variants})\([^`\n]*\))`", text)
        fences = re.findall(r"^```text\n((?:.*\n)*?)```$", text, flags=re.M)
        found += [textwrap.dedent(lines) for lines in fences if "cnn_explorer" in lines]
        names = vars(importlib.import_module(f"cnn_explorer.models.{family.name}")).copy() if found else {}
        for code in found:
            with torch.device("meta"):
                exec(code, names)
            calls += 1
    assert calls >= 8


def test_every_command_in_the_notes_can_be_typed() -> None:
    """The commands that notes and pages offer name networks and data sets that exist."""
    known = {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100"}
    texts = [notes.render(family) for family in registry.families()] + [pages.text(page) for page in PAGES.values()]
    commands = [words.split() for text in texts for words in re.findall(r"cnn-explorer train ([^`\n]+)", text)]
    assert len(commands) > len(texts) // 2
    for words in commands:
        names = words[: next((i for i, word in enumerate(words) if word.startswith("-")), len(words))]
        for name in names:
            registry.find(name)
        if "--dataset" in words:
            data = words[words.index("--dataset") + 1]
            assert data in known or data.startswith("folder:"), words
