"""What to train next: known designs first, then what the sampler says, never the same twice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.trial import Trial

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.space import Choice, Points, SearchSpace
from dnsearch.config import DESIGNS, SCREENING, SearchConfig
from dnsearch.search.design import grid, stratified
from dnsearch.search.evaluators.base import Job
from dnsearch.search.parameters import RUNG, suggest
from dnsearch.search.problem import Problem
from dnsearch.search.samplers import fixed_sampler, sampler_for
from dnsearch.search.study import (
    DUPLICATE,
    NOT_RECORDED,
    OVER_LIMIT,
    StudyStore,
    counts_for_nothing,
)
from dnsearch.seeds import derived_seed

MOST_REJECTED = 5
"""Proposals in a row that may be known or over a limit before the nearest that is neither is taken:
samplers do not learn from duplicates, so most ask for the same again."""


class Proposer:
    """Turns the stored trials into the next job; ``start`` are the designs to train first."""

    def __init__(
        self,
        store: StudyStore,
        problem: Problem,
        config: SearchConfig,
        start: list[ArchConfig],
    ) -> None:
        self.store, self.problem = store, problem
        self.sampler, self.replicates, self.seed = config.sampler, config.replicates, config.seed
        self._recorded = {arch.key for arch in problem.points} if problem.closed else set()
        self._rungs = problem.rungs if config.sampler in SCREENING else problem.rungs[-1:]
        self._jobs: dict[str, list[Job]] = {}
        for record in store.records():
            self._note(record.job)
        self._planned = itertools.chain(start, self._design())
        self._next = next(self._planned, None)
        self._make = sampler_for(config.sampler, problem, config.seed, counts_for_nothing)

    @property
    def space(self) -> SearchSpace:
        return self.problem.space

    @property
    def feasible(self) -> Points:
        return self.problem.points

    def propose(self) -> Job | None:
        """The next job, noted in the store; None where every point has been trained."""
        while self._next is not None:
            if len(self._jobs.get(self._next.key, ())) < self.replicates:
                return self._ask_for(self._next)
            self._next = next(self._planned, None)
        if self.sampler in DESIGNS:
            return None
        screens = self.sampler in SCREENING
        while screens or self.store.rejected_in_a_row() < MOST_REJECTED:
            ordinal = self.store.asked()
            trial, values = self._ask(self._make(self._seed(ordinal)), self._rungs)
            rung = values.pop(RUNG, self._rungs[-1])
            arch = self.space.config(values)
            excess = self.problem.model.excess(arch)
            if self._trained(arch) >= rung:
                self.store.reject(trial, DUPLICATE)
                if screens:
                    break  # these samplers repeat themselves only where nothing is left
            elif any(share > 0 for share in excess.values()):
                for name, share in excess.items():
                    trial.set_constraint(name, share)
                self.store.reject(trial, OVER_LIMIT)
            elif self.problem.closed and arch.key not in self._recorded:
                self.store.reject(trial, NOT_RECORDED)
                break
            else:
                return self._accept(trial, arch, rung, ordinal)
        unseen = self._unseen_near(self.store.last_rejected())
        return None if unseen is None else self._ask_for(unseen)

    def _design(self) -> Iterator[ArchConfig]:
        """The architectures of a fixed design, in their order."""
        rng = np.random.default_rng(self._seed(0))
        order: Iterator[int] = iter(())
        if self.sampler == "grid":
            order = grid(len(self.feasible), rng)
        elif self.sampler == "stratified":
            order = stratified(self.problem.model.of_points(self.feasible).macs, rng)
        return map(self.feasible.config, order)

    def _seed(self, ordinal: int) -> int:
        return derived_seed(self.seed, ordinal)

    def _trained(self, arch: ArchConfig) -> int:
        """The highest rung that the architecture was or is being trained to; 0 if none."""
        return max((job.rung for job in self._jobs.get(arch.key, ())), default=0)

    def _note(self, job: Job) -> None:
        self._jobs.setdefault(job.arch.key, []).append(job)

    def _ask(
        self, sampler: optuna.samplers.BaseSampler, rungs: tuple[int, ...]
    ) -> tuple[Trial, dict[str, Any]]:
        study = self.store.search
        study.sampler = sampler
        trial = study.ask()
        return trial, suggest(trial, self.space, rungs)

    def _ask_for(self, arch: ArchConfig) -> Job:
        """A trial of this very architecture, trained to the top; one outside the space goes to the
        references."""
        ordinal, top = self.store.asked(), self._rungs[-1]
        values = self.space.values_of(arch)
        if values is None:
            return self._accept(self.store.references.ask(), arch, top, ordinal, reference=True)
        fixed = fixed_sampler({**values, RUNG: top}, self._make(self._seed(ordinal)))
        trial, _ = self._ask(fixed, self._rungs)
        return self._accept(trial, arch, top, ordinal)

    def _accept(
        self, trial: Trial, arch: ArchConfig, rung: int, ordinal: int, reference: bool = False
    ) -> Job:
        seed = self._seed(ordinal)
        if self.replicates == 1 and arch.key in self._jobs:
            seed = self._jobs[arch.key][0].seed  # a promotion goes on with the same training
        job = Job(trial.number, arch, rung, seed, reference)
        self.store.accept(trial, job)
        self._note(job)
        return job

    def _unseen_near(self, rejected: Mapping[str, Choice]) -> ArchConfig | None:
        """The feasible point not trained yet that is most like the rejected proposal, since that
        is where the sampler wanted to go; for random search any, with equal chance."""
        rng = np.random.default_rng(self._seed(self.store.asked()))
        order = rng.permutation(len(self.feasible))
        if self.sampler != "random":
            distance = self.feasible.distance(rejected)
            order = order[np.argsort(distance[order], kind="stable")]
        for index in order:
            arch = self.feasible.config(int(index))
            if arch.key not in self._jobs:
                return arch
        return None
