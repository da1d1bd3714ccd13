"""LAMB: Adam whose step is as long, for each layer, as a fixed part of the layer's weights. For very large batches.

You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", arXiv:1904.00962, algorithm 2. torch
has no LAMB, and the libraries that have one bring a training framework along.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer


class Lamb(Optimizer):
    """LAMB over parameter groups with the options ``lr``, ``betas``, ``eps``, ``weight_decay`` and ``adapt``.

    ``adapt``: whether the group's steps are fitted to the length of its weights. Norms and biases are not, as in the
    authors' code: their length says nothing about how far they may move. The function φ of the paper is the identity.
    """

    def __init__(
        self, groups: Iterable[dict], lr: float, betas: tuple[float, float], eps: float, weight_decay: float = 0.0
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "adapt": True}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Make one step with the gradients that are there; parameters without one stay. Waits for nothing."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    direction = self._direction(parameter, group)
                    if group["adapt"]:
                        direction.mul_(trust_ratio(parameter, direction))
                    parameter.add_(direction, alpha=-group["lr"])

    def _direction(self, parameter: Tensor, group: dict) -> Tensor:
        """Return Adam's step, corrected for its zeros at the start, plus decay: r + λx of the paper."""
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        first, second = group["betas"]
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.lerp_(parameter.grad, 1 - first)
        square.mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
        deviation = (square / (1 - second ** state["step"])).sqrt_().add_(group["eps"])
        return (mean / (1 - first ** state["step"])).div_(deviation).add_(parameter, alpha=group["weight_decay"])


def trust_ratio(weights: Tensor, direction: Tensor) -> Tensor:
    """Return ‖weights‖ / ‖direction‖, a scalar on their device; 1 where one is 0, as for weights that begin there."""
    length, step = torch.linalg.vector_norm(weights), torch.linalg.vector_norm(direction)
    return torch.where((length > 0) & (step > 0), length / step, 1.0)
