"""The pages: their links lead somewhere, the options they name exist, every option is told somewhere, examples work."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from cnn_explorer.cli import main
from cnn_explorer.models.anatomy.outside import external
from cnn_explorer.models.catalogue import registry

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(DOCS.glob("*.md")),
    *sorted((DOCS / "concepts").glob("*.md")),
]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page: lower case, spaces to hyphens, other marks dropped."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_a_file_and_to_a_heading_in_it(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[page]):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), target
        assert not anchor or anchor in anchors(goal.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("name", NAMES)
def test_brackets_beside_each_other_are_a_link_that_the_page_defines(name: str) -> None:
    """Markdown reads ``[A1] [B2]`` as a link to B2, and `mkdocs build --strict` stops at one that leads nowhere."""
    text = re.sub(r"^```.*?^```|`[^`\n]+`", "", TEXTS[ROOT / name], flags=re.S | re.M)
    named = re.findall(r"\[[^\[\]\n]+\] ?\[([^\[\]\n]+)\]", text)
    assert [target for target in named if f"\n[{target}]: " not in text] == []


FOLDERS = ("cli", "models", "trainer", "tui", "scripts", "tests")
SOURCES = {
    path.relative_to(ROOT): path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")))
}
WORDS = {word for text in SOURCES.values() for word in re.findall(r"\w+", text)}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "CHANGELOG.md"])
def test_files_and_names_of_the_code_that_a_page_mentions_exist(name: str) -> None:
    """``trainer/optim/sam.py`` by its path, or the end of it, and the last part of ``sam.SAM``."""
    quoted = set(re.findall(r"`([^`\n]+)`", TEXTS[ROOT / name]))
    paths = [words for words in quoted if re.fullmatch(r"[\w/]+/\w+\.py", words) and "NAME" not in words]
    assert [path for path in paths if not any(f"/{known.as_posix()}".endswith(f"/{path}") for known in SOURCES)] == []
    dotted = [words for words in quoted if re.fullmatch(r"[a-z_]+(\.[A-Za-z_]+)+(\(\))?", words)]
    files = (".py", ".md", ".pt", ".json", ".jsonl", ".toml", ".log", ".csv", ".pkl")
    assert [one for one in dotted if not one.endswith(files) and one.rstrip("()").split(".")[-1] not in WORDS] == []


LONGEST = 120


def breakable(line: str) -> bool:
    """Whether a line could be shorter: it is no row of a table, and has a space outside links before its end."""
    text = re.sub(r"\]\([^)]*\)", "]()", line)
    return not line.startswith("|") and len(text) > LONGEST


@pytest.mark.parametrize("name", NAMES)
def test_lines_are_at_most_120_characters(name: str) -> None:
    assert [line for line in TEXTS[ROOT / name].splitlines() if breakable(line)] == []


@pytest.mark.parametrize("path", sorted((DOCS / "examples").glob("*.ipynb")), ids=lambda path: path.stem)
def test_lines_of_a_notebook_are_at_most_120_characters(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = [line.rstrip("\n") for cell in cells for line in cell["source"]]
    assert len(lines) > 20 and [line for line in lines if len(line) > LONGEST] == []


def test_the_readme_sets_up_in_two_commands() -> None:
    """One installs and trains, one installs for development and tests; pipx and uv are named beside venv."""
    text = TEXTS[ROOT / "README.md"]
    assert len(re.findall(r"^python3 -m venv", text, flags=re.M)) == 2
    assert text.count("'.[test]'") == 1
    assert "pipx" in text and "uv " in text


SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_the_site_has_every_page_in_its_navigation() -> None:
    """Three pages lie in the root of the repository, one is made from the docstrings; all others lie in docs/."""
    navigation = re.findall(r"^ +- (?:[^:\n]+: )?(\S+\.md)$", SITE.partition("\nnav:\n")[2], flags=re.M)
    files = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    assert sorted(navigation) == sorted([*files, "index.md", "changelog.md", "contributing.md", "interface.md"])


def test_the_page_of_the_interface_has_every_public_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """mkdocstrings fails on a name that it does not find, so that the strict build tells the rest."""
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import site_hooks
    from cnn_explorer import api

    named = re.findall(r"^::: cnn_explorer\.api\.(\w+)$", site_hooks.interface(), flags=re.M)
    assert sorted(named) == sorted(api.__all__)


@pytest.mark.parametrize(
    ("link", "passes"),
    [("data.md#folders", True), ("data.md#nowhere", False), ("data", False), ("nowhere.md", False)],
)
def test_the_site_is_not_built_with_a_dead_link(tmp_path: Path, link: str, passes: bool) -> None:
    """The validation of mkdocs.yml on two small pages."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    pytest.importorskip("material")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Home\n\n[link]({link})\n")
    (tmp_path / "docs" / "data.md").write_text("# Data\n\n## Folders\n")
    settings = re.sub(r"^hooks:.*\n", "", SITE.partition("\nnav:\n")[0], flags=re.M)
    (tmp_path / "mkdocs.yml").write_text(settings + "\nnav:\n  - index.md\n  - data.md\n")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == passes, done.stderr


def commands(command: Any, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], set[str]]:
    """The options of every command, by the words that call it."""
    own = {name for option in command.params for name in (*option.opts, *option.secondary_opts) if name[0] == "-"}
    found = {words: own | {"-h", "--help"}}
    for name, below in getattr(command, "commands", {}).items():
        found |= commands(below, (*words, name))
    return found


COMMANDS = commands(typer.main.get_command(main.app))


def typed(text: str) -> list[list[str]]:
    """The words after ``cnn-explorer`` of each command in a page, in fences and between back-ticks, without comments."""
    found = re.findall(r"cnn-explorer((?: [^`\n]*)?)", text) + re.findall(r"-m cnn_explorer((?: [^`\n]*)?)", text)
    return [re.split(r"\s{3,}|\s#|;|&&", words.replace("\\\n", " ").strip())[0].split() for words in found]


@pytest.mark.parametrize("name", NAMES)
def test_commands_in_a_page_have_options_that_exist(name: str) -> None:
    for words in typed(TEXTS[ROOT / name]):
        called: tuple[str, ...] = ()
        while len(called) < len(words) and (*called, words[len(called)]) in COMMANDS:
            called = (*called, words[len(called)])
        known = COMMANDS[called] | (COMMANDS[("train",)] if called == ("runs", "clone") else set())
        options = {word.partition("=")[0].rstrip(".,:)") for word in words if re.match(r"--?[a-z]", word)}
        assert options <= known, (words, options - known)


def test_every_option_is_told_in_a_page() -> None:
    """A switch with an opposite needs one of the two names."""
    told = {"--help", "--version"} | set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", " ".join(TEXTS.values())))
    untold = []

    def look(command: Any, words: str) -> None:
        for option in command.params:
            names = {name for name in (*option.opts, *option.secondary_opts) if name[0] == "-"}
            if names and not names & told and not getattr(option, "hidden", False):
                untold.append(f"{words} {'/'.join(sorted(names))}")
        for name, below in getattr(command, "commands", {}).items():
            look(below, f"{words} {name}")

    look(typer.main.get_command(main.app), "cnn-explorer")
    assert not untold


def test_the_network_of_the_page_can_be_shown_and_is_marked_as_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = TEXTS[DOCS / "networks.md"]
    code, note = re.findall(r"```(?:python)?\n(from .*?|\+\+\+.*?)```", text, flags=re.S)
    (tmp_path / "tiny.py").write_text(code)
    (tmp_path / "tiny.md").write_text(note.replace("[variants.tiny]", "small = [3, 32, 32]\n[variants.tiny]"))
    monkeypatch.setenv("CNN_EXPLORER_MODELS", str(tmp_path))
    registry.forget()
    try:
        variant = registry.find("tiny")
        assert variant.small_stem is not None and variant.small_stem.input == (3, 32, 32)
        tree = external.anatomy_of(external.network_spec("tiny"))
        assert tree.parameters == 16 * 10 + 32 * 145 + 10 * 513
        main.app(["list", "--sort", "params"], standalone_mode=False)
        row = next(line for line in capsys.readouterr().out.splitlines() if "tiny " in line)
        assert "–" in row and " 0 " not in row
        main.app(["show", "tiny", "--note"], standalone_mode=False)
        assert capsys.readouterr().out.rstrip().endswith("What it is for.")
    finally:
        registry.forget()
