"""Runs pytest again and again for `mutants.py`, without importing the large libraries again.

The command line names the modules to import. Each line on standard input is a run as JSON: words for pytest,
environment, file for the output, time limit. It happens in a forked process, so that the runs know nothing of each
other; each line on standard output is its exit code, or null where the time limit ended it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping

import pytest

LOOKING_S = 0.02
MOST_MEMORY = 8 << 30
"""Bytes for each process: a mutant that takes ever more must not bring the machine down."""


def main() -> None:
    for name in sys.argv[1:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    sys.path[0] = ""  # as `python -m pytest` has it, instead of the folder of this file
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)


def run(wanted: Mapping) -> int | None:
    """The exit code of pytest, in a process of its own that ends with all that it has started."""
    process = os.fork()
    if process == 0:
        be_pytest(wanted)
    deadline = time.monotonic() + wanted["limit_s"]
    ended, status = 0, 0
    while not ended and time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        time.sleep(0 if ended else LOOKING_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    if ended:
        return os.waitstatus_to_exitcode(status)
    os.waitpid(process, 0)
    return None


def be_pytest(wanted: Mapping) -> None:
    """Become a run of pytest; never returns."""
    code = 70
    try:
        os.setsid()
        output = os.open(wanted["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, place in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(descriptor, place)
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
        os.environ.update(wanted["environment"])
        sys.argv = ["pytest", *wanted["words"]]
        code = int(pytest.main(wanted["words"]))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
