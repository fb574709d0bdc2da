"""``KnownCostSampler``: a search that knows every cost before training, and so only learns errors.

The cheapest point is trained first. From then on a surrogate predicts the error of every point of
the space from what was trained so far; the point (and the rung) with the greatest expected gain of
hypervolume per compute is trained next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial
from scipy.special import ndtr

from dnsearch.analysis.pareto import Axis, on_axis
from dnsearch.arch.config import ArchArrays
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.search.acquisition import Staircase, screening_rate
from dnsearch.search.design import thinned
from dnsearch.search.feasible import CostModel, feasible_points
from dnsearch.search.features import Features
from dnsearch.search.history import History, Outcome
from dnsearch.search.parameters import RUNG, distributions, rung_distribution
from dnsearch.search.surrogate import Parameters, Rows, Surrogate, fit
from dnsearch.seeds import derived_seed

MOST_SCORED = 200_000
"""Points scored at once; of more a sample stratified over log MACs is drawn."""

SCREENED = 1000
"""Points, of those with the greatest gain per compute, for which lower rungs are weighed."""

CALIBRATION = 60
"""Trainings to the top, the latest, whose lower rungs are used too: what they are worth."""

CAUTION = 1.1
"""A lower rung must promise so many times the gain per compute of training straight to the top,
since what it is worth is itself only estimated."""

REFIT = 1.15
"""Hyper-parameters are fitted anew when there are this many times as many trainings."""

LEAST_ERROR = 1e-4
LATENCY = "latency_ms"

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class KnownCostSampler(BaseSampler):
    """An Optuna sampler for DenseNets whose error is traded against costs known before training.

    Its study minimises the error first, then ``costs`` in their order; the objective function takes
    its parameters from ``dnsearch.search.suggest(trial, space)``. With several ``rungs`` (epochs,
    rising) ``suggest(trial, space, rungs)`` also gives ``rung``, the epochs to train. The objective
    then notes the error at every rung it passes, ``trial.set_user_attr("errors", {1: .., 3: ..})``,
    and below the last one raises ``TrialPruned``; asked again for the same architecture with a
    higher rung, it may go on from where it was. A sampler serves one study.

    model: the cost of any architecture on the study's images, and the limits. axis: on which
    hypervolume is measured. reference: by objective, ``error`` first; the error of guessing and 1.1
    times each cost's largest unless given. A latency is no known cost: it is predicted from those
    measured so far. points: the points to choose from, all feasible ones unless given.

    Raises ConfigError and SpaceError as ``feasible_points`` does.
    """

    def __init__(
        self,
        space: SearchSpace,
        model: CostModel,
        costs: tuple[str, ...] = ("macs",),
        rungs: tuple[int, ...] = (1,),
        axis: Axis = "log",
        reference: Mapping[str, float] | None = None,
        seed: int = 0,
        points: Points | None = None,
        history: History | None = None,
    ) -> None:
        rng = np.random.default_rng(derived_seed(seed))
        if points is None:
            points, known = feasible_points(space, model, rng)
        else:
            known = model.of_points(points)
        if len(points) > MOST_SCORED:
            points = points.take(thinned(known.macs, MOST_SCORED, rng))
            known = model.of_points(points)
        self.space, self.model, self.costs, self.rungs = space, model, costs, rungs
        self.axis: Axis = axis
        self.seed, self.points, self.known = seed, points, known
        self.history = history or History(rungs)
        self.features = Features(points.arrays(), known)
        self.reference = dict(reference or {})
        self._indices: dict[tuple[Any, ...], int | None] = {}
        self._parameters: dict[tuple[int, ...], Parameters] = {}
        self._independent = RandomSampler(seed=seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return distributions(self.space) | rung_distribution(self.rungs)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        index, rung = self.propose(self.history.of(study, trial.number))
        chosen = {**self.points.values(index), RUNG: rung}
        return {name: chosen[name] for name in search_space}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Nothing to do: a proposal is a function of the trials and the seed alone."""

    def propose(self, outcomes: Sequence[Outcome]) -> tuple[int, int]:
        """The point to train next, as its position in ``points``, and the rung to train it to."""
        status = self._status(outcomes)
        finished = [outcome for outcome in outcomes if not (outcome.pending or outcome.failed)]
        open_ = np.flatnonzero(status.open)
        if not len(open_):
            return 0, self.rungs[-1]  # nothing is left: a repeat, for the caller to turn down
        if not finished:
            return int(open_[np.argmin(self.known.macs[open_])]), self.rungs[-1]
        return self._best(finished, status, open_)

    def _best(self, finished: list[Outcome], status: _Status, open_: Ints) -> tuple[int, int]:
        """The open point and rung with the greatest expected gain per compute."""
        surrogate = self._surrogate(finished).believing(self.features.points[status.pending])
        mean, sd = surrogate.predict(self.features.points)
        costs, fits = self._costs(finished)
        rows = on_axis(np.column_stack([np.exp(mean), costs]), self.axis)
        done = np.concatenate([status.finished, status.pending])
        staircase = Staircase(rows[done], on_axis(self._reference(finished), self.axis))
        left = self.known.macs[open_] * (self.rungs[-1] - status.trained[open_])
        rate = staircase.improvement(mean[open_], sd[open_], rows[open_, 1:]) * fits[open_] / left
        if not rate.max() > 0:  # all that is open is expected to be worse: the least so
            return int(open_[np.argmin(mean[open_] - sd[open_])]), self.rungs[-1]
        best, rung = int(open_[np.argmax(rate)]), self.rungs[-1]
        value = CAUTION * rate.max()
        near = open_[np.argsort(-rate, kind="stable")[:SCREENED]]
        for level, lower in self._levels.items():
            some = near[status.trained[near] < lower]
            if level not in surrogate.rows.level or not len(some):
                continue
            macs = self.known.macs[some].astype(np.float64)
            screen, rest = macs * (lower - status.trained[some]), macs * (self.rungs[-1] - lower)
            explained = surrogate.explained(self.features.points[some], level)
            rates = fits[some] * screening_rate(
                staircase, mean[some], sd[some], rows[some, 1:], explained, screen, rest, rate.max()
            )
            if rates.max() > value:
                best, rung, value = int(some[np.argmax(rates)]), lower, rates.max()
        return best, rung

    @property
    def _levels(self) -> dict[int, int]:
        """The surrogate's levels of the lower rungs; the top rung is its level 0."""
        return dict(enumerate(self.rungs[:-1], start=1))

    def _status(self, outcomes: Sequence[Outcome]) -> _Status:
        trained = np.zeros(len(self.points), np.int64)
        open_ = np.ones(len(self.points), bool)
        finished, pending = [], []
        for outcome in outcomes:
            index = self._index(outcome.params)
            if index is None:
                continue
            if outcome.failed or outcome.pending:
                open_[index] = False
            if outcome.pending:
                pending.append(index)
            elif not outcome.failed:
                trained[index] = max(trained[index], outcome.rung)
                if outcome.rung == self.rungs[-1]:
                    open_[index] = False
                    finished.append(index)
        return _Status(trained, open_, np.array(finished, np.intp), np.array(pending, np.intp))

    def _index(self, params: Mapping[str, Any]) -> int | None:
        key = tuple(sorted(params.items()))
        if key not in self._indices:
            found = np.flatnonzero(self.points.distance(params) == 0)
            self._indices[key] = int(found[0]) if len(found) else None
        return self._indices[key]

    def _surrogate(self, finished: list[Outcome]) -> Surrogate:
        """The posterior on all that finished; hyper-parameters from a part that grows in steps, so
        that they are fitted anew only now and then, and depend on the trials alone."""
        rows = self._rows(finished)
        fitted = finished[: _scheduled(len(finished))]
        key = tuple(outcome.number for outcome in fitted)
        if key not in self._parameters:
            rng = np.random.default_rng(derived_seed(self.seed, len(fitted)))
            self._parameters = {key: fit(self._rows(fitted), rng)}
        return Surrogate(rows, self._parameters[key])

    def _rows(self, finished: list[Outcome]) -> Rows:
        archs = ArchArrays.of([self.space.config(outcome.params) for outcome in finished])
        features = self.features.of(archs, self.model.of_archs(archs))
        top = self.rungs[-1]
        to_top = [position for position, o in enumerate(finished) if o.rung == top]
        late = set(to_top[-CALIBRATION:])
        which, level, value = [], [], []
        for position, outcome in enumerate(finished):
            if outcome.rung == top:
                which.append(position)
                level.append(0)
                value.append(math.log(max(outcome.signals[top]["error"], LEAST_ERROR)))
                if position not in late:
                    continue
            for lower, rung in self._levels.items():
                if rung in outcome.signals:
                    which.append(position)
                    level.append(lower)
                    value.append(signal(outcome.signals[rung]))
        trainings = {str(sorted(o.params.items())): i for i, o in enumerate(finished)}
        training = [trainings[str(sorted(o.params.items()))] for o in finished]
        chosen = np.array(which, np.intp)
        return Rows(
            features[chosen], np.array(level, np.intp), np.array(training)[chosen], np.array(value)
        )

    def _reference(self, finished: list[Outcome]) -> list[float]:
        largest = {name: 1.1 * float(column.max()) for name, column in vars(self.known).items()}
        largest["error"] = 1 - 1 / self.space.num_classes
        if LATENCY in self.costs:
            measured = [o.values[1 + self.costs.index(LATENCY)] for o in finished if o.values]
            largest[LATENCY] = 10 * measured[0] if measured else math.inf
        known = {n: v for n, v in self.reference.items() if math.isfinite(v)}
        return [(largest | known)[name] for name in ("error", *self.costs)]

    def _costs(self, finished: list[Outcome]) -> tuple[Floats, Floats]:
        """Costs of all points, (n, costs), and the chance that each meets the latency limit."""
        fits = np.ones(len(self.points))
        columns = []
        for name in self.costs:
            if name == LATENCY:
                mean, sd = self._latency(finished, 1 + self.costs.index(name))
                columns.append(np.exp(mean))
                if self.model.limits.max_latency_ms is not None:
                    fits = ndtr((math.log(self.model.limits.max_latency_ms) - mean) / sd)
            else:
                columns.append(getattr(self.known, name).astype(np.float64))
        return np.column_stack(columns), fits

    def _latency(self, finished: list[Outcome], column: int) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the log of each point's latency, in milliseconds."""
        measured = [outcome for outcome in finished if len(outcome.values) > column]
        archs = ArchArrays.of([self.space.config(outcome.params) for outcome in measured])
        features = self.features.of(archs, self.model.of_archs(archs))
        value = np.log([outcome.values[column] for outcome in measured])
        count = len(measured)
        rows = Rows(features, np.zeros(count, np.intp), np.arange(count), value)
        rng = np.random.default_rng(derived_seed(self.seed, count))
        return Surrogate.fit(rows, rng).predict(self.features.points)


@dataclass(frozen=True)
class _Status:
    """How each point stands: ``trained`` (n,) epochs, ``open`` (n,) a mask; ``finished`` and
    ``pending`` are positions."""

    trained: NDArray[np.int64]
    open: NDArray[np.bool_]
    finished: Ints
    pending: Ints


def signal(measured: Mapping[str, float]) -> float:
    """A lower rung's evidence of the final log error: the mean of the logs of what was measured."""
    return float(np.mean(np.log(np.maximum(list(measured.values()), LEAST_ERROR))))


def _scheduled(count: int) -> int:
    """The greatest step of the schedule of fits that is not above ``count``."""
    step = min(count, 8)
    while (following := max(step + 1, math.ceil(step * REFIT))) <= count:
        step = following
    return step
