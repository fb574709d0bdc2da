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
    while array is not None and not isinstance(array, mmap.mmap):
        array = array.base
    if isinstance(array, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)
