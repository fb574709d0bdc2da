"""Types of arrays, by the kind of number in them."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Indices = NDArray[np.intp]
Bools = NDArray[np.bool_]


def release(array: Any) -> None:
    """Lets the system take back the memory of a mapped file that was read; nothing for others.

    Its pages come back from the file when they are read again, without what was written to them.
    """
    mapping = _mapping(array)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def read_at_random(array: Any) -> None:
    """Tells the system that a mapped file is read here and there: what lies beside a page that is
    read need not be read with it. Nothing for other arrays."""
    mapping = _mapping(array)
    if mapping is not None and hasattr(mmap, "MADV_RANDOM"):
        mapping.madvise(mmap.MADV_RANDOM)


def is_mapped(array: Any) -> bool:
    """Whether the array is in a mapped file, which processes share, and not in memory of its
    own."""
    return _mapping(array) is not None


def _mapping(array: Any) -> mmap.mmap | None:
    while array is not None and not isinstance(array, mmap.mmap):
        array = array.base
    return array
