"""Plants small mistakes in a copy of the program and sees whether the tests notice.

    python scripts/mutants.py --count 100 --seed 1 --results mutants.jsonl \
        models/layers.py=tests/models trainer=tests/trainer tui/charts=tests/tui

Each PATH=TESTS names a file or folder to change and the tests (several with commas) that should notice. The mutants
are drawn by the seed, in turn from each kind of change (mutations.py), and each is tried alone: first against its own
tests, and where these pass, against the whole suite. Nothing is changed in the checkout; copies of it are.

A test that never executes the changed statement, in no subprocess either, cannot notice the change. So every test file
is run once, alone, in a copy with probes (mutant_probes.py), and a mutant is tried only against the test files that
execute its statement: first the tests that do, of the files that import the changed module before others and the quick
ones before the slow ones, then the other tests of these files, which may use what the first have left. The first
failure ends the run, where it comes a second time as well. Tests that fail without a mutant count for nothing; they are
named on the way.

Results are appended to a file of JSON lines as they come, with the tests that execute each statement beside it. The
same command goes on where it was interrupted; --again tries those that have survived once more, for example after a
new test. With --table it prints what there is so far as Markdown. Mutants that change nothing anybody could notice are
named in scripts/equivalent_mutants.toml, each with its reason, and are not tried:

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
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

import mutant_probes
from mutations import KINDS, Mutation, differs, mutations

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = ROOT / "scripts" / "equivalent_mutants.toml"
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "venv", "build", "*.egg-info", "__pycache__", ".*_cache", "*.jsonl")
PRELOAD = "numpy torch torch._dynamo torchvision timm textual"
WITHOUT_CHANGE_S = 3600.0
"""The longest that a test file may take."""
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
    """``trainer=tests/trainer,tests/cli`` as a target."""
    path, _, tests = text.partition("=")
    if not tests:
        raise argparse.ArgumentTypeError(f"{text!r} has no tests; write PATH=TESTS, for example trainer=tests/trainer")
    for name in (path, *tests.split(",")):
        if not (ROOT / name.partition("::")[0]).exists():
            raise argparse.ArgumentTypeError(f"{name!r} is not in the checkout")
    return Target(path.rstrip("/"), tuple(tests.split(",")))


def files_of(targets: Sequence[Target]) -> dict[str, tuple[str, ...]]:
    """Each Python file below the targets with its tests; where targets lie in each other, those of the closer one."""
    found: dict[str, tuple[str, ...]] = {}
    for one in sorted(targets, key=lambda one: len(one.path)):
        path = ROOT / one.path
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found[file.relative_to(ROOT).as_posix()] = one.tests
    return dict(sorted(found.items()))


def changed_lines(source: str, mutation: Mutation) -> tuple[str, str]:
    """The lines that a mutation changes, before and after, each as one line without its indentation."""
    before, after = source.splitlines(), mutation.apply(source).splitlines()
    blocks = [b for b in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes() if b[0] != "equal"]
    first, last = blocks[0], blocks[-1]
    sides = before[first[1] : last[2]], after[first[3] : last[4]]
    return " ".join(line.strip() for line in sides[0]), " ".join(line.strip() for line in sides[1])


def draw(sources: Mapping[str, str], tests: Mapping[str, tuple[str, ...]], count: int, seed: int) -> list[Mutant]:
    """``count`` different mutants of the files in ``sources``, by the seed: from each kind in turn while it has some."""
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
    """How a mutant fared against some tests: the first test that failed, or why the run ended; "" where all passed."""

    died_by: str
    seconds: float


@dataclass(frozen=True)
class Ran:
    """A run of pytest: its exit code (None: the time limit), what it printed, and how long it took."""

    code: int | None
    text: str
    seconds: float


class Scratch:
    """A copy of the checkout that Python takes for the package `cnn_explorer`."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.root = folder, folder / "cnn_explorer"
        shutil.copytree(ROOT, self.root, ignore=LEFT_OUT)
        patience = self.root / "tests" / "support" / "patience.py"
        if options.patience is not None and patience.exists():
            text = re.sub(r"^PATIENCE_S = .*", f"PATIENCE_S = {options.patience}", patience.read_text(), flags=re.M)
            patience.write_text(text)
        self._options = options.pytest.split()
        places = [str(folder), str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH")]
        path = os.pathsep.join(filter(None, places))
        self._environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        where = self._python("-c", "import cnn_explorer; print(cnn_explorer.__file__)").stdout.strip()
        if Path(where).parent.resolve() != self.root.resolve():
            raise SystemExit(f"mutants: the copy is not what Python imports, but {where}")
        mutant_probes.install(folder)
        command = [sys.executable, str(Path(__file__).with_name("mutant_server.py")), *options.preload.split()]
        self._server = subprocess.Popen(
            command, cwd=self.root, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _python(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words]
        return subprocess.run(command, cwd=self.root, env=self._environment, capture_output=True, text=True, check=True)

    @contextlib.contextmanager
    def changed(self, sources: Mapping[str, str]) -> Iterator[None]:
        """The copy with other sources in the place of some files for as long."""
        before = {file: (self.root / file).read_text() for file in sources}
        try:
            for file, source in sources.items():
                (self.root / file).write_text(source)
            yield
        finally:
            for file, source in before.items():
                (self.root / file).write_text(source)

    def probe(self, tests: str, limit_s: float) -> dict:
        """Run a test file whose sources have probes: seconds of each test, those that failed, what each probe noted."""
        mutant_probes.take_notes(self.folder)
        times = self.folder / "times.json"
        times.unlink(missing_ok=True)
        ran = self._pytest([tests], limit_s, MUTANT_TIMES=str(times))
        if not times.exists():
            raise SystemExit(f"mutants: {tests} did not run to its end: {died_by(ran.code, ran.text, limit_s)}")
        found = {"noted": mutant_probes.take_notes(self.folder), "digest": digest_of_tests(self.root, tests)}
        return json.loads(times.read_text()) | found

    def test(self, tests: Sequence[str], limit_s: float) -> Verdict:
        """Run single tests in this order up to the first failure, and no longer than ``limit_s``."""
        if not tests:
            return Verdict("", 0.0)
        order, times = self.folder / "order.json", self.folder / "times.json"
        order.write_text(json.dumps(list(tests)))
        times.unlink(missing_ok=True)
        files = dict.fromkeys(test.partition("::")[0] for test in tests)
        ran = self._pytest(["-x", *files], limit_s, MUTANT_ORDER=str(order), MUTANT_TIMES=str(times))
        failed = json.loads(times.read_text())["failed"] if times.exists() else []
        return Verdict(failed[0] if failed else died_by(ran.code, ran.text, limit_s), ran.seconds)

    def _pytest(self, words: Sequence[str], limit_s: float, **environment: str) -> Ran:
        begun = time.monotonic()
        output = self.folder / "output.txt"
        wanted = {
            "words": ["-p", "no:cacheprovider", "-p", "mutant_order", *self._options, *words],
            "environment": environment,
            "output": str(output),
            "limit_s": limit_s,
        }
        assert self._server.stdin and self._server.stdout
        print(json.dumps(wanted), file=self._server.stdin, flush=True)
        code = json.loads(self._server.stdout.readline())
        return Ran(code, output.read_text(errors="replace"), round(time.monotonic() - begun, 1))

    def close(self) -> None:
        """End the process that runs pytest."""
        self._server.communicate()


def died_by(code: int | None, text: str, limit_s: float) -> str:
    """What ended a run of pytest with an exit code (None: the time limit) and this output; "" where all tests passed."""
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


class Covering:
    """Which tests execute what each mutant changes, kept in a file beside the results."""

    def __init__(self, path: Path, header: Mapping[str, object], drawn: Sequence[Mutant]) -> None:
        self._path, self._header, self._drawn = path, header, drawn
        kept = json.loads(path.read_text()) if path.exists() else {}
        self._files: dict[str, dict] = kept["files"] if kept.get("header") == header else {}

    def missing(self, files: Sequence[str]) -> list[str]:
        """The test files that are not known as they are now."""
        return [file for file in files if self._files.get(file, {}).get("digest") != digest_of_tests(ROOT, file)]

    def add(self, file: str, probed: Mapping) -> None:
        """Keep what the probes noted while a test file ran."""
        noted = {str(number): tests for number, tests in probed["noted"].items()}
        self._files[file] = {**probed, "noted": noted}
        self._path.write_text(json.dumps({"header": self._header, "files": self._files}))

    def failed(self, files: Sequence[str]) -> list[str]:
        """The tests that failed without a mutant."""
        return [test for file in files for test in self._files[file]["failed"]]

    def tests(self, mutant: Mutant, files: Sequence[str]) -> tuple[list[str], float]:
        """The tests of these files that may notice a mutant, the most promising first, and the seconds of them all."""
        number = str(self._drawn.index(mutant))
        module = Path(mutant.file).stem if not mutant.file.endswith("__init__.py") else Path(mutant.file).parent.name
        importing = re.compile(rf"^\s*(from|import)\b.*\b{module}\b", re.MULTILINE)
        ranked = []
        for file in files:
            known = self._files[file]
            if number not in known["noted"]:
                continue
            executing = set(known["noted"][number]) & set(known["seconds"])
            imports = importing.search((ROOT / file.partition("::")[0]).read_text()) is not None
            cost = sum(known["seconds"][test] for test in executing or known["seconds"])
            for place, (test, seconds) in enumerate(known["seconds"].items()):
                hit = test in executing
                ranked.append(((not hit, not imports, cost, file, seconds if hit else place), test, seconds))
        ranked.sort()
        return [test for _, test, _ in ranked], sum(seconds for *_, seconds in ranked)


def digest_of_tests(root: Path, name: str) -> str:
    """Of what a test file of a checkout says, and of what all of them share, except for how long they wait."""
    tests = root / "tests"
    shared = [*sorted((tests / "support").glob("*.py")), *sorted(tests.rglob("conftest.py"))]
    shared = [path for path in shared if path.name != "patience.py"]
    texts = [path.read_text() for path in (root / name.partition("::")[0], *shared)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def test_files(names: Sequence[str]) -> list[str]:
    """The test files in the folders among ``names``, and the others as they are."""
    found: list[str] = []
    for name in names:
        path = ROOT / name.partition("::")[0]
        inside = sorted(file.relative_to(ROOT).as_posix() for file in path.rglob("test_*.py"))
        found += inside if path.is_dir() else [name]
    return list(dict.fromkeys(found))


def read_results(path: Path, header: Mapping[str, object]) -> list[dict]:
    """The records so far; a torn last line is cut off. SystemExit where they are of another draw."""
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
    return list({json.dumps(record["key"]): record for record in records}.values())  # the last of each


def read_equivalent(path: Path) -> dict[tuple[str, str, str, str], str]:
    """The reason of each mutant that nobody could notice, by file, kind, and its lines before and after."""
    if not path.exists():
        return {}
    entries = tomllib.loads(path.read_text()).get("equivalent", [])
    return {(e["file"], e["kind"], e["before"], e["after"]): e["reason"] for e in entries}


def table(records: Sequence[dict], equivalent: Mapping[tuple[str, str, str, str], str]) -> str:
    """What died, by which test, and what survived, as Markdown."""
    rows, counts = [], {"own": 0, "whole": 0, "survived": 0, "equivalent": 0}
    for record in sorted(records, key=lambda record: (record["file"], record["line"])):
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
        change = " → ".join(map(_code, around_difference(record["before"], record["after"])))
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


def around_difference(before: str, after: str, beside: int = 30) -> tuple[str, str]:
    """What differs in two lines, with ``beside`` letters on either side and … for the rest."""
    first = _alike(before, after)
    last = _alike(before[first:][::-1], after[first:][::-1])
    begin, left_out = max(0, first - beside), max(0, last - beside)
    cut = [text[begin : len(text) - left_out] for text in (before, after)]
    before, after = (f"{'…' if begin else ''}{text}{'…' if left_out else ''}" for text in cut)
    return before, after


def _alike(one: str, other: str) -> int:
    """How many letters at the beginning are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (a, b) in pairs if a != b), min(len(one), len(other)))


def _code(text: str) -> str:
    return f"`{_cell(text)}`" if "`" not in text else _cell(text)


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
    if not options.table:
        Trial(drawn, sources, header, options).go_on(records)
        records = read_results(options.results, header)
    print(table(records, read_equivalent(options.equivalent)))
    return 0


class Trial:
    """All mutants of a draw, tried in a few copies at a time, and written down as soon as the fate of each is known."""

    def __init__(
        self, drawn: Sequence[Mutant], sources: Mapping[str, str], header: Mapping, options: argparse.Namespace
    ) -> None:
        self._drawn, self._sources, self._options = drawn, sources, options
        self._header = header
        self._equivalent = read_equivalent(options.equivalent)
        beside = options.results.with_suffix(".covering.json")
        self._covering = Covering(beside, header, drawn)
        self._copies: SimpleQueue[Scratch] = SimpleQueue()
        self._writing = Lock()

    def go_on(self, records: Sequence[dict]) -> None:
        """Try each mutant against its own tests, then those that survive against the rest of the suite."""
        whole = test_files([self._options.whole] if self._options.whole else [])
        tried = {json.dumps(record["key"]) for record in records if died(record) or not self._options.again}
        noticeable = [mutant for mutant in self._drawn if self._reason(mutant) is None]
        for mutant in self._drawn:
            if mutant not in noticeable and json.dumps(mutant.key) not in tried:
                self._write(self._described(mutant) | {"own": asdict(Verdict("", 0.0)) | {"tests": 0}})
        with self._copies_for_a_while():
            left = [mutant for mutant in noticeable if json.dumps(mutant.key) not in tried]
            for names in dict.fromkeys(mutant.tests for mutant in left):
                self._probe(test_files(names))
                self._each([mutant for mutant in left if mutant.tests == names], self._record)
            records = read_results(self._options.results, self._header)
            survived = {json.dumps(r["key"]): r for r in records if not died(r) and r["whole"] is None}
            left = [mutant for mutant in noticeable if json.dumps(mutant.key) in survived]
            if left and whole:
                self._probe(whole)
                self._each(
                    left, lambda mutant, copy: self._record(mutant, copy, survived[json.dumps(mutant.key)], whole)
                )

    def _reason(self, mutant: Mutant) -> str | None:
        """Why nobody could notice a mutant; None where somebody could."""
        lines = changed_lines(self._sources[mutant.file], mutant.mutation)
        return self._equivalent.get((mutant.file, mutant.mutation.kind, *lines))

    @contextlib.contextmanager
    def _copies_for_a_while(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            for number in range(self._options.jobs):
                (Path(folder) / str(number)).mkdir()
                self._copies.put(Scratch(Path(folder) / str(number), self._options))
            try:
                yield
            finally:
                while not self._copies.empty():
                    self._copies.get().close()

    def _each(self, items: Sequence, work) -> None:
        """Do the work for each item with a copy, as many at a time as there are copies."""

        def with_copy(item) -> None:
            copy = self._copies.get()
            try:
                work(item, copy)
            finally:
                self._copies.put(copy)

        with ThreadPoolExecutor(self._options.jobs) as pool:
            list(pool.map(with_copy, items))

    def _probe(self, files: Sequence[str]) -> None:
        """Run the test files that are not known yet in copies with probes."""
        probed = {file: mutant_probes.with_probes(self._sources[file], numbered) for file, numbered in self._places()}

        def run(file: str, copy: Scratch) -> None:
            with copy.changed(probed):
                found = copy.probe(file, WITHOUT_CHANGE_S)
            with self._writing:
                self._covering.add(file, found)
            log(
                f"{file}: {len(found['seconds'])} tests pass without a change in {sum(found['seconds'].values()):.0f} s"
            )

        self._each(self._covering.missing(files), run)
        for test in self._covering.failed(files):
            log(f"{test}: left out, for it fails without a mutant")

    def _places(self) -> Iterator[tuple[str, dict[int, Mutation]]]:
        for file in dict.fromkeys(mutant.file for mutant in self._drawn):
            yield file, {n: mutant.mutation for n, mutant in enumerate(self._drawn) if mutant.file == file}

    def _record(self, mutant: Mutant, copy: Scratch, before: Mapping = {}, whole: Sequence[str] = ()) -> None:
        """Try a mutant, against the rest of the suite where its own tests are done with, and write down its fate."""
        own = test_files(mutant.tests)
        tests, seconds = self._covering.tests(mutant, [file for file in whole if file not in own] if before else own)
        limit_s = self._options.limit + 2 * seconds
        with copy.changed({mutant.file: mutant.mutation.apply(self._sources[mutant.file])}):
            verdict = asdict(confirmed(copy, tests, limit_s)) | {"tests": len(tests)}
        record = dict(before) or self._described(mutant)
        record["whole" if before else "own"] = verdict
        self._write(record)
        fate = verdict["died_by"] or f"survived {len(tests)} tests of {'the whole suite' if before else 'its own'}"
        log(f"{mutant.file}:{mutant.mutation.line} {mutant.mutation.kind}: {fate}")

    def _write(self, record: Mapping) -> None:
        with self._writing, open(self._options.results, "a") as file:
            file.write(json.dumps(record) + "\n")

    def _described(self, mutant: Mutant) -> dict:
        before, after = changed_lines(self._sources[mutant.file], mutant.mutation)
        record: dict = {
            "key": mutant.key,
            "file": mutant.file,
            "line": mutant.mutation.line,
            "kind": mutant.mutation.kind,
        }
        return record | {"before": before, "after": after, "own": None, "whole": None}


def confirmed(copy: Scratch, tests: Sequence[str], limit_s: float) -> Verdict:
    """The verdict of tests on the mutant in the copy, where a test that does not fail again has said nothing."""
    verdict = copy.test(tests, limit_s)
    while verdict.died_by in tests and not copy.test([verdict.died_by], limit_s).died_by:
        log(f"{verdict.died_by}: did not fail again, so it says nothing")
        tests = tests[tests.index(verdict.died_by) + 1 :]
        verdict = copy.test(tests, limit_s)
    return verdict


def died(record: Mapping) -> bool:
    return any(record[tests] and record[tests]["died_by"] for tests in ("own", "whole"))


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="+", type=target, metavar="PATH=TESTS")
    parser.add_argument("--count", type=int, default=100, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0, help="decides which")
    parser.add_argument("--results", type=Path, default=Path("mutants.jsonl"), help="file of JSON lines, appended to")
    parser.add_argument(
        "--limit", type=float, default=600.0, help="seconds for one mutant, beside twice what its tests take"
    )
    parser.add_argument("--whole", default="tests", help="the whole suite, for those that survive; '' for none")
    parser.add_argument("--again", action="store_true", help="try those that survived once more")
    parser.add_argument("--jobs", type=int, default=1, help="how many mutants are tried at a time")
    parser.add_argument("--patience", type=float, help="seconds that tests wait for what must happen")
    parser.add_argument("--preload", default=PRELOAD, help="modules that a process imports once for all runs of pytest")
    parser.add_argument("--pytest", default="", help="options for pytest")
    parser.add_argument("--equivalent", type=Path, default=EQUIVALENT, help="file of the equivalent mutants")
    parser.add_argument("--list", action="store_true", help="only say which mutants are drawn")
    parser.add_argument("--table", action="store_true", help="only print the table of the results so far")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
