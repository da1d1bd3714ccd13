"""One output value of a recurrent layer (LSTM, GRU, RNN): one unit of the last layer at one step, with its gates.

All steps before it are computed anew from the weights, since the layer hands out neither its gates nor its cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .caught import Caught, Found, Position, argument, number

GATES = {"LSTM": ("input gate", "forget gate", "candidate", "output gate"), "GRU": ("reset gate", "update gate", "new")}
"""What the rows of the weights stand for, in torch's order; a plain RNN has one row a unit."""


@dataclass(frozen=True)
class Weights:
    """Weights and biases of one layer in one direction."""

    reading: Tensor
    recurrent: Tensor
    bias_reading: Tensor
    bias_recurrent: Tensor

    def sums(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each gate of each unit gets from the input, and what from the output before."""
        return self.reading @ x + self.bias_reading, self.recurrent @ hidden + self.bias_recurrent


@dataclass(frozen=True)
class TimeStep:
    """One step of one layer: what it reads, and the state that it begins with."""

    x: Tensor
    hidden: Tensor
    cell: Tensor


def _weights(module: nn.Module, suffix: str) -> Weights:
    reading, recurrent = getattr(module, f"weight_ih{suffix}"), getattr(module, f"weight_hh{suffix}")
    none = reading.new_zeros(len(reading))
    if not module.bias:
        return Weights(reading, recurrent, none, none)
    return Weights(reading, recurrent, getattr(module, f"bias_ih{suffix}"), getattr(module, f"bias_hh{suffix}"))


def _family(module: nn.Module) -> str:
    for name, kinds in (("LSTM", (nn.LSTM, nn.LSTMCell)), ("GRU", (nn.GRU, nn.GRUCell))):
        if isinstance(module, kinds):
            return name
    return "RNN"


def _gates(module: nn.Module, step: TimeStep, weights: Weights) -> tuple[Tensor, ...]:
    """Return the gates of all units at a step, in the order of GATES."""
    read, kept = weights.sums(step.x, step.hidden)
    family = _family(module)
    if family == "LSTM":
        enter, forget, candidate, leave = (read + kept).chunk(4)
        return enter.sigmoid(), forget.sigmoid(), candidate.tanh(), leave.sigmoid()
    if family == "GRU":
        reset, update, _ = (read + kept).sigmoid().chunk(3)
        return reset, update, (read.chunk(3)[2] + reset * kept.chunk(3)[2]).tanh()
    total = read + kept
    return (total.relu() if module.nonlinearity == "relu" else total.tanh(),)


def _after(module: nn.Module, step: TimeStep, gates: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Return the output and the cells after a step."""
    if len(gates) == 4:
        enter, forget, candidate, leave = gates
        cell = forget * step.cell + enter * candidate
        return leave * cell.tanh(), cell
    if len(gates) == 3:
        _, update, new = gates
        return (1 - update) * new + update * step.hidden, step.cell
    return gates[0], step.cell


def _steps(
    module: nn.Module, x: Tensor, hidden: Tensor, cell: Tensor, weights: Weights
) -> tuple[list[TimeStep], Tensor]:
    """Return each step of one layer in the order of the sequence ``x``, and its outputs."""
    steps, outputs = [], []
    for values in x:
        step = TimeStep(values, hidden, cell)
        hidden, cell = _after(module, step, _gates(module, step, weights))
        steps.append(step)
        outputs.append(hidden)
    return steps, torch.stack(outputs)


def recurrent(caught: Caught, at: Position) -> Found:
    """Return one value of the output of an LSTM, GRU or RNN, which is that of the last layer."""
    module = caught.module
    assert isinstance(module, nn.RNNBase)
    if getattr(module, "proj_size", 0):
        raise ValueError("layer: an LSTM with proj_size does not open to one value")
    x = argument(caught, 0, "input")
    state = caught.args[1] if len(caught.args) > 1 else caught.kwargs.get("hx")
    batched = x.ndim == 3
    image = (at[0] if module.batch_first else at[1]) if batched else 0
    place = at[1] if batched and module.batch_first else at[0]
    values = (x[image] if module.batch_first else x[:, image]) if batched else x
    states = _states(module, state, image, batched, values)
    direction, unit = divmod(at[-1], module.hidden_size)
    directions = 2 if module.bidirectional else 1
    steps: list[list[TimeStep]] = []
    for layer in range(module.num_layers):
        outputs, steps = [], []
        for way in range(directions):
            row = layer * directions + way
            suffix = f"_l{layer}{'_reverse' if way else ''}"
            turned = values.flip(0) if way else values
            found, output = _steps(module, turned, states[0][row], states[1][row], _weights(module, suffix))
            steps.append(found[::-1] if way else found)
            outputs.append(output.flip(0) if way else output)
        values = torch.cat(outputs, -1)
    suffix = f"_l{module.num_layers - 1}{'_reverse' if direction else ''}"
    return _told(module, steps[direction][place], _weights(module, suffix), unit)


def _states(
    module: nn.RNNBase, state: Tensor | tuple[Tensor, Tensor] | None, image: int, batched: bool, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the outputs and cells before the first step, a row for each layer and direction: zeros where none came."""
    if state is None:
        rows = module.num_layers * (2 if module.bidirectional else 1)
        none = like.new_zeros(rows, module.hidden_size)
        return none, none
    hidden, cell = state if isinstance(state, tuple) else (state, state)
    return (hidden[:, image], cell[:, image]) if batched else (hidden, cell)


def cell(caught: Caught, at: Position) -> Found:
    """Return one value of an LSTMCell, GRUCell or RNNCell, which does a single step."""
    module = caught.module
    assert isinstance(module, nn.RNNCellBase)
    x = argument(caught, 0, "input")
    state = caught.args[1] if len(caught.args) > 1 else caught.kwargs.get("hx")
    if state is None:
        state = x.new_zeros(*x.shape[:-1], module.hidden_size)
    hidden, kept = state if isinstance(state, tuple) else (state, state)
    row = at[:-1]
    return _told(module, TimeStep(x[row], hidden[row], kept[row]), _weights(module, ""), at[-1])


def _told(module: nn.Module, step: TimeStep, weights: Weights, unit: int) -> Found:
    """Return the numbers of one unit at one step: what it reads, the weights of its gates, the gates, the result."""
    gates = _gates(module, step, weights)
    found = _after(module, step, gates)[0][unit]
    rows = [number * len(step.hidden) + unit for number in range(len(gates))]
    own = torch.stack([gate[unit] for gate in gates])
    names = ", ".join(GATES.get(_family(module), ("unit",)))
    parts = [
        ("values of this step", step.x),
        ("outputs of the step before", step.hidden),
        (f"weights on the values: {names}", weights.reading[rows]),
        (f"weights on the outputs before: {names}", weights.recurrent[rows]),
        ("biases of both", torch.stack([weights.bias_reading[rows], weights.bias_recurrent[rows]])),
        (names, own),
    ]
    return "recurrent", parts, _words(step, own.tolist(), unit, weights, rows), found


def _words(step: TimeStep, own: list[float], unit: int, weights: Weights, rows: list[int]) -> str:
    if len(own) == 4:
        enter, forget, candidate, leave = map(number, own)
        before = number(step.cell[unit])
        return f"output gate {leave} · tanh(forget gate {forget} · cell {before} + input gate {enter} · {candidate})"
    if len(own) == 3:
        _, update, new = own
        before = number(step.hidden[unit])
        return f"(1 − update gate {number(update)}) · new {number(new)} + {number(update)} · output before {before}"
    read, kept = (total[unit] for total in weights.sums(step.x, step.hidden))
    return f"the activation of {number(read)} from the values + {number(kept)} from the outputs before"


MODULES = {
    **dict.fromkeys(("LSTM", "GRU", "RNN"), recurrent),
    **dict.fromkeys(("LSTMCell", "GRUCell", "RNNCell"), cell),
}
