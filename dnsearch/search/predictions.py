"""Predicted errors of candidates, from all that a search has measured.

A measured error is the architecture's own, moved by the luck of one seed. The surrogate knows how
large that luck is and what similar architectures scored, so its posterior is the better estimate:
it takes back most of what the luckiest of many has gained by being picked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis.confidence import DRAWS, LEVEL, front_probability
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.arrays import Floats
from dnsearch.rundir import cpu_cores
from dnsearch.search.draws import Draws
from dnsearch.search.evaluators.base import SEARCH
from dnsearch.search.feasible import CostModel
from dnsearch.search.samplers.blas import one_thread
from dnsearch.search.samplers.covariance import Parameters, Rows
from dnsearch.search.samplers.history import History
from dnsearch.search.samplers.hyperparameters import sample
from dnsearch.search.samplers.learner import Learner
from dnsearch.search.samplers.pathwise import TrainedErrors
from dnsearch.search.store import StudyStore, counts_for_nothing
from dnsearch.seeds import derived_seed

PREDICTED = ("predicted_error", "predicted_low", "predicted_high", "front_probability")
"""What is predicted of a ``Candidate``."""

LEAST = 5
"""Full trainings; of fewer the surrogate would tell its prior, not the data."""

METHOD = 1
"""Of making draws: raised by whatever changes them, so that older ones are not taken for new."""

SETTINGS = 20
"""Of the surrogate's hyper-parameters. With the likeliest alone intervals are too narrow: it takes
for known how large a seed's luck is and how fast errors change."""

MOST_THREADS = 8
"""Each holds two matrices of all candidates."""


@dataclass(frozen=True)
class Predictions:
    """Of the candidates with these ``keys``, (n,): draws (s, n) of the error that a candidate has
    in the mean over seeds, trained to the top rung; ``seed_noise``, the standard deviation of log
    error that one seed adds."""

    keys: tuple[str, ...]
    draws: Floats
    seed_noise: float

    @cached_property
    def error(self) -> Floats:
        """The median of each, (n,)."""
        return self.quantiles(0.5)[0]

    def interval(self, level: float = LEVEL) -> tuple[Floats, Floats]:
        """Where each lies with this probability, (n,) and (n,)."""
        low, high = self.quantiles((1 - level) / 2, (1 + level) / 2)
        return low, high

    def quantiles(self, *shares: float) -> Floats:
        """(shares, n); between two draws on the straight line."""
        ordered = np.sort(self.draws, axis=0)  # numpy sorts far faster than it finds quantiles
        below, part = np.divmod(np.array(shares)[:, None] * (len(ordered) - 1), 1)
        below = below[:, 0].astype(np.intp)
        least, most = ordered[below], ordered[np.minimum(below + 1, len(ordered) - 1)]
        return least + part * (most - least)


def described(predictions: Predictions, keys: Sequence[str], costs: Floats) -> dict[str, Floats]:
    """The figures of ``PREDICTED``, (n,) each, for the candidates with these keys (n,), which must
    be among the predicted ones, and costs (n, d)."""
    place = {key: i for i, key in enumerate(predictions.keys)}
    which = [place[key] for key in keys]
    ends = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    error, low, high = predictions.quantiles(0.5, *ends)[:, which]
    chance = front_probability(predictions.draws[:, which], costs)
    return dict(zip(PREDICTED, (error, low, high, chance), strict=True))


def predict_errors(
    store: StudyStore,
    space: SearchSpace,
    model: CostModel,
    rungs: tuple[int, ...],
    seed: int = 0,
    file: Path | None = None,
) -> Predictions | None:
    """Predictions of every candidate of the space that was trained to the top rung; None while
    there are fewer than ``LEAST``.

    What takes long is kept in ``file`` and read from there as long as it fits. 2,000 candidates
    take 2 to 5 s on two cores.
    """
    evidence = _evidence(store, space, model, rungs, seed)
    if evidence is None:
        return None
    draws = Draws.read(file, evidence.checksum) if file else None
    if draws is None:
        draws = evidence.draws()
        if file:
            draws.write(file, evidence.checksum)
    return Predictions(evidence.keys, draws.errors, draws.seed_noise)


class _Evidence(NamedTuple):
    """What predictions are made from. ``place`` (n,): of each candidate one of its
    trainings, by its position among the rows at the top rung."""

    keys: tuple[str, ...]
    place: NDArray[np.intp]
    rows: Rows
    levels: int
    seed: int

    @property
    def checksum(self) -> str:
        """Of this and of the method."""
        method = [METHOD, DRAWS, SETTINGS, self.levels, self.seed, *self.keys]
        found = hashlib.sha256("\n".join(map(str, method)).encode())
        for each in (self.place, *vars(self.rows).values()):
            found.update(np.ascontiguousarray(each).tobytes())
        return found.hexdigest()

    def draws(self) -> Draws:
        """One part for each setting of the hyper-parameters. Draws of one are made while the next
        is searched; each has a random stream of its own, so threads change nothing."""
        trained, settings, count = TrainedErrors(self.rows), [], DRAWS // SETTINGS
        rng = np.random.default_rng(derived_seed("hyper-parameters of predictions", self.seed))
        log_errors = np.empty((len(self.keys), DRAWS), np.float32)

        def draw(number: int, setting: Parameters) -> None:
            own = np.random.default_rng(derived_seed("draws of predictions", self.seed, number))
            part = slice(number * count, (number + 1) * count)
            log_errors[:, part] = trained.draw(setting, count, own).T[self.place]

        with one_thread(), ThreadPoolExecutor(min(cpu_cores(), MOST_THREADS)) as pool:
            parts = []
            for setting in sample(self.rows, rng, self.levels, SETTINGS):
                parts.append(pool.submit(draw, len(settings), setting))
                settings.append(setting)
            for part in parts:
                part.result()
        noise = np.sqrt(np.mean([each.noise[0] ** 2 for each in settings]))
        return Draws.rounded(log_errors, float(noise))


def _evidence(
    store: StudyStore, space: SearchSpace, model: CostModel, rungs: tuple[int, ...], seed: int
) -> _Evidence | None:
    """None where too few candidates were trained to the top rung."""
    outcomes = History(rungs, counts_for_nothing).of(store.logs[SEARCH].study)
    finished = [outcome for outcome in outcomes if not (outcome.failed or outcome.pending)]
    params = {o.key: o.params for o in finished if o.rung == rungs[-1]}
    if len(params) < LEAST:
        return None
    points = Points.at(space, list(params.values()))
    learner = Learner(points, model.of_points(points), model, rungs, seed)
    rows = learner.error_rows(finished)
    trainings = [key for key, _ in dict.fromkeys(outcome.training for outcome in finished)]
    tops = {trainings[number]: i for i, number in enumerate(rows.training[rows.level == 0])}
    place = np.array([tops[key] for key in params])
    return _Evidence(tuple(arch.key for arch in points), place, rows, len(rungs), seed)
