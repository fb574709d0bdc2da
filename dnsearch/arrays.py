"""Types of arrays, by the kind of number in them, and arrays in mapped files."""

from __future__ import annotations

import contextlib
import io
import mmap
import weakref
from pathlib import Path
from typing import Any, Literal

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


class _Mapping(mmap.mmap):
    """A mapped file, and the file itself, open as long as it is mapped."""

    file: io.FileIO


def load_mapped(path: Path, mode: Literal["rb", "rb+"] = "rb") -> np.ndarray:
    """The array in a NumPy file, mapped; what is written to it stays in this process.

    As long as the array, or a view of it, is there, the file stays open, in this mode, to be read
    and written by its descriptor (``mapped_from``). NumPy keeps only its name, by which another
    file may be found later. Raises OSError, and ValueError where the file is damaged.
    """
    with contextlib.ExitStack() as opened:
        file = opened.enter_context(io.FileIO(path, mode))
        np.lib.format.read_magic(file)
        # Headers of other versions are for long names of fields.
        shape, columns_first, kind = np.lib.format.read_array_header_1_0(file)
        # Copied on writing: torch warns about read-only arrays.
        mapping = _Mapping(file.fileno(), 0, access=mmap.ACCESS_COPY)
        try:
            order = "F" if columns_first else "C"
            array = np.ndarray(shape, kind, mapping, file.tell(), order=order)
        except TypeError as error:  # the file is too short
            raise ValueError(f"{path}: {error}") from None
        mapping.file = file
        weakref.finalize(mapping, opened.pop_all().close)
        return array


def mapped_from(array: Any) -> tuple[int, int] | None:
    """The descriptor of the file that an array of ``load_mapped`` is in, open as long as the array
    is there, and the byte at which the array begins; None for other arrays."""
    mapping = _mapping(array)
    if not isinstance(mapping, _Mapping):
        return None
    return mapping.file.fileno(), array.ctypes.data - np.frombuffer(mapping, np.uint8).ctypes.data


def is_mapped(array: Any) -> bool:
    """Whether the array is in a mapped file, which processes share, and not in memory of its
    own."""
    return _mapping(array) is not None


def _mapping(array: Any) -> mmap.mmap | None:
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)  # buffers of other kinds have none
    return array
