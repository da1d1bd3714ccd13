"""Tries the mutants of a draw for `mutants.py`, in a few copies of the checkout at a time."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

import mutant_probes
from mutant_copy import MutantVerdict, Scratch
from mutant_draw import Mutant, changed_lines
from mutant_results import died, read_equivalent, read_results
from mutant_tests import Covering, test_files
from mutations import Mutation

WITHOUT_CHANGE_S = 3600.0
"""The longest that a test file may take."""


class MutantTrial:
    """All mutants of a draw, tried in a few copies at a time, and written down as soon as the fate of each is known."""

    def __init__(
        self,
        root: Path,
        drawn: Sequence[Mutant],
        sources: Mapping[str, str],
        header: Mapping,
        options: argparse.Namespace,
    ) -> None:
        self._root, self._drawn, self._sources, self._options = root, drawn, sources, options
        self._header = header
        self._equivalent = read_equivalent(options.equivalent)
        beside = options.results.with_suffix(".covering.json")
        self._covering = Covering(root, beside, header, drawn)
        self._copies: SimpleQueue[Scratch] = SimpleQueue()
        self._writing = Lock()

    def go_on(self, records: Sequence[dict]) -> None:
        """Try each mutant against its own tests, then those that survive against the rest of the suite."""
        whole = test_files(self._root, [self._options.whole] if self._options.whole else [])
        tried = {json.dumps(record["key"]) for record in records if died(record) or not self._options.again}
        noticeable = [mutant for mutant in self._drawn if self._reason(mutant) is None]
        for mutant in self._drawn:
            if mutant not in noticeable and json.dumps(mutant.key) not in tried:
                self._write(self._described(mutant) | {"own": asdict(MutantVerdict("", 0.0)) | {"tests": 0}})
        with self._copies_for_a_while():
            left = [mutant for mutant in noticeable if json.dumps(mutant.key) not in tried]
            for names in dict.fromkeys(mutant.tests for mutant in left):
                self._probe(test_files(self._root, names))
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
        """Return why nobody could notice a mutant; None where somebody could."""
        lines = changed_lines(self._sources[mutant.file], mutant.mutation)
        return self._equivalent.get((mutant.file, mutant.mutation.kind, *lines))

    @contextlib.contextmanager
    def _copies_for_a_while(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            for number in range(self._options.jobs):
                (Path(folder) / str(number)).mkdir()
                self._copies.put(Scratch(Path(folder) / str(number), self._root, self._options))
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
        own = test_files(self._root, mutant.tests)
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


def confirmed(copy: Scratch, tests: Sequence[str], limit_s: float) -> MutantVerdict:
    """Return the verdict of tests on the mutant in the copy, where a test that does not fail again has said nothing."""
    verdict = copy.test(tests, limit_s)
    while verdict.died_by in tests and not copy.test([verdict.died_by], limit_s).died_by:
        log(f"{verdict.died_by}: did not fail again, so it says nothing")
        tests = tests[tests.index(verdict.died_by) + 1 :]
        verdict = copy.test(tests, limit_s)
    return verdict


def log(text: str) -> None:
    """Say how far it is, on stderr: stdout is the table's."""
    print(text, file=sys.stderr, flush=True)
