"""Fine-tuning: which of the loaded weights stay as they are, and how fast the rest learns.

The loaded weights are the backbone; the new head, and layers that the source lacks, are newly initialised.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import nn

from ...models.catalogue.declaration import Stage
from ..config.recipe import Recipe


def freeze(network: nn.Module, newly_initialised: Collection[str]) -> None:
    """Let only the parameters named ``newly_initialised`` learn."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in newly_initialised)


def train_mode(network: nn.Module) -> None:
    """Set training mode, in which frozen normalisations keep the statistics that they were loaded with.

    A batch norm whose scale and shift are frozen stays in evaluation mode: with the statistics of new batches it would no
    longer be the function that was loaded, although none of its parameters moves. Dropout acts as in any training.
    """
    network.train()
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if own and getattr(module, "running_mean", None) is not None and not any(p.requires_grad for p in own):
            module.eval()


def rate_scales(network: nn.Module, recipe: Recipe, newly_initialised: Collection[str]) -> dict[str, float]:
    """Return the factor on the learning rate of each parameter: 1 for newly initialised ones, else ``backbone_lr``, and
    less in depth.

    ``layer_decay`` multiplies once for each declared stage between a parameter and the last one (Howard and Ruder, ULMFiT,
    arXiv:1801.06146, section 3.2, where each layer below learns 2.6 times slower; there from layer to layer).
    """
    depth = _stages_behind(network)
    return {
        name: 1.0 if name in newly_initialised else recipe.backbone_lr * recipe.layer_decay ** depth.get(name, 0)
        for name, _ in network.named_parameters()
    }


def _stages_behind(network: nn.Module) -> dict[str, int]:
    """Return how many stages come after that of each parameter; nothing for a network that declares none."""
    stages: Sequence[Stage] = getattr(getattr(network, "declaration", None), "stages", ())
    behind = {}
    for name, _ in network.named_parameters():
        for index, stage in enumerate(stages):
            if any(name == layer or name.startswith(f"{layer}.") for layer in stage.layers):
                behind[name] = len(stages) - 1 - index
    return behind
