"""NumPy archives: uint8 images and their labels, under one of the common pairs of names."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from dnsearch.config import DataConfig
from dnsearch.data.formats.images import resize_all
from dnsearch.data.formats.source import Source, Split, SplitName, checked_split
from dnsearch.data.formats.spellings import SPELLINGS, unused
from dnsearch.errors import DataError
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
    return Source(dict.fromkeys(pairs, (path,)), partial(_read_split, path, pairs), notes)


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
        raise DataError(f"{path}: must be a readable .npz file: {error}") from None


def _read_split(
    path: Path, pairs: dict[SplitName, tuple[str, str]], split: SplitName, size: int | None
) -> Split:
    images, labels = (_read_array(path, name) for name in pairs[split])
    found = checked_split(f"{path} ({split})", images, labels)
    return replace(found, images=resize_all(found.images, size))


def _read_array(path: Path, name: str) -> np.ndarray:
    """One array; those that hold Python objects are refused, as reading them would run code."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]
    except Exception as error:  # half a dozen types, of NumPy, zipfile and zlib
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: array {name!r} must be readable: {reason}") from None
