"""The ``table`` evaluator: recorded trainings on a virtual clock, so nothing is trained."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from dnsearch.replay.table import Table
from dnsearch.search.evaluators.base import Job, Running
from dnsearch.training.score import Score

Rungs = Mapping[int, Score]


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
    their scores at higher rungs are unknown.
    """

    def __init__(self, table: Table, rng: np.random.Generator, workers: int = 1) -> None:
        self.table, self.workers = table, workers
        self._seed = int(rng.integers(2**32))
        self.now = 0.0
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
        score = replace(self._recorded(job), seed=job.seed)
        before = self._reached.get(training)
        spent = (before.seconds if before else None) or 0.0
        left = max(0.0, (score.seconds or 0.0) - spent)  # an unknown time counts as none
        if score.seconds is not None:
            self._reached[training] = score
        done = min(before.rung, job.rung) if before else 0
        underway = _Underway(job, score, self.now, self.now + left, done)
        heapq.heappush(self._queue, (underway.end, next(self._order), underway))

    def completed(self, timeout: float) -> list[tuple[Job, Score]]:
        """Moves the clock to the end of the next job to end, and returns it; none if none runs."""
        if not self._queue:
            return []
        self.now, _, ended = heapq.heappop(self._queue)
        return [(ended.job, ended.score)]

    def running(self) -> list[Running]:
        """The jobs under way, the next to end first."""
        return [self._progress(underway) for _, _, underway in sorted(self._queue)]

    def close(self) -> None:
        """Drops all jobs under way."""
        self._queue.clear()

    def _progress(self, underway: _Underway) -> Running:
        length, passed = underway.end - underway.start, self.now - underway.start
        share = passed / length if length else 1.0
        epochs = underway.done + share * (underway.job.rung - underway.done)
        return Running(underway.job, epochs, passed)

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
            reason = f"{name} is not recorded at {job.rung} epochs in {self.table.name}"
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
