"""What to train next: known designs first, then what the sampler says, never the same twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import Trial

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.space import Choice, Points, SearchSpace
from dnsearch.config import DESIGNS, SCREENING, SearchConfig
from dnsearch.cost.formula import CostArrays
from dnsearch.search.design import (
    Planned,
    cost_and_size,
    frontier,
    grid,
    scaling,
    stratified,
)
from dnsearch.search.evaluators.base import REFERENCES, SEARCH, Job
from dnsearch.search.feasible import sampled
from dnsearch.search.layout import DUPLICATE, NOT_RECORDED, OVER_LIMIT
from dnsearch.search.parameters import RUNG, suggest
from dnsearch.search.problem import Problem
from dnsearch.search.samplers.by_name import fixed_sampler, sampler_for
from dnsearch.search.samplers.history import History
from dnsearch.search.samplers.known_cost import MOST_KEPT
from dnsearch.search.samplers.rungs import RungSampler
from dnsearch.search.samplers.shapes import GoodShapes
from dnsearch.search.store import StudyStore, counts_for_nothing
from dnsearch.seeds import derived_seed

MOST_REJECTED = 5
"""Proposals in a row that may be known or over a limit before the nearest that is neither is taken:
samplers do not learn from duplicates, so most ask for the same again."""


class _Wanted(NamedTuple):
    """A training to the top that is planned unless there are ``times`` of it, each with its own
    seed; ``images`` as in ``Job``. With ``seed`` and ``rung`` it is one that failed, which is
    planned unless it is there by now."""

    arch: ArchConfig
    times: int
    images: int | None = None
    seed: int | None = None
    rung: int | None = None


class Proposer:
    """Turns the stored trials into the next job; ``start`` are the designs to train first.

    ``make`` gives the sampler of a proposal, from that proposal's own seed, in place of the one
    that ``config`` names.
    """

    def __init__(
        self,
        store: StudyStore,
        problem: Problem,
        config: SearchConfig,
        start: list[ArchConfig],
        make: Callable[[int], optuna.samplers.BaseSampler] | None = None,
    ) -> None:
        self.store, self.problem = store, problem
        self.log = store.logs[SEARCH]
        self.sampler = None if make else config.sampler
        self.replicates, self.seed = config.replicates, config.seed
        self._recorded = {arch.key for arch in problem.points} if problem.closed else set()
        self._rungs = problem.rungs if self.sampler in SCREENING else problem.rungs[-1:]
        self._jobs: dict[str, list[Job]] = {}
        for record in store.records():
            self._note(record.job)
        again = (_Wanted(job.arch, 1, job.images, job.seed, job.rung) for job in store.set_aside())
        known = (_Wanted(arch, self.replicates) for arch in start)
        self._planned = itertools.chain(again, known, self._design(start))
        self._next = next(self._planned, None)
        self._make = make or sampler_for(config.sampler, problem, config.seed, counts_for_nothing)

    @property
    def space(self) -> SearchSpace:
        """The space that is searched."""
        return self.problem.space

    @property
    def feasible(self) -> Points:
        """Its points that meet the limits."""
        return self.problem.points

    def propose(self) -> Job | None:
        """The next job, noted in the store; None where every point has been trained."""
        with self.store.transaction():
            return self._proposed()

    def _proposed(self) -> Job | None:
        while self._next is not None:
            seed = self._seed_due(self._next)
            if seed is not None:
                return self._ask_for(self._next.arch, seed, self._next.images, self._next.rung)
            self._next = next(self._planned, None)
        if self.sampler in DESIGNS:
            return None
        screens = self.sampler in SCREENING
        while screens or self.log.rejected_in_a_row() < MOST_REJECTED:
            ordinal = self.store.asked()
            sampler = self._make(self._seed(ordinal))
            if isinstance(sampler, RungSampler):
                chosen = sampler.choose(sampler.history.of(self.log.study))
                if chosen is None:
                    return None
                sampler = fixed_sampler(chosen, sampler)
            trial, values = self._ask(sampler, self._rungs)
            rung = values.pop(RUNG, self._rungs[-1])
            arch = self.space.config(values)
            model = self.problem.model
            too_small = model.is_too_small_for(arch)
            excess = {} if too_small else model.foreseen_excess(arch)
            if self._trained(arch) >= rung:
                self.log.reject(trial, DUPLICATE)
                if screens:
                    break  # these samplers would say the same again
            elif too_small or any(share > 0 for share in excess.values()):
                for name, share in excess.items():
                    trial.set_constraint(name, share)
                self.log.reject(trial, OVER_LIMIT)
            elif self.problem.closed and arch.key not in self._recorded:
                self.log.reject(trial, NOT_RECORDED)
                break
            else:
                before = self._jobs.get(arch.key)
                seed = before[0].seed if before else self._seed(ordinal)  # a promotion goes on
                return self._accept(trial, Job(trial.number, arch, rung, seed))
        unseen = self._unseen_near(self.log.last_rejected())
        return None if unseen is None else self._ask_for(unseen, self._seed(self.store.asked()))

    def _seed_due(self, wanted: _Wanted) -> int | None:
        """The seed with which it is to be trained; None where nothing is left to train of it."""
        arch, times, images, seed, rung = wanted
        there = [job for job in self._jobs.get(arch.key, ()) if job.images == images]
        if seed is not None:
            return None if any((job.seed, job.rung) == (seed, rung) for job in there) else seed
        seeds = {job.seed for job in there}
        if len(seeds) >= times:
            return None
        # its own seed, whatever else was asked for: a training that was cut off is repeated
        numbered = (
            derived_seed(self.seed, int(arch.key, 16), images or 0, number)
            for number in itertools.count()
        )
        return next(seed for seed in numbered if seed not in seeds)

    def _design(self, start: list[ArchConfig]) -> Iterator[_Wanted]:
        """The trainings of a design, in their order."""
        if self.sampler not in DESIGNS:
            return
        rng = np.random.default_rng(self._seed(0))
        points, known = self.feasible, self.problem.model.of_points(self.feasible)
        plan: Iterator[Planned]
        if self.sampler == "scaling":
            points, known = sampled(points, known, MOST_KEPT, rng)
            plan = self._scaling(points, known, start, rng)
        else:
            if self.sampler == "frontier":
                order = frontier(*cost_and_size(known, self.problem.costs))
            elif self.sampler == "grid":
                order = grid(len(self.feasible), rng)
            else:
                order = stratified(known.macs, rng)
            plan = (Planned(point, times=self.replicates) for point in order)
        for point, share, times in plan:
            images = None if share == 1 else max(1, round(share * self.problem.images))
            yield _Wanted(points.config(point), times, images)

    def _scaling(
        self, points: Points, known: CostArrays, start: list[ArchConfig], rng: np.random.Generator
    ) -> Iterator[Planned]:
        """A scaling design over these points, of which the designs to train first are a part."""
        history = History(self.problem.rungs, counts_for_nothing)
        model, study = self.problem.model, self.log.study
        shapes = GoodShapes(points, known, model, history, study, self.seed)
        first = [values for arch in start if (values := self.space.values_of(arch)) is not None]
        return scaling(known.macs, rng, shapes, shapes.trained(first))

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
        self.log.study.sampler = sampler
        trial = self.log.study.ask()
        return trial, suggest(trial, self.space, rungs)

    def _ask_for(
        self, arch: ArchConfig, seed: int, images: int | None = None, rung: int | None = None
    ) -> Job:
        """A trial of this very architecture, trained to this rung, the top unless given; one
        outside the space goes to the references."""
        ordinal, rung = self.store.asked(), rung or self._rungs[-1]
        values = self.space.values_of(arch)
        if values is None:
            trial = self.store.logs[REFERENCES].study.ask()
            return self._accept(trial, Job(trial.number, arch, rung, seed, REFERENCES))
        fixed = fixed_sampler({**values, RUNG: rung}, self._make(self._seed(ordinal)))
        trial, _ = self._ask(fixed, self._rungs)
        return self._accept(trial, Job(trial.number, arch, rung, seed, images=images))

    def _accept(self, trial: Trial, job: Job) -> Job:
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
