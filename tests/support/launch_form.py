"""What the tests of the training form share: commands that are answered without a process, and keys pressed in it."""

from __future__ import annotations

import pytest
from cnn_explorer.tui.launch import commands
from cnn_explorer.tui.launch.commands import CommandCall, CommandOutcome, Device, LaunchCommand, Preview
from cnn_explorer.tui.screens.launch import LaunchScreen
from textual.pilot import Pilot
from textual.widgets import Input, Static

from support.tui import until

RUN = "20261120-143022-lenet5-digits-7f3a"
PLAN = {
    "schema": 1,
    "engine": {"device": "cpu", "precision": "fp32", "channels_last": True, "compile": False},
    "estimate": {"seconds_per_epoch": 4.25, "seconds": 130.0, "images_per_s": 15030.0, "memory": 2048},
    "warnings": ["an epoch takes hours; the small stem does not"],
}


def answered(monkeypatch: pytest.MonkeyPatch) -> list[LaunchCommand]:
    """Return the requests that would have been started; each gives the id RUN. Plans are answered at once."""
    started: list[LaunchCommand] = []

    def call_start(request: LaunchCommand, hear) -> CommandCall:
        started.append(request)
        return CommandCall([])

    monkeypatch.setattr(commands, "call_start", call_start)
    monkeypatch.setattr(commands, "call_plan", lambda request: CommandCall([]))
    monkeypatch.setattr(commands, "start", lambda call: CommandOutcome((RUN,)))
    monkeypatch.setattr(commands, "plan", lambda call: Preview(PLAN))
    monkeypatch.setattr(commands, "devices", lambda: (Device("cuda:0", "a GPU, 20.0 GB free, nobody uses it"),))
    return started


async def open_launch(pilot: Pilot) -> LaunchScreen:
    await pilot.press("t")
    screen = pilot.app.screen
    assert isinstance(screen, LaunchScreen)
    await until(pilot, lambda: screen.table.rows)
    return screen


async def type_value(pilot: Pilot, screen: LaunchScreen, key: str, text: str) -> None:
    assert screen.table.go_to(key)
    await pilot.press("enter")
    entry = screen.query_one("#entry", Input)
    assert entry.has_focus
    entry.value = ""
    await pilot.press(*text)


def said(screen: LaunchScreen, name: str) -> str:
    return str(screen.query_one(name, Static).render())
