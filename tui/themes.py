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


def register(app: App) -> None:
    """Make the themes known; "ansi-dark" and "ansi-light", the terminal's own colours, are Textual's."""
    for theme in (DARK, LIGHT, HIGH_CONTRAST, COLOUR_BLIND):
        app.register_theme(theme)
