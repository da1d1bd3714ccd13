"""One image file: read by Pillow, turned upright, made RGB or grey of 8 bits, and scaled to a square.

How an image is read: turned as its EXIF orientation says; transparent parts laid on white; 16-bit grey by its upper
eight bits; the first frame of an animation; then RGB (or grey). How it is scaled: the centred square on its short side,
resized to the asked size with antialiasing (bilinear, as torchvision's transforms do).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

# Formats that Pillow would hand to another program (EPS to Ghostscript), or of which it knows the header alone.
NOT_IMAGES = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"})

USUAL = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

FEWEST_LEVELS = 32
"""An image of more than 8 bits that has fewer of the 256 grey levels is told of: little is left of what it shows."""

HEIC = frozenset({".heic", ".heif", ".hif"})
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
PLUGIN = "pillow_heif"
"""What Pillow needs for photos of telephones; taken where it is installed."""


def reason(error: Exception, path: str | os.PathLike) -> str:
    """Return why a file could not be read, in a few words. A HEIC image is known by its first bytes, whatever its name."""
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        if (os.path.splitext(path)[1].lower() in HEIC or _begins_as_heic(path)) and not _has_plugin():
            return f"HEIC needs the package {PLUGIN.replace('_', '-')}: pip install {PLUGIN.replace('_', '-')}"
        return "not an image that Pillow knows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip()
    return text.splitlines()[0][:100] if text else type(error).__name__


def read_image(path: Path, size: int, channels: int) -> np.ndarray:
    """Read and scale one file: uint8 (C, size, size), C being 3 (RGB) or 1 (grey). Raises whatever Pillow raises."""
    return read_with_levels(path, size, channels)[0]


def read_with_levels(path: Path, size: int, channels: int) -> tuple[np.ndarray, int | None]:
    """Return a file as `read_image`, and how many of 256 grey levels are left of an image of more than 8 bits a value;
    None for others, and where no values were merged.
    """
    from PIL import Image

    with Image.open(path, formats=formats()) as file:
        deep = _is_deep(file)
        # A JPEG can be decoded at 1/2, 1/4 or 1/8 at once; twice the asked size is left for the antialiasing.
        file.draft(None, (2 * size, 2 * size))
        upright = _upright(file)
        image = flatten(upright, "RGB" if channels == 3 else "L")
        levels = _levels_left(upright, image) if deep else None
    return np.asarray(square(image, size)).reshape(size, size, channels).transpose(2, 0, 1), levels


def _is_deep(file: Image.Image) -> bool:
    """Return whether a file has more than 8 bits a value. Pillow itself makes 8 of the 16 bits of a colour."""
    return file.mode.startswith(("I", "F")) or any(";16" in str(tile[-1]) for tile in getattr(file, "tile", ()))


def _levels_left(before: Image.Image, after: Image.Image) -> int | None:
    """Return how many grey levels an image has; None where it had no more before it was made 8 bits deep."""
    left = int(np.count_nonzero(np.bincount(np.asarray(after.convert("L")).ravel(), minlength=256)))
    if left >= FEWEST_LEVELS or not before.mode.startswith(("I", "F")):
        return left
    return left if len(np.unique(np.asarray(before))) > left else None


def square(image: Image.Image, size: int) -> Image.Image:
    """Resize ``image`` until its short side is ``size``, and take the middle: in one step, so that the part
    that is cut off is never computed.
    """
    from PIL import Image

    width, height = image.size
    side = min(width, height)
    if width == height == size:
        return image
    left, top = (width - side) / 2, (height - side) / 2
    return image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def flatten(image: Image.Image, mode: str) -> Image.Image:
    """Return ``image`` of any mode as ``mode`` ("RGB" or "L"), 8 bits a value, nothing transparent."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if _is_transparent(image):
        # Premultiplied modes have one way out only, and palettes with a transparent colour go through RGBA as well.
        opaque = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque)
    if image.mode not in ("RGB", "L", "1"):
        image = image.convert("RGB")
    return image.convert(mode)


def _is_transparent(image: Image.Image) -> bool:
    palette = image.palette.mode if image.mode == "P" and image.palette is not None else ""
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info or "A" in palette


def _eight_bits(image: Image.Image) -> Image.Image:
    """Return 16-bit, 32-bit and floating-point grey as 8 bits. The scale follows from the mode or the largest value:
    up to 1 (floating point only), up to 255, up to 65,535, or anything; so it is the same for most of a data set.
    """
    from PIL import Image

    values = np.nan_to_num(np.asarray(image).astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max())
    if image.mode.startswith("I;16"):
        full = 65535.0
    elif image.mode == "F" and top <= 1.0:
        full = 1.0
    else:
        full = next((full for full in (255.0, 65535.0) if top <= full), top)
    return Image.fromarray(np.clip(values * (255.0 / full), 0, 255).round().astype(np.uint8))


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # Broken EXIF data does not make the image unreadable.
        return image


@cache
def formats() -> tuple[str, ...]:
    """Return the formats that are read, the usual ones first. To be called before threads are: it fills Pillow's list."""
    from PIL import Image

    Image.init()
    if _has_plugin():
        importlib.import_module(PLUGIN).register_heif_opener()
    known = [name for name in Image.ID if name not in NOT_IMAGES]
    # Pillow asks the formats one after another: the usual ones first saves a third of the time of a small image.
    return tuple(sorted(known, key=lambda name: USUAL.index(name) if name in USUAL else len(USUAL)))


def _begins_as_heic(path: str | os.PathLike) -> bool:
    try:
        with open(path, "rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start[4:8] == b"ftyp" and start[8:] in HEIC_BRANDS


def _has_plugin() -> bool:
    return importlib.util.find_spec(PLUGIN) is not None
