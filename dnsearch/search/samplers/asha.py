"""``MoAshaSampler``: successive halving by non-dominated rank, without waiting for stragglers.

Asynchronous successive halving (Li et al. 2020, arXiv:1810.05934) for several objectives
(Schmucker et al. 2021, arXiv:2106.12639): of the candidates at a rung the best third goes on, best
meaning first by non-dominated rank, then by crowding distance (Deb et al. 2002).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dnsearch.analysis.pareto import nondominated
from dnsearch.arrays import Floats
from dnsearch.search.parameters import RUNG, distributions
from dnsearch.search.problem import Problem
from dnsearch.search.samplers.history import History, Outcome
from dnsearch.search.samplers.rungs import RungSampler
from dnsearch.seeds import derived_seed

REDUCTION = 3
"""One candidate in so many goes on to the next rung."""


class MoAshaSampler(RungSampler):
    """Proposes the promotion that is due at the highest rung, or a new point at the lowest."""

    def __init__(self, problem: Problem, seed: int, history: History) -> None:
        super().__init__(problem.space, problem.rungs, seed, history)
        self.problem = problem

    def choose(self, outcomes: Sequence[Outcome]) -> dict[str, Any] | None:
        """See ``RungSampler``."""
        steps = list(reversed(list(itertools.pairwise(self.rungs))))
        waiting = {step: self._waiting(outcomes, *step) for step in steps}
        for (_, following), (due, _) in waiting.items():
            if due:
                return {**due[0].params, RUNG: following}
        known = {outcome.key for outcome in outcomes}
        rng = np.random.default_rng(derived_seed(self.seed, len(outcomes)))
        points = self.problem.points
        for index in rng.permutation(len(points)):
            values = points.values(int(index))
            params = {name: values[name] for name in distributions(self.space)}
            if tuple(sorted(params.items())) not in known:
                return {**params, RUNG: self.rungs[0]}
        for (_, following), (_, others) in waiting.items():  # no point is new: the next best go on
            if others:
                return {**others[0].params, RUNG: following}
        return None

    def _waiting(
        self, outcomes: Sequence[Outcome], rung: int, following: int
    ) -> tuple[list[Outcome], list[Outcome]]:
        """The candidates at this rung that have not gone on, best first: those whose turn it is,
        being among the best third, and the others. What failed or is too slow is none."""
        too_slow = self.problem.model.is_too_slow
        measured = [o for o in outcomes if rung in o.signals and not too_slow(o.latency_ms)]
        at_rung = list({o.key: o for o in measured}.values())
        if not at_rung:
            return [], []
        gone = {o.key for o in outcomes if o.rung >= following}
        ordered = [at_rung[index] for index in ranked(self._values(at_rung, rung))]
        due = [o for o in ordered[: len(at_rung) // REDUCTION] if o.key not in gone]
        others = [o for o in ordered[len(at_rung) // REDUCTION :] if o.key not in gone]
        return due, others

    def _values(self, outcomes: list[Outcome], rung: int) -> Floats:
        """Error at the rung and the logs of the known costs, (n, 1 + costs)."""
        rows = []
        for outcome in outcomes:
            cost = vars(self.problem.model.cost(self.space.config(outcome.params)))
            known = [name for name in self.problem.costs if name in cost] or ["macs"]
            rows.append([outcome.signals[rung]["error"], *(np.log(cost[n]) for n in known)])
        return np.array(rows)


def ranked(values: ArrayLike) -> list[int]:
    """Positions of the rows (n, objectives), best first: by non-dominated rank, within a rank the
    one with the most room about it first."""
    rows = np.asarray(values, np.float64)
    left = np.arange(len(rows))
    order: list[int] = []
    while len(left):
        front = nondominated(rows[left])
        members = left[front]
        order += map(int, members[np.argsort(-_crowding(rows[members]), kind="stable")])
        left = left[~front]
    return order


def _crowding(front: Floats) -> Floats:
    """Crowding distance of each row of one front: infinite at the ends (Deb et al. 2002)."""
    distance = np.zeros(len(front))
    for column in front.T:
        order = np.argsort(column, kind="stable")
        spread = np.ptp(column) or 1.0
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return distance
