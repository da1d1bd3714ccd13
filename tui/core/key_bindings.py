"""Every command of the app, once: key bindings, the line at the foot, the palette and the help are made from this table.

``where`` names the place in which a command works: "app", a screen ("catalogue", "runs" …) or a widget ("list", "text").
A letter means the same wherever it works.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from textual.binding import Binding, BindingType

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
    "colon": ":",
    "comma": ",",
    "pageup": "page up",
    "pagedown": "page down",
    "equals_sign": "=",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "number_sign": "#",
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
    """Return a key as it is shown: ``question_mark`` as ``?``, ``ctrl+f`` as it is."""
    return KEY_NAMES.get(key, key)


COMMANDS: tuple[Command, ...] = (
    # Everywhere
    Command("question_mark,f1", "help", "Keys of this screen", "app", "help", rank=1),
    Command("q", "leave", "Quit; runs go on without the app", "app", "quit", rank=40),
    Command("ctrl+c", "interrupt", "Quit, pressed twice", "app", priority=True, palette=False),
    Command("ctrl+z", "suspend_process", "Put the app to sleep; `fg` wakes it", "app", priority=True),
    Command(
        "ctrl+p,colon",
        "command_palette",
        "Go to a network, a run or a concept by its name, or do any command",
        "app",
        "commands",
        rank=60,
        palette=False,
    ),
    Command("w", "show_runs", "Watch runs", "app", "runs", rank=12),
    Command("a", "show_catalogue", "The architectures", "app", "architectures", rank=13),
    Command("b", "show_bench", "The convolution bench", "app", "bench", rank=35),
    Command("C", "show_concepts", "The concept pages", "app", "concepts", rank=36),
    Command("ctrl+f,E", "search", "Look up words in all notes and concepts", "app", "search", rank=34),
    # Where no list is filtered, too: what is typed after it goes into a line, and acts on nothing.
    Command("slash", "search", "Look up words, where there is no list to filter", "app", palette=False),
    Command("y", "copy", "Copy what is shown to the clipboard", "app", "copy", rank=37),
    Command("e", "export", "Write what is shown to a file: text, JSON or SVG", "app", "export", rank=38),
    Command("T", "next_theme", "Other colours", "app", "colours", rank=61),
    Command("Y", "next_signs", "Other signs: Unicode, shades or ASCII", "app", "signs", rank=61),
    Command("Q", "toggle_questions", "Questions on or off", "app", rank=62),
    Command("escape", "back", "Back", "app", "back", rank=13, palette=False),
    # Lists
    Command("j,down", "cursor_down", "Down", "list", palette=False),
    Command("k,up", "cursor_up", "Up", "list", palette=False),
    Command("g,home", "cursor_first", "To the first line", "list", palette=False),
    Command("G,end", "cursor_last", "To the last line", "list", palette=False),
    Command("ctrl+d,pagedown", "page_down", "A page down", "list", palette=False),
    Command("ctrl+u,pageup", "page_up", "A page up", "list", palette=False),
    Command("enter", "choose", "Open what the cursor is on", "list", "open", rank=5, palette=False),
    # The line in which a list is filtered
    Command("enter", "keep", "Keep the filter and go to the list", "filter", "keep the filter", rank=1, palette=False),
    Command("escape", "drop", "Drop the filter", "filter", "drop it", rank=2, palette=False),
    Command("down", "move(1)", "The next line of the list", "filter", "next line", rank=3, palette=False),
    Command("up", "move(-1)", "The line before", "filter", "line before", rank=4, palette=False),
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
    Command("left", "scroll_side(-1)", "To the left, where a diagram is wider than the screen", "text", palette=False),
    Command("right", "scroll_side(1)", "To the right", "text", "more", rank=7, palette=False),
    # A text that is a page of its own, in which search finds lines
    Command("slash", "app.search", "Look up words in all notes and concepts", "found", "search", rank=8, palette=False),
    Command("n", "next_match", "The next line with the words searched for", "found", palette=False),
    Command("N", "previous_match", "The line with the words before", "found", palette=False),
    # The points
    Command("right", "go(1,0)", "The next network along the x axis", "chart", palette=False),
    Command("left", "go(-1,0)", "The network before it", "chart", palette=False),
    Command("j,down", "go(0,1)", "The next network downwards", "chart", palette=False),
    Command("k,up", "go(0,-1)", "The next network upwards", "chart", palette=False),
    Command("x", "axes", "Other axes", "chart", "axes", rank=6),
    Command("enter", "choose", "Read about it", "chart", "open", rank=5, palette=False),
    # The layer table
    Command("space,enter", "toggle", "Open or close the row", "layers", "open", rank=5, palette=False),
    Command("right", "open", "Open the row", "layers", palette=False),
    Command("left", "close", "Close the row, or go to the one above it", "layers", palette=False),
    Command("plus,equals_sign", "depth(1)", "One level more", "layers", "deeper", rank=6),
    Command("minus", "depth(-1)", "One level less", "layers"),
    Command("u", "only_changes", "Only where the size changes", "layers", "size changes", rank=7),
    Command("O", "without_minor", "Without activations and changes of layout, or with them", "layers"),
    Command("I", "torchinfo", "torchinfo's own summary, and how its totals compare", "layers", "torchinfo", rank=8),
    Command("p", "predict", "A question about this layer", "layers", "predict", rank=9),
    # torchinfo's own summary
    Command("plus,equals_sign", "depth(1)", "One level more", "torchinfo", "deeper", rank=2),
    Command("minus", "depth(-1)", "One level less", "torchinfo", "less", rank=2),
    Command("s", "columns", "Which columns are shown", "torchinfo", "columns", rank=3),
    Command("I", "torchinfo", "Back to the layer tree", "torchinfo", "layers", rank=4),
    Command("e", "export", "Write all of it to a file", "torchinfo", "save", rank=4, palette=False),
    Command("y", "copy", "Copy all of it to the clipboard", "torchinfo", "copy", rank=5, palette=False),
    # The walk
    Command("right", "into", "Into the block; of a layer, one output value", "walk", "into", rank=5),
    Command("left", "out", "Out of the block", "walk", "out", rank=6),
    Command("h", "hide", "Hide what comes out of the steps to come, or show it", "walk", "hide", rank=7),
    Command("p", "predict", "A question about this step", "walk", "predict", rank=8),
    Command("down,j", "go(0,1,0)", "The value below", "pixel", palette=False),
    Command("up,k", "go(0,-1,0)", "The value above", "pixel", palette=False),
    Command("right", "go(0,0,1)", "The value to the right", "pixel", "move", rank=5, palette=False),
    Command("left", "go(0,0,-1)", "The value to the left", "pixel", palette=False),
    Command("full_stop", "go(1,0,0)", "The next output channel", "pixel", "next channel", rank=6, palette=False),
    Command("comma", "go(-1,0,0)", "The output channel before", "pixel", palette=False),
    Command("W", "trained", "The weights of a trained run, or newly drawn ones", "pixel", "trained weights", rank=7),
    # The model file
    Command("j,down", "move(1)", "Down", "code", palette=False),
    Command("k,up", "move(-1)", "Up", "code", palette=False),
    Command("g,home", "first", "To the beginning", "code", palette=False),
    Command("G,end", "last", "To the end", "code", palette=False),
    Command("ctrl+d,pagedown,space", "page(1)", "A page down", "code", palette=False),
    Command("ctrl+u,pageup", "page(-1)", "A page up", "code", palette=False),
    Command("right_square_bracket", "definition(1)", "The next class or function", "code", "next class", rank=6),
    Command("left_square_bracket", "definition(-1)", "The class or function before", "code"),
    Command("left", "side(-1)", "To the left, where lines are wider than the pane", "code", palette=False),
    Command("right", "side(1)", "To the right", "code", "more", rank=7, palette=False),
    Command("enter", "pick", "The layers of this class", "code", "its layers", rank=5),
    # The difference
    Command("A", "other", "Compare with another network", "diff", "another", rank=5),
    Command("o", "order", "Sort by the next column", "diff", "order", rank=6),
    # The catalogue
    Command("t", "train", "Train this network", "catalogue", "train", rank=10),
    Command("slash", "filter", "Filter the list as you type", "catalogue", "filter", rank=11),
    Command("v", "view", "List, family tree or chart", "catalogue", "view", rank=14),
    Command("o", "order", "Order by year, family, name, parameters, MACs or tag", "catalogue", "order", rank=20),
    Command("m", "mark", "Mark for comparing, up to four", "catalogue", "mark", rank=16),
    Command("c", "compare", "Compare the marked networks", "catalogue", "compare", rank=17),
    Command("1", "tab('note')", "The note", "catalogue"),
    Command("2", "tab('layers')", "The layer table", "catalogue"),
    Command("3", "tab('walk')", "Step through the network", "catalogue"),
    Command("4", "tab('code')", "The model file", "catalogue"),
    Command("5", "tab('diff')", "What changed against its predecessor", "catalogue"),
    Command("6", "tab('runs')", "Its runs", "catalogue"),
    Command("p", "predict", "A question to predict, then reveal", "catalogue", "predict", rank=23),
    Command("f", "stem", "Stem: imagenet or small", "catalogue", "stem", rank=21),
    Command("d", "code", "The definition of the selected layer in the model file", "catalogue", "definition", rank=24),
    Command("i", "image", "Another image size, other channels, another batch", "catalogue", "image", rank=22),
    Command("J", "pane_down", "Scroll the pane from the list", "catalogue", palette=False),
    Command("K", "pane_up", "Scroll the pane from the list, up", "catalogue", palette=False),
    # A list with panes beside it
    Command("z", "zoom", "The pane at hand with the whole screen, or both again", "two-panes", "zoom", rank=15),
    Command("H", "border(-1)", "Move the border between list and pane to the left", "two-panes"),
    Command("L", "border(1)", "Move it to the right", "two-panes", "border", rank=41),
    # Side by side
    Command("z", "zoom", "The table with the whole screen, or with the bars below it", "compare", "zoom", rank=15),
    Command(
        "right",
        "network(1)",
        "The next network: enter opens it where it tells of the row",
        "compare",
        "network",
        rank=6,
        palette=False,
    ),
    Command("left", "network(-1)", "The network before", "compare", palette=False),
    Command("f", "stem", "Stem: imagenet or small", "compare", "stem", rank=10),
    Command("p", "predict", "A question about two of them", "compare", "predict", rank=11),
    # The concept pages
    Command("p", "predict", "A question about a term of this page", "pages", "predict", rank=9),
    # The convolution bench
    Command("p", "predict", "A question about sizes and weights", "bench", "predict", rank=9),
    Command("left", "window(0,-1)", "The window to the left", "bench", palette=False),
    Command("right", "window(0,1)", "The window to the right", "bench", "move", rank=5, palette=False),
    Command("K", "window(-1,0)", "The window up", "bench", palette=False),
    Command("J", "window(1,0)", "The window down", "bench", palette=False),
    Command("space", "play", "Let the window go by itself, or stop it", "bench", "play", rank=6),
    Command("plus,equals_sign", "change(1)", "The next value of the setting", "bench", "change", rank=7),
    Command("minus", "change(-1)", "The value before", "bench"),
    Command("full_stop", "channel(1)", "The next output channel", "bench", "channel", rank=8),
    Command("comma", "channel(-1)", "The output channel before", "bench"),
    # The line in which a list is filtered
    # The list of runs
    Command("slash", "filter", "Filter the list as you type", "runs", "filter", rank=15),
    # Charts, wherever the focus is
    Command("x", "chart('axis')", "X axis: epoch, step, time or images seen", "charts", "x axis", rank=20),
    Command("l", "chart('log')", "The chosen chart on a logarithmic axis, or not", "charts", "log y", rank=21),
    Command("full_stop", "chart('smoother')", "Smoother curves", "charts", "smooth", rank=22),
    Command("comma", "chart('rougher')", "Less smooth curves", "charts", rank=23),
    Command(
        "W",
        "chart('window')",
        "Everything, or only the end: last 50, 20, 5 %, 1000, 100 steps",
        "charts",
        "window",
        rank=24,
    ),
    Command(
        "F", "chart('freeze')", "Hold the x axis still while runs go on, or follow them", "charts", "freeze", rank=25
    ),
    Command("v", "chart('choose')", "Which charts are shown", "charts", "charts", rank=26),
    Command("plus,equals_sign", "chart('closer')", "Half of the x axis, around the cursor", "charts", "zoom", rank=27),
    Command("minus", "chart('wider')", "Twice as much of the x axis", "charts"),
    Command("0", "chart('whole')", "The whole x axis", "charts"),
    Command("less_than_sign", "chart('earlier')", "Move to the left", "charts"),
    Command("greater_than_sign", "chart('later')", "Move to the right", "charts"),
    # Charts that have the focus
    Command(
        "right",
        "cursor(1)",
        "The cursor to the right: the values of the curves there",
        "grid",
        "values",
        rank=6,
        palette=False,
    ),
    Command("left", "cursor(-1)", "The cursor to the left", "grid", palette=False),
    Command("ctrl+right", "cursor(10)", "Ten cells to the right", "grid", palette=False),
    Command("ctrl+left", "cursor(-10)", "Ten cells to the left", "grid", palette=False),
    Command("home,g", "cursor(-10000)", "The cursor to the left end", "grid", palette=False),
    Command("end,G", "cursor(10000)", "The cursor to the right end", "grid", palette=False),
    Command("j,down", "other(1)", "The next chart", "grid", palette=False),
    Command("k,up", "other(-1)", "The chart before", "grid", palette=False),
    Command("ctrl+d,pagedown", "page(1)", "The next page of charts", "grid", palette=False),
    Command("ctrl+u,pageup", "page(-1)", "The page before", "grid", palette=False),
    Command(
        "z,enter", "chart('one')", "This chart with the whole screen, or all of them again", "grid", "zoom", rank=15
    ),
    Command(
        "o", "order", "Order by age, accuracy, network, data set, state, time left or tags", "runs", "order", rank=28
    ),
    Command("U", "unmark", "Remove all marks and the pin", "runs", "unmark", rank=29),
    Command("d", "differences", "What differs between this run and the marked ones", "runs", "what differs", rank=13),
    Command("B", "all_marked", "With all marked runs: tags, or stop them", "runs", "all marked", rank=13),
    Command("M", "machine", "What the machine is doing, shown or hidden", "runs", "machine", rank=31),
    # One run, in the list or on its own screen
    Command("s", "stop", "Stop this run; a checkpoint is written", "one-run", "stop", rank=9),
    Command("S", "keep_best", "End this run here and evaluate its best weights", "one-run", "keep best", rank=10),
    Command("X", "skip", "Take this run out of its queue", "one-run", "skip", rank=9),
    Command("r", "resume", "Resume this run from its last checkpoint", "one-run", "resume", rank=9),
    Command(
        "m,space", "mark", "Mark this run: its curves are drawn with those of the others", "one-run", "mark", rank=14
    ),
    Command("p", "pin", "Pin this run: its curves are drawn over the others", "one-run", "pin", rank=16),
    Command("i", "explain", "What the sentences on the curve mean", "one-run", "explain", rank=17),
    Command("P", "predict", "A question about its curves", "one-run", "predict", rank=34),
    Command("c", "clone", "Train again with changes", "one-run", "clone", rank=18),
    Command("t", "train", "Train this network again", "one-run", "train", rank=30),
    Command("n", "edit_notes('remark')", "A remark on this run", "one-run", "remark", rank=32),
    Command("number_sign", "edit_notes('tags')", "Tags of this run", "one-run", "tags", rank=33),
    Command("D,delete", "delete", "Delete this run; it stays in the bin for seven days", "one-run", "delete", rank=39),
    Command("u", "undelete", "Bring back the run deleted last, or one from the bin", "one-run"),
    # The screen of one run
    Command("z", "zoom", "This tab with the whole screen, or with the lines above it", "run", "zoom", rank=15),
    Command("1", "tab('overview')", "The overview: loss and accuracy at a glance", "run", "overview", rank=7),
    Command("2", "tab('charts')", "The charts: cursor, zoom, grid, many runs", "run", "charts", rank=7),
    Command("3", "tab('classes')", "Accuracy of each class", "run"),
    Command("4", "tab('confusion')", "Which classes are mistaken for which", "run"),
    Command("5", "tab('log')", "What it printed", "run", "log", rank=8),
    Command("6", "tab('setup')", "Its configuration and its files", "run", "setup", rank=8),
    Command("o", "order", "Classes in their order, or the worst first", "run", "order", rank=8),
    # What differs between runs
    Command(
        "d", "everything", "All settings, or only those in which they differ", "differences", "all settings", rank=5
    ),
    # Lines of a log or a table
    Command("j,down", "scroll_lines(1)", "Down", "lines", palette=False),
    Command("k,up", "scroll_lines(-1)", "Up", "lines", palette=False),
    Command("g,home", "scroll_first", "To the beginning", "lines", palette=False),
    Command(
        "G,end",
        "scroll_last",
        "To the end, and stay there while the log grows",
        "lines",
        "end",
        rank=6,
        palette=False,
    ),
    Command("ctrl+d,pagedown,space", "scroll_page(1)", "A page down", "lines", palette=False),
    Command("ctrl+u,pageup", "scroll_page(-1)", "A page up", "lines", palette=False),
    Command("left", "scroll_side(-1)", "To the left, where lines are wider than the screen", "lines", palette=False),
    Command("right", "scroll_side(1)", "To the right", "lines", "more", rank=7, palette=False),
    # Dialogs
    Command("enter", "submit", "Go on", "dialog", "go on", rank=1, palette=False),
    Command("escape", "cancel", "Close without doing anything", "dialog", "cancel", rank=2, palette=False),
    Command("ctrl+c", "app.interrupt", "Quit, pressed twice", "dialog", priority=True, palette=False),
    Command("tab", "app.focus_next", "Next field", "dialog", "next field", rank=3, palette=False),
    Command("enter,n", "submit", "No: leave it as it is", "confirm", "no", rank=1, palette=False),
    Command("y", "agree", "Yes", "confirm", "yes", rank=3, palette=False),
    Command("enter,u", "submit", "Bring the run back", "bin", "bring back", rank=1, palette=False),
    Command("question_mark,q,escape,enter", "cancel", "Close the help", "help", "close", rank=0, palette=False),
    Command("ctrl+s", "submit", "Start from any field", "launch", "start", rank=0, palette=False),
    Command(
        "question_mark,f1",
        "help",
        "Keys of this form, and its settings explained",
        "launch",
        "help",
        rank=2,
        palette=False,
    ),
    Command("escape", "cancel", "Close; the changes are kept", "launch", "close", rank=2, palette=False),
    Command("enter", "type_value", "Type a value", "launch", "type", rank=1, palette=False),
    Command("plus,equals_sign,right", "change(1)", "The next value", "launch", "change", rank=2, palette=False),
    Command("minus,left", "change(-1)", "The value before", "launch", palette=False),
    Command(
        "delete,backspace", "reset", "Take the change of the setting back", "launch", "undo", rank=4, palette=False
    ),
    # The line of the form in which a value is typed
    Command("enter", "submit", "Keep what was typed", "entry", "keep", rank=1, palette=False),
    Command("escape", "cancel", "Take back what was typed", "entry", "take back", rank=2, palette=False),
    # The form
    Command("U", "reset_all", "Take all changes back", "launch", "undo all", rank=6, palette=False),
    Command(
        "i", "explain", "The page about this setting; escape comes back", "launch", "explain", rank=3, palette=False
    ),
    Command(
        "v", "everything", "All settings, or only those that have an effect", "launch", "all", rank=5, palette=False
    ),
)


def of(*places: str) -> tuple[Command, ...]:
    """Return the commands that work in any of the places, in the order of the table."""
    return tuple(command for command in COMMANDS if command.where in places)


def unshadowed(found: Iterable[Command], places: Sequence[str]) -> tuple[Command, ...]:
    """Return the commands whose key does nothing else in an earlier one of ``places``, in the order of the table."""
    kept = list(found)
    taken: set[str] = set()
    for command in sorted(kept, key=lambda command: places.index(command.where)):
        if command.keys.split(",")[0] in taken:
            kept.remove(command)
        taken.update(command.keys.split(","))
    return tuple(kept)


def while_typing(found: Iterable[Command], taken: Collection[str], places: Sequence[str]) -> tuple[Command, ...]:
    """Return the commands that work while something is typed, with the keys that are left to them.

    A key that types a letter does nothing else then, nor do those that the line takes for itself (``taken``), unless they
    are commands of the line: those of ``places``.
    """
    kept = []
    for command in found:
        keys = [key for key in command.keys.split(",") if not _types(key) and key not in taken]
        if command.where in places or command.priority:
            kept.append(command)
        elif keys:
            kept.append(replace(command, keys=",".join(keys)))
    return tuple(kept)


def _types(key: str) -> bool:
    """Return whether a key types a letter: ``t``, ``number_sign``, ``space``."""
    return key == "space" or (key_name(key).isascii() and len(key_name(key)) == 1)


def bindings(place: str, commands: Iterable[Command] = COMMANDS) -> list[BindingType]:
    """Return what Textual binds in a place."""
    return [
        Binding(command.keys, command.action, command.help, show=False, priority=command.priority)
        for command in commands
        if command.where == place
    ]
