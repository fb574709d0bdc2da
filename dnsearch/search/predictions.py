"""Predictions of candidates' true errors, from all that a search has measured.

A measured error is the architecture's own, moved by the luck of one seed. The surrogate knows how
large that luck is and what similar architectures scored, so its posterior is the better estimate:
it takes back most of what the luckiest of many has gained by being picked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis.confidence import DRAWS, LEVEL, front_probability
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.search.feasible import CostModel
from dnsearch.search.samplers.history import History
from dnsearch.search.samplers.learner import Learner
from dnsearch.search.store import SEARCH, StudyStore, counts_for_nothing
from dnsearch.seeds import derived_seed

PREDICTED = ("predicted_error", "predicted_low", "predicted_high", "front_probability")
"""What is predicted of a ``Candidate``."""

LEAST = 5
"""Full trainings; of fewer the surrogate would tell its prior, not the data."""

SETTINGS = 20
"""Of the surrogate's hyper-parameters. With the likeliest alone intervals are too narrow: it takes
for known how large a seed's luck is and how fast errors change."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Of the candidates with these ``keys``, (n,): draws (s, n) of the error that a candidate has
    in the mean over seeds, trained to the top rung; ``seed_noise``, the standard deviation of log
    error that one seed adds."""

    keys: tuple[str, ...]
    draws: Floats
    seed_noise: float

    @property
    def error(self) -> Floats:
        """The median of each, (n,)."""
        return np.median(self.draws, axis=0)

    def interval(self, level: float = LEVEL) -> tuple[Floats, Floats]:
        """Where each lies with this probability, (n,) and (n,)."""
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high


def predict_errors(
    store: StudyStore, space: SearchSpace, model: CostModel, rungs: tuple[int, ...], seed: int = 0
) -> Predictions | None:
    """Predictions of every candidate of the space that was trained to the top rung; None while
    there are fewer than ``LEAST``."""
    outcomes = History(rungs, counts_for_nothing).of(store.logs[SEARCH].study)
    finished = [outcome for outcome in outcomes if not (outcome.failed or outcome.pending)]
    params = {o.key: o.params for o in finished if o.rung == rungs[-1]}
    if len(params) < LEAST:
        return None
    archs = [space.config(dict(values)) for values in params.values()]
    points = Points.of(space, archs)
    learner = Learner(points, model.of_points(points), model, rungs, seed)
    rng = np.random.default_rng(derived_seed(seed))
    surrogates = learner.possible(finished, SETTINGS)
    draws = [_normal(*each.joint(learner.features.points), rng) for each in surrogates]
    noise = np.sqrt(np.mean([each.parameters.noise[0] ** 2 for each in surrogates]))
    return Predictions(tuple(a.key for a in archs), np.exp(np.concatenate(draws)), float(noise))


def described(predictions: Predictions, keys: Sequence[str], costs: Floats) -> dict[str, Floats]:
    """The figures of ``PREDICTED`` for the candidates with these keys (n,) and costs (n, d), each
    (n,)."""
    place = {key: i for i, key in enumerate(predictions.keys)}
    which = [place[key] for key in keys]
    low, high = predictions.interval()
    chance = front_probability(predictions.draws[:, which], costs)
    values = (predictions.error[which], low[which], high[which], chance)
    return dict(zip(PREDICTED, values, strict=True))


def _normal(mean: Floats, covariance: Floats, rng: np.random.Generator) -> Floats:
    """One setting's part of the draws, (s, n); a covariance that rounding has made slightly
    indefinite is no trouble."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return mean + rng.standard_normal((DRAWS // SETTINGS, len(mean))) @ root.T
