"""Batches that are made ready before they are asked for, from images that memory need not hold.

Threads copy the images of the next batches out of the file that they are mapped from, while the
present batch is trained on. Only copying is done there: the order of images and all that is random
stay with who asks.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from dnsearch.arrays import release
from dnsearch.data.pixels import runs

THREADS = 2
"""While one waits for the disk, the other copies."""

AHEAD = 3
"""Batches under way or ready, beside the one that was handed out."""


def ahead(
    images: np.ndarray, picks: Iterable[np.ndarray], device: torch.device, from_disk: bool
) -> Iterator[Tensor]:
    """For each pick (n,) of rows the images (n, c, h, w) uint8, on the device.

    images: (m, c, h, w) uint8. from_disk: they are expected not to be in memory, so the system is
    told which of them are read next, and what was read is given back.
    """
    wanted = _Wanted(images if from_disk else None)

    def copied(rows: np.ndarray, place: np.ndarray) -> None:
        assert not len(rows) or 0 <= rows.min() <= rows.max() < len(plain)
        wanted.tell(rows)
        np.take(plain, rows, axis=0, out=place, mode="clip")  # "raise" would copy once more
        if from_disk:
            release(images)

    plain = images.view(np.ndarray)
    waiting: deque[tuple[Future[None], Tensor]] = deque()
    with wanted, ThreadPoolExecutor(THREADS, thread_name_prefix="images") as pool:
        try:
            for rows in picks:
                # The main thread alone talks to CUDA, which may be recording a step. Only pinned
                # memory is moved during computation; torch reuses it once it has been moved.
                size = len(rows), *images.shape[1:]
                place = torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
                waiting.append((pool.submit(copied, rows, place.numpy()), place))
                if len(waiting) > AHEAD:
                    yield _moved(*waiting.popleft(), device)
            while waiting:
                yield _moved(*waiting.popleft(), device)
        finally:
            for future, _ in waiting:
                future.cancel()


def _moved(copied: Future[None], place: Tensor, device: torch.device) -> Tensor:
    copied.result()
    return place.to(device, non_blocking=True)


class _Wanted(contextlib.AbstractContextManager["_Wanted"]):
    """Tells the system which images of a mapped file are read next, so that it reads all of a batch
    at once; nothing for other images, or where the system cannot be told."""

    def __init__(self, images: np.ndarray | None) -> None:
        self._file: int | None = None
        if isinstance(images, np.memmap) and images.filename and hasattr(os, "posix_fadvise"):
            self._start, self._each = images.offset, images.strides[0]
            with contextlib.suppress(OSError):  # the cache made room; what is mapped is still there
                self._file = os.open(images.filename, os.O_RDONLY)

    def tell(self, rows: np.ndarray) -> None:
        """These rows (n,) are next, in any order."""
        if self._file is None:
            return
        ordered = np.unique(rows)
        for some in runs(ordered):
            start = self._start + int(ordered[some.start]) * self._each
            length = (some.stop - some.start) * self._each
            os.posix_fadvise(self._file, start, length, os.POSIX_FADV_WILLNEED)

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
