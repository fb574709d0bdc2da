"""``Candidate``: a training run, or all those of a network, as every table, picture and command
reads it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from dnsearch.analysis.confidence import LEVEL, binomial_interval
from dnsearch.analysis.metrics import error_label
from dnsearch.arch.config import ArchConfig
from dnsearch.arrays import Floats
from dnsearch.config import ErrorName
from dnsearch.cost.formula import Cost
from dnsearch.training.score import CurvePoint

COSTS = ("params", "macs", "activations", "train_bytes", "latency_ms")
"""What a candidate costs, by the names of ``METRICS``, whether the study trades it or not."""


class State(StrEnum):
    """How a training run ended."""

    FINISHED = "finished"
    """Trained to the top rung on all images, within all limits."""
    SCREENED = "screened"
    """Trained to a lower rung only."""
    PARTIAL = "partial"
    """Trained on part of the images, for a scaling law."""
    FAILED = "failed"
    UNFIT = "unfit"
    """Trained to the top rung, but over a limit known only when measured."""


class Basis(StrEnum):
    """What a predicted error follows from."""

    MEASURED = "measured"
    """The network's own training runs alone: the mean of their errors."""
    SEARCH = "search"
    """All training runs of the search."""
    CONFIRMED = "confirmed"
    """These, and the training runs of `dnsearch confirm` on the test images."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One training run; two of the same architecture with different seeds are two candidates until
    ``by_network`` joins them.

    number: of the trial in its Optuna study. rung: epochs trained. images: training images it was
    given. preset: name of the published network that the architecture is, else empty. error: on the
    validation images (0 to 1), as ``objectives.error`` has it (error_kind); error_se: its standard
    error by the choice of images. top1_error: share of them that are wrong, where ``error`` is
    another. class_errors: how many of each class are wrong, of training runs to the top rung. loss,
    train_loss: nats. seconds: wall clock of the training. train_macs: compute spent, 3 x macs x
    images x epochs (forward and backward). finished_after: seconds of search time, over all
    sessions, when it was told. failure: reason, empty where there is none. zero_cost: scores at
    initialisation by name, None where they were not asked for.

    predicted_error: the error that a new training run of the network is expected to have, in the
    mean over seeds, by what ``basis`` says. On the images that were measured it lies between
    predicted_low and predicted_high with a probability of 90 %, on new images of the same kind
    between new_low and new_high. front_probability: of being on the front of all finished ones.
    seeds: training runs joined in it. accumulation_steps: over how many micro-batches the gradients
    of a batch were accumulated, more than the study asks for (``training.micro_batch``) where
    memory did not suffice.

    A figure that is missing is NaN. Candidates are compared by identity.
    """

    arch: ArchConfig
    cost: Cost
    state: State
    number: int
    rung: int
    seed: int
    images: int
    preset: str = ""
    error: float = math.nan
    error_se: float = math.nan
    top1_error: float = math.nan
    class_errors: tuple[int, ...] | None = None
    error_kind: ErrorName = "top1"
    loss: float = math.nan
    train_loss: float = math.nan
    latency_ms: float = math.nan
    seconds: float = math.nan
    images_per_second: float = math.nan
    train_macs: float = math.nan
    finished_after: float = math.nan
    failure: str = ""
    curve: tuple[CurvePoint, ...] = ()
    zero_cost: Mapping[str, float | None] | None = None
    predicted_error: float = math.nan
    predicted_low: float = math.nan
    predicted_high: float = math.nan
    new_low: float = math.nan
    new_high: float = math.nan
    front_probability: float = math.nan
    basis: Basis = Basis.MEASURED
    seeds: int = 1
    accumulation_steps: int = 1

    @property
    def key(self) -> str:
        """``ArchConfig.key``: the same for all training runs of an architecture."""
        return self.arch.key

    @property
    def name(self) -> str:
        """The published network's name, or a short description of the architecture."""
        return self.preset or self.arch.describe()

    @property
    def error_name(self) -> str:
        """What ``error`` is called, such as ``balanced validation error``."""
        return error_label(self.error_kind)

    @property
    def counts(self) -> bool:
        """Whether it is finished with a known error, so that it may be recommended."""
        return self.state is State.FINISHED and math.isfinite(self.error)

    @property
    def is_predicted(self) -> bool:
        """Whether its predicted error follows from more than its own training runs."""
        return self.basis is not Basis.MEASURED

    def figure(self, name: str) -> float:
        """A figure by its name in ``METRICS``: its own, its cost's or its architecture's."""
        owner = next(each for each in (self, self.cost, self.arch) if hasattr(each, name))
        return float(getattr(owner, name))


def figures(candidates: Iterable[Candidate], name: str) -> Floats:
    """One figure of each candidate, (n,), NaN where missing."""
    return np.array([candidate.figure(name) for candidate in candidates], dtype=np.float64)


def finished(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates that may be recommended: finished with a known error."""
    return [candidate for candidate in candidates if candidate.counts]


def by_network(candidates: Sequence[Candidate], images: float) -> list[Candidate]:
    """The finished training runs of each network joined to one candidate, in the place of the
    first; all others as they are.

    Its figures are means over seeds; number, seed and curve are those of the run with the least
    validation error, whose weights are exported. Where nothing predicts its error, that is the mean
    too, with the interval that so many validation ``images`` allow.
    """
    runs: dict[str, list[Candidate]] = {}
    for candidate in finished(candidates):
        runs.setdefault(candidate.key, []).append(candidate)
    joined = {own[0]: _joined(own, images) for own in runs.values()}
    return [joined.get(each, each) for each in candidates if each in joined or not each.counts]


_MEANS = (
    "error",
    "error_se",
    "top1_error",
    "loss",
    "train_loss",
    "latency_ms",
    "seconds",
    "images_per_second",
)


def _joined(runs: Sequence[Candidate], images: float) -> Candidate:
    best = min(runs, key=lambda run: run.error)
    means = {name: known_mean(figures(runs, name)) for name in _MEANS} if len(runs) > 1 else {}
    joined = replace(best, seeds=len(runs), **means)
    if joined.is_predicted:
        return joined
    low, high = binomial_interval(joined.error, images, LEVEL)
    return replace(joined, predicted_error=joined.error, new_low=float(low), new_high=float(high))


def known_mean(values: Iterable[float]) -> float:
    """The mean of the finite ones, NaN where there is none."""
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def state_counts(candidates: Sequence[Candidate]) -> dict[State, int]:
    """How many candidates ended in each state, 0 for those in which none did."""
    found = Counter(candidate.state for candidate in candidates)
    return {state: found[state] for state in State}
