"""The loop of a search: propose, submit, collect, tell. It knows neither torch nor processes."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dnsearch import interrupts
from dnsearch.config import SearchConfig
from dnsearch.search.evaluators.base import Ending, Evaluator, Job, Lost, Running, Unexplained
from dnsearch.search.faults import Suspects
from dnsearch.search.problem import Problem
from dnsearch.search.store import Record, StudyStore
from dnsearch.training.score import Score

POLL_SECONDS = 0.5
NOTE_SECONDS = 10.0
"""Where no training ends meanwhile: one that does says when."""

AS_LONG_AGAIN = 1.0
"""Proposing goes on for so many times as long as the first proposal took, until what has ended
meanwhile is collected: a sampler may have to weigh everything anew for it (known-cost does, and
its further proposals from the same results are cheap), and workers wait."""

HARDLY = 0.25
"""So many trainings may end while it is being proposed, on average, before any is made ahead."""

MEMORY = 0.8
"""Weight of the past in how long proposing takes, and the time from the end of one training to that
of the next."""

FIRST_FAILURES = 5
"""When so many have failed and none has finished, the study is at fault, not the candidates."""

TIME_IS_UP, INTERRUPTED = "the time is up", "interrupted"
TRIALS_ARE_DONE = "all trials finished"


@dataclass(frozen=True)
class Progress:
    """How the search stands, for whoever shows it. ``finished`` and ``notes`` (of the evaluator)
    are new since the last one."""

    finished: tuple[Record, ...]
    running: tuple[Running, ...]
    done: int
    trials: int
    seconds: float
    time: float | None
    notes: tuple[str, ...] = ()


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
        """``before``: trainings of earlier sessions that count; by default all in the store.
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
        self._ready: deque[Job] = deque()
        self._burst, self._interval, self._collected = 0.0, 0.0, clock()

    @property
    def seconds(self) -> float:
        """Search time over all sessions."""
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
                while self._ready:
                    self.store.withdraw(self._ready.popleft())
                self._note_seconds()

    def _step(self, show: Callable[[Progress], None]) -> str | None:
        """Hands out what can be, and collects what has ended; where there was nothing to propose,
        it waits for that. Returns why the search is over, if it is."""
        proposed = self._fill()
        reason = self._end()
        if reason is not None:
            return reason
        patience = 0.0 if proposed else min(POLL_SECONDS, max(0.0, self._time_left()))
        ended = self.evaluator.completed(patience)
        if ended:
            now = self.clock()
            self._interval = _recent(self._interval, (now - self._collected) / len(ended))
            self._collected = now
        self._exhausted &= not ended  # what ended may be promoted
        finished = [self._judged(job, ending) for job, ending in ended]
        if ended or not proposed:
            show(self._progress(tuple(record for record in finished if record)))
        if ended:
            self._known = self.enough()
        if self.seconds - self._noted > NOTE_SECONDS:
            self._note_seconds()
        return None

    def _judged(self, job: Job, ending: Ending) -> Record | None:
        """What is stored of a training that has ended, None where it is to be run again, and while
        it is open whose fault it is that it has no score."""
        if isinstance(ending, Lost):
            suspicious = self._suspects.lost(job, ending)
            if suspicious is None:
                return None
            ending = suspicious
        if isinstance(ending, Unexplained):
            score = self._suspects.judge(job, ending)
            return None if score is None else self._tell(job, score)
        self._suspects.scored()
        return self._tell(job, ending)

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
        if not (self.evaluator.running() or self._suspects or self._ready):
            if self._done >= self.budget.trials:
                return TRIALS_ARE_DONE
            if self._exhausted:
                return "every architecture of the space was tried"
        return TIME_IS_UP if self._time_left() <= 0 else None

    def _fill(self) -> bool:
        """Gives free workers jobs, as far as the budget goes, and gets some more ready for those
        that will be free soon. Returns whether it proposed any: trainings may have ended meanwhile,
        so it does not go on for long."""
        began, first = self.clock(), None
        while self._known is None and self._time_left() > 0:
            running = len(self.evaluator.running())
            free = running < self.evaluator.capacity
            if free and (self._suspects.again or self._ready):
                self.evaluator.submit((self._suspects.again or self._ready).popleft())
                continue
            spent = self.clock() - began
            late = first is not None and spent >= (1 + AS_LONG_AGAIN) * first
            if late or not (free or len(self._ready) < self._ahead):
                break
            job = self._next(running)
            if job is None:
                break
            self._ready.append(job)
            first = self.clock() - began if first is None else first
        if first is not None:
            self._burst = _recent(self._burst, self.clock() - began)
        return first is not None

    @property
    def _ahead(self) -> int:
        """Proposals to have ready while all workers are busy: as many as trainings end while it
        proposes, rounded up unless that is hardly ever, so that nobody waits. None for a single
        worker, which would learn nothing meanwhile."""
        capacity = self.evaluator.capacity
        ending = self._burst / self._interval if self._interval else 0.0
        return 0 if capacity == 1 else min(capacity, math.ceil(ending - HARDLY))

    def _next(self, running: int) -> Job | None:
        """A new job, or one that is tried once more; None where there is none for now."""
        open_trials = self._done + running + len(self._ready) + len(self._suspects)
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
            notes=tuple(self.evaluator.notes()),
        )


def _recent(mean: float, value: float) -> float:
    """A mean in which the past counts less and less; 0 before any."""
    return MEMORY * mean + (1 - MEMORY) * value if mean else value
