"""The colours to choose from. Each theme keeps the same roles, and none of them is needed to understand a screen."""

from __future__ import annotations

from textual.app import App
from textual.theme import Theme

DARK = Theme(
    name="dark",
    primary="#4c9be8",
    secondary="#3d6f9e",
    accent="#e0a458",
    warning="#f0a030",
    error="#e06070",
    success="#60b878",
    background="#101214",
    surface="#181b1f",
    panel="#262c33",
    foreground="#e4e6e8",
    dark=True,
)
LIGHT = Theme(
    name="light",
    primary="#005fb8",
    secondary="#4a6f94",
    accent="#9a5b00",
    warning="#a05a00",
    error="#b00030",
    success="#1e7a3c",
    background="#fbfbf9",
    surface="#f1f1ee",
    panel="#dfe3e8",
    foreground="#1c1e20",
    dark=False,
)
HIGH_CONTRAST = Theme(
    name="high-contrast",
    primary="#6cc7ff",
    secondary="#a8d8ff",
    accent="#ffd75f",
    warning="#ffd75f",
    error="#ff8080",
    success="#7dff8a",
    background="#000000",
    surface="#000000",
    panel="#303030",
    foreground="#ffffff",
    dark=True,
    variables={"border-blurred": "#a0a0a0"},
)
# The palette of M. Okabe and K. Ito, "Color Universal Design" (2008), told apart with any kind of colour vision.
COLOUR_BLIND = Theme(
    name="colour-blind",
    primary="#56b4e9",
    secondary="#0072b2",
    accent="#f0e442",
    warning="#e69f00",
    error="#d55e00",
    success="#009e73",
    background="#101214",
    surface="#181b1f",
    panel="#262c33",
    foreground="#e8e8e8",
    dark=True,
)

CURVES = {
    "dark": ("#4c9be8", "#f0a030", "#60b878", "#e06070", "#c490e4", "#5cc8d0", "#e4e6e8"),
    "light": ("#005fb8", "#a05a00", "#1e7a3c", "#b00030", "#7a3ea8", "#006d77", "#1c1e20"),
    "high-contrast": ("#6cc7ff", "#ffd75f", "#7dff8a", "#ff8080", "#ffa8ff", "#80ffff", "#ffffff"),
    "colour-blind": ("#56b4e9", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#f0e442", "#e8e8e8"),
}
"""The colours of curves, one after the other for the runs of a chart."""
ANSI_CURVES = ("ansi_blue", "ansi_yellow", "ansi_green", "ansi_red", "ansi_magenta", "ansi_cyan", "ansi_default")


def curve_colours(theme: str) -> tuple[str, ...]:
    """Return the colours of curves in a theme; the terminal's own where it is made of those."""
    return CURVES.get(theme, ANSI_CURVES)


def register(app: App) -> None:
    """Make the themes known; "ansi-dark" and "ansi-light", the terminal's own colours, are Textual's."""
    for theme in (DARK, LIGHT, HIGH_CONTRAST, COLOUR_BLIND):
        app.register_theme(theme)


def begin_with(app: App, name: str) -> None:
    """Give the app its first theme, before the style sheets are parsed.

    Setting `App.theme` does the same and has Textual parse all style sheets once more, for which a person would wait.
    """
    app.set_reactive(App.theme, name)
    theme = app.current_theme
    classes = {f"-theme-{name}": True, "-dark-mode": theme.dark, "-light-mode": not theme.dark}
    app.update_classes(classes, update=False)
    app._refresh_truecolor_filter(app.ansi_theme)
    app.stylesheet.set_variables(app.get_css_variables())
