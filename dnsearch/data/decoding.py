"""From the rows of a split that are wanted to their pixels: those not decoded yet are, by threads.

Pillow decodes and resizes without Python's lock, so threads use all cores; processes would have to
send every picture through a pipe.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import filelock
import numpy as np

from dnsearch.data.cache import used
from dnsearch.data.formats import Batch, Encoded, Split
from dnsearch.data.formats.images import (
    MOST_LISTED,
    BadPictures,
    Options,
    decode,
    has_colour,
    resize_all,
)
from dnsearch.data.pixels import (
    ANIMATED,
    BAD,
    COLOUR,
    NONE,
    ROW,
    THERE,
    TRANSPARENT,
    InMemory,
    OnDisk,
    Pixels,
)
from dnsearch.data.progress import Decoding, tell
from dnsearch.errors import DataError
from dnsearch.machine import cpu_cores
from dnsearch.text import agreeing, counted

MOST_THREADS = 16
"""Beyond these, Python's lock lets no more pictures through."""

AT_ONCE, BYTES_AT_ONCE, PLAIN_AT_ONCE = 16, 1 << 23, 1024
"""Pictures that a thread decodes at a time, and bytes of pixels; plain images that it resizes."""

AHEAD, BYTES_AHEAD = 3, 1 << 25
"""Such batches for each thread, under way or waiting to be written, and bytes of all of them."""

TOLD_EVERY = 0.25
"""Seconds between two reports of progress."""

logger = logging.getLogger(__name__)


class SplitPixels:
    """The pixels of a split; each row is decoded once, when it is first asked for.

    what: names the split in messages. opened: () -> the split. folder: where they are kept, None
    for memory. like: channels, height and width that they must have; grey ones are made RGB.
    ``added`` tells whether images were added to the folder.
    """

    def __init__(
        self,
        what: str,
        opened: Callable[[], Split],
        folder: Path | None,
        options: Options,
        like: tuple[int, int, int] | None = None,
    ) -> None:
        self.what, self.folder, self.options, self.like = what, folder, options, like
        self.added = False
        self._opened = opened
        self._split: Split | None = None
        self._pixels: Pixels | None = None

    @property
    def split(self) -> Split:
        """Its labels, and how its pictures are read; opened on first use."""
        if self._split is None:
            self._split = self._opened()
        return self._split

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image, once some are decoded."""
        assert self._pixels is not None
        return self._pixels.shape

    def readable(self) -> np.ndarray:
        """Which rows can be read, a mask (n,); all are decoded for that."""
        pixels = self._decoded(np.arange(len(self.split)), skip_bad=True)
        return (pixels.known["flags"] & BAD) == 0

    def of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """An array (m, c, h, w) uint8, memory-mapped where it is cached, and where in it these rows
        are, (k,).

        Raises BadPictures where some cannot be read, DataError where their sizes differ, and
        MachineError for want of memory or where the machine is at fault.
        """
        return self._decoded(rows, skip_bad=False).array(rows)

    def notes(self, rows: np.ndarray, skipped: bool) -> tuple[str, ...]:
        """What there is to say of the pictures of these rows, which are decoded, in sentences;
        ``skipped``: also of bad ones, which were left out."""
        assert self._pixels is not None
        flags = self._pixels.known["flags"][rows]
        reasons = sorted(self._pixels.reasons().items()) if skipped else []
        colour = (flags & COLOUR) > 0
        mixed = colour.any() or (self.like is None and self._pixels.shape[0] == 3)
        counts = {
            "transparent": np.count_nonzero(flags & TRANSPARENT),
            "animated": np.count_nonzero(flags & ANIMATED),
            "grey": np.count_nonzero(~colour) if mixed else 0,
        }
        return tuple(_notes(counts, [told for _, told in reasons], self.options.background))

    def is_grey(self, rows: np.ndarray) -> bool:
        """Whether none of these pictures, which are decoded, has colours."""
        assert self._pixels is not None
        return not (self._pixels.known["flags"][rows] & COLOUR).any()

    def _decoded(self, rows: np.ndarray, skip_bad: bool) -> Pixels:
        try:
            if self.folder is not None and not isinstance(self._pixels, InMemory):
                self._pixels = self._on_disk(self.folder, rows, skip_bad)
                return self._pixels
            why = "no home folder"
        except OSError as error:
            logger.warning("decoded images are not cached: %s", error)
            why = error.strerror or str(error)
        held = self._pixels
        if not isinstance(held, InMemory) or not np.isin(rows, held.rows).all():
            shape = self._shape(rows)
            held = self._pixels = InMemory(len(self.split), shape, rows, why)
        self._complete(held, rows, skip_bad)
        return held

    def _on_disk(self, folder: Path, rows: np.ndarray, skip_bad: bool) -> Pixels:
        """Raises OSError where the folder cannot be written."""
        found = self._checked(folder, rows)
        if found is None or len(_missing(found, rows, skip_bad)):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _alone(folder):
                found = OnDisk.found(folder, "rb+")
                if found is None:
                    shape = self._shape(rows)
                    found = OnDisk.make(folder, len(self.split), shape)
                found.forget_damaged(rows)
                self._complete(found, rows, skip_bad)
            self.added = True
        used(folder)
        return found

    def _checked(self, folder: Path, rows: np.ndarray) -> OnDisk | None:
        """What is kept there, without rows that are damaged. Workers trust the process that started
        them to have looked."""
        found = self._pixels if isinstance(self._pixels, OnDisk) else OnDisk.found(folder)
        if found is not None and multiprocessing.parent_process() is None:
            damaged = found.forget_damaged(rows)
            if damaged:
                logger.warning(
                    "%s in the cache %s damaged and decoded again: %s",
                    counted(damaged, "image"),
                    agreeing(damaged, "is", "are"),
                    folder,
                )
        return found

    def _shape(self, rows: np.ndarray) -> tuple[int, int, int]:
        """Channels, height and width: by the headers of all pictures and the first of these."""
        split, size = self.split, self.options.size
        if split.shape is not None:
            height, width, channels = split.shape
        else:
            channels = 3 if _any_colour(split) else 1
            height, width = (size, size) if size else self._first_size(rows)
        height, width = (size, size) if size else (height, width)
        if self.like is None:
            return channels, height, width
        if (height, width) != self.like[1:]:
            raise DataError(
                f"{self.what}: images must be {self.like[1]}x{self.like[2]} like the training "
                f"images, got {height}x{width}; set data.image_size to resize them"
            )
        if channels > self.like[0]:
            raise DataError(f"{self.what}: images must be grey like the training images, got RGB")
        return self.like

    def _first_size(self, rows: np.ndarray) -> tuple[int, int]:
        bad = []
        for batch in self.split.batches(rows):
            for picture in batch.pictures:
                try:
                    height, width, _ = decode(picture, self.options).pixels.shape
                    return height, width
                except DataError as error:
                    bad.append(str(error))
        raise BadPictures(bad)

    def _complete(self, pixels: Pixels, rows: np.ndarray, skip_bad: bool) -> None:
        """Decodes those of the rows that are missing. All are tried before an error is raised."""
        missing = _missing(pixels, rows, skip_bad)
        if not len(missing):
            return
        progress = _Progress(self.what, len(missing), pixels.shape)
        seen = _Seen(pixels.shape[1:], len(rows) - len(missing))
        late: list[tuple[np.ndarray, np.ndarray]] = []
        for part in _in_threads(self.split.batches(missing), self.options, pixels.shape):
            pixels.write(part.rows, part.pixels)
            if self.split.shape is None:
                pixels.mark(part.rows, part.known)
            else:  # a file of plain images has its checksum at its end: until then none is trusted
                late.append((part.rows, part.known))
            seen.add(part)
            progress.add(len(part.rows) + len(part.bad) + len(part.odd))
        for known in late:
            pixels.mark(*known)
        progress.end()
        self._require_usable(seen, skip_bad and len(seen.bad) < len(rows))
        if seen.bad:
            bad = np.array(sorted(seen.bad))
            pixels.note_bad(seen.bad)
            known = np.zeros(len(bad), ROW)
            known["flags"] = BAD
            pixels.mark(bad, known)

    def _require_usable(self, seen: _Seen, skip_bad: bool) -> None:
        if seen.bad and not skip_bad:
            raise BadPictures([seen.bad[row] for row in sorted(seen.bad)])
        if len(seen.sizes) < 2:
            return
        usual = seen.sizes.most_common(1)[0][0]
        _, other, name = min(first for first in seen.first if first[1] != usual)
        count = seen.sizes.total() - seen.sizes[usual]
        raise DataError(
            f"{name or self.what}: images must be of one size, got {other[0]}x{other[1]} beside "
            f"{usual[0]}x{usual[1]} ({counted(count, 'picture')} {agreeing(count, 'is', 'are')} of "
            "another size); set data.image_size to resize them"
        )


def in_memory(split: Split) -> np.ndarray:
    """All images of a split, (n, c, h, w) uint8, without a cache. Raises as ``SplitPixels.of``."""
    held = SplitPixels(split.where, lambda: split, None, Options())
    return held.of(np.arange(len(split)))[0]


class _Part(NamedTuple):
    """What became of a batch: pixels (k, c, h, w) and what is known (k,) of these rows; why others
    cannot be read; name and size of those of another size, and of the first of the right one."""

    rows: np.ndarray
    pixels: np.ndarray
    known: np.ndarray
    bad: dict[int, str]
    odd: dict[int, tuple[str, tuple[int, int]]]
    name: str = ""


class _Seen:
    """What was wrong with pictures, and the first of each size: (row, size, name)."""

    def __init__(self, size: tuple[int, ...], before: int) -> None:
        self.bad: dict[int, str] = {}
        self.size = (size[0], size[1])
        self.sizes = Counter({self.size: before} if before else {})
        self.first = [(-1, self.size, "")] if before else []

    def add(self, part: _Part) -> None:
        """Takes in what became of a batch."""
        self.bad |= part.bad
        if len(part.rows):
            self._note(int(part.rows[0]), self.size, part.name, len(part.rows))
        for row, (name, size) in part.odd.items():
            self._note(row, size, name, 1)

    def _note(self, row: int, size: tuple[int, int], name: str, count: int) -> None:
        if size not in self.sizes:
            self.first.append((row, size, name))
        self.sizes[size] += count


class _Progress:
    """Tells those who watch, not too often."""

    def __init__(self, what: str, total: int, shape: tuple[int, int, int]) -> None:
        self.started = self.last = time.monotonic()
        self.now = Decoding(what, 0, total, 0.0, shape)
        tell(self.now)

    def add(self, count: int) -> None:
        """So many more are done."""
        self.now = replace(self.now, done=self.now.done + count)
        if time.monotonic() - self.last >= TOLD_EVERY:
            self.end()

    def end(self) -> None:
        """Tells how far it is."""
        self.last = time.monotonic()
        self.now = replace(self.now, seconds=self.last - self.started)
        tell(self.now)


def _missing(pixels: Pixels, rows: np.ndarray, skip_bad: bool) -> np.ndarray:
    """Those of the rows that are not there, nor known to be bad where that is enough."""
    return rows[(pixels.known["flags"][rows] & (THERE | BAD if skip_bad else THERE)) == 0]


def _any_colour(split: Split) -> bool:
    """Whether a picture of the split has colours: mostly the first one tells."""
    batches = split.batches(np.arange(len(split)))
    return any(has_colour(each) for batch in batches for each in batch.pictures)


def _in_threads(
    batches: Iterable[Batch], options: Options, shape: tuple[int, int, int]
) -> Iterator[_Part]:
    """What becomes of each batch, in order; a few of them are decoded at a time."""
    threads = min(cpu_cores(), MOST_THREADS)
    each = int(np.prod(shape))
    size = max(1, min(AT_ONCE, BYTES_AT_ONCE // each))
    ahead = max(1, min(AHEAD * threads, BYTES_AHEAD // (size * each)))
    pieces = (piece for batch in batches for piece in _pieces(batch, size))
    waiting: deque[Future[_Part]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="decoding") as pool:
        try:
            for piece in pieces:
                waiting.append(pool.submit(_decode, piece, options, shape))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _pieces(batch: Batch, size: int) -> Iterator[Batch]:
    if isinstance(batch.pictures, np.ndarray):  # quick enough, and cheaper in one piece
        size = max(size, PLAIN_AT_ONCE)
    for start in range(0, len(batch.rows), size):
        stop = start + size
        yield Batch(batch.rows[start:stop], batch.pictures[start:stop])


def _decode(batch: Batch, options: Options, shape: tuple[int, int, int]) -> _Part:
    if isinstance(batch.pictures, np.ndarray):
        fitted = resize_all(batch.pictures, options).transpose(0, 3, 1, 2)
        flags = THERE | COLOUR if fitted.shape[1] == 3 else THERE
        pixels = np.empty((len(fitted), *shape), np.uint8)
        pixels[:] = fitted  # grey ones broadcast over the channels
        return _Part(batch.rows, pixels, _known(pixels, [flags] * len(pixels)), {}, {})
    return _decode_pictures(batch.rows, batch.pictures, options, shape)


def _decode_pictures(
    rows: np.ndarray, pictures: Sequence[Encoded], options: Options, shape: tuple[int, int, int]
) -> _Part:
    pixels = np.empty((len(rows), *shape), np.uint8)
    good: list[int] = []
    flags: list[np.uint8] = []
    bad: dict[int, str] = {}
    odd: dict[int, tuple[str, tuple[int, int]]] = {}
    for index, (row, picture) in enumerate(zip(rows.tolist(), pictures, strict=True)):
        try:
            found = decode(picture, options)
        except DataError as error:
            bad[row] = str(error)
            continue
        height, width, channels = found.pixels.shape
        if (height, width) != shape[1:]:
            odd[row] = picture.name, (height, width)
            continue
        pixels[len(good)] = found.pixels.transpose(2, 0, 1)
        good.append(index)
        flags.append(
            THERE
            | (COLOUR if channels == 3 else NONE)
            | (TRANSPARENT if found.transparent else NONE)
            | (ANIMATED if found.animated else NONE)
        )
    pixels = pixels[: len(good)]
    name = pictures[good[0]].name if good else ""
    return _Part(rows[good], pixels, _known(pixels, flags), bad, odd, name)


def _known(pixels: np.ndarray, flags: Sequence[np.uint8]) -> np.ndarray:
    known = np.empty(len(pixels), ROW)
    known["flags"] = flags
    known["checksum"] = [zlib.crc32(each.data) for each in pixels]
    return known


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits while another process decodes the same images, to find them done. Where files cannot be
    locked both decode, and write the same."""
    lock = filelock.FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        try:
            lock.acquire(timeout=1)
        except filelock.Timeout:
            logger.warning("waiting for another process, which decodes the same images")
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        logger.info("decoding without a lock: %s", error)
    try:
        yield
    finally:
        lock.release()


def _notes(counts: Mapping[str, int], bad: Sequence[str], background: str) -> Iterator[str]:
    if bad:
        first = "; ".join(bad[:MOST_LISTED])
        yield f"{counted(len(bad), 'bad picture')} left out (data.skip_bad): {first}" + (
            "; ..." if len(bad) > MOST_LISTED else ""
        )
    if count := counts["transparent"]:
        yield (
            f"{counted(count, 'picture')} with transparent parts laid on {background} "
            "(data.background)"
        )
    if count := counts["animated"]:
        yield f"{counted(count, 'picture')} with several frames: the first is used"
    if count := counts["grey"]:
        yield f"{counted(count, 'grey picture')} among colour ones made RGB"
