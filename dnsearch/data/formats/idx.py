"""IDX, the format of MNIST, Fashion-MNIST and EMNIST: plain, .gz or .xz.

A big-endian header (two zero bytes, the element type, the number of dimensions, each dimension as
32 bits), then the elements; described at https://github.com/cvdfoundation/mnist.
"""

from __future__ import annotations

import gzip
import lzma
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from dnsearch.config import DataConfig
from dnsearch.data.formats.source import (
    Batch,
    Source,
    Split,
    SplitFiles,
    SplitName,
    WrongLength,
    plain_split,
    stream_rows,
)
from dnsearch.data.formats.spellings import is_junk, spelling_rank, split_called, unused
from dnsearch.errors import DataError, cannot_read
from dnsearch.text import listed

SUFFIXES = ("", ".gz", ".xz")
UNSIGNED_BYTE = 8
NAME = re.compile(
    r"(?:(?P<set>.+)-)?(?P<split>[a-z0-9]+)-(?P<part>images|labels)[-.]idx[13][-.]ubyte"
    r"(?P<suffix>|\.gz|\.xz)",
    re.IGNORECASE,
)


class File(NamedTuple):
    """An IDX file by what its name says; ``collection`` is such as ``emnist-letters``, or empty."""

    path: Path
    collection: str
    split: SplitName
    part: str


def open_idx(path: Path, config: DataConfig, classes: tuple[str, ...], exact: bool) -> Source:
    """The IDX files in this folder, such as train-images-idx3-ubyte.gz; label i is ``classes[i]``.

    Unless ``exact``, labels beyond those are taken as the names of classes, as in EMNIST. A file
    chooses the collection that it is of, where a folder holds several. Raises DataError where a
    file is missing.
    """
    folder = path if path.is_dir() else path.parent
    there = [each for each in sorted(folder.iterdir()) if not is_junk(each.name)]
    known = [file for each in there if (file := _named(each))]
    wanted = _named(path) if path.is_file() else None
    if collections := sorted({file.collection for file in known}):
        collection = wanted.collection if wanted else collections[0]
        if len(collections) > 1 and wanted is None:
            raise DataError(
                f"{folder}: must hold one collection, has {listed(collections)}; "
                "let data.path name one file of that to take"
            )
        known = [file for file in known if file.collection == collection]
    files: SplitFiles = {}
    for split in ("train", "validation", "test"):
        images, labels = (_first(known, split, part) for part in ("images", "labels"))
        if images and labels:
            files[split] = (images, labels)
        elif images or labels or split == "train":
            present = images or labels
            missing = f"{split}-{'labels-idx1' if images else 'images-idx3'}-ubyte"
            if present is not None:
                found = "images-idx3" if images else "labels-idx1"
                wanted_part = "labels-idx1" if images else "images-idx3"
                missing = present.name.replace(found, wanted_part)
            raise DataError(f"{folder}: must hold {missing} or that as .gz; no such file")
    used = {file for pair in files.values() for file in pair}
    notes = unused("file", (each.name for each in there if each not in used and not wanted))
    return Source(files, partial(_open_split, files, classes, exact), notes)


def _named(path: Path) -> File | None:
    match = NAME.fullmatch(path.name)
    split = split_called(match["split"]) if match else None
    if match is None or split is None or not path.is_file():
        return None
    return File(path, (match["set"] or "").lower(), split, match["part"].lower())


def _first(known: list[File], split: SplitName, part: str) -> Path | None:
    """The file of this part; plain before compressed ones, and those spelt as earlier."""
    found = [file.path for file in known if (file.split, file.part) == (split, part)]

    def rank(path: Path) -> tuple[object, ...]:
        end = path.suffix.lower()
        return spelling_rank(path.name)[0], SUFFIXES.index(end) if end in SUFFIXES else 0, path

    return min(found, key=rank, default=None)


def _open_split(
    files: SplitFiles, classes: tuple[str, ...], exact: bool, split: SplitName
) -> Split:
    images, labels = files[split]
    with _opened(images) as file:
        shape = _read_header(images, file, 3)
    numbers = read_idx(labels, 1)
    beyond = not exact and numbers.size and numbers.max() >= len(classes)
    held = np.dtype(np.uint8), shape
    rows = partial(_read_rows, images)
    return plain_split(str(images), held, numbers, rows, None if beyond else classes)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The unsigned bytes in an IDX file, an array of this many dimensions.

    Raises DataError naming the file where it is damaged, incomplete or of another format.
    """
    with _opened(path) as file:
        shape = _read_header(path, file, dimensions)
        content = file.read()
    if len(content) != np.prod(shape, dtype=np.int64):
        raise _wrong_length(path, shape, len(content))
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_rows(path: Path, rows: np.ndarray) -> Iterator[Batch]:
    """These images, as they come in the file."""
    with _opened(path) as file:
        shape = _read_header(path, file, 3)
        try:
            yield from stream_rows(file, (*shape, 1), rows)
        except WrongLength as error:
            raise _wrong_length(path, shape, error.got) from None


def _read_header(path: Path, file: IO[bytes], dimensions: int) -> tuple[int, ...]:
    magic = (UNSIGNED_BYTE << 8) | dimensions
    content = file.read(4 * (1 + dimensions))
    found = int.from_bytes(content[:4], "big")
    if found != magic or len(content) < 4 * (1 + dimensions):
        raise DataError(
            f"{path}: must be IDX with magic number {magic} (unsigned bytes, {dimensions} "
            f"dimensions), got {found}"
        )
    return struct.unpack(f">{dimensions}I", content[4:])


def _wrong_length(path: Path, shape: tuple[int, ...], got: int) -> DataError:
    expected = np.prod(shape, dtype=np.int64)
    return DataError(f"{path}: must hold {expected} bytes of {shape} as its header says, got {got}")


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The file, unpacked; what is wrong with it is raised as DataError or MachineError."""
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    try:
        with opener(path, "rb") as file:
            yield file
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise cannot_read(path, error, f"must be a readable, whole file: {error}") from None
