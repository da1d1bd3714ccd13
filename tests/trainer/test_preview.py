"""What is shown before a run: the plan as text and as JSON, how long it will take, whether it fits."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import torch
from cnn_explorer.cli import plan_plot
from cnn_explorer.errors import UsageError
from cnn_explorer.trainer.config.lr_schedule import learning_rate
from cnn_explorer.trainer.devices import hardware
from cnn_explorer.trainer.planning import engine_choice, estimate, planner, preview, trial
from cnn_explorer.trainer.planning.engine_choice import WantedEngine
from cnn_explorer.trainer.planning.estimate import Forecast
from cnn_explorer.trainer.planning.trial import TrialTiming
from support.training import asked, call


def planned(**options) -> planner.Plan:
    return planner.plan(asked(**options), lambda line: None)


def test_a_plan_as_json_has_what_the_run_would_have_and_writes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("train", "--threads", "1", "--device", "cpu", "tiny", "--epochs", "2", "--plan", "--json")
    assert call(monkeypatch, *words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert not (home / "runs").exists()
    config = planned(recipe={"epochs": 2}).config
    assert shown["schema"] == 1
    for key in ("network", "recipe"):
        assert shown[key] == json.loads(json.dumps(config.to_dict()[key])), key
    assert (shown["origins"]["recipe"]["epochs"], shown["origins"]["recipe"]["lr"]) == ("flag", "tiny.md")
    assert (shown["origins"]["engine"]["threads"], shown["origins"]["engine"]["precision"]) == ("flag", "default")
    steps = config.data.train // config.recipe.batch_size
    assert shown["lr_curve"][0] == [0.0, pytest.approx(learning_rate(config.recipe, 0, steps), rel=1e-5)]
    assert len(shown["lr_curve"]) == 2 * steps and shown["lr_curve"][-1][0] < 2
    assert shown["estimate"]["seconds"] > shown["estimate"]["seconds_per_epoch"] > 0
    assert shown["estimate"]["images_per_s"] > 0 and shown["warnings"] == []


def test_several_plans_are_a_list_and_a_network_that_fails_is_planned_without_an_estimate(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "train", "--threads", "1", "tiny", "tiny_broken", "--plan", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)["plans"]
    assert first["network"]["name"] == "tiny" and first["estimate"] is not None
    assert second["network"]["name"] == "tiny_broken" and second["estimate"] is None


def test_a_value_made_to_fit_the_number_of_images_is_said_so_and_json_keeps_its_word(home: Path) -> None:
    plan = planned(network="lenet5", dataset="digits", preset="speedrun")
    assert plan.origins["batch_size"] == "images"
    assert "pictures" not in "\n".join(preview.as_lines(plan, Forecast(None, ()), []))
    shown = json.loads(json.dumps(preview.as_dict(plan, Forecast(None, ()))))["origins"]["recipe"]
    assert (shown["batch_size"], shown["epochs"]) == ("pictures", "recipe speedrun")


def test_a_plan_as_text_names_values_with_their_origins_and_draws_the_curve(home: Path) -> None:
    plan = planned(recipe={"lr": 0.25})
    lines = preview.as_lines(plan, Forecast(None, ("too large",)), plan_plot.rate_lines(plan, sys.stdout))
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert any(line.split() == ["lr", "0.25", "flag"] for line in lines)
    assert any(line.split() == ["batch_size", "64", "tiny.md"] for line in lines)
    assert any(line.split() == ["nesterov", "yes"] for line in lines)
    assert "learning rate over 3 epochs" in text and any(0x2800 < ord(letter) < 0x2900 for letter in text)
    assert "warning: too large" in text
    small = [*preview.recipe_lines(plan), *plan_plot.rate_lines(plan, io.TextIOWrapper(io.BytesIO(), "ascii"))]
    assert all(len(line) <= 80 for line in small) and "\n".join(small).isascii()


def test_batches_made_to_fit_the_number_of_images_have_that_as_their_origin(home: Path) -> None:
    origins = planned(network="lenet5", dataset="digits", recipe={}).origins
    assert origins["augment"] == "data set" and origins["momentum"] == "default"
    small = planned(network="resnet18", dataset="digits", recipe={"optimizer": "adamw"})
    assert small.origins["optimizer"] == "flag"


def test_a_timing_is_turned_into_seconds_of_the_run(home: Path) -> None:
    config = planned(recipe={"epochs": 3}).config  # 1,294 images to train on: 20 batches of 64
    found = estimate.from_timing(config, TrialTiming(0.5, 64, 0.001))
    assert found.images_per_s == 128
    assert found.seconds_per_epoch == pytest.approx(20 * 0.5 + 144 * 0.001)
    assert found.seconds == pytest.approx(3 * found.seconds_per_epoch + 359 * 0.001)
    assert found.words() == "about 10 s an epoch and 31 s in all (128 images/s)"


def test_what_is_far_too_slow_is_told_with_a_smaller_choice(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial.Trial, "__init__", lambda self, config, data: None)
    monkeypatch.setattr(trial.Trial, "timing", lambda self, budget: TrialTiming(200.0, 32, 1.0))
    plan = planned(network="resnet18", dataset="digits", stem="imagenet")
    found = estimate.forecast(plan.config, plan.data)
    [warning] = found.warnings
    assert warning.startswith("resnet18 is too big for this CPU: about 2 h 15 min an epoch")
    assert "--stem small" in warning
    plan = planned(network="resnet110", dataset="digits")
    [warning] = estimate.forecast(plan.config, plan.data).warnings
    assert "resnet20 is a smaller one of its family" in warning


def test_what_makes_updates_faster_shortens_the_forecast(home: Path) -> None:
    config = planned().config
    timing = TrialTiming(step_s=0.4, batch=config.recipe.batch_size, evaluation_s=0.0)
    before = Forecast(estimate.from_timing(config, timing, 7), (), timing, free_memory=9)
    after = before.faster(config, 2.0)
    assert before.estimate is not None and after.estimate is not None and after.timing is not None
    assert after.estimate.seconds == pytest.approx(before.estimate.seconds / 2)
    assert (after.timing.step_s, after.estimate.memory, after.free_memory) == (0.2, 7, 9)
    unknown = Forecast(None, ("too large",))
    assert unknown.faster(config, 2.0) is unknown


def test_what_does_not_fit_into_memory_is_told_before_anything_is_built(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(network="resnet18", dataset="digits", recipe={"batch_size": 256})
    monkeypatch.setattr(hardware, "free_memory", lambda device: 200_000_000)
    monkeypatch.setattr(trial.Trial, "__init__", lambda self, config, data: pytest.fail("it was built"))
    found = estimate.forecast(plan.config, plan.data)
    assert found.estimate is None
    [warning] = found.warnings
    assert "resnet18 needs about" in warning and "0.2 GB of main memory are free" in warning
    assert "--set accumulate=2" in warning and "resnet20" not in warning


def test_slow_networks_are_timed_with_fewer_images(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned()
    monkeypatch.setattr(trial, "LONGEST_STEP_S", 1e-9)
    assert trial.Trial(plan.config, plan.data).fitting_batch() == 2
    monkeypatch.setattr(trial, "LONGEST_STEP_S", 1e9)
    assert trial.Trial(plan.config, plan.data).fitting_batch() == 64


def test_timing_leaves_the_random_numbers_alone(home: Path) -> None:
    plan = planned()
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    assert estimate.forecast(plan.config, plan.data).estimate is not None
    assert torch.equal(torch.rand(4), expected)


def test_flags_win_over_a_file_and_that_over_what_suits_the_device(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    file = {"channels_last": True, "precision": "bf16"}
    wanted = WantedEngine({"precision": "fp32", "device": "cpu"}, file, "e.toml")
    choice = engine_choice.choose(wanted, alone=True, log=print)
    assert (choice.engine.precision, choice.engine.channels_last, choice.engine.compile) == ("fp32", True, False)
    assert (choice.origins["precision"], choice.origins["channels_last"]) == ("flag", "e.toml")
    assert choice.fixed == {"precision", "device", "channels_last"}


def test_images_for_which_there_is_no_room_stay_in_main_memory_unless_decided(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "free_memory", lambda device: 1_000_000)
    plan = planned()
    assert not plan.config.engine.data_on_device
    assert any("stay in main memory" in line for line in plan.remarks)
    assert planned(data_on_device=True).config.engine.data_on_device
    monkeypatch.setattr(hardware, "free_memory", lambda device: 10**10)
    assert planned().config.engine.data_on_device
    assert not planned(data_on_device=False).config.engine.data_on_device


def test_what_only_a_gpu_can_do_is_refused_on_a_cpu(home: Path) -> None:
    with pytest.raises(UsageError, match="cuda-graphs: needs a CUDA device, and this run is on cpu"):
        engine_choice.choose(WantedEngine({"cuda_graphs": True, "device": "cpu"}), alone=True, log=print)
    with pytest.raises(UsageError, match=r"e\.toml: engine: tf32: needs a CUDA device"):
        engine_choice.choose(WantedEngine({"device": "cpu"}, {"tf32": True}, "e.toml"), alone=True, log=print)


def test_a_run_of_a_gpu_is_repeated_on_a_cpu_without_what_only_the_gpu_had(home: Path) -> None:
    before = {"device": "cuda:0", "precision": "fp32", "compile": True, "cuda_graphs": True, "tf32": True, "threads": 1}
    said: list[str] = []
    wanted = WantedEngine({"device": "cpu"}, before, "run.json", complete=True)
    choice = engine_choice.choose(wanted, alone=True, log=said.append)
    assert not (choice.engine.compile or choice.engine.cuda_graphs or choice.engine.tf32)
    assert [line.split()[1] for line in said] == ["cuda-graphs", "tf32", "compile"] and choice.complete


@pytest.mark.parametrize(
    ("text", "able"),
    [
        ("flags\t\t: fpu avx512_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags : fpu avx2\n", False),
    ],
)
def test_bf16_is_known_from_the_words_of_the_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, able: bool
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{text}")
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
    assert hardware.has_bf16(torch.device("cpu")) is able


def test_a_rate_with_which_nobody_trains_is_told(home: Path) -> None:
    said: list[str] = []
    plan = planner.plan(asked(recipe={"lr": 1e9}), said.append)
    assert "lr 1e+09 is unusual; people train with 1e-06 to 10" in said
    assert "lr 1e+09 is unusual; people train with 1e-06 to 10" in plan.remarks
    assert not any("unusual" in line for line in planned(recipe={"lr": 0.5}).remarks)
