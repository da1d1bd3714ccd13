"""Copies of the checkout in which `mutants.py` plants changes and runs tests."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mutant_probes
from mutant_tests import digest_of_tests

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "venv", "build", "*.egg-info", "__pycache__", ".*_cache", "*.jsonl")
PASSED, FAILED, INTERRUPTED, _INTERNAL, _USAGE, NOTHING = range(6)
"""Exit codes of pytest."""


@dataclass(frozen=True)
class MutantVerdict:
    """How a mutant fared against some tests: the first test that failed, or why the run ended; "" where all passed."""

    died_by: str
    seconds: float


@dataclass(frozen=True)
class MutantRun:
    """A run of pytest: its exit code (None: the time limit), what it printed, and how long it took."""

    code: int | None
    text: str
    seconds: float


class Scratch:
    """A copy of the checkout that Python takes for the package `cnn_explorer`."""

    def __init__(self, folder: Path, checkout: Path, options: argparse.Namespace) -> None:
        self.folder, self.root = folder, folder / "cnn_explorer"
        shutil.copytree(checkout, self.root, ignore=LEFT_OUT)
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
        """Put other sources in the place of some files for as long."""
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

    def test(self, tests: Sequence[str], limit_s: float) -> MutantVerdict:
        """Run single tests in this order up to the first failure, and no longer than ``limit_s``."""
        if not tests:
            return MutantVerdict("", 0.0)
        order, times = self.folder / "order.json", self.folder / "times.json"
        order.write_text(json.dumps(list(tests)))
        times.unlink(missing_ok=True)
        files = dict.fromkeys(test.partition("::")[0] for test in tests)
        ran = self._pytest(["-x", *files], limit_s, MUTANT_ORDER=str(order), MUTANT_TIMES=str(times))
        failed = json.loads(times.read_text())["failed"] if times.exists() else []
        return MutantVerdict(failed[0] if failed else died_by(ran.code, ran.text, limit_s), ran.seconds)

    def _pytest(self, words: Sequence[str], limit_s: float, **environment: str) -> MutantRun:
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
        return MutantRun(code, output.read_text(errors="replace"), round(time.monotonic() - begun, 1))

    def close(self) -> None:
        """End the process that runs pytest."""
        self._server.communicate()


def died_by(code: int | None, text: str, limit_s: float) -> str:
    """Return what ended a run of pytest, by its exit code (None: the time limit) and output; "" where all tests passed."""
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
