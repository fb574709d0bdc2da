"""Batches that are made ready before they are asked for, from images that memory need not hold.

Threads copy the images of the next batches out of the file that they are in, while the present
batch is trained on. Only copying is done there: the order of images and all that is random
stay with who asks.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor

from dnsearch.arrays import mapped_from
from dnsearch.errors import MachineError

THREADS = 2
"""While one waits for the disk, the other copies."""

AHEAD, BYTES_AHEAD = 3, 1 << 26
"""Batches under way or ready, beside the one that was handed out; fewer, but at least one, where
they take more bytes."""


def ahead(
    images: np.ndarray, picks: Iterable[np.ndarray], device: torch.device, from_disk: bool
) -> Iterator[Tensor]:
    """For each pick (n,) of rows the images (n, c, h, w) uint8, on the device.

    images: (m, c, h, w) uint8. from_disk: they are expected not to be in memory, so they are read
    from the file that they are mapped from, and do not become this process's memory. Raises
    MachineError where that file was cut off.
    """
    waiting: deque[tuple[Future[None], Tensor]] = deque()
    read = _reader(images, from_disk)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="images") as pool:
        try:
            for rows in picks:
                assert not len(rows) or 0 <= rows.min() <= rows.max() < len(images)
                # The main thread alone talks to CUDA, which may be recording a step. Only pinned
                # memory is moved during computation; torch reuses it once it has been moved.
                size = len(rows), *images.shape[1:]
                place = torch.empty(size, dtype=torch.uint8, pin_memory=device.type == "cuda")
                waiting.append((pool.submit(read, rows, place.numpy()), place))
                if len(waiting) > max(1, min(AHEAD, BYTES_AHEAD // max(1, place.nbytes))):
                    yield _moved(*waiting.popleft(), device)
            while waiting:
                yield _moved(*waiting.popleft(), device)
        finally:
            for future, _ in waiting:
                future.cancel()


def _moved(copied: Future[None], place: Tensor, device: torch.device) -> Tensor:
    copied.result()
    return place.to(device, non_blocking=True)


Read = Callable[[np.ndarray, np.ndarray], None]
"""Copies the images of these rows (n,) into a place (n, c, h, w)."""


def _reader(images: np.ndarray, from_disk: bool) -> Read:
    """How images are copied: from their file, or from where they are mapped."""
    found = mapped_from(images) if from_disk and hasattr(os, "posix_fadvise") else None
    if found is None or not images[0].flags.c_contiguous:
        return partial(_take, images)
    file, start = found
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_RANDOM)  # what lies beside an image is not next
    return partial(_read, file, start, images.strides[0])


def _take(images: np.ndarray, rows: np.ndarray, place: np.ndarray) -> None:
    np.take(images, rows, axis=0, out=place, mode="clip")  # "raise" would copy once more


def _read(file: int, start: int, apart: int, rows: np.ndarray, place: np.ndarray) -> None:
    """Reads from an open file, whose images begin so many bytes apart. All of a batch is asked for
    before the first is waited for. (A mapped file that was cut off would end the process.)"""
    each = place[:1].nbytes
    places = [start + row * apart for row in rows.tolist()]
    for at in places:
        os.posix_fadvise(file, at, each, os.POSIX_FADV_WILLNEED)
    for at, image in zip(places, place, strict=True):
        read = os.pread(file, each, at)
        if len(read) < each:
            raise MachineError(
                "the decoded images were cut off in the cache while they were read; the same "
                "command decodes what is missing"
            )
        image.reshape(-1)[:] = np.frombuffer(read, np.uint8)
