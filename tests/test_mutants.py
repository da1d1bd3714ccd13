"""scripts/mutants.py: which mistakes it plants, that a seed decides which, and what it writes down of their fate."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest
from support.patience import PATIENCE_S

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import mutant_copy
import mutant_draw
import mutant_probes
import mutant_results
import mutant_tests
import mutants
import mutations

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


def test_each_kind_of_mistake_is_found_and_nothing_that_cannot_be_noticed() -> None:
    """Not annotations, docstrings, decorators or what stands in an f-string."""
    found: dict[str, list[str]] = {}
    data = SAMPLE.encode()
    for mutation in mutations.mutations(SAMPLE):
        before = data[mutation.start : mutation.stop].decode().strip()
        found.setdefault(mutation.kind, []).append(f"{before} → {mutation.text.strip()}")
    assert {kind: sorted(texts) for kind, texts in found.items()} == {k: sorted(v) for k, v in EXPECTED.items()}
    assert set(found) == set(mutations.KINDS)


def test_what_is_drawn_compiles_to_another_program() -> None:
    files = ["models/layers.py", "trainer/loop/train_step.py", "tui/charts/ticks.py"]
    sources = {file: (ROOT / file).read_text() for file in files}
    drawn = mutant_draw.draw(sources, dict.fromkeys(files, ("tests",)), 60, 3)
    assert len(drawn) == 60
    assert {mutant.mutation.kind for mutant in drawn} == set(mutations.KINDS)
    assert {mutant.file for mutant in drawn} == set(files)
    for mutant in drawn:
        changed = mutant.mutation.apply(sources[mutant.file])
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(sources[mutant.file])), mutant
        lines = [text.splitlines() for text in (sources[mutant.file], changed)]
        assert lines[0][: mutant.mutation.line - 1] == lines[1][: mutant.mutation.line - 1], "only one place changes"


def test_the_same_seed_draws_the_same_and_each_only_once() -> None:
    def keys(count: int, seed: int) -> list:
        return [mutant.key for mutant in mutant_draw.draw({"a.py": SAMPLE}, {"a.py": ("tests",)}, count, seed)]

    assert keys(8, 1) == keys(8, 1) != keys(8, 2)
    assert keys(5, 1) == keys(8, 1)[:5]
    all_of_them = keys(1000, 1)
    assert len(all_of_them) == len({str(key) for key in all_of_them}) == sum(map(len, EXPECTED.values()))


def test_a_mutation_that_is_no_program_or_the_same_one_is_left_out() -> None:
    source = "for a in b:\n    break\n"
    assert not mutations.differs(mutations.Mutation("constant", 1, 0, 3, "four"), source)
    assert not mutations.differs(mutations.Mutation("constant", 1, 0, 10, "if a"), source), "no loop to break off"
    assert not mutations.differs(mutations.Mutation("constant", 1, 9, 10, "(b)"), source)
    assert mutations.differs(mutations.Mutation("removed statement", 2, 16, 21, "pass"), source)


def test_the_closer_target_decides_which_tests_a_file_gets() -> None:
    found = mutant_draw.files_of(
        ROOT,
        [mutant_draw.target(ROOT, text) for text in ("trainer/bench=tests/trainer/test_bench.py", "trainer=tests")],
    )
    assert found["trainer/bench/run.py"] == ("tests/trainer/test_bench.py",)
    assert found["trainer/loop/train_step.py"] == ("tests",)
    assert list(found) == sorted(found) and "tui/charts/ticks.py" not in found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
        "import subprocess\nimport sys\n\n\ndef test_unused():\n"
        "    words = 'from cnn_explorer.sums import unused; assert unused(1) is not None'\n"
        "    subprocess.run([sys.executable, '-c', words], check=True)\n"
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # a quarter of the time: these tests need none
    return root


def run(project: Path, *words: str) -> None:
    results = project.parent / "results.jsonl"
    common = ["sums.py=tests/test_sums.py", "--results", str(results), "--limit", str(PATIENCE_S), "--preload", ""]
    mutants.main([*common, *words], project)


def test_mutants_die_or_survive_and_a_run_goes_on_where_it_was_interrupted(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (project / "sums.py").read_text()
    drawn = mutant_draw.draw({"sums.py": before}, {"sums.py": ("tests",)}, 100, 4)
    wanted = {"found = 1": "test_total", "return None": "test_unused", "a - 1": ""}
    results = project.parent / "results.jsonl"
    run(project, "--count", "100", "--seed", "4", "--table")  # begins the file
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
    run(project, "--count", "100", "--seed", "4")
    shown = capsys.readouterr().out
    lines = [json.loads(line) for line in results.read_text().splitlines()[1:]]
    assert [record["key"] for record in lines[: len(drawn)]] == [mutant.key for mutant in skipped + kept]
    records = {json.dumps(record["key"]): record for record in lines}
    for mutant in kept:
        record = records[json.dumps(mutant.key)]
        found = record["own"]["died_by"] or record["whole"]["died_by"]
        expected = fate_of(mutant, before, wanted)
        assert expected in found if expected else not found, record
    assert (project / "sums.py").read_text() == before, "the checkout itself is never changed"
    assert f"{len(drawn)} mutants" in shown and shown.count("**survived**") == 1
    assert "`return a + 1` → `return a - 1` | **survived** |" in shown
    with pytest.raises(SystemExit, match="another draw"):
        run(project, "--count", "100", "--seed", "5")


def fate_of(mutant, source: str, wanted: dict[str, str]) -> str | None:
    """What must come of a mutant: by what it dies, "" where it survives; None where it is not of interest."""
    changed = mutant.mutation.apply(source)
    if "found = 1" in changed:
        return wanted["found = 1"]
    if "a):\n    return None" in changed:
        return wanted["return None"]
    return wanted["a - 1"] if "a - 1" in changed else None


def test_a_mutant_that_never_ends_dies_of_the_time_limit(project: Path, tmp_path: Path) -> None:
    source = (project / "sums.py").read_text()
    [endless] = [
        mutant
        for mutant in mutant_draw.draw({"sums.py": source}, {"sums.py": ("tests/test_sums.py",)}, 100, 0)
        if mutant_draw.changed_lines(source, mutant.mutation) == ("left -= 1", "pass")
    ]
    (tmp_path / "copy").mkdir()
    copy = mutant_copy.Scratch(tmp_path / "copy", project, mutants.parse(["sums.py=tests", "--preload", ""], project))
    with copy.changed({"sums.py": endless.mutation.apply(source)}):
        verdict = copy.test(["tests/test_sums.py::test_total"], 2.0)
    copy.close()
    assert verdict.died_by == "time limit of 2 s"
    assert (copy.root / "sums.py").read_text() == source


def test_probes_stand_before_what_changes_and_the_program_stays_what_it_is() -> None:
    found = mutations.mutations(SAMPLE)
    lines = mutant_probes.with_probes(SAMPLE, dict(enumerate(found))).splitlines()
    program = [line for line in lines if "note(" not in line]
    assert program == ast.unparse(ast.parse(SAMPLE)).splitlines()
    wanted = {"True": "if far and ways is not None:", "way": "steps += way", "7": "row: int = 7", "4": "return steps"}
    numbers = []
    for at, line in enumerate(lines):
        if line not in program:
            number = int(line.rpartition("(")[2].rstrip(")"))
            behind = next(other for other in lines[at:] if other in program).strip()
            before = SAMPLE.encode()[found[number].start : found[number].stop].decode()
            assert behind.startswith(wanted.get(before, "")), before
            numbers.append(number)
    assert sorted(numbers) == list(range(len(found)))


def test_promising_tests_come_first_and_those_that_never_execute_the_change_are_left_out(project: Path) -> None:
    """The tests that execute it, quick ones first; then their neighbours; broken ones and other files not at all."""
    source = (project / "sums.py").read_text()
    for name in ("test_first", "test_other"):
        (project / "tests" / f"{name}.py").write_text("import os\n")
    mutants_of = mutant_draw.draw({"sums.py": source}, {"sums.py": ("tests",)}, 100, 0)
    covering = mutant_tests.Covering(project, project.parent / "covering.json", {}, mutants_of)
    files = ["tests/test_first.py", "tests/test_other.py", "tests/test_sums.py"]
    assert covering.missing(files) == files
    seconds = {"slow": 3.0, "quick": 1.0, "neighbour": 0.1}
    for file in files:
        noted = (
            {4: [f"{file}::slow", f"{file}::quick", f"{file}::broken"]} if file != "tests/test_other.py" else {3: [""]}
        )
        found = {"seconds": {f"{file}::{name}": s for name, s in seconds.items()}, "failed": [f"{file}::broken"]}
        covering.add(file, found | {"noted": noted, "digest": mutant_tests.digest_of_tests(project, file)})
    again = mutant_tests.Covering(project, project.parent / "covering.json", {}, mutants_of)
    tests, cost = again.tests(mutants_of[4], files)
    names = [test.removeprefix("tests/test_") for test in tests]
    assert names == [
        "sums.py::quick",
        "sums.py::slow",
        "first.py::quick",
        "first.py::slow",
        "sums.py::neighbour",
        "first.py::neighbour",
    ]
    assert cost == pytest.approx(8.2)
    assert again.tests(mutants_of[5], files) == ([], 0)
    assert again.failed(files[:1]) == ["tests/test_first.py::broken"]
    (project / files[0]).write_text("import sys\n")
    assert again.missing(files) == files[:1], "a file that has changed is to be run again"


def test_a_test_that_fails_without_a_change_counts_for_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "tests" / "test_sums.py").write_text(
        "from cnn_explorer.sums import total\n\n\ndef test_broken():\n    assert total([1]) == 2\n"
    )
    run(project, "--count", "1", "--whole", "")
    captured = capsys.readouterr()
    assert "tests/test_sums.py::test_broken: left out, for it fails without a mutant" in captured.err
    assert "**survived**" in captured.out


def test_a_failure_that_does_not_come_again_says_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The test fails in its second run alone, which is the first one with the mutant."""
    runs = project.parent / "runs"
    (project / "tests" / "test_sums.py").write_text(
        "import contextlib\nfrom pathlib import Path\n\nfrom cnn_explorer import sums\n\n\n"
        "def test_now_and_then():\n    with contextlib.suppress(Exception):\n        sums.total([])\n"
        f"    with Path({str(runs)!r}).open('a+') as file:\n        assert file.write('x') and file.tell() != 2\n"
    )
    run(project, "--count", "1", "--seed", "2", "--whole", "")
    captured = capsys.readouterr()
    assert "test_now_and_then: did not fail again, so it says nothing" in captured.err
    assert "**survived**" in captured.out and runs.read_text() == "xxx"


def test_what_nobody_could_notice_is_not_tried(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = (project / "sums.py").read_text()
    [mutant] = mutant_draw.draw({"sums.py": source}, {"sums.py": ("tests/test_sums.py",)}, 1, 0)
    before, after = (json.dumps(line) for line in mutant_draw.changed_lines(source, mutant.mutation))
    listed = project.parent / "listed.toml"
    listed.write_text(
        f'[[equivalent]]\nfile = "sums.py"\nkind = "{mutant.mutation.kind}"\nbefore = {before}\nafter = {after}\n'
        'reason = "so it is said"\n'
    )
    run(project, "--count", "1", "--equivalent", str(listed))
    captured = capsys.readouterr()
    assert "equivalent: so it is said" in captured.out and captured.err == ""


def test_a_new_test_may_notice_what_survived(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "tests" / "test_sums.py").write_text("from cnn_explorer import sums\n\n\ndef test_none():\n    pass\n")
    run(project, "--count", "1", "--whole", "")
    assert "**survived**" in capsys.readouterr().out
    (project / "tests" / "test_sums.py").write_text(
        "from cnn_explorer.sums import total\n\n\ndef test_total():\n    assert total([1, 2, 4]) == 7\n"
    )
    run(project, "--count", "1", "--whole", "")
    assert "**survived**" in capsys.readouterr().out, "what has been tried is not tried again"
    run(project, "--count", "1", "--whole", "", "--again")
    assert "tests/test_sums.py::test_total" in capsys.readouterr().out


def test_the_table_knows_what_nobody_could_notice(tmp_path: Path) -> None:
    def record(line: int, own: str, whole: str | None, after: str = "b | c") -> dict:
        fates = [None if died is None else {"died_by": died, "seconds": 1.0} for died in (own, whole)]
        change = {"file": "a.py", "line": line, "kind": "constant", "before": "a", "after": after}
        return change | {"own": fates[0], "whole": fates[1]}

    listed = tmp_path / "equivalent.toml"
    listed.write_text('[[equivalent]]\nfile = "a.py"\nkind = "constant"\nbefore = "a"\nafter = "d"\nreason = "why"\n')
    records = [record(1, "t::x", None), record(2, "", "t::y"), record(3, "", ""), record(4, "", "", "d")]
    text = mutant_results.table(records, mutant_results.read_equivalent(listed))
    assert "4 mutants: 1 died by the tests of their own folder, 1 by the rest of the suite, 1 are equivalent" in text
    assert "2 of the 3 others died (67 %)." in text
    assert text.splitlines()[-4:] == [
        "| a.py:1 | constant | `a` → `b \\| c` | t::x |",
        "| a.py:2 | constant | `a` → `b \\| c` | t::y (whole suite) |",
        "| a.py:3 | constant | `a` → `b \\| c` | **survived** |",
        "| a.py:4 | constant | `a` → `d` | equivalent: why |",
    ]


def test_of_long_lines_the_table_shows_what_differs() -> None:
    before, after = f"{'a' * 50} < {'b' * 50}", f"{'a' * 50} <= {'b' * 50}"
    assert mutant_results.around_difference(before, after, 4) == ("…aa < bbb…", "…aa <= bbb…")
    assert mutant_results.around_difference("a < b", "a <= b") == ("a < b", "a <= b")
    assert mutant_results.around_difference("one", "another one", 4) == ("one", "another one")


def test_every_equivalent_mutant_that_is_listed_is_one_of_today() -> None:
    """An entry whose line is gone would excuse nothing, and is to be taken out."""
    for (file, kind, before, after), reason in mutant_results.read_equivalent(mutants.EQUIVALENT).items():
        source = (ROOT / file).read_text()
        changes = [mutant_draw.changed_lines(source, m) for m in mutations.mutations(source) if m.kind == kind]
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
def test_what_a_mutant_died_by(code: int | None, text: str, told: str) -> None:
    assert mutant_copy.died_by(code, text, 5) == told
