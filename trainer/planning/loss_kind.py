"""Whether a network's own loss is made of cross-entropy, which label smoothing and class weights act on."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ...models.own.modes import training
from ..config.run_config import NetworkConfig
from ..weights import weight_files


def uses_cross_entropy(config: NetworkConfig) -> bool:
    """Send the shape of two images through network and loss, without memory, and see whether the criterion is called."""
    network = training(weight_files.build_on_meta(config))
    own_loss = getattr(network, "training_loss", None)
    try:
        return own_loss is None or _calls(network, own_loss, config)
    except Exception:  # a network of one's own may want values, which tensors on meta have not
        return True


def _calls(network: nn.Module, own_loss, config: NetworkConfig) -> bool:
    called = False

    def criterion(scores: Tensor, targets: Tensor) -> Tensor:
        nonlocal called
        called = True
        return cast(Tensor, nn.functional.cross_entropy(scores, targets))

    size = config.image_size
    images = torch.empty((2, config.in_channels, size, size), device="meta")
    with torch.random.fork_rng(devices=[]):
        own_loss(network(images), images, torch.zeros(2, dtype=torch.int64, device="meta"), criterion)
    return called
