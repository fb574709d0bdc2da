"""Candidates an hour on the quickstart study: dnsearch's workers against a plain torchvision step.

    python studies/performance/candidates.py

The same networks are trained to the top rung with the same seeds: in one process with all cores,
torch's modules and torch's own layout; then by `dnsearch run`'s workers as they come. Starting the
processes and reading the data counts. Then the kernels in one process of one thread, to tell what
they bring from what the processes bring.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measure import Record

from dnsearch.arch import ArchConfig
from dnsearch.arch.kernels import Kernels
from dnsearch.config import StudyConfig, load_study
from dnsearch.data import DeviceData, prepare
from dnsearch.rundir import RunDir, cpu_cores
from dnsearch.search.devices import plan_workers
from dnsearch.search.evaluators.base import Job
from dnsearch.search.session import local_workers

COUNT, ROUNDS = 24, 3


def networks(study: StudyConfig) -> list[ArchConfig]:
    """A sample of the study's space, the same every time."""
    space = study.space.build(1, 10)
    points = space.points(np.random.default_rng(0), COUNT)
    return [points.config(i) for i in range(COUNT)]


def in_one_process(study: StudyConfig, kernels: Kernels, threads: int) -> float:
    """Seconds for all networks, one after the other in a process of its own."""
    context = multiprocessing.get_context("spawn")
    started = time.perf_counter()
    process = context.Process(target=_train_all, args=(study, kernels, threads))
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.perf_counter() - started


def _train_all(study: StudyConfig, kernels: Kernels, threads: int) -> None:
    from dnsearch.training.trainer import Trainer

    torch.set_num_threads(threads)
    data = DeviceData(prepare(study.data), "cpu")
    recipe = study.training.model_copy(update={"kernels": kernels})
    for seed, arch in enumerate(networks(study)):
        trainer = Trainer(arch, data, recipe, seed)
        if kernels == "reference":
            for model in (trainer.model, trainer.averaged.model):
                model.to(memory_format=torch.contiguous_format)  # pyright: ignore
        assert trainer.train(recipe.rungs[-1]).failure is None


def by_workers(study: StudyConfig) -> float:
    """Seconds for all networks by the workers of a search."""
    prepared = prepare(study.data)
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder))
        started = time.perf_counter()
        plan = plan_workers(study.search)
        with local_workers(study, prepared, run, plan) as evaluator:
            rung = study.training.rungs[-1]
            jobs = [Job(i, arch, rung, i) for i, arch in enumerate(networks(study))]
            done = 0
            while done < COUNT:
                while jobs and len(evaluator.running()) < evaluator.capacity:
                    evaluator.submit(jobs.pop())
                for _, score in evaluator.completed(1.0):
                    assert score.failure is None, score.failure
                    done += 1
            return time.perf_counter() - started


def main() -> None:
    study = load_study(Path(__file__).parents[1] / "quickstart.toml")
    say = Record("candidates", "python studies/performance/candidates.py")
    cores = cpu_cores()
    ways = {
        f"plain torchvision-style step, 1 process x {cores} threads": lambda: in_one_process(
            study, "reference", cores
        ),
        "plain torchvision-style step, 1 process x 1 thread": lambda: in_one_process(
            study, "reference", 1
        ),
        "dnsearch's kernels, 1 process x 1 thread": lambda: in_one_process(study, "cpu", 1),
        f"dnsearch's workers, {cores} processes x 1 thread": lambda: by_workers(study),
    }
    seconds = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            seconds[name].append(way())
    say(f"{COUNT} networks of the quickstart study to its top rung, medians of {ROUNDS} rounds")
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    plain = next(iter(medians.values()))
    for name, median in medians.items():
        rate = COUNT / median * 3600
        say(f"{name:<56}{median:>7.1f} s{rate:>8,.0f} an hour{plain / median:>7.2f}x")
    times = plain / list(medians.values())[-1]
    say(f"demanded: 2x; {'met' if times >= 2 else 'not met'}")
    say.write()


if __name__ == "__main__":
    os.environ.pop("OMP_WAIT_POLICY", None)
    main()
