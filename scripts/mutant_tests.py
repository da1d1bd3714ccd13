"""The tests that may notice a mutant, for `mutants.py`: those of its folder that execute its statement."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutant_draw import Mutant


class Covering:
    """Which tests execute what each mutant changes, kept in a file beside the results."""

    def __init__(self, root: Path, path: Path, header: Mapping[str, object], drawn: Sequence[Mutant]) -> None:
        self._root, self._path, self._header, self._drawn = root, path, header, drawn
        kept = json.loads(path.read_text()) if path.exists() else {}
        self._files: dict[str, dict] = kept["files"] if kept.get("header") == header else {}

    def missing(self, files: Sequence[str]) -> list[str]:
        """Return the test files that are not known as they are now."""
        return [file for file in files if self._files.get(file, {}).get("digest") != digest_of_tests(self._root, file)]

    def add(self, file: str, probed: Mapping) -> None:
        """Keep what the probes noted while a test file ran."""
        noted = {str(number): tests for number, tests in probed["noted"].items()}
        self._files[file] = {**probed, "noted": noted}
        self._path.write_text(json.dumps({"header": self._header, "files": self._files}))

    def failed(self, files: Sequence[str]) -> list[str]:
        """Return the tests that failed without a mutant."""
        return [test for file in files for test in self._files[file]["failed"]]

    def tests(self, mutant: Mutant, files: Sequence[str]) -> tuple[list[str], float]:
        """Return the tests of these files that may notice a mutant, the likeliest first, and the seconds of them all."""
        number = str(self._drawn.index(mutant))
        module = Path(mutant.file).stem if not mutant.file.endswith("__init__.py") else Path(mutant.file).parent.name
        importing = re.compile(rf"^\s*(from|import)\b.*\b{module}\b", re.MULTILINE)
        ranked = []
        for file in files:
            known = self._files[file]
            if number not in known["noted"]:
                continue
            executing = set(known["noted"][number]) & set(known["seconds"])
            imports = importing.search((self._root / file.partition("::")[0]).read_text()) is not None
            cost = sum(known["seconds"][test] for test in executing or known["seconds"])
            for place, (test, seconds) in enumerate(known["seconds"].items()):
                hit = test in executing
                ranked.append(((not hit, not imports, cost, file, seconds if hit else place), test, seconds))
        ranked.sort()
        return [test for _, test, _ in ranked], sum(seconds for *_, seconds in ranked)


def digest_of_tests(root: Path, name: str) -> str:
    """Return a digest of a test file of a checkout and of what all of them share, except for how long they wait."""
    tests = root / "tests"
    shared = [*sorted((tests / "support").glob("*.py")), *sorted(tests.rglob("conftest.py"))]
    shared = [path for path in shared if path.name != "patience.py"]
    texts = [path.read_text() for path in (root / name.partition("::")[0], *shared)]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def test_files(root: Path, names: Sequence[str]) -> list[str]:
    """Return the test files in the folders among ``names``, and the others as they are."""
    found: list[str] = []
    for name in names:
        path = root / name.partition("::")[0]
        inside = sorted(file.relative_to(root).as_posix() for file in path.rglob("test_*.py"))
        found += inside if path.is_dir() else [name]
    return list(dict.fromkeys(found))
