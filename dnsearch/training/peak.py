"""The memory that a training step takes at its peak, measured."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path

import torch

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet
from dnsearch.config import TrainingConfig
from dnsearch.processes import result_of
from dnsearch.training.recipe import AveragedWeights, cross_entropy, make_optimiser


def measured_peak_bytes(
    arch: ArchConfig, shape: tuple[int, int, int], batch_size: int, device: str, threads: int
) -> int | None:
    """Bytes by which a training step in fp32 raises a process's memory at its peak, the network,
    its gradients, momentum and averaged weights included; with the fastest kernels, for images of
    this shape (c, h, w).

    On a GPU it is what torch's allocator has handed out. On a CPU it is resident memory, so it
    holds what kernels take beside their tensors; None where the system (other than Linux) does not
    tell. Measured in a process of its own, whose memory nothing else has shaped.
    """
    return result_of(_risen, arch, shape, batch_size, device, threads)


def _risen(
    arch: ArchConfig, shape: tuple[int, int, int], batch_size: int, device: str, threads: int
) -> int | None:
    """``measured_peak_bytes``, of this process."""
    where = torch.device(device)
    torch.set_num_threads(threads)
    small = arch.replace(growth_rate=1, block_config=(1,), bn_size=1, transition="pool")
    _train_some(small, shape, 2, where)  # loads libraries
    meter = _GpuMeter(where) if where.type == "cuda" else _ResidentMeter()
    _train_some(arch, shape, batch_size, where)
    return meter.risen()


STEPS = 3
"""Of training: momentum exists from the first on, and its memory is the second's too."""


def _train_some(
    arch: ArchConfig, shape: tuple[int, int, int], batch_size: int, device: torch.device
) -> None:
    recipe = TrainingConfig()
    model = DenseNet(arch).use_kernels("auto", device).train()
    averaged, optimiser = AveragedWeights(model, recipe.ema), make_optimiser(model, recipe)
    images = torch.randn(batch_size, *shape, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(batch_size, dtype=torch.long, device=device)
    for _ in range(STEPS):
        loss = cross_entropy(model(images), labels, None, 0.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        averaged.update(averaged.next_share())


class _GpuMeter:
    def __init__(self, device: torch.device) -> None:
        self.device = device
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        self.before = torch.cuda.memory_allocated(device)

    def risen(self) -> int:
        torch.cuda.synchronize(self.device)
        return torch.cuda.max_memory_allocated(self.device) - self.before


class _ResidentMeter:
    """By what Linux notes of a process: its resident memory now, and the most since a reset."""

    def __init__(self) -> None:
        gc.collect()
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        self.before = self._read("VmRSS")

    def risen(self) -> int | None:
        most = self._read("VmHWM")
        return None if most is None or self.before is None else most - self.before

    def _read(self, name: str) -> int | None:
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith(f"{name}:"):
                    return 1024 * int(line.split()[1])
        return None
