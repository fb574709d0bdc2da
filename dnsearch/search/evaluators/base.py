"""What the engine asks of an evaluator, and nothing more; a fake one fits in a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dnsearch.arch.config import ArchConfig
from dnsearch.training.score import Score

SEARCH, REFERENCES, CONFIRM, RATES = "search", "references", "confirm", "rates"
STUDIES = SEARCH, REFERENCES, CONFIRM, RATES
"""Names of the Optuna studies that a run may hold; see ``search.store``."""


@dataclass(frozen=True)
class Job:
    """Train this architecture until ``rung`` epochs are done, with this seed.

    ``trial`` is the number that the score is stored under, in the Optuna study named ``study``.
    ``images``: training images it may see, drawn by its seed; None is all. ``learning_rate``: its
    peak in place of the recipe's; None is the recipe's.
    """

    trial: int
    arch: ArchConfig
    rung: int
    seed: int
    study: str = SEARCH
    images: int | None = None
    learning_rate: float | None = None


@dataclass(frozen=True)
class Running:
    """A job under way: epochs done of ``job.rung``, seconds since it was submitted."""

    job: Job
    epochs: float
    seconds: float


class Unexplained(NamedTuple):
    """A training ended without a score, for a reason that may be the candidate's or the machine's;
    ``search.faults`` decides."""

    reason: str


class Lost(NamedTuple):
    """A training ended without a score because the place where it ran is gone, such as a node of a
    cluster, or cannot go on, such as one whose disk is full. The candidate has nothing to do with
    it: the engine hands it out again."""

    reason: str


Ending = Score | Unexplained | Lost
"""How a training may end."""


class Evaluator(Protocol):
    """Trains jobs somewhere. What ends the search, whatever else were tried, it raises as a
    DnsearchError; what ends a part of it, such as one of several machines, is ``Lost``."""

    @property
    def capacity(self) -> int:
        """Jobs that can run at a time, now: it may change, and be 0 for a while."""
        ...

    def submit(self, job: Job) -> None:
        """Starts a job. Never raises for what is wrong with the job itself."""
        ...

    def completed(self, timeout: float) -> Sequence[tuple[Job, Ending]]:
        """Jobs that ended since the last call, waiting up to ``timeout`` seconds for one; 0 only
        looks. Until it is told here, a job counts as running."""
        ...

    def running(self) -> list[Running]:
        """Jobs under way."""
        ...

    def notes(self) -> list[str]:
        """What befell the workers since the last call, for the user: machines that came, were lost
        or are left out."""
        ...

    def close(self) -> None:
        """Stops at once; jobs under way are dropped."""
        ...
