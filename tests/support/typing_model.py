"""A model of where keys go in the app: which screen or dialog they open, and which field owns what is typed after that.

It knows nothing of how the app works. `random_keys` draws keys that, in the right order, delete, start and write nothing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from cnn_explorer.tui.screens.palette import PaletteScreen
from textual.widgets import Input

CTRL_F, CTRL_P, CTRL_U, ENTER, ESCAPE, BACKSPACE = "\x06", "\x10", "\x15", "\r", "\x1b", "\x7f"
TEXT = "vgg16DyDyesXSnqQtTwaCb#/?u tmcr0.5"
"""What is typed into fields: letters that delete, stop, export, quit or open something where no field has the focus."""
FILTERS = {"CatalogueScreen", "RunsScreen"}
OPENS = {
    "#": "RunNotesScreen",
    "n": "RunNotesScreen",
    "D": "ConfirmScreen",
    "e": "ExportScreen",
    "?": "HelpScreen",
    "u": "RunBinScreen",
    CTRL_F: "SearchScreen",
    CTRL_P: "PaletteScreen",
    "t": "LaunchScreen",
}
TYPED_INTO = {"RunNotesScreen", "SearchScreen", "PaletteScreen"}
KEYS = {
    "CatalogueScreen": f"/wajkytDX{CTRL_F}{CTRL_P}?e{ESCAPE}",
    "RunsScreen": f"/wajkyDDXsSru#nte{CTRL_F}{CTRL_P}?{ENTER}{ESCAPE}",
    "RunScreen": f"/wayDDXsSru#nte{CTRL_F}{CTRL_P}?{ESCAPE}",
    "ConfirmScreen": f"nD/jeu#X{ENTER}{ESCAPE}",
    "ExportScreen": f"jkyDnX/u#{ESCAPE}",
    "HelpScreen": f"jkDyen/X?q{ESCAPE}",
    "RunBinScreen": f"jkDyenu/X{ENTER}{ESCAPE}",
    "LaunchScreen": f"jkDyenwX/{ENTER}{ESCAPE}",
}
"""What may be pressed where no field has the focus. Not `y` where it deletes, Enter where it exports, ctrl+s, and `q`."""


@dataclass
class Field:
    """A field with the focus; ``chosen``: all of it, so that the next letter takes its place. ``known``: its text is."""

    text: str = ""
    chosen: bool = False
    known: bool = True


class TypingModel:
    """The app with one finished run, whose id, network, data set and state are ``words``."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.stack = ["CatalogueScreen"]
        self.filters = dict.fromkeys(FILTERS, "")
        self.field: Field | None = None

    @property
    def top(self) -> str:
        return self.stack[-1]

    @property
    def has_run(self) -> bool:
        """Whether there is a run that commands concern."""
        found = all(word in self.words for word in self.filters["RunsScreen"].lower().split())
        return self.top == "RunScreen" or (self.top == "RunsScreen" and found)

    def keys(self) -> str:
        """Return what may be pressed now."""
        if self.field is not None:
            leaving = ESCAPE if self.top not in FILTERS else ENTER + ESCAPE
            return TEXT + leaving * 4 + BACKSPACE + CTRL_U
        allowed = KEYS[self.top]
        if self.top == "CatalogueScreen" and self.filters[self.top]:
            return allowed.replace("t", "")  # which networks have these words is not known here
        return allowed

    def press(self, key: str) -> None:
        """Take the consequences of a key."""
        if self.field is not None:
            self._type(self.field, key)
        elif self.top in FILTERS or self.top == "RunScreen":
            self._on_screen(key)
        elif self.top == "LaunchScreen" and key == ENTER:
            self.field = Field(known=False)
        elif key == ESCAPE or key in self._closing():
            self.stack.pop()

    def _closing(self) -> str:
        return {"ConfirmScreen": f"n{ENTER}", "HelpScreen": "?q"}.get(self.top, "")

    def _type(self, field: Field, key: str) -> None:
        if key in (ENTER, ESCAPE):
            self._leave(field, key)
        elif key == CTRL_U or (key == BACKSPACE and field.chosen):
            field.text, field.chosen = "", False
        elif key == BACKSPACE:
            field.text = field.text[:-1]
        else:
            field.text, field.chosen = ("" if field.chosen else field.text) + key, False
        if self.top in FILTERS and self.field is not None:
            self.filters[self.top] = field.text

    def _leave(self, field: Field, key: str) -> None:
        self.field = None
        if self.top in FILTERS:
            self.filters[self.top] = "" if key == ESCAPE else field.text
        elif self.top != "LaunchScreen":
            self.stack.pop()

    def _on_screen(self, key: str) -> None:
        if key == ESCAPE:
            self._back()
        elif key == "/" and self.top in FILTERS:
            text = self.filters[self.top]
            self.field = Field(text, chosen=bool(text))
        elif key == "a":
            self._go_to("CatalogueScreen")
        elif key == "w":
            self._go_to("RunsScreen")
        elif key == ENTER and self.has_run:
            self.stack.append("RunScreen")
        elif self._opens(key):
            self.stack.append(OPENS[key])
            self.field = Field() if self.top in TYPED_INTO else None

    def _opens(self, key: str) -> bool:
        of_run = key in "#nD" or (key == "t" and self.top != "CatalogueScreen")
        needs = self.has_run if of_run else key != "u" or self.top != "CatalogueScreen"
        return key in OPENS and needs

    def _back(self) -> None:
        if self.top in FILTERS and self.filters[self.top]:
            self.filters[self.top] = ""
        elif len(self.stack) > 1:
            self._pop()

    def _go_to(self, screen: str) -> None:
        while screen in self.stack and self.top != screen:
            self._pop()
        if self.top != screen:
            self.stack.append(screen)

    def _pop(self) -> None:
        gone = self.stack.pop()
        if gone in self.filters:
            self.filters[gone] = ""

    def expected(self) -> dict[str, Any]:
        """Return what `observed` returns when the app has handled every key in its turn."""
        field = None if self.field is None else self.field.text if self.field.known else "?"
        filters = {name: text for name, text in self.filters.items() if name in self.stack}
        return {"stack": self.stack, "field": field, "filters": filters}


def observed(app: Any) -> dict[str, Any]:
    """Return the screens of the app, what stands in the field that has the focus, and the filters of the lists."""
    screens = app.screen_stack[1:]
    stack = ["PaletteScreen" if isinstance(screen, PaletteScreen) else type(screen).__name__ for screen in screens]
    field = app.focused.value if isinstance(app.focused, Input) else None
    if stack[-1] == "LaunchScreen" and field is not None:
        field = "?"
    pairs = zip(stack, screens, strict=True)
    filters = {name: screen.query_one("FilterInput").value for name, screen in pairs if name in FILTERS}
    return {"stack": stack, "field": field, "filters": filters}


def random_chunk(chance: random.Random, model: TypingModel) -> str:
    """Return keys for one write, which the model presses; an escape ends it, because with a letter it would be alt."""
    chunk = ""
    for _ in range(chance.randint(1, 14)):
        key = chance.choice(model.keys())
        model.press(key)
        chunk += key
        if key == ESCAPE:
            break
    return chunk


def more_observed(app: Any) -> dict[str, Any]:
    """Return what keys change that go astray, and what some dialogs come to."""
    state, screen, catalogue = app.saved_state, app.screen, app.screen_stack[1]
    found = {"view": state.view, "theme": app.theme, "pane": catalogue.panes.current, "quiz": state.quiz}
    if type(screen).__name__ == "LaunchScreen":
        found["form"] = dict(screen.form.changed)
    if type(screen).__name__ == "CatalogueScreen":
        found["image"] = screen.selection.image[1] if screen.selection else 0
    return found
