"""The loop behind every thread of the app that reads or draws: requests, pauses, errors, the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from cnn_explorer.tui.background_loop import BREATH_S, BackgroundLoop
from support.patience import PATIENCE_S


class Pauses(threading.Event):
    """Notes how long the loop means to wait, and waits for no time; ``after`` so many pauses it calls ``then``."""

    def __init__(self, after: int, then: Callable[[], None]) -> None:
        super().__init__()
        self.waited: list[float | None] = []
        self._after, self._then = after, then

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout)
        if len(self.waited) == self._after:
            self._then()
        return self.is_set()


def pauses_of(turn: Callable[[str], float | None], count: int) -> list[float | None]:
    """Run a loop for so many turns; returns how long it meant to wait after each."""
    loop = BackgroundLoop(turn, "")
    pauses = Pauses(count, loop.stop)
    loop._wake = pauses
    loop.run()
    return pauses.waited


@contextmanager
def running(loop: BackgroundLoop) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        loop.stop()
        thread.join(PATIENCE_S)


def test_it_waits_as_long_as_the_turn_says_and_never_without_a_breath() -> None:
    answers: list[float | None] = [0.5, 0.0, -1.0, None, 2.0]
    left = iter(answers)
    assert pauses_of(lambda wanted: next(left), len(answers)) == [0.5, BREATH_S, BREATH_S, None, 2.0]


def test_an_error_is_logged_and_the_next_turn_comes_after_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[str] = []

    def turn(wanted: str) -> float:
        turns.append(wanted)
        if len(turns) == 1:
            raise ValueError("a torn file")
        return 3.0

    with caplog.at_level(logging.ERROR):
        waited = pauses_of(turn, 2)
    assert len(turns) == 2 and waited[0] is not None and waited[0] > 0.1 and waited[1] == 3.0
    assert "a torn file" in caplog.text


def test_stop_ends_a_pause_without_end_and_no_turn_follows() -> None:
    turns: list[str] = []
    paused = threading.Event()

    def turn(wanted: str) -> None:
        turns.append(wanted)
        paused.set()

    loop = BackgroundLoop(turn, "first")
    with running(loop) as thread:
        assert paused.wait(PATIENCE_S)
        loop.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive() and turns == ["first"] and loop.stopped


def test_a_loop_that_was_stopped_before_it_ran_does_nothing() -> None:
    turns: list[str] = []
    loop = BackgroundLoop(turns.append, "")
    loop.stop()
    loop.run()
    assert turns == []


def test_of_the_requests_during_a_turn_the_newest_is_met_at_once() -> None:
    turns: list[str] = []
    busy, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def turn(wanted: str) -> float | None:
        turns.append(wanted)
        if wanted == "first":
            busy.set()
            assert go_on.wait(PATIENCE_S)
        else:
            done.set()
        return None

    loop = BackgroundLoop(turn, "first")
    with running(loop):
        assert busy.wait(PATIENCE_S)
        loop.want("second")
        loop.want("third")
        go_on.set()
        assert done.wait(PATIENCE_S)
    assert turns == ["first", "third"] and loop.wanted == "third"


def test_a_request_that_is_not_urgent_leaves_the_pause_as_it_is() -> None:
    loop = BackgroundLoop(lambda wanted: None, "")
    loop.want("later", at_once=False)
    assert loop.wanted == "later" and not loop._wake.is_set()
    loop.want("now")
    assert loop.wanted == "now" and loop._wake.is_set()


def test_waking_repeats_the_turn_with_the_same_request() -> None:
    turns: list[str] = []
    paused = threading.Semaphore(0)

    def turn(wanted: str) -> None:
        turns.append(wanted)
        paused.release()

    loop = BackgroundLoop(turn, "request")
    with running(loop):
        assert paused.acquire(timeout=PATIENCE_S)
        loop.wake()
        assert paused.acquire(timeout=PATIENCE_S)
    assert turns == ["request", "request"]
