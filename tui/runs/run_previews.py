"""A preview of each run that the list shows: how its accuracy went, and how fast it is. No Textual.

Only what is on the screen is read, only where the file changed, and a slow disk is asked less often.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..background_loop import BackgroundLoop
from ..charts.followers import OUTLINED, Follower, Followers

EVERY_S = 1.0
LONGEST_S = 5.0
SHARE = 0.1


@dataclass(frozen=True)
class RunPreview:
    """``accuracies`` of the validation, one an evaluation; before the first, some of the training. ``pace`` in images/s."""

    accuracies: tuple[float, ...] = ()
    pace: float | None = None


class PreviewWatch:
    """Looks at the runs that are wanted, again and again; ``on_previews`` gets those that changed, by id."""

    def __init__(
        self, on_previews: Callable[[dict[str, RunPreview]], None], followers: Followers, every_s: float = EVERY_S
    ) -> None:
        self._on_previews = on_previews
        self._followers = followers
        self._every_s = every_s
        self._loop: BackgroundLoop[tuple[Path, ...]] = BackgroundLoop(self._step, ())
        self._watched: dict[Path, Follower] = {}
        self._in_sight: set[Path] = set()
        self._told: dict[Path, int] = {}
        """The version of each run that was told last."""

    def want(self, paths: Sequence[Path]) -> None:
        """Set which runs are on the screen now."""
        self._loop.want(tuple(paths), at_once=bool(set(paths) - set(self._loop.wanted)))

    def stop(self) -> None:
        """End :meth:`run`."""
        self._loop.stop()

    def run(self) -> None:
        """Run the loop in a thread of its own, until :meth:`stop`."""
        try:
            self._loop.run()
        finally:
            for path in self._watched:
                self._followers.leave(path, whole=False)

    def _step(self, wanted: tuple[Path, ...]) -> float:
        """Look at the runs and tell what changed; returns when to come again."""
        begun = time.monotonic()
        changed = self._read_changed(wanted)
        if changed and not self._loop.stopped:
            self._on_previews(changed)
        took = time.monotonic() - begun
        return min(max(self._every_s, took / SHARE), LONGEST_S)

    def _read_changed(self, wanted: tuple[Path, ...]) -> dict[str, RunPreview]:
        for path in self._in_sight - set(wanted):
            self._watched[path].out_of_sight()
        self._in_sight = set(wanted) & self._watched.keys()
        changed = {}
        for path in wanted:
            if self._loop.stopped:
                break
            preview = self._again(path)
            self._in_sight.add(path)
            if preview is not None:
                changed[path.name] = preview
        return changed

    def _again(self, path: Path) -> RunPreview | None:
        """Read a run again; None where nothing is new, or another thread is still reading its first records."""
        if path not in self._watched:
            self._watched[path] = self._followers.watch(path, whole=False)
        follower = self._watched[path]
        more, recent_s = True, self._every_s / 2
        while more and not self._loop.stopped:
            more, recent_s = follower.read(whole=False, recent_s=recent_s), 0.0
        version = follower.version
        if follower.stage < OUTLINED or self._told.get(path) == version:
            return None
        self._told[path] = version
        return RunPreview(*follower.preview())
