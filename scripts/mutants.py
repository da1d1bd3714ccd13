"""Plants small mistakes in a copy of the program and sees whether the tests notice.

    python scripts/mutants.py --count 100 --seed 1 --results mutants.jsonl \
        models/layers.py=tests/models trainer=tests/trainer tui/charts=tests/tui

Each PATH=TESTS names a file or folder to change and the tests (several with commas) that should notice. The mutants
are drawn by the seed, in turn from each kind of change (mutations.py), and each is tried alone: first against its own
tests, and where these pass, against the whole suite. Nothing is changed in the checkout; a copy of it is.

Results are appended to a file of JSON lines as they come. The same command goes on where it was interrupted; with
--table it prints what there is so far as Markdown. Mutants that change nothing anybody could notice are named in
scripts/equivalent_mutants.toml, each with its reason:

    [[equivalent]]
    file = "trainer/batches/batches.py"
    kind = "constant"
    before = "EVALUATION_PIXELS = 500 * 32 * 32"
    after = "EVALUATION_PIXELS = 501 * 32 * 32"
    reason = "only how many images are evaluated at a time"
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mutations import KINDS, Mutation, differs, mutations

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = ROOT / "scripts" / "equivalent_mutants.toml"
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "venv", "build", "*.egg-info", "__pycache__", ".*_cache", "*.jsonl")
PASSED, FAILED, INTERRUPTED, _INTERNAL, _USAGE, NOTHING = range(6)
"""Exit codes of pytest."""


@dataclass(frozen=True)
class Target:
    """A file or folder to change, relative to the checkout, and the tests that should notice."""

    path: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class Mutant:
    """One change of one file, and the tests that should notice."""

    file: str
    tests: tuple[str, ...]
    mutation: Mutation

    @property
    def key(self) -> list[object]:
        """What tells it from all others."""
        return [self.file, self.mutation.kind, self.mutation.start, self.mutation.stop, self.mutation.text]


def target(text: str) -> Target:
    """Return ``trainer=tests/trainer,tests/cli`` as a target."""
    path, _, tests = text.partition("=")
    if not tests:
        raise argparse.ArgumentTypeError(f"{text!r} has no tests; write PATH=TESTS, for example trainer=tests/trainer")
    for name in (path, *tests.split(",")):
        if not (ROOT / name.partition("::")[0]).exists():
            raise argparse.ArgumentTypeError(f"{name!r} is not in the checkout")
    return Target(path.rstrip("/"), tuple(tests.split(",")))


def files_of(targets: Sequence[Target]) -> dict[str, tuple[str, ...]]:
    """Return each Python file below the targets with its tests; where targets lie in each other, those of the closer
    one.
    """
    found: dict[str, tuple[str, ...]] = {}
    for one in sorted(targets, key=lambda one: len(one.path)):
        path = ROOT / one.path
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found[file.relative_to(ROOT).as_posix()] = one.tests
    return dict(sorted(found.items()))


def changed_lines(source: str, mutation: Mutation) -> tuple[str, str]:
    """Return the lines that a mutation changes, before and after, each as one line without its indentation."""
    before, after = source.splitlines(), mutation.apply(source).splitlines()
    blocks = [b for b in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes() if b[0] != "equal"]
    first, last = blocks[0], blocks[-1]
    sides = before[first[1] : last[2]], after[first[3] : last[4]]
    return " ".join(line.strip() for line in sides[0]), " ".join(line.strip() for line in sides[1])


def draw(sources: Mapping[str, str], tests: Mapping[str, tuple[str, ...]], count: int, seed: int) -> list[Mutant]:
    """Draw ``count`` different mutants of the files in ``sources``, by the seed, from each kind in turn."""
    chance = random.Random(seed)
    by_kind: dict[str, list[Mutant]] = {kind: [] for kind in KINDS}
    for file, source in sources.items():
        for mutation in mutations(source):
            by_kind[mutation.kind].append(Mutant(file, tests[file], mutation))
    for found in by_kind.values():
        chance.shuffle(found)
    drawn: list[Mutant] = []
    while len(drawn) < count and any(by_kind.values()):
        for found in by_kind.values():
            while found and len(drawn) < count:
                mutant = found.pop()
                if differs(mutant.mutation, sources[mutant.file]):
                    drawn.append(mutant)
                    break
    return drawn


@dataclass(frozen=True)
class Verdict:
    """The result of some tests with a mutant: the first test that failed, or why the run ended; "" where all passed."""

    died_by: str
    seconds: float


class Scratch:
    """A copy of the checkout that Python takes for the package `cnn_explorer`."""

    def __init__(self, folder: Path, pytest_options: Sequence[str]) -> None:
        self.root = folder / "cnn_explorer"
        shutil.copytree(ROOT, self.root, ignore=LEFT_OUT)
        self._options = pytest_options
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        self._environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        where = self._python("-c", "import cnn_explorer; print(cnn_explorer.__file__)").stdout.strip()
        if Path(where).parent.resolve() != self.root.resolve():
            raise SystemExit(f"mutants: the copy is not what Python imports, but {where}")

    def _python(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words]
        return subprocess.run(command, cwd=self.root, env=self._environment, capture_output=True, text=True, check=True)

    @contextlib.contextmanager
    def mutated(self, mutant: Mutant) -> Iterator[None]:
        """Put the mutant into the copy for the time of the block."""
        path = self.root / mutant.file
        source = path.read_text()
        path.write_text(mutant.mutation.apply(source))
        try:
            yield
        finally:
            path.write_text(source)

    def test(self, tests: Sequence[str], limit_s: float) -> Verdict:
        """Run tests up to the first failure, and no longer than ``limit_s``."""
        begun = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *self._options, *tests]
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                command, cwd=self.root, env=self._environment, stdout=output, stderr=output, start_new_session=True
            )
            try:
                code = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # what the tests have started, too
                process.wait()
            output.seek(0)
            text = output.read()
        return Verdict(died_by(code, text, limit_s), round(time.monotonic() - begun, 1))


def died_by(code: int | None, text: str, limit_s: float) -> str:
    """Return what ended a run of pytest with an exit code (None: the time limit) and this output; "" where all tests
    passed.
    """
    if code is None:
        return f"time limit of {limit_s:g} s"
    if code == PASSED:
        return ""
    if code == NOTHING:
        raise SystemExit("mutants: these tests collect nothing")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)
    if failed:
        return failed[1]
    if code in (FAILED, INTERRUPTED):
        return "an error while the tests were collected"
    return f"pytest ended with exit code {code}"


def try_one(mutant: Mutant, scratch: Scratch, options: argparse.Namespace) -> dict:
    """Return the record of a mutant: tried against its own tests, and where it survives these, against the whole suite."""
    before, after = changed_lines((scratch.root / mutant.file).read_text(), mutant.mutation)
    record: dict = {"key": mutant.key, "file": mutant.file, "line": mutant.mutation.line, "kind": mutant.mutation.kind}
    with scratch.mutated(mutant):
        own = scratch.test(mutant.tests, options.limit)
        whole = scratch.test([options.whole], options.whole_limit) if options.whole and not own.died_by else None
    return record | {"before": before, "after": after, "own": asdict(own), "whole": asdict(whole) if whole else None}


def read_results(path: Path, header: Mapping[str, object]) -> list[dict]:
    """Return the records so far; a torn last line is cut off. SystemExit where they are of another draw."""
    if not path.exists():
        path.write_text(json.dumps(header) + "\n")
        return []
    lines = path.read_text().splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        path.write_text("".join(lines[:-1]))
        lines = lines[:-1]
    first, *records = map(json.loads, lines) if lines else [{}]
    if first != header:
        raise SystemExit(f"mutants: {path}: holds the results of another draw, or of other sources: {first}")
    return records


def read_equivalent(path: Path) -> dict[tuple[str, str, str, str], str]:
    """Return the reason of each equivalent mutant, by file, kind, and its lines before and after."""
    if not path.exists():
        return {}
    entries = tomllib.loads(path.read_text()).get("equivalent", [])
    return {(e["file"], e["kind"], e["before"], e["after"]): e["reason"] for e in entries}


def table(records: Sequence[dict], equivalent: Mapping[tuple[str, str, str, str], str]) -> str:
    """Return what died, by which test, and what survived, as Markdown."""
    rows, counts = [], {"own": 0, "whole": 0, "survived": 0, "equivalent": 0}
    for record in records:
        whole = record["whole"] or {"died_by": ""}
        reason = equivalent.get((record["file"], record["kind"], record["before"], record["after"]))
        if record["own"]["died_by"]:
            fate, text = "own", record["own"]["died_by"]
        elif whole["died_by"]:
            fate, text = "whole", f"{whole['died_by']} (whole suite)"
        elif reason:
            fate, text = "equivalent", f"equivalent: {reason}"
        else:
            fate, text = "survived", "**survived**"
        counts[fate] += 1
        change = f"{_code(record['before'])} → {_code(record['after'])}"
        rows.append(f"| {record['file']}:{record['line']} | {record['kind']} | {change} | {_cell(text)} |")
    noticeable = len(records) - counts["equivalent"]
    dead = counts["own"] + counts["whole"]
    share = f" ({100 * dead / noticeable:.0f} %)" if noticeable else ""
    summary = (
        f"{len(records)} mutants: {counts['own']} died by the tests of their own folder, {counts['whole']} by the rest of "
        f"the suite, {counts['equivalent']} are equivalent; {dead} of the {noticeable} others died{share}."
    )
    head = ["| where | kind | change | died by |", "|---|---|---|---|"]
    return "\n".join([summary, "", *head, *rows])


def _code(text: str) -> str:
    shown = text if len(text) <= 90 else text[:89] + "…"
    return f"`{_cell(shown)}`" if "`" not in shown else _cell(shown)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(words: Sequence[str] | None = None) -> int:
    """Draw the mutants, try those that have no result yet, print the table."""
    options = parse(words)
    tests = files_of(options.targets)
    sources = {file: (ROOT / file).read_text() for file in tests}
    drawn = draw(sources, tests, options.count, options.seed)
    if options.list:
        for mutant in drawn:
            before, after = changed_lines(sources[mutant.file], mutant.mutation)
            print(f"{mutant.file}:{mutant.mutation.line}: {mutant.mutation.kind}: {before} → {after}")
        return 0
    digest = hashlib.sha256("".join(f"{file}\0{source}\0" for file, source in sources.items()).encode()).hexdigest()
    header = {"seed": options.seed, "count": options.count, "sources": digest[:16]}
    header |= {"targets": [[one.path, list(one.tests)] for one in options.targets]}
    records = read_results(options.results, header)
    known = [record["key"] for record in records]
    left = [mutant for mutant in drawn if mutant.key not in known]
    if left and not options.table:
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            try_all(left, Scratch(Path(folder), options.pytest.split()), options)
        records = read_results(options.results, header)
    print(table(records, read_equivalent(options.equivalent)))
    return 0


def try_all(left: Sequence[Mutant], scratch: Scratch, options: argparse.Namespace) -> None:
    """Try mutants one after the other and write down each as soon as its fate is known."""
    for tests in dict.fromkeys(mutant.tests for mutant in left):
        sound = scratch.test(tests, options.limit)
        if sound.died_by:
            raise SystemExit(f"mutants: without any change {' '.join(tests)} does not pass: {sound.died_by}")
        print(f"{' '.join(tests)}: passes without a change in {sound.seconds:g} s", file=sys.stderr, flush=True)
    for number, mutant in enumerate(left, 1):
        record = try_one(mutant, scratch, options)
        with open(options.results, "a") as file:
            file.write(json.dumps(record) + "\n")
        fate = record["own"]["died_by"] or (record["whole"] or {}).get("died_by") or "survived"
        where = f"{mutant.file}:{mutant.mutation.line} {mutant.mutation.kind}"
        print(f"{number}/{len(left)} {where}: {fate}", file=sys.stderr, flush=True)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="+", type=target, metavar="PATH=TESTS")
    parser.add_argument("--count", type=int, default=100, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0, help="decides which")
    parser.add_argument("--results", type=Path, default=Path("mutants.jsonl"), help="file of JSON lines, appended to")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for the tests of one mutant")
    parser.add_argument("--whole", default="tests", help="the whole suite, for those that survive; '' for none")
    parser.add_argument("--whole-limit", type=float, default=3600.0, help="seconds for the whole suite")
    parser.add_argument("--pytest", default="", help="options for pytest, for example '-n 2'")
    parser.add_argument("--equivalent", type=Path, default=EQUIVALENT, help="file of the equivalent mutants")
    parser.add_argument("--list", action="store_true", help="only say which mutants are drawn")
    parser.add_argument("--table", action="store_true", help="only print the table of the results so far")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
