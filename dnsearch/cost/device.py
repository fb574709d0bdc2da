"""Costs that are measured on a device: latency, and the memory that a training step keeps."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

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


def visible_gpus() -> list[str]:
    """Names of the CUDA devices that torch can use, such as ``cuda:0``."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def device_memory(device: str) -> int:
    """Memory of the device in all, bytes."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_properties(device).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
