"""NumPy archives: uint8 images and their labels, under one of the common pairs of names."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from dnsearch.config import DataConfig
from dnsearch.data.formats.source import (
    Batch,
    Source,
    Split,
    SplitName,
    WrongLength,
    plain_split,
    stream_rows,
)
from dnsearch.data.formats.spellings import SPELLINGS, unused
from dnsearch.errors import DataError, cannot_read
from dnsearch.files import require_regular

PAIRS = (
    ("x", "y"), ("images", "labels"), ("image", "label"), ("imgs", "labels"), ("img", "label"),
    ("data", "labels"), ("data", "label"), ("data", "targets"), ("data", "target"),
    ("images", "targets"), ("x", "labels"), ("images", "y"), ("data", "y"),
)  # fmt: skip
"""Words for images and labels that go together; the first pair that is there is taken."""


def open_npz(path: Path, config: DataConfig) -> Source:
    """The arrays in this file, of which only the names are read yet.

    A name is a word of ``PAIRS`` with one for the split before or behind it; without one it is of
    the training split. Raises DataError where that is not there.
    """
    known = _names(path)
    pairs: dict[SplitName, tuple[str, str]] = {}
    for split, words in SPELLINGS.items():
        if pair := _pair(known, words) or (_pair(known, ("",)) if split == "train" else None):
            pairs[split] = pair
    if "train" not in pairs:
        raise DataError(
            f"{path}: must hold x_train and y_train, or images and labels; "
            f"has {', '.join(sorted(known)) or 'no arrays'}"
        )
    used = {name for pair in pairs.values() for name in pair}
    notes = unused(f"array in {path.name}", known - used)
    return Source(dict.fromkeys(pairs, (path,)), partial(_open_split, path, pairs), notes)


def _pair(known: set[str], splits: tuple[str, ...]) -> tuple[str, str] | None:
    """The names of images and labels of a split that is called by one of these words."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in sorted(known)}
    for images, labels in PAIRS:
        for split in splits:
            spelt = (((part + split), (split + part)) for part in (images, labels))
            pair = [next((plain[way] for way in ways if way in plain), None) for ways in spelt]
            if pair[0] and pair[1]:
                return pair[0], pair[1]
    return None


def _names(path: Path) -> set[str]:
    try:
        require_regular(path)
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise cannot_read(path, error, f"must be a readable .npz file: {error}") from None


def _open_split(path: Path, pairs: dict[SplitName, tuple[str, str]], split: SplitName) -> Split:
    images, labels = pairs[split]
    held, opened = _described(path, images), partial(_read_rows, path, images)
    return plain_split(f"{path} ({split})", held, _read_array(path, labels), opened)


def _described(path: Path, name: str) -> tuple[np.dtype, tuple[int, ...]]:
    """Type and shape of an array, which is not read."""
    with _readable(path, name), _member(path, name) as file:
        shape, _, kind = _header(file)
        return kind, shape


def _read_rows(path: Path, name: str, rows: np.ndarray) -> Iterator[Batch]:
    """These images, as they come in the file; one in Fortran's order is read whole."""
    with _readable(path, name), _member(path, name) as file:
        shape, by_column, _ = _header(file)
        shape = (*shape, 1) if len(shape) == 3 else shape
        if by_column:
            yield Batch(rows, _read_array(path, name).reshape(shape)[rows])
        else:
            yield from stream_rows(file, shape, rows)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and type of the array that begins here."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


@contextmanager
def _member(path: Path, name: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(path) as archive:
        known = archive.namelist()
        with archive.open(name if name in known else f"{name}.npy") as file:
            yield file


def _read_array(path: Path, name: str) -> np.ndarray:
    """One array; those that hold Python objects are refused, as reading them would run code."""
    with _readable(path, name), np.load(path, allow_pickle=False) as archive:
        return archive[name]


@contextmanager
def _readable(path: Path, name: str) -> Iterator[None]:
    """Turns what reading a damaged archive raises into a DataError that names the array, or
    a MachineError."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except WrongLength as error:
        raise DataError(
            f"{path}: array {name!r} must be as long as its header says, has {error.got} bytes"
        ) from None
    except Exception as error:  # half a dozen types, of NumPy, zipfile and zlib
        reason = " ".join(str(error).split())
        raise cannot_read(path, error, f"array {name!r} must be readable: {reason}") from None
