"""The results of a run: Optuna's storage, and a log in it for each Optuna study.

Four studies may lie in one storage: ``search`` holds the candidates of the space, ``references``
the known designs outside it, whose parameters no distribution of the space could express,
``confirm`` what ``dnsearch confirm`` trained again, whose errors are those of the test images, and
``rates`` what it trained besides to compare learning rates, which counts for nothing else. A trial
carries its job and its score as user attributes (``search.layout``). How it stands:

    COMPLETE  finished; values are the error and the costs, limits are Optuna constraints
    FAIL      with a score: the training failed; with ``rejected``: never trained; with neither:
              its coordinator was killed, it was proposed ahead and never handed out, or its
              failure was set aside, and it counts for nothing
    PRUNED    with a score: trained to a lower rung; otherwise over a limit and never trained (TPE
              learns from its constraints)
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import REFERENCES, SEARCH, STUDIES, Job
from dnsearch.search.layout import (
    FAILED_BEFORE,
    INTERRUPTED,
    JOB,
    REJECTED,
    REJECTED_AS,
    SCHEMA,
    SCORE,
    SECONDS,
    damage,
    expected_end,
    job_attribute,
    job_of,
    noted,
    read_noted,
    score_attribute,
    score_told,
    sealed,
)
from dnsearch.search.parameters import RUNG
from dnsearch.search.sqlite import SQLiteFile
from dnsearch.search.storage import Storage
from dnsearch.training.score import Score

LEAST_FOR_IMPORTANCE = 10
_TRAINED = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


@dataclass(frozen=True)
class Record:
    """One training. ``values`` are the error and costs, None where it failed or stopped at a lower
    rung; ``finished_after`` is in seconds of search time, over all sessions."""

    job: Job
    score: Score
    values: tuple[float, ...] | None
    feasible: bool
    finished_after: float


class StudyStore:
    """A run's storage, with a ``TrialLog`` for each Optuna study in it.

    Its own ``logs`` are those of the studies in ``names``, which one coordinator writes: a search
    has two, a confirmation one. The first keeps the time spent. ``objectives``: of a study that is
    not there yet. ``read_only``: nothing is written, and a study that is not there is empty.
    Without a run the trials are held in memory. Optuna's own tools can open the file, too.

    Raises RunError where the file is no storage.
    """

    def __init__(
        self,
        run: RunDir | None,
        objectives: Sequence[str] = ("error",),
        names: Sequence[str] = (SEARCH, REFERENCES),
        read_only: bool = False,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._objectives, self._read_only = tuple(objectives), read_only
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # damage is told in one line
        self.storage = _storage_of(run, read_only, note)
        self._require_known_studies()
        self._names = tuple(names)
        self.logs = self._opened()
        if not read_only:
            self.storage.begun()

    def _opened(self) -> dict[str, TrialLog]:
        return {name: self.log(name) for name in self._names}

    @property
    def path(self) -> Path | None:
        """The file it is, None where it is none."""
        return self.storage.path

    @property
    def _clock(self) -> TrialLog:
        return self.logs[self._names[0]]

    def _require_known_studies(self) -> None:
        for name in self.storage.studies():
            if name not in STUDIES:
                raise self.storage.damaged(f"holds the study {name!r}, which is none of dnsearch's")

    def guarded(self) -> contextlib.AbstractContextManager[None]:
        """Turns the errors of a damaged database or a full disk into one line that names it."""
        return self.storage.guarded()

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """Writes all that is written within at once, where the storage can."""
        return self.storage.transaction()

    def close(self) -> None:
        """Lets others write it; nothing is read or written any more."""
        self.storage.close()

    def log(self, name: str) -> TrialLog:
        """The log of the study of this name, created where it is missing and may be written."""
        known = self.storage.optuna_name(name)
        with self.storage.readable():
            if name in self.storage.studies():
                study = optuna.load_study(study_name=known, storage=self.storage.optuna)
            else:
                storage = InMemoryStorage() if self._read_only else self.storage.optuna
                directions = [StudyDirection.MINIMIZE] * len(self._objectives)
                study = optuna.create_study(
                    study_name=known, storage=storage, directions=directions
                )
                study.set_user_attr(SECONDS, noted(known, 0.0))
            if study.metric_names is None and not self._read_only:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                    study.set_metric_names(list(self._objectives))
            if any(each != StudyDirection.MINIMIZE for each in study.directions):
                raise self.storage.damaged(f"has to minimise all values of the study {name!r}")
            return TrialLog(study, name, self.storage)

    def set_failures_aside(self) -> None:
        """Has the failed trainings of the logs count for nothing (``set_aside``)."""
        self.storage.set_failures_aside(self._names)
        self.logs = self._opened()  # Optuna keeps what it has read

    @property
    def seconds(self) -> float:
        """Time spent so far, over all sessions: what was noted last, or the end of the training
        that finished last where that is later."""
        with self.storage.readable():
            study, schema = self._clock.study, self.storage.schema
            is_old = schema is not None and schema < SCHEMA
            stored = study.user_attrs.get(SECONDS)
            if stored is None and not is_old and self.asked():
                raise self.storage.damaged("lacks the time spent")
            spent = 0.0 if stored is None else read_noted(study.study_name, stored, is_old)
        return max([spent, *(record.finished_after for record in self.records())])

    def set_aside(self) -> list[Job]:
        """The trainings that failed, and whose candidates got another chance since."""
        return [job for log in self.logs.values() for job in log.set_aside()]

    def note_seconds(self, seconds: float) -> None:
        """Stores the time spent so far."""
        study = self._clock.study
        study.set_user_attr(SECONDS, noted(study.study_name, seconds))

    def asked(self) -> int:
        """Trials asked so far, interrupted ones aside. Every seed derives from this count, so that
        an interrupted study goes on as an uninterrupted one."""
        return sum(log.asked() for log in self.logs.values())

    def recover(self) -> None:
        """Settles trials that a killed coordinator left open; for the holder of the run's lock.

        One that already carries its score is told, any other is closed and counts for nothing. The
        file is then backed up. Raises RunError where anything in it is damaged.
        """
        self.require_sound()
        with self.transaction():
            for log in self.logs.values():
                log.recover()
        self.storage.back_up()

    def require_sound(self) -> None:
        """Raises RunError where any trial is damaged or missing, also of the other studies."""
        for name in self.storage.studies():
            (self.logs.get(name) or self.log(name)).records()

    def accept(self, trial: Trial, job: Job) -> None:
        """Notes in the job's study what is about to be trained."""
        self.logs[job.study].accept(trial, job)

    def withdraw(self, job: Job) -> None:
        """Closes the trial of a job that was never handed out, so that it counts for nothing."""
        with self.transaction():
            self.logs[job.study].withdraw(job.trial)

    def tell(
        self,
        job: Job,
        score: Score,
        values: Sequence[float] | None,
        constraints: Mapping[str, float],
        finished_after: float,
    ) -> Record:
        """Stores a score in the job's study, for good once this returns. ``values`` is None where
        training failed or stopped at a lower rung."""
        told = score_attribute(score, values, constraints, finished_after)
        with self.transaction():
            self.logs[job.study].tell(job.trial, told)
        self.storage.back_up_where_due()
        return _record(job, told)

    def records(self) -> list[Record]:
        """All trainings of the logs, failed ones and those to lower rungs too, in the order they
        finished.

        Raises RunError for a score whose checksum does not match.
        """
        found = [record for log in self.logs.values() for record in log.records()]
        return sorted(found, key=lambda record: record.finished_after)


class TrialLog:
    """The trials of one Optuna study, ``study``, in a storage; ``name`` is ours."""

    def __init__(self, study: optuna.Study, name: str, storage: Storage) -> None:
        self.study, self.name, self.storage = study, name, storage
        self._sound: set[int] = set()
        self._open: dict[int, Trial] = {}
        self._read: dict[int, Record] = {}

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Its trials in these states, all where none is given, by their numbers."""
        with self.storage.readable():
            return self.study.get_trials(deepcopy=False, states=states or None)

    def asked(self) -> int:
        """Trials asked so far, interrupted ones aside."""
        return sum(not is_interrupted(trial) for trial in self.trials())

    def rejected_in_a_row(self) -> int:
        """Proposals turned down since the last one that was trained; read from the storage, so
        that an interruption does not start the count anew."""
        count = 0
        for trial in reversed(self.trials()):
            if REJECTED in trial.user_attrs:
                count += 1
            elif not is_interrupted(trial):
                break
        return count

    def last_rejected(self) -> dict[str, Any]:
        """The parameters of the proposal turned down last; there must be one."""
        trials = reversed(self.trials())
        return next(trial.params for trial in trials if REJECTED in trial.user_attrs)

    def recover(self) -> None:
        """See ``StudyStore``."""
        for trial in self.trials(TrialState.RUNNING):
            reason = trial.user_attrs.get(REJECTED)
            if SCORE in trial.user_attrs:
                self._close(trial.number, self._told(trial))
            elif reason:
                self.study.tell(trial.number, state=REJECTED_AS[reason])
            else:
                self._interrupt(Trial(self.study, trial._trial_id))

    def _interrupt(self, trial: Trial) -> None:
        trial.set_user_attr(INTERRUPTED, True)
        self.study.tell(trial.number, state=TrialState.FAIL)

    def withdraw(self, number: int) -> None:
        """See ``StudyStore``."""
        self._interrupt(self._open.pop(number))

    def accept(self, trial: Trial, job: Job) -> None:
        """Notes what is about to be trained."""
        trial.set_user_attr(JOB, job_attribute(job))
        self._open[job.trial] = trial

    def reject(self, trial: Trial, reason: str) -> None:
        """Closes a trial that will not be trained: a ``DUPLICATE``, one ``OVER_LIMIT``, or, in a
        replay, ``NOT_RECORDED``."""
        trial.set_user_attr(REJECTED, reason)
        self.study.tell(trial, state=REJECTED_AS[reason])

    def tell(self, number: int, told: Mapping[str, Any]) -> None:
        """Stores what ``layout.score_attribute`` made of a score."""
        trial = self._open.pop(number)
        for name, value in told["constraints"].items():
            trial.set_constraint(name, value)  # before the score: whoever finds that finds these
        name, job = self.study.study_name, trial.user_attrs[JOB]
        trial.set_user_attr(SCORE, sealed(told, trial, name, job))
        self._close(number, told)

    def _close(self, number: int, told: Mapping[str, Any]) -> None:
        state, values = expected_end(told)
        self.study.tell(number, values, None if values else state)

    def set_aside(self) -> list[Job]:
        """The trainings that failed, and whose candidates got another chance since."""
        trials = self.trials(TrialState.FAIL)
        with self.storage.readable():
            aside = [trial for trial in trials if FAILED_BEFORE in trial.user_attrs]
            return [job_of(trial, self.name) for trial in aside]

    def records(self) -> list[Record]:
        """All its trainings by their trials' numbers. Raises RunError as ``StudyStore`` does."""
        self._require_sound()
        trained = [trial for trial in self.trials(*_TRAINED) if SCORE in trial.user_attrs]
        for trial in trained:
            if trial.number not in self._read:  # a finished trial never changes
                with self.storage.readable():
                    job = job_of(trial, self.name)
                    self._read[trial.number] = _record(job, self._told(trial))
        return [self._read[trial.number] for trial in trained]

    def _told(self, trial: FrozenTrial) -> Mapping[str, Any]:
        told = score_told(trial)
        assert told is not None  # it is sound
        return told

    def _require_sound(self) -> None:
        """Raises RunError where a trial is damaged or missing."""
        schema = self.storage.schema
        if schema is None:
            return
        trials, name = self.trials(), self.study.study_name
        with self.storage.readable():
            for place, trial in enumerate(trials):
                if trial.number != place:
                    raise self.storage.damaged(f"lacks trial {place} of the study {name!r}")
                if trial.number in self._sound:
                    continue
                wrong = damage(trial, name, schema < SCHEMA)
                if wrong:
                    raise self.storage.damaged(wrong)
                if trial.state.is_finished():  # and never changes
                    self._sound.add(trial.number)

    def importance(self) -> dict[str, dict[str, float]]:
        """By objective, the share of its variance that each dimension explains (PED-ANOVA,
        Watanabe et al. 2023, arXiv:2304.10255); empty while there are too few candidates."""
        done = self.trials(TrialState.COMPLETE)
        if len(done) < LEAST_FOR_IMPORTANCE or len({t.values[0] for t in done}) < 2:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that small targets count as good
            shares = optuna.importance.get_param_importances(
                self.study,
                evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                params=sorted(done[0].params.keys() - {RUNG}),
                target=lambda trial: trial.values[0],
            )
        return {"error": dict(shares)}


def _storage_of(run: RunDir | None, read_only: bool, note: Callable[[str], None]) -> Storage:
    if run is None:
        return Storage()
    place = run.place
    if place is None:
        return SQLiteFile(run, read_only)
    from dnsearch.search.server import Server

    return Server(run, place, read_only, note)


def _record(job: Job, told: Mapping[str, Any]) -> Record:
    return Record(
        job=job,
        score=Score.from_dict(told["score"]),
        values=None if told["values"] is None else tuple(told["values"]),
        feasible=all(share <= 0 for share in told["constraints"].values()),
        finished_after=told["finished_after"],
    )


def is_interrupted(trial: FrozenTrial) -> bool:
    """Whether its coordinator was killed, so that it counts for nothing."""
    known = trial.user_attrs.keys() & {SCORE, REJECTED}
    return trial.state == TrialState.FAIL and not known


def counts_for_nothing(trial: FrozenTrial) -> bool:
    """Whether a sampler should overlook it: interrupted, or turned down before training."""
    return is_interrupted(trial) or REJECTED in trial.user_attrs
