"""What training each of many points is expected to gain, per compute that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis.pareto import Axis, on_axis
from dnsearch.arch.space import Points
from dnsearch.arrays import Floats, Indices
from dnsearch.search.samplers.acquisition import Staircase, screening_rate
from dnsearch.search.samplers.pool import Pool
from dnsearch.search.samplers.surrogate import Narrowing, Surrogate

SCREENED = 100
"""Points, of those with the greatest gain per compute, for which lower rungs are weighed."""

SCREENED_AGAIN = 50
"""The same of further choices from one weighing, which are to be cheap; and points that are looked
at again at a time, before there are more."""

_CHUNK = 1000
"""Points whose expected gains are computed at a time."""

_SOLVED = 100
"""The same for their exact standard deviations, each of which takes the square of the rows."""

CAUTION = 1.1
"""A lower rung must promise so many times the gain per compute of training straight to the top,
since what it is worth is itself only estimated."""

Params = Mapping[str, Any]
"""A point's choices by dimension."""


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

    def take(self, places: Indices) -> Weighed:
        """These of the points."""
        columns = {n: column[places] for n, column in vars(self).items() if n != "pool"}
        return Weighed(self.pool.take(places), **columns)

    def best(self, count: int) -> Points:
        """The points of the greatest rates."""
        return self.pool.points.take(self._order(count))

    def choice(
        self, staircase: Staircase, screening: Screening, screened: int = SCREENED
    ) -> tuple[int, int]:
        """The place of the point, and the rung, with the greatest expected gain per compute. Lower
        rungs are weighed for so many of the points."""
        if not self.rate.max() > 0:  # all are expected to be worse: the least so
            return int(np.argmin(self.mean - self.sd)), screening.top
        best, rung, value = int(np.argmax(self.rate)), screening.top, CAUTION * self.rate.max()
        near = self._order(screened)
        for level, epochs in screening.lower.items():
            some = near[(self.trained[near] < epochs) & (self.rate[near] > 0)]
            some, rates = screening.rates(self, staircase, some, level, value)
            if len(some) and rates.max() > value:
                best, rung, value = int(some[np.argmax(rates)]), epochs, rates.max()
        return best, rung

    def _order(self, count: int) -> Indices:
        return np.argsort(-self.rate, kind="stable")[:count]


class Screening:
    """What training points to a lower rung first promises, as long as they keep their places.

    lower: the rungs by the levels of the surrogate, below ``top``. known: what its rows tell of
    points with these features. What is computed once is kept: what share of what is unknown a
    result would tell, and what is promised at most, since more beliefs lower gains. Those that
    promise too little are not looked at again.
    """

    def __init__(
        self,
        errors: Surrogate,
        lower: Mapping[int, int],
        top: int,
        known: Callable[[Floats], Floats] | None = None,
    ) -> None:
        self.lower, self.top = lower, top
        self._errors, self._known = errors, known or errors.known
        self._explained: dict[int, dict[int, float]] = {}
        self._most: dict[tuple[int, int], float] = {}

    def rates(
        self, weighed: Weighed, staircase: Staircase, places: Indices, level: int, least: float
    ) -> tuple[Indices, Floats]:
        """Which of the places may promise more than ``least``, and their expected gains per compute
        of training to this level's rung first."""
        most = [self._most.get((place, level), np.inf) for place in places.tolist()]
        some = places[np.array(most) > least]
        if not len(some):
            return some, np.empty(0)
        straight, macs, epochs = weighed.rate.max(), weighed.pool.macs[some], self.lower[level]
        rates = weighed.fits[some] * screening_rate(
            staircase,
            weighed.mean[some],
            weighed.sd[some],
            weighed.costs[some],
            explained=self._share_explained(weighed.pool.features, some, level),
            screen=macs * (epochs - weighed.trained[some]),
            rest=macs * (self.top - epochs),
            rate=straight,
        )
        # With a lower rate of training straight to the top more go on after the lower rung, which
        # then are worth no more than that.
        most = np.maximum(rates, straight).tolist()
        self._most |= {(place, level): m for place, m in zip(some.tolist(), most, strict=True)}
        return some, rates

    def _share_explained(self, features: Floats, places: Indices, level: int) -> Floats:
        """Of several points at once, as that hardly takes longer: if need be also of others."""
        new = [place for place in places.tolist() if place not in self._explained.get(level, {})]
        if new:
            others = set(range(len(features))) - {*new, *self._explained.get(level, {})}
            new += sorted(others)[: max(0, SCREENED_AGAIN - len(new))]
            top = self._known(features[new])
            for each in self.lower:
                found = self._errors.explained(features[new], each, top).tolist()
                shares = self._explained.setdefault(each, {})
                shares |= dict(zip(new, found, strict=True))
        return np.array([self._explained[level][place] for place in places.tolist()])


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
        mean, sd = self.errors.roughly(pool.features)
        costs, fits = self.costs(pool)
        costs = on_axis(np.column_stack([mean, costs]), self.axis)[:, 1:]
        weight = fits / (pool.macs * (top - behind))
        rate, bound = greatest(self.staircase, mean, sd, costs, weight, SCREENED)
        bound, rate = bound * slack(sd), np.zeros(len(pool))
        found = Greatest(SCREENED)
        for part in found.may_be_among(bound, _SOLVED, unless_none=True):
            _, sd[part] = self.errors.predict(pool.features[part])
            gain = self.staircase.improvement(mean[part], sd[part], costs[part])
            rate[part] = gain * weight[part]
            bound[part] = rate[part] * slack(sd[part])
            found.add(rate[part])
        return Weighed(pool, behind, mean, sd, costs, fits, rate, bound)


class Further:
    """Choices from one weighing while trainings are under way that are believed to come out as
    predicted (``Narrowing``).

    Only the points that may be the best are looked at again: in the order of their bounds, until
    none exceeds what was found, as lazy greedy algorithms do (Minoux 1978, doi:10.1007/BFb0006528).
    For a belief leaves the expected errors as they are and lowers gains, so that what was at most
    to be gained before still is (but for ``slack``).
    """

    def __init__(self, beliefs: Beliefs, weighed: Weighed, lower: Mapping[int, int], top: int):
        self._weighed, self._staircase = weighed, beliefs.staircase
        self._order = np.argsort(-weighed.bound, kind="stable")
        self._free = np.ones(len(weighed.pool), bool)
        self._seen = weighed.take(self._order[:0])
        self._narrowing = Narrowing(beliefs.errors)
        self._screening = Screening(beliefs.errors, lower, top, self._narrowing.known)

    @property
    def is_left(self) -> bool:
        """Whether there is a point that is not under way."""
        return bool(self._free.any())

    def believe(self, features: Floats, params: Sequence[Params], staircase: Staircase) -> None:
        """Trainings that are under way, of these features (n, d) and parameters; ``staircase``:
        what others must beat by now."""
        self._narrowing.believe(features)
        places = self._weighed.pool.places(params)
        self._free[[place for place in places if place is not None]] = False
        self._staircase = staircase

    def choice(self) -> tuple[int, int]:
        """As of ``Weighed``, of what is left."""
        seen, unseen = self._looked_at_again(), self._weighed.bound[self._order]
        while (start := len(seen.pool)) < len(unseen):
            if start and unseen[start] <= seen.rate.max() > 0:
                break
            part = self._order[start : start + max(SCREENED_AGAIN, start // 2)]
            self._narrowing.look_at(self._weighed.pool.features[part])
            more = self._weighed.take(self._order[: start + len(part)])
            self._seen = replace(more, bound=np.append(seen.bound, more.bound[start:]))
            seen = self._looked_at_again()
        at, rung = seen.choice(self._staircase, self._screening, SCREENED_AGAIN)
        return int(self._order[at]), rung

    def _looked_at_again(self) -> Weighed:
        """Those that were looked at, as they stand by now; those under way are never chosen."""
        seen, free = self._seen, self._free[self._order[: len(self._seen.pool)]]
        sd, mean = self._narrowing.sd, np.where(free, seen.mean, np.inf)
        weight = free * seen.fits / (seen.pool.macs * (self._screening.top - seen.trained))
        bound = np.where(free, seen.bound, 0.0)
        rate, bound = greatest(
            self._staircase, seen.mean, sd, seen.costs, weight, 1, bound, SCREENED_AGAIN
        )
        bound = np.where(rate > 0, rate * slack(sd), bound)
        self._seen = replace(seen, bound=bound)
        return replace(seen, mean=mean, sd=sd, rate=rate, bound=bound)


def greatest(
    staircase: Staircase,
    mean: Floats,
    sd: Floats,
    costs: Floats,
    weight: Floats,
    count: int,
    bound: Floats | None = None,
    at_once: int = _CHUNK,
) -> tuple[Floats, Floats]:
    """Expected improvement times weight, (n,), for as many as may be among the ``count`` greatest,
    0 for others; and an upper bound of it, (n,), which is itself where it is known.

    In order of the bound, until none exceeds what was found: with many points or several costs a
    small part is enough. Where one is known it is given as ``bound``.
    """
    bound = staircase.bound(mean, sd, costs) * weight if bound is None else bound.copy()
    found, rate = Greatest(count), np.zeros(len(mean))
    for part in found.may_be_among(bound, at_once):
        rate[part] = staircase.improvement(mean[part], sd[part], costs[part]) * weight[part]
        bound[part] = rate[part]
        found.add(rate[part])
    return rate, bound


class Greatest:
    """The ``count`` greatest of the values, 0 or more, that were added so far."""

    def __init__(self, count: int) -> None:
        self._values = np.zeros(count)

    def add(self, values: Floats) -> None:
        """Some more."""
        count, both = len(self._values), np.append(self._values, values)
        self._values = np.partition(both, -count)[-count:]

    def may_be_among(
        self, bound: Floats, at_once: int, unless_none: bool = False
    ) -> Iterator[Indices]:
        """The places (n,) of values that may be among them, so many at once, by what each is at
        most: in the order of these bounds, until none exceeds what was added meanwhile.
        ``unless_none``: of all places where no value above 0 was."""
        order = np.argsort(-bound, kind="stable")
        for start in range(0, len(order), at_once):
            part = order[start : start + at_once]
            if bound[part[0]] <= self.last and not (unless_none and self.first == 0):
                break
            yield part

    @property
    def first(self) -> float:
        """The greatest, 0 where none was."""
        return float(self._values.max())

    @property
    def last(self) -> float:
        """The least of them, 0 while they are fewer."""
        return float(self._values.min())


def slack(sd: Floats) -> Floats:
    """How many times an expected improvement may rise when the standard deviation of a log error
    falls from this one, at most: it falls, but the mean of the error falls, too. Over all means
    and standard deviations up to 3 it rises by .191 of the standard deviation or less."""
    return 1 + 0.2 * sd
