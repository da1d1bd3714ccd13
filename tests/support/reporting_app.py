"""The app, which writes what a test asks about itself: `python reporting_app.py FOLDER FILE`.

At SIGUSR1 it writes `typing_model.observed` as JSON into FILE, once everything that was typed so far has been handled, and
as `keys` how many keys have reached it: what was written to its terminal a moment ago may not have been read yet. Where it
cannot tell, it writes why, as `problem`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cnn_explorer import tui
from cnn_explorer.tui.app import ExplorerApp
from cnn_explorer.tui.core.key_queue import is_input
from cnn_explorer.tui.core.protocol import AppPaths
from textual import events
from textual.message import Message

from support.tui import HELPER_COMMAND
from support.typing_model import more_observed, observed

ANSWER_S = 60
"""After so long the app answers that what was typed is not handled yet."""


class ReportingApp(ExplorerApp):
    """The app with an ear for a signal."""

    CSS_PATH = Path(tui.__file__).with_name("app.tcss")
    report = Path()
    keys = 0

    def post_message(self, message: Message) -> bool:
        self.keys += isinstance(message, events.Key) and is_input(message)
        return super().post_message(message)

    def on_mount(self) -> None:
        # Textual calls the handler of the class above as well.
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._asked)

    def _asked(self) -> None:
        self.run_worker(self._write(), exit_on_error=False)

    async def _write(self) -> None:
        said: dict[str, Any] = {"keys": self.keys}
        try:
            await asyncio.wait_for(self.key_queue.done(), ANSWER_S)
            said = observed(self) | more_observed(self) | {"keys": self.keys}
        except Exception:  # a screen may be half built, or the queue stand still; the test asks again
            said["problem"] = f"{traceback.format_exc()}{self.screen_stack}"
        beside = self.report.with_suffix(".new")
        beside.write_text(json.dumps(said))
        os.replace(beside, self.report)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    app = ReportingApp(
        AppPaths(folder / "runs", folder / "data", folder / "state", folder / "cache"), helper_command=HELPER_COMMAND
    )
    ReportingApp.report = Path(sys.argv[2])
    app.run()
