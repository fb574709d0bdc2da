"""How fast a training is fed where memory does not hold the images.

    python studies/scale/limited.py [LIMIT_MB]

Trains a small network on one thread, for 20 seconds of an epoch of 100,000 images of 64x64 (1.2
GB), in a control group that may use LIMIT_MB of memory (700), the file's pages included; with
data.keep as memory and as disk, and without a limit. Needs root and Linux's control groups.
Writes reports/scale/limited.txt.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from images import CLASSES, NETWORK, RECIPE, ROOT, SIDE, random_images, status, uncached

from dnsearch.arrays import load_mapped
from dnsearch.config import Keep
from dnsearch.data import DeviceData, LabelledImages, PreparedData
from dnsearch.processes import result_of
from dnsearch.training.device import set_up
from dnsearch.training.trainer import Trainer

RECORD = ROOT / "reports" / "scale" / "limited.txt"
GROUPS = Path("/sys/fs/cgroup")
COUNT = 100_000
SECONDS = 20.0


def main(limit_mb: int) -> None:
    """Measures, prints and writes."""
    lines = [f"{COUNT:,} images, {3 * SIDE**2 * COUNT / 1e9:.2f} GB, load {os.getloadavg()[0]:.1f}"]
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch, "images.npy")
        random_images(file, COUNT)
        for limit in (None, limit_mb):
            for keep in ("memory", "disk"):
                with limited(limit) as group:
                    rate, cpu, file_mb = result_of(trained, file, keep, group)
                where = "no limit" if limit is None else f"{limit} MB"
                lines.append(
                    f"{where:>10}, keep = {keep:<7} {rate:8,.0f} images/s, {cpu:.2f} s of CPU for "
                    f"10,000 images, at most {file_mb:,.0f} MB of files in the process"
                )
                print(lines[-1], flush=True)
    RECORD.write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextlib.contextmanager
def limited(limit_mb: int | None) -> Iterator[Path | None]:
    """A control group with this limit of memory, by either version of Linux's."""
    if limit_mb is None:
        yield None
        return
    first = (GROUPS / "memory").is_dir()
    group = GROUPS / ("memory" if first else "") / f"dnsearch-{os.getpid()}"
    group.mkdir()
    try:
        limit = group / ("memory.limit_in_bytes" if first else "memory.max")
        limit.write_text(str(limit_mb * 10**6))
        yield group
    finally:
        for _ in range(50):  # until the last process has left
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)


def trained(file: Path, keep: Keep, group: Path | None) -> tuple[float, float, float]:
    """Images a second, CPU seconds of 10,000 images, and MB of mapped files, of an epoch."""
    set_up("cpu", 1)
    if group is not None:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        uncached(file)  # pages belong to the group that reads them first
    images = load_mapped(file)
    train = LabelledImages(images, np.arange(COUNT) % CLASSES)
    names = tuple(map(str, range(CLASSES)))
    data = PreparedData("noise", names, train, train, (0.5,) * 3, (0.3,) * 3, "0" * 16, False)
    trainer = Trainer(NETWORK, DeviceData(data, keep=keep), RECIPE, seed=0)
    step = trainer.stepper()
    trainer.model.train()
    started, cpu, most, done = time.perf_counter(), time.process_time(), 0, 0
    for pictures, labels in trainer.data.drawn(RECIPE.batch_size, torch.Generator().manual_seed(0)):
        step(pictures, labels, 0.1)
        most, done = max(most, status("self")["RssFile"]), done + len(labels)
        if time.perf_counter() - started > SECONDS:
            break
    rate = done / (time.perf_counter() - started)
    return rate, (time.process_time() - cpu) * 10_000 / done, most / 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 700)
