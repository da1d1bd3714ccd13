"""The one queue of what is typed: a key is handed on when everything that the key before it started is over.

Textual hands each key, when it arrives, to the widget that has the focus then. Bindings run, screens open and the focus
moves later, so keys that arrive together would all go to the widget that had the focus before the first of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable
from weakref import WeakSet

from textual import events
from textual.app import App
from textual.command import CommandPalette
from textual.message import Message
from textual.message_pump import MessagePump
from textual.screen import Screen

QUICK_TURNS = 200
NAP_S = 0.01
PATIENT_NAPS = 300
URGENT_NAPS = 30
"""How long a key waits, in turns of the event loop and not in seconds: on a busy machine a turn takes longer, and so does
the work."""
URGENT = frozenset({"ctrl+c", "ctrl+q"})
MOVES = frozenset({"j", "k", "J", "K", "up", "down", "left", "right", "pageup", "pagedown"})
"""Keys that move something and never the focus: the repeats of one go together, and what follows is painted once."""

Input: TypeAlias = events.Key | events.Paste | events.MouseEvent


def is_input(message: Message) -> TypeGuard[Input]:
    """Return whether this came from the terminal just now; an event that bubbles up has been handed on already."""
    return isinstance(message, Input) and not message.is_forwarded


def rests(pump: MessagePump) -> bool:
    """Return whether a widget, screen or app has nothing to do: no message waits, and none is being handled."""
    if pump._closing or pump._closed or (pump._task is None and not pump._running):
        return True
    queue = pump._message_queue
    # Only a pump that handles nothing waits for its queue; one that awaits something in a handler does not.
    return queue.empty() and bool(queue.ready_event._waiters)


@runtime_checkable
class KeepsCommands(Protocol):
    """A widget that puts off what a key asked for until something is drawn; the keys behind it wait as well."""

    @property
    def has_commands_waiting(self) -> bool:
        """Whether it has put off anything."""
        ...

    def drop_commands(self) -> None:
        """Drop what was put off."""
        ...


def keeps_commands(pump: MessagePump) -> bool:
    """Return whether a widget has put off what a key asked for."""
    return bool(getattr(pump, "has_commands_waiting", False))


class KeyQueue:
    """Keys, pasted text and the mouse, in the order of arrival. ``release`` hands an event to the app.

    Keys, pasted text and mouse buttons wait until the app rests; a mouse that only moves or scrolls waits for nothing but
    what came before it. When the app does not rest for seconds, something hangs: what was typed ahead is dropped, because it
    was meant for what never came, and ``dropped`` learns of it. Urgent keys are kept, and shorten the wait.
    """

    def __init__(
        self, app: App[Any], release: Callable[[events.Event], object], dropped: Callable[[int], None]
    ) -> None:
        self._app = app
        self._release = release
        self._dropped = dropped
        self._waiting: deque[Input] = deque()
        self._latest = ""
        self._task: asyncio.Task[None] | None = None
        self._stuck: WeakSet[MessagePump] = WeakSet()
        self._last: MessagePump | None = None
        self._let_go: asyncio.Future[None] | None = None

    def put(self, event: Input) -> None:
        """Pass an event on: now, or in its turn."""
        if self._task is None and (not self._waits(event) or self._busy(event) is None):
            self._hand_on(event)
            return
        self._waiting.append(event)
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="key queue")

    async def done(self) -> None:
        """Wait until everything that was typed has been handled."""
        if self._task is not None:
            await asyncio.wait({self._task})
        await self._wait_for_rest()

    async def guard(self, action: Coroutine[Any, Any, bool]) -> bool:
        """Run an action for the app, which waits for it only as long as the queue does; then it goes on by itself."""
        if self._let_go is None or self._let_go.done():
            self._let_go = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(action)
        try:
            await asyncio.wait({task, self._let_go}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done():
            return task.result()
        task.add_done_callback(self._ended_late)
        return True

    def _ended_late(self, task: asyncio.Task[bool]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._app._handle_exception(error)

    def _waits(self, event: Input) -> bool:
        """Return whether the app has to rest before this event."""
        if isinstance(event, events.Key):
            return event.key not in MOVES or event.key != self._latest
        return isinstance(event, (events.Paste, events.MouseDown, events.MouseUp))

    def _hand_on(self, event: Input) -> None:
        if self._waits(event):
            self._latest = event.key if isinstance(event, events.Key) else ""
        self._release(event)

    @staticmethod
    def _is_urgent(event: Input) -> bool:
        return isinstance(event, events.Key) and event.key in URGENT

    async def _work(self) -> None:
        """Pass on the events that wait, one after the other."""
        try:
            while self._waiting:
                if self._waits(self._waiting[0]):
                    await self._wait_for_rest()
                if self._waiting:
                    self._hand_on(self._waiting.popleft())
        finally:
            self._task = None

    async def _wait_for_rest(self) -> None:
        """Wait until the app rests, or give up."""
        turns = 0
        while self._busy(self._waiting[0] if self._waiting else None) is not None:
            naps = URGENT_NAPS if any(map(self._is_urgent, self._waiting)) else PATIENT_NAPS
            if turns > QUICK_TURNS + naps:
                self._give_up()
                return
            turns += 1
            await asyncio.sleep(0 if turns <= QUICK_TURNS else NAP_S)

    def _busy(self, event: Input | None = None) -> MessagePump | None:
        """Return one that has something to do yet before ``event``, or None."""
        if self._app._exit:
            return None
        # The one that was busy a moment ago is looked at first: mostly it still is, and the others need no look.
        if self._last is None or self._last in self._stuck or rests(self._last):
            self._last = next(self._all_busy(event), None)
        return self._last

    def _all_busy(self, event: Input | None = None) -> Iterator[MessagePump]:
        """Yield those that have something to do before ``event``, without those that were given up."""
        for pump in [pump for pump in self._stuck if rests(pump)]:
            self._stuck.discard(pump)
        for pump in (self._app, *self._app._registry):
            if pump not in self._stuck and (not rests(pump) or keeps_commands(pump)):
                yield pump
        stack = self._app._screen_stacks.get(self._app._current_mode)
        # What is to be done after the next paint: a tab whose pane was made just now takes the focus then.
        # And what gets another size with it.
        if stack and (stack[-1]._callbacks or stack[-1]._layout_required) and stack[-1] not in self._stuck:
            yield stack[-1]
        # Enter would choose from what was found for the words before.
        if stack and isinstance(event, events.Key) and not event.is_printable and self._searches(stack[-1]):
            yield stack[-1]

    def _searches(self, screen: Screen[Any]) -> bool:
        """Return whether this is the palette, which still looks for what was typed."""
        if not isinstance(screen, CommandPalette):
            return False
        return any(worker.node is screen and not worker.is_finished for worker in self._app.workers)

    def _give_up(self) -> None:
        """Give up a widget that hangs: do not wait for it again before it rests, and let the app go on."""
        kept = [event for event in self._waiting if self._is_urgent(event)]
        count = len(self._waiting) - len(kept)
        self._waiting = deque(kept)
        busy = list(self._all_busy())
        for pump in busy:
            if isinstance(pump, KeepsCommands):
                pump.drop_commands()
        self._stuck.update(busy)
        if self._let_go is not None and not self._let_go.done():
            self._let_go.set_result(None)
        if count:
            self._dropped(count)
