"""``KnownCostSampler``: a search that knows every cost before training, and so only learns errors.

The cheapest point is trained first. From then on a surrogate predicts the error of every point of
the space from what was trained so far; the point (and the rung) with the greatest expected gain of
hypervolume per compute is trained next.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from dnsearch.analysis.pareto import Axis, nondominated, on_axis
from dnsearch.analysis.reference import FIRST_LATENCIES, MARGIN, first_latency
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.arrays import Floats, Indices
from dnsearch.config import Aim
from dnsearch.cost.formula import CostArrays
from dnsearch.cost.latency import Latencies
from dnsearch.errors import ConfigError, nearest
from dnsearch.search.design import thinned
from dnsearch.search.feasible import CostModel, feasible_points, sampled
from dnsearch.search.parameters import RUNG
from dnsearch.search.samplers.acquisition import Staircase
from dnsearch.search.samplers.blas import one_thread
from dnsearch.search.samplers.history import History, Outcome
from dnsearch.search.samplers.learner import Learner
from dnsearch.search.samplers.pool import CENTRES, MOST_WORK, Pool
from dnsearch.search.samplers.rungs import RungSampler
from dnsearch.search.samplers.scripts import ScriptHistory
from dnsearch.search.samplers.surrogate import Surrogate
from dnsearch.search.samplers.weighing import Beliefs, Further, Screening, Weighed
from dnsearch.seeds import derived_seed

MOST_KEPT = 200_000
"""Points held between proposals; of more a sample stratified over log MACs is drawn."""

LEAST_WEIGHED = 1000
"""Points, however many rows there are. Where these, or as many as ``MOST_WORK`` allows, are not
all, a part of them and what lies beside the best of it is weighed."""

REACH: Mapping[Aim, float] = MappingProxyType({"front": 3.0, "least-error": 1e9})
"""Times each cost of the reference point up to which gains of hypervolume are weighed. At the
reference point itself a network as large as the limits allow gains next to nothing, however good it
is; but the least error within the limits is the answer of a search. So far beyond the reference
point that costs differ by next to nothing, only the least error counts."""

LATENCY = "latency_ms"
COSTS = ("params", "macs", "activations", LATENCY)

STALE, LEAST_KNOWN = 0.25, 0.9
"""Points are weighed anew once the trials that have ended since the last weighing are more than
``STALE`` times those under way, whose results a proposal lacks anyway, or once that weighing knew
less than ``LEAST_KNOWN`` of all that have ended: of the first results each tells much."""


class _Weighing:
    """One weighing of the points, and the proposals made from it until it is stale, of which all
    but the first are cheap.

    numbers: of the trials that had ended by then. to_beat: the rows that others must beat.
    believed: numbers of the trials that are taken to come out as predicted, because they are under
    way or have ended since.
    """

    def __init__(
        self,
        numbers: frozenset[int],
        beliefs: Beliefs,
        to_beat: Floats,
        latencies: Latencies | None,
        weighed: Weighed,
        rungs: tuple[Mapping[int, int], int],
    ) -> None:
        self.numbers, self.beliefs, self.latencies = numbers, beliefs, latencies
        self.weighed, self._own, self._rungs = weighed, to_beat, rungs
        self.forget_beliefs()

    def forget_beliefs(self) -> None:
        """As it was at first."""
        self.further = Further(self.beliefs, self.weighed, *self._rungs)
        self.to_beat, self.believed = self._own, list[int]()

    def choice(self) -> tuple[int, int]:
        """The point to train next, by its place among those weighed, and the rung."""
        if self.believed:
            return self.further.choice()
        beliefs = self.beliefs
        return self.weighed.choice(beliefs.staircase, Screening(beliefs.errors, *self._rungs))


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
    times each cost's largest unless given. Gains are weighed up to ``REACH`` times its costs. A
    latency is nearly known: ``model.latency`` predicts it, corrected by those measured so far (user
    attribute ``latency_ms``); of a network that was measured it is what was measured. points: the
    points to choose from, all feasible ones unless given. aim: the whole front, or ``least-error``,
    that within the limits alone.

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
        aim: Aim = "front",
    ) -> None:
        _require_sound(costs, rungs, reference or {})
        rng = np.random.default_rng(derived_seed(seed))
        if points is None:
            points, known = feasible_points(space, model, rng)
        else:
            known = model.of_points(points)
        self.thinned = len(points) > MOST_KEPT
        points, known = sampled(points, known, MOST_KEPT, rng)
        super().__init__(space, rungs, seed, history or ScriptHistory(space, costs, rungs))
        self.model, self.costs = model, costs
        self.axis: Axis = axis
        self.reference, self.reach = dict(reference or {}), REACH[aim]
        self.learner = Learner(points, known, model, rungs, seed)
        self.pool = Pool(points, known, self.learner.features.points)
        self._weighing: _Weighing | None = None

    def __getstate__(self) -> dict[str, Any]:
        """See ``RungSampler``; what is kept between proposals is made again."""
        return super().__getstate__() | {"_weighing": None}

    def is_left(self, outcomes: Sequence[Outcome]) -> bool:
        """See ``RungSampler``."""
        return bool(len(self._status(self.pool, outcomes)[1]))

    def choose(self, outcomes: Sequence[Outcome]) -> dict[str, Any] | None:
        """See ``RungSampler``."""
        with one_thread():
            proposed = self._proposed(outcomes)
        if proposed is None:
            return None
        pool, place, rung = proposed
        return {**pool.points.values(place), RUNG: rung}

    def _proposed(self, outcomes: Sequence[Outcome]) -> tuple[Pool, int, int] | None:
        """The point to train next, by its place in a pool, and the rung to train it to; None where
        nothing is left."""
        pool, top = self.pool, self.rungs[-1]
        finished = [outcome for outcome in outcomes if not (outcome.pending or outcome.failed)]
        unmeasured = all(o.latency_ms is None for o in finished if o.rung == top)
        if finished and not (LATENCY in self.costs and unmeasured):
            weighing = self._weighing_of(outcomes, finished)
            if weighing.further.is_left:
                return weighing.weighed.pool, *weighing.choice()
        _, free = self._status(pool, outcomes)
        if not len(free):
            return None
        return pool, int(free[np.argmin(pool.macs[free])]), top

    def _weighing_of(self, outcomes: Sequence[Outcome], finished: list[Outcome]) -> _Weighing:
        """The one that is kept unless it is stale, with what it was not weighed by believed."""
        ended = [outcome for outcome in outcomes if not outcome.pending]
        numbers, kept = frozenset(outcome.number for outcome in ended), self._weighing
        if kept is None or _is_stale(kept.numbers, numbers, len(outcomes) - len(ended)):
            kept = self._weighing = self._weighed_anew(numbers, ended, finished)
        others = [outcome for outcome in outcomes if outcome.number not in kept.numbers]
        if [outcome.number for outcome in others[: len(kept.believed)]] != kept.believed:
            kept.forget_beliefs()  # a proposal was withdrawn
        self._believe(kept, others[len(kept.believed) :])
        return kept

    def _believe(self, weighing: _Weighing, others: list[Outcome]) -> None:
        """As if these, too, had come out as predicted."""
        if not others:
            return
        params, beliefs = [outcome.params for outcome in others], weighing.beliefs
        also = self._to_beat(beliefs.errors, others, weighing.latencies)
        weighing.to_beat = np.vstack([weighing.to_beat, also])
        weighing.further.believe(
            self.learner.described(params)[0],
            params,
            Staircase(weighing.to_beat, beliefs.staircase.reference),
        )
        weighing.believed += [outcome.number for outcome in others]

    def _weighed_anew(
        self, numbers: frozenset[int], ended: list[Outcome], finished: list[Outcome]
    ) -> _Weighing:
        """From what has ended, of which ``finished`` did not fail."""
        pool, top = self.pool, self.rungs[-1]
        trained, free = self._status(pool, ended)
        errors, latencies = self.learner.errors(finished), self._latencies(finished)
        rivals = self._rivals(finished)
        to_beat = self._to_beat(errors, rivals, latencies)
        beliefs = self._beliefs(errors, to_beat, self._reference(finished), latencies)
        most = max(LEAST_WEIGHED, int(MOST_WORK / len(errors.rows) ** 2))
        partly = len(free) > most or (self.thinned and len(free) > 0)
        if len(free) > most:
            rng = np.random.default_rng(derived_seed(self.seed, len(ended)))
            free = free[thinned(pool.macs[free], most // 2, rng)]
        weighed = beliefs.weigh(pool.take(free), trained[free], top)
        if partly:
            best = [o.params for o, on in zip(rivals, nondominated(to_beat), strict=True) if on]
            front = Points.at(self.space, best)
            weighed = self._sharpened(beliefs, weighed, front, ended, most)
        rungs = self.learner.lower, top
        return _Weighing(numbers, beliefs, to_beat, latencies, weighed, rungs)

    def _sharpened(
        self,
        beliefs: Beliefs,
        weighed: Weighed,
        front: Points,
        outcomes: Sequence[Outcome],
        most: int,
    ) -> Weighed:
        """These points, and what lies one step beside the best of them and of what was trained,
        then beside the best of all that, until nothing better is found or ``most`` are weighed."""
        centres, before = Points.joined([weighed.best(CENTRES), front]), -1.0
        while weighed.rate.max() > before and (len(weighed.pool) < most or before < 0):
            before = float(weighed.rate.max())
            beside = weighed.pool.beside(centres, self.model, self.learner.features)
            trained, free = self._status(beside, outcomes)
            if not len(free):
                break
            found = beliefs.weigh(beside.take(free), trained[free], self.rungs[-1])
            weighed = weighed.and_also(found)
            centres = weighed.best(CENTRES)
        return weighed

    def _status(self, pool: Pool, outcomes: Sequence[Outcome]) -> tuple[NDArray[np.int64], Indices]:
        """Epochs that each point has behind it, and the places of those that are free: neither
        failed nor pending nor too slow nor trained to the top."""
        trained = np.zeros(len(pool), np.int64)
        free = np.ones(len(pool), bool)
        places = pool.places([outcome.params for outcome in outcomes])
        for place, outcome in zip(places, outcomes, strict=True):
            if place is None:  # beyond the sample of a large space
                continue
            is_over = outcome.failed or self.model.is_too_slow(outcome.latency_ms)
            if is_over or outcome.pending or outcome.rung == self.rungs[-1]:
                free[place] = False
            else:
                trained[place] = max(trained[place], outcome.rung)
        return trained, np.flatnonzero(free)

    def _beliefs(
        self,
        errors: Surrogate,
        to_beat: Floats,
        reference: list[float],
        latencies: Latencies | None,
    ) -> Beliefs:
        return Beliefs(
            errors,
            Staircase(to_beat, on_axis(reference, self.axis)),
            lambda pool: self._costs(pool.points, pool.known, latencies),
            self.axis,
        )

    def _to_beat(
        self, errors: Surrogate, rivals: list[Outcome], latencies: Latencies | None
    ) -> Floats:
        """The predicted errors and the costs of these, (n, 1 + costs), on the axis."""
        if not rivals:
            return np.empty((0, 1 + len(self.costs)))
        params = [o.params for o in rivals]
        features, known = self.learner.described(params)
        measured = np.array([o.latency_ms or np.nan for o in rivals])
        costs, _ = self._costs(Points.at(self.space, params), known, latencies, measured)
        return on_axis(np.column_stack([np.exp(errors.mean(features)), costs]), self.axis)

    def _rivals(self, finished: list[Outcome]) -> list[Outcome]:
        """What others must beat, each at its predicted error, since a lucky score is no harder to
        beat than the architecture is good: what was trained to the top within the limits."""
        full = [o for o in finished if o.rung == self.rungs[-1]]
        return [o for o in full if o.feasible and not self.model.is_too_slow(o.latency_ms)]

    def _latencies(self, finished: list[Outcome]) -> Latencies | None:
        """None where latency plays no part, or was not measured so far."""
        wanted = LATENCY in self.costs or self.model.limits.max_latency_ms is not None
        measured = [o for o in finished if o.latency_ms is not None]
        if not (wanted and measured):
            return None
        work = self.model.work(Points.at(self.space, [o.params for o in measured]).arrays())
        return self.model.latency.given(work, np.array([o.latency_ms for o in measured]))

    def _costs(
        self,
        points: Points,
        known: CostArrays,
        latencies: Latencies | None,
        measured: Floats | None = None,
    ) -> tuple[Floats, Floats]:
        """Costs of these points, (n, costs), and the chance that each meets the latency limit. A
        latency is the ``measured`` one (n,) where that is not NaN, else the predicted one."""
        columns = {name: column.astype(np.float64) for name, column in vars(known).items()}
        fits = np.ones(len(points))
        if latencies is not None:
            mean, sd = latencies.predict(self.model.work(points.arrays()))
            columns[LATENCY] = np.exp(mean)
            if measured is not None:
                columns[LATENCY] = np.where(np.isnan(measured), np.exp(mean), measured)
            if self.model.limits.max_latency_ms is not None:
                fits = ndtr((np.log(self.model.limits.max_latency_ms) - mean) / sd)
        return np.column_stack([columns[name] for name in self.costs]), fits

    def _reference(self, finished: list[Outcome]) -> list[float]:
        """What gains are weighed up to: the point given, or what the rules of
        ``analysis.reference`` make of what it leaves open, and its costs times the reach."""
        point = {
            name: MARGIN * float(column.max()) for name, column in vars(self.pool.known).items()
        }
        point["error"] = 1 - 1 / self.space.num_classes
        tops = [(o.finished, o.latency_ms) for o in finished if o.rung == self.rungs[-1]]
        point[LATENCY] = FIRST_LATENCIES * first_latency(tops)
        point |= {name: v for name, v in self.reference.items() if np.isfinite(v)}
        return [point["error"], *(self.reach * point[name] for name in self.costs)]


def _is_stale(known: frozenset[int], ended: frozenset[int], pending: int) -> bool:
    """Whether to weigh anew, of the trials that had ended and those that have by now."""
    late = len(ended) - len(known)
    few = len(known) < LEAST_KNOWN * len(ended)
    return few or late > STALE * pending or not known <= ended


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
