"""Candidates an hour on the quickstart study: dnsearch's workers against a plain torchvision step.

    python studies/performance/candidates.py

The same networks are trained to the top rung with the same seeds: in one process with all cores,
torch's modules and torch's own layout; then by `dnsearch run`'s workers as they come. Starting
processes and reading the data counts, for all. The row between tells what the kernels bring from
what the processes bring. Mean errors stand beside, to show that the same was trained.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from measure import Record, networks

from dnsearch.arch import DenseNet
from dnsearch.config import StudyConfig, load_study
from dnsearch.data import DeviceData, prepare
from dnsearch.machine import cpu_cores
from dnsearch.rundir import RunDir
from dnsearch.search.devices import plan_workers
from dnsearch.search.evaluators.base import Job
from dnsearch.search.workers import LocalWorkers
from dnsearch.training.device import set_up

COUNT, ROUNDS = 6, 2
DEMANDED = 2.0


def in_one_process(study: StudyConfig, plain: bool, threads: int) -> list[float]:
    """Errors of all networks, trained one after the other in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_train_all, study, plain, threads).result()


def _train_all(study: StudyConfig, plain: bool, threads: int) -> list[float]:
    from dnsearch.training.trainer import Trainer

    if plain:
        torch.set_num_threads(threads)
    else:
        set_up("cpu", threads)
    data, recipe = DeviceData(prepare(study.data), "cpu"), study.training
    errors = []
    for seed, arch in enumerate(networks(study, COUNT)):
        ours = as_torch_has_it if plain else DenseNet.use_kernels
        with patch.object(DenseNet, "use_kernels", ours):
            trainer = Trainer(arch, data, recipe, seed)
        errors.append(trainer.train(recipe.rungs[-1]).error)
    return errors


def as_torch_has_it(model: DenseNet, *_: object) -> DenseNet:
    """Plain modules in torch's own layout."""
    return model


def by_workers(study: StudyConfig) -> list[float]:
    """Errors of all networks, trained by the workers of a search."""
    plan, errors = plan_workers(study.search), dict.fromkeys(range(COUNT), 0.0)
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalWorkers().evaluator(
            study, prepare(study.data), RunDir(Path(folder)), plan
        ) as evaluator,
    ):
        rung = study.training.rungs[-1]
        jobs = [Job(i, arch, rung, i) for i, arch in enumerate(networks(study, COUNT))]
        done = 0
        while done < COUNT:
            while jobs and len(evaluator.running()) < evaluator.capacity:
                evaluator.submit(jobs.pop(0))
            for job, score in evaluator.completed(1.0):
                assert score.error is not None, score.failure
                errors[job.trial] = score.error
                done += 1
    return list(errors.values())


def main() -> None:
    """Measures and prints."""
    study = load_study(Path(__file__).parents[1] / "quickstart.toml")
    say = Record("candidates", "python studies/performance/candidates.py")
    cores = cpu_cores()
    ways: dict[str, Callable[[], list[float]]] = {
        f"plain torchvision-style step, 1 process x {cores} threads": lambda: in_one_process(
            study, True, cores
        ),
        f"dnsearch's kernels, 1 process x {cores} threads": lambda: in_one_process(
            study, False, cores
        ),
        f"dnsearch's workers, {cores} processes x 1 thread": lambda: by_workers(study),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    errors = {}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            started = time.perf_counter()
            errors[name] = np.mean(way())
            seconds[name].append(time.perf_counter() - started)
    say(f"{COUNT} networks of the quickstart study to its top rung, medians of {ROUNDS} rounds")
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    plain = next(iter(medians.values()))
    for name, median in medians.items():
        say(
            f"{name:<56}{median:>7.1f} s{COUNT / median * 3600:>8,.0f} an hour"
            f"{plain / median:>7.2f}x   mean error {100 * errors[name]:.2f} %"
        )
    times = plain / list(medians.values())[-1]
    say(f"demanded: {DEMANDED:g}x; {'met' if times >= DEMANDED else 'not met'}")
    say.write()


if __name__ == "__main__":
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        os.environ.pop(name, None)
    main()
