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


def mapped_from(array: Any) -> tuple[str, int] | None:
    """The file that an array is mapped from, and the byte in it at which the array begins; None for
    an array in memory of its own."""
    whole = array
    while isinstance(getattr(whole, "base", None), np.ndarray):
        whole = whole.base
    if not isinstance(whole, np.memmap) or not whole.filename:
        return None
    return str(whole.filename), whole.offset + array.ctypes.data - whole.ctypes.data


def is_mapped(array: Any) -> bool:
    """Whether the array is in a mapped file, which processes share, and not in memory of its
    own."""
    return _mapping(array) is not None


def _mapping(array: Any) -> mmap.mmap | None:
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)  # buffers of other kinds have none
    return array
