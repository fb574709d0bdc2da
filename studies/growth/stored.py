"""How busy a search keeps hundreds of workers that stores what it proposes and hears, in real time.

Workers are pretended: each takes 10 s give or take a fifth for whatever it is given, and gives an
invented score. All else is real: known-cost proposes from 50,000 points, Optuna's storage is a file
in a run's folder, and the clock is the wall's. The share of time that workers spent training, after
the first ten seconds; and how much of the time went into proposing and telling, storing included.

    OMP_NUM_THREADS=1 python studies/growth/stored.py [SECONDS]
"""

from __future__ import annotations

import heapq
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from proposal import POINTS, outcome, space_of

from dnsearch.config import SearchConfig
from dnsearch.rundir import RunDir
from dnsearch.search import CostModel
from dnsearch.search.engine import Engine
from dnsearch.search.evaluators.base import Ending, Job, Running
from dnsearch.search.problem import Problem
from dnsearch.search.proposer import Proposer
from dnsearch.search.store import StudyStore
from dnsearch.training.score import CurvePoint, Score

WORKERS, SECONDS, LONG = (16, 64, 256), 60.0, 10.0
RUNGS = (9,)


class Pretended:
    """So many workers, each of which takes about ``LONG`` seconds. ``trained``: when each job
    began, and when it ends."""

    def __init__(self, capacity: int, model: CostModel) -> None:
        self.capacity, self.model, self.rng = capacity, model, np.random.default_rng(0)
        self.trained: list[tuple[float, float]] = []
        self._ends: list[tuple[float, int, Job]] = []

    def submit(self, job: Job) -> None:
        """Starts a job."""
        now = time.monotonic()
        until = now + LONG * self.rng.uniform(0.8, 1.2)
        self.trained.append((now, until))
        heapq.heappush(self._ends, (until, job.trial, job))

    def completed(self, timeout: float) -> Sequence[tuple[Job, Ending]]:
        """Those whose time is over."""
        if self._ends and timeout:
            time.sleep(max(0.0, min(timeout, self._ends[0][0] - time.monotonic())))
        found: list[tuple[Job, Ending]] = []
        while self._ends and self._ends[0][0] <= time.monotonic():
            *_, job = heapq.heappop(self._ends)
            found.append((job, self._score(job)))
        return found

    def _score(self, job: Job) -> Score:
        values = space_of().values_of(job.arch)
        assert values is not None
        signals = outcome(self.model, job.trial, values, tops=True).signals
        curve = tuple(
            CurvePoint(rung, told["loss"], told["error"], told["train_loss"])
            for rung, told in signals.items()
        )
        last = signals[RUNGS[-1]]
        return Score(job.rung, job.seed, last["error"], last["loss"], 1.0, curve, seconds=LONG)

    def running(self) -> Sequence[Running]:
        """All that has been submitted and not told."""
        return [Running(job, 0.0, 0.0) for *_, job in self._ends]

    def notes(self) -> Sequence[str]:
        """None."""
        return ()


def main(seconds: float = SECONDS, counts: Sequence[int] = WORKERS) -> None:
    """Measures and prints."""
    for workers in counts:
        for name in ("file", "memory"):
            print(f"{workers:>5} workers, storage in a {name:<7}{searched(workers, name, seconds)}")


def searched(workers: int, name: str, seconds: float) -> str:
    """Of one search, in words."""
    model, rng = CostModel((3, 32, 32)), np.random.default_rng(0)
    points = space_of().points(rng)
    points = points.take(np.sort(rng.permutation(len(points))[:POINTS]))
    problem = Problem(points, model, ("macs",), RUNGS, "log", {}, 40_000)
    config = SearchConfig(sampler="known-cost", trials=100_000, time=seconds)
    spent = {"proposing": 0.0, "telling": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        run = RunDir(Path(folder)) if name == "file" else None
        store = StudyStore(run, problem.objectives)
        proposer = Proposer(store, problem, config, [])
        evaluator = Pretended(workers, model)
        engine = Engine(store, proposer, evaluator, problem, config)
        _timed(proposer, "propose", spent, "proposing")
        _timed(store, "tell", spent, "telling")

        began = time.monotonic()
        engine.run(lambda _: store.records())  # as a search does when trainings have ended
        stopped = time.monotonic()
        store.close()
    began += LONG  # by when all have had something to do
    busy = sum(max(0.0, min(b, stopped) - max(a, began)) for a, b in evaluator.trained)
    ended = sum(began < end <= stopped for _, end in evaluator.trained)
    shares = ", ".join(f"{100 * each / seconds:.0f} % {what}" for what, each in spent.items())
    return (
        f"{100 * busy / workers / (stopped - began):4.0f} % busy, "
        f"{ended / (stopped - began):5.1f} ended a second; {shares}"
    )


def _timed(owner: object, method: str, spent: dict[str, float], name: str) -> None:
    once = getattr(owner, method)

    def timed(*arguments):
        began = time.perf_counter()
        try:
            return once(*arguments)
        finally:
            spent[name] += time.perf_counter() - began

    setattr(owner, method, timed)


if __name__ == "__main__":
    main(*(float(each) for each in sys.argv[1:2]))
