"""``Pool``: the points that a proposal weighs, with what is known of each before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnsearch.arch.space import Points
from dnsearch.arrays import Floats, Indices
from dnsearch.cost.formula import CostArrays
from dnsearch.search.feasible import CostModel, fitting, identities
from dnsearch.search.samplers.features import Features

CENTRES = 10
"""Points, of those that promise most, beside which others are looked for."""

MOST_WORK = 4e9
"""Points times the square of the surrogate's rows by which they are weighed at a time, so that it
takes less than a second however much was trained."""


@dataclass(frozen=True)
class Pool:
    """n different points of a space; ``known`` are their costs, ``features`` is (n, d), scaled."""

    points: Points
    known: CostArrays
    features: Floats

    def __len__(self) -> int:
        return len(self.points)

    @cached_property
    def macs(self) -> Floats:
        """(n,)."""
        return self.known.macs.astype(np.float64)

    @cached_property
    def _identities(self) -> NDArray[np.uint64]:
        return identities(self.points)

    @cached_property
    def _by_identity(self) -> Indices:
        return np.argsort(self._identities)

    def _found(self, points: Points) -> tuple[Indices, NDArray[np.bool_]]:
        """Where these points are, and which of them are here at all."""
        wanted, order = identities(points), self._by_identity
        if not len(order):
            return np.zeros(len(wanted), np.intp), np.zeros(len(wanted), bool)
        at = np.searchsorted(self._identities, wanted, sorter=order)
        places = order[np.minimum(at, len(order) - 1)]
        return places, self._identities[places] == wanted

    def places(self, params: Sequence[Mapping[str, Any]]) -> list[int | None]:
        """Where the points with these parameters are; None for one that is not here."""
        places, here = self._found(Points.at(self.points.space, params))
        both = zip(places.tolist(), here.tolist(), strict=True)
        return [place if is_here else None for place, is_here in both]

    def take(self, rows: Indices) -> Pool:
        """These of the points."""
        taken = Pool(self.points.take(rows), self.known.take(rows), self.features[rows])
        vars(taken)["_identities"] = self._identities[rows]  # kept, as they take long
        return taken

    def and_also(self, other: Pool) -> Pool:
        """These points and others, none of which is here."""
        known = CostArrays.joined([self.known, other.known])
        features = np.vstack([self.features, other.features])
        return Pool(Points.joined([self.points, other.points]), known, features)

    def beside(self, centres: Points, model: CostModel, features: Features) -> Pool:
        """The points one step from a centre in one dimension that meet the limits and are not in
        this pool."""
        steps = neighbours(centres)
        _, here = self._found(steps)
        points, known = fitting(steps.take(~here), model)
        return Pool(points, known, features.of(points.arrays(), known))


def neighbours(points: Points) -> Points:
    """All that differ from one of the points by one step to the next choice of one dimension, each
    once."""
    counts = [len(choices) for choices in points.space.dimensions.values()]
    found = []
    for dimension, count in enumerate(counts):
        for step in (-1, 1):
            moved = points.digits.copy()
            moved[:, dimension] += step
            found.append(moved[(moved[:, dimension] >= 0) & (moved[:, dimension] < count)])
    return Points(points.space, np.unique(np.vstack(found), axis=0))
