"""A piece of work in a process of its own, into which strace injects errors of the system."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import kill_process
from kill_process import Work


@dataclass(frozen=True)
class Fault:
    """An error of the system: in words, how strace injects it, and on which file alone ("" for all).

    ``path`` may hold {run}, the run directory, and {pid}.
    """

    words: str
    inject: str
    path: str = ""

    def command(self, pid: int, run: Path) -> list[str]:
        """Return the command that attaches strace to a process."""
        calls = self.inject.partition(":")[0]
        path = ["-P", self.path.format(run=run, pid=pid)] if self.path else []
        trace = ["-e", f"trace={calls}", "-e", f"inject={self.inject}", "-e", "signal=none"]
        return ["strace", "-f", "-q", "-o", "/dev/null", *path, *trace, "-p", str(pid)]


def call(work: Work, fault: Fault, run: Path, said: Path, *, twice: bool = False) -> int:
    """Do the work in a process of its own with the fault; return its status as of waitpid(2), and write what it says.

    ``twice``: it has done the work once without the fault, so that all modules are there: what Python says where it cannot
    import one is not ours.
    """
    said.write_bytes(b"")
    child = os.fork()
    if child == 0:
        if twice:
            _do_quietly(work)
        kill_process.print_into(said)
        os.kill(os.getpid(), signal.SIGSTOP)
        kill_process.be_worker(work, kill_process.ALIVE, None, None)
    os.waitpid(child, os.WUNTRACED)
    tracer = subprocess.Popen(fault.command(child, run), stderr=subprocess.PIPE)
    while _is_untraced(child) and tracer.poll() is None:
        time.sleep(0.005)
    os.kill(child, signal.SIGCONT)
    _, status = os.waitpid(child, 0)
    _, complaint = tracer.communicate()
    if tracer.returncode not in (0, None) and complaint:
        raise SystemExit(f"strace: {complaint.decode()}")
    return status


def _do_quietly(work: Work) -> None:
    with contextlib.ExitStack() as stack:
        nothing = stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(contextlib.redirect_stdout(nothing))
        stack.enter_context(contextlib.redirect_stderr(nothing))
        stack.enter_context(contextlib.suppress(SystemExit))
        work()


def _is_untraced(pid: int) -> bool:
    return "\nTracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text()
