"""Costs that are measured on a device: latency, and the memory that a training step keeps."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.utils import benchmark

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.densenet import DenseNet
from dnsearch.cost.latency import Setting

LEAST_SECONDS = 0.1
"""The least time spent on a round of a measurement; more, up to ``MOST_SECONDS``, while its runs
spread too widely."""

MOST_SECONDS = 0.5

ROUNDS = 4
"""The most rounds of a measurement."""

AGREEING = 1.1
"""Two rounds agree where the greater median is at most so many times the less."""

PAUSE_SECONDS = 0.25
"""Before the third round, and twice as long before each further one: what disturbs two rounds lasts
for a while."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Latency:
    """Median milliseconds of one forward pass, in the round of the least median; ``unsteady`` where
    no other round agrees with it, or, of a single round, where its runs spread too widely.
    spread_ms: the interquartile range of that round's runs. least_ms: the least of them."""

    ms: float
    unsteady: bool
    spread_ms: float = math.nan
    least_ms: float = math.nan


def measure_latency(
    model: DenseNet,
    shape: tuple[int, int, int],
    setting: Setting,
    device: torch.device,
    most_seconds: float = MOST_SECONDS,
    rounds: int = ROUNDS,
    most_ms: float | None = None,
) -> Latency:
    """Times a copy of the model in eval mode, as the setting says, on random images of this shape
    (c, h, w), in some ``rounds`` of up to so many seconds each (``least_disturbed``). With one CPU
    thread it is that thread's processor time, in which the turns of other processes do not count.
    """
    dtype, bf16 = DTYPES[setting.precision], setting.precision == "bf16"
    ready = copy.deepcopy(model).eval().requires_grad_(False).to(device, dtype)
    ready = ready.use_kernels(setting.kernels, device, bf16)
    images = torch.randn(setting.batch_size, *shape, device=device, dtype=dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    timer = benchmark.Timer(
        "model(images)",
        globals={"model": ready, "images": images},
        num_threads=torch.get_num_threads(),
        timer=time.thread_time if alone else benchmark.timer,
    )

    def once() -> Latency:
        least = min(LEAST_SECONDS, most_seconds)
        measured = timer.adaptive_autorange(min_run_time=least, max_run_time=most_seconds)
        seconds = measured.median, measured.iqr, min(measured.times)
        median, spread, least_ms = (1e3 * each for each in seconds)
        return Latency(median, measured.has_warnings, spread, least_ms)

    with torch.inference_mode():
        return least_disturbed(once, rounds, most_ms)


def least_disturbed(
    measure: Callable[[], Latency],
    rounds: int = ROUNDS,
    most_ms: float | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> Latency:
    """The round of the least median: what else the machine does only ever adds to a latency. It is
    measured until two rounds agree on the least one and that is not above the limit ``most_ms``, if
    there is one, or until there were so many ``rounds``.

    That the runs of one round are alike says little: threads that wait for each other on busy cores
    take hundreds of times as long, all of them, for seconds.
    """
    found = [measure()]
    if rounds == 1:
        return found[0]
    while True:
        best = min(found, key=lambda each: each.ms)
        agreeing = sum(each.ms <= AGREEING * best.ms for each in found) > 1
        is_enough = agreeing and (most_ms is None or best.ms <= most_ms)
        if is_enough or len(found) == rounds:
            return replace(best, unsteady=not agreeing)
        if len(found) > 1:
            wait(PAUSE_SECONDS * 2 ** (len(found) - 2))
        found.append(measure())


def latencies_of(
    archs: Sequence[ArchConfig],
    shape: tuple[int, int, int],
    setting: Setting,
    device: str,
    most_ms: float | None = None,
) -> list[Latency]:
    """The latency of each architecture, untrained, on this device, as the setting says, for images
    of this shape (c, h, w); ``most_ms`` is the limit. Sets the threads of this process."""
    torch.set_num_threads(setting.threads)
    where = torch.device(device)
    return [
        measure_latency(DenseNet(arch), shape, setting, where, most_ms=most_ms) for arch in archs
    ]


def device_name(device: str) -> str:
    """What torch calls a GPU, such as ``NVIDIA H100``; empty for the CPU."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else ""


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
