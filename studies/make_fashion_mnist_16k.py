"""Makes dnsearch/data/fashion-mnist-16k from the IDX files of the whole Fashion-MNIST.

    python studies/make_fashion_mnist_16k.py FOLDER_OF_IDX_FILES OUTPUT_FOLDER

8,000 training and 4,000 validation images come from the original training images, 4,000 test
images from the original test images; every class has the same number in each. The files are IDX
again, compressed by xz, which is smaller here than gzip, PNG or lossless WebP.
"""

from __future__ import annotations

import lzma
import struct
import sys
from pathlib import Path

import numpy as np

from dnsearch.config import DataConfig
from dnsearch.data.decoding import in_memory
from dnsearch.data.formats import open_source
from dnsearch.data.split import draw

SEED = 16_000
TRAIN, VALIDATION, TEST = 8_000, 4_000, 4_000
# images of bytes: no alignment to exploit (pb), and the high bits of the last byte matter (lc)
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "pb": 0, "lc": 4, "lp": 0}]


def subset(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images (n, 28, 28) and labels (n,) of each split, in the original order."""
    source = open_source(DataConfig(format="fashion-mnist", path=folder))
    rng = np.random.default_rng(SEED)
    original, test = source.open("train"), source.open("test")
    labels = original.labels
    chosen = np.flatnonzero(draw(labels, TRAIN + VALIDATION, rng))
    held_out = draw(labels[chosen], VALIDATION, rng)
    test_chosen = np.flatnonzero(draw(test.labels, TEST, rng))
    parts = {
        "train": (original, chosen[~held_out]),
        "validation": (original, chosen[held_out]),
        "test": (test, test_chosen),
    }
    return {name: (in_memory(s)[rows, 0], s.labels[rows]) for name, (s, rows) in parts.items()}


def idx_bytes(array: np.ndarray) -> bytes:
    """The array as IDX of unsigned bytes."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def main(folder: Path, output: Path) -> None:
    """Writes the files and prints their sizes."""
    output.mkdir(parents=True, exist_ok=True)
    for split, (images, labels) in subset(folder).items():
        for part, array in (("images-idx3", images), ("labels-idx1", labels)):
            packed = lzma.compress(idx_bytes(array), filters=FILTERS)
            (output / f"{split}-{part}-ubyte.xz").write_bytes(packed)
            print(f"{split}-{part}-ubyte.xz: {array.shape}, {len(packed):,} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} FOLDER_OF_IDX_FILES OUTPUT_FOLDER")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
