"""One network trained by several processes of this machine together: one a GPU, or sharing the
cores.

Each has its part of every batch; what they exchange makes the training that of one process but for
rounding (``Trainer``). The first one saves and tells how far they are. The command itself, which
holds the folder's lock, only watches over them: where one dies the others would wait for it for
ever, so it ends them all. The same command goes on from the last checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_double
from dataclasses import dataclass, replace
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from typing import NamedTuple

import torch
from torch import distributed

from dnsearch.config import TrainingConfig
from dnsearch.errors import ConfigError, DnsearchError, MachineError, one_line
from dnsearch.processes import ENVIRONMENT, Died, Worker, wait_for
from dnsearch.rundir import RunDir
from dnsearch.training.full import FullTraining, Packed, Trained, Watch, begin, train_on
from dnsearch.training.score import CurvePoint, lacked_memory
from dnsearch.training.trainer import SPLIT_STEPS

_ENVIRONMENT = {
    **ENVIRONMENT,
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # what DistributedDataParallel warns of is meant
}
if "lo" in {name for _, name in socket.if_nameindex()}:
    _ENVIRONMENT["GLOO_SOCKET_IFNAME"] = "lo"  # on CPUs they talk within this machine alone

CAUSE_SECONDS = 5.0
"""For which, where one process has failed, it is awaited whether another one died: that is why."""

TELL_SECONDS = 0.2
"""From one note of how far the training is to the next."""


def require_shares(training: FullTraining, devices: Sequence[str]) -> None:
    """Raises ConfigError where these devices, one a process, cannot train together."""
    processes, batch_size = len(devices), training.recipe.batch_size
    if processes == 1:
        return
    gpus = {device for device in devices if device != "cpu"}
    if gpus and len(gpus) < processes:
        raise ConfigError("--gpus", f"must be at most {len(gpus)}, the GPUs there are", processes)
    training.recipe.require_shares(training.recipe.accumulation_steps, processes)
    if len(training.images.train) < batch_size:
        rule = f"must be 1 with fewer training images than training.batch_size, {batch_size}"
        raise ConfigError("--gpus", rule, processes)
    if training.arch.norm == "group" and training.arch.drop_rate:
        rule = "must be 1 for a network of group norms with dropout"
        raise ConfigError("--gpus", rule, processes)


def train_together(
    training: FullTraining, run: RunDir, devices: Sequence[str], threads: int, watch: Watch
) -> Trained | str:
    """As ``train_fully``, by a process on each of the devices, with so many CPU threads each.

    Where memory does not suffice, all begin anew with more accumulation steps, unless the recipe
    says otherwise. Raises MachineError, too, where one of the processes dies.
    """
    begun = begin(training, run, devices, threads)
    progress = RawValue(c_double, 0.0)
    once = iter([lambda: watch.opened(begun(lambda: progress.value))])

    def tell(point: CurvePoint | None) -> None:
        if point is not None:
            watch.epoch(point)
        else:
            next(once, lambda: None)()  # not again for the second attempt

    recipe = training.recipe
    steps, more = recipe.accumulation_steps, _more_steps(recipe, len(devices))
    ended = _attempt(training, run, devices, threads, steps, progress, tell)
    if recipe.out_of_memory == "split" and _no_memory(ended) and more > steps:
        ended = _attempt(training, run, devices, threads, more, progress, tell)
    return ended


def _more_steps(recipe: TrainingConfig, processes: int) -> int:
    """Accumulation steps where memory does not suffice for the recipe's: ``SPLIT_STEPS`` times as
    many, the next number of parts that the processes can share, or the greatest that there is."""
    steps = recipe.accumulation_steps
    possible = [n for n in range(steps, recipe.batch_size) if recipe.can_share(n, processes)]
    return next((n for n in possible if n >= SPLIT_STEPS * steps), possible[-1])


def _attempt(
    training: FullTraining,
    run: RunDir,
    devices: Sequence[str],
    threads: int,
    accumulation_steps: int,
    progress: c_double,
    tell: Callable[[CurvePoint | None], None],
) -> Trained | str:
    """Trains with so many accumulation steps. ``tell`` is called when the training is open, and
    with each point of its curve."""
    init = training.init and training.init.unread()
    task = _Task(replace(training, init=init).packed(), run, threads, accumulation_steps)
    workers: list[Worker] = []
    with _environment(), tempfile.TemporaryDirectory(prefix="dnsearch-") as folder:
        try:
            for rank, device in enumerate(devices):
                place = _Place(rank, len(devices), device, str(Path(folder) / "meeting"))
                workers.append(Worker(_join, (place, _backend(devices), progress), _train))
                workers[rank].give(task)
            return _watched(workers, devices, tell)
        except OSError as error:
            raise MachineError(f"cannot start a process: {one_line(error)}") from error
        finally:
            for worker in workers:
                worker.kill()


def _watched(
    workers: Sequence[Worker],
    devices: Sequence[str],
    tell: Callable[[CurvePoint | None], None],
) -> Trained | str:
    """What the first process found, or why any of them failed. Raises the error of one."""
    while True:
        wait_for(workers, 1.0)
        for rank, worker in enumerate(workers):
            for said in worker.heard():
                if isinstance(said, Died):
                    raise _dead(rank, devices, said)
                if said.kind == "error":
                    raise _cause(said.value, workers, devices)
                if said.kind == "note":
                    tell(said.value)
                elif said.kind == "result" and (rank == 0 or _no_memory(said.value)):
                    return said.value


def _no_memory(ended: Trained | str) -> bool:
    """Of one process alone, for which the others would wait."""
    return isinstance(ended, str) and lacked_memory(ended)


def _dead(rank: int, devices: Sequence[str], died: Died) -> MachineError:
    which = f"process {rank + 1} of {len(devices)}, on {devices[rank]}, died"
    return MachineError(f"{which} (exit code {died.code}); the same command goes on")


def _cause(error: Exception, workers: Sequence[Worker], devices: Sequence[str]) -> Exception:
    """Why one process failed: perhaps because another one died, which ends its connections."""
    if isinstance(error, DnsearchError):
        return error
    until = time.monotonic() + CAUSE_SECONDS
    while time.monotonic() < until:
        for rank, worker in enumerate(workers):
            for said in worker.heard():
                if isinstance(said, Died):
                    return _dead(rank, devices, said)
        time.sleep(0.05)
    if isinstance(error, distributed.DistError):
        return MachineError(f"the processes cannot reach each other: {one_line(error)}")
    return error


def _backend(devices: Sequence[str]) -> str:
    """What the processes talk by: NCCL, where each has a GPU of its own, else gloo."""
    each = "cpu" not in devices and len({*devices}) == len(devices)
    return "nccl" if each else "gloo"


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Within it processes are started with ``_ENVIRONMENT``."""
    added = {name: value for name, value in _ENVIRONMENT.items() if name not in os.environ}
    os.environ |= added
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


# ------------------------------------------------------------------------ within a process


class _Place(NamedTuple):
    """One process of several, and the file by which they find each other."""

    rank: int
    processes: int
    device: str
    meeting: str


@dataclass(frozen=True)
class _Task:
    """What each is to do."""

    packed: Packed
    run: RunDir
    threads: int
    accumulation_steps: int


def _join(place: _Place, backend: str, progress: c_double) -> tuple[_Place, c_double]:
    """Waits until all are there."""
    for told in ("Grad strides do not match", "`broadcast_buffers` is deprecated"):
        warnings.filterwarnings(
            "ignore", message=told
        )  # by DistributedDataParallel; both are meant
    if place.device != "cpu":
        torch.cuda.set_device(place.device)
    meeting = f"file://{place.meeting}"
    distributed.init_process_group(
        backend, init_method=meeting, rank=place.rank, world_size=place.processes
    )
    return place, progress


def _train(
    joined: tuple[_Place, c_double], task: _Task, note: Callable[[CurvePoint | None], None]
) -> Trained | str:
    (rank, processes, device, _), shown = joined

    def opened(progress: Callable[[], float]) -> None:
        if rank == 0:
            shown.value = progress()
            note(None)
            threading.Thread(target=_keep_telling, args=(progress, shown), daemon=True).start()

    def epoch(point: CurvePoint) -> None:
        if rank == 0:
            shown.value = float(point.epoch)
            note(point)

    training = task.packed.training("the images changed while the training began")
    if training.init is not None:
        training = replace(training, init=training.init.read_again(training.arch))
    own = training, task.run, device, task.threads, opened, epoch
    return train_on(*own, (rank, processes), task.accumulation_steps)


def _keep_telling(progress: Callable[[], float], shown: c_double) -> None:
    while True:
        shown.value = progress()
        time.sleep(TELL_SECONDS)
