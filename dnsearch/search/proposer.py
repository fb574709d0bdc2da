"""What to train next: known designs first, then what the sampler says, never the same twice."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import optuna
from optuna.trial import Trial

from dnsearch.arch.config import ArchConfig
from dnsearch.arch.space import Choice, Points, SearchSpace
from dnsearch.config import DESIGNS
from dnsearch.search.design import grid, stratified
from dnsearch.search.evaluators.base import Job
from dnsearch.search.feasible import CostModel
from dnsearch.search.samplers import fixed_sampler, make_sampler, suggest
from dnsearch.search.study import DUPLICATE, OVER_LIMIT, StudyStore
from dnsearch.seeds import derived_seed

MOST_REJECTED = 5
"""Proposals in a row that may be known or over a limit before the nearest that is neither is taken:
samplers do not learn from duplicates, so most ask for the same again."""


class Proposer:
    """Turns the stored trials into the next job; ``start`` are the designs to train first."""

    def __init__(
        self,
        store: StudyStore,
        feasible: Points,
        model: CostModel,
        sampler: str,
        rung: int,
        seed: int,
        start: list[ArchConfig],
        replicates: int = 1,
    ) -> None:
        self.store, self.feasible, self.model = store, feasible, model
        self.sampler, self.rung, self.seed = sampler, rung, seed
        self.replicates = replicates
        self.seen = Counter(record.job.arch.key for record in store.records())
        self._planned = itertools.chain(start, self._design())
        self._next = next(self._planned, None)

    @property
    def space(self) -> SearchSpace:
        return self.feasible.space

    def propose(self) -> Job | None:
        """The next job, noted in the store; None where every point has been trained."""
        while self._next is not None:
            if self.seen[self._next.key] < self.replicates:
                return self._ask_for(self._next)
            self._next = next(self._planned, None)
        if self.sampler in DESIGNS:
            return None
        while self.store.rejected_in_a_row() < MOST_REJECTED:
            ordinal = self.store.asked()
            trial, values = self._ask(make_sampler(self.sampler, self._seed(ordinal)))
            arch = self.space.config(values)
            excess = self.model.excess(arch)
            if arch.key in self.seen:
                self.store.reject(trial, DUPLICATE)
            elif any(share > 0 for share in excess.values()):
                for name, share in excess.items():
                    trial.set_constraint(name, share)
                self.store.reject(trial, OVER_LIMIT)
            else:
                return self._accept(trial, arch, ordinal)
        unseen = self._unseen_near(self.store.last_rejected())
        return None if unseen is None else self._ask_for(unseen)

    def _design(self) -> Iterator[ArchConfig]:
        """The architectures of a fixed design, in their order."""
        rng = np.random.default_rng(self._seed(0))
        order: Iterator[int] = iter(())
        if self.sampler == "grid":
            order = grid(len(self.feasible), rng)
        elif self.sampler == "stratified":
            order = stratified(self.model.of_points(self.feasible).macs, rng)
        return map(self.feasible.config, order)

    def _seed(self, ordinal: int) -> int:
        return derived_seed(self.seed, ordinal)

    def _ask(self, sampler: optuna.samplers.BaseSampler) -> tuple[Trial, dict[str, Choice]]:
        study = self.store.search
        study.sampler = sampler
        trial = study.ask()
        return trial, suggest(trial, self.space)

    def _ask_for(self, arch: ArchConfig) -> Job:
        """A trial of this very architecture; one outside the space goes to the references."""
        ordinal = self.store.asked()
        values = self.space.values_of(arch)
        if values is None:
            return self._accept(self.store.references.ask(), arch, ordinal, reference=True)
        trial, _ = self._ask(fixed_sampler(values))
        return self._accept(trial, arch, ordinal)

    def _accept(self, trial: Trial, arch: ArchConfig, ordinal: int, reference: bool = False) -> Job:
        job = Job(trial.number, arch, self.rung, self._seed(ordinal), reference)
        self.store.accept(trial, job)
        self.seen[arch.key] += 1
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
            if arch.key not in self.seen:
                return arch
        return None
