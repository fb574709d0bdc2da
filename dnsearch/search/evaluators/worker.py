"""What happens inside a worker process: it knows neither Optuna nor the study.

torch is imported and the data loaded once, with the first job.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dnsearch.config import DataConfig, TrainingConfig
from dnsearch.search.evaluators.base import Job
from dnsearch.training.score import CurvePoint, Score


@dataclass(frozen=True)
class WorkerSettings:
    """All that a worker needs to train any job.

    latency_batch: images a forward pass when latency is measured; None does not measure.
    """

    data: DataConfig
    recipe: TrainingConfig
    device: str
    threads: int
    latency_batch: int | None


_state: dict[str, Any] = {}


def initialise(settings: WorkerSettings, progress: Any) -> None:
    """Called once in each new worker process. ``progress`` is a shared array: slot -> epochs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides what Ctrl-C means
    threading.Thread(target=_follow_parent, daemon=True).start()
    _state.update(settings=settings, progress=progress, data=None)


def _follow_parent() -> None:
    """Ends this process when the coordinator is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def train(job: Job, checkpoint: Path, slot: int) -> Score:
    """Trains one job; ``slot`` is where its progress shows. A defect of one candidate is its
    failure: it must end neither the worker nor the search."""
    try:
        return _train(job, checkpoint, slot)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        return Score(rung=job.rung, seed=job.seed, failure=reason)


def _train(job: Job, checkpoint: Path, slot: int) -> Score:
    import torch

    from dnsearch.cost.device import measure_latency
    from dnsearch.training.trainer import Trainer

    settings: WorkerSettings = _state["settings"]
    if _state["data"] is None:
        _state["data"] = _load(settings)
    data, shape = _state["data"]

    def show(point: CurvePoint) -> None:
        _state["progress"][slot] = point.epoch

    trainer = Trainer(job.arch, data, settings.recipe, job.seed, checkpoint)
    score = trainer.train(job.rung, show)
    if settings.latency_batch and score.failure is None:
        model = trainer.averaged.model
        latency = measure_latency(model, shape, settings.latency_batch, data.device)
        score = replace(score, latency_ms=latency.ms)
    if data.device.type == "cuda":
        torch.cuda.empty_cache()
    return score


def _load(settings: WorkerSettings) -> tuple[Any, tuple[int, int, int]]:
    import torch

    from dnsearch.data import DeviceData, prepare

    torch.set_num_threads(settings.threads)
    torch.backends.cudnn.deterministic = True  # same seed, same figures
    prepared = prepare(settings.data)
    return DeviceData(prepared, settings.device), prepared.shape
