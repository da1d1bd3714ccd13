"""Threads, devices and what a person is told while a network is trained."""

from __future__ import annotations

import io
import os
import sys
import time
from pathlib import Path

import pytest
import torch
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.common.progress import Bar, ProgressReporter, StepProgress
from cnn_explorer.trainer.devices import hardware


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)


def test_all_cores_only_for_a_run_that_is_alone(four_cores: None) -> None:
    assert hardware.choose_threads(None, alone=True) == 4
    assert hardware.choose_threads(None, alone=False) == 3
    assert hardware.choose_threads(4, alone=False) == 4
    with pytest.raises(UsageError, match="threads: 5 must be at least 1 and at most 4"):
        hardware.choose_threads(5, alone=True)


@pytest.mark.parametrize(
    ("text", "threads"),
    [
        ("1", 1),
        ("2", 2),
        (" 2 ", 2),
        ("3,2", 3),
        ("99", 4),
        ("", 4),
        ("0", 4),
        ("-1", 4),
        ("many", 4),
        ("²", 4),
        ("002", 2),
        pytest.param("9" * 5000, 4, id="5000 digits"),
    ],
)
def test_threads_that_the_environment_asks_for_are_used(
    four_cores: None, monkeypatch: pytest.MonkeyPatch, text: str, threads: int
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert hardware.choose_threads(None, alone=True) == threads
    assert hardware.choose_threads(4, alone=True) == 4, "an option is above it"


def test_one_thread_that_torchrun_sets_by_itself_asks_for_nothing(
    four_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert hardware.choose_threads(None, alone=True) == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert hardware.choose_threads(None, alone=True) == 2


def test_one_core_is_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: 1)
    assert hardware.choose_threads(None, alone=False) == 1


@pytest.mark.parametrize(
    ("text", "cores"), [("150000 100000\n", 2), ("50000 100000\n", 1), ("max 100000\n", None), ("", None)]
)
def test_the_quota_of_a_container(tmp_path: Path, text: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert hardware._quota(tmp_path / "cpu.max") == cores
    assert hardware._quota(tmp_path / "missing") is None


def test_threads_sleep_while_they_wait_only_where_all_cores_are_used_beside_other_work(
    four_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("OMP_WAIT_POLICY", "x")
    del os.environ["OMP_WAIT_POLICY"]
    hardware.set_waiting(4, alone=True)
    hardware.set_waiting(3, alone=False)
    assert "OMP_WAIT_POLICY" not in os.environ
    hardware.set_waiting(4, alone=False)
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_the_work_of_others_is_measured_without_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([(100.0, 10.0, 0.0), (106.0, 14.0, 4.0)])
    monkeypatch.setattr(hardware.OtherWork, "_seconds", staticmethod(lambda: next(readings)))
    monkeypatch.setattr(hardware, "_quota", lambda path: None)
    monkeypatch.setattr(hardware.time, "sleep", lambda seconds: None)
    assert hardware.OtherWork().cores() == pytest.approx(0.5)


def test_our_own_work_is_not_that_of_others() -> None:
    busy, own, now = hardware.OtherWork._seconds()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    later_busy, later_own, later = hardware.OtherWork._seconds()
    assert later_own - own > 0.05  # the system counts in ticks of a hundredth of a second
    assert later_busy >= busy and later > now


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "tpu"])
def test_names_that_are_no_device(name: str) -> None:
    with pytest.raises(UsageError, match="is not a device"):
        hardware.choose_device(name)


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert hardware.choose_device("cuda") == hardware.choose_device("auto") == torch.device("cuda", 0)
    assert hardware.choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="the last one here is cuda:1"):
        hardware.choose_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA device is here; --device cpu works everywhere"):
        hardware.choose_device("cuda")


def test_an_apple_gpu_is_used_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert hardware.choose_device("mps") == hardware.choose_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert hardware.choose_device("auto") == torch.device("cpu")
    with pytest.raises(UsageError, match="no Apple GPU is here; --device cpu works everywhere"):
        hardware.choose_device("mps")


def test_the_cpu_has_a_name_and_computes_in_fp32_by_default() -> None:
    assert hardware.device_name(torch.device("cpu"))
    assert hardware.default_precision(torch.device("cpu")) == "fp32"


def test_a_terminal_that_vanishes_silences_the_narration_and_not_the_log() -> None:
    def gone(line: str) -> None:
        raise OSError(5, "Input/output error")

    log_file = io.BytesIO()
    ProgressReporter(gone, log_file).log("one\x1b[31m line")
    assert log_file.getvalue() == b"one line\n"

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    bar = Bar(Gone(), log_file)
    bar.progress(StepProgress(1, 10, 1, 2, 0.5, 0.5, 100.0, 3.0))
    bar.epoch("an epoch")
    bar.log("a line")
    bar.end()
    assert log_file.getvalue() == b"one line\nan epoch\na line\n"
