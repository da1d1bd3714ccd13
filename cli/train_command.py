"""The command `train` as typer knows it: options that follow from the settings, and work that is imported late."""

from __future__ import annotations

from typing import Any

from .train_options import BY_HAND, LazyCommand, options_of


class TrainCommand(LazyCommand):
    """The command `train`."""

    def make_options(self) -> list[Any]:
        """Return an option for each setting, in the order of the groups, and those that are no settings."""
        from ..trainer.config.request import of_groups
        from ..trainer.config.setting import GROUPS

        return options_of(BY_HAND, of_groups(GROUPS))

    def invoke(self, ctx: Any) -> Any:
        """Train what the options ask for."""
        from .train import train

        return train(ctx.params)


def train() -> None:
    """Train networks. Ctrl-C writes a checkpoint; 'cnn-explorer runs resume last' goes on from there."""
