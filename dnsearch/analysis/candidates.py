"""``Candidate``: one training run, as every table, picture and command reads it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

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


@dataclass(frozen=True, eq=False)
class Candidate:
    """One training run; two of the same architecture with different seeds are two candidates.

    number: of the trial in its Optuna study. rung: epochs trained. images: training images it was
    given. preset: name of the published network that the architecture is, else empty. error: on the
    validation images (0 to 1), as ``objectives.error`` has it; error_se: its standard error by the
    choice of images. top1_error: share of them that are wrong, where ``error`` is another.
    class_errors: how many of each class are wrong, of trainings to the top rung. error_kind:
    ``objectives.error``. loss, train_loss:
    nats. seconds: wall clock of the training. train_macs: compute spent, 3 x macs x
    images x epochs (forward and backward). finished_after: seconds of search time, over all
    sittings, when it was told. failure: reason, empty where there is none. zero_cost: scores at
    initialisation by name, None where they were not asked for.

    predicted_error: the error in the mean over seeds by what all trainings together say, with its
    90 % interval from predicted_low to predicted_high, and front_probability, the probability that
    the architecture is on the front of all finished ones (``search.predictions``).

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
    front_probability: float = math.nan

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
        """Whether there is a predicted error."""
        return math.isfinite(self.predicted_error)

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


def state_counts(candidates: Sequence[Candidate]) -> dict[State, int]:
    """How many candidates ended in each state, 0 for those in which none did."""
    found = Counter(candidate.state for candidate in candidates)
    return {state: found[state] for state in State}
