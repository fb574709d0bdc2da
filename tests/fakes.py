"""A search without training: scores come from a formula, in the order the test wants."""

from __future__ import annotations

import time
from collections import deque

import numpy as np

from dnsearch.config import LimitsConfig, SearchConfig, parse_study
from dnsearch.rundir import RunDir
from dnsearch.search.engine import Engine
from dnsearch.search.evaluators.base import SEARCH, Job, Running
from dnsearch.search.feasible import CostModel, feasible_points, require_within_limits
from dnsearch.search.problem import Problem
from dnsearch.search.proposer import Proposer
from dnsearch.search.stopping import stopping_rule
from dnsearch.search.store import StudyStore
from dnsearch.search.workers import LocalWorkers
from dnsearch.training.score import Score

SPACE = """
[space]
growth_rate = [2, 4, 6]
block_config = [[1, 2, 3], [1, 2]]
bn_size = [0, 2]
"""


def fake_score(job: Job) -> Score:
    """Better when larger, with a little noise of the seed."""
    growth = np.mean(job.arch.growth_rates)
    error = 0.5 / (1 + job.arch.depth * growth / 50) + job.seed % 100 / 1e5
    return Score(job.rung, job.seed, error, 2 * error, 3 * error, seconds=1.0)


class FakeEvaluator:
    """Completes the job submitted first as soon as it is waited for; ``score`` may be replaced."""

    def __init__(self, capacity: int = 1, score=fake_score) -> None:
        self.capacity, self.score = capacity, score
        self.jobs: deque[Job] = deque()
        self.submitted: list[Job] = []

    def submit(self, job: Job) -> None:
        self.jobs.append(job)
        self.submitted.append(job)

    def completed(self, timeout: float) -> list[tuple[Job, Score]]:
        if not timeout:
            return []
        job = self.jobs.popleft()
        return [(job, self.score(job))]

    def running(self) -> list[Running]:
        return [Running(job, 0, 0.0) for job in self.jobs]

    def notes(self) -> list[str]:
        return []

    def close(self) -> None:
        self.jobs.clear()


class FakeWorkers(LocalWorkers):
    """Plans for this machine; trains with an evaluator that ``make`` makes, as a context."""

    def __init__(self, make) -> None:
        self.make = make

    def evaluator(self, study, data, run, plan, test=False):
        return self.make(study, data, run, plan)


class Search:
    """One session over a folder, put together as ``session.search`` does."""

    def __init__(
        self, folder, evaluator=None, space=SPACE, limits=None, costs=("macs",), rungs=(3,),
        clock=time.monotonic, error=Problem.error, **search,
    ):  # fmt: skip
        self.config = SearchConfig(**{"sampler": "random", "trials": 12} | search)
        study = parse_study(space)
        self.space = study.space.build(1, 4)
        self.model = CostModel((1, 8, 8), 16, 4, LimitsConfig(**limits or {}))
        self.points, self.costs = feasible_points(self.space, self.model, np.random.default_rng(0))
        folder.mkdir(exist_ok=True)
        problem = Problem(self.points, self.model, costs, rungs, "log", {}, 1000, error=error)
        self.store = StudyStore(RunDir(folder), problem.objectives)
        self.store.recover()
        start = study.model_copy(update={"search": self.config}).start_configs(self.space)
        require_within_limits(start, self.model)
        self.proposer = Proposer(self.store, problem, self.config, start)
        self.evaluator = evaluator or FakeEvaluator()
        enough = stopping_rule(self.store, problem, self.config, 4000)
        self.engine = Engine(
            self.store, self.proposer, self.evaluator, problem, self.config, clock, enough=enough
        )
        self.progress = []

    def run(self) -> str:
        return self.engine.run(self.progress.append)

    @property
    def study(self):
        """The candidates' Optuna study."""
        return self.store.logs[SEARCH].study

    @property
    def records(self):
        return self.store.records()

    @property
    def story(self):
        """What was trained with which seed, and what came out."""
        return [(r.job.arch.key, r.job.seed, r.score.error) for r in self.records]
