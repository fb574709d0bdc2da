"""The part of a large space that meets the limits, as boxes, without looking at every point.

Costs rise with every growth rate, depth and width. So in a box, which has a range of choices in
each dimension, no point costs less than its low corner or more than its high one: boxes whose low
corner is over a limit are left out whole, the others are halved until they are small or there are
enough. What is left holds every point within the limits (branch and bound, Land & Doig 1960,
doi:10.2307/1910129).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnsearch.arch.config import ArchArrays
from dnsearch.arch.space import TWICE_GROWTH, Points, SearchSpace
from dnsearch.arrays import Bools, Floats, Indices
from dnsearch.cost.formula import CostArrays
from dnsearch.search.design import STRATA, strata

CHUNK = 200_000
"""Points costed at a time, to bound memory."""

MOST_BOXES = 60_000

FEW = 8
"""Points of a box that is halved no further: to cost them all is less work."""

NARROW = 1.6
"""Times the MACs of a box's low corner that its high corner may have, so that what is drawn from
boxes can be spread evenly over log cost."""

Ranks = NDArray[np.int16]
Fits = Callable[[ArchArrays], tuple[Bools, CostArrays]]
"""Which architectures meet the limits, (n,), and what they cost."""


@dataclass(frozen=True)
class Drawn:
    """Points (n) in lexicographic order that meet the limits, and what they cost. ``count``: how
    many such points there are, ``exact`` where these are all of them, else an estimate. ``looked``:
    how many points were looked at for it."""

    points: Points
    costs: CostArrays
    count: float
    exact: bool
    looked: int

    @property
    def number(self) -> str:
        """How many there are, for people: ``13,337``, or ``about 5,200,000``."""
        return (
            f"{round(self.count):,}" if self.exact else f"about {float(f'{self.count:.2g}'):,.0f}"
        )


@dataclass(frozen=True)
class Order:
    """A space's choices in an order in which costs rise, within each kind of choices; a rank is a
    place in it."""

    space: SearchSpace

    @cached_property
    def ranked(self) -> list[Ranks]:
        """Positions of the choices in the space, by dimension (choices,)."""
        return [
            np.array(
                sorted(range(len(choices)), key=lambda at: _place(name, choices[at])), np.int16
            )
            for name, choices in self.space.dimensions.items()
        ]

    @property
    def kinds(self) -> Iterator[list[tuple[int, int]]]:
        """By dimension, the first and the last rank of each kind."""
        for (name, choices), ranked in zip(self.space.dimensions.items(), self.ranked, strict=True):
            kinds = [_place(name, choices[at])[0] for at in ranked]
            ends = [i for i in range(len(kinds)) if kinds[i : i + 1] != kinds[i + 1 : i + 2]]
            yield list(zip([0, *(end + 1 for end in ends[:-1])], ends, strict=True))

    @cached_property
    def extent(self) -> list[Floats]:
        """Of the choices a logarithm that log costs rise with, by dimension (choices,)."""
        return [
            (2.0 if name.startswith("growth_rate") else 1.0)
            * np.log([1.0 + _place(name, choices[at])[1] for at in ranked])
            for (name, choices), ranked in zip(
                self.space.dimensions.items(), self.ranked, strict=True
            )
        ]

    def points(self, ranks: Ranks) -> Points:
        """The points at these ranks, (n, dimensions)."""
        columns = [own[column] for own, column in zip(self.ranked, ranks.T, strict=True)]
        return Points(self.space, np.column_stack(columns))

    def bounding(self, ranks: Ranks, low: bool) -> ArchArrays:
        """Architectures that cost no more, or where not ``low`` no less, than any point of the
        boxes with these corners. A cap on bottlenecks binds the more the higher the growth rate:
        without it they are at least 1 wide and at most as wide as they are offered."""
        archs = self.points(ranks).arrays(capped=False)
        if low and self.space.bn_cap != (0.0,):
            archs.bn_size[...] = np.minimum(archs.bn_size, 1)
        return archs


def _place(dimension: str, choice: Any) -> tuple[str, float]:
    """Of a choice: its kind, and its place among those of its kind, in which costs rise."""
    if dimension.startswith(("norm", "stem", "transition")) or choice == TWICE_GROWTH:
        return choice, 0.0
    if dimension == "growth_ratio":  # what no ratio changes is not rounded either
        return "" if choice == 1 else "scaled", float(choice)
    if dimension.startswith(("bn_size", "drop_rate")):
        return "" if choice == 0 else "positive", float(choice)
    return "", float(choice)


class Boxes:
    """``low``, ``high`` (n, dimensions): ranks of the corners, both within. ``macs`` (n,): about
    those of its points."""

    def __init__(self, low: Ranks, high: Ranks, macs: Floats) -> None:
        self.low, self.high, self.macs = low, high, macs
        self.widths = (high - low + 1).astype(np.int64)
        self.volume = self.widths.astype(np.float64).prod(axis=1)

    def __len__(self) -> int:
        return len(self.low)

    def take(self, rows: NDArray[Any]) -> Boxes:
        """These of the boxes."""
        return Boxes(self.low[rows], self.high[rows], self.macs[rows])

    def listed(self) -> Ranks:
        """All their points, (n, dimensions)."""
        counts = self.widths.prod(axis=1)
        box = np.repeat(np.arange(len(counts)), counts)
        flat = np.arange(len(box)) - np.repeat(np.cumsum(counts) - counts, counts)
        ranks = self.low[box]
        for dimension in reversed(range(ranks.shape[1])):
            flat, rest = np.divmod(flat, self.widths[box, dimension])
            ranks[:, dimension] += rest.astype(np.int16)
        return ranks

    def drawn(self, count: int, rng: np.random.Generator) -> Ranks:
        """``count`` of their points, each as likely as any other, repetitions too."""
        box = rng.choice(len(self), count, p=self.volume / self.volume.sum())
        steps = rng.random(self.low[box].shape) * self.widths[box]
        return self.low[box] + steps.astype(np.int16)


def corners(order: Order) -> Ranks:
    """The cheapest point of each combination of kinds, (n, dimensions)."""
    return _wholes(order)[0]


def _wholes(order: Order) -> tuple[Ranks, Ranks]:
    """Corners of the boxes that the space is made of, one for each combination of kinds."""
    both = np.array(list(itertools.product(*order.kinds)), np.int16)  # (n, dimensions, 2)
    return both[..., 0], both[..., 1]


def boxes_within(order: Order, fits: Fits) -> Boxes:
    """Boxes without common points that hold all points of the space within the limits; there may
    be none."""
    low, high = _wholes(order)
    found = [Boxes(low[:0], high[:0], np.empty(0))]
    settled = 0
    while len(low):
        possible, least = fits(order.bounding(low, low=True))
        inside, most = fits(order.bounding(high, low=False))
        boxes = Boxes(low, high, np.sqrt(least.macs.astype(np.float64) * most.macs))
        done = (boxes.volume <= FEW) | (inside & (most.macs <= NARROW * least.macs))
        found.append(boxes.take(possible & done))
        boxes = boxes.take(possible & ~done)
        settled += len(found[-1])
        room = max(0, MOST_BOXES - settled - len(boxes))  # each that is halved is one more
        largest = np.argsort(-boxes.volume, kind="stable")
        found.append(boxes.take(largest[room:]))
        settled += len(found[-1])
        low, high = _halved(order, boxes.take(largest[:room]))
    parts = [[getattr(each, name) for each in found] for name in ("low", "high", "macs")]
    return Boxes(*(np.concatenate(part) for part in parts))


def _halved(order: Order, boxes: Boxes) -> tuple[Ranks, Ranks]:
    """Corners of the halves of boxes, cut across where costs differ most: (2n, dimensions) each."""
    rows = np.arange(len(boxes))
    of_low = np.column_stack([e[r] for e, r in zip(order.extent, boxes.low.T, strict=True)])
    of_high = np.column_stack([e[r] for e, r in zip(order.extent, boxes.high.T, strict=True)])
    along = np.where(boxes.widths > 1, of_high - of_low, -1.0).argmax(axis=1)
    middle = (of_low + of_high)[rows, along] / 2
    cut = np.empty(len(rows), np.int16)
    for dimension, extent in enumerate(order.extent):
        here = along == dimension
        first, last = boxes.low[here, dimension], boxes.high[here, dimension]
        first_of_half = np.sum(extent[None] < middle[here, None], axis=1)
        cut[here] = np.clip(first_of_half, first + 1, last)
    low, high = boxes.low.copy(), boxes.high.copy()
    high[rows, along], low[rows, along] = cut - 1, cut
    return np.vstack([boxes.low, low]), np.vstack([high, boxes.high])


def points_within(
    order: Order, boxes: Boxes, fits: Fits, most: int, rng: np.random.Generator
) -> Drawn:
    """The points of boxes that meet the limits: all of them, or where there may be more than
    ``most`` a sample of about so many spread evenly over log MACs; of about the same MACs each is
    as likely as any other."""
    total = boxes.volume.sum()
    if total <= most:
        ranks = boxes.listed()
        within, costs = _fitting(order, ranks, fits)
        points = order.points(ranks[within])
        first = _distinct(points)
        return Drawn(points.take(first), costs.take(first), len(first), True, len(ranks))
    stratum = strata(boxes.macs)  # from each as many points are drawn, where it has them
    volumes = np.bincount(stratum, boxes.volume, STRATA).astype(np.float64)
    quota = _quota(volumes, most)
    parts = {}
    for each in np.flatnonzero(volumes):
        some = boxes.take(stratum == each)
        parts[each] = some.listed() if volumes[each] <= quota else some.drawn(int(quota), rng)
    within, costs = _fitting(order, np.vstack(list(parts.values())), fits)
    shares = [part.mean() for part in np.split(within, np.cumsum([*map(len, parts.values())])[:-1])]
    count = float(volumes[list(parts)] @ shares)
    points = order.points(np.vstack(list(parts.values()))[within])
    first = _distinct(points)
    return Drawn(points.take(first), costs.take(first), count, False, len(within))


def _quota(volumes: Floats, most: int) -> float:
    """As many points of each stratum as give ``most`` in all, where strata with fewer give all."""
    left, rising = most, np.sort(volumes)
    for place, volume in enumerate(rising):
        quota = left / (len(rising) - place)
        if volume > quota:
            return quota
        left -= volume
    return float(rising[-1])


def _fitting(order: Order, ranks: Ranks, fits: Fits) -> tuple[Bools, CostArrays]:
    """Which of these points meet the limits, (n,), and the costs of those that do."""
    within, known = [], []
    for start in range(0, len(ranks), CHUNK):
        fit, costs = fits(order.points(ranks[start : start + CHUNK]).arrays())
        within.append(fit)
        known.append(costs.take(fit))
    return np.concatenate(within), CostArrays.joined(known)


def _distinct(points: Points) -> Indices:
    """The places of the points in lexicographic order, each point once."""
    order = np.lexsort(points.digits.T[::-1])
    digits = points.digits[order]
    again = np.zeros(len(order), bool)
    again[1:] = (digits[1:] == digits[:-1]).all(axis=1)
    return order[~again]
