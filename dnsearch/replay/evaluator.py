"""The ``table`` evaluator: recorded trainings on a virtual clock, so nothing is trained."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from dnsearch.cost.formula import cost_of
from dnsearch.replay.table import Table
from dnsearch.search.evaluators.base import Job, Running
from dnsearch.text import counted
from dnsearch.training.score import Score

Rungs = Mapping[int, Score]


@dataclass(frozen=True)
class Machine:
    """What a replay simulates: how many ``workers`` train at a time, and whether proposals are
    ``charged`` to its clock, by the ``timer`` that they are measured with."""

    workers: int = 1
    charged: bool = True
    timer: Callable[[], float] = time.perf_counter


TIMELESS = Machine(charged=False)
"""One worker for which proposals take no time, so that a replay repeats to the last digit."""


@dataclass(frozen=True)
class _Underway:
    """A job that runs from ``start`` to ``end``, virtual seconds, from epoch ``done`` on."""

    job: Job
    score: Score
    start: float
    end: float
    done: int


class TableEvaluator:
    """Answers each job with a recorded training, ``workers`` of them at a time.

    For each architecture and seed of a job, ``rng`` draws one of the architecture's recorded
    trainings: each of them once before any is drawn again. A job of the same architecture and seed
    at a higher rung goes on with the same training and takes only the seconds that are left of it.
    Trainings that stopped at a lower rung than others of their architecture are not drawn, since
    their scores at higher rungs are unknown. A training takes its recorded seconds; one whose time
    was not recorded takes as long for each MAC as the others on average.
    """

    def __init__(self, table: Table, rng: np.random.Generator, workers: int = 1) -> None:
        self.table, self.workers = table, workers
        self._seed = int(rng.integers(2**32))
        self.now, self._trained_for = 0.0, 0.0
        self._decks: dict[str, Iterator[Rungs]] = {}
        self._drawn: dict[tuple[str, int], Rungs] = {}
        self._reached: dict[tuple[str, int], Score] = {}
        self._queue: list[tuple[float, int, _Underway]] = []
        self._order = itertools.count()

    @property
    def capacity(self) -> int:
        """How many jobs may run at a time."""
        return self.workers

    def submit(self, job: Job) -> None:
        """Starts a job at the present time of the clock."""
        training = job.arch.key, job.seed
        score = self._timed(job, replace(self._recorded(job), seed=job.seed))
        before = self._reached.get(training)
        spent = (before.seconds if before else None) or 0.0
        left = max(0.0, (score.seconds or 0.0) - spent)
        if score.seconds is not None:
            self._reached[training] = score
        done = min(before.rung, job.rung) if before else 0
        underway = _Underway(job, score, self.now, self.now + left, done)
        heapq.heappush(self._queue, (underway.end, next(self._order), underway))

    def completed(self, timeout: float) -> list[tuple[Job, Score]]:
        """The jobs that have ended by now, in the order of their ends. Where none has, the clock
        goes on to the end of the next, however long that takes, unless ``timeout`` is 0: a replay
        has nothing else to wait for."""
        if self._queue and timeout > 0:
            self.now = max(self.now, self._queue[0][0])
        ended = []
        while self._queue and self._queue[0][0] <= self.now:
            _, _, underway = heapq.heappop(self._queue)
            self._trained_for += underway.end - underway.start
            ended.append((underway.job, underway.score))
        return ended

    def wait(self, seconds: float) -> None:
        """Lets the clock go on while the coordinator is at something else."""
        self.now += seconds

    @property
    def busy(self) -> float:
        """The share of the workers' time until now in which they trained; NaN before any."""
        if not self.now:
            return math.nan
        under_way = sum(min(self.now, each.end) - each.start for _, _, each in self._queue)
        return (self._trained_for + under_way) / (self.workers * self.now)

    def running(self) -> list[Running]:
        """The jobs under way, the next to end first."""
        return [self._progress(underway) for _, _, underway in sorted(self._queue)]

    def notes(self) -> list[str]:
        """See ``Evaluator``: nothing ever happens to a table."""
        return []

    def close(self) -> None:
        """Drops all jobs under way."""
        self._queue.clear()

    def _progress(self, underway: _Underway) -> Running:
        length = underway.end - underway.start
        passed = min(self.now - underway.start, length)
        share = passed / length if length else 1.0
        epochs = underway.done + share * (underway.job.rung - underway.done)
        return Running(underway.job, epochs, passed)

    def _timed(self, job: Job, score: Score) -> Score:
        """The score with the seconds that it takes to get it; a failure of unknown length takes
        none."""
        pace = self.table.seconds_per_mac
        if score.seconds is not None or score.failure is not None or pace is None:
            return score
        macs = cost_of(job.arch, *self.table.shape[1:]).macs
        return replace(score, seconds=pace * macs * job.rung)

    def _recorded(self, job: Job) -> Score:
        """The recorded score, or one that failed because nothing is recorded."""
        key, name = job.arch.key, job.arch.describe()
        if key not in self.table.scores:
            return self._missing(job, f"{name} is not recorded in {self.table.name}")
        if (key, job.seed) not in self._drawn:
            if key not in self._decks:
                self._decks[key] = self._deck(key)
            self._drawn[key, job.seed] = next(self._decks[key])
        rungs = self._drawn[key, job.seed]
        if job.rung not in rungs:
            reason = f"{name} is not recorded at {counted(job.rung, 'epoch')} in {self.table.name}"
            return self._missing(job, reason)
        return rungs[job.rung]

    @staticmethod
    def _missing(job: Job, reason: str) -> Score:
        return Score(job.rung, job.seed, failure=reason)

    def _deck(self, key: str) -> Iterator[Rungs]:
        """The architecture's trainings without end, shuffled anew each time all have been drawn."""
        rng = np.random.default_rng([self._seed, int(key, 16)])  # whatever was drawn before
        trainings = list(self.table.scores[key].values())
        farthest = max(max(rungs) for rungs in trainings)
        whole = [rungs for rungs in trainings if max(rungs) == farthest]
        while True:
            yield from (whole[i] for i in rng.permutation(len(whole)))
