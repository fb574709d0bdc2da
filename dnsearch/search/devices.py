"""Which devices the workers get, found without importing torch where there is no GPU."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from dnsearch.config import SearchConfig, TrainingConfig
from dnsearch.errors import ConfigError

MOST_CPU_WORKERS = 8
"""Beyond this many trainings at a time, memory and the sampler's lag cost more than they bring."""


@dataclass(frozen=True)
class Plan:
    """The device of each worker, and the CPU threads that each may use."""

    devices: tuple[str, ...]
    threads: int

    @property
    def on_gpu(self) -> bool:
        return self.devices[0].startswith("cuda")

    def activation_bytes(self, recipe: TrainingConfig) -> int:
        """Size of a saved activation: 2 under bf16, which ``auto`` takes on a GPU."""
        bf16 = recipe.precision == "bf16" or (recipe.precision == "auto" and self.on_gpu)
        return 2 if bf16 else 4


def cpu_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def plan_workers(config: SearchConfig) -> Plan:
    """One worker a GPU, or one a CPU core; ``search.workers`` of them where that is set.

    Raises ConfigError where a GPU is asked for that is not there.
    """
    gpus = [] if config.device == "cpu" else _gpus()
    if config.device.startswith("cuda"):
        gpus = [gpu for gpu in gpus if config.device in ("cuda", gpu)]
        if not gpus:
            raise ConfigError("search.device", "must be a device of this machine", config.device)
    if gpus:
        workers = config.workers or len(gpus)
        devices = tuple(gpus[i % len(gpus)] for i in range(workers))
        return Plan(devices, max(1, cpu_cores() // workers))
    workers = config.workers or min(cpu_cores(), MOST_CPU_WORKERS)
    return Plan(("cpu",) * workers, max(1, cpu_cores() // workers))


def _gpus() -> list[str]:
    if not (shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists()):
        return []
    from dnsearch.cost.device import visible_gpus

    return visible_gpus()
