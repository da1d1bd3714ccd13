"""Compilation and CUDA graphs: what is prepared before the first update, without a trace in the run."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from cnn_explorer.trainer.config.engine_config import Engine
from cnn_explorer.trainer.devices.process_group import ALONE, Group
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.loop import compile_warmup
from cnn_explorer.trainer.runs.lock import RunLock
from support.training import Bench, bench, create_run, records_of, same, status_of, weights_of

COMPILED = Engine("cpu", compile=True)


@pytest.fixture(autouse=True)
def plain_compilation(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Graphs are taken from the network as always, and run without being translated to C++, which takes minutes."""
    monkeypatch.setattr(compile_warmup, "BACKEND", "aot_eager")
    yield
    torch.compiler.set_stance("default")
    torch.compiler.reset()


def run_to_end(path: Path, lock: RunLock) -> tuple[int, list[str]]:
    lines: list[str] = []
    return execute_run(path, lock, log=lines.append), lines


@contextlib.contextmanager
def prepared(home: Path, engine: Engine, network: str = "tiny", **options: object) -> Iterator[Bench]:
    path, lock = create_run(home / "runs", network, **options)
    with bench(path, lock) as put_together:
        compile_warmup.warm_up(put_together.session, engine, put_together.report, 0)
        yield put_together


class Counting:
    """A backend that runs the graphs as they are and counts."""

    def __init__(self) -> None:
        self.compiled = self.calls = 0

    def __call__(self, graph, inputs):
        self.compiled += 1

        def run(*arguments):
            self.calls += 1
            return graph(*arguments)

        return run


def test_nothing_is_done_for_a_cpu_that_does_not_compile(home: Path) -> None:
    with prepared(home, Engine("cpu")) as put_together:
        assert "phase" not in status_of(put_together.path) or status_of(put_together.path)["phase"] != "warming up"
        assert put_together.lines == []


def test_compiling_leaves_weights_statistics_and_random_numbers_as_they_were(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Counting()
    monkeypatch.setattr(compile_warmup, "BACKEND", backend)
    path, lock = create_run(home / "runs", recipe={"ema": 0.9})
    with bench(path, lock) as put_together:
        session = put_together.session
        before = {key: value.clone() for key, value in session.network.state_dict().items()}
        numbers = torch.get_rng_state()
        compile_warmup.warm_up(session, COMPILED, put_together.report, 0)
        assert torch.equal(torch.get_rng_state(), numbers)
        assert same(before, session.network.state_dict())
        assert same(before, session.updater.eval_model.state_dict())
        assert all(parameter.grad is None for parameter in session.network.parameters())
        assert not [key for key in before if "orig_mod" in key]
        assert status_of(path)["state"] == "starting" and status_of(path)["phase"] == "compiling"
        assert any(line.startswith("compiled in") for line in put_together.lines)
        compiled, calls = backend.compiled, backend.calls
        session.network.train()
        session.updater(*session.batches.batch(session.batches.epoch(0), 0), 0.01)
        assert (backend.compiled, backend.calls) == (compiled, calls + 1)
        put_together.trainer._evaluate()
        assert (backend.compiled, backend.calls) == (compiled, calls + 2)
    assert [record["name"] for record in records_of(path, "event")] == ["compiled"]


def test_a_throw_away_session_is_compiled_without_a_word(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Counting()
    monkeypatch.setattr(compile_warmup, "BACKEND", backend)
    path, lock = create_run(home / "runs")
    with bench(path, lock) as put_together:
        session = put_together.session
        compile_warmup.make_ready(session, COMPILED)
        calls = backend.calls
        session.updater(*session.batches.batch(session.batches.epoch(0), 0), 0.01)
        assert backend.calls == calls + 1 and put_together.lines == []


def test_a_compiled_run_is_that_of_the_same_operations(home: Path) -> None:
    """With a backend that runs the very operations, the weights are those of the plain run in every bit."""
    plain, lock = create_run(home / "plain", recipe={"epochs": 2})
    run_to_end(plain, lock)
    compiled, lock = create_run(home / "compiled", recipe={"epochs": 2}, compile=True)
    code, lines = run_to_end(compiled, lock)
    assert code == 0 and any(line.startswith("compiled in") for line in lines)
    assert same(weights_of(plain), weights_of(compiled))
    evaluated = [[r["accuracy"] for r in records_of(path, "eval")] for path in (plain, compiled)]
    assert evaluated[0] == evaluated[1]


def test_a_stopped_compiled_run_goes_on_bit_for_bit(home: Path) -> None:
    whole, lock = create_run(home / "whole", recipe={"epochs": 2}, compile=True)
    run_to_end(whole, lock)
    broken, lock = create_run(home / "broken", recipe={"epochs": 2}, compile=True)
    with bench(broken, lock, stop_after=23) as put_together, contextlib.suppress(Exception):
        compile_warmup.warm_up(put_together.session, COMPILED, put_together.report, 0)
        put_together.trainer.run()
    run_to_end(broken, lock)
    assert same(weights_of(whole), weights_of(broken))


def test_what_cannot_be_compiled_is_trained_as_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph, inputs):
        raise ValueError("no such instruction\nand a page of details")

    monkeypatch.setattr(compile_warmup, "BACKEND", broken)
    path, lock = create_run(home / "runs", recipe={"epochs": 2}, compile=True)
    code, lines = run_to_end(path, lock)
    assert code == 0
    [told] = [line for line in lines if "compiling failed, the run goes on without" in line]
    assert told.endswith("ValueError: no such instruction")
    assert "compiling_failed" in [record["name"] for record in records_of(path, "event")]
    plain, lock = create_run(home / "plain", recipe={"epochs": 2})
    run_to_end(plain, lock)
    assert same(weights_of(plain), weights_of(path))


def test_lack_of_memory_while_compiling_is_none_of_the_compilers_faults(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(graph, inputs):
        raise MemoryError("out of memory")

    monkeypatch.setattr(compile_warmup, "BACKEND", greedy)
    with pytest.raises(Exception, match="out of memory"), prepared(home, COMPILED):
        pass


class FirstOfTwo(Group):
    world = 2


@pytest.mark.parametrize("group", [ALONE, FirstOfTwo()])
def test_only_of_one_process_the_evaluation_finds_out_how_many_images_there_is_memory_for(
    home: Path, monkeypatch: pytest.MonkeyPatch, group: Group
) -> None:
    path, lock = create_run(home / "runs", "tiny_hungry")
    monkeypatch.setenv("JUDGED_AT_ONCE", "0")
    with bench(path, lock) as put_together:
        session = dataclasses.replace(put_together.session, group=group)
        raised = contextlib.nullcontext() if group is ALONE else pytest.raises(torch.OutOfMemoryError)
        with raised:
            compile_warmup._rehearse(session)


def test_batches_of_another_size_run_without_being_compiled_anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Counting()
    monkeypatch.setattr(compile_warmup, "BACKEND", backend)
    with prepared(home, COMPILED) as put_together:
        before = (backend.compiled, backend.calls)
        network = put_together.session.network.eval()
        assert network(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
        assert (backend.compiled, backend.calls) == before


def test_cuda_graphs_are_left_out_where_parts_of_a_batch_would_overwrite_each_other(home: Path) -> None:
    with prepared(home, Engine("cpu", cuda_graphs=True), recipe={"accumulate": 2}) as put_together:
        assert put_together.lines == [
            "without CUDA graphs: they work neither with a batch in parts, nor with SAM, nor with several devices"
        ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_recorded_kernels_compute_what_the_network_does(home: Path, precision: str, compiled: bool) -> None:
    options = {"device": "cuda", "precision": precision, "recipe": {"epochs": 2, "augment": []}}
    plain, lock = create_run(home / "plain", "lenet5", **options)
    run_to_end(plain, lock)
    recorded, lock = create_run(home / "recorded", "lenet5", cuda_graphs=True, compile=compiled, **options)
    code, lines = run_to_end(recorded, lock)
    assert code == 0 and not [line for line in lines if "failed" in line]
    for key, value in weights_of(plain).items():
        assert torch.allclose(value.float(), weights_of(recorded)[key].float(), rtol=0.05, atol=0.02), key
