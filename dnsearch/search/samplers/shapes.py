"""``GoodShapes``: of points of about the same size, which is worth training next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import optuna

from dnsearch.arch.space import Choice, Points
from dnsearch.arrays import Indices
from dnsearch.cost.formula import CostArrays
from dnsearch.search.feasible import CostModel
from dnsearch.search.samplers.blas import one_thread
from dnsearch.search.samplers.history import History
from dnsearch.search.samplers.learner import Learner
from dnsearch.search.samplers.pool import Pool


class GoodShapes:
    """What a search has found out about shapes, asked by a scaling design.

    known: the costs of the points. history: reads the trials of ``study``.
    """

    def __init__(
        self,
        points: Points,
        known: CostArrays,
        model: CostModel,
        history: History,
        study: optuna.Study,
        seed: int,
    ) -> None:
        self.history, self.study = history, study
        self.learner = Learner(points, known, model, history.rungs, seed)
        self.pool = Pool(points, known, self.learner.features.points)

    def __call__(self, places: Indices) -> int:
        """The one of least error in a good case: its predicted log error less a standard deviation.
        The first where nothing has been trained."""
        outcomes = self.history.of(self.study)
        finished = [each for each in outcomes if not (each.pending or each.failed)]
        if not finished:
            return int(places[0])
        with one_thread():
            mean, sd = self.learner.errors(finished).predict(self.pool.features[places])
        return int(places[(mean - sd).argmin()])

    def trained(self, first: Sequence[Mapping[str, Choice]]) -> list[int]:
        """The points of these parameters, then those that were trained on all images, in that
        order, each once."""
        outcomes = [each for each in self.history.of(self.study) if not each.pending]
        places = self.pool.places([*first, *(outcome.params for outcome in outcomes)])
        return list(dict.fromkeys(place for place in places if place is not None))
