"""Candidates an hour on one GPU, by how many train at a time and how they share it.

    python studies/gpu/candidates.py [--count 48] [--streams]

The same networks of the quickstart's space, to its top rung, by the worker processes of a search:
alone, several that take turns on the card, and several that share it through NVIDIA's MPS where
that is installed, as a search does. Times are from the moment when every worker has finished a
first network, so that starting processes does not count; the time of a network's first step, which
compiles kernels that no network before it needed, does. ``--streams``: also steps a second of
several networks whose graphs are replayed on streams of their own in one process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from card import DEVICE, Table, networks

from dnsearch.arch import ArchConfig
from dnsearch.config import StudyConfig, load_study
from dnsearch.data import DeviceData, PreparedData, prepare
from dnsearch.rundir import RunDir
from dnsearch.search.devices import Plan
from dnsearch.search.evaluators import mps
from dnsearch.search.evaluators.base import Job
from dnsearch.search.workers import LocalWorkers
from dnsearch.training.trainer import Trainer

STUDY = Path(__file__).parents[1] / "quickstart.toml"
SHARED = (1, 2, 4, 8)
"""Networks that train at a time."""

KERNELS = ("reference", "triton")
STEPS = 400


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=48, help="networks in each row")
    parser.add_argument("--kernels", default="triton", help="of the rows with several workers")
    parser.add_argument("--streams", action="store_true", help="also several in one process")
    options = parser.parse_args()
    say = Table("candidates")
    study = load_study(STUDY)
    data = prepare(study.data)
    archs = networks(study, options.count + max(SHARED))
    say(f"{'kernels':<12}{'workers':>8}{'shared by':>12}{'an hour':>10}{'ratio':>7}{'error':>8}")
    base = 0.0
    rows = [(kernels, 1, "") for kernels in KERNELS]
    rows += [(options.kernels, workers, "turns") for workers in SHARED[2:3]]
    if mps.available():
        rows += [(options.kernels, workers, "MPS") for workers in SHARED[1:]]
    else:
        say(f"no row with MPS: {mps.CONTROL} is not installed")
    for kernels, workers, how in rows:
        with taking_turns(how == "turns"):
            hour, error = rate(study, data, archs, kernels, workers, options.count)
        base = base or hour
        say(f"{kernels:<12}{workers:>8}{how:>12}{hour:>10,.0f}{hour / base:>7.2f}{error:>8.3f}")
    if options.streams:
        say()
        say("steps a second of several networks in one process, each on a stream of its own")
        found = [streams(study, data, archs[:count], options.kernels) for count in SHARED]
        figures = (
            f"{n}: {r:,.0f} ({r / found[0]:.2f})" for n, r in zip(SHARED, found, strict=True)
        )
        say(f"{options.kernels:<12}{'   '.join(figures)}")


@contextmanager
def taking_turns(wanted: bool) -> Iterator[None]:
    """Keeps dnsearch from starting MPS: the environment names a daemon that is not there."""
    if not wanted:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CUDA_MPS_PIPE_DIRECTORY"] = folder
        try:
            yield
        finally:
            del os.environ["CUDA_MPS_PIPE_DIRECTORY"]


def rate(
    study: StudyConfig,
    data: PreparedData,
    archs: list[ArchConfig],
    kernels: str,
    workers: int,
    count: int,
) -> tuple[float, float]:
    """Networks an hour, and their mean error."""
    recipe = study.training.model_copy(update={"kernels": kernels})
    study = study.model_copy(update={"training": recipe})
    rung = recipe.rungs[-1]
    jobs = [Job(i, arch, rung, i) for i, arch in enumerate(archs[: count + workers])]
    errors: list[float] = []
    started, warm = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(("cuda:0",) * workers, 1)
        with LocalWorkers().evaluator(study, data, RunDir(Path(folder)), plan) as evaluator:
            while jobs or evaluator.running():
                while jobs and len(evaluator.running()) < evaluator.capacity:
                    evaluator.submit(jobs.pop(0))
                for _, score in evaluator.completed(1.0):
                    assert score.error is not None, score.failure
                    errors.append(score.error)
                if not started and len(errors) >= workers:
                    started, warm = time.perf_counter(), len(errors)
            hour = (len(errors) - warm) / (time.perf_counter() - started) * 3600
    return hour, statistics.mean(errors)


def streams(study: StudyConfig, data: PreparedData, archs: list[ArchConfig], kernels: str) -> float:
    """Steps a second of all networks together, each replayed by a thread on its own stream."""
    recipe = study.training.model_copy(update={"kernels": kernels})
    there = DeviceData(data, DEVICE)
    batch = next(iter(there.drawn(recipe.batch_size, torch.Generator(DEVICE))))
    steps = []
    for arch in archs:
        trainer = Trainer(arch, there, recipe, 0)
        trainer.model.train()
        step = trainer.stepper()
        for _ in range(5):
            step(*batch, 0.1)
        steps.append(step)
    torch.cuda.synchronize()

    def replay(step) -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(STEPS):
                step(*batch, 0.1)

    threads = [threading.Thread(target=replay, args=[step]) for step in steps]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.cuda.synchronize()
    return STEPS * len(steps) / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
