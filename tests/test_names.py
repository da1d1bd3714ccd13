"""Names in the code are the field's: words that the project once had for them have not come back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cnn_explorer.errors import counted

ROOT = Path(__file__).resolve().parents[1]
CODE = ("models", "trainer", "tui", "cli", "scripts")
ROOT_FILES = ("api.py", "errors.py", "machine.py", "settings.py", "__init__.py", "__main__.py")

WORDS = {
    "ascent": "SAM",
    "bystander": "null",
    "census": "count_layers",
    "conclude": "infer",
    "concluded": "inferred",
    "dissect": "analyse",
    "distort": "randaugment",
    "form": "stem",
    "forms": "stems",
    "fresh": "newly_initialised",
    "glance": "preview",
    "glances": "previews",
    "judge": "evaluate",
    "judged": "evaluated",
    "keeper": "checkpointer",
    "keeping": "checkpoint policy",
    "meetings": "sync schedule",
    "moments": "channel statistics",
    "onlooker": "null writer",
    "originals": "published sets",
    "picture": "image",
    "pictures": "images",
    "portrait": "summary",
    "reach": "receptive field",
    "say": "log",
    "settle": "resolve",
    "settled": "resolved",
    "shelf": "catalogue list",
    "sharpness": "sam",
    "story": "curve summary",
    "subject": "network spec",
    "tell": "log",
    "teller": "builder",
    "wish": "request",
    "wishes": "config file",
    "worth": "speedup",
}
"""Words that no name holds, and what is said instead."""

WHOLE = {
    *("rest_lr", "taken_over"),
    *("Explorer", "Field", "Figures", "Look", "Means", "Memory", "Moments", "Places", "Start", "Store"),
    *("all_max", "align", "most"),
}
"""Names that are too general to forbid as a part of others."""

TRAINING_FORM = re.compile(
    r"(LaunchForm|FormField(List)?|KeptForms|kept_forms|form_values|_?in_form|_?form(_module)?)$"
)
EXCEPTIONS = {
    "SHARPNESS": "sharpness-aware minimisation is the method's own name",
    "BY_SHARPNESS": "sharpness-aware minimisation is the method's own name",
    "FORMS": "what version 0.1.0 called the stems, still read by `registry.build` and written by `list --json`",
    "Memory": "the memory of one training step, in models/anatomy/totals/memory.py",
}
EXCEPTIONS_IN = {
    ("models/catalogue/registry.py", "form"): "the earlier name of `stem`, which `build` still takes",
    ("models/own/own_files.py", "Store"): "a class of Python's module ast",
}


def names_in(path: Path) -> Iterator[str]:
    """Yield the module's name and every name that its source gives or uses."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.alias):
            yield from filter(None, (node.name.rpartition(".")[2], node.asname))


def words_of(name: str) -> set[str]:
    """Return the words of a name, in lower case: of WindowMeans and window_means window and means."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+", name)}


def old_words(name: str, path: Path) -> set[str]:
    """Return what is wrong with a name."""
    if name in EXCEPTIONS or (TRAINING_FORM.match(name) and path.parts[0] in ("tui", "trainer")):
        return set()
    if (path.as_posix(), name) in EXCEPTIONS_IN:
        return set()
    return (words_of(name) & WORDS.keys()) | ({name} & WHOLE)


@pytest.mark.parametrize("folder", [*CODE, "."])
def test_no_name_has_an_old_word(folder: str) -> None:
    paths = [ROOT / name for name in ROOT_FILES] if folder == "." else sorted((ROOT / folder).rglob("*.py"))
    assert len(paths) > 5
    found = {
        f"{path.relative_to(ROOT)}: {name}: " + ", ".join(WORDS.get(word, "another word") for word in old)
        for path in paths
        for name in names_in(path)
        if (old := old_words(name, path.relative_to(ROOT)))
    }
    assert sorted(found) == []


@pytest.mark.parametrize(
    "source",
    [
        "paper_form = 1",
        "x.small_form",
        "class NativeForm: ...",
        "def judge(): ...",
        "f(rest_lr=1)",
        "def f(wishes): ...",
        "import keeper",
        "class StoryTail: ...",
        "group.align()",
    ],
)
def test_an_old_word_is_found_wherever_a_name_can_stand(source: str, tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text(source, encoding="utf-8")
    assert [old for name in names_in(path) if (old := old_words(name, Path("models/some.py")))]


def test_a_count_as_text_is_one_function() -> None:
    """`quantity` with a dash for none is the catalogue's; how many there are of a thing is `errors.counted`."""
    found = [
        path.relative_to(ROOT).as_posix()
        for path in (*(path for folder in CODE for path in (ROOT / folder).rglob("*.py")), ROOT / "errors.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.strip("_") in ("count_text", "counted")
    ]
    assert sorted(found) == ["errors.py", "models/catalogue/notes.py"]
    assert [counted(number, "run") for number in (0, 1, 2, 61_706)] == ["0 runs", "1 run", "2 runs", "61,706 runs"]


def test_images_are_called_images() -> None:
    """The old word stands in quotations alone: an origin of a value in JSON, and titles of papers and files."""
    paths = [path for folder in (*CODE, "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
    lines = [
        line for path in paths for line in path.read_text(encoding="utf-8").splitlines() if "picture" in line.lower()
    ]
    assert len(lines) <= 40


def test_macs_have_one_name() -> None:
    """A paper's own words in what it published, and those of torchinfo's table, stay as they are."""
    paths = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*.py"))]
    paths += [ROOT / name for name in ROOT_FILES] + sorted((ROOT / "docs").rglob("*.md")) + [ROOT / "README.md"]
    quotations = {"tui/runs/comparison.py", "tui/networks/torchinfo_text.py", "docs/zoo.md", "docs/glossary.md"}
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in paths
        if path.relative_to(ROOT).as_posix() not in quotations
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"(multiply|mult)[- ]adds?\b", line, re.IGNORECASE) and not line.startswith("published = ")
    ]
    assert found == []
