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
import hashlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mutant_draw import changed_lines, draw, files_of, target
from mutant_results import read_equivalent, read_results, table
from mutant_trial import MutantTrial

ROOT = Path(__file__).resolve().parent.parent
EQUIVALENT = ROOT / "scripts" / "equivalent_mutants.toml"
PRELOAD = "numpy torch torch._dynamo torchvision timm textual"


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Draw the mutants, try those that have no result yet, print the table."""
    options = parse(words, root)
    tests = files_of(root, options.targets)
    sources = {file: (root / file).read_text() for file in tests}
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
        MutantTrial(root, drawn, sources, header, options).go_on(records)
        records = read_results(options.results, header)
    print(table(records, read_equivalent(options.equivalent)))
    return 0


def parse(words: Sequence[str] | None, root: Path = ROOT) -> argparse.Namespace:
    """Return the options; the targets lie in ``root``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("targets", nargs="+", type=partial(target, root), metavar="PATH=TESTS")
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
