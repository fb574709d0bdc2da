"""How networks, and fronts of several runs, differ, and whether that is more than noise.

Arrays in, values out: draws of errors (``analysis.predictions``), fronts as ``analysis.pareto``
takes them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dnsearch.analysis.confidence import LEVEL
from dnsearch.analysis.pareto import Axis, hypervolume
from dnsearch.arrays import Floats

SIGNIFICANT = 0.05
"""The p-value from which on a difference is told to be more than noise."""

MOST_SPLITS = 20_000
"""Ways to split runs in two that are all tried; of more a sample of so many is."""


class Difference(NamedTuple):
    """How much a figure is larger than another: the median, and between which ends it lies with a
    probability of 90 %; ``smaller`` is the probability that it is smaller. NaN where only the
    median is known."""

    median: float
    low: float = math.nan
    high: float = math.nan
    smaller: float = math.nan


def difference(draws: ArrayLike, first: ArrayLike) -> Difference:
    """How much larger a figure is than the ``first``: draws (s,) of either, of which the i-th
    belong together. Draws that are equal count half for either."""
    differ = np.asarray(draws, np.float64) - np.asarray(first, np.float64)
    low, median, high = np.quantile(differ, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    smaller = (differ < 0).mean() + 0.5 * (differ == 0).mean()
    return Difference(float(median), float(low), float(high), float(smaller))


def unpaired(draws: ArrayLike, rng: np.random.Generator) -> Floats:
    """The draws (s, ...) in another order, so that they are independent of those of another run:
    two runs may have drawn them by the same random numbers."""
    return rng.permutation(np.asarray(draws, np.float64), axis=0)


def volumes(draws: ArrayLike, costs: ArrayLike, reference: ArrayLike, axis: Axis = "log") -> Floats:
    """The hypervolume of the same networks in each draw, (s,): errors (s, n), costs (n, d), up to
    the reference point (1 + d,)."""
    known = np.asarray(costs, np.float64)
    rows = np.column_stack([np.zeros(len(known)), known])
    found = np.empty(len(np.asarray(draws)))
    for place, errors in enumerate(np.asarray(draws, np.float64)):
        rows[:, 0] = errors
        found[place] = hypervolume(rows, reference, axis)
    return found


def within(costs: ArrayLike, errors: ArrayLike, bounds: ArrayLike) -> np.ndarray:
    """Which network (n,) has the least error of those that cost at most each bound (m,): its place,
    -1 where none does; of equals the cheapest."""
    cost, error = np.asarray(costs, np.float64), np.asarray(errors, np.float64)
    found = np.full(len(np.asarray(bounds)), -1)
    for place, bound in enumerate(np.asarray(bounds, np.float64)):
        inside = np.flatnonzero(cost <= bound)
        if len(inside):
            found[place] = inside[np.lexsort([cost[inside], error[inside]])[0]]
    return found


class Lead(NamedTuple):
    """From ``low`` up to ``high`` of the cost the run at this place has the least error; ``run`` is
    None where several have the same. ``high`` is infinite of the last."""

    low: float
    high: float
    run: int | None


def leads(fronts: Sequence[tuple[ArrayLike, ArrayLike]]) -> list[Lead]:
    """Which front has the least error within which cost, from the cheapest network on: fronts are
    costs (n,) and errors (n,)."""
    known = [(np.asarray(c, np.float64), np.asarray(e, np.float64)) for c, e in fronts]
    bounds = np.unique(np.concatenate([cost for cost, _ in known]))
    found: list[Lead] = []
    for low, high in itertools.pairwise([*bounds, math.inf]):
        least = [errors[costs <= low].min(initial=math.inf) for costs, errors in known]
        best = np.flatnonzero(np.array(least) == min(least))
        run = int(best[0]) if len(best) == 1 else None
        if found and found[-1].run == run:
            found[-1] = found[-1]._replace(high=high)
        else:
            found.append(Lead(float(low), float(high), run))
    return found


def attainment(errors: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Which errors at least one, half and all of the runs reach, (m,) each: errors (runs, m) within
    m bounds of cost, infinite where a run has no network. These are levels of the empirical
    attainment function (Grunert da Fonseca et al. 2001, doi:10.1007/3-540-44719-9_15)."""
    ordered = np.sort(np.asarray(errors, np.float64), axis=0)
    return ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1]


class Permuted(NamedTuple):
    """A permutation test of two groups' means: the two-sided p-value, and the least one that groups
    of these sizes can give."""

    p: float
    least: float

    @property
    def can_tell(self) -> bool:
        """Whether so few runs could show any difference."""
        return self.least <= SIGNIFICANT


def permutation_test(
    ours: Sequence[float], theirs: Sequence[float], rng: np.random.Generator
) -> Permuted:
    """Whether the means of two groups differ by more than they would if the runs had been dealt to
    the groups at random: the share of all ways to deal them whose difference is at least as large
    (Fisher 1935). Exact up to ``MOST_SPLITS`` ways."""
    values, size = np.array([*ours, *theirs], np.float64), len(ours)
    ways = math.comb(len(values), size)
    if ways <= MOST_SPLITS:
        chosen = np.array(list(itertools.combinations(range(len(values)), size)))
    else:
        dealt = [rng.permutation(len(values))[:size] for _ in range(MOST_SPLITS - 1)]
        chosen = np.array([np.arange(size), *dealt])
    own = values[chosen].sum(axis=1)
    apart = np.abs(own / size - (values.sum() - own) / (len(values) - size))
    seen = apart[0]  # the first way is the one that was observed
    p = float((apart >= seen * (1 - 1e-9)).mean())
    mirrored = 2 if len(values) == 2 * size else 1  # groups of one size change places
    return Permuted(p, mirrored / ways)
