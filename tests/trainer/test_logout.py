"""A detached run that a logout would end is warned of, with a loginctl that is made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from cnn_explorer.trainer.launch import logout

SESSION = "0::/user.slice/user-1000.slice/session-3.scope\n"
MANAGER = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/terminal.scope\n"
LOGINCTL = """#!/bin/sh
case "$*" in
  "show-user --property=KillUserProcesses --value") echo {kill} ;;
  "show-user --property=KillExcludeUsers --value") echo root {spared} ;;
  "show-user {user} --property=Linger --value") echo {linger} ;;
  *) exit 1 ;;
esac
"""


@pytest.mark.parametrize(
    ("place", "kill", "spared", "linger", "said"),
    [
        (SESSION, "yes", "", "no", "systemd-run --user --scope"),
        (
            SESSION,
            "yes",
            "",
            "yes",
            "systemd-run --user --scope",
        ),  # lingering alone does not spare a session's processes
        (SESSION, "yes", "ada", "no", None),
        (SESSION, "no", "", "no", None),
        (MANAGER, "no", "", "no", "your last logout"),
        (MANAGER, "no", "", "yes", None),
        ("0::/system.slice/ssh.service\n", "yes", "", "no", None),
    ],
)
def test_what_a_logout_would_end(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    kill: str,
    spared: str,
    linger: str,
    said: str | None,
) -> None:
    monkeypatch.setattr(logout.getpass, "getuser", lambda: "ada")
    (tmp_path / "cgroup").write_text(place)
    program = tmp_path / "loginctl"
    program.write_text(LOGINCTL.format(kill=kill, spared=spared, linger=linger, user="ada"))
    program.chmod(0o755)
    monkeypatch.setattr(logout, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = logout.warning()
    assert found is None if said is None else said in (found or "")


def test_without_systemd_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logout, "CGROUP", tmp_path / "missing")
    assert logout.warning() is None
    (tmp_path / "cgroup").write_text(SESSION)
    monkeypatch.setattr(logout, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert logout.warning() is None
