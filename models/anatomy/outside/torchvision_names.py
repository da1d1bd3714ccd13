"""Every network that torchvision lists, as it is built to be shown: without weights, so that nothing is downloaded."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ....errors import UsageError, nearest

IMAGE = (3, 224, 224)
CLIP_SIZE = (112, 112)
FRAMES = {"s3d": 64, "swin3d_t": 32, "swin3d_s": 32, "swin3d_b": 32}
USUAL_FRAMES = 16
BUILT_FOR_A_SIZE = {"vit_": "image_size", "maxvit": "input_size"}
"""Beginnings of the names of networks that are built for an image size, and what they call it."""


@dataclass(frozen=True)
class TorchvisionNetwork:
    """A name of torchvision. ``kind``: "image", "clip", "detector", "segmentation" or "flow" (two images)."""

    name: str
    kind: str

    def shape(self, image_size: int | None = None) -> tuple[int, ...]:
        """Return the shape of one input: the crop of the weights' own preprocessing where no size is given."""
        size = (image_size, image_size) if image_size else self._usual_size()
        return (3, FRAMES.get(self.name, USUAL_FRAMES), *size) if self.kind == "clip" else (3, *size)

    def _usual_size(self) -> tuple[int, ...]:
        import torchvision.models as zoo

        usual = CLIP_SIZE if self.kind == "clip" else IMAGE[1:]
        if self.size_option:
            return usual  # the largest ViT has weights for another size than it is built for
        try:
            weights: Any = zoo.get_model_weights(self.name)
            crop = weights.DEFAULT.transforms.keywords.get("crop_size", usual)
        except (ValueError, AttributeError):
            return usual
        return (crop, crop) if isinstance(crop, int) else tuple(crop)

    @property
    def size_option(self) -> str:
        """What the builder calls the image size for which it builds, "" where any size goes."""
        return next((option for start, option in BUILT_FOR_A_SIZE.items() if self.name.startswith(start)), "")

    def maker(self, size: int) -> Callable[[], nn.Module]:
        """Return what builds the network, for squares of ``size`` pixels where that makes a difference."""
        options: dict[str, Any] = {"weights": None}
        if self.kind in ("detector", "segmentation"):
            options["weights_backbone"] = None
        if self.name in ("googlenet", "inception_v3"):
            options["init_weights"] = False
        if self.size_option:
            options[self.size_option] = size if self.size_option == "image_size" else (size, size)

        def make() -> nn.Module:
            import torchvision.models as zoo

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return zoo.get_model(self.name, **options)

        return make


def find(name: str, rest: str) -> TorchvisionNetwork:
    """Return what ``rest``, the name behind "torchvision:", stands for. UsageError with the nearest name."""
    import torchvision.models as zoo

    known = zoo.list_models()
    matches = [model for model in known if model == rest or model.rsplit("/", 1)[-1] == rest]
    if not matches:
        raise UsageError("network", name, f"is not in torchvision; {nearest(rest, known)}")
    kinds = {
        "clip": zoo.video,
        "detector": zoo.detection,
        "segmentation": zoo.segmentation,
        "flow": zoo.optical_flow,
    }
    kind = next((kind for kind, module in kinds.items() if matches[0] in zoo.list_models(module=module)), "image")
    return TorchvisionNetwork(matches[0], kind)


def detector_remarks(name: str, network: nn.Module, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return what the figures of a detector depend on, in lines."""
    remarks = [
        "MACs depend on how many boxes are kept, here those of random weights (seed 0): trained weights keep others"
    ]
    resized = _resized(network, shape)
    if resized:
        remarks.append(resized)
    published = _published_parameters(name)
    counted = sum(weight.numel() for weight in network.parameters())
    if published and published != counted:
        remarks.append(
            f"{counted - published:,} parameters more than the {published:,} that torchvision publishes: without weights "
            "its batch norms learn, with weights they are frozen and count as buffers"
        )
    return tuple(remarks)


def _resized(network: nn.Module, shape: tuple[int, ...]) -> str:
    """Return the line that says to which size a detector brings its images."""
    transform: Any = getattr(network, "transform", None)
    if transform is None:
        return ""
    if transform.fixed_size:
        width, height = transform.fixed_size
    else:
        scale = min(transform.min_size[-1] / min(shape[1:]), transform.max_size / max(shape[1:]))
        height, width = (int(side * scale) for side in shape[1:])
    return (
        "" if (height, width) == shape[1:] else f"images of {shape[1]}×{shape[2]} are resized to {height}×{width} first"
    )


def _published_parameters(name: str) -> int:
    import torchvision.models as zoo

    try:
        weights: Any = zoo.get_model_weights(name)
        return int(weights.DEFAULT.meta["num_params"])
    except (ValueError, AttributeError, KeyError):
        return 0
