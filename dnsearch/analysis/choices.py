"""What each choice of a design space is worth at equal cost.

After Radosavovic et al. 2020 (arXiv:2003.13678), who compare design spaces by the distribution of
their networks' errors, and 2019 (arXiv:1905.13214), who match the networks' costs first. Here
errors are draws of what they may be, so everything has an interval. Networks are matched within
bins of log cost; what is compared is a network's log error less the mean of its bin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dnsearch.analysis.trust import Interval
from dnsearch.arrays import Floats, Indices

BINS = 24
"""Of log cost, with as many networks in each."""

LEAST_SHARED = 5.0
"""Networks, as harmonic means over the bins, below which two values never cost the same."""

GRID = 41
"""Points of a distribution function."""

MOST_VALUES, GROUPS = 6, 4
"""Of more values than that, so many groups are made of neighbours."""

ENDS = (0.05, 0.95)


class Value(NamedTuple):
    """One value of a dimension, or some neighbours: how many of the networks that were trained have
    it; by how much its error is above that of the best value at equal cost, as a share, which is
    NaN where they never cost the same; and the distribution function (``GRID``, 3) of its networks'
    errors: median and the ends of 90 %."""

    label: str
    trained: int
    above: Interval
    distribution: Floats

    @property
    def is_worse(self) -> bool:
        """Whether that is certain, at 95 %, one-sided."""
        return self.above.low > 0


class Dimension(NamedTuple):
    """The values of a dimension, the position of the ``best``, and the share (0 to 1) of the
    differences of log error at equal cost that this dimension alone explains."""

    name: str
    values: tuple[Value, ...]
    best: int
    share: Interval


class DesignSpace(NamedTuple):
    """What was found of each dimension, at equal ``cost``; ``grid`` (``GRID``,) are errors relative
    to the average network of the same cost, at which distribution functions are told."""

    cost: str
    grid: Floats
    dimensions: tuple[Dimension, ...]


class Choices(NamedTuple):
    """A dimension's values, of each network the one it has (n,), and how many were trained."""

    name: str
    labels: Sequence[str]
    of: Indices
    trained: Sequence[int]


def grouped(name: str, values: Sequence[object], of: Indices, trained: Indices) -> Choices:
    """The choices of a dimension with these values, in order; of many values neighbours are joined.

    of: the position of each network's value (n,); trained: of each training run's (t,).
    """
    used = np.unique(of)
    groups = [[each] for each in used]
    if len(used) > MOST_VALUES:
        groups = [list(each) for each in np.array_split(used, GROUPS)]
    place = {each: i for i, group in enumerate(groups) for each in group}
    counts = np.bincount([place[each] for each in trained if each in place], minlength=len(groups))
    labels = [
        str(values[group[0]]) if len(group) == 1 else f"{values[group[0]]} to {values[group[-1]]}"
        for group in groups
    ]
    return Choices(name, labels, np.array([place[each] for each in of], np.intp), counts.tolist())


def design_space(
    cost: str, costs: Floats, draws: Floats, choices: Sequence[Choices]
) -> DesignSpace:
    """What ``draws`` (s, n) of the log errors of n networks with these ``costs`` (n,) say of each
    dimension of which they have at least two values."""
    bins = _bins(costs)
    members = np.eye(bins.max() + 1)[bins]  # (n, bins)
    relative = draws - ((draws @ members) / members.sum(axis=0))[:, bins]
    low, high = np.quantile(relative, [0.005, 0.995])
    grid = np.linspace(low, high, GRID)
    below = np.searchsorted(grid, relative)  # (s, n)
    several = [each for each in choices if len(each.labels) > 1]
    found = tuple(_dimension(each, relative, bins, members, below) for each in several)
    return DesignSpace(cost, np.expm1(grid), found)


def _bins(costs: Floats) -> Indices:
    """The bin of each network (n,)."""
    ranks = np.argsort(np.argsort(costs, kind="stable"), kind="stable")
    count = max(1, min(BINS, len(costs) // 8))
    return ranks * count // len(costs)


def _dimension(
    choices: Choices, relative: Floats, bins: Indices, members: Floats, below: Indices
) -> Dimension:
    count = len(choices.labels)
    has = np.eye(count)[choices.of]  # (n, values)
    together = np.einsum("nv,nb->vb", has, members)
    sums = np.einsum("sn,nv,nb->svb", relative, has, members, optimize=True)
    means = sums / np.maximum(together, 1)
    apart = np.stack([[_apart(v, w, means, together) for w in range(count)] for v in range(count)])
    best = int(np.argmin(np.nanmean(np.median(apart, axis=2), axis=1)))
    values = tuple(
        Value(
            choices.labels[v],
            choices.trained[v],
            _interval(np.expm1(apart[v, best])),
            _distribution(below[:, choices.of == v], together[v][bins[choices.of == v]]),
        )
        for v in range(count)
    )
    between = ((relative @ has) / has.sum(axis=0)) ** 2 @ has.mean(axis=0)
    return Dimension(choices.name, values, best, _interval(between / relative.var(axis=1)))


def _apart(v: int, w: int, means: Floats, together: Floats) -> Floats:
    """Draws (s,) of the difference in log error of two values, over the bins that have both."""
    weight = together[v] * together[w] / np.maximum(together[v] + together[w], 1)
    if v != w and weight.sum() < LEAST_SHARED:
        return np.full(len(means), np.nan)
    return (means[:, v] - means[:, w]) @ weight / weight.sum()


def _distribution(below: Indices, in_bin: Floats) -> Floats:
    """Every bin counts alike, so that costs are matched. below: of a value's networks the first
    point of the grid that is not below their error (s, n); in_bin: how many of these are in the bin
    of each (n,)."""
    draws, _ = below.shape
    places = below + (GRID + 1) * np.arange(draws)[:, None]
    weights = np.broadcast_to(1 / in_bin, below.shape)
    counted = np.bincount(places.ravel(), weights.ravel(), draws * (GRID + 1))
    shares = counted.reshape(draws, -1).cumsum(axis=1)[:, :GRID] / (1 / in_bin).sum()
    return np.quantile(shares, [0.5, *ENDS], axis=0).T


def _interval(draws: Floats) -> Interval:
    """Median and the ends of 90 %."""
    middle, low, high = np.quantile(draws, [0.5, *ENDS]).tolist()
    return Interval(middle, low, high)
