"""What an evaluation tells beside loss and accuracy: how sure the loss is, the shares of classes, the kind of outputs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from cnn_explorer.trainer.loop import evaluate
from cnn_explorer.trainer.loop.evaluate import BOUNDED, PROBABILITIES, Evaluation
from support.training import bench, create_run, records_of, write_models
from torch import Tensor, nn


def evaluated(scores: Tensor, targets: Tensor, at_once: int = 5) -> Evaluation:
    """An evaluation of a network that gives the images back, in batches that do not divide evenly."""
    batches = zip(scores.split(at_once), targets.split(at_once), strict=True)
    return evaluate.evaluate(nn.Identity(), batches, scores.shape[1])


def drawn() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(12, 3, generator=generator), torch.tensor([0] * 7 + [1] * 4 + [2])


def test_the_standard_error_of_the_loss_is_that_of_the_images() -> None:
    scores, targets = drawn()
    losses = F.cross_entropy(scores, targets, reduction="none").double()
    found = evaluated(scores, targets)
    assert found.loss == pytest.approx(losses.mean().item(), rel=1e-5)
    assert found.loss_error == pytest.approx(losses.std(correction=0).item() / math.sqrt(12), rel=1e-4)


def test_shares_of_the_largest_class_and_of_the_most_frequent_answer() -> None:
    scores, targets = drawn()
    scores[:, 2] += 20
    scores[3, 1] += 90
    found = evaluated(scores, targets)
    assert found.largest_class == 7 / 12 and found.most_predicted == (2, 11 / 12)
    assert found.figures(own_loss=False) == {
        "loss_error": pytest.approx(found.loss_error, rel=1e-5),
        "largest_class": 0.583333,
        "most_predicted": 0.916667,
        "most_predicted_class": 2,
    }


def test_outputs_that_are_no_scores_are_noticed() -> None:
    scores, targets = drawn()
    assert evaluated(scores, targets).outputs == ""
    assert evaluated(scores.softmax(1), targets).outputs == PROBABILITIES
    assert evaluated(scores.sigmoid(), targets).outputs == BOUNDED
    almost = scores.softmax(1)
    almost[11, 0] += 3  # a single image in the last batch
    assert evaluated(almost, targets).outputs == ""
    assert evaluated(scores.log_softmax(1), targets).outputs == ""
    assert "outputs" not in evaluated(scores.softmax(1), targets).figures(own_loss=True)


def test_a_dead_network_whose_constants_lie_there_by_chance_is_none_of_them() -> None:
    targets = drawn()[1]
    assert evaluated(torch.tensor([[0.51, 0.495, 0.0]]).expand(12, 3), targets).outputs == ""
    assert evaluated(torch.tensor([[0.9, 0.4, 0.2]]).expand(12, 3), targets).outputs == ""


def test_without_images_nothing_is_known() -> None:
    found = evaluate.evaluate(nn.Linear(2, 2), [], 2)
    assert found.outputs == "" and found.count == 0
    assert all(math.isnan(value) for value in (found.loss_error, found.largest_class, found.most_predicted[1]))


def test_an_infinite_loss_keeps_the_other_figures() -> None:
    scores, targets = drawn()
    scores[4, 0] = -math.inf
    found = evaluated(scores, targets)
    assert found.loss == math.inf and math.isnan(found.loss_error) and found.largest_class == 7 / 12


def test_a_run_records_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnn_explorer.models.catalogue import registry

    write_models(tmp_path / "models")
    monkeypatch.setenv("CNN_EXPLORER_MODELS", str(tmp_path / "models"))
    registry.forget()
    with bench(*create_run(tmp_path / "runs", recipe={"epochs": 1})) as made:
        made.trainer.run()
        (record,) = records_of(made.path, "eval")
    registry.forget()
    assert record["largest_class"] == pytest.approx(0.1, abs=0.02) and 0 < record["loss_error"] < record["loss"]
    assert 0.1 <= record["most_predicted"] <= 1 and record["most_predicted_class"] in range(10)
    assert "outputs" not in record
