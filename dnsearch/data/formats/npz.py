"""NumPy archives: uint8 images and integer labels, under one of the common pairs of names."""

from __future__ import annotations

import zipfile
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from dnsearch.data.formats.images import resize_all
from dnsearch.data.formats.source import Source, Split, SplitName, checked_split
from dnsearch.errors import DataError

NAMES: dict[SplitName, tuple[tuple[str, str], ...]] = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels")),
    "validation": (("x_val", "y_val"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}


def open_npz(path: Path) -> Source:
    """The arrays in this file, of which only the names are read yet.

    Raises DataError where it has no training images and labels.
    """
    known = _names(path)
    pairs: dict[SplitName, tuple[str, str]] = {}
    for split, candidates in NAMES.items():
        if pair := next((pair for pair in candidates if known.issuperset(pair)), None):
            pairs[split] = pair
    if "train" not in pairs:
        raise DataError(
            f"{path}: must hold x_train and y_train, or images and labels; "
            f"has {', '.join(sorted(known)) or 'no arrays'}"
        )
    return Source(dict.fromkeys(pairs, (path,)), partial(_read_split, path, pairs))


def _names(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: must be a readable .npz file: {error}") from None


def _read_split(
    path: Path, pairs: dict[SplitName, tuple[str, str]], split: SplitName, size: int | None
) -> Split:
    images, labels = (_read_array(path, name) for name in pairs[split])
    found = checked_split(f"{path} ({split})", images, labels)
    return Split(resize_all(found.images, size), found.labels)


def _read_array(path: Path, name: str) -> np.ndarray:
    """One array; those that hold Python objects are refused, as reading them would run code."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: array {name!r} must be readable: {error}") from None
