"""`bench`: that its loops do the same work, that it times them fairly, and what it says. No speed is asserted."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from cnn_explorer.trainer.bench import ours, words
from cnn_explorer.trainer.bench.bare import BareLoop, Pixels
from cnn_explorer.trainer.bench.canonical import CanonicalLoop, Loader, PilImages, plain_optimizer, transform_of
from cnn_explorer.trainer.bench.measure import Timing, interleaved
from cnn_explorer.trainer.bench.results import DataResult, Measured, NetworkResult, Speedup
from cnn_explorer.trainer.bench.run import Settings, plan
from cnn_explorer.trainer.bench.switches import switches
from cnn_explorer.trainer.config.engine_config import Engine
from cnn_explorer.trainer.loop.session import build_network
from cnn_explorer.trainer.optim.build import build_optimizer
from cnn_explorer.trainer.planning import planner
from support.training import asked, call, same

CPU = torch.device("cpu")
LOOPS = ["canonical", "canonical-workers", "bare", "engine"]


def constant(network: str) -> planner.Plan:
    """A plan whose learning rate stays what it is from the first step on, as that of the loop by hand does."""
    values = {"schedule": "constant", "warmup": 0.0, "augment": [], "epochs": 1, "batch_size": 32}
    return planner.plan(asked(network, dataset="digits", recipe=values, validation=0), lambda line: None)


def engine_loop(made: planner.Plan, runs: Path) -> ours.EngineLoop:
    return ours.EngineLoop(ours.session_of(made.config, made.data), made.config, runs)


def pixels_of(made: planner.Plan, **more: Any) -> Pixels:
    data = made.data
    return Pixels(data.train.images, data.train.labels, data.mean, data.std, made.config.network.image_size, **more)


@pytest.mark.parametrize("name", ["lenet5", "resnet20"])
def test_the_loop_by_hand_and_the_engine_reach_the_same_weights(name: str, tmp_path: Path) -> None:
    made = constant(name)
    engine = engine_loop(made, tmp_path)
    batches = engine.session.batches
    network = build_network(made.config)
    optimizer = build_optimizer(network, made.config.recipe)
    bare = BareLoop(network, optimizer, pixels_of(made), 32, order=lambda number: batches.epoch(number).order)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    for steps in (1, 3):
        engine.run(steps)
        bare.run(steps)
    engine.close()
    assert same(engine.session.network.state_dict(), network.state_dict())
    assert not same(before, network.state_dict())
    assert 0 < bare.loss_sum < 4 * 10 and 0 <= bare.correct <= 4 * 32


def test_the_engine_warms_up_before_the_clock_starts_and_forgets_no_other_compilation(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmed: list[tuple[object, bool]] = []
    monkeypatch.setattr(ours, "warm_up", lambda session, *_, alone: warmed.append((session, alone)))
    engine = engine_loop(constant("tiny"), home / "bench")
    assert warmed == [(engine.session, False)]
    engine.close()


def test_the_engine_makes_as_many_updates_as_asked_beyond_the_end_of_its_recipe(home: Path) -> None:
    engine = engine_loop(constant("tiny"), home / "bench")
    made = 0

    def count(*_: object) -> None:
        nonlocal made
        made += 1

    engine.session.updater.optimizer.register_step_pre_hook(count)
    per_epoch = engine.session.batches.steps_per_epoch
    for steps in (1, per_epoch, 2 * per_epoch + 3):
        made = 0
        engine.run(steps)
        assert made == steps
    engine.close()


def test_the_dataloader_gives_the_images_that_the_engine_gives() -> None:
    made = constant("lenet5")
    data = made.data
    pil = PilImages(data.train, transform_of(data.mean, data.std, 28, 28))
    batches = ours.session_of(made.config, data).batches
    epoch = batches.epoch(0)
    images, targets = batches.batch(epoch, 0)
    loaded = [pil[index] for index in epoch.order[:32].tolist()]
    assert torch.allclose(torch.stack([image for image, _ in loaded]), images, atol=1e-5)
    assert [label for _, label in loaded] == targets.tolist()
    bare = BareLoop(*tiny_parts(), pixels_of(made), 32)
    assert torch.equal(bare._batch(epoch.order[:32]), images)
    assert bare._batch(epoch.order[:32]).stride() == images.stride()


def tiny_parts() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(10))
    network(torch.zeros(1, 1, 28, 28))
    return network, torch.optim.SGD(network.parameters(), lr=0.1)


def test_both_loops_crop_and_flip() -> None:
    """Each image is a window of the bordered one, mirrored or not, and over some batches both occur."""
    made = constant("lenet5")
    data = made.data
    image = data.train.images[:1]
    bordered = torch.nn.functional.pad(image, (4,) * 4)
    windows = {}
    for row in range(9):
        for column in range(9):
            window = bordered[0, :, row : row + 28, column : column + 28]
            windows[bytes(window.flatten().tolist())] = False
            windows.setdefault(bytes(window.flip(2).flatten().tolist()), True)
    torch.manual_seed(1)
    bare = BareLoop(*tiny_parts(), pixels_of(made, crop=4, flip=True), 32)
    pil = PilImages(data.train, transform_of(data.mean, data.std, 28, 28, crop=4, flip=True))
    mean, std = data.mean[0], data.std[0]
    for batch in (bare._batch(torch.zeros(40, dtype=torch.int64)), torch.stack([pil[0][0] for _ in range(40)])):
        values = ((batch * std + mean) * 255).round().to(torch.uint8)
        found = {bytes(pixels.flatten().tolist()) for pixels in values}
        assert len(found) > 20
        assert {windows[pixels] for pixels in found} == {False, True}


def test_canonical_loop_learns_and_keeps_its_metrics() -> None:
    made = constant("lenet5")
    data = made.data
    network = build_network(made.config)
    pil = PilImages(data.train, transform_of(data.mean, data.std, 28, 28))
    optimizer = plain_optimizer(network, made.config.recipe)
    loop = CanonicalLoop(network, optimizer, Loader(pil, 32, 0, CPU))
    loop.run(20)
    first = loop.running_loss / (20 * 32)
    loop.running_loss = 0.0
    loop.run(20)
    assert loop.running_loss / (20 * 32) < first
    assert 0 < loop.correct <= 40 * 32
    assert not any(group.get("fused") for group in optimizer.param_groups)


def test_canonical_loop_counts_the_images_that_it_classifies_rightly() -> None:
    network = torch.nn.Linear(4, 4, bias=False)
    torch.nn.init.eye_(network.weight)
    images = torch.utils.data.TensorDataset(torch.eye(4), torch.tensor([0, 1, 2, 0]))
    loop = CanonicalLoop(network, torch.optim.SGD(network.parameters(), lr=1e-6), Loader(images, 4, 0, CPU))
    loop.run(2)
    assert loop.correct == 2 * 3


def test_a_loader_goes_without_the_garbage_collector() -> None:
    """It would take the workers' queues away before the workers, each of which is then waited for five seconds."""
    loader = Loader(torch.utils.data.TensorDataset(torch.zeros(8, 1, 4, 4), torch.zeros(8)), 4, 0, CPU)
    next(loader)
    gone = weakref.ref(loader)
    gc.disable()
    try:
        del loader
        assert gone() is None
    finally:
        gc.enable()


def test_workers_start_without_a_lead() -> None:
    made = constant("lenet5")
    pil = PilImages(made.data.train, transform_of(made.data.mean, made.data.std, 28, 28))
    loader = Loader(pil, 32, 1, CPU)
    seen: list[int] = []
    loop = CanonicalLoop(*tiny_parts(), loader)
    loop._criterion = lambda outputs, images, targets: seen.append(len(targets)) or outputs.sum()
    loop.prepare()
    assert (loader.ahead, len(seen)) == (2, 1)
    loop.run(3)
    assert len(seen) == 4


def test_without_a_speed_up_the_weights_are_the_same(home: Path) -> None:
    made = constant("lenet5")
    reached = []
    for change in (lambda session: session, ours.with_waiting, ours.without_fused_kernels):
        session = change(ours.session_of(made.config, made.data))
        loop = ours.EngineLoop(session, made.config, home / "bench")
        loop.run(5)
        loop.close()
        reached.append(session.network.state_dict())
    assert same(reached[0], reached[1])
    assert all(torch.allclose(reached[0][key], reached[2][key], atol=1e-4) for key in reached[0])


def no_loader() -> Loader:
    raise AssertionError("naming the switches needs no loader")


def test_switches_of_a_cpu() -> None:
    found = {switch.key: switch for switch in switches(Engine("cpu", precision="bf16"), fused=True, loader=no_loader)}
    assert list(found) == ["resident-data", "fused-optimizer", "no-waiting", "precision", "channels-last"]
    assert (found["precision"].used, found["precision"].engine.precision) == (True, "fp32")
    assert (found["channels-last"].used, found["channels-last"].engine.channels_last) == (False, True)
    without = {switch.key for switch in switches(Engine("cpu", compile=True), fused=False, loader=no_loader)}
    assert "fused-optimizer" not in without and "compile" in without


def test_switches_of_a_gpu() -> None:
    engine = Engine("cuda:0", precision="bf16", channels_last=True, tf32=True)
    found = {switch.key: switch for switch in switches(engine, fused=True, loader=no_loader)}
    assert {"compile", "cuda-graphs"} <= found.keys()
    assert found["channels-last"].used and not found["channels-last"].engine.channels_last
    assert not found["compile"].used and found["compile"].engine.compile


class Clock:
    """Time that passes only while a loop makes steps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeLoop:
    def __init__(self, name: str, clock: Clock, step_s: float, log: list[tuple[str, int]], least: int = 1) -> None:
        self.least_steps = least
        self._parts = (name, clock, step_s, log)

    def prepare(self) -> None:
        self._parts[1].now += 100.0  # is not to be counted

    def run(self, steps: int) -> None:
        name, clock, step_s, log = self._parts
        clock.now += steps * step_s
        log.append((name, steps))


def test_loops_take_turns_of_equal_length_and_each_begins_a_round() -> None:
    clock, log, told = Clock(), [], []
    loops = {name: FakeLoop(name, clock, cost, log) for name, cost in (("a", 0.001), ("b", 0.1), ("c", 2.0))}
    loops["d"] = FakeLoop("d", clock, 0.5, log, least=9)
    timings = interleaved(loops, seconds=0.5, repeats=4, device=CPU, log=told.append, clock=clock)
    rounds = [name for name, _ in log[-16:]]
    assert ["".join(rounds[start : start + 4]) for start in (0, 4, 8, 12)] == ["abcd", "bcda", "cdab", "dabc"]
    assert {name: timing.steps for name, timing in timings.items()} == {"a": 500, "b": 5, "c": 1, "d": 9}
    assert timings["a"].step_s == pytest.approx((0.001,) * 4)
    assert told == [*(f"warming up: {name}" for name in "abcd"), *(f"round {n} of 4" for n in (1, 2, 3, 4))]


def test_loops_are_compared_round_by_round() -> None:
    # The machine is ten times slower in the second round; the comparison does not notice.
    fast, slow = Timing((1.0, 10.0, 1.0), 1), Timing((2.0, 20.0, 3.0), 1)
    assert fast.faster_than(slow) == 2.0
    assert slow.longer_than(fast) == 2.0


def test_plan_leaves_out_what_the_other_loops_do_not_do() -> None:
    recipe = plan("lenet5", Settings("digits", device="cpu", batch_size=16), 1, lambda line: None).config.recipe
    assert (recipe.batch_size, recipe.ema, recipe.clip_norm, recipe.label_smoothing) == (16, 0.0, 0.0, 0.0)
    assert recipe.augment == ()


QUICK = ("--device", "cpu", "--threads", "1", "--seconds", "0.01", "--repeats", "2", "--no-calibrate")


def test_json_has_every_loop_and_speed_up(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "bench", "tiny", "--json", *QUICK) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert (found["schema"], found["dataset"], found["settings"]["repeats"]) == (1, "digits", 2)
    assert {"device", "device_name", "threads", "cores", "torch"} <= found["machine"].keys()
    [paths], [network] = found["data"], found["networks"]
    assert [path["name"] for path in paths["paths"]] == ["canonical", "canonical-workers", "engine"]
    assert paths["engine_times"].keys() == {"canonical", "canonical-workers"}
    assert [loop["name"] for loop in network["loops"]] == LOOPS
    for loop in network["loops"]:
        speed = loop["images_per_s"]
        assert 0 < speed["min"] <= speed["median"] <= speed["max"]
        assert loop["ms_per_step"] > 0 and loop["steps"] >= 1
    assert network["engine_times"].keys() == {"canonical", "canonical-workers", "bare"}
    assert isinstance(network["overhead_us"], float)
    assert all(gain["gain"] > 0 and isinstance(gain["used"], bool) for gain in network["speedups"])
    assert {"resident-data", "fused-optimizer", "channels-last"} <= {gain["name"] for gain in network["speedups"]}
    assert any(line.startswith("tiny: round 2 of 2") for line in shown.err.splitlines())
    assert not list((home / "runs").glob("*")), "a benchmark leaves no run behind"


def test_table_and_sentences_without_colour_codes(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "bench", "tiny", "--parts", "bare", *QUICK) == 0
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out
    lines = shown.out.splitlines()
    assert "tiny: digits, batches of 64" in lines
    rows = [line for line in lines if line.startswith(("loop by hand", "this engine", "DataLoader", "without"))]
    assert [row.split("  ")[0] for row in rows] == ["loop by hand, same metrics", "this engine"]
    assert lines[-1].startswith("tiny reaches ") and lines[-1].endswith(" % of the speed of the loop by hand.")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["resnt20"], "did you mean 'resnet20'"),
        (["--dataset", "digts"], "did you mean 'digits'"),
        (["--repeats", "0"], "repeats: 0 must be at least 1"),
        (["--seconds", "nan"], "seconds: nan must be at least 0.01"),
        (["--batch-size", "0"], "batch-size: 0 must be a number of images, at least 1"),
        (["--batch-size", "99999"], "the largest that works is 1438"),
        (["--threads", "100000"], "threads: 100000 must be at least 1"),
        (["--precision", "fp8"], "precision: 'fp8' is unknown"),
        (["--device", "cudda"], "did you mean 'cuda'"),
        (["--parts", "bear"], "did you mean 'bare'"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_timed(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: list[str], told: str
) -> None:
    assert call(monkeypatch, "bench", *given) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and told in shown.err.splitlines()[-1]
    assert "Traceback" not in shown.err and "warming up" not in shown.err


def result(speedups: tuple[Speedup, ...] = (), **step_s: float) -> NetworkResult:
    loops = {key.replace("_", "-"): measured(key, seconds) for key, seconds in step_s.items()}
    return NetworkResult(constant("lenet5").config, loops, speedups)


def measured(key: str, step_s: float) -> Measured:
    return Measured(key, f"the loop {key}", Timing((step_s, step_s), 1), batch_size=32)


def test_sentences_say_the_speedup_of_each_trick() -> None:
    speedups = (
        Speedup(measured("a", 1.0), "keeping the images in memory", True, 2.53),
        Speedup(measured("b", 1.0), "the fused optimiser", True, 1.06),
        Speedup(measured("c", 1.0), "not waiting for metrics", True, 0.995),
        Speedup(measured("d", 1.0), "bf16", False, 0.35),
    )
    found = result(speedups, canonical=0.3, canonical_workers=0.2, bare=0.11, engine=0.1)
    assert found.overhead_us == pytest.approx(-10_000)
    assert words.about_network(found) == [
        "lenet5 trains 2.0× as fast as with the DataLoader loop and reaches 110 % of the speed of the loop by hand.",
        "Gain of each speed-up: keeping the images in memory 2.5× and the fused optimiser 1.06×. "
        "Not felt: not waiting for metrics. Not in use: bf16 (would be 0.35×).",
    ]
    alone = result(engine=0.1)
    assert words.about_network(alone) == [] and alone.overhead_us is None
    assert [words.times(factor) for factor in (224.4, 2.53, 1.5, 0.974)] == ["224×", "2.5×", "1.50×", "0.97×"]


def test_the_data_path_is_compared_with_the_dataloader_at_its_best() -> None:
    paths = {key: measured(key, step) for key, step in (("canonical", 0.1), ("canonical-workers", 0.06))}
    found = DataResult(28, 32, ("crop", "flip"), paths | {"engine": measured("engine", 0.001)})
    assert words.about_data(found) == (
        "Batches of 32 with random crops and flips come 60× as fast as from the DataLoader at its best."
    )
