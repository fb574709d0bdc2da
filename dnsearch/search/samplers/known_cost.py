"""``KnownCostSampler``: a search that knows every cost before training, and so only learns errors.

The cheapest point is trained first. From then on a surrogate predicts the error of every point of
the space from what was trained so far; the point (and the rung) with the greatest expected gain of
hypervolume per compute is trained next.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from dnsearch.analysis.pareto import Axis, on_axis
from dnsearch.analysis.reference import FIRST_LATENCIES, MARGIN, first_latency
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.arrays import Floats, Indices
from dnsearch.cost.formula import CostArrays
from dnsearch.errors import ConfigError, nearest
from dnsearch.search.design import thinned
from dnsearch.search.feasible import CostModel, feasible_points
from dnsearch.search.parameters import RUNG
from dnsearch.search.samplers.acquisition import Staircase, screening_rate
from dnsearch.search.samplers.history import History, Outcome
from dnsearch.search.samplers.learner import Learner
from dnsearch.search.samplers.rungs import RungSampler
from dnsearch.search.samplers.scripts import ScriptHistory
from dnsearch.search.samplers.surrogate import Surrogate
from dnsearch.seeds import derived_seed

MOST_SCORED = 200_000
"""Points scored at once; of more a sample stratified over log MACs is drawn."""

SCREENED = 1000
"""Points, of those with the greatest gain per compute, for which lower rungs are weighed."""

CAUTION = 1.1
"""A lower rung must promise so many times the gain per compute of training straight to the top,
since what it is worth is itself only estimated."""

LATENCY = "latency_ms"
COSTS = ("params", "macs", "activations", LATENCY)


class KnownCostSampler(RungSampler):
    """An Optuna sampler for DenseNets whose error is traded against costs known before training.

    Its study minimises the error first, then ``costs`` in their order; the objective function takes
    its parameters from ``dnsearch.search.suggest(trial, space)``. With several ``rungs`` (epochs,
    rising) ``suggest(trial, space, rungs)`` also gives ``rung``, the epochs to train. The objective
    then notes the error at every rung it passes, ``trial.set_user_attr("errors", {1: .., 3: ..})``,
    and below the last one raises ``TrialPruned``; asked again for the same architecture with a
    higher rung, it may go on from where it was. A sampler serves one study.

    Trials that are no point of the space are left out, with one warning; those that violate a
    constraint of the script's own teach what they scored, but are not what others must beat. The
    threads of ``n_jobs`` never train the same point; processes with a sampler each may, where they
    ask at the same moment. Once every point was tried, ``study.optimize`` stops, with a warning;
    whoever asks for more gets ``TrialPruned``.

    model: the cost of any architecture on the study's images, and the limits. axis: on which
    hypervolume is measured. reference: by objective, ``error`` first; the error of guessing and 1.1
    times each cost's largest unless given. A latency is no known cost: it is predicted from those
    measured so far (user attribute ``latency_ms``). points: the points to choose from, all feasible
    ones unless given.

    Raises ConfigError for arguments that break these rules, SpaceError where no point meets the
    limits; and when it is asked, ConfigError for a study of other objectives or directions and for
    errors that are no shares between 0 and 1.
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
        _require_sound(costs, rungs, reference or {})
        rng = np.random.default_rng(derived_seed(seed))
        if points is None:
            points, known = feasible_points(space, model, rng)
        else:
            known = model.of_points(points)
        if len(points) > MOST_SCORED:
            points = points.take(thinned(known.macs, MOST_SCORED, rng))
            known = model.of_points(points)
        super().__init__(space, rungs, seed, history or ScriptHistory(space, costs, rungs))
        self.model, self.costs = model, costs
        self.axis: Axis = axis
        self.points, self.known = points, known
        self.reference = dict(reference or {})
        self.learner = Learner(points, known, model, rungs, seed)
        self._indices: dict[tuple[Any, ...], int | None] = {}

    def is_left(self, outcomes: Sequence[Outcome]) -> bool:
        """See ``RungSampler``."""
        return bool(len(self._status(outcomes)[1]))

    def choose(self, outcomes: Sequence[Outcome]) -> dict[str, Any]:
        """See ``RungSampler``."""
        index, rung = self.propose(outcomes)
        return {**self.points.values(index), RUNG: rung}

    def propose(self, outcomes: Sequence[Outcome]) -> tuple[int, int]:
        """The point to train next, as its position in ``points``, and the rung to train it to."""
        trained, free = self._status(outcomes)
        if not len(free):
            return 0, self.rungs[-1]  # nothing is left: a repeat, for the caller to turn down
        finished = [outcome for outcome in outcomes if not (outcome.pending or outcome.failed)]
        tops = [outcome for outcome in finished if outcome.rung == self.rungs[-1]]
        unmeasured = all(outcome.latency_ms is None for outcome in tops)
        if not finished or (LATENCY in self.costs and unmeasured):
            return int(free[np.argmin(self.known.macs[free])]), self.rungs[-1]
        return self._best(
            finished, [o for o in outcomes if o.pending], trained[free].astype(np.float64), free
        )

    def _best(
        self,
        finished: list[Outcome],
        pending: list[Outcome],
        trained: NDArray[np.float64],
        free: Indices,
    ) -> tuple[int, int]:
        """The free point and rung with the greatest expected gain per compute.

        ``trained`` are the epochs that each free point has behind it.
        """
        top = self.rungs[-1]
        errors = self.learner.errors(finished)
        if pending:
            errors = errors.believing(self.learner.described([o.params for o in pending])[0])
        latencies = self._latencies(finished)
        staircase = self._staircase(errors, latencies, finished, pending)
        features, macs = (
            self.learner.features.points[free],
            self.known.macs[free].astype(np.float64),
        )
        mean, sd = errors.predict(features)
        known = CostArrays(**{name: column[free] for name, column in vars(self.known).items()})
        costs, fits = self._costs(known, features, latencies)
        costs = on_axis(np.column_stack([mean, costs]), self.axis)[:, 1:]
        rate = _greatest(staircase, mean, sd, costs, fits / (macs * (top - trained)))
        if not rate.max() > 0:  # all that is free is expected to be worse: the least so
            return int(free[np.argmin(mean - sd)]), top
        best, rung, value = int(np.argmax(rate)), top, CAUTION * rate.max()
        near = np.argsort(-rate, kind="stable")[:SCREENED]
        for level, lower in self.learner.lower.items():
            some = near[(trained[near] < lower) & (rate[near] > 0)]
            if not len(some):
                continue
            rates = fits[some] * screening_rate(
                staircase,
                mean[some],
                sd[some],
                costs[some],
                explained=errors.explained(features[some], level),
                screen=macs[some] * (lower - trained[some]),
                rest=macs[some] * (top - lower),
                rate=rate.max(),
            )
            if rates.max() > value:
                best, rung, value = int(some[np.argmax(rates)]), lower, rates.max()
        return int(free[best]), rung

    def _status(self, outcomes: Sequence[Outcome]) -> tuple[NDArray[np.int64], Indices]:
        """Epochs that each point has behind it, and the positions of those that are free: neither
        failed nor pending nor trained to the top."""
        trained = np.zeros(len(self.points), np.int64)
        free = np.ones(len(self.points), bool)
        for outcome in outcomes:
            index = self._index(outcome)
            if index is None:
                continue
            if outcome.failed or outcome.pending or outcome.rung == self.rungs[-1]:
                free[index] = False
            else:
                trained[index] = max(trained[index], outcome.rung)
        return trained, np.flatnonzero(free)

    def _index(self, outcome: Outcome) -> int | None:
        """The outcome's position in ``points``; None for one beyond the sample of a large space."""
        if outcome.key not in self._indices:
            found = np.flatnonzero(self.points.distance(outcome.params) == 0)
            self._indices[outcome.key] = int(found[0]) if len(found) else None
        return self._indices[outcome.key]

    def _latencies(self, finished: list[Outcome]) -> Surrogate | None:
        """None where latency plays no part, or was not measured so far."""
        wanted = LATENCY in self.costs or self.model.limits.max_latency_ms is not None
        measured = [outcome for outcome in finished if outcome.latency_ms is not None]
        return self.learner.latencies(measured) if wanted and measured else None

    def _staircase(
        self,
        errors: Surrogate,
        latencies: Surrogate | None,
        finished: list[Outcome],
        pending: list[Outcome],
    ) -> Staircase:
        """Of what was trained to the top within the limits and of what is pending, each at its
        predicted error: a lucky score is no harder to beat than the architecture is good."""
        most = self.model.limits.max_latency_ms or np.inf
        top = self.rungs[-1]
        tops = [o for o in finished if o.rung == top and (o.latency_ms or 0) <= most and o.feasible]
        reference = on_axis(self._reference(finished), self.axis)
        if not tops + pending:
            return Staircase(np.empty((0, len(reference))), reference)
        features, known = self.learner.described([o.params for o in tops + pending])
        mean, _ = errors.predict(features)
        costs, _ = self._costs(known, features, latencies)
        return Staircase(on_axis(np.column_stack([np.exp(mean), costs]), self.axis), reference)

    def _costs(
        self, known: CostArrays, features: Floats, latencies: Surrogate | None
    ) -> tuple[Floats, Floats]:
        """Costs of architectures, (n, costs), and the chance that each meets the latency limit."""
        columns = {name: column.astype(np.float64) for name, column in vars(known).items()}
        fits = np.ones(len(features))
        if latencies is not None:
            mean, sd = latencies.predict(features)
            columns[LATENCY] = np.exp(mean)
            if self.model.limits.max_latency_ms is not None:
                fits = ndtr((np.log(self.model.limits.max_latency_ms) - mean) / sd)
        return np.column_stack([columns[name] for name in self.costs]), fits

    def _reference(self, finished: list[Outcome]) -> list[float]:
        """The point given, and what it leaves open by the rules of ``analysis.reference``."""
        point = {name: MARGIN * float(column.max()) for name, column in vars(self.known).items()}
        point["error"] = 1 - 1 / self.space.num_classes
        tops = [(o.finished, o.latency_ms) for o in finished if o.rung == self.rungs[-1]]
        point[LATENCY] = FIRST_LATENCIES * first_latency(tops)
        point |= {name: v for name, v in self.reference.items() if np.isfinite(v)}
        return [point[name] for name in ("error", *self.costs)]


def _greatest(
    staircase: Staircase, mean: Floats, sd: Floats, costs: Floats, weight: Floats
) -> Floats:
    """Expected improvement times weight, (n,), for as many as may be the greatest, 0 for others.

    In order of an upper bound, until no bound exceeds what was found: with many points or several
    costs a small part is enough.
    """
    bound = staircase.bound(mean, sd, costs) * weight
    order = np.argsort(-bound, kind="stable")
    rate = np.zeros(len(mean))
    for start in range(0, len(order), SCREENED):
        part = order[start : start + SCREENED]
        if bound[part[0]] <= rate.max():
            break
        rate[part] = staircase.improvement(mean[part], sd[part], costs[part]) * weight[part]
    return rate


def _require_sound(
    costs: tuple[str, ...], rungs: tuple[int, ...], reference: Mapping[str, float]
) -> None:
    for name in costs:
        if name not in COSTS:
            raise ConfigError("costs", "must name known costs", name, nearest(name, COSTS))
    if not rungs or min(rungs) < 1 or any(a >= b for a, b in itertools.pairwise(rungs)):
        raise ConfigError("rungs", "must rise, from 1 epoch or more", rungs)
    for name in reference:
        if name not in ("error", *costs):
            raise ConfigError("reference", "must name error and the costs alone", name)
    if not 0 < reference.get("error", 1) <= 1:
        rule = "must be a share above 0, at most 1"
        raise ConfigError("reference.error", rule, reference["error"])
