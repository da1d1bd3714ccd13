"""The lock of a run: kept by one process, handed down, freed by any death, and never held by a forked helper."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time

import pytest
from cnn_explorer.errors import UsageError, WorkError
from cnn_explorer.trainer.runs import lock as lock_module
from cnn_explorer.trainer.runs.lock import RunLock, is_locked
from support.patience import PATIENCE_S

HOLD = "import sys, time; from pathlib import Path; from cnn_explorer.trainer.runs.lock import RunLock; {}; time.sleep(600)"


def start(code: str, **options) -> subprocess.Popen:
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, **options)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def test_a_lock_is_seen_and_freed(tmp_path):
    assert is_locked(tmp_path) is False
    lock = RunLock.acquire(tmp_path)
    assert is_locked(tmp_path) is True
    lock.release()
    assert is_locked(tmp_path) is False
    assert not lock.held


def test_a_held_lock_is_refused_in_one_line(tmp_path):
    with RunLock.acquire(tmp_path), pytest.raises(WorkError, match="another process holds its lock"):
        RunLock.acquire(tmp_path, wait_s=0.1)


def test_acquiring_makes_the_directory(tmp_path):
    with RunLock.acquire(tmp_path / "runs" / "a"):
        assert is_locked(tmp_path / "runs" / "a")


def test_a_writer_outlasts_the_probes_of_readers(tmp_path):
    (tmp_path / "lock").touch()
    probe = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(probe, fcntl.LOCK_SH)
    threading.Timer(0.2, os.close, [probe]).start()
    RunLock.acquire(tmp_path, wait_s=PATIENCE_S).release()


def test_readers_do_not_disturb_each_other(tmp_path):
    (tmp_path / "lock").touch()
    other = os.open(tmp_path / "lock", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH)
    assert is_locked(tmp_path) is False
    os.close(other)


def test_a_killed_holder_frees_it(tmp_path):
    child = start(HOLD.format(f"lock = RunLock.acquire(Path({str(tmp_path)!r})); print(flush=True)"))
    assert is_locked(tmp_path) is True
    child.kill()
    child.communicate()
    assert is_locked(tmp_path) is False


def test_a_lock_handed_down_is_never_free_and_dies_with_the_child(tmp_path):
    lock = RunLock.acquire(tmp_path)
    adopt = f"lock = RunLock.from_fd({lock.fileno()}, Path({str(tmp_path)!r})); print(flush=True)"
    child = start(HOLD.format(adopt), pass_fds=[lock.fileno()])
    lock.hand_over()
    assert not lock.held
    assert is_locked(tmp_path) is True
    child.kill()
    child.communicate()
    assert is_locked(tmp_path) is False


def test_a_forked_helper_does_not_keep_it(tmp_path):
    lock = RunLock.acquire(tmp_path)
    reading, writing = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.write(writing, b"held" if lock.held else b"none")
        time.sleep(600)
        os._exit(0)
    assert os.read(reading, 4) == b"none"
    lock.hand_over()  # closes without unlocking, as a death does
    assert is_locked(tmp_path) is False
    os.kill(helper, 9)
    os.waitpid(helper, 0)
    os.close(reading)
    os.close(writing)


def test_another_program_started_meanwhile_does_not_keep_it(tmp_path):
    lock = RunLock.acquire(tmp_path)
    child = subprocess.Popen(["sleep", "600"], close_fds=False)
    lock.hand_over()
    assert is_locked(tmp_path) is False
    child.kill()
    child.wait()


def test_a_wrong_descriptor_is_refused(tmp_path):
    closed = os.open(os.devnull, os.O_RDONLY)
    os.close(closed)
    for number in (closed, -1, 2**40):
        with pytest.raises(UsageError, match="not an open file descriptor"):
            RunLock.from_fd(number, tmp_path)
    other = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(UsageError, match="is not the lock of the run"):
        RunLock.from_fd(other, tmp_path)
    os.close(other)


def test_a_descriptor_whose_lock_went_elsewhere_is_refused(tmp_path):
    with RunLock.acquire(tmp_path):
        stale = os.open(tmp_path / "lock", os.O_RDWR)
        with pytest.raises(WorkError):
            RunLock.from_fd(stale, tmp_path)
        os.close(stale)


def test_a_lock_file_that_was_replaced_does_not_count(tmp_path):
    """Who waits for the lock of a run that is removed and made anew must not end with the lock of a deleted file."""
    old = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    (tmp_path / "lock").unlink()
    lock = RunLock.acquire(tmp_path)
    assert os.fstat(lock.fileno()).st_ino == os.stat(tmp_path / "lock").st_ino
    with pytest.raises(UsageError):
        RunLock.from_fd(old, tmp_path)
    lock.release()
    os.close(old)


def test_a_lock_file_that_is_replaced_while_somebody_waits_for_it_is_not_accepted(tmp_path, monkeypatch):
    """The waiter has opened the old file; the lock of that one would keep nobody from the new one."""
    take, files = lock_module._try_exclusive, []

    def replaced_before(descriptor):
        if not files:
            (tmp_path / "lock").unlink()
            (tmp_path / "lock").touch()
        files.append(os.fstat(descriptor).st_ino)
        return take(descriptor)

    monkeypatch.setattr(lock_module, "_try_exclusive", replaced_before)
    with RunLock.acquire(tmp_path) as lock:
        assert len(files) == 2 and files[0] != files[1]
        assert os.fstat(lock.fileno()).st_ino == os.stat(tmp_path / "lock").st_ino
        assert is_locked(tmp_path) is True


def test_releasing_ends_the_hold_of_a_child_that_inherited_it(tmp_path):
    lock = RunLock.acquire(tmp_path)
    child = subprocess.Popen(["sleep", "600"], pass_fds=[lock.fileno()])
    try:
        assert is_locked(tmp_path) is True
        lock.release()
        assert is_locked(tmp_path) is False
        assert child.poll() is None, "the child still has the descriptor"
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_lock_that_is_no_file_tells_nothing(tmp_path, kind):
    if kind == "link":
        (tmp_path / "lock").symlink_to(os.devnull)
    elif kind == "pipe":
        os.mkfifo(tmp_path / "lock")
    else:
        (tmp_path / "lock").mkdir()
    assert is_locked(tmp_path) is None
    with pytest.raises(WorkError, match="cannot be locked"):
        RunLock.acquire(tmp_path, wait_s=0)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(lock_module.fcntl, "flock", refuse)
    lock = RunLock.acquire(tmp_path)
    assert lock.held and not lock.supported
    assert is_locked(tmp_path) is None
    lock.release()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WorkError, match="cannot be locked: Not a directory") as caught:
        RunLock.acquire(tmp_path / "file" / "run")
    assert "\n" not in str(caught.value)
