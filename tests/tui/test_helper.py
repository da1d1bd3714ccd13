"""The helper process: it answers, it may die, it comes back; and it alone loads torch."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from cnn_explorer.models.anatomy import server
from cnn_explorer.tui.worker import process as process_module
from cnn_explorer.tui.worker.process import Answer, Helper, HelperState, python_module
from support.patience import PATIENCE_S
from support.tui import HELPER_COMMAND


class Listener:
    """A helper and everything that it said."""

    def __init__(self, command: tuple[str, ...] = HELPER_COMMAND) -> None:
        self.answers: list[Answer] = []
        self.states: list[HelperState] = []
        self.helper = Helper(self.answers.append, self.states.append, command)

    def answer(self, number: int) -> Answer:
        """Wait for the answer to a question."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for answer in self.answers:
                if answer.number == number:
                    return answer
            assert time.monotonic() < deadline, self.states
            time.sleep(0.01)

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.helper.close()


def test_answers_come_with_their_numbers() -> None:
    with Listener() as listener:
        first, second = listener.helper.ask("layers", network="a"), listener.helper.ask("layers", network="refuse")
        value = listener.answer(first).value
        assert value is not None and value["tree"]["type"] == "Net"
        refusal = listener.answer(second)
        assert refusal.value is None and refusal.problem == "the image is too small"
        assert [state.word for state in listener.states] == ["loading", "ready"]


def test_a_killed_process_is_started_again() -> None:
    with Listener() as listener:
        listener.answer(listener.helper.ask("layers", network="a"))
        before = listener.helper.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        assert listener.answer(listener.helper.ask("layers", network="b")).value
        assert listener.helper.pid != before
        assert "down" in [state.word for state in listener.states]


def test_a_question_that_kills_is_asked_twice_and_given_up() -> None:
    with Listener() as listener:
        deadly = listener.helper.ask("layers", network="die")
        answer = listener.answer(deadly)
        assert answer.value is None
        assert answer.problem == "the helper process ended: killed on purpose"
        assert [state.word for state in listener.states].count("loading") == 2
        assert listener.answer(listener.helper.ask("layers", network="a")).value


def test_a_process_that_cannot_start_is_given_up() -> None:
    with Listener((sys.executable, "-c", "raise SystemExit('no torch here')")) as listener:
        answer = listener.answer(listener.helper.ask("layers", network="a"))
        assert "no torch here" in answer.problem
    with Listener(("/nonexistent/python",)) as listener:
        assert "ended" in listener.answer(listener.helper.ask("layers", network="a")).problem


def test_a_question_that_takes_for_ever_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = "import json, sys, time\nprint(json.dumps({'ready': True}), flush=True)\ntime.sleep(600)"
    monkeypatch.setattr(process_module, "TIMEOUT_S", 0.05)
    with Listener((sys.executable, "-c", hang)) as listener:
        number = listener.helper.ask("layers", network="a")
        deadline = time.monotonic() + PATIENCE_S
        while not listener.answers:
            listener.helper.check()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert listener.answer(number).problem


def test_a_question_behind_a_slow_one_is_timed_from_when_its_turn_came() -> None:
    silent = "import json, time\nprint(json.dumps({'ready': True}), flush=True)\ntime.sleep(600)"
    with Listener((sys.executable, "-c", silent)) as listener:
        helper = listener.helper
        first, _ = helper.ask("layers", network="a"), helper.ask("layers", network="b")
        deadline = time.monotonic() + PATIENCE_S
        while helper.state.word != "ready":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process = helper._process
        assert process is not None
        for question in helper._open.values():
            question.asked -= 2 * process_module.TIMEOUT_S
        assert helper._hear(json.dumps({"id": first, "answer": {}}))
        helper.check()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        for question in helper._open.values():
            question.asked -= 2 * process_module.TIMEOUT_S
        helper.check()
        assert process.wait(PATIENCE_S) == -signal.SIGKILL


def test_closing_ends_the_process() -> None:
    with Listener() as listener:
        listener.answer(listener.helper.ask("layers", network="a"))
        process = listener.helper._process
    assert process is not None
    process.wait(PATIENCE_S)
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def real_lines() -> list[dict]:
    """What the real helper says to four lines."""
    questions = [
        {"id": 1, "ask": "layers", "network": "lenet5"},
        {"id": 2, "ask": "layers", "network": "lenet6"},
        {"id": 3, "ask": "what is love"},
    ]
    text = "".join(json.dumps(question) + "\n" for question in questions) + "no JSON\n"
    command = python_module("cnn_explorer.models.anatomy.server")
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_real_helper_gives_the_layer_tree(real_lines: list[dict]) -> None:
    assert real_lines[0]["ready"]
    tree = real_lines[1]["answer"]["tree"]
    assert tree["parameters"] == 61706
    assert tree["children"] and sum(child["parameters"] for child in tree["children"]) == 61706


def test_real_helper_survives_wrong_questions(real_lines: list[dict]) -> None:
    assert "did you mean" in real_lines[2]["error"]
    assert "layers" in real_lines[3]["error"]
    assert real_lines[4]["id"] is None and real_lines[4]["error"]


def test_a_network_is_traced_before_anybody_asks(monkeypatch) -> None:
    """The first trace loads parts of torch for seconds; afterwards a table takes a tenth of one."""
    traced = []
    monkeypatch.setattr(server, "answer", lambda line: traced.append(json.loads(line)) or {})
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    answers = io.StringIO()
    server.serve(io.StringIO(""), answers)
    assert traced == [{"ask": "layers", "network": "lenet5"}]
    assert [list(json.loads(line)) for line in answers.getvalue().splitlines()] == [["ready", "torch"]]


def test_an_answer_whose_number_is_no_number_is_passed_over() -> None:
    speak = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    print(json.dumps({"id": [1]}), flush=True)
    print(json.dumps({"id": json.loads(line)["id"], "answer": {"right": 1}}), flush=True)
"""
    with Listener((sys.executable, "-c", speak)) as listener:
        assert listener.answer(listener.helper.ask("layers", network="a")).value == {"right": 1}
