"""Every command of the app, once: key bindings, the line at the foot, the palette and the help are made from this table.

``where`` names the place in which a command works: "app", a screen ("catalogue", "runs" …) or a widget ("list", "text").
A letter means the same wherever it works.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from textual.binding import Binding

KEY_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "escape": "esc",
    "space": "space",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "plus": "+",
    "minus": "-",
    "full_stop": ".",
    "comma": ",",
    "pageup": "page up",
    "pagedown": "page down",
    "equals_sign": "=",
}


@dataclass(frozen=True)
class Command:
    """``action`` is Textual's name of what to do, ``foot`` the word in the line at the foot ("": not shown there).

    ``rank`` orders that line: what matters most stays when it is narrow. ``priority`` binds before any widget can.
    """

    keys: str
    action: str
    help: str
    where: str
    foot: str = ""
    rank: int = 50
    priority: bool = False
    palette: bool = True

    @property
    def shown_key(self) -> str:
        """The first key as a person would write it."""
        return key_name(self.keys.split(",")[0])

    @property
    def shown_keys(self) -> str:
        """All keys as a person would write them."""
        return " ".join(key_name(key) for key in self.keys.split(","))


def key_name(key: str) -> str:
    """``question_mark`` as ``?``, ``ctrl+f`` as it is."""
    return KEY_NAMES.get(key, key)


COMMANDS: tuple[Command, ...] = (
    # Everywhere
    Command("question_mark,f1", "help", "Keys of this screen", "app", "help", rank=1),
    Command("q", "leave", "Quit; runs go on without the app", "app", "quit", rank=40),
    Command("ctrl+c", "interrupt", "Quit, pressed twice", "app", priority=True, palette=False),
    Command("ctrl+z", "suspend_process", "Put the app to sleep; `fg` wakes it", "app", priority=True),
    Command("ctrl+p", "command_palette", "All commands by name", "app", "commands", rank=60, palette=False),
    Command("w", "show_runs", "Watch runs", "app", "runs", rank=12),
    Command("a", "show_catalogue", "The architectures", "app", "architectures", rank=13),
    Command("escape", "back", "Back", "app", "back", rank=45, palette=False),
    # Lists
    Command("j,down", "cursor_down", "Down", "list", palette=False),
    Command("k,up", "cursor_up", "Up", "list", palette=False),
    Command("g,home", "cursor_first", "To the first line", "list", palette=False),
    Command("G,end", "cursor_last", "To the last line", "list", palette=False),
    Command("ctrl+d,pagedown", "page_down", "A page down", "list", palette=False),
    Command("ctrl+u,pageup", "page_up", "A page up", "list", palette=False),
    Command("enter", "choose", "Open what the cursor is on", "list", "open", rank=5, palette=False),
    # Text
    Command("j,down", "scroll_line_down", "Down", "text", palette=False),
    Command("k,up", "scroll_line_up", "Up", "text", palette=False),
    Command("g,home", "scroll_first", "To the beginning", "text", palette=False),
    Command("G,end", "scroll_last", "To the end", "text", palette=False),
    Command("ctrl+d,pagedown,space", "scroll_page_down", "A page down", "text", palette=False),
    Command("ctrl+u,pageup", "scroll_page_up", "A page up", "text", palette=False),
    Command("right_square_bracket", "next_link", "The next link", "text", palette=False),
    Command("left_square_bracket", "previous_link", "The link before", "text", palette=False),
    Command("enter", "follow_link", "Follow the link", "text", "follow link", rank=5, palette=False),
    Command("left", "scroll_left", "To the left, where a diagram is wider than the screen", "text", palette=False),
    Command("right", "scroll_right", "To the right", "text", palette=False),
    # The layer table
    Command("space,enter", "toggle", "Open or close the row", "layers", "open", rank=5, palette=False),
    Command("right", "open", "Open the row", "layers", palette=False),
    Command("left", "close", "Close the row, or go to the one above it", "layers", palette=False),
    Command("plus,equals_sign", "depth(1)", "One level more", "layers", "deeper", rank=6),
    Command("minus", "depth(-1)", "One level less", "layers"),
    Command("u", "only_changes", "Only where the size changes", "layers", "size changes", rank=7),
    # The catalogue
    Command("t", "train", "Train this network", "catalogue", "train", rank=10),
    Command("slash", "filter", "Filter the list as you type", "catalogue", "filter", rank=11),
    Command("o", "order", "Order by year, name, parameters or multiply-adds", "catalogue", "order", rank=20),
    Command("1", "tab('note')", "The note", "catalogue", "note", rank=30),
    Command("2", "tab('layers')", "The layer table", "catalogue", "layers", rank=31),
    Command("f", "form", "Paper form or small form", "catalogue", "form", rank=21),
    Command("J", "pane_down", "Scroll the note from the list", "catalogue", palette=False),
    Command("K", "pane_up", "Scroll the note from the list, up", "catalogue", palette=False),
    # Runs
    Command("s", "stop", "Stop this run; a checkpoint is written", "runs", "stop", rank=10),
    Command("r", "resume", "Resume this run from its last checkpoint", "runs", "resume", rank=11),
    Command("slash", "filter", "Filter the list as you type", "runs", "filter", rank=15),
    Command("x", "axis", "X axis: epoch, step, time or pictures seen", "runs", "x axis", rank=20),
    Command("l", "log", "Loss on a logarithmic axis", "runs", "log y", rank=21),
    Command("full_stop", "smooth(1)", "Smoother curves", "runs", "smooth", rank=22),
    Command("comma", "smooth(-1)", "Less smooth curves", "runs", rank=23),
    # Dialogs
    Command("enter", "submit", "Go on", "dialog", "go on", rank=1, palette=False),
    Command("escape", "cancel", "Close without doing anything", "dialog", "cancel", rank=2, palette=False),
    Command("ctrl+c", "app.interrupt", "Quit, pressed twice", "dialog", priority=True, palette=False),
    Command("tab", "app.focus_next", "Next field", "dialog", "next field", rank=3, palette=False),
    Command("y", "agree", "Yes", "confirm", "yes", rank=3, palette=False),
    Command("n", "cancel", "No", "confirm", "no", rank=4, palette=False),
    Command("question_mark,q", "cancel", "Close the help", "help", palette=False),
    Command("ctrl+s", "submit", "Start from any field", "launch", "start", rank=0, palette=False),
)


def of(*places: str) -> tuple[Command, ...]:
    """The commands that work in any of the places, in the order of the table."""
    return tuple(command for command in COMMANDS if command.where in places)


def bindings(place: str, commands: Iterable[Command] = COMMANDS) -> list[Binding]:
    """What Textual binds in a place."""
    return [
        Binding(command.keys, command.action, command.help, show=False, priority=command.priority)
        for command in commands
        if command.where == place
    ]
