"""What a network declares about itself, so that tools need no knowledge of any architecture.

Every network of the catalogue has a property ``declaration``. The stages partition the network: each parameter belongs to
exactly one stage, and an image meets the stages in their order. A declaration names things and counts nothing: the output
shapes, parameters and MACs of the stages come from a run (counting.py).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A named stretch of the network.

    ``layers`` are the qualified names of the submodules (or parameters) that belong to it, in order. ``shape`` is the output
    shape of the last one that is a module, batch axis left out. It may stay empty: then it is recorded from a run.
    """

    name: str
    layers: tuple[str, ...]
    shape: tuple[int, ...] = ()


def stages(*names: str, **groups: tuple[str, ...]) -> tuple[Stage, ...]:
    """Build stages in order: one for each submodule in ``names``, then one for each of the named ``groups``."""
    return (*(Stage(name, (name,)) for name in names), *(Stage(name, layers) for name, layers in groups.items()))


@dataclass(frozen=True)
class Declaration:
    """What tools need to know of a network.

    ``feature_layer``: submodule whose output is the last map with a spatial meaning, for Grad-CAM and feature maps.
    ``feature_axes``: "chw" for (B, C, H, W), "hwc" for (B, H, W, C), "tokens" for (B, N, C).
    ``token_grid``: rows and columns of the patches where ``feature_axes`` is "tokens"; ``prefix_tokens`` come before them.
    ``initial_loss``: expected loss before training, in nats, where it is not ln(classes); ``initial_loss_reason`` says why.
    ``null_gradients``: parameters (name endings) whose gradient is zero by construction, each with the reason.
    ``overfit_steps``, ``overfit_lr``: Adam steps within which one batch of 32 images is learned by heart, dropout off;
    ``overfit_loss`` is the loss reached by then, for a loss that is no plain cross-entropy.
    ``auxiliary``: submodules that run in training mode alone.
    """

    stages: tuple[Stage, ...]
    feature_layer: str
    feature_axes: str = "chw"
    token_grid: tuple[int, int] | None = None
    prefix_tokens: int = 0
    initial_loss: float | None = None
    initial_loss_reason: str = ""
    null_gradients: tuple[tuple[str, str], ...] = ()
    overfit_steps: int = 100
    overfit_lr: float = 1e-3
    overfit_loss: float = 0.1
    auxiliary: tuple[str, ...] = ()
