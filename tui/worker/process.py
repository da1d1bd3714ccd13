"""The other end of models/anatomy/server.py: starts that process, asks it, notices when it dies and starts it again.

No Textual here. Answers arrive on a thread of their own, through the callbacks given at the start.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

TRIES = 2
"""A question during which the process died is asked once more; then it is taken for the cause."""
STARTS = 3
"""Deaths in a row before the first word, after which nothing is started until somebody asks again."""
TIMEOUT_S = 180.0
"""A question that takes longer is given up: a network that never returns. A busy machine needs a minute for a large one."""


@dataclass(frozen=True)
class HelperState:
    """``word`` is "off", "loading", "ready" or "down"; ``detail`` the version of torch, or why it is down."""

    word: str
    detail: str = ""


@dataclass(frozen=True)
class Answer:
    """The reply to question ``number``: ``value``, or ``problem`` in one line."""

    number: int
    value: dict[str, Any] | None
    problem: str = ""


@dataclass
class _Question:
    number: int
    line: str
    asked: float = field(default_factory=time.monotonic)
    tries: int = 0


def python_module(module: str) -> list[str]:
    """Return the command that runs a module of this package; the working directory is searched for modules only if it
    is here too.
    """
    try:
        searched = os.getcwd() in sys.path or "" in sys.path
    except OSError:
        searched = False
    return [sys.executable, *([] if searched else ["-P"]), "-m", module]


class Helper:
    """A helper process that is kept alive. ``on_answer`` and ``on_state`` are called from another thread."""

    def __init__(
        self,
        on_answer: Callable[[Answer], None],
        on_state: Callable[[HelperState], None],
        command: Sequence[str] = (),
    ) -> None:
        self._on_answer = on_answer
        self._on_state = on_state
        self._command = list(command) or python_module("cnn_explorer.models.anatomy.server")
        self._numbers = itertools.count(1)
        self._open: dict[int, _Question] = {}
        self._guard = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self.state = HelperState("off")

    def start(self) -> None:
        """Start the process, unless it runs."""
        with self._guard:
            if self._closed or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._serve, name="helper", daemon=True)
            self._thread.start()

    def ask(self, question: str, **details: Any) -> int:
        """Ask; the answer comes through ``on_answer`` with the number that is returned."""
        number = next(self._numbers)
        asked = _Question(number, json.dumps({"id": number, "ask": question, **details}) + "\n")
        with self._guard:
            self._open[number] = asked
            self._send(asked)
        self.start()
        return number

    def check(self) -> None:
        """Kill a process that has been at one question for too long; it is then started again."""
        with self._guard:
            oldest = min((question.asked for question in self._open.values()), default=None)
            late = oldest is not None and time.monotonic() - oldest > TIMEOUT_S
            if late and self._process is not None and self.state.word == "ready":
                self._process.kill()

    def close(self) -> None:
        """End the process; open questions stay unanswered."""
        with self._guard:
            self._closed = True
            process = self._process
        if process is not None:
            process.kill()

    @property
    def pid(self) -> int | None:
        """Process id, while there is a process."""
        return self._process.pid if self._process is not None else None

    def _send(self, question: _Question) -> None:
        """Send a question, if the process is there; whoever starts it sends all open ones."""
        process = self._process
        if process is None or process.stdin is None:
            return
        try:
            process.stdin.write(question.line)
            process.stdin.flush()
            question.tries += 1
            question.asked = time.monotonic()
        except (OSError, ValueError):
            pass  # it died a moment ago; the reading thread notices

    def _serve(self) -> None:
        """Run the process again and again, as long as that makes sense."""
        failures = 0
        while True:
            with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
                spoke = self._run_once(complaints)
                reason = _last_line(complaints)
            with self._guard:
                self._process = None
                if self._closed:
                    return
                failures = 0 if spoke else failures + 1
                given_up = self._give_up(failures >= STARTS, reason)
                if not self._open:
                    # Nothing is asked: it comes back with the next question.
                    self._thread = None
            for answer in given_up:
                self._on_answer(answer)
            self._change(HelperState("down", reason))
            if self._thread is None:
                return
            time.sleep(0.2 * (1 + failures))

    def _give_up(self, hopeless: bool, reason: str) -> list[Answer]:
        """Answer the questions that are not asked again."""
        lost = [question for question in self._open.values() if hopeless or question.tries >= TRIES]
        for question in lost:
            del self._open[question.number]
        problem = f"the helper process ended: {reason}" if reason else "the helper process ended"
        return [Answer(question.number, None, problem) for question in lost]

    def _run_once(self, complaints: IO[str]) -> bool:
        """Run the process once; return whether it got as far as its first message."""
        try:
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            complaints.write(str(error))
            return False
        with self._guard:
            self._process = process
            if self._closed:
                process.kill()
            self._change(HelperState("loading"))
            for question in list(self._open.values()):
                self._send(question)
        spoke = False
        assert process.stdout is not None
        for line in process.stdout:
            spoke = self._hear(line) or spoke
        process.kill()
        process.wait()
        return spoke

    def _hear(self, line: str) -> bool:
        """Take one line of the process; whether it made sense."""
        try:
            said = json.loads(line)
        except ValueError:
            return False
        if not isinstance(said, dict):
            return False
        if "ready" in said:
            with self._guard:
                for question in self._open.values():
                    question.asked = time.monotonic()
            self._change(HelperState("ready", str(said.get("torch", ""))))
            return True
        with self._guard:
            number = said.get("id")
            question = self._open.pop(number, None) if isinstance(number, int) else None
            # It answers one question after the other: it begins the next one now.
            for waiting in self._open.values():
                waiting.asked = time.monotonic()
        if question is not None:
            value = said.get("answer")
            self._on_answer(
                Answer(question.number, value if isinstance(value, dict) else None, str(said.get("error", "")))
            )
        return True

    def _change(self, state: HelperState) -> None:
        self.state = state
        if not self._closed:
            self._on_state(state)


def _last_line(complaints: IO[str]) -> str:
    complaints.flush()
    size = complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, size - 4096))
    lines = [line.strip() for line in complaints.read().splitlines() if line.strip()]
    return lines[-1] if lines else ""
