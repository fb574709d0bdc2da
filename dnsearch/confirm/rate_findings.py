"""Whether networks keep their order at other learning rates: ``RateFindings``.

A network's best rate is that of the least validation error. What it is worth is measured without
flattery: of each seed the test error at the rate that is best by the *other* seeds (leave one out,
as in nested cross-validation), so that neither test images nor a lucky seed choose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from dnsearch.analysis.candidates import known_mean
from dnsearch.analysis.confidence import LEVEL
from dnsearch.analysis.trust import UNKNOWN, Interval
from dnsearch.arch.config import ArchConfig
from dnsearch.arrays import Floats
from dnsearch.config import ErrorName
from dnsearch.confirm.draws import mean_draws
from dnsearch.confirm.published import Reference, cost_model, reference_of
from dnsearch.confirm.rates import compared_name
from dnsearch.confirm.signals import padded
from dnsearch.cost.formula import Cost
from dnsearch.search.confirmed import fresh_error, fresh_runs, tested_on, usual_epochs
from dnsearch.training.measured import least_error

if TYPE_CHECKING:  # their modules read Optuna's storage, which a report has no need of
    from dnsearch.search.results import Results
    from dnsearch.search.store import Record

SEED = 0
"""Of the draws: the same results are told the same figures."""


class Flip(StrEnum):
    """What becomes of the order of two networks when each takes its own best learning rate."""

    SAME = "same"
    """The one that is better at the study's rate is better then, too."""
    FLIPS = "flips"
    """The other one is."""
    EMERGES = "emerges"
    """One is better then; at the study's rate the seeds could not tell."""
    UNTOLD = "untold"
    """The seeds cannot tell which is better then."""
    MISSING = "missing"
    """There are no errors to compare yet."""


@dataclass(frozen=True)
class RateNetwork:
    """A network trained at several learning rates, all errors 0 to 1 and NaN where missing.

    reference: what it is where others are compared with it, None of the search's own.
    test_errors: of each seed, a list a rate.
    test, validation: means over seeds at each rate; that on the test images has its 90 % interval,
    and is unknown at a rate at which a seed failed: where one diverged the others would flatter.
    best: place of the rate of least validation error, None where it is unknown. tuned: test error
    at the best rate, chosen for each seed by the others.
    """

    key: str
    name: str
    reference: Reference | None
    cost: Cost
    test_errors: tuple[tuple[float, ...], ...]
    test: tuple[Interval, ...]
    validation: tuple[float, ...]
    best: int | None
    tuned: Interval


@dataclass(frozen=True)
class Difference:
    """By how much error (0 to 1) the first of two networks has less than the second, with 90 %
    intervals: at each rate, both at the same, and each at its own best. ``usual`` is the place of
    the study's rate."""

    first: RateNetwork
    second: RateNetwork
    at: tuple[Interval, ...]
    tuned: Interval
    usual: int

    @property
    def flip(self) -> Flip:
        """What becomes of the order."""
        if not self.tuned.is_known:
            return Flip.MISSING
        then, before = self.tuned.sign, self.at[self.usual].sign
        if not then:
            return Flip.UNTOLD
        return {then: Flip.SAME, -then: Flip.FLIPS, 0: Flip.EMERGES}[before]

    @property
    def flips_at(self) -> tuple[int, ...]:
        """Places of the rates at which the order is shown to be the opposite of the study's."""
        before = self.at[self.usual].sign
        return tuple(i for i, each in enumerate(self.at) if before and each.sign == -before)


@dataclass(frozen=True)
class RateFindings:
    """What ``dnsearch confirm --rates`` found.

    learning_rates: ascending; ``usual`` is the place of the study's. epochs, test_images: of each
    training run. differences: of each recommended network and each reference; of the
    recommended ones where there is none. failed: training runs that failed. seeds: the fewest
    and the most of a network at a rate, failed ones too. error: the kind that all errors are of.
    """

    networks: tuple[RateNetwork, ...]
    differences: tuple[Difference, ...]
    learning_rates: tuple[float, ...]
    usual: int
    epochs: int
    test_images: int
    seeds: tuple[int, int]
    failed: int
    error: ErrorName

    def best(self, network: RateNetwork) -> float:
        """A network's best learning rate; NaN where it is unknown."""
        return math.nan if network.best is None else self.learning_rates[network.best]


def rate_findings(results: Results, epochs: int | None = None) -> RateFindings | None:
    """What was found with training runs of so many ``epochs``, by default of the length that most
    have; None where learning rates were not compared."""
    if epochs is None:
        epochs = usual_epochs(results.at_rates)
    own = results.study.training.learning_rate
    compared = [record for record in results.at_rates if record.job.rung == epochs]
    archs = {record.job.arch.key: record.job.arch for record in compared}
    found = {record.job.learning_rate for record in compared} | {None}
    if not archs or found == {None}:
        return None
    rates = sorted(found, key=lambda rate: own if rate is None else rate)
    every = [*results.confirmed, *compared]
    runs = [fresh_runs(every, epochs, rate) for rate in rates]
    records = [[at.get(key, []) for at in runs] for key in archs]  # by network, then by rate
    noise = results.predictions.seed_noise if results.predictions else math.nan
    networks, draws = _networks(results, list(archs.values()), records, noise)
    all_records = [record for each in records for at in each for record in at]
    counts = [len(at) for each in records for at in each]
    return RateFindings(
        networks=networks,
        differences=_differences(networks, draws, rates.index(None)),
        learning_rates=tuple(own if rate is None else rate for rate in rates),
        usual=rates.index(None),
        epochs=epochs,
        test_images=tested_on(all_records).images,
        seeds=(min(counts), max(counts)),
        failed=sum(record.score.failure is not None for record in all_records),
        error=results.study.objectives.error,
    )


def _networks(
    results: Results,
    archs: Sequence[ArchConfig],
    records: Sequence[Sequence[Sequence[Record]]],
    noise: float,
) -> tuple[tuple[RateNetwork, ...], list[Floats]]:
    """The networks, and draws (s, n) of what their mean test errors may be: at each rate, and last
    at the best ones. Seed noise is that of one rate alone: near divergence there is more of it."""
    kind = results.study.objectives.error
    tests = tested_on([record for each in records for at in each for record in at])
    least = least_error(kind, np.array(tests.by_class or [tests.images]))
    rng = np.random.default_rng(SEED)
    columns = [[_whole(at) for at in by_rate] for by_rate in zip(*records, strict=True)]
    columns.append([tuned_errors(each) for each in records])
    draws = [mean_draws(padded(column), least, noise, rng) for column in columns]
    intervals = [
        [_interval(known_mean(errors), drawn) for errors, drawn in zip(column, own.T, strict=True)]
        for column, own in zip(columns, draws, strict=True)
    ]
    own = {pick.key for pick in results.search_picks.values()}
    model = cost_model(results)
    networks = tuple(
        RateNetwork(
            key=arch.key,
            name=compared_name(arch),
            reference=None if arch.key in own else reference_of(arch),
            cost=model.cost(arch),
            test_errors=tuple(_errors(at) for at in records[i]),
            test=tuple(column[i] for column in intervals[:-1]),
            validation=tuple(_validation(at) for at in records[i]),
            best=best_rate(records[i]),
            tuned=intervals[-1][i],
        )
        for i, arch in enumerate(archs)
    )
    return networks, draws


def _errors(records: Sequence[Record]) -> tuple[float, ...]:
    return tuple(map(fresh_error, records))


def _whole(records: Sequence[Record]) -> tuple[float, ...]:
    """Test errors where no seed failed: where one diverged the mean of the others would flatter."""
    errors = _errors(records)
    return errors if all(map(math.isfinite, errors)) else ()


def _interval(value: float, draws: Floats) -> Interval:
    """A figure with the ``LEVEL`` interval of its draws."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def _validation_errors(records: Sequence[Record]) -> list[float]:
    errors = [None if record.score.failure else record.score.error for record in records]
    return [math.nan if error is None else error for error in errors]


def _validation(records: Sequence[Record]) -> float:
    return known_mean(_validation_errors(records))


def _eligible(records: Sequence[Sequence[Record]]) -> Mapping[int, Sequence[Record]]:
    """The rates at which no seed failed, by their places; none while a rate was not tried."""
    if not all(records):
        return {}
    return {i: at for i, at in enumerate(records) if _whole(at)}


def best_rate(records: Sequence[Sequence[Record]]) -> int | None:
    """Place of the rate of least mean validation error, from a network's training runs by rate;
    None where there is none at which no seed failed."""
    means = {i: _validation(at) for i, at in _eligible(records).items()}
    return min(means, key=lambda i: means[i], default=None)


def tuned_errors(records: Sequence[Sequence[Record]]) -> tuple[float, ...]:
    """Test errors at the best rate, one a seed: at the rate of least mean validation error by the
    other seeds (of a single one by its own). From a network's training runs by rate, in the order
    of their seeds; as many as the rate with the fewest has."""
    eligible = _eligible(records)
    errors = {i: np.array(_validation_errors(at)) for i, at in eligible.items()}
    seeds = min(map(len, eligible.values()), default=0)
    found = []
    for left_out in range(seeds):
        others = [j for j in range(seeds) if j != left_out] or [left_out]
        best = min(eligible, key=lambda i: errors[i][others].mean())
        found.append(fresh_error(eligible[best][left_out]))
    return tuple(found)


def _differences(
    networks: Sequence[RateNetwork], draws: Sequence[Floats], usual: int
) -> tuple[Difference, ...]:
    places = range(len(networks))
    own = [i for i in places if networks[i].reference is None]
    others = [i for i in places if networks[i].reference is not None]
    pairs = [(i, j) for i in own for j in others] or [(i, j) for i in own for j in own if i < j]
    return tuple(_difference(networks, i, j, draws, usual) for i, j in pairs)


def _difference(
    networks: Sequence[RateNetwork], i: int, j: int, draws: Sequence[Floats], usual: int
) -> Difference:
    first, second = networks[i], networks[j]
    errors = [*zip(first.test, second.test, strict=True), (first.tuned, second.tuned)]
    *at, tuned = (
        _interval(b.value - a.value, drawn[:, j] - drawn[:, i])
        if a.is_known and b.is_known
        else UNKNOWN
        for (a, b), drawn in zip(errors, draws, strict=True)
    )
    return Difference(first, second, tuple(at), tuned, usual)
