"""Muon: momentum whose matrices are made orthogonal before they are added to the weights; AdamW for everything else.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks", kellerjordan.github.io/posts/muon (2024); a filter
of shape (out, in, h, w) is the matrix (out, in·h·w), as in his CIFAR-10 records (github.com/KellerJordan/cifar10-airbench).
``torch.optim.Muon`` came with torch 2.9 and takes matrices alone; here torch may be 2.6, and most weights are filters.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial a·x + b·x³ + c·x⁵, which moves singular values towards 1, small ones as fast as can be."""

STEPS = 5


def orthogonalised(matrices: Tensor) -> Tensor:
    """Return the nearest orthogonal matrices, roughly: (…, rows, columns) → the same shape, singular values about 0.7
    to 1.2.

    A Newton-Schulz iteration, products of matrices alone; bf16 is exact enough for it on a GPU. A matrix of zeros stays.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    if x.device.type == "cuda":
        x = x.bfloat16()
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(Optimizer):
    """Muon over the groups with ``hidden`` true, fused AdamW over the others. Group options as both of them have them.

    ``hidden`` groups have ``lr``, ``momentum``, ``nesterov`` and ``weight_decay``. Their update is the orthogonal matrix
    times √(rows / columns) where there are more rows, times the rate. There is one state and one state_dict for both.
    """

    def __init__(self, hidden: Iterable[dict], rest: Iterable[dict], momentum: float, nesterov: bool, **adamw) -> None:
        rest = list(rest)
        self._adamw = torch.optim.AdamW(rest, **adamw) if rest else None
        groups = [group | {"hidden": True, "momentum": momentum, "nesterov": nesterov} for group in hidden]
        groups += [group | {"hidden": False} for group in (self._adamw.param_groups if self._adamw else [])]
        super().__init__(groups, {"lr": adamw["lr"], "weight_decay": 0.0})
        self._share()

    def _share(self) -> None:
        """Let AdamW work on the groups and the state of this optimiser, so that there is one of each to set and to save."""
        if self._adamw is not None:
            self._adamw.param_groups = [group for group in self.param_groups if not group["hidden"]]
            self._adamw.state = self.state

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from what ``state_dict`` gave."""
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Make one step with the gradients that are there; parameters without one stay. Waits for nothing."""
        for group in self.param_groups:
            if group["hidden"]:
                self._step_hidden(group)
        if self._adamw is not None:
            self._adamw.step()

    def _step_hidden(self, group: dict) -> None:
        """Update matrices of one shape together: many small products would wait for each other on a GPU."""
        pending = [p for p in group["params"] if p.grad is not None]
        pending.sort(key=lambda p: p.flatten(1).shape)
        for (rows, columns), alike in groupby(pending, key=lambda p: p.flatten(1).shape):
            parameters = list(alike)
            updates = orthogonalised(torch.stack([self._momentum(p, p.grad, group).flatten(1) for p in parameters]))
            length = group["lr"] * max(1, rows / columns) ** 0.5
            for parameter, update in zip(parameters, updates.unbind(), strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update.view_as(parameter), alpha=-length)

    def _momentum(self, parameter: Tensor, gradient: Tensor, group: dict) -> Tensor:
        """Return the running mean of the gradients with this one in it; with ``nesterov``, one step further."""
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer


def hidden_matrices(network: nn.Module) -> set[int]:
    """Return the ``id`` of each weight that Muon is for: full matrices and kernels between input layer and outputs.

    The first layer and the classifiers, auxiliary ones too, are left to AdamW, as its author advises. So are grouped and
    depthwise filters, which are no one matrix, and whatever is no convolution or linear layer.
    """
    declaration = getattr(network, "declaration", None)
    order = [name for stage in declaration.stages for name in stage.layers] if declaration else [""]
    auxiliary = declaration.auxiliary if declaration else ()
    main = _layers(network, [name for name in order if name not in auxiliary])
    outputs = [layers[-1] for name in auxiliary if (layers := _layers(network, [name]))]
    layers = main[1:-1] + [layer for name in auxiliary for layer in _layers(network, [name])]
    return {id(layer.weight) for layer in layers if layer not in outputs and getattr(layer, "groups", 1) == 1}


def _layers(network: nn.Module, names: Iterable[str]) -> list[nn.Module]:
    """Return the convolutions and linear layers in the submodules ``names`` ("": all of it), in order; parameters are
    no layers.
    """
    modules = dict(network.named_modules())
    kinds = (nn.Conv1d, nn.Conv2d, nn.Linear)
    return [each for name in names if name in modules for each in modules[name].modules() if isinstance(each, kinds)]
