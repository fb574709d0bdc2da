"""Costs that are measured on a device: latency, and the memory that a training step keeps."""

from __future__ import annotations

import contextlib
import gc
import math
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils import benchmark

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet

LEAST_SECONDS = 0.2
"""The least time spent on a measurement; more, up to 2 s, while its runs spread too widely."""


@dataclass(frozen=True)
class Latency:
    """Median milliseconds of one forward pass; ``unsteady`` where the runs spread too widely.
    spread_ms: the interquartile range of the runs."""

    ms: float
    unsteady: bool
    spread_ms: float = math.nan


def measure_latency(
    model: nn.Module, shape: tuple[int, int, int], batch_size: int, device: torch.device
) -> Latency:
    """Times the model, in eval mode, on ``batch_size`` random images of this shape (c, h, w)."""
    images = torch.randn(batch_size, *shape, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        timer = benchmark.Timer(
            "model(images)",
            globals={"model": model, "images": images},
            num_threads=torch.get_num_threads(),
        )
        measured = timer.adaptive_autorange(min_run_time=LEAST_SECONDS, max_run_time=2)
    model.train(was_training)
    return Latency(measured.median * 1e3, measured.has_warnings, measured.iqr * 1e3)


def latencies_of(
    archs: Sequence[ArchConfig],
    shape: tuple[int, int, int],
    batch_size: int,
    device: str,
    threads: int,
) -> list[Latency]:
    """The latency of each architecture, untrained, on this device with so many CPU threads, for
    ``batch_size`` images of this shape (c, h, w)."""
    torch.set_num_threads(threads)
    models = (DenseNet(arch).to(device) for arch in archs)
    return [measure_latency(model, shape, batch_size, torch.device(device)) for model in models]


def saved_bytes(model: nn.Module, images: torch.Tensor) -> int:
    """Bytes that autograd keeps of one forward pass, parameters and buffers aside, each storage
    counted once: the part of ``Cost.train_bytes`` that is saved activations."""
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.Tensor] = {}  # while the tensors live, no address is used again

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.detach()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(images)
    return sum(t.untyped_storage().nbytes() for p, t in kept.items() if p not in own)


def peak_train_bytes(
    arch: ArchConfig, shape: tuple[int, int, int], batch_size: int, device: str, threads: int
) -> int | None:
    """Bytes by which a training step in fp32 raises this process's memory at its peak, the network,
    its gradients, momentum and averaged weights included; with the fastest kernels, for images of
    this shape (c, h, w).

    On a GPU it is what torch's allocator has handed out. On a CPU it is resident memory, so it
    holds what kernels take beside their tensors: measured in a fresh process (``fresh_peak``), and
    None where the system (other than Linux) does not tell.
    """
    where = torch.device(device)
    torch.set_num_threads(threads)
    _train_some(arch.replace(growth_rate=1, block_config=(1,)), shape, 2, where)  # loads libraries
    meter = _GpuMeter(where) if where.type == "cuda" else _ResidentMeter()
    _train_some(arch, shape, batch_size, where)
    return meter.risen()


def fresh_peak(
    arch: ArchConfig, shape: tuple[int, int, int], batch_size: int, device: str, threads: int
) -> int | None:
    """``peak_train_bytes`` in a process of its own, whose memory nothing else has shaped."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(peak_train_bytes, arch, shape, batch_size, device, threads).result()


STEPS = 3
"""Of training: momentum exists from the first on, and its memory is the second's too."""


def _train_some(
    arch: ArchConfig, shape: tuple[int, int, int], batch_size: int, device: torch.device
) -> None:
    model = DenseNet(arch).use_kernels("auto", device).train()
    averaged = [weight.detach().clone() for weight in model.parameters()]
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    images = torch.randn(batch_size, *shape, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(batch_size, dtype=torch.long, device=device)
    for _ in range(STEPS):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            for mean, weight in zip(averaged, model.parameters(), strict=True):
                mean.lerp_(weight, 0.02)


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


def visible_gpus() -> list[str]:
    """Names of the CUDA devices that torch can use, such as ``cuda:0``."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def device_memory(device: str) -> int:
    """Memory of the device in all, bytes."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
