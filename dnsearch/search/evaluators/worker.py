"""What happens inside a worker process: it knows neither Optuna nor the study.

torch is imported and the data loaded once, before the first job.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dnsearch.config import DataConfig, ErrorName, TrainingConfig
from dnsearch.cost.latency import Setting
from dnsearch.errors import ConfigError, DataError
from dnsearch.rundir import confusion_file
from dnsearch.search.devices import Plan
from dnsearch.search.evaluators.base import Job
from dnsearch.training.score import CurvePoint, Score

if TYPE_CHECKING:  # torch, which the coordinator does without
    from dnsearch.data import DeviceData, LabelledImages, PreparedData


@dataclass(frozen=True)
class WorkerSettings:
    """All that a worker needs to train any job.

    fingerprint: of the data the search began with. latency: how latency is measured; None does not
    measure. test: measure on the test images, too; a search never does. zero_cost: score each
    network at initialisation, too. error: the kind measured. most_latency_ms: the limit.
    """

    data: DataConfig
    fingerprint: str
    recipe: TrainingConfig
    threads: int
    latency: Setting | None
    test: bool = False
    zero_cost: bool = False
    error: ErrorName = "top1"
    most_latency_ms: float | None = None


@dataclass(frozen=True)
class Ready:
    """What a worker trains jobs with: its images on its device, of this shape, and the test images
    where it is to measure on them."""

    settings: WorkerSettings
    data: DeviceData
    shape: tuple[int, int, int]
    test: LabelledImages | None


class Images(NamedTuple):
    """All that a worker is shown: images to train and validate on, and to test on if it is to."""

    prepared: PreparedData
    test: LabelledImages | None


def images_of(settings: WorkerSettings) -> Images:
    """Those of the settings, from the cache or from their files. Raises DataError where they have
    changed since the search began."""
    from dnsearch.data import prepare, prepare_test

    prepared = prepare(settings.data)
    if prepared.fingerprint != settings.fingerprint:
        raise DataError(f"{prepared.name}: the images changed while the search was under way")
    return Images(prepared, prepare_test(settings.data) if settings.test else None)


def warm_up(settings: WorkerSettings, device: str, images: Images | None = None) -> Ready:
    """Imports torch, compiles the kernels where this machine has none yet, and loads the data,
    unless it is given ``images``, once in each new process, before the time of its first job
    begins."""
    import dnsearch.cost.device
    import dnsearch.training.trainer  # noqa: F401  (both take seconds the first time)
    from dnsearch.data import DeviceData
    from dnsearch.training.device import set_up

    set_up(device, settings.threads)
    Plan((device,), settings.threads).compile_kernels(settings.recipe)
    prepared, test = images or images_of(settings)
    return Ready(settings, DeviceData(prepared, device, settings.data.keep), prepared.shape, test)


def train(ready: Ready, job: Job, checkpoint: Path, note: Callable[[float], None]) -> Score:
    """Trains one job; ``note`` is told of each epoch that is done.

    What is wrong with the job itself is its failure; what is wrong with the machine, such as a
    full disk, is raised.
    """
    try:
        return _train(ready, job, checkpoint, note)
    except ConfigError as error:
        return Score(rung=job.rung, seed=job.seed, failure=str(error))


def recipe_of(job: Job, recipe: TrainingConfig) -> TrainingConfig:
    """The study's ``recipe`` as this job trains by it: its own learning rate, if it has one."""
    if job.learning_rate is None:
        return recipe
    return recipe.model_copy(update={"learning_rate": job.learning_rate})


def _train(ready: Ready, job: Job, checkpoint: Path, note: Callable[[float], None]) -> Score:
    from dnsearch.cost.device import measure_latency
    from dnsearch.training.device import release_memory
    from dnsearch.training.measured import write_confusion
    from dnsearch.training.trainer import Trainer
    from dnsearch.training.zerocost import one_batch, zero_cost_scores

    settings, data, shape = ready.settings, ready.data, ready.shape
    if job.images is not None:
        data = data.limited(job.images, np.random.default_rng(job.seed))

    def show(point: CurvePoint) -> None:
        note(point.epoch)

    recipe = recipe_of(job, settings.recipe)
    trainer = Trainer(job.arch, data, recipe, job.seed, checkpoint, settings.error)
    score = trainer.train(job.rung, show)
    if ready.test is not None and score.failure is None:
        found = trainer.evaluate(ready.test)
        write_confusion(found, confusion_file(checkpoint, "test"))
        score = score.tested(found)
    if settings.latency and score.failure is None:
        model = trainer.averaged.model
        latency = measure_latency(
            model, shape, settings.latency, data.device, most_ms=settings.most_latency_ms
        )
        score = replace(score, latency_ms=latency.ms, latency_unsteady=latency.unsteady)
    if settings.zero_cost:
        with contextlib.suppress(RuntimeError):  # no memory for doubles, say: the training stands
            scores = zero_cost_scores(job.arch, *one_batch(data), job.seed)
            score = replace(score, zero_cost=scores)
    release_memory(data.device)
    return score
