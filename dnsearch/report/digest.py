"""``Digest``: what a report, its summary and the command line tell of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis import picks
from dnsearch.analysis.baseline import Baseline
from dnsearch.analysis.candidates import (
    Basis,
    Candidate,
    State,
    figures,
    finished,
    state_counts,
)
from dnsearch.analysis.confidence import best_probability, expected_opportunity_loss
from dnsearch.analysis.metrics import error_label, format_value
from dnsearch.analysis.pareto import hypervolume_curve
from dnsearch.analysis.predictions import HALF
from dnsearch.analysis.regret import Regret
from dnsearch.search.confirmed import tested_on

if TYPE_CHECKING:  # their modules read Optuna's storage, which a report has no need of
    from dnsearch.search.answers import Change
    from dnsearch.search.results import Results


class Sureness(NamedTuple):
    """How sure it is that the answer is the best of so many networks (``candidates``): the
    probability, and the expected opportunity loss (0 to 1), the error by which it misses the
    best."""

    probability: float
    opportunity_loss: float
    candidates: int


@dataclass(frozen=True, eq=False)
class Digest:
    """A run's results with what follows from them.

    finished: the networks that finished, each once. front: those on the Pareto front of predicted
    errors, cheapest first. picks: by the names of ``analysis.picks.RULES``. volumes: the
    hypervolume of measured errors after each training run, up to ``reference``. change: how the
    answer differs from an earlier one.
    """

    results: Results
    finished: Sequence[Candidate]
    front: Sequence[Candidate]
    picks: Mapping[str, Candidate]
    reference: Mapping[str, float]
    volumes: NDArray[np.float64]
    change: Change | None = None

    @property
    def candidates(self) -> Sequence[Candidate]:
        """All training runs, in the order they finished."""
        return self.results.measured

    @property
    def networks(self) -> Sequence[Candidate]:
        """What is told of: the finished networks and the training runs that did not finish."""
        return self.results.networks

    @property
    def answer(self) -> Candidate | None:
        """The network to take: the least predicted error within the limits."""
        return self.picks.get(picks.LEAST_ERROR)

    @property
    def baseline(self) -> Baseline:
        """Of a network that has learnt nothing."""
        return self.results.baseline

    @property
    def images(self) -> int:
        """How many images predicted errors are of."""
        if self.measured_on == "test":
            return tested_on(self.results.confirmed).images
        return self.results.validation_images

    @property
    def least_error(self) -> float:
        """What stands for an error of 0 on a logarithmic scale."""
        joint = self.results.joint
        return HALF / (joint.images if joint else self.results.effective_images)

    @property
    def error_name(self) -> str:
        """What networks' errors are, such as ``balanced test error``."""
        return error_label(self.results.study.objectives.error, self.measured_on)

    @cached_property
    def measured_on(self) -> str:
        """The split that predicted errors are of, ``validation`` or, once confirmed, ``test``."""
        confirmed = any(network.basis is Basis.CONFIRMED for network in self.finished)
        return "test" if confirmed else "validation"

    @cached_property
    def as_good(self) -> picks.AsGood | None:
        """The cheapest network that is as good as the answer, where one is cheaper."""
        if self.answer is None or picks.AS_GOOD not in self.picks:
            return None
        named = [self.picks[picks.AS_GOOD]]
        return picks.as_good(self.answer, named, self.costs, self.results.joint)

    @property
    def changed_from(self) -> Candidate | None:
        """What the search alone would have answered, where `dnsearch confirm` changed the answer;
        as it is predicted now."""
        before = self.results.search_picks.get(picks.LEAST_ERROR)
        if before is None or self.answer is None or before.key == self.answer.key:
            return None
        return next((each for each in self.finished if each.key == before.key), None)

    @cached_property
    def on_front(self) -> frozenset[Candidate]:
        """The members of the front."""
        return frozenset(self.front)

    @property
    def costs(self) -> tuple[str, ...]:
        """Names of the costs that the study trades against error."""
        return self.results.study.objectives.costs

    @cached_property
    def counts(self) -> dict[State, int]:
        """Candidates by state."""
        return state_counts(self.candidates)

    @property
    def hypervolume(self) -> float:
        """Of the front; 0 while there is none."""
        return float(self.volumes[-1]) if len(self.volumes) else 0.0

    @property
    def train_macs(self) -> float:
        """Compute of all training runs, in MACs."""
        return float(np.nansum(figures(self.candidates, "train_macs")))

    @cached_property
    def sureness(self) -> Sureness | None:
        """None where nothing is predicted of the answer."""
        predictions, answer = self.results.joint, self.answer
        if predictions is None or answer is None or answer.key not in predictions.place:
            return None
        allowed = np.isin(predictions.keys, [network.key for network in self.finished])
        place = predictions.place[answer.key]
        return Sureness(
            float(best_probability(predictions.draws, allowed)[place]),
            expected_opportunity_loss(predictions.draws, allowed, place),
            int(allowed.sum()),
        )

    @cached_property
    def going_on(self) -> Regret | None:
        """By how much any network of the space within the limits, trained or not, may be better
        than the answer; None where that is not known, and of test errors after a confirmation."""
        if self.answer is None or self.measured_on == "test":
            return None
        return self.results.look_ahead(self.answer.key)

    @property
    def budget(self) -> str:
        """The study's limits in words, such as ``50 M MACs``; empty where there is none."""
        limits = self.results.study.limits.model_dump()
        known = [(name.removeprefix("max_"), bound) for name, bound in limits.items()]
        return " and ".join(format_value(n, bound) for n, bound in known if bound is not None)


def digest(results: Results, change: Change | None = None) -> Digest:
    """What follows from these results; ``change`` as of ``search.answers``.

    Of ``results.data`` it reads ``classes``, ``class_counts``, ``shape`` (channels, height, width)
    and ``images["validation"]``, as ``PreparedData.describe`` gives them.
    """
    costs, runs = results.study.objectives.costs, results.measured
    point = results.reference()
    values = np.stack([figures(runs, name) for name in ("error", *costs)], axis=1)
    values[[not run.counts for run in runs]] = np.nan
    return Digest(
        results=results,
        finished=finished(results.networks),
        front=picks.front(results.networks, costs),
        picks=results.picks,
        reference=point,
        volumes=hypervolume_curve(
            values,
            list(point.values()),
            results.study.objectives.axis,
            keys=[run.key for run in runs],
        ),
        change=change,
    )
