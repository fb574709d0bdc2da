"""From outcomes of trials to predictions for architectures that were never trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dnsearch.arch.space import Points, SearchSpace
from dnsearch.arrays import Floats
from dnsearch.cost.formula import CostArrays
from dnsearch.search.feasible import CostModel
from dnsearch.search.samplers.covariance import Rows
from dnsearch.search.samplers.features import Features
from dnsearch.search.samplers.growing import GrowingFactor
from dnsearch.search.samplers.history import Outcome, by_training
from dnsearch.search.samplers.hyperparameters import fit
from dnsearch.search.samplers.surrogate import Surrogate
from dnsearch.seeds import derived_seed

CALIBRATION = 30
"""Trainings to the top, the latest, whose lower rungs are used too: what these are worth."""

REFIT = 1.25
"""Hyper-parameters are fitted anew when there are this many times as many outcomes."""

LEAST_ERROR = 1e-4


class Learner:
    """Surrogates of error for the points of a space, from the outcomes so far.

    shift: added to errors at the top rung before their logarithm is taken, such as half an image
    where some make no error at all.
    """

    def __init__(
        self,
        points: Points,
        known: CostArrays,
        model: CostModel,
        rungs: tuple[int, ...],
        seed: int,
        shift: float = 0.0,
    ) -> None:
        self.shift = shift
        self.space: SearchSpace = points.space
        self.model, self.rungs, self.seed = model, rungs, seed
        self.features = Features(points.arrays(), known)
        self._fitted: tuple[tuple[int, ...], GrowingFactor] | None = None

    @property
    def lower(self) -> dict[int, int]:
        """The surrogate's levels of the lower rungs; the top rung is its level 0."""
        return dict(enumerate(self.rungs[:-1], start=1))

    def described(self, params: Sequence[Mapping[str, Any]]) -> tuple[Floats, CostArrays]:
        """Features and exact costs of the architectures with these parameters."""
        points = Points.at(self.space, params)
        known = self.model.of_points(points)
        return self.features.of(points.arrays(), known), known

    def errors(self, finished: Sequence[Outcome]) -> Surrogate:
        """Of log error, given outcomes that did not fail; hyper-parameters from a part that grows
        in steps, so that they are fitted only now and then, and depend on the trials and the seed
        alone."""
        part = finished[: _scheduled(len(finished))]
        numbers = tuple(outcome.number for outcome in part)
        if self._fitted is None or self._fitted[0] != numbers:
            rng = np.random.default_rng(derived_seed(self.seed, len(part)))
            rows = self.error_rows(part)
            first = int(np.count_nonzero(rows.level == 0))
            self._fitted = numbers, GrowingFactor(fit(rows, rng, len(self.rungs)), first)
        growing = self._fitted[1]
        return Surrogate(self.error_rows(finished), growing.parameters, growing)

    def error_rows(self, outcomes: Sequence[Outcome]) -> Rows:
        """What was measured of log error, given outcomes that did not fail: one row for each
        training and rung. Trainings are numbered in the order of ``by_training``."""
        trainings = by_training(outcomes)
        measured = [
            {rung: told for part in parts for rung, told in part.signals.items()}
            for parts in trainings
        ]
        top = self.rungs[-1]
        late = {
            *[number for number, signals in enumerate(measured) if top in signals][-CALIBRATION:]
        }
        found: list[tuple[int, int, float]] = []
        for number, signals in enumerate(measured):
            if top in signals:
                error = max(signals[top]["error"] + self.shift, LEAST_ERROR)
                found.append((number, 0, math.log(error)))
            if top not in signals or number in late:
                found += [
                    (number, level, signal(signals[rung]))
                    for level, rung in self.lower.items()
                    if rung in signals
                ]
        training, level, value = (np.array(column) for column in zip(*found, strict=True))
        features, _ = self.described([parts[0].params for parts in trainings])
        return Rows(features[training], level, training, value, self.features.trend)


def signal(measured: Mapping[str, float]) -> float:
    """A lower rung's evidence of the final log error: the mean of the logs of what was measured."""
    return float(np.mean(np.log(np.maximum(list(measured.values()), LEAST_ERROR))))


def _scheduled(count: int) -> int:
    """The greatest step of the schedule of fits that is not above ``count``."""
    step = min(count, 8)
    while (following := max(step + 1, math.ceil(step * REFIT))) <= count:
        step = following
    return step
