"""CNN + LSTM in the manner of LRCN: Donahue et al., "Long-term Recurrent Convolutional Networks for Visual Recognition and
Description", CVPR 2015, arXiv:1411.4389; the LSTM: Hochreiter, Schmidhuber, Neural Computation 1997.

The idea: divide the work. A convolutional network looks at one frame at a time and says what is there; a recurrent network
reads what it says, frame after frame, and remembers. Here a single image plays the film: its strips or its patches come
one after another.

What to look at: ``PerStep``, which folds the steps into the batch so that one small CNN with one set of weights reads
them all, and ``LastState``: the whole sequence has to fit into one vector.
"""

from __future__ import annotations

from typing import Unpack

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .basic_convnet import stage
from .catalogue.declaration import Declaration, stages
from .layers import BuildOptions, check_choice, check_positive, halved

WIDTHS = (32, 64)
FEATURES = 128
HIDDEN = 128

# How often a side is divided where nobody says how high a step is: 8 strips, or 4 by 4 patches, of a 32-pixel image.
DIVISIONS = {"rows": 8, "patches": 4}


class Steps(nn.Module):
    """Cut images into a sequence in reading order: (B, C, S, S) → (B, T, C, h, w).

    "rows": strips of the full width, from top to bottom. "patches": squares, row by row. ``step`` is their height in
    pixels; where it does not divide the side, the image is continued with zeros below (and to the right of patches).
    """

    def __init__(self, image_size: int, steps: str, step: int) -> None:
        super().__init__()
        self.rows = -(-image_size // step)
        self.columns = self.rows if steps == "patches" else 1
        self.missing = self.rows * step - image_size
        self.size = (step, step if steps == "patches" else image_size)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (0, self.missing if self.columns > 1 else 0, 0, self.missing))  # (B, C, rows·h, columns·w)
        return rearrange(
            x, "b c (rows h) (columns w) -> b (rows columns) c h w", rows=self.rows, columns=self.columns
        )  # (B, T, C, h, w)


class PerStep(nn.Module):
    """One network for all steps: (B, T, C, h, w) → (B, T, features). The steps are read as T times more images."""

    def __init__(self, in_channels: int, size: tuple[int, int], features: int) -> None:
        super().__init__()
        places = halved(size[0], 2) * halved(size[1], 2)
        self.cnn = nn.Sequential(
            stage(in_channels, WIDTHS[0]),
            stage(WIDTHS[0], WIDTHS[1]),
            nn.Flatten(),
            nn.Linear(WIDTHS[1] * places, features),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, steps = x.shape[:2]
        x = self.cnn(x.flatten(0, 1))  # (B·T, features)
        return x.unflatten(0, (batch, steps))  # (B, T, features)


class LastState(nn.Module):
    """An LSTM reads the sequence, its last output is kept: (B, T, features) → (B, hidden).

    The bias of the forget gate starts at 1, so that at first the cell keeps what it has (Gers et al. 2000; Jozefowicz et
    al. 2015); with 0 it would forget half at every step.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, batch_first=True)
        # The four gates lie below one another in torch's order: input, forget, cell, output; two biases are added up.
        for name, value in (("bias_ih_l0", 1.0), ("bias_hh_l0", 0.0)):
            nn.init.constant_(getattr(self.lstm, name).data[hidden : 2 * hidden], value)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(x)  # (B, T, hidden)
        return states[:, -1]  # (B, hidden)


class CnnLstm(nn.Module):
    """Steps, a CNN for each, an LSTM over all, one linear layer: (B, in_channels, S, S) → (B, num_classes)."""

    def __init__(
        self,
        *,
        num_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
        steps: str = "rows",
        step: int | None = None,
        hidden: int = HIDDEN,
    ) -> None:
        super().__init__()
        check_choice("steps", steps, tuple(DIVISIONS))
        check_positive(num_classes=num_classes, in_channels=in_channels, image_size=image_size, hidden=hidden)
        if step is None:
            step = -(-image_size // DIVISIONS[steps])
        check_positive(step=step)
        if step > image_size:
            raise ValueError(f"step: {step} is more than the image has ({image_size}); the smallest that works is 1")
        self.steps = Steps(image_size, steps, step)
        self.frames = PerStep(in_channels, self.steps.size, FEATURES)
        self.reader = LastState(FEATURES, hidden)
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.steps(x)  # (B, 8, 3, 4, 32)
        x = self.frames(x)  # (B, 8, 128)
        x = self.reader(x)  # (B, 128)
        return self.head(x)  # (B, num_classes)

    @property
    def declaration(self) -> Declaration:
        """Describe the network to tools."""
        return Declaration(
            stages(frames=("steps", "frames"), reader=("reader",), head=("head",)),
            feature_layer="frames",
            feature_axes="tokens",
            token_grid=(self.steps.rows, self.steps.columns),
        )


class Options(BuildOptions, total=False):
    """``steps``: "rows" or "patches"; ``step``: their height in pixels; ``hidden``: width of the LSTM's state."""

    steps: str
    step: int
    hidden: int


def cnn_lstm(**options: Unpack[Options]) -> CnnLstm:
    return CnnLstm(**options)


def cnn_lstm_patches(**options: Unpack[Options]) -> CnnLstm:
    return CnnLstm(**{"steps": "patches", **options})
