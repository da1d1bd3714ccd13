"""Optimisers from a recipe, with weight decay where it belongs and the fused kernels where torch has them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...models.own.modes import evaluating
from ..config.recipe import Recipe
from .lamb import Lamb
from .muon import Muon, hidden_matrices

_FUSED_DEVICES = ("cpu", "cuda", "mps")


def parameter_groups(network: nn.Module, weight_decay: float, scales: Mapping[str, float] | None = None) -> list[dict]:
    """Group the parameters: weights with decay; norms, biases, class tokens, position tables, layer scales without.

    Decay pulls towards zero, which makes a filter smaller but would move the mean and scale that a norm has learned
    (Goyal et al., arXiv:1706.02677, section 5.3, for batch norm). Frozen parameters are left out; empty groups too.
    ``lr_scale`` is the group's factor on the learning rate (`set_rate`): there is a pair of groups for each factor that
    ``scales`` names by parameter, 1 where it names none. ``adapt`` is read by LAMB.
    """
    scales = scales or {}
    trained = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    groups = []
    for scale in sorted({scales.get(name, 1.0) for name, _ in trained}, reverse=True):
        own = [(name, p) for name, p in trained if scales.get(name, 1.0) == scale]
        weights, others = ([p for name, p in own if is_weight(name, p) == wanted] for wanted in (True, False))
        groups.append({"params": weights, "weight_decay": weight_decay, "adapt": True, "lr_scale": scale})
        groups.append({"params": others, "weight_decay": 0.0, "adapt": False, "lr_scale": scale})
    return [group for group in groups if group["params"]]


def is_weight(name: str, parameter: Tensor) -> bool:
    """Return whether a parameter multiplies what flows through: more than one axis, and called a weight by its module.

    The second half leaves out what has several axes for its shape alone, and has no decay in the reference code of DeiT,
    Swin and NAT either: class tokens, tables of positions and of relative biases, scales of attention.
    """
    return parameter.ndim > 1 and "weight" in name.rpartition(".")[2]


def build_optimizer(network: nn.Module, recipe: Recipe, scales: Mapping[str, float] | None = None) -> Optimizer:
    """Return the recipe's optimiser over the trainable parameters of ``network``, on the device where they are.

    ``scales`` gives parameters, by name, a factor on the learning rate.
    """
    groups = parameter_groups(network, recipe.weight_decay, scales)
    device = groups[0]["params"][0].device.type
    if recipe.optimizer == "sgd":
        nesterov = recipe.nesterov and recipe.momentum > 0
        kernels = _kernels(device, fused=True)
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov, **kernels)
    if recipe.optimizer == "rmsprop":
        kernels = _kernels(device, fused=False)
        return torch.optim.RMSprop(groups, lr=recipe.lr, momentum=recipe.momentum, eps=recipe.eps, **kernels)
    adam = {"lr": recipe.lr, "betas": (recipe.betas[0], recipe.betas[1]), "eps": recipe.eps}
    if recipe.optimizer == "lamb":
        return Lamb(groups, **adam)
    adam |= _kernels(device, fused=True)
    if recipe.optimizer == "muon":
        hidden, rest = _split(groups, hidden_matrices(network), recipe.adamw_lr / recipe.lr)
        return Muon(hidden, rest, recipe.momentum, recipe.nesterov, **adam)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
    return kind(groups, **adam)


def _kernels(device: str, fused: bool) -> dict[str, bool]:
    """Choose which of torch's implementations of an optimiser is used: fused where there is one.

    On the CPU the foreach implementation can be slower than the plain loop; elsewhere torch chooses them by itself.
    """
    if fused and device in _FUSED_DEVICES:
        return {"fused": True}
    return {"foreach": False} if device == "cpu" else {}


def _split(groups: list[dict], hidden: set[int], rest_scale: float) -> tuple[list[dict], list[dict]]:
    """Return each group as two, of Muon's matrices and of the rest, whose rate is ``rest_scale`` times as large; none
    empty.
    """
    mine = [group | {"params": [p for p in group["params"] if id(p) in hidden]} for group in groups]
    rest = [
        group
        | {"params": [p for p in group["params"] if id(p) not in hidden], "lr_scale": group["lr_scale"] * rest_scale}
        for group in groups
    ]
    return [group for group in mine if group["params"]], [group for group in rest if group["params"]]


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of all groups, each times its own factor ``lr_scale`` (1 where it has none)."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)


def gradient_norm(network: nn.Module) -> Tensor:
    """Return the Euclidean norm of all gradients together, a scalar on their device, without waiting for it."""
    return nn.utils.get_total_norm([p.grad.float() for p in network.parameters() if p.grad is not None])


def clip_gradients(network: nn.Module, limit: float) -> Tensor:
    """Scale the gradients down so that their norm is at most ``limit``; returns the norm before, a scalar."""
    parameters = [p for p in network.parameters() if p.grad is not None]
    on_cpu = bool(parameters) and parameters[0].device.type == "cpu"
    return nn.utils.clip_grad_norm_(parameters, limit, foreach=False if on_cpu else None)


class Average:
    """Exponential moving average of a network's weights; ``network`` is a copy that holds it.

    Early on the decay is smaller, (1 + n) / (10 + n) after n updates, so that the random start is soon forgotten. Buffers
    (running statistics) are averaged as well where they are floating point, and copied otherwise.
    """

    def __init__(self, network: nn.Module, copy: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.network = evaluating(copy).requires_grad_(False)
        pairs = list(zip(_tensors(copy), _tensors(network), strict=True))
        averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._averaged = [list(column) for column in zip(*averaged, strict=True)]
        self._exact = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take the network's present weights into the average."""
        self.updates += 1
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        # In one go, as torch.optim.swa_utils does: on a GPU a kernel for each tensor takes longer than its arithmetic.
        mine, theirs = self._averaged
        torch._foreach_lerp_(mine, theirs, weight)  # pyright: ignore[reportPrivateImportUsage] torch has no public name for it
        for counter, present in self._exact:
            counter.copy_(present)

    def state_dict(self) -> dict:
        """Return the averaged weights and the number of updates."""
        return {"updates": self.updates, "network": self.network.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Go on from what ``state_dict`` gave."""
        self.updates = int(state["updates"])
        self.network.load_state_dict(state["network"])


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
