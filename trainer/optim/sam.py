"""SAM and ASAM: the gradient is taken at the worst point nearby, so that the descent ends in a flat place.

Foret et al., "Sharpness-Aware Minimization", arXiv:2010.01412; Kwon et al., "ASAM", arXiv:2102.11600, which measures the
neighbourhood of each weight in parts of its size. Both work with any optimiser, and each step takes two passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..common import rng

ASAM_FLOOR = 0.01
"""η of ASAM: added to the size of each weight, so that one at 0 may be moved too."""


class SAM:
    """Takes ``network`` to the worst point within ``rho``, by its present gradients, and back.

    In there, the second pass sees the first one's function: batches, dropout masks and drop paths are the same, because the
    state of the random generators is put back to where ``begin`` found it; otherwise the difference of two masks would be
    climbed as well. Running statistics of norms are those of the first pass, at the weights that are kept.
    """

    def __init__(self, network: nn.Module, rho: float, adaptive: bool, device: torch.device) -> None:
        self._network = network
        self._rho = rho
        self._adaptive = adaptive
        self._device = device
        self._noise: dict[str, object] = {}
        self._norms: list[Any] = [m for m in network.modules() if getattr(m, "track_running_stats", False)]

    def begin(self) -> None:
        """Prepare the first pass."""
        self._noise = rng.state(self._device)

    @contextmanager
    def perturbed_weights(self) -> Iterator[None]:
        """Displace the weights inside the block, which lies between the first pass and the step.

        Gradients may carry the factor of a scaler, since only their direction counts. Where one of them is infinite, the
        weights stay, and the second pass finds the same infinity, whereupon the scaler leaves the step out.
        """
        gradients = {p: p.grad for p in self._network.parameters() if p.grad is not None}
        kept = [(p, p.detach().clone()) for p in gradients]
        self._displace(gradients)
        del gradients  # their memory is for those of the second pass
        for norm in self._norms:
            norm.track_running_stats = False  # batch statistics are used all the same, and none are kept
        rng.restore(self._noise, self._device)
        try:
            yield
        finally:
            for norm in self._norms:
                norm.track_running_stats = True
            with torch.no_grad():
                for parameter, before in kept:
                    parameter.copy_(before)

    @torch.no_grad()
    def _displace(self, moved: dict[nn.Parameter, Tensor]) -> None:
        """Add ρ·T²g / ‖T·g‖ to the weights; T is 1 for SAM (its equation 2), |w| + η for ASAM."""
        norms = [torch.linalg.vector_norm(self._sized(weight, gradient)) for weight, gradient in moved.items()]
        length = torch.linalg.vector_norm(torch.stack(norms))
        factor = torch.where(torch.isfinite(length), self._rho / (length + 1e-12), 0.0)
        for weight, gradient in moved.items():
            direction = self._sized(weight, self._sized(weight, gradient))
            weight.add_(torch.nan_to_num(direction * factor, nan=0.0))

    def _sized(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """Return T times a gradient."""
        return gradient * (weight.abs() + ASAM_FLOOR) if self._adaptive else gradient
