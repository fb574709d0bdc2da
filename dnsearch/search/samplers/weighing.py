"""What training each of many points is expected to gain, per compute that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis.pareto import Axis, on_axis
from dnsearch.arch.space import Points
from dnsearch.arrays import Floats, Indices
from dnsearch.search.samplers.acquisition import Staircase, screening_rate
from dnsearch.search.samplers.pool import Pool
from dnsearch.search.samplers.surrogate import Surrogate

SCREENED = 300
"""Points, of those with the greatest gain per compute, for which lower rungs are weighed."""

SCREENED_AGAIN = 50
"""The same where nothing has ended since they were weighed, so that such a proposal is cheap."""

_CHUNK = 1000
"""Points whose expected gains are computed at a time."""

CAUTION = 1.1
"""A lower rung must promise so many times the gain per compute of training straight to the top,
since what it is worth is itself only estimated."""


@dataclass(frozen=True)
class Weighed:
    """The points of a pool (n), the epochs that each has behind it, mean and standard deviation of
    its log error, its costs (n, costs) on the axis of the hypervolume, the chance that it ``fits``
    the limits, and the ``rate``: expected gain per compute of training it to the top. ``bound``:
    what the rate is at most, now and once more trainings are believed."""

    pool: Pool
    trained: NDArray[np.float64]
    mean: Floats
    sd: Floats
    costs: Floats
    fits: Floats
    rate: Floats
    bound: Floats

    def and_also(self, other: Weighed) -> Weighed:
        """These points and others, none of which is here."""
        columns = {
            name: np.concatenate([column, getattr(other, name)])
            for name, column in vars(self).items()
            if name != "pool"
        }
        return Weighed(self.pool.and_also(other.pool), **columns)

    def once_more(self, beliefs: Beliefs, places: Indices, top: int) -> Weighed:
        """Those of the points at these places that may be the best by ``beliefs``, which believe
        more than these were weighed by, weighed anew.

        In order of their bounds, until none exceeds what was found, as lazy greedy algorithms do
        (Minoux 1978, doi:10.1007/BFb0006528): a belief leaves the expected errors as they are.
        """
        order = places[np.argsort(-self.bound[places], kind="stable")]
        found: Weighed | None = None
        for start in range(0, len(order), SCREENED):
            part = order[start : start + SCREENED]
            if found is not None and self.bound[part[0]] <= found.rate.max() > 0:
                break
            weighed = beliefs.weigh(self.pool.take(part), self.trained[part], top)
            found = weighed if found is None else found.and_also(weighed)
        assert found is not None
        return found

    def best(self, count: int) -> Points:
        """The points of the greatest rates."""
        return self.pool.points.take(self._order(count))

    def choice(
        self, beliefs: Beliefs, lower: Mapping[int, int], top: int, screened: int = SCREENED
    ) -> tuple[int, int]:
        """The place of the point, and the rung, with the greatest expected gain per compute.
        ``lower`` maps the surrogate's levels to the lower rungs, which are weighed for so many of
        the points."""
        if not self.rate.max() > 0:  # all are expected to be worse: the least so
            return int(np.argmin(self.mean - self.sd)), top
        best, rung, value = int(np.argmax(self.rate)), top, CAUTION * self.rate.max()
        near = self._order(screened)
        for level, epochs in lower.items():
            some = near[(self.trained[near] < epochs) & (self.rate[near] > 0)]
            if not len(some):
                continue
            macs = self.pool.macs[some]
            rates = self.fits[some] * screening_rate(
                beliefs.staircase,
                self.mean[some],
                self.sd[some],
                self.costs[some],
                explained=beliefs.errors.explained(self.pool.features[some], level),
                screen=macs * (epochs - self.trained[some]),
                rest=macs * (top - epochs),
                rate=self.rate.max(),
            )
            if rates.max() > value:
                best, rung, value = int(some[np.argmax(rates)]), epochs, rates.max()
        return best, rung

    def _order(self, count: int) -> Indices:
        return np.argsort(-self.rate, kind="stable")[:count]


@dataclass(frozen=True)
class Beliefs:
    """What the trials so far say: the surrogate of errors, the errors to beat, and what the points
    of a pool cost, (n, costs), with the chance that each meets the limits, (n,)."""

    errors: Surrogate
    staircase: Staircase
    costs: Callable[[Pool], tuple[Floats, Floats]]
    axis: Axis

    def weigh(
        self, pool: Pool, trained: NDArray[np.int64] | NDArray[np.float64], top: int
    ) -> Weighed:
        """``trained`` are the epochs that each point has behind it, ``top`` those of a full
        training."""
        behind = trained.astype(np.float64)
        mean, sd = self.errors.predict(pool.features)
        costs, fits = self.costs(pool)
        costs = on_axis(np.column_stack([mean, costs]), self.axis)[:, 1:]
        weight = fits / (pool.macs * (top - behind))
        rate, bound = greatest(self.staircase, mean, sd, costs, weight)
        # With less doubt a sure gain may be greater, never than that of no doubt.
        sure = self.staircase.bound(mean, np.zeros_like(sd), costs) * weight
        return Weighed(pool, behind, mean, sd, costs, fits, rate, np.maximum(bound, sure))


def greatest(
    staircase: Staircase, mean: Floats, sd: Floats, costs: Floats, weight: Floats
) -> tuple[Floats, Floats]:
    """Expected improvement times weight, (n,), for as many as may be the greatest, 0 for others;
    and an upper bound of it, (n,), which is itself where it is known.

    In order of the bound, until none exceeds what was found: with many points or several costs a
    small part is enough.
    """
    bound = staircase.bound(mean, sd, costs) * weight
    order = np.argsort(-bound, kind="stable")
    rate = np.zeros(len(mean))
    for start in range(0, len(order), _CHUNK):
        part = order[start : start + _CHUNK]
        if bound[part[0]] <= rate.max():
            break
        rate[part] = staircase.improvement(mean[part], sd[part], costs[part]) * weight[part]
        bound[part] = rate[part]
    return rate, bound
