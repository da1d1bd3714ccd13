"""One rank of a job that a test starts: trains a run in float64, without a disk, and saves what came out.

python rank_worker.py RUN RESULT
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from cnn_explorer.trainer.batches.batches import evaluation_batches
from cnn_explorer.trainer.config import run_config
from cnn_explorer.trainer.config.lr_schedule import learning_rate
from cnn_explorer.trainer.devices import process_group
from cnn_explorer.trainer.devices.process_group import Group
from cnn_explorer.trainer.loop import session as session_module
from cnn_explorer.trainer.loop.evaluate import evaluate
from cnn_explorer.trainer.loop.metrics_window import MetricsWindow
from cnn_explorer.trainer.runs.run_writer import read_config


def train_in_double(path: Path, group: Group) -> dict:
    """Weights, figures and evaluation after all updates of the run's recipe, everything computed in float64."""
    config = run_config.from_dict(read_config(path))
    build = session_module.build_network
    session_module.build_network = lambda config: build(config).double()
    try:
        session = session_module.build_session(
            config, session_module.load_data(config, print), torch.device("cpu"), group
        )
    finally:
        session_module.build_network = build
    sized = session.input_transform.sized
    session.input_transform.sized = lambda images: sized(images.double())
    double = torch.Tensor.double
    torch.Tensor.float, single = double, torch.Tensor.float
    try:
        return _train(session, group)
    finally:
        torch.Tensor.float = single


def _train(session, group: Group) -> dict:
    recipe, batches = session.recipe, session.batches
    window = MetricsWindow(recipe.batch_size, recipe.epochs * batches.steps_per_epoch, group)
    session.network.train()
    for step in range(recipe.epochs * batches.steps_per_epoch):
        number, position = divmod(step, batches.steps_per_epoch)
        batch = batches.batch(batches.epoch(number), position)
        window.add(session.updater(*batch, learning_rate(recipe, step, batches.steps_per_epoch)))
    means = window.close()
    found = evaluate(
        session.updater.eval_model,
        evaluation_batches(session.validation, session.input_transform, group=group),
        10,
        group=group,
    )
    weights = {name: values.clone() for name, values in session.network.state_dict().items()}
    evaluated = {f"average {name}": values.clone() for name, values in session.updater.eval_model.state_dict().items()}
    figures = [means.loss, means.accuracy, found.loss, found.accuracy, session.updater.gradient_norm()]
    return {"weights": weights | evaluated, "figures": figures, "confusion": found.confusion}


if __name__ == "__main__":
    torch.set_num_threads(1)
    job = process_group.join()
    result = train_in_double(Path(sys.argv[1]), job)
    torch.save(result, f"{sys.argv[2]}.{job.rank}")
    job.destroy()
    process_group.leave_if_joined(0)
    sys.exit("a rank that is done does not come here")
