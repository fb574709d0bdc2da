"""IDX, the format of MNIST and Fashion-MNIST: plain, .gz or .xz.

A big-endian header (two zero bytes, the element type, the number of dimensions, each dimension as
32 bits), then the elements; described at https://github.com/cvdfoundation/mnist.
"""

from __future__ import annotations

import gzip
import lzma
import struct
import zlib
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from dnsearch.data.formats.images import resize_all
from dnsearch.data.formats.source import Source, Split, SplitFiles, SplitName, checked_split
from dnsearch.errors import DataError

PREFIXES: dict[SplitName, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation",),
    "test": ("t10k", "test"),
}
SUFFIXES = ("", ".gz", ".xz")
UNSIGNED_BYTE = 8


def open_idx(folder: Path, classes: tuple[str, ...]) -> Source:
    """The IDX files in this folder, such as train-images-idx3-ubyte.gz; label i is ``classes[i]``.

    Raises DataError where one is missing.
    """
    files: SplitFiles = {}
    for split, prefixes in PREFIXES.items():
        images, labels = (_find(folder, prefixes, part) for part in ("images-idx3", "labels-idx1"))
        if images and labels:
            files[split] = (images, labels)
        elif images or labels or split == "train":
            missing = "images-idx3" if images is None else "labels-idx1"
            raise DataError(
                f"{folder}: must hold {prefixes[0]}-{missing}-ubyte or that as .gz; no such file"
            )
    return Source(files, partial(_read_split, files, classes))


def _find(folder: Path, prefixes: tuple[str, ...], part: str) -> Path | None:
    spellings = (part, part.replace("-", "."))
    names = (f"{p}-{s}-ubyte{end}" for p, s, end in product(prefixes, spellings, SUFFIXES))
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_split(
    files: SplitFiles,
    classes: tuple[str, ...],
    split: SplitName,
    size: int | None,
) -> Split:
    images, labels = files[split]
    found = checked_split(images, read_idx(images, 3), read_idx(labels, 1), classes)
    return Split(resize_all(found.images, size), found.labels, classes)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The unsigned bytes in an IDX file, an array of this many dimensions.

    Raises DataError naming the file where it is damaged, incomplete or of another format.
    """
    content = _decompress(path)
    magic = (UNSIGNED_BYTE << 8) | dimensions
    start = 4 * (1 + dimensions)
    found = int.from_bytes(content[:4], "big")
    if found != magic or len(content) < start:
        raise DataError(
            f"{path}: must be IDX with magic number {magic} (unsigned bytes, {dimensions} "
            f"dimensions), got {found}"
        )
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    elements = np.frombuffer(content, np.uint8, offset=start)
    expected = np.prod(shape, dtype=np.int64)
    if elements.size != expected:
        raise DataError(
            f"{path}: must hold {expected} bytes of {shape} as its header says, got {elements.size}"
        )
    return elements.reshape(shape)


def _decompress(path: Path) -> bytes:
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    try:
        with opener(path, "rb") as file:
            return file.read()
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{path}: must be a readable, whole file: {error}") from None
