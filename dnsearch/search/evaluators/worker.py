"""What happens inside a worker process: it knows neither Optuna nor the study.

torch is imported and the data loaded once, before the first job.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dnsearch.config import DataConfig, ErrorName, TrainingConfig
from dnsearch.cost.latency import Setting
from dnsearch.errors import ConfigError, DataError
from dnsearch.rundir import confusion_file
from dnsearch.search.evaluators.base import Job
from dnsearch.training.score import CurvePoint, Score


@dataclass(frozen=True)
class WorkerSettings:
    """All that a worker needs to train any job.

    fingerprint: of the data the search began with. latency: how latency is measured; None does not
    measure. test: measure on the test images, too; a search never does. zero_cost: score each
    network at initialisation, too. error: the kind measured.
    """

    data: DataConfig
    fingerprint: str
    recipe: TrainingConfig
    threads: int
    latency: Setting | None
    test: bool = False
    zero_cost: bool = False
    error: ErrorName = "top1"


_state: dict[str, Any] = {}


def initialise(settings: WorkerSettings, device: str, progress: Any) -> None:
    """Called once in each new worker process. ``progress`` is a shared array: slot -> epochs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the coordinator decides what Ctrl-C means
    threading.Thread(target=_follow_parent, daemon=True).start()
    _state.update(settings=settings, device=device, progress=progress)


def _follow_parent() -> None:
    """Ends this process when the coordinator is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def warm_up() -> None:
    """Imports torch and loads the data: a job of its own, so that no time-out counts it."""
    import dnsearch.cost.device
    import dnsearch.training.trainer  # noqa: F401  (both take seconds the first time)
    from dnsearch.data import DeviceData, prepare, prepare_test
    from dnsearch.training.device import set_up

    settings: WorkerSettings = _state["settings"]
    set_up(_state["device"], settings.threads)
    prepared = prepare(settings.data)
    if prepared.fingerprint != settings.fingerprint:
        raise DataError(f"{prepared.name}: the images changed while the search was under way")
    _state["test"] = prepare_test(settings.data) if settings.test else None
    _state["data"] = DeviceData(prepared, _state["device"]), prepared.shape


def train(job: Job, checkpoint: Path, slot: int) -> Score:
    """Trains one job; ``slot`` is where its progress shows.

    What is wrong with the job itself is its failure; what is wrong with the machine, such as a
    full disk, is raised.
    """
    try:
        return _train(job, checkpoint, slot)
    except ConfigError as error:
        return Score(rung=job.rung, seed=job.seed, failure=str(error))


def recipe_of(job: Job, recipe: TrainingConfig) -> TrainingConfig:
    """The study's ``recipe`` as this job trains by it: its own learning rate, if it has one."""
    if job.learning_rate is None:
        return recipe
    return recipe.model_copy(update={"learning_rate": job.learning_rate})


def _train(job: Job, checkpoint: Path, slot: int) -> Score:
    from dnsearch.cost.device import measure_latency
    from dnsearch.training.device import release_memory
    from dnsearch.training.measured import write_confusion
    from dnsearch.training.trainer import Trainer
    from dnsearch.training.zerocost import one_batch, zero_cost_scores

    settings: WorkerSettings = _state["settings"]
    if "data" not in _state:  # warming up failed: now its error has a job to be raised for
        warm_up()
    data, shape = _state["data"]
    if job.images is not None:
        data = data.limited(job.images, np.random.default_rng(job.seed))

    def show(point: CurvePoint) -> None:
        _state["progress"][slot] = point.epoch

    recipe = recipe_of(job, settings.recipe)
    trainer = Trainer(job.arch, data, recipe, job.seed, checkpoint, settings.error)
    score = trainer.train(job.rung, show)
    tests = _state["test"]
    if tests is not None and score.failure is None:
        found = trainer.evaluate(tests)
        write_confusion(found, confusion_file(checkpoint, "test"))
        score = score.tested(found)
    if settings.latency and score.failure is None:
        model = trainer.averaged.model
        latency = measure_latency(model, shape, settings.latency, data.device)
        score = replace(score, latency_ms=latency.ms)
    if settings.zero_cost:
        with contextlib.suppress(RuntimeError):  # no memory for doubles, say: the training stands
            scores = zero_cost_scores(job.arch, *one_batch(data), job.seed)
            score = replace(score, zero_cost=scores)
    release_memory(data.device)
    return score
