"""Write trainer/data/digits.npz from the copy of the digits that scikit-learn ships.

    python scripts/make_digits.py [FILE]

The arrays are `images`, uint8 (1797, 8, 8) with values 0 … 16, and `labels`, uint8 (1797,). Nothing is pickled, and
the same input gives the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits


def main() -> None:
    """Convert and report the size."""
    default = Path(__file__).resolve().parent.parent / "trainer" / "data" / "digits.npz"
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    digits: Any = load_digits()
    images = digits.images.astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    if not np.array_equal(images, digits.images) or not np.array_equal(labels, digits.target):
        raise SystemExit("the digits are not whole numbers that fit into a byte")
    np.savez_compressed(target, images=images, labels=labels)
    print(f"{target}: {len(labels)} digits, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
