"""``Problem``: what is searched, once the study has met the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dnsearch.analysis.pareto import Axis
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.config import Aim
from dnsearch.search.feasible import CostModel


@dataclass(frozen=True)
class Problem:
    """points: that meet the limits. costs: names of the objectives behind the error. rungs: epochs,
    rising. axis, reference: of the hypervolume; a latency's reference may not be known yet (NaN).
    aim: the whole front, or the least error within the limits alone.
    images: to train on. closed: nothing but these points may be trained, since no other was
    recorded. error: the figure of a ``Score`` that is minimised; a search's is the validation
    error, and only a confirmation's ``test_error``.
    """

    points: Points
    model: CostModel
    costs: tuple[str, ...]
    rungs: tuple[int, ...]
    axis: Axis
    reference: dict[str, float]
    images: int
    closed: bool = False
    error: Literal["error", "test_error"] = "error"
    aim: Aim = "front"

    @property
    def space(self) -> SearchSpace:
        """The space that the points are of."""
        return self.points.space

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of all that is minimised: the error, then the costs."""
        return (self.error, *self.costs)
