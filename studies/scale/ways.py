"""What it takes to get images out of the decoded file, which the system has cached: CPU time.

    python studies/scale/ways.py

The ways that were tried for data.ahead, without a training beside them: 50,000 images of 64x64 in
random order, in batches of 128. Writes reports/scale/ways.txt.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from images import ROOT, random_images

from dnsearch.arrays import load_mapped, mapped_from, release
from dnsearch.data.ahead import THREADS, ahead

RECORD = ROOT / "reports" / "scale" / "ways.txt"
COUNT, BATCH, ROUNDS = 50_000, 128, 3


def main() -> None:
    """Measures, prints and writes."""
    lines = [f"load {os.getloadavg()[0]:.1f}"]
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "images.npy")
        random_images(file, COUNT)
        images = load_mapped(file)
        order = np.random.default_rng(0).permutation(COUNT)
        picks = [order[start : start + BATCH] for start in range(0, COUNT, BATCH)]
        for name, way in ways(images, picks).items():
            spent = []
            for _ in range(ROUNDS):
                before = time.process_time()
                way()
                spent.append(time.process_time() - before)
            lines.append(f"{name:>52}  {1e6 * statistics.median(spent) / COUNT:5.2f} us an image")
            print(lines[-1], flush=True)
    RECORD.write_text("\n".join(lines) + "\n", encoding="utf-8")


def ways(images: np.ndarray, picks: list[np.ndarray]) -> dict[str, Callable[[], object]]:
    """By name, what goes through all batches once."""
    private = np.array(images)
    device = torch.device("cpu")
    return {
        "copied from memory of its own": partial(one_by_one, partial(copied, private), picks),
        "copied from the mapped file": partial(one_by_one, partial(copied, images), picks),
        "copied, mapped pages given back": partial(one_by_one, partial(given_back, images), picks),
        f"the same by {THREADS} threads": partial(by_threads, partial(given_back, images), picks),
        "read from the file": partial(one_by_one, partial(read, images, False), picks),
        "asked for, then read": partial(one_by_one, partial(read, images, True), picks),
        "ahead, as from memory to a GPU": lambda: all_of(ahead(images, picks, device, False)),
        "ahead, from disk": lambda: all_of(ahead(images, picks, device, True)),
    }


def one_by_one(way: Callable[[np.ndarray], object], picks: Iterable[np.ndarray]) -> None:
    """One batch after the other."""
    for rows in picks:
        way(rows)


def by_threads(way: Callable[[np.ndarray], object], picks: Iterable[np.ndarray]) -> None:
    """By as many threads as ``ahead`` has."""
    with ThreadPoolExecutor(THREADS) as pool:
        all_of(pool.map(way, picks))


def all_of(batches: Iterable[object]) -> None:
    """Goes through them and keeps none."""
    for _ in batches:
        pass


def copied(images: np.ndarray, rows: np.ndarray) -> None:
    """By NumPy."""
    place = np.empty((len(rows), *images.shape[1:]), np.uint8)
    np.take(images, rows, axis=0, out=place, mode="clip")


def given_back(images: np.ndarray, rows: np.ndarray) -> None:
    """By NumPy; then the system may take the pages."""
    copied(images, rows)
    release(images)


def read(images: np.ndarray, asks: bool, rows: np.ndarray) -> None:
    """From the open file."""
    found = mapped_from(images)
    assert found is not None
    file, first = found
    each = images.strides[0]
    place = np.empty((len(rows), each), np.uint8)
    starts = [first + row * each for row in rows.tolist()]
    if asks:
        for start in starts:
            os.posix_fadvise(file, start, each, os.POSIX_FADV_WILLNEED)
    for image, start in zip(place, starts, strict=True):
        image[:] = np.frombuffer(os.pread(file, each, start), np.uint8)


if __name__ == "__main__":
    main()
