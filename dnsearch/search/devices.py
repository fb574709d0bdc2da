"""Which devices the workers get, found without importing torch where there is no GPU."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from dnsearch.arch.kernels.build import build
from dnsearch.config import Keep, SearchConfig, TrainingConfig
from dnsearch.data import Kept, PreparedData, kept
from dnsearch.errors import ConfigError, KernelError
from dnsearch.machine import cpu_cores
from dnsearch.search.evaluators import mps

MOST_ON_A_GPU = 4
"""Workers that share a GPU where they can compute at the same time; see ``evaluators.mps``."""

CONTEXT_BYTES = 1 << 30
"""Of a GPU's memory, for each process that uses it."""

RESERVE = 1.5
"""Memory that a training takes in terms of what is predicted to be kept for its backward pass."""

MOST_CPU_WORKERS = 8
"""Beyond this many trainings at a time, memory and the sampler's lag cost more than they bring."""


@dataclass(frozen=True)
class Plan:
    """The device of each worker, and the CPU threads that each may use."""

    devices: tuple[str, ...]
    threads: int

    @property
    def kind(self) -> str:
        """``cpu`` or ``cuda``."""
        return self.devices[0].partition(":")[0]

    def within_memory(self, train_bytes: int) -> Plan:
        """With fewer workers on a GPU where it has no memory for as many trainings of this size."""
        if self.kind == "cpu":
            return self
        from dnsearch.cost.device import device_memory

        need = CONTEXT_BYTES + RESERVE * train_bytes
        room = {gpu: max(1, int(device_memory(gpu) / need)) for gpu in set(self.devices)}
        place = [(gpu, self.devices[:i].count(gpu)) for i, gpu in enumerate(self.devices)]
        kept = [gpu for gpu, before in place if before < room[gpu]]
        return Plan(tuple(kept), threads_each(len(kept)))

    def kept(self, keep: Keep, data: PreparedData) -> Kept:
        """Where the workers keep the images. Raises ConfigError where ``keep`` is not possible
        here, MachineError where there is no memory for them."""
        return kept(keep, data, self.devices)

    def activation_bytes(self, recipe: TrainingConfig) -> int:
        """Size of a saved activation: 2 where training runs in bf16."""
        if self.kind == "cpu":
            return 2 if recipe.precision == "bf16" else 4
        from dnsearch.training.device import uses_bf16

        return 2 if uses_bf16(recipe, self.devices[0]) else 4

    def notes(self) -> list[str]:
        """What slows training down on this machine, and what to do about it; empty if nothing."""
        few = cpu_cores()
        if self.kind == "cpu" and len(self.devices) > few:
            return [f"{len(self.devices)} workers share {few} cores; --workers {few} is faster"]
        return []

    def compile_kernels(self, recipe: TrainingConfig) -> list[str]:
        """Compiles the C++ kernels if this training will use them: some seconds, once a machine,
        so that no worker has to. Where that fails, or bf16 does without them, a note says so."""
        if self.kind == "cpu" and recipe.precision == "bf16":
            return [
                "bf16 on a CPU trains without the C++ kernels, more slowly and with more memory; "
                'training.precision = "auto" is fp32 on CPUs'
            ]
        if self.kind == "cpu" and recipe.kernels in ("auto", "cpu"):
            try:
                build()
            except KernelError as error:
                return [f"training without the C++ kernels, at half the speed: {error}"]
        return []


def plan_workers(config: SearchConfig, alone: bool = False) -> Plan:
    """Several workers a GPU where they can share it, else one; or one a CPU core;
    ``search.workers`` of them where that is set.

    ``alone``: one worker where none are asked for, since latency measured beside other trainings
    is theirs as much as the network's.

    Raises ConfigError where a GPU is asked for that is not there.
    """
    named = config.device.startswith("cuda")
    gpus = [] if config.device == "cpu" else _gpus(named)
    if named:
        gpus = [gpu for gpu in gpus if config.device in ("cuda", gpu)]
        if not gpus:
            raise ConfigError("search.device", "must be a device of this machine", config.device)
    if gpus:
        share = min(MOST_ON_A_GPU, max(1, cpu_cores() // len(gpus))) if mps.available() else 1
        workers = config.workers or (1 if alone else len(gpus) * share)
        devices = tuple(gpus[i % len(gpus)] for i in range(workers))
        return Plan(devices, threads_each(workers))
    workers = config.workers or (1 if alone else min(cpu_cores(), MOST_CPU_WORKERS))
    return Plan(("cpu",) * workers, threads_each(workers))


def threads_each(workers: int) -> int:
    """CPU threads for each of so many workers, which share the cores of this machine."""
    return max(1, cpu_cores() // workers)


def workers_with(threads: int) -> int | None:
    """The fewest workers that get so many CPU threads each; None where no number of them does."""
    numbers = range(1, cpu_cores() + 1)
    return next((number for number in numbers if threads_each(number) == threads), None)


def _gpus(named: bool) -> list[str]:
    """torch's GPUs. Importing torch only to find none takes seconds, so where none is asked for by
    name, the machine must look as if it had one."""
    signs = [*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("kfd")]
    if not (named or signs or shutil.which("nvidia-smi")):
        return []
    from dnsearch.cost.device import visible_gpus

    return visible_gpus()
