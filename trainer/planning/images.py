"""The images of a run: what the data set is, before it is loaded, and the set itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ... import settings
from ..common.progress import Log
from ..config.run_config import DataConfig
from ..data import dataset_info, datasets
from ..data.dataset_info import DataInfo
from ..data.datasets import DataSet
from .fitted_network import SMALL_IMAGES
from .networks import PlannedNetwork


@dataclass(frozen=True)
class WantedImages:
    """Which images are asked for: a data set, looked for in ``folder``.

    ``held_out`` is the validation split, a share or a number, None where the data set decides; ``seed`` chooses it.
    ``most_bytes`` is what may be decoded of a folder of images, None for all.
    """

    dataset: str
    folder: Path
    held_out: float | None
    seed: int
    most_bytes: int | None


def describe(wanted: WantedImages, network: PlannedNetwork, stem: str, size: int | None) -> DataInfo:
    """Return what the data set is; without a size, a person's own images are scaled to what the network's stem is for."""
    if wanted.dataset.startswith(dataset_info.FOLDER) and size is None:
        variant = network.variant
        paper = variant.paper_stem.input[1]
        small = stem != "imagenet" and (variant.small_stem is not None or paper <= SMALL_IMAGES)
        size = dataset_info.DEFAULT_IMAGE_SIZE if small else paper
    return dataset_info.describe(wanted.dataset, wanted.folder, size)


def load(wanted: WantedImages, info: DataInfo, log: Log) -> DataSet:
    """Load the data set, downloaded and decoded where it must be, split as it is asked for."""
    return datasets.load(
        info.name,
        wanted.folder,
        settings.cache_folder(),
        image_size=info.size,
        validation=wanted.held_out,
        seed=wanted.seed,
        most_bytes=wanted.most_bytes,
        log=log,
    )


def config_of(wanted: WantedImages, data: DataSet) -> DataConfig:
    """Return what run.json says of the images."""
    counts = (len(data.train), len(data.validation), len(data.test))
    return DataConfig(data.name, *counts, data.classes, data.image_size, str(wanted.folder), wanted.held_out)
