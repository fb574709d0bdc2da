"""Whose fault it is that a training has no score: the candidate's, the machine's or the user's.

This is the one place that decides it.

- What a training itself ran into (divergence, lack of memory, images too small for the network) is
  a ``Score`` with a ``failure`` already: the candidate's.
- What took longer than ``search.timeout``, or killed its worker after its first epoch, which a
  broken machine would not have got to: the candidate's.
- Errors that dnsearch words itself (``DnsearchError``: images that changed, a full disk) end the
  search at once.
- What comes before a worker is ready has no candidate to blame: after ``MOST_STARTS`` in a row it
  is the machine's.
- What was lost with the place where it ran (``Lost``) is nobody's: it is run again. Lost for the
  ``MOST_LOST``-th time it is suspicious, like the following.
- Anything else may be either, and is ``Unexplained``. Once another training has a score, the
  machine is sound: the candidate is tried once more, and a second time it is its failure. Where
  ``IN_A_ROW`` trainings end so with none between them that has a score, it is the machine's, and
  they stay untried.
"""

from __future__ import annotations

from collections import Counter, deque

from dnsearch.errors import DnsearchError, MachineError, one_line
from dnsearch.processes import Died
from dnsearch.search.evaluators.base import Job, Lost, Unexplained
from dnsearch.training.score import Score

MOST_STARTS = 3
MOST_LOST = 3
IN_A_ROW = 3

REPAIRED = "once this machine is repaired, the same command goes on"


def blame(job: Job, cause: Died | Exception, epochs: float) -> Score | Unexplained:
    """What a training counts as that has ended by ``cause`` after so many epochs. Raises the cause
    where it is a DnsearchError, which is no candidate's fault."""
    if isinstance(cause, DnsearchError):
        raise cause
    if isinstance(cause, Died):
        return failed(job, cause.reason) if epochs else Unexplained(cause.reason)
    return Unexplained(one_line(cause)[:300])


def failed(job: Job, reason: str) -> Score:
    """The score of a candidate that is at fault."""
    return Score(rung=job.rung, seed=job.seed, failure=reason)


def too_late(job: Job, timeout: float) -> Score:
    """The score of a candidate whose training takes longer than so many seconds."""
    return failed(job, f"took longer than search.timeout ({timeout:g} s)")


def cannot_start(cause: Died | Exception | str) -> DnsearchError:
    """What to raise where workers cannot be started."""
    if isinstance(cause, DnsearchError):
        return cause
    if isinstance(cause, Died):
        cause = f"they end with exit code {cause.code} before they are ready"
    reason = cause if isinstance(cause, str) else one_line(cause)[:300]
    error = MachineError(f"worker processes cannot be started here: {reason}; {REPAIRED}")
    error.__cause__ = cause if isinstance(cause, Exception) else None
    return error


class Suspects:
    """Candidates whose trainings are ``Unexplained`` as long as it is open whose fault that is."""

    def __init__(self) -> None:
        self.again: deque[Job] = deque()
        """To be tried once more, now that the machine is known to be sound."""
        self._held: list[Job] = []
        self._tried: list[Job] = []
        self._lost: Counter[Job] = Counter()
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._held) + len(self.again)

    def scored(self) -> None:
        """Takes note that a training has a score: the machine is sound."""
        self._in_a_row = 0
        self.release()

    def release(self) -> None:
        """Lets those that are held be tried once more."""
        self.again.extend(self._held)
        self._tried += self._held
        self._held.clear()

    def lost(self, job: Job, cause: Lost) -> Unexplained | None:
        """Takes note of a training that was lost: None where it is to be run again."""
        self._lost[job] += 1
        if self._lost[job] >= MOST_LOST:
            return Unexplained(cause.reason)
        self.again.append(job)
        return None

    def judge(self, job: Job, cause: Unexplained) -> Score | None:
        """The candidate's failure, or None where it is held. Raises MachineError where the machine
        is at fault."""
        self._in_a_row += 1
        if self._in_a_row >= IN_A_ROW:
            raise MachineError(
                f"{self._in_a_row} trainings in a row ended without a score, the last with: "
                f"{cause.reason}; {REPAIRED}"
            )
        if job in self._tried:
            return failed(job, f"{cause.reason}, twice")
        self._held.append(job)
        return None
