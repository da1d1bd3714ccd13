"""Draws the mutants for `mutants.py`: which files are changed, and which changes the seed picks."""

from __future__ import annotations

import argparse
import difflib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mutations import KINDS, Mutation, differs, mutations


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


def target(root: Path, text: str) -> Target:
    """Read ``trainer=tests/trainer,tests/cli`` as a target in a checkout."""
    path, _, tests = text.partition("=")
    if not tests:
        raise argparse.ArgumentTypeError(f"{text!r} has no tests; write PATH=TESTS, for example trainer=tests/trainer")
    for name in (path, *tests.split(",")):
        if not (root / name.partition("::")[0]).exists():
            raise argparse.ArgumentTypeError(f"{name!r} is not in the checkout")
    return Target(path.rstrip("/"), tuple(tests.split(",")))


def files_of(root: Path, targets: Sequence[Target]) -> dict[str, tuple[str, ...]]:
    """Return each Python file below the targets with its tests; where targets lie in each other, those of the closer one."""
    found: dict[str, tuple[str, ...]] = {}
    for one in sorted(targets, key=lambda one: len(one.path)):
        path = root / one.path
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            found[file.relative_to(root).as_posix()] = one.tests
    return dict(sorted(found.items()))


def changed_lines(source: str, mutation: Mutation) -> tuple[str, str]:
    """Return the lines that a mutation changes, before and after, each as one line without its indentation."""
    before, after = source.splitlines(), mutation.apply(source).splitlines()
    blocks = [b for b in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes() if b[0] != "equal"]
    first, last = blocks[0], blocks[-1]
    sides = before[first[1] : last[2]], after[first[3] : last[4]]
    return " ".join(line.strip() for line in sides[0]), " ".join(line.strip() for line in sides[1])


def draw(sources: Mapping[str, str], tests: Mapping[str, tuple[str, ...]], count: int, seed: int) -> list[Mutant]:
    """Draw ``count`` different mutants of the files in ``sources`` by the seed: from each kind in turn while it has some."""
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
