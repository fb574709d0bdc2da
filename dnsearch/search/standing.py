"""``Standing``: how a run stands at this moment, read from its storage without disturbing it.

Nothing is written and nothing is fitted: the error so far is a measured one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from optuna.trial import FrozenTrial, TrialState

from dnsearch.arch.config import ArchConfig
from dnsearch.config import StudyConfig, load_study
from dnsearch.rundir import Holder, RunDir
from dnsearch.search.evaluators.base import CONFIRM, RATES, REFERENCES, SEARCH
from dnsearch.search.layout import JOB, job_of
from dnsearch.search.store import Record, StudyStore, TrialLog
from dnsearch.text import counted

RECENT = 10
"""Training runs, the last ones, by whose pace the time left is told."""


class UnderWay(NamedTuple):
    """A training run: its architecture and length in epochs, and the seconds since it was handed
    out."""

    arch: ArchConfig
    epochs: int
    seconds: float


class Best(NamedTuple):
    """The network of least measured error (0 to 1), the mean over so many ``seeds``, within all
    limits."""

    arch: ArchConfig
    error: float
    seeds: int


class Standing(NamedTuple):
    """How a run stands.

    holder: the process that works on it, None where none does. trained, lower, failed: training
    runs of the search, and how many of them were to a lower rung or failed. confirmed: training
    runs of `dnsearch confirm`. trials, time: the budgets, time in seconds, None without. seconds:
    search time spent. left: seconds until a budget is spent at the pace of the last ``RECENT``, NaN
    while that is not known or no search is at work. running: what the holder has under way. reason:
    why the last session ended, empty where it did not.
    """

    study: StudyConfig
    holder: Holder | None
    trained: int
    lower: int
    failed: int
    confirmed: int
    trials: int
    time: float | None
    seconds: float
    left: float
    running: tuple[UnderWay, ...]
    best: Best | None
    reason: str

    @property
    def so_far(self) -> str:
        """Such as ``14 of at most 30 trials``."""
        told = f"{self.trained} of at most {counted(self.trials, 'trial')}"
        if self.confirmed:
            told += f", {self.confirmed} by dnsearch confirm"
        return told


class Observer:
    """Tells how a run stands, as often as asked. Raises RunError where its storage cannot be read,
    and ConfigError where its study cannot."""

    def __init__(self, run: RunDir) -> None:
        self.run = run
        self._store: StudyStore | None = None

    def look(self) -> Standing:
        """As it is now."""
        run, study = self.run, load_study(self.run.study_file)
        store = self._opened()
        holder, records = run.holder(), store.records()
        own, fresh = [*store.logs.values()], [store.log(CONFIRM), store.log(RATES)]
        seconds = store.seconds
        newest = [trial for log in own for trial in log.trials()[-1:]]
        searches = holder is not None and any(_is_of(trial, holder) for trial in newest)
        return Standing(
            study=study,
            holder=holder,
            trained=len(records),
            lower=sum(_is_lower(record, study) for record in records),
            failed=sum(record.score.failure is not None for record in records),
            confirmed=sum(len(log.records()) for log in fresh),
            trials=study.search.trials,
            time=study.search.time,
            seconds=seconds,
            left=seconds_left(study, records, seconds) if searches else math.nan,
            running=_running([*own, *fresh], holder) if holder else (),
            best=_best(records),
            reason="" if holder else self.run.end_reason(),
        )

    def _opened(self) -> StudyStore:
        """The storage; opened anew while a search that has just begun has not made its studies."""
        if self._store is None or not self._store.logs[SEARCH].trials():
            self._store = StudyStore(self.run, names=(SEARCH, REFERENCES), read_only=True)
        return self._store


def _is_lower(record: Record, study: StudyConfig) -> bool:
    rungs = study.training.rungs
    return record.score.failure is None and record.job.rung < rungs[-1]


def _is_of(trial: FrozenTrial, holder: Holder) -> bool:
    """Whether this process has begun it: what others have left open is under way no more, and stays
    open until one goes on with its log."""
    start = trial.datetime_start  # local time without a zone, as Optuna reads it
    return start is not None and start.astimezone() >= datetime.fromisoformat(holder.since)


def _running(logs: Sequence[TrialLog], holder: Holder) -> tuple[UnderWay, ...]:
    """In the order they were handed out."""
    now = datetime.now()
    found = [
        (trial, job_of(trial, log.name))
        for log in logs
        for trial in log.trials(TrialState.RUNNING)
        if JOB in trial.user_attrs and _is_of(trial, holder)
    ]
    return tuple(
        UnderWay(job.arch, job.rung, _seconds_since(trial, now))
        for trial, job in sorted(found, key=lambda each: _seconds_since(each[0], now))[::-1]
    )


def _seconds_since(trial: FrozenTrial, now: datetime) -> float:
    start = trial.datetime_start
    return max(0.0, (now - start).total_seconds()) if start else math.nan


def seconds_left(study: StudyConfig, records: Sequence[Record], seconds: float) -> float:
    """Seconds until the first of the budgets is spent; NaN while nothing tells."""
    budgets = []
    if study.search.time is not None:
        budgets.append(study.search.time - seconds)
    if len(records) > 1:
        last = records[-RECENT - 1 :]
        pace = (last[-1].finished_after - last[0].finished_after) / (len(last) - 1)
        budgets.append((study.search.trials - len(records)) * pace)
    return max(0.0, min(budgets)) if budgets else math.nan


def _best(records: Sequence[Record]) -> Best | None:
    errors: dict[str, list[Record]] = {}
    for record in records:
        if record.values is not None and record.feasible:
            errors.setdefault(record.job.arch.key, []).append(record)
    known = [
        Best(own[0].job.arch, sum(r.values[0] for r in own if r.values) / len(own), len(own))
        for own in errors.values()
    ]
    return min(known, key=lambda best: best.error, default=None)
