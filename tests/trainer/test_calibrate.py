"""Calibration: what is tried, chosen, remembered, and that the run itself does not notice."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from cnn_explorer.trainer.devices import hardware
from cnn_explorer.trainer.launch.execute import execute_run
from cnn_explorer.trainer.planning import calibrate, calibration_store, planner
from cnn_explorer.trainer.runs.reader import read_run
from support.training import asked, create_run, same, weights_of


def planned(**options) -> planner.Plan:
    return planner.plan(asked(**options), lambda line: None)


def resolve(plan: planner.Plan, wanted: bool | None = None, **options):
    said: list[str] = []
    return *calibrate.resolve(plan, said.append, wanted=wanted, **options), said


@pytest.fixture
def no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda device: False)


@pytest.fixture
def twice_as_fast(monkeypatch: pytest.MonkeyPatch) -> list:
    compared: list = []

    def answer(rival, best, batch):
        compared.append(rival.session.input_transform.layout)
        return 0.5, 1.0, True

    monkeypatch.setattr(calibrate, "_compared", answer)
    return compared


def note(plan: planner.Plan) -> dict:
    return dict(plan.config.engine.calibration or {})


def test_a_short_run_is_not_calibrated(home: Path, no_bf16: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "_compared", lambda *rest: pytest.fail("it was measured"))
    before = planned()
    plan, forecast, said = resolve(before)
    assert forecast.estimate is not None and said == []
    assert note(plan) == {"origin": "none", "why": "the run is too short for it to pay"}
    assert dataclasses.replace(plan.config.engine, calibration=None) == before.config.engine


def test_what_is_faster_is_taken_told_written_down_and_remembered(
    home: Path, no_bf16: None, twice_as_fast: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, forecast, said = resolve(planned(), wanted=True)
    assert twice_as_fast == [torch.channels_last]
    assert plan.config.engine.channels_last and plan.choice.engine == plan.config.engine
    assert plan.choice.origins["channels_last"] == "calibration"
    assert said == ["calibrating: channels-last", "calibration: channels-last 2.00× as fast, taken"]
    assert (note(plan)["origin"], note(plan)["choice"]) == ("measured", {"channels_last": True})
    assert note(plan)["tried"] == [{"choice": {"channels_last": True}, "seconds": 0.5, "against": 1.0, "taken": True}]
    assert forecast.estimate is not None and forecast.timing is not None
    assert json.loads(json.dumps(plan.config.to_dict()))["engine"]["calibration"]["origin"] == "measured"

    monkeypatch.setattr(calibrate, "_compared", lambda *rest: pytest.fail("it was measured again"))
    again, _, said = resolve(planned())
    assert again.config.engine.channels_last and note(again)["origin"] == "remembered"
    assert len(said) == 1 and said[0].endswith("channels-last 2.00× as fast, taken")
    other, _, _ = resolve(planned(recipe={"batch_size": 32}))
    assert note(other)["origin"] == "none"
    switched_off, _, _ = resolve(planned(), wanted=False)
    assert note(switched_off) == {"origin": "none", "why": "switched off"}
    assert not switched_off.config.engine.channels_last


def test_a_plan_that_is_only_shown_measures_nothing(
    home: Path, no_bf16: None, twice_as_fast: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "MIN_SPEEDUP", 1e9)
    plan, _, _ = resolve(planned(), measure=False)
    assert note(plan)["why"] == "is done when the run starts" and twice_as_fast == []
    plan, _, _ = resolve(planned())
    assert note(plan)["origin"] == "measured"


def test_what_was_asked_for_stays(home: Path, no_bf16: None, twice_as_fast: list) -> None:
    for wanted in (True, False):
        plan, _, _ = resolve(planned(channels_last=wanted), wanted=True)
        assert plan.config.engine.channels_last is wanted and twice_as_fast == []
        assert note(plan)["why"] == "nothing to choose"


def test_bf16_is_tried_on_processors_that_have_it_and_each_choice_beside_the_best(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda device: True)
    pairs: list = []

    def answer(rival, best, batch):
        pairs.append((rival._recipe is not None, rival is best))
        return (0.4, 1.0, True) if len(pairs) == 1 else (0.5, 0.4, False)

    monkeypatch.setattr(calibrate, "_compared", answer)
    plan, _, said = resolve(planned(), wanted=True)
    assert (plan.config.engine.precision, plan.config.engine.channels_last) == ("bf16", False)
    assert said[-1] == "calibration: bf16 2.50× as fast, taken; channels-last 0.80× as fast, not taken"


def test_a_choice_that_does_not_work_is_passed_over(home: Path, no_bf16: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(rival, best, batch):
        raise RuntimeError("not implemented for this layout")

    monkeypatch.setattr(calibrate, "_compared", broken)
    plan, _, said = resolve(planned(), wanted=True)
    assert not plan.config.engine.channels_last and said[-1] == "calibration: nothing else worked"


@pytest.mark.parametrize(
    ("blocks", "taken"),
    [
        ([(0.8, 1.0), (0.8, 1.0), (0.8, 1.0)], True),
        ([(0.97, 1.0), (0.97, 1.0), (0.97, 1.0)], False),
        ([(0.8, 1.0), (1.1, 1.0), (0.8, 1.0)], False),
        ([(1.0, 0.5), (1.0, 0.5), (1.0, 0.5)], False),
    ],
)
def test_a_choice_must_be_faster_clearly_and_every_time(blocks: list, taken: bool) -> None:
    assert calibrate.faster(blocks) is taken


def test_real_timings_are_compared(home: Path, no_bf16: None) -> None:
    plan, _, said = resolve(planned(), wanted=True)
    [tried] = note(plan)["tried"]
    assert tried["seconds"] > 0 and tried["against"] > 0 and "× as fast" in said[-1]


def test_a_calibrated_run_is_that_of_its_engine_bit_for_bit(home: Path, no_bf16: None) -> None:
    plain, lock = create_run(home / "runs", recipe={"epochs": 1})
    assert execute_run(plain, lock, log=lambda line: None) == 0
    plan, _, _ = resolve(planned(recipe={"epochs": 1}), wanted=True)
    config = dataclasses.replace(
        plan.config, engine=dataclasses.replace(plan.config.engine, channels_last=False)
    )  # whatever was measured
    path, lock = planner.create(config, home / "runs", ["train", "tiny"])
    assert execute_run(path, lock, log=lambda line: None) == 0
    assert same(weights_of(plain), weights_of(path))


def test_a_repeated_run_takes_the_engine_as_it_was_without_trying(
    home: Path, no_bf16: None, twice_as_fast: list
) -> None:
    plan, _, _ = resolve(planned(recipe={"epochs": 1}), wanted=True)
    path, lock = planner.create(plan.config, home / "runs", ["train", "tiny"])
    assert execute_run(path, lock, log=lambda line: None) == 0
    twice_as_fast.clear()
    file = path / "run.json"
    again, _, _ = resolve(planned(network=None, config=file, device=None, threads=None), wanted=True)
    assert twice_as_fast == [] and again.config.engine == plan.config.engine
    second, lock = planner.create(again.config, home / "runs", ["train"])
    assert execute_run(second, lock, log=lambda line: None) == 0
    assert read_run(path).config["engine"] == read_run(second).config["engine"]
    assert same(weights_of(path), weights_of(second))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"schema": 1}',
        '{"schema": 1, "entries": 3}',
        '{"schema": 2, "entries": {"KEY": {"choice": {}, "why": "", "date": ""}}}',
        '{"schema": 1, "entries": {"KEY": 7}}',
        '{"schema": 1, "entries": {"KEY": {"choice": {"threads": 64}, "why": "", "date": ""}}}',
        '{"schema": 1, "entries": {"KEY": {"choice": {"precision": "fp64"}, "why": "", "date": ""}}}',
        '{"schema": 1, "entries": {"KEY": {"choice": {}, "why": 3, "date": ""}}}',
    ],
)
def test_garbage_in_the_file_is_as_if_nothing_were_remembered(home: Path, text: str) -> None:
    (home / "state").mkdir()
    (home / "state" / calibration_store.FILE).write_text(text)
    assert calibration_store.find("KEY") is None
    calibration_store.remember("KEY", {"choice": {"channels_last": True}, "why": "w", "date": "d"})
    found = calibration_store.find("KEY")
    assert found is not None and found["choice"] == {"channels_last": True}


def test_a_state_folder_that_cannot_be_written_costs_nothing_but_time(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "state").write_text("a file")
    calibration_store.remember("KEY", {"choice": {}, "why": "", "date": ""})
    assert calibration_store.find("KEY") is None


def test_the_oldest_are_forgotten(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration_store, "MOST", 2)
    for key in "abac":
        calibration_store.remember(key, {"choice": {}, "why": "", "date": ""})
    assert [calibration_store.find(key) is not None for key in "abc"] == [True, False, True]


def test_on_a_gpu_graphs_and_compilation_are_tried_as_well(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "has_bf16", lambda device: True)
    plan = planned()
    engine = dataclasses.replace(plan.config.engine, device="cuda:0", precision="bf16", channels_last=True)
    plan = dataclasses.replace(plan, config=dataclasses.replace(plan.config, engine=engine))
    assert calibrate._options(plan) == [
        {"precision": "fp32"},
        {"channels_last": False},
        {"cuda_graphs": True},
        {"compile": True},
    ]
    several = dataclasses.replace(engine, devices=("cuda:0", "cuda:1"))
    plan = dataclasses.replace(plan, config=dataclasses.replace(plan.config, engine=several))
    assert calibrate._options(plan) == []
