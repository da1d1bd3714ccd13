"""Answers questions about networks, so that whoever asks need not load torch: `python -m cnn_explorer.models.helper`.

One JSON object a line on stdin, one a line on stdout:

  {"id": 1, "ask": "layers", "network": "resnet18", "form": "small"}   →   {"id": 1, "answer": {...}}
                                                                           {"id": 1, "error": "network: ..."}

The first line on stdout is {"ready": true, "torch": "2.15.0"}, once torch is loaded. The process ends when stdin does, so it
never outlives the one who started it. What a model file prints goes to stderr and cannot disturb the answers.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import IO, Any

NICENESS = 5
"""The person's typing matters more than a table that is about to appear."""
LOADED_AT_ONCE = ("anatomy", "external", "formulas", "walk")


def layers(network: str, *, folded: bool = True, **how: Any) -> dict[str, Any]:
    """The layer tree of a network, each row with its phrase and formulas; ``how`` as for ``external.subject``."""
    from . import anatomy, external

    tree = external.anatomy_of(external.subject(network, **how))
    return {"schema": anatomy.SCHEMA, "tree": _row(anatomy.fold(tree) if folded else tree)}


def _row(layer: Any) -> dict[str, Any]:
    from . import formulas, walk

    own = {name: value for name, value in vars(layer).items() if name != "children"}
    return {
        **own,
        "phrase": walk.phrase(layer),
        "formulas": [asdict(formula) for formula in formulas.formulas(layer)],
        "children": [_row(child) for child in layer.children],
    }


QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {"layers": layers}


def answer(line: str) -> dict[str, Any]:
    """The reply to one line of stdin; an error becomes one line of text, never an end of the process."""
    number = None
    try:
        request = json.loads(line)
        number = request.pop("id", None)
        question = QUESTIONS.get(request.pop("ask", ""))
        if question is None:
            return {"id": number, "error": f"the question is not one of {', '.join(QUESTIONS)}"}
        return {"id": number, "answer": question(**request)}
    except Exception as error:  # a user's own model file may raise anything
        return {"id": number, "error": _one_line(error)}


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def serve(questions: IO[str], answers: IO[str]) -> None:
    """Answer until ``questions`` ends."""
    import torch

    torch.set_num_threads(1)
    for name in LOADED_AT_ONCE:  # now, while nobody waits for an answer
        importlib.import_module(f"{__package__}.{name}")
    _say(answers, {"ready": True, "torch": str(torch.__version__)})
    for line in questions:
        if line.strip():
            _say(answers, answer(line))


def _say(answers: IO[str], reply: dict[str, Any]) -> None:
    answers.write(json.dumps(reply) + "\n")
    answers.flush()


def main() -> None:
    """Serve on stdin and stdout; the file descriptor 1 is given to stderr first."""
    own_stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        os.nice(NICENESS)
    except OSError:
        pass
    try:
        serve(sys.stdin, own_stdout)
    except (BrokenPipeError, KeyboardInterrupt):
        # Nobody listens any more; nothing is to be flushed into the closed pipe on the way out.
        os._exit(0)


if __name__ == "__main__":
    main()
