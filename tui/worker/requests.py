"""Questions to the helper process and their answers, each asked once: a table that was computed is there at once again."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .process import Answer, Helper

KEPT = 64


@dataclass(frozen=True)
class Reply:
    """``value`` as the parser made it, or None and the ``problem`` in one line."""

    value: Any
    problem: str = ""


Listener = Callable[[Reply], None]
Parser = Callable[[dict[str, Any]], Any]


class Questions:
    """Belongs to the app's own thread; the app hands every answer of the helper to :meth:`answered`."""

    def __init__(self, helper: Helper) -> None:
        self._helper = helper
        self._known: OrderedDict[str, Reply] = OrderedDict()
        self._open: dict[int, str] = {}
        self._waiting: dict[str, tuple[Parser, list[Listener]]] = {}

    def ask(self, question: str, details: dict[str, Any], parse: Parser, listener: Listener) -> bool:
        """Call ``listener`` with the reply: at once where it is known (True), or when it comes (False).

        A problem is not kept: it is asked again the next time.
        """
        key = json.dumps([question, details], sort_keys=True)
        if key in self._known:
            self._known.move_to_end(key)
            listener(self._known[key])
            return True
        if key in self._waiting:
            self._waiting[key][1].append(listener)
            return False
        self._waiting[key] = (parse, [listener])
        self._open[self._helper.ask(question, **details)] = key
        return False

    def answered(self, answer: Answer) -> None:
        """Pass an answer on to those who asked."""
        key = self._open.pop(answer.number, None)
        if key is None:
            return
        parse, listeners = self._waiting.pop(key)
        reply = _reply(answer, parse)
        if not reply.problem:
            self._known[key] = reply
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        for listener in listeners:
            listener(reply)

    @property
    def pending(self) -> int:
        """How many questions are not answered."""
        return len(self._open)

    def waiting_words(self) -> str:
        """Return what to show where an answer will stand."""
        if self._helper.state.word == "ready":
            return "being computed …"
        return "torch is being loaded in a process of its own; this appears when it is ready …"


def _reply(answer: Answer, parse: Parser) -> Reply:
    if answer.value is None:
        return Reply(None, answer.problem or "the helper process gave no answer")
    try:
        return Reply(parse(answer.value))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return Reply(None, f"the answer of the helper process cannot be read: {error!r}")
