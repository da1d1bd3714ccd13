"""Whether the locale asks for ASCII although Python writes UTF-8."""

from __future__ import annotations

from collections.abc import Mapping


def asks_for_ascii(environment: Mapping[str, str]) -> bool:
    """Return whether LC_ALL asks for the locale C. Python writes UTF-8 then, which the terminal may not take.

    Where LANG alone asks for it, Python changes the environment, and nobody can tell any more.
    """
    if environment.get("PYTHONIOENCODING") or environment.get("PYTHONUTF8"):
        return False
    return environment.get("LC_ALL") in ("C", "POSIX")
