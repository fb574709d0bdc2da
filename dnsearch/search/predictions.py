"""Predicted errors of candidates, from all that a search has measured.

A measured error is the architecture's own, moved by the luck of one seed. The surrogate knows how
large that luck is and what similar architectures scored, so its posterior is the better estimate:
it takes back most of what the luckiest of many has gained by being picked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis.confidence import DRAWS
from dnsearch.analysis.predictions import HALF, Predictions
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.arrays import Floats
from dnsearch.machine import cpu_cores
from dnsearch.search.draws import Draws
from dnsearch.search.evaluators.base import SEARCH
from dnsearch.search.feasible import CostModel
from dnsearch.search.samplers.blas import one_thread
from dnsearch.search.samplers.covariance import Parameters, Rows
from dnsearch.search.samplers.history import History, by_training
from dnsearch.search.samplers.hyperparameters import sample
from dnsearch.search.samplers.learner import Learner
from dnsearch.search.samplers.pathwise import TrainedErrors
from dnsearch.search.store import Record, StudyStore, counts_for_nothing
from dnsearch.seeds import derived_seed

LEAST = 5
"""Full trainings; of fewer the surrogate would tell its prior, not the data."""

METHOD = 3
"""Of making draws: raised by whatever changes them, so that older ones are not taken for new."""

SETTINGS = 20
"""Of the surrogate's hyper-parameters. With the likeliest alone intervals are too narrow: it takes
for known how large a seed's luck is and how fast errors change."""

MOST_THREADS = 8
"""Each holds two matrices of all candidates."""


def predict_errors(
    store: StudyStore,
    space: SearchSpace,
    model: CostModel,
    rungs: tuple[int, ...],
    images: float,
    seed: int = 0,
    file: Path | None = None,
) -> Predictions | None:
    """Predictions of every candidate that was trained to the top rung and scored on so many
    validation ``images``; None while there are fewer than ``LEAST`` of the space.

    A network outside the space is predicted by its own training runs and the seed noise alone. What
    takes long is kept in ``file`` and read from there as long as it fits. 2,000 candidates take 2
    to 7 s on two cores.
    """
    half = HALF / images
    evidence = _evidence(store, space, model, rungs, seed, half)
    if evidence is None:
        return None
    draws = Draws.read(file, evidence.checksum) if file else None
    if draws is None:
        draws = evidence.draws()
        if file:
            draws.write(file, evidence.checksum)
    known = draws.errors  # of thousands of candidates 100 MB, so in place
    known -= half
    np.maximum(known, 0.0, out=known)
    others = errors_outside(store.records(), rungs, evidence.keys)
    rng = np.random.default_rng(derived_seed("predictions outside the space", seed))
    own = draws_of_own_runs(others.values(), draws.seed_noise, images, rng)
    known = np.hstack([known, own]) if len(others) else known
    return Predictions((*evidence.keys, *others), known, draws.seed_noise, images, rungs[-1])


def errors_outside(
    records: Iterable[Record], rungs: tuple[int, ...], inside: Collection[str]
) -> dict[str, list[float]]:
    """The errors of the finished networks that the surrogate does not know, by key; it knows those
    ``inside``."""
    errors: dict[str, list[float]] = {}
    for record in records:
        key, error = record.job.arch.key, record.score.error
        if key in inside or record.values is None or error is None or record.job.rung != rungs[-1]:
            continue
        errors.setdefault(key, []).append(error)
    return errors


def draws_of_own_runs(
    errors: Collection[Sequence[float]], noise: float, images: float, rng: np.random.Generator
) -> Floats:
    """Draws (s, n) of the error averaged over seeds of networks of which nothing is known but
    their own runs' ``errors`` (n, seeds), on so many images, and the ``noise`` of log error that
    one seed adds."""
    half = HALF / images
    mean = np.array([np.mean(np.log(np.asarray(own) + half)) for own in errors])
    spread = noise / np.sqrt([len(own) for own in errors])
    draws = np.exp(mean + spread * rng.standard_normal((DRAWS, len(errors))))
    return np.maximum(draws - half, 0.0)


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
        method = METHOD, DRAWS, SETTINGS, self.levels, self.seed
        told = *method, *self.keys, self.place.tolist(), self.rows.checksum
        return hashlib.sha256("\n".join(map(str, told)).encode()).hexdigest()

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
    store: StudyStore,
    space: SearchSpace,
    model: CostModel,
    rungs: tuple[int, ...],
    seed: int,
    half: float,
) -> _Evidence | None:
    """None where too few candidates were trained to the top rung."""
    outcomes = History(rungs, counts_for_nothing).of(store.logs[SEARCH].study)
    finished = [outcome for outcome in outcomes if not (outcome.failed or outcome.pending)]
    params = {o.key: o.params for o in finished if o.rung == rungs[-1]}
    if len(params) < LEAST:
        return None
    points = Points.at(space, list(params.values()))
    learner = Learner(points, model.of_points(points), model, rungs, seed, shift=half)
    rows = learner.error_rows(finished)
    trainings = by_training(finished)
    tops = {trainings[n][0].key: i for i, n in enumerate(rows.training[rows.level == 0])}
    place = np.array([tops[key] for key in params])
    return _Evidence(tuple(arch.key for arch in points), place, rows, len(rungs), seed)
