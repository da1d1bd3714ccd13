"""scripts/mutants.py: which mistakes it plants, that a seed decides which, and what it writes down of their fate."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = '''
"""A docstring of 3 words."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    row: int = 7
    column: list[int] | None = None


def walk(ways: list[int], far: bool = True, *, steps: int = 2) -> int | None:
    """Not -1."""
    if far and ways is not None:
        ways.append(f"{steps + 1}")
    for way in ways[1:-1]:
        steps += way
        other = max(steps, way)
    return steps * other if other < 4 else ways[0]
'''
EXPECTED = {
    "comparison": ["is not → is", "< → <="],
    "arithmetic": ["+= → -=", "* → /", "-1 → (1)"],
    "boolean": ["and → or"],
    "negated condition": ["far and ways is not None → not (far and ways is not None)", "other < 4 → not (other < 4)"],
    "constant": ["4 → 5", "1 → 2"],
    "default": ["7 → 8", "True → False", "2 → 3"],
    "slice": ["1 → (1) + 1", "-1 → (-1) + 1", "0 → (0) + 1"],
    "removed statement": ['ways.append(f"{steps + 1}") → pass', "steps += way → pass"],
    "swapped arguments": ["steps, way → way, steps"],
    "return value": ["return steps * other if other < 4 else ways[0] → return None"],
}


@pytest.fixture
def mutants(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for name in ("mutants", "mutations"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import mutants

    return mutants


def test_each_kind_of_mistake_is_found_and_nothing_that_cannot_be_noticed(mutants: ModuleType) -> None:
    """Not annotations, docstrings, decorators or what stands in an f-string."""
    found: dict[str, list[str]] = {}
    data = SAMPLE.encode()
    for mutation in mutants.mutations(SAMPLE):
        before = data[mutation.start : mutation.stop].decode().strip()
        found.setdefault(mutation.kind, []).append(f"{before} → {mutation.text.strip()}")
    assert {kind: sorted(texts) for kind, texts in found.items()} == {k: sorted(v) for k, v in EXPECTED.items()}
    assert set(found) == set(mutants.KINDS)


def test_what_is_drawn_compiles_to_another_program(mutants: ModuleType) -> None:
    files = ["models/layers.py", "trainer/loop/train_step.py", "tui/charts/ticks.py"]
    sources = {file: (ROOT / file).read_text() for file in files}
    drawn = mutants.draw(sources, dict.fromkeys(files, ("tests",)), 60, 3)
    assert len(drawn) == 60
    assert {mutant.mutation.kind for mutant in drawn} == set(mutants.KINDS)
    assert {mutant.file for mutant in drawn} == set(files)
    for mutant in drawn:
        changed = mutant.mutation.apply(sources[mutant.file])
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(sources[mutant.file])), mutant
        lines = [text.splitlines() for text in (sources[mutant.file], changed)]
        assert lines[0][: mutant.mutation.line - 1] == lines[1][: mutant.mutation.line - 1], "only one place changes"


def test_the_same_seed_draws_the_same_and_each_only_once(mutants: ModuleType) -> None:
    def keys(count: int, seed: int) -> list:
        return [mutant.key for mutant in mutants.draw({"a.py": SAMPLE}, {"a.py": ("tests",)}, count, seed)]

    assert keys(8, 1) == keys(8, 1) != keys(8, 2)
    assert keys(5, 1) == keys(8, 1)[:5]
    all_of_them = keys(1000, 1)
    assert len(all_of_them) == len({str(key) for key in all_of_them}) == sum(map(len, EXPECTED.values()))


def test_a_mutation_that_is_no_program_or_the_same_one_is_left_out(mutants: ModuleType) -> None:
    source = "for a in b:\n    break\n"
    assert not mutants.differs(mutants.Mutation("constant", 1, 0, 3, "four"), source)
    assert not mutants.differs(mutants.Mutation("constant", 1, 0, 10, "if a"), source), "no loop to break off"
    assert not mutants.differs(mutants.Mutation("constant", 1, 9, 10, "(b)"), source)
    assert mutants.differs(mutants.Mutation("removed statement", 2, 16, 21, "pass"), source)


def test_the_closer_target_decides_which_tests_a_file_gets(mutants: ModuleType) -> None:
    found = mutants.files_of(
        [mutants.target("trainer/bench=tests/trainer/test_bench.py"), mutants.target("trainer=tests")]
    )
    assert found["trainer/bench/run.py"] == ("tests/trainer/test_bench.py",)
    assert found["trainer/loop/train_step.py"] == ("tests",)
    assert list(found) == sorted(found) and "tui/charts/ticks.py" not in found


@pytest.fixture
def project(mutants: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of a few lines, with tests that notice some of its mistakes."""
    root = tmp_path / "checkout"
    (root / "tests").mkdir(parents=True)
    (root / "__init__.py").touch()
    (root / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "--import-mode=importlib"\n')
    (root / "sums.py").write_text(
        "def total(values):\n    left = len(values)\n    found = 0\n    while left > 0:\n        found += values[left - 1]\n"
        "        left -= 1\n    return found\n\n\ndef unused(a):\n    return a + 1\n"
    )
    (root / "tests" / "test_sums.py").write_text(
        "from cnn_explorer.sums import total\n\n\ndef test_total():\n    assert total([1, 2, 4]) == 7\n"
    )
    (root / "tests" / "test_unused.py").write_text(
        "from cnn_explorer.sums import unused\n\n\ndef test_unused():\n    assert unused(1) is not None\n"
    )
    monkeypatch.setattr(mutants, "ROOT", root)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # a quarter of the time: these tests need none
    return root


def run(mutants: ModuleType, project: Path, *words: str) -> None:
    results = project.parent / "results.jsonl"
    common = ["sums.py=tests/test_sums.py", "--results", str(results), "--limit", str(PATIENCE_S)]
    mutants.main([*common, *words])


def test_mutants_die_or_survive_and_a_run_goes_on_where_it_was_interrupted(
    mutants: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (project / "sums.py").read_text()
    drawn = mutants.draw({"sums.py": before}, {"sums.py": ("tests",)}, 100, 4)
    wanted = {"found = 1": "test_total", "return None": "test_unused", "a - 1": ""}
    results = project.parent / "results.jsonl"
    run(mutants, project, "--count", "100", "--seed", "4", "--table")  # begins the file
    lines = results.read_text().splitlines()
    assert len(lines) == 1
    # What is not of interest here counts as tried already, which is also how a run goes on.
    kept = [mutant for mutant in drawn if fate_of(mutant, before, wanted) is not None]
    skipped = [mutant for mutant in drawn if mutant not in kept]
    died = {"died_by": "tests/test_before.py::test_x", "seconds": 1.0}
    with results.open("a") as file:
        for mutant in skipped:
            record = {"key": mutant.key, "file": "sums.py", "line": 1, "kind": "x", "before": "a", "after": "b"}
            file.write(json.dumps(record | {"own": died, "whole": None}) + "\n")
        file.write('{"key": ["torn')
    capsys.readouterr()
    run(mutants, project, "--count", "100", "--seed", "4")
    shown = capsys.readouterr().out
    records = [json.loads(line) for line in results.read_text().splitlines()[1:]]
    assert [record["key"] for record in records] == [mutant.key for mutant in skipped + kept]
    for record, mutant in zip(records[len(skipped) :], kept, strict=True):
        found = record["own"]["died_by"] or record["whole"]["died_by"]
        expected = fate_of(mutant, before, wanted)
        assert expected in found if expected else not found, record
    assert (project / "sums.py").read_text() == before, "the checkout itself is never changed"
    assert f"{len(drawn)} mutants" in shown and shown.count("**survived**") == 1
    assert "`return a + 1` → `return a - 1` | **survived** |" in shown
    with pytest.raises(SystemExit, match="another draw"):
        run(mutants, project, "--count", "100", "--seed", "5")


def fate_of(mutant, source: str, wanted: dict[str, str]) -> str | None:
    """What must come of a mutant: by what it dies, "" where it survives; None where it is not of interest."""
    changed = mutant.mutation.apply(source)
    if "found = 1" in changed:
        return wanted["found = 1"]
    if "a):\n    return None" in changed:
        return wanted["return None"]
    return wanted["a - 1"] if "a - 1" in changed else None


def test_a_mutant_that_never_ends_dies_of_the_time_limit(mutants: ModuleType, project: Path, tmp_path: Path) -> None:
    source = (project / "sums.py").read_text()
    [endless] = [
        mutant
        for mutant in mutants.draw({"sums.py": source}, {"sums.py": ("tests/test_sums.py",)}, 100, 0)
        if mutants.changed_lines(source, mutant.mutation) == ("left -= 1", "pass")
    ]
    (tmp_path / "copy").mkdir()
    scratch = mutants.Scratch(tmp_path / "copy", [])
    options = mutants.parse(["sums.py=tests", "--limit", "2", "--whole", ""])
    assert mutants.try_one(endless, scratch, options)["own"]["died_by"] == "time limit of 2 s"
    assert (scratch.root / "sums.py").read_text() == source


def test_without_a_change_the_tests_must_pass(mutants: ModuleType, project: Path) -> None:
    (project / "tests" / "test_sums.py").write_text("def test_broken():\n    assert False\n")
    with pytest.raises(SystemExit, match=r"does not pass: tests/test_sums.py::test_broken"):
        run(mutants, project, "--count", "1")


def test_the_table_knows_what_nobody_could_notice(mutants: ModuleType, tmp_path: Path) -> None:
    def record(line: int, own: str, whole: str | None, after: str = "b | c") -> dict:
        fates = [None if died is None else {"died_by": died, "seconds": 1.0} for died in (own, whole)]
        change = {"file": "a.py", "line": line, "kind": "constant", "before": "a", "after": after}
        return change | {"own": fates[0], "whole": fates[1]}

    listed = tmp_path / "equivalent.toml"
    listed.write_text('[[equivalent]]\nfile = "a.py"\nkind = "constant"\nbefore = "a"\nafter = "d"\nreason = "why"\n')
    records = [record(1, "t::x", None), record(2, "", "t::y"), record(3, "", ""), record(4, "", "", "d")]
    text = mutants.table(records, mutants.read_equivalent(listed))
    assert "4 mutants: 1 died by the tests of their own folder, 1 by the rest of the suite, 1 are equivalent" in text
    assert "2 of the 3 others died (67 %)." in text
    assert text.splitlines()[-4:] == [
        "| a.py:1 | constant | `a` → `b \\| c` | t::x |",
        "| a.py:2 | constant | `a` → `b \\| c` | t::y (whole suite) |",
        "| a.py:3 | constant | `a` → `b \\| c` | **survived** |",
        "| a.py:4 | constant | `a` → `d` | equivalent: why |",
    ]


def test_every_equivalent_mutant_that_is_listed_is_one_of_today(mutants: ModuleType) -> None:
    """An entry whose line is gone would excuse nothing, and is to be taken out."""
    for (file, kind, before, after), reason in mutants.read_equivalent(mutants.EQUIVALENT).items():
        source = (ROOT / file).read_text()
        changes = [mutants.changed_lines(source, m) for m in mutants.mutations(source) if m.kind == kind]
        assert (before, after) in changes and reason, (file, before)


@pytest.mark.parametrize(
    ("code", "text", "told"),
    [
        (None, "", "time limit of 5 s"),
        (0, "3 passed", ""),
        (1, "FAILED tests/test_a.py::test_b[1] - assert 1 == 2\n", "tests/test_a.py::test_b[1]"),
        (2, "ERROR tests/test_a.py - ImportError\n", "tests/test_a.py"),
        (2, "", "an error while the tests were collected"),
        (-11, "", "pytest ended with exit code -11"),
    ],
)
def test_what_a_mutant_died_by(mutants: ModuleType, code: int | None, text: str, told: str) -> None:
    assert mutants.died_by(code, text, 5) == told
