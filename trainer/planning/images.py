"""The images of a run: what the data set is, before it is loaded, and the set itself."""

from __future__ import annotations

from ... import settings
from ..common.progress import Log
from ..config.run_config import DataConfig
from ..data import dataset_info, datasets
from ..data.dataset_info import DataInfo
from ..data.datasets import DataSet
from ..data.image_folder import PLAN_BYTES
from .asked import Asked
from .fitted_network import SMALL_IMAGES
from .networks import PlannedNetwork


def describe(asked: Asked, network: PlannedNetwork, stem: str, size: int | None) -> DataInfo:
    """Return what the data set is; without a size, a person's own images are scaled to what the network's stem is for."""
    if asked.dataset.startswith(dataset_info.FOLDER) and size is None:
        variant = network.variant
        paper = variant.paper_stem.input[1]
        small = stem != "imagenet" and (variant.small_stem is not None or paper <= SMALL_IMAGES)
        size = dataset_info.DEFAULT_IMAGE_SIZE if small else paper
    return dataset_info.describe(asked.dataset, asked.data_folder, size)


def load(asked: Asked, info: DataInfo, log: Log) -> DataSet:
    """Load the data set, downloaded and decoded where it must be, split as it is asked for."""
    return datasets.load(
        info.name,
        asked.data_folder,
        settings.cache_folder(),
        image_size=info.size,
        validation=asked.held_out,
        seed=asked.seed,
        most_bytes=PLAN_BYTES if asked.request.run.plan else None,
        log=log,
    )


def config_of(asked: Asked, data: DataSet) -> DataConfig:
    """Return what run.json says of the images."""
    counts = (len(data.train), len(data.validation), len(data.test))
    return DataConfig(data.name, *counts, data.classes, data.image_size, str(asked.data_folder), asked.held_out)
