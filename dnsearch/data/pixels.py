"""Decoded images, row by row: on disk, where all studies of a data set share them, or in memory.

A folder of them holds

    images.npy  (n, c, h, w) uint8, sparse: a row that nobody has asked for takes no space
    rows.npy    (n,) of ``ROW``: what is known of each row, and the checksum of its pixels
    bad.json    why rows cannot be read, by row

A row is there once its flags say so; they are written after its pixels. A killed process leaves
what it had written, and a row that was cut off, or is damaged, has another checksum.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from dnsearch.arrays import load_mapped, mapped_from, release
from dnsearch.data.cache import hold, used
from dnsearch.errors import MachineError
from dnsearch.files import folder_aside
from dnsearch.machine import free_memory

IMAGES, ROWS, BAD_ROWS = "images.npy", "rows.npy", "bad.json"
ROW = np.dtype([("flags", "u1"), ("checksum", "<u4")])
NONE = np.uint8(0)
THERE, BAD, COLOUR, TRANSPARENT, ANIMATED = (np.uint8(1 << bit) for bit in range(5))
"""Flags of a row: its pixels are there, or it cannot be read; what its picture was."""

AT_ONCE = 1 << 24
"""Bytes of images that a pass over them maps at a time."""


class Pixels(Protocol):
    """Where decoded images are kept. ``known``: (n,) of ``ROW``."""

    known: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        ...

    def write(self, rows: np.ndarray, pixels: np.ndarray) -> None:
        """Keeps the pixels (k, c, h, w) of these rows, ascending. Raises OSError."""
        ...

    def mark(self, rows: np.ndarray, known: np.ndarray) -> None:
        """Keeps what is known of them from now on, (k,) of ``ROW``. Raises OSError."""
        ...

    def note_bad(self, reasons: Mapping[int, str]) -> None:
        """Keeps why these rows cannot be read. Raises OSError."""
        ...

    def reasons(self) -> dict[int, str]:
        """Why rows cannot be read."""
        ...

    def array(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """An array (m, c, h, w), and where in it these rows are."""
        ...


class OnDisk:
    """In a folder; see above."""

    def __init__(self, folder: Path, mode: Literal["rb", "rb+"] = "rb") -> None:
        """Opens it, with "rb+" to be written to, too. Raises OSError or ValueError where it is not
        there or damaged.

        The files stay open, as another process may put others in their place.
        """
        self.folder = folder
        self._images, self._rows = (load_mapped(folder / name, mode) for name in (IMAGES, ROWS))
        if self._images.dtype != np.uint8 or self._images.ndim != 4:
            raise ValueError(f"{folder / IMAGES}: must be images")
        if self._rows.dtype != ROW or self._rows.shape != self._images.shape[:1]:
            raise ValueError(f"{folder / ROWS}: must be of as many rows")
        hold(self._images)
        self.known = self._rows.copy()
        self._checked = np.zeros(len(self.known), bool)
        self._reasons = _read_reasons(folder / BAD_ROWS)

    @classmethod
    def make(cls, folder: Path, count: int, shape: tuple[int, int, int]) -> OnDisk:
        """An empty one, to be written to, which appears whole; if there is one by then, that one.
        Raises OSError."""
        with folder_aside(folder) as aside:
            aside.chmod(0o700)  # somebody's images
            np.lib.format.open_memmap(aside / IMAGES, "w+", np.uint8, (count, *shape))
            np.save(aside / ROWS, np.zeros(count, ROW))
            (aside / BAD_ROWS).write_text("{}", encoding="utf-8")
            try:
                aside.replace(folder)
            except OSError:  # another process was earlier, or what is there is damaged
                if (there := cls.found(folder, "rb+")) is not None:
                    return there
                shutil.rmtree(folder, ignore_errors=True)
                aside.replace(folder)
        return cls(folder, "rb+")

    @classmethod
    def found(cls, folder: Path, mode: Literal["rb", "rb+"] = "rb") -> OnDisk | None:
        """What is in this folder; None if nothing is, or it is damaged."""
        try:
            return cls(folder, mode)
        except (OSError, ValueError):
            return None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        _, channels, height, width = self._images.shape
        return channels, height, width

    def write(self, rows: np.ndarray, pixels: np.ndarray) -> None:
        """Keeps pixels. Raises OSError."""
        _write(self._images, rows, pixels)

    def mark(self, rows: np.ndarray, known: np.ndarray) -> None:
        """Keeps what is known of rows from now on. Raises OSError."""
        self.known[rows] = known
        self._checked[rows] = True
        _write(self._rows, rows, known)
        used(self.folder)

    def note_bad(self, reasons: Mapping[int, str]) -> None:
        """Keeps why these rows cannot be read. Raises OSError."""
        self._reasons |= reasons
        aside = self.folder / f"{BAD_ROWS}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):  # it was removed, and nobody will look there
            aside.write_text(json.dumps(self._reasons), encoding="utf-8")
            aside.replace(self.folder / BAD_ROWS)

    def reasons(self) -> dict[int, str]:
        """Why rows cannot be read."""
        return self._reasons

    def array(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All images, memory-mapped, and these rows."""
        return self._images, rows

    def forget_damaged(self, rows: np.ndarray) -> int:
        """Rows of these whose pixels are not as they were written count as not there; returns how
        many. Reads those that it has not read before."""
        flags = self.known["flags"][rows]
        there = rows[((flags & THERE) > 0) & ~self._checked[rows]]
        found = checksums(self._images, there)
        damaged = there[found != self.known["checksum"][there]]
        self.known[damaged] = np.zeros((), ROW)
        self._checked[there] = True
        return len(damaged)


def _read_reasons(file: Path) -> dict[int, str]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return {int(row): str(reason) for row, reason in told.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _write(mapped: np.ndarray, rows: np.ndarray, values: np.ndarray) -> None:
    """Writes rows, ascending, of a mapped array to its file: a full disk kills who writes to mapped
    memory. Raises OSError."""
    found = mapped_from(mapped)
    assert found is not None
    file, start = found
    with open(file, "rb+", closefd=False) as opened:
        for some in runs(rows):
            opened.seek(start + int(rows[some.start]) * mapped.strides[0])
            opened.write(values[some].tobytes())


class InMemory:
    """In memory, of the rows that were asked for alone, for want of a place on disk."""

    def __init__(self, count: int, shape: tuple[int, int, int], rows: np.ndarray, why: str) -> None:
        """Raises MachineError where there is not enough memory."""
        needed = len(rows) * int(np.prod(shape, dtype=np.int64))
        free = free_memory()
        try:
            if free is not None and needed > free:
                raise MemoryError
            self._images = np.empty((len(rows), *shape), np.uint8)
        except MemoryError:
            has = "" if free is None else f"; {free / 1e9:.1f} GB are free"
            raise MachineError(
                f"decoding {len(rows):,} images takes {needed / 1e9:.1f} GB of memory where they "
                f"cannot be cached ({why}){has}; set DNSEARCH_CACHE to a folder with that much "
                "room, or a smaller data.image_size or data.train_images"
            ) from None
        self._rows = rows
        self.known = np.zeros(count, ROW)
        self._reasons: dict[int, str] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        _, channels, height, width = self._images.shape
        return channels, height, width

    @property
    def rows(self) -> np.ndarray:
        """Those there is room for."""
        return self._rows

    def write(self, rows: np.ndarray, pixels: np.ndarray) -> None:
        """Keeps pixels."""
        self._images[np.searchsorted(self._rows, rows)] = pixels

    def mark(self, rows: np.ndarray, known: np.ndarray) -> None:
        """Keeps what is known of rows from now on."""
        self.known[rows] = known

    def note_bad(self, reasons: Mapping[int, str]) -> None:
        """Keeps why these rows cannot be read."""
        self._reasons |= reasons

    def reasons(self) -> dict[int, str]:
        """Why rows cannot be read."""
        return self._reasons

    def array(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The images that were asked for, and where these rows are among them."""
        return self._images, np.searchsorted(self._rows, rows)


def runs(rows: np.ndarray) -> Iterable[slice]:
    """Slices of ascending numbers in which each is the next one's predecessor."""
    ends = np.flatnonzero(np.diff(rows) != 1) + 1
    starts = [0, *ends.tolist()]
    return (slice(a, b) for a, b in zip(starts, [*starts[1:], len(rows)], strict=True) if a < b)


def checksums(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Of each of these rows of (n, c, h, w), CRC-32 as (k,) uint32."""
    found = np.empty(len(rows), np.uint32)
    at_once = max(1, AT_ONCE // int(np.prod(images.shape[1:])))
    for index, row in enumerate(rows.tolist()):
        found[index] = zlib.crc32(images[row].data)
        if index % at_once == at_once - 1:
            release(images)
    release(images)
    return found
