"""The loop of a search: propose, submit, collect, tell. It knows neither torch nor processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dnsearch import interrupts
from dnsearch.config import SearchConfig
from dnsearch.search.evaluators.base import Evaluator, Job, Running, Unexplained
from dnsearch.search.faults import Suspects
from dnsearch.search.problem import Problem
from dnsearch.search.store import Record, StudyStore
from dnsearch.training.score import Score

POLL_SECONDS = 0.5
NOTE_SECONDS = 10.0
"""Where no training ends meanwhile: one that does says when."""

FIRST_FAILURES = 5
"""When so many have failed and none has finished, the study is at fault, not the candidates."""

TIME_IS_UP, INTERRUPTED = "the time is up", "interrupted"
TRIALS_ARE_DONE = "all trials finished"


@dataclass(frozen=True)
class Progress:
    """How the search stands, for whoever shows it. ``finished`` are new since the last one."""

    finished: tuple[Record, ...]
    running: tuple[Running, ...]
    done: int
    trials: int
    seconds: float
    time: float | None


class Proposes(Protocol):
    """Where the engine's jobs come from."""

    def propose(self) -> Job | None:
        """The next job, noted in the store; None where there is none."""
        ...


class Engine:
    """Runs a study's candidates until a budget is spent or the space is exhausted."""

    def __init__(
        self,
        store: StudyStore,
        proposer: Proposes,
        evaluator: Evaluator,
        problem: Problem,
        budget: SearchConfig,
        clock: Callable[[], float] = time.monotonic,
        before: Sequence[Record] | None = None,
        enough: Callable[[], str | None] = lambda: None,
    ) -> None:
        """``before``: trainings of earlier sittings that count; by default all in the store.
        ``enough``: why what is known by now is enough, None while it is not; asked before the first
        proposal and whenever trainings have ended."""
        self.store, self.proposer, self.evaluator = store, proposer, evaluator
        self.problem, self.budget = problem, budget
        self.top, self.clock, self.enough = problem.rungs[-1], clock, enough
        self._known: str | None = None
        self._before, self._started = store.seconds, clock()
        records = store.records() if before is None else before
        self._done = len(records)
        self._finished = sum(record.score.failure is None for record in records)
        self._noted = self._before
        self._exhausted = False
        self._suspects = Suspects()

    @property
    def seconds(self) -> float:
        """Search time over all sittings."""
        return self._before + self.clock() - self._started

    def run(self, show: Callable[[Progress], None]) -> str:
        """Searches; returns why it ended. Candidates under way when time is up, or when enough is
        known, are dropped: they are trained again, from their last checkpoint, if the search goes
        on. Raises MachineError where the machine is at fault (``search.faults``)."""
        with interrupts.held():  # an interrupted transaction would lock the storage against us
            try:
                self._known = self.enough()
                while (reason := self._step(show)) is None:
                    interrupts.safe_point()
                return reason
            finally:
                self._note_seconds()

    def _step(self, show: Callable[[Progress], None]) -> str | None:
        """Hands out what can be, and waits for what ends; returns why the search is over, if it
        is."""
        self._fill()
        reason = self._end()
        if reason is not None:
            return reason
        ended = self.evaluator.completed(min(POLL_SECONDS, max(0.0, self._time_left())))
        self._exhausted &= not ended  # what ended may be promoted
        finished = [self._judged(job, outcome) for job, outcome in ended]
        show(self._progress(tuple(record for record in finished if record)))
        if ended:
            self._known = self.enough()
        if self.seconds - self._noted > NOTE_SECONDS:
            self._note_seconds()
        return None

    def _judged(self, job: Job, outcome: Score | Unexplained) -> Record | None:
        """What is stored of a training that has ended, None while it is open whose fault it is that
        it has no score."""
        if isinstance(outcome, Unexplained):
            score = self._suspects.judge(job, outcome)
            return None if score is None else self._tell(job, score)
        self._suspects.scored()
        return self._tell(job, outcome)

    def _note_seconds(self) -> None:
        """Stores the time spent, so that a kill loses little of the count."""
        self._noted = self.seconds
        self.store.note_seconds(self._noted)

    def _end(self) -> str | None:
        """Why the search is over, if it is."""
        if self._done >= FIRST_FAILURES and not self._finished:
            return f"the first {self._done} candidates all failed"
        if self._known is not None:
            return self._known
        if not self.evaluator.running() and not self._suspects:
            if self._done >= self.budget.trials:
                return TRIALS_ARE_DONE
            if self._exhausted:
                return "every architecture of the space was tried"
        return TIME_IS_UP if self._time_left() <= 0 else None

    def _fill(self) -> None:
        """Gives every free worker a job, as far as the budget goes."""
        while self._known is None and self._time_left() > 0:
            running = len(self.evaluator.running())
            if running >= self.evaluator.capacity:
                return
            job = self._next(running)
            if job is None:
                return
            self.evaluator.submit(job)

    def _next(self, running: int) -> Job | None:
        """A job that is tried once more, or else a new one; None where there is none for now."""
        if self._suspects.again:
            return self._suspects.again.popleft()
        open_trials = self._done + running + len(self._suspects)
        job = None
        if not self._exhausted and open_trials < self.budget.trials:
            job = self.proposer.propose()
            self._exhausted = job is None
        if job is None and not running and self._suspects:
            self._suspects.release()  # no other training can tell whose fault it was
            return self._suspects.again.popleft()
        return job

    def _time_left(self) -> float:
        return float("inf") if self.budget.time is None else self.budget.time - self.seconds

    def _tell(self, job: Job, score: Score) -> Record:
        needed = {name: getattr(score, name) for name in ("error", self.problem.error)}
        if "latency_ms" in self.problem.costs and job.rung == self.top:
            needed["latency_ms"] = score.latency_ms
        for name, value in needed.items():
            if score.failure is None and value is None:
                score = score.failed(f"no {name} was reported")
        constraints = self.problem.model.excess(job.arch, score.latency_ms)
        complete = score.failure is None and job.rung == self.top and job.images is None
        values = self._values(job, score) if complete else None
        record = self.store.tell(job, score, values, constraints, self.seconds)
        self._done += 1
        self._finished += score.failure is None
        return record

    def _values(self, job: Job, score: Score) -> list[float]:
        known = vars(self.problem.model.cost(job.arch)) | vars(score)
        return [float(known[name]) for name in self.problem.objectives]

    def _progress(self, finished: tuple[Record, ...]) -> Progress:
        return Progress(
            finished=finished,
            running=tuple(self.evaluator.running()),
            done=self._done,
            trials=self.budget.trials,
            seconds=self.seconds,
            time=self.budget.time,
        )
