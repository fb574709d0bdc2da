"""``Confirmed``: what ``dnsearch confirm`` found, as values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dnsearch.analysis import picks
from dnsearch.analysis.candidates import Candidate, State, figures, known_mean
from dnsearch.analysis.confidence import expected_opportunity_loss
from dnsearch.analysis.trust import UNKNOWN, Interval
from dnsearch.arrays import Floats
from dnsearch.config import ErrorName
from dnsearch.confirm.certificate import Certificate
from dnsearch.confirm.draws import mean_draws, sureness
from dnsearch.confirm.rate_findings import RateFindings, rate_findings
from dnsearch.confirm.signals import certificate, padded
from dnsearch.confirm.verdict import Verdict, judge
from dnsearch.search.confirmed import fresh_error, fresh_runs, tested_on, usual_epochs
from dnsearch.training.measured import binomial_standard_error, least_error

if TYPE_CHECKING:  # their modules read Optuna's storage, which a report has no need of
    from dnsearch.search.results import Results
    from dnsearch.search.store import Record


SEED = 0
"""Of the draws and the bootstraps: the same results are told the same figures."""


@dataclass(frozen=True)
class ConfirmedNetwork:
    """A network that was trained again.

    candidate: its first full training run in the search, else its first. front: whether it is on
    the search's front. error: measured by the search on the validation images, the mean over its
    full training runs. test_errors: on the test images, one a fresh seed. test: their mean with
    its 90 % interval. test_se: its standard error by the choice of test images alone, NaN of older
    runs. class_errors: of each fresh seed, wrong test images of each class. front_probability,
    best_probability: of being on the front and the best of the confirmed networks by test errors.
    Errors are shares (0 to 1), NaN where missing.
    """

    candidate: Candidate
    front: bool
    error: float
    test_errors: tuple[float, ...]
    test: Interval
    front_probability: float
    best_probability: float
    test_se: float = math.nan
    class_errors: tuple[tuple[int, ...], ...] = ()

    @property
    def key(self) -> str:
        """``ArchConfig.key``."""
        return self.candidate.key

    @property
    def name(self) -> str:
        """The candidate's."""
        return self.candidate.name

    @property
    def predicted_error(self) -> float:
        """What the search predicts its error to be averaged over seeds, on validation images."""
        return self.candidate.predicted_error

    @property
    def seeds(self) -> int:
        """Fresh training runs with a test error."""
        return sum(map(math.isfinite, self.test_errors))


class Caveat(StrEnum):
    """What to keep in mind of the findings."""

    FAILED = "failed"
    """So many fresh training runs failed and count as missing."""
    SEARCH_NOISE = "search noise"
    """There is one seed of each network, so the seed noise is the search's."""
    SELECTED = "selected"
    """Members of the front were chosen by the search's own errors, which therefore agree with the
    test errors better than those of a random sample would."""


class Note(NamedTuple):
    """A caveat, and the number of training runs it is of."""

    caveat: Caveat
    number: int = 0


@dataclass(frozen=True)
class Confirmed:
    """What ``dnsearch confirm`` found.

    epochs: of each training run. cost: name of the first cost that the study trades against error.
    pick: key of the network that the search recommends for the least error, empty for none.
    opportunity_loss: by how much error (0 to 1) it is expected to miss the best of these, NaN where
    unknown. error: the kind that all errors are of. class_images: test images of each class, None
    of older runs. rates: whether the order holds at other learning rates, None where they were not
    compared.
    """

    networks: tuple[ConfirmedNetwork, ...]
    epochs: int
    test_images: int
    cost: str
    certificate: Certificate
    notes: tuple[Note, ...] = ()
    pick: str = ""
    opportunity_loss: float = math.nan
    error: ErrorName = "top1"
    class_images: tuple[int, ...] | None = None
    rates: RateFindings | None = None

    def network(self, key: str) -> ConfirmedNetwork | None:
        """The network with this ``ArchConfig.key``; None where it was not confirmed."""
        return next((network for network in self.networks if network.key == key), None)

    def test(self, key: str) -> Interval:
        """The test error of the network with this ``ArchConfig.key`` at the study's learning rate;
        unknown where it has none."""
        if (own := self.network(key)) is not None:
            return own.test
        if self.rates is None:
            return UNKNOWN
        usual = self.rates.usual
        return next((n.test[usual] for n in self.rates.networks if n.key == key), UNKNOWN)

    @property
    def best_first(self) -> list[ConfirmedNetwork]:
        """The networks that have a test error, by their means."""
        known = [network for network in self.networks if network.test.is_known]
        return sorted(known, key=lambda network: network.test.value)

    @property
    def judged(self) -> int:
        """How many networks ``best_probability`` compares."""
        return sum(math.isfinite(network.best_probability) for network in self.networks)

    @property
    def searched_epochs(self) -> int:
        """Of the training runs that the search's errors are of; 0 where there is none."""
        known = (n.candidate.rung for n in self.networks if math.isfinite(n.error))
        return max(known, default=0)

    @property
    def seeds(self) -> tuple[int, int]:
        """The fewest and the most test errors of a network."""
        counts = [network.seeds for network in self.networks]
        return min(counts), max(counts)

    @property
    def images_luck(self) -> float:
        """By how much error (0 to 1) another choice of test images would move all test errors, with
        a probability of 90 %; NaN where there is none."""
        spread = [n.test_se for n in self.best_first if math.isfinite(n.test_se)]
        if spread:
            return 1.645 * float(np.median(spread))
        known = [network.test.value for network in self.best_first]
        if not known or self.error == "balanced":
            return math.nan
        return 1.645 * float(binomial_standard_error(np.median(known), self.test_images))

    @property
    def verdict(self) -> Verdict:
        """What the certificate says."""
        return judge(self.certificate)


def confirmed(results: Results, epochs: int | None = None) -> Confirmed | None:
    """What was confirmed with training runs of so many ``epochs``, by default of the length that
    most have, of several the longest; None where nothing was. So are learning rates; if by default
    there are none of this length, of the one that most of theirs have."""
    asked = epochs
    if epochs is None:
        epochs = usual_epochs(results.confirmed)
    searched = _by_key(results.candidates)
    fresh = {
        key: own for key, own in fresh_runs(results.confirmed, epochs).items() if key in searched
    }
    if not fresh:
        return None
    runs, records = [searched[key] for key in fresh], list(fresh.values())
    tests = tested_on([record for own in records for record in own])
    kind = results.study.objectives.error
    least = least_error(kind, np.array(tests.by_class or [tests.images]))
    noise = results.predictions.seed_noise if results.predictions else math.nan
    rates = rate_findings(results, epochs)
    if rates is None and asked is None:
        rates = rate_findings(results)
    rng = np.random.default_rng(SEED)
    draws = mean_draws(padded([_errors(own) for own in records]), least, noise, rng)
    networks = _networks(results, runs, records, draws)
    recommended = results.search_picks.get(picks.LEAST_ERROR)
    pick = recommended.key if recommended else ""
    return Confirmed(
        networks=networks,
        epochs=epochs,
        test_images=tests.images,
        cost=results.study.objectives.costs[0],
        certificate=certificate(results.study.training, epochs, runs, records, rng),
        notes=_notes(networks, records, math.isfinite(noise)),
        pick=pick,
        opportunity_loss=_opportunity_loss(draws, networks, pick),
        error=kind,
        class_images=tests.by_class,
        rates=rates,
    )


def _by_key(candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    found: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        found.setdefault(candidate.key, []).append(candidate)
    return found


def _errors(records: Sequence[Record]) -> tuple[float, ...]:
    return tuple(fresh_error(record) for record in records)


def _scored(records: Sequence[Record], figure: str) -> list[Any]:
    return [getattr(record.score, figure) for record in records]


def _networks(
    results: Results,
    runs: Sequence[Sequence[Candidate]],
    records: Sequence[Sequence[Record]],
    draws: Floats,
) -> tuple[ConfirmedNetwork, ...]:
    """From the training runs in the search, the fresh ones, and the draws (s, n) of what the mean
    test errors may be. Those within all limits whose costs are known are compared."""
    costs = results.study.objectives.costs
    front = {member.key for member in picks.front(results.searched, costs)}
    full = [[run for run in own if run.state in (State.FINISHED, State.UNFIT)] for own in runs]
    first = [(ended or own)[0] for ended, own in zip(full, runs, strict=True)]
    values = np.stack([figures(first, name) for name in costs], axis=1)
    fit = np.array([candidate.state is not State.UNFIT for candidate in first])
    compared = np.isfinite(draws).all(axis=0) & np.isfinite(values).all(axis=1) & fit
    sure = sureness(draws, values, compared)
    return tuple(
        ConfirmedNetwork(
            candidate=candidate,
            front=candidate.key in front,
            error=known_mean(run.error for run in ended),
            test_errors=_errors(own),
            test=Interval(known_mean(_errors(own)), float(low), float(high)),
            front_probability=float(on_front),
            best_probability=float(best),
            test_se=known_mean(math.nan if s is None else s for s in _scored(own, "test_error_se")),
            class_errors=tuple(each for each in _scored(own, "test_class_errors") if each),
        )
        for candidate, ended, own, low, high, on_front, best in zip(
            first, full, records, *sure, strict=True
        )
    )


def _opportunity_loss(draws: Floats, networks: Sequence[ConfirmedNetwork], pick: str) -> float:
    compared = [math.isfinite(network.best_probability) for network in networks]
    place = next((i for i, network in enumerate(networks) if network.key == pick), None)
    if place is None or not compared[place]:
        return math.nan
    return expected_opportunity_loss(draws, compared, place)


def _notes(
    networks: Sequence[ConfirmedNetwork], records: Sequence[Sequence[Record]], has_noise: bool
) -> tuple[Note, ...]:
    failed = sum(record.score.failure is not None for own in records for record in own)
    single = max(map(len, records)) == 1
    front = sum(network.front for network in networks)
    found = {
        Note(Caveat.FAILED, failed): failed > 0,
        Note(Caveat.SEARCH_NOISE): single and has_noise,
        Note(Caveat.SELECTED): 0 < front < len(networks),
    }
    return tuple(note for note, holds in found.items() if holds)
