"""The memory that is told before a run, held against the same run on the CPU, counted tensor by tensor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cnn_explorer.models.anatomy import counting
from cnn_explorer.models.anatomy.totals import memory
from cnn_explorer.models.anatomy.totals.live_bytes import LiveBytes
from cnn_explorer.trainer.batches.batches import evaluation_batches, evaluation_size
from cnn_explorer.trainer.config.request import TrainRequest
from cnn_explorer.trainer.config.run_config import RunConfig
from cnn_explorer.trainer.config.weights_source import InitialWeights
from cnn_explorer.trainer.devices import hardware
from cnn_explorer.trainer.loop import session as sessions
from cnn_explorer.trainer.loop.evaluate import evaluate
from cnn_explorer.trainer.planning import estimate, planner, step_memory
from cnn_explorer.trainer.planning.planner import Plan
from cnn_explorer.trainer.weights import weight_files
from torch import Tensor

PLAIN = {"optimizer": "sgd", "momentum": 0.9, "batch_size": 32, "ema": 0, "label_smoothing": 0.0, "clip_norm": 0.0}
CHANGES: list[dict[str, Any]] = [
    {},
    {"momentum": 0.0, "nesterov": False},
    {"optimizer": "adam"},
    {"optimizer": "rmsprop"},
    {"optimizer": "rmsprop", "momentum": 0.0},
    {"optimizer": "lamb"},
    {"optimizer": "muon"},
    {"ema": 0.99},
    {"sam": "sam"},
    {"sam": "asam", "optimizer": "adam"},
    {"accumulate": 4},
    {"accumulate": 4, "sam": "sam", "ema": 0.99, "optimizer": "lamb"},
    {"clip_norm": 1.0},
    {"precision": "bf16"},
]


HEAD = "head."


def planned(name: str = "resnet20", **changes: Any) -> Plan:
    """A plan on digits with one part of the recipe changed."""
    request = TrainRequest.of(name, dataset="digits", device="cpu", threads=1, **(PLAIN | changes))
    return planner.plan(request, lambda line: None)


def real(plan: Plan, config: RunConfig) -> tuple[int, int]:
    """The most bytes alive in the second update of a real run, and in an evaluation behind it."""
    device = torch.device("cpu")
    session = sessions.build_session(config, plan.data, device)
    sessions.fine_tuning.train_mode(session.network)
    images, targets = session.batches.batch(session.batches.epoch(0), 0)
    session.updater(images, targets, 0.01)
    counter = LiveBytes()
    average = session.updater.average
    for network in [session.network] if average is None else [session.network, average.network]:
        counter.hold([*network.parameters(), *network.buffers()])
    states = session.updater.optimizer.state.values()
    counter.hold(value for state in states for value in state.values() if isinstance(value, Tensor))
    counter.hold((images, targets))
    session.updater._forget_gradients()
    with counter:
        session.updater(images, targets, 0.01)
    update, counter.peak = counter.peak, 0
    del images, targets
    size = evaluation_size(session.input_transform, config.recipe.batch_size)
    whole = max(plan.data.validation, plan.data.test, key=len)
    images, targets = next(evaluation_batches(whole, session.input_transform, batch=size))
    counter.hold((images, targets))
    mirrored = config.recipe.tta == "flip"
    with counter:
        evaluate(
            session.updater.eval_model, [(images, targets)], session.num_classes, session.precision, mirrored=mirrored
        )
    return update, counter.peak


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: " ".join(f"{k}={v}" for k, v in changes.items()))
@pytest.mark.parametrize("name", ["lenet5", pytest.param("resnet20", marks=pytest.mark.slow)])
def test_an_update_takes_what_was_told(home: Path, name: str, changes: dict[str, Any]) -> None:
    plan = planned(name, **changes)
    told = step_memory.memory_of_run(plan.config)
    update, evaluation = real(plan, plan.config)
    # bf16: the lists of autocast are those of a GPU; on the CPU fewer things are cast.
    tolerance = 0.05 if changes.get("precision") else 0.002
    assert told.update == pytest.approx(update, rel=tolerance)
    assert told.evaluation == pytest.approx(evaluation, rel=0.05)


def test_mirror_images_take_memory_in_the_evaluation(home: Path) -> None:
    plain, mirrored = (planned(augment=("flip",), tta=tta) for tta in ("none", "flip"))
    told = [step_memory.memory_of_run(plan.config) for plan in (plain, mirrored)]
    measured = [real(plan, plan.config) for plan in (plain, mirrored)]
    assert told[0].update == told[1].update
    assert told[1].evaluation - told[0].evaluation == pytest.approx(measured[1][1] - measured[0][1], rel=0.02)
    assert told[1].evaluation > 1.01 * told[0].evaluation


def test_a_frozen_backbone_has_no_gradients_and_no_state(home: Path) -> None:
    config = planned().config
    head = tuple(
        name for name, _ in weight_files.build_on_meta(config.network).named_parameters() if name.startswith(HEAD)
    )
    first = InitialWeights("torchvision", "x", "", newly_initialised=head)
    network = replace(config.network, pretrained=first)
    config = replace(config, network=network)
    whole = step_memory.memory_of_run(config)
    frozen = step_memory.memory_of_run(replace(config, recipe=replace(config.recipe, freeze="backbone")))
    values = sum(p.numel() for n, p in weight_files.build_on_meta(config.network).named_parameters() if n in head)
    assert (whole.gradients, frozen.gradients) == (4 * config.network.parameters, 4 * values)
    assert frozen.update < whole.update / 3, "the activations of the backbone are not kept"
    # The gradients stay behind the last update, and so do the states.
    assert whole.evaluation - frozen.evaluation == 2 * (whole.gradients - frozen.gradients)


@pytest.mark.parametrize("name", ["resnet20", "lenet5"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_forecast_and_the_anatomy_agree_where_both_speak(home: Path, name: str, precision: str) -> None:
    config = planned(name, precision=precision).config
    network = config.network
    shape = (network.in_channels, network.image_size, network.image_size)
    built = weight_files.build_on_meta(network)
    shown = memory.training_memory(built, shape, config.recipe.batch_size, precision, "sgd")
    assert step_memory.memory_of_run(config).update == pytest.approx(shown.peak, rel=0.001)
    assert counting.count_parameters(built) == network.parameters


def test_processes_exchange_a_copy_of_the_gradients(home: Path) -> None:
    config = planned().config
    alone = estimate.memory_needed(config)
    several = estimate.memory_needed(config.on(("cpu", "cpu")))
    assert alone is not None and several is not None
    assert several.update - alone.update == several.evaluation - alone.evaluation == 4 * config.network.parameters


def test_images_on_a_gpu_stand_beside_the_network(home: Path) -> None:
    plan = planned(augment=("crop",))
    images = len(plan.data.train)
    side = plan.config.data.size
    assert estimate.resident_images(plan.config, plan.data, hardware.choose_device("cpu")) == 0
    resident = estimate.resident_images(plan.config, plan.data, torch.device("meta"))
    assert images * side**2 < resident < 2 * images * (side + 8) ** 2
    engine = replace(plan.config.engine, data_on_device=False)
    config = replace(plan.config, engine=engine)
    assert estimate.resident_images(config, plan.data, torch.device("meta")) == 0
