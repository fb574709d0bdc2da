"""``Problem``: what is searched, once the study has met the images."""

from __future__ import annotations

from dataclasses import dataclass

from dnsearch.analysis.pareto import Axis
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.search.feasible import CostModel


@dataclass(frozen=True)
class Problem:
    """points: that meet the limits. costs: names of the objectives behind the error. rungs: epochs,
    rising. axis, reference: of the hypervolume; a latency's reference may not be known yet (NaN).
    images: to train on. closed: nothing but these points may be trained, since no other was
    recorded.
    """

    points: Points
    model: CostModel
    costs: tuple[str, ...]
    rungs: tuple[int, ...]
    axis: Axis
    reference: dict[str, float]
    images: int
    closed: bool = False

    @property
    def space(self) -> SearchSpace:
        return self.points.space
