"""By how much a network that was not trained may be better than the answer.

The regret of a network is its error less the least error of all networks of the space within the
limits, trained or not, averaged over seeds. It is drawn from the surrogate's joint posterior,
for hyper-parameters that are drawn too, as those of ``search.predictions`` are: with the likeliest
alone it is told too small. Of many points those that promise most are drawn together; the others
are almost surely worse than one of these.

Everything but errors is known beforehand, except for a latency: networks that may turn out to break
its limit count as within it, so the regret told is then too large rather than too small.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from dnsearch.analysis.confidence import DRAWS
from dnsearch.analysis.predictions import HALF
from dnsearch.analysis.regret import Regret
from dnsearch.arch.space import MOST_ENUMERATED, Points, SearchSpace
from dnsearch.arrays import Floats, Indices
from dnsearch.errors import DnsearchError
from dnsearch.files import read_json, write_json
from dnsearch.search.evaluators.base import SEARCH
from dnsearch.search.feasible import CostModel, feasible_points, identities, sampled
from dnsearch.search.predictions import LEAST, SETTINGS, draws_of_own_runs, errors_outside
from dnsearch.search.problem import Problem
from dnsearch.search.samplers.acquisition import expected_improvement
from dnsearch.search.samplers.blas import one_thread
from dnsearch.search.samplers.covariance import JITTER, Parameters, Rows
from dnsearch.search.samplers.history import History, Outcome
from dnsearch.search.samplers.hyperparameters import sample
from dnsearch.search.samplers.learner import Learner
from dnsearch.search.samplers.pool import CENTRES, MOST_WORK, Pool
from dnsearch.search.samplers.surrogate import Surrogate
from dnsearch.search.samplers.triangle import sure_factor, times_factor
from dnsearch.search.samplers.weighing import Greatest, slack
from dnsearch.search.store import Record, StudyStore, counts_for_nothing
from dnsearch.seeds import derived_seed

METHOD = 2
"""Of drawing regrets: raised by whatever changes them, so that older ones are not taken for new."""

MOST_KEPT = 20_000
"""Points whose promise is computed; of more a sample stratified over log MACs, and what lies beside
the best of it."""

MOST_DRAWN = 500
"""Points that are drawn together; half of them are kept for those that were not trained."""

Params = Mapping[str, Any]
"""A point's choices by dimension."""


class Errors(NamedTuple):
    """Draws (s, n) of the error (0 to 1) of n networks averaged over seeds; the trained ones,
    with these ``keys``, come first."""

    keys: tuple[str, ...]
    draws: Floats

    @property
    def least(self) -> str:
        """The trained network of least predicted error."""
        return self.keys[int(np.median(self.draws[:, : len(self.keys)], axis=0).argmin())]

    def regret(self, key: str) -> Floats:
        """Draws (s,) of the regret of the trained network with this key."""
        return self.draws[:, self.keys.index(key)] - self.draws.min(axis=1)


@dataclass(frozen=True)
class Surrogates:
    """Of log error, by so many ``settings`` of the hyper-parameters; each is made when it is asked
    for, since it holds the square of its rows."""

    rows: Rows
    settings: tuple[Parameters, ...]

    def __iter__(self) -> Iterator[Surrogate]:
        return (Surrogate(self.rows, each) for each in self.settings)

    @property
    def seed_noise(self) -> float:
        """The standard deviation that one seed adds to log error."""
        return math.sqrt(np.mean([each.noise[0] ** 2 for each in self.settings]))


class Feasible:
    """The networks of a space that are within the limits, for what may be said of their errors.

    points: these, or a sample of them. images: as many validation images as an error is worth.
    closed: there are no others.
    """

    def __init__(
        self,
        points: Points,
        model: CostModel,
        rungs: tuple[int, ...],
        images: float,
        seed: int,
        closed: bool = False,
    ) -> None:
        self.model, self.rungs, self.images, self.seed = model, rungs, images, seed
        self.partly = not closed and (
            len(points) > MOST_KEPT or points.space.size > MOST_ENUMERATED
        )
        rng = np.random.default_rng(derived_seed("points of regrets", seed))
        points, known = sampled(points, model.of_points(points), MOST_KEPT, rng)
        self.learner = Learner(points, known, self.model, self.rungs, seed, shift=HALF / images)
        self.pool = Pool(points, known, self.learner.features.points)

    @classmethod
    def of(cls, problem: Problem, images: float, seed: int) -> Self:
        """Those of a search."""
        return cls(
            problem.points, problem.model, problem.rungs, images, seed, closed=problem.closed
        )

    def errors(
        self,
        outcomes: Sequence[Outcome],
        records: Sequence[Record] = (),
        settings: int = SETTINGS,
    ) -> Errors | None:
        """What ``outcomes`` say of the networks that were trained to the top rung and of those that
        promise most, by so many ``settings`` of the hyper-parameters; networks outside the space
        are told of by their own training runs, which are among the ``records``. What breaks a limit
        is left out. None where fewer than ``LEAST`` of the space were trained so far."""
        done = [each for each in outcomes if not (each.failed or each.pending)]
        too_slow = self.model.is_too_slow
        full = {each.key: each for each in done if each.rung == self.rungs[-1]}
        trained = [each.params for each in full.values() if not too_slow(each.latency_ms)]
        if len(trained) < LEAST:
            return None
        barred = [each.params for each in outcomes if each.failed or too_slow(each.latency_ms)]
        rng = np.random.default_rng(derived_seed("draws of regrets", self.seed))
        with one_thread():
            surrogates = self.surrogates(done, rng, settings)
            best, rest = self._most_promising(surrogates, trained, barred)
            features = np.vstack([best.features, rest.features])
            draws = np.exp(np.vstack([draws_at(each, features, rng) for each in surrogates]))
        inside, untried = np.split(np.maximum(draws - HALF / self.images, 0.0), [len(best)], axis=1)
        space = Points.at(self.pool.points.space, [each.params for each in full.values()])
        feasible = [record for record in records if record.feasible]
        others = errors_outside(feasible, self.rungs, {arch.key for arch in space})
        outside = draws_of_own_runs(others.values(), surrogates.seed_noise, self.images, rng)[
            : len(draws)
        ]
        keys = (*(arch.key for arch in best.points), *others)
        return Errors(keys, np.hstack([inside, outside, untried]))

    def surrogates(
        self, done: Sequence[Outcome], rng: np.random.Generator, settings: int
    ) -> Surrogates:
        """By so many ``settings`` of the hyper-parameters, drawn from what these trainings say of
        them."""
        rows = self.learner.error_rows(done)
        return Surrogates(rows, tuple(sample(rows, rng, len(self.rungs), settings)))

    def _most_promising(
        self, surrogates: Surrogates, trained: Sequence[Params], barred: Sequence[Params]
    ) -> tuple[Pool, Pool]:
        """Of the ``trained`` points, and of those that are neither trained nor ``barred``, those
        whose error is expected to be least, or may be: by their expected improvement on the least
        predicted error of the trained ones."""
        pool = self._with([*trained, *barred])
        work = len(pool) * len(surrogates.rows) ** 2  # for each setting of the hyper-parameters
        weighing = list(itertools.islice(surrogates, max(1, int(MOST_WORK / work))))
        own = np.array(pool.places(trained), np.intp)
        to_beat = [np.exp(each.mean(pool.features[own]).min()) for each in weighing]

        def promise(of: Pool) -> Floats:
            found = [
                greatest_improvements(each, of.features, least)
                for each, least in zip(weighing, to_beat, strict=True)
            ]
            return np.mean(found, axis=0)

        promised, before = promise(pool), -1.0
        while self.partly and promised.max() > before and len(pool) < 2 * MOST_KEPT:
            before = promised.max()
            centres = pool.points.take(_greatest(promised, CENTRES))
            beside = pool.beside(centres, self.model, self.learner.features)
            if not len(beside):
                break
            pool = pool.and_also(beside)
            promised = np.concatenate([promised, promise(beside)])
        free = np.ones(len(pool), bool)
        free[[*own, *np.array(pool.places(barred), np.intp)]] = False
        left = np.flatnonzero(free)
        own = own[_greatest(promised[own], MOST_DRAWN - min(len(left), MOST_DRAWN // 2))]
        left = left[_greatest(promised[left], MOST_DRAWN - len(own))]
        return pool.take(own), pool.take(left)

    def _with(self, params: Sequence[Params]) -> Pool:
        """The pool, with points of these parameters that a sample has left out."""
        places = self.pool.places(params)
        missing = [each for each, place in zip(params, places, strict=True) if place is None]
        if not missing:
            return self.pool
        features, known = self.learner.described(missing)
        points = Points.at(self.pool.points.space, missing)
        _, first = np.unique(identities(points), return_index=True)
        return self.pool.and_also(Pool(points, known, features).take(first))


@dataclass(frozen=True)
class Scope:
    """Which networks and which errors are meant: those of the space within the limits of ``model``,
    trained to the top of these rungs; ``images`` as of ``Feasible``."""

    space: SearchSpace
    model: CostModel
    rungs: tuple[int, ...]
    images: float
    seed: int = 0

    @cached_property
    def feasible(self) -> Feasible:
        """Found once, since that takes seconds where the space is large."""
        rng = np.random.default_rng(derived_seed(self.seed))
        points, _ = feasible_points(self.space, self.model, rng)
        return Feasible(points, self.model, self.rungs, self.images, self.seed)


def look_ahead(
    store: StudyStore, scope: Scope, key: str, probability: float, file: Path | None = None
) -> Regret | None:
    """The regret of the network with this key, which is what going on with the search would be
    worth. None while too few are trained, or where nothing is known of this one. As it takes a
    second, and with large spaces some, it is kept in ``file`` and read from there as long as it
    fits."""
    space, model, rungs, images, seed = (getattr(scope, each.name) for each in fields(scope))
    outcomes, records = ended_trials(store, History(rungs, counts_for_nothing)), store.records()
    done = [outcome for outcome in outcomes if not outcome.failed]
    if not done:
        return None
    trained = [(r.job.arch.key, r.job.seed, r.job.rung, r.score.error) for r in records]
    points = Points.at(space, [outcome.params for outcome in done])  # of all it takes seconds
    learner = Learner(points, model.of_points(points), model, rungs, seed, shift=HALF / images)
    method = METHOD, DRAWS, SETTINGS, MOST_KEPT, MOST_DRAWN, learner.error_rows(done).checksum
    made_from = method, space, model, rungs, images, key, probability, seed, outcomes, trained
    checksum = hashlib.sha256(repr(made_from).encode()).hexdigest()
    found = _read(file, checksum) if file else None
    if found is not None:
        return found
    errors = scope.feasible.errors(outcomes, records, SETTINGS)
    if errors is None or key not in errors.keys:
        return None
    found = Regret.of(errors.regret(key), probability)
    if file:
        with contextlib.suppress(DnsearchError):  # a full disk, or a folder that is only read
            write_json(file, {"made_from": checksum, **found._asdict()})
    return found


def _read(file: Path, checksum: str) -> Regret | None:
    """None where there is no such file, or it was made from anything else, or is damaged."""
    try:
        told = read_json(file)
        if told.pop("made_from") != checksum:
            return None
        return Regret(**{name: float(value) for name, value in told.items()})
    except (DnsearchError, ValueError, KeyError, TypeError):
        return None


def ended_trials(store: StudyStore, history: History) -> list[Outcome]:
    """What has come of the search's trials, in the order they ended."""
    outcomes = history.of(store.logs[SEARCH].study)
    return sorted((o for o in outcomes if not o.pending), key=lambda each: each.finished)


def draws_at(
    surrogate: Surrogate,
    features: Floats,
    rng: np.random.Generator,
    count: int = DRAWS // SETTINGS,
) -> Floats:
    """Draws of log error at these points (n, d) together: (count, n)."""
    mean, covariance = surrogate.joint(features)
    covariance[np.diag_indices_from(covariance)] += JITTER
    root = sure_factor(lambda _: covariance, np.dtype(np.float64))
    normal = rng.standard_normal((len(features), count))
    return mean + times_factor(root, normal).T


def greatest_improvements(
    surrogate: Surrogate, features: Floats, least: float, count: int = MOST_DRAWN
) -> Floats:
    """Expected improvements on the error ``least`` of points (n, d), (n,): the ``count`` greatest
    exact, and of others at most as much as they may be, which is less."""
    mean, sd = surrogate.roughly(features)
    found = expected_improvement(mean, sd, least) * slack(sd)
    exact = Greatest(count)
    for part in exact.may_be_among(found, count):
        found[part] = expected_improvement(*surrogate.predict(features[part]), least)
        exact.add(found[part])
    return found


def _greatest(values: Floats, count: int) -> Indices:
    """The positions of the greatest, the greatest first."""
    return np.argsort(-values, kind="stable")[:count]
