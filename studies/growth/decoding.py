"""What decoding a data set takes, by the number of its pictures: CPU seconds, seconds by the clock,
and peak memory above the start, mapped files included.

    python studies/growth/decoding.py [FOLDER_OF_CIFAR_10_PARQUET]

The pictures are made first, PNGs of 64x64 in a folder of ten classes and JPEGs of 1600x1200, with
as much detail at each scale as photographs have.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from growth import Watch, exponent, fresh, line
from PIL import Image

from dnsearch.config import DataConfig

COUNTS = 3_750, 15_000, 60_000
CLASSES = 10
PHOTOS, PHOTO = 64, (1200, 1600)


def main(cifar: str | None) -> None:
    """Measures and prints."""
    print(f"{len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory() as scratch:
        seconds, peaks = [], []
        for count in COUNTS:
            folder = str(Path(scratch, f"png-{count}"))
            fresh(draw, folder, count, (64, 64), "png")
            grown = told(f"{count:,} PNGs", folder, f"{scratch}/cache-{count}")
            seconds.append(grown.seconds)
            peaks.append(grown.peak_bytes)
        print(f"seconds grow with pictures to the {exponent(COUNTS, seconds):.2f}, ", end="")
        print(f"peak memory to the {exponent(COUNTS, peaks):.2f}")
        cache = f"{scratch}/cache-{COUNTS[-1]}"
        told("the same again", folder, cache)
        told("another seed", folder, cache, seed=1)
        told("1,000 to train on", folder, f"{scratch}/cache-few", train_images=1000)
        if cifar:
            told("CIFAR-10, parquet", cifar, f"{scratch}/cache-cifar", format="parquet")
            told("another seed", cifar, f"{scratch}/cache-cifar", format="parquet", seed=1)
        photos = f"{scratch}/photos"
        fresh(draw, photos, PHOTOS, PHOTO, "jpg")
        told(f"{PHOTOS} JPEGs to 64x64", photos, f"{scratch}/cache-photos", image_size=64)
        if "draft" in DataConfig.model_fields:
            told("as drafts", photos, f"{scratch}/cache-photos", image_size=64, draft=True)
        for row in disk(Path(scratch)):
            print(row)


def told(name: str, folder: str, cache: str, **settings: object):
    """Measures ``prepare`` in a process of its own, and prints it."""
    grown = fresh(prepared, folder, cache, {"format": "folder"} | settings)
    wall, images, decoded = grown.found
    line(name, grown, f"{wall:7.2f} s by the clock; {images:,} images, {decoded / 1e6:.0f} MB")
    return grown


def prepared(watch: Watch, folder: str, cache: str, settings: dict) -> tuple[float, int, int]:
    """Seconds by the clock, images and bytes of ``prepare``."""
    from dnsearch.data import prepare

    config = DataConfig(path=Path(folder), **settings)
    started = time.perf_counter()
    with watch:
        data = prepare(config, Path(cache))
    images = sum(data.counts.values())
    return time.perf_counter() - started, images, images * int(np.prod(data.shape))


def draw(watch: Watch, folder: str, count: int, size: tuple[int, int], kind: str) -> None:
    """Writes pictures whose spectrum falls with frequency as that of photographs does."""
    rng, (height, width) = np.random.default_rng(0), size
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(width), np.fft.fftfreq(height)))
    frequency[0, 0] = 1
    noise = np.fft.fft2(rng.normal(size=(3, height, width)))
    plane = np.fft.ifft2(noise / frequency**1.1).real
    plane = 255 * (plane - plane.min()) / np.ptp(plane)
    base = np.ascontiguousarray(plane.transpose(1, 2, 0).astype(np.uint8))
    for index in range(count):
        here = Path(folder, f"class-{index % CLASSES}")
        here.mkdir(parents=True, exist_ok=True)
        shift = rng.integers(0, (height, width)).tolist()
        pixels = np.roll(base, shift, (0, 1)) ^ np.uint8(index % 7)
        Image.fromarray(pixels).save(here / f"{index}.{kind}")


def disk(scratch: Path) -> list[str]:
    """What the caches take."""
    rows = []
    for cache in sorted(scratch.glob("cache-*")):
        blocks = sum(512 * file.stat().st_blocks for file in cache.rglob("*") if file.is_file())
        rows.append(f"{cache.name:>28}  {blocks / 1e6:8.0f} MB on disk")
    return rows


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
