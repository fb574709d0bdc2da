"""Where decoded images are while networks are trained on them: ``data.keep``. Imports no torch
without a GPU.

All workers of a machine map the same file of decoded images, so its pages are in memory once, in
the system's page cache, however many workers there are. What is decided is whether each batch is
read from there when its step begins (memory), or is expected to come from the disk and so is read
ahead (disk), or whether each worker copies all images to its GPU (device).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dnsearch.arrays import is_mapped
from dnsearch.config import Keep
from dnsearch.data.dataset import PreparedData
from dnsearch.errors import ConfigError, MachineError
from dnsearch.machine import free_memory
from dnsearch.text import counted, data_size

GPU_SHARE = 0.4
"""Of a GPU's memory, for images; the rest is for training."""

MEMORY_SHARE = 0.5
"""Of the memory that is free; the rest is for training."""

TOLD_BYTES = 100_000_000
"""Smaller sets are no matter on any machine: where they are is told only if it was asked for."""


class Kept(NamedTuple):
    """Where images are kept, and why.

    where: ``memory``, ``disk`` or ``device``. asked: ``data.keep``. image_bytes: of all training
    and validation images, decoded. free: bytes of memory that were free, None where unknown.
    """

    where: Keep
    asked: Keep
    image_bytes: int
    free: int | None

    @property
    def of_workers(self) -> Keep:
        """What a worker is to do: one that is to take its GPU by our choice looks itself, when it
        starts, whether others use that GPU."""
        return "auto" if self.where == "device" and self.asked == "auto" else self.where

    def notes(self) -> tuple[str, ...]:
        """Where the images are, in a sentence; none where that is no matter, or nodes of a cluster
        choose."""
        if self.where == "auto":
            return ()
        if self.asked == "auto" and self.where != "disk" and self.image_bytes < TOLD_BYTES:
            return ()
        free = "" if self.free is None else f" ({data_size(self.free)} of memory are free)"
        told = {
            "memory": f"stay in memory, once for all workers{free}",
            "disk": f"are read from the disk batch by batch, ahead of each step{free}",
            "device": "are copied to the GPU by each worker",
        }
        return (
            f"the decoded images, {data_size(self.image_bytes)}, {told[self.where]}; "
            f'data.keep = "{self.asked}"',
        )


def kept(keep: Keep, data: PreparedData, devices: Sequence[str]) -> Kept:
    """Where workers on these devices, one entry a worker, keep the images.

    Raises ConfigError where ``keep`` is not possible here, and MachineError where images that are
    not in a file take more memory than there is.
    """
    return chosen(keep, data, devices, _gpu_bytes)


def chosen(
    keep: Keep, data: PreparedData, devices: Sequence[str], gpu_bytes: Callable[[str], float]
) -> Kept:
    """As ``kept``; ``gpu_bytes`` tells the memory of a GPU."""
    free, size = free_memory(), data.nbytes
    mapped = is_mapped(data.train.pixels) and is_mapped(data.validation.pixels)
    gpus = Counter(device for device in devices if device.startswith("cuda"))
    if keep == "disk" and not mapped:
        hint = "set DNSEARCH_CACHE to a folder that can be written"
        raise ConfigError("data.keep", "needs decoded images in the cache", keep, hint)
    if keep == "device" and not gpus:  # the CPU's own memory
        return Kept("memory", keep, size, free)
    if keep != "auto":
        return Kept(keep, keep, size, free)
    if gpus and all(size * sharing <= GPU_SHARE * gpu_bytes(gpu) for gpu, sharing in gpus.items()):
        return Kept("device", keep, size, free)
    if not mapped:
        _require_memory(size, len(devices), free)
        return Kept("memory", keep, size, free)
    fits = free is None or size <= MEMORY_SHARE * free
    return Kept("memory" if fits else "disk", keep, size, free)


def _require_memory(size: int, workers: int, free: int | None) -> None:
    if workers > 1 and free is not None and size * workers > free:
        raise MachineError(
            f"decoded images are not in the cache, so each of {counted(workers, 'worker')} has its "
            f"own: {data_size(size * workers)} of memory, and {data_size(free)} are "
            "free; set DNSEARCH_CACHE to a folder "
            f"with {data_size(size)} of room, or search.workers"
        )


def _gpu_bytes(device: str) -> float:
    from dnsearch.cost.device import device_memory

    return device_memory(device)
