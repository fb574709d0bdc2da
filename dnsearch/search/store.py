"""The Optuna study of a run: the only store of results.

Three studies lie in one storage: ``search`` holds the candidates of the space, ``references`` the
known designs outside it, whose parameters no distribution of the space could express, ``confirm``
what ``dnsearch confirm`` trained again, whose errors are those of the test images. A trial
carries its job and its score as user attributes, the score with a checksum. How it stands:

    COMPLETE  finished; values are the error and the costs, limits are Optuna constraints
    FAIL      with a score: the training failed; with ``rejected``: never trained; with neither:
              its coordinator was killed, and the candidate counts for nothing
    PRUNED    with a score: trained to a lower rung; otherwise over a limit and never trained (TPE
              learns from its constraints)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError

from dnsearch.arch.config import ArchConfig
from dnsearch.errors import RunError
from dnsearch.rundir import RunDir
from dnsearch.search.evaluators.base import Job
from dnsearch.search.parameters import RUNG
from dnsearch.training.score import Score

SEARCH, REFERENCES, CONFIRM = "search", "references", "confirm"
LEAST_FOR_IMPORTANCE = 10
DUPLICATE, OVER_LIMIT, NOT_RECORDED = "duplicate", "over limit", "not recorded"
_REJECTED = {
    DUPLICATE: TrialState.FAIL,
    OVER_LIMIT: TrialState.PRUNED,
    NOT_RECORDED: TrialState.FAIL,
}
_TRAINED = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
LOCK_SECONDS = 60  # at SQLite's default of 5 s, 16 writers see "database is locked"


@dataclass(frozen=True)
class Record:
    """One training. ``values`` are the error and costs, None where it failed or stopped at a lower
    rung; ``finished_after`` is in seconds of search time, over all sittings."""

    job: Job
    score: Score
    values: tuple[float, ...] | None
    feasible: bool
    finished_after: float


class StudyStore:
    """Reads and writes a run's storage; Optuna's own tools can open it too.

    ``objectives`` are the costs traded against error. Without a run the trials are held in memory.
    ``names``: of the study of candidates with parameters, and of that of others without; may be
    one. Raises RunError where the file is no storage.
    """

    def __init__(
        self,
        run: RunDir | None,
        objectives: tuple[str, ...],
        names: tuple[str, ...] = (SEARCH, REFERENCES),
    ) -> None:
        self.path = run.database if run else "memory"
        with self.guarded():
            self._storage = _storage(run)
            self._studies = _open_studies(self._storage, objectives, names)
        self.search, self.references = self._studies[0], self._studies[-1]
        self._open: dict[tuple[bool, int], Trial] = {}

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Turns the errors of a damaged file or a full disk into a RunError that names it."""
        try:
            yield
        except (DatabaseError, optuna.exceptions.StorageInternalError) as error:
            cause = error if isinstance(error, DatabaseError) else error.__cause__
            reason = str(getattr(cause, "orig", cause)).splitlines()[0]
            raise RunError(f"{self.path}: cannot be used as Optuna storage: {reason}") from None

    def _trials(self, study: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
        with self.guarded():
            return study.get_trials(deepcopy=False, states=states or None)

    @property
    def seconds(self) -> float:
        """Search time so far, over all sittings."""
        return self.search.user_attrs.get("seconds", 0.0)

    def set_seconds(self, seconds: float) -> None:
        self.search.set_user_attr("seconds", seconds)

    def asked(self) -> int:
        """Trials asked so far, interrupted ones aside. Every seed derives from this count, so that
        an interrupted study goes on as an uninterrupted one."""
        return sum(not is_interrupted(t) for study in self._studies for t in self._trials(study))

    def rejected_in_a_row(self) -> int:
        """Proposals turned down since the last one that was trained; read from the storage, so
        that an interruption does not start the count anew."""
        count = 0
        for trial in reversed(self._trials(self.search)):
            if "rejected" in trial.user_attrs:
                count += 1
            elif not is_interrupted(trial):
                break
        return count

    def last_rejected(self) -> dict[str, Any]:
        """The parameters of the proposal turned down last; there must be one."""
        trials = reversed(self._trials(self.search))
        return next(trial.params for trial in trials if "rejected" in trial.user_attrs)

    def recover(self) -> None:
        """Settles trials that a killed coordinator left open; for the holder of the run's lock.

        One that already carries its score is told, any other is closed and counts for nothing.
        """
        for study in self._studies:
            for trial in self._trials(study, TrialState.RUNNING):
                if "score" in trial.user_attrs:
                    self._close(study, trial.number, self._score(trial), trial.user_attrs["values"])
                else:
                    reason = trial.user_attrs.get("rejected", "")
                    study.tell(trial.number, state=_REJECTED.get(reason, TrialState.FAIL))

    def accept(self, trial: Trial, job: Job) -> None:
        """Notes what is about to be trained."""
        trial.set_user_attr("arch", job.arch.to_dict())
        trial.set_user_attr("key", job.arch.key)
        trial.set_user_attr("seed", job.seed)
        trial.set_user_attr("rung", job.rung)
        if job.images is not None:
            trial.set_user_attr("images", job.images)
        self._open[job.reference, job.trial] = trial

    def reject(self, trial: Trial, reason: str) -> None:
        """Closes a trial that will not be trained: a ``DUPLICATE``, one ``OVER_LIMIT``, or, in a
        replay, ``NOT_RECORDED``."""
        trial.set_user_attr("rejected", reason)
        self.search.tell(trial, state=_REJECTED[reason])

    def tell(
        self,
        job: Job,
        score: Score,
        values: list[float] | None,
        constraints: Mapping[str, float],
        finished_after: float,
    ) -> None:
        """Stores a score, for good once this returns. ``values`` is None where training failed or
        stopped at a lower rung."""
        trial = self._open.pop((job.reference, job.trial))
        for name, value in constraints.items():
            trial.set_constraint(name, value)
        trial.set_user_attr("finished_after", finished_after)
        trial.set_user_attr("values", values)
        text = json.dumps(score.to_dict())
        trial.set_user_attr("score_sha256", _checksum(text))
        trial.set_user_attr("score", text)  # last: whoever finds it finds the rest
        study = self.references if job.reference else self.search
        self._close(study, job.trial, score, values)

    @staticmethod
    def _close(study: optuna.Study, number: int, score: Score, values: list[float] | None) -> None:
        if values is not None:
            study.tell(number, values)
        else:
            study.tell(number, state=TrialState.FAIL if score.failure else TrialState.PRUNED)

    def records(self) -> list[Record]:
        """All trainings, failed ones and those to lower rungs too, in the order they finished.

        Raises RunError for a score whose checksum does not match.
        """
        return self._records(self._studies)

    def confirmed(self) -> list[Record]:
        """The same of what ``dnsearch confirm`` has trained; its values begin with the test error.
        None of it is a candidate of the search."""
        with self.guarded():
            if CONFIRM not in optuna.get_all_study_names(self._storage):
                return []
            study = optuna.load_study(study_name=CONFIRM, storage=self._storage)
        return self._records((study,))

    def _records(self, studies: tuple[optuna.Study, ...]) -> list[Record]:
        found = [
            Record(
                job=_job(trial, reference=study is self.references),
                score=self._score(trial),
                values=tuple(trial.values) if trial.values else None,
                feasible=all(value <= 0 for value in trial.constraints.values()),
                finished_after=trial.user_attrs["finished_after"],
            )
            for study in studies
            for trial in self._trials(study, *_TRAINED)
            if "score" in trial.user_attrs
        ]
        return sorted(found, key=lambda record: record.finished_after)

    def importance(self) -> dict[str, dict[str, float]]:
        """By objective, the share of its variance that each dimension explains (PED-ANOVA,
        Watanabe et al. 2023, arXiv:2304.10255); empty while there are too few candidates."""
        done = self._trials(self.search, TrialState.COMPLETE)
        if len(done) < LEAST_FOR_IMPORTANCE or len({t.values[0] for t in done}) < 2:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that small targets count as good
            shares = optuna.importance.get_param_importances(
                self.search,
                evaluator=optuna.importance.PedAnovaImportanceEvaluator(),
                params=sorted(done[0].params.keys() - {RUNG}),
                target=lambda trial: trial.values[0],
            )
        return {"error": dict(shares)}

    def _score(self, trial: FrozenTrial) -> Score:
        text = trial.user_attrs["score"]
        if _checksum(text) != trial.user_attrs.get("score_sha256"):
            raise RunError(
                f"{self.path}: the score of trial {trial.number} does not match its checksum; "
                "the file was changed or damaged"
            )
        return Score.from_dict(json.loads(text))


def _storage(run: RunDir | None) -> optuna.storages.BaseStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if run is None:
        return optuna.storages.InMemoryStorage()
    url = URL.create("sqlite", database=str(run.database.resolve()))
    return optuna.storages.RDBStorage(
        url.render_as_string(), engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}}
    )


def _open_studies(
    storage: optuna.storages.BaseStorage, objectives: tuple[str, ...], study_names: tuple[str, ...]
) -> tuple[optuna.Study, ...]:
    names = ["error", *objectives]
    directions = [optuna.study.StudyDirection.MINIMIZE] * len(names)
    studies = []
    for name in study_names:
        study = optuna.create_study(
            study_name=name, storage=storage, directions=directions, load_if_exists=True
        )
        if study.metric_names is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                study.set_metric_names(names)
        studies.append(study)
    return tuple(studies)


def is_interrupted(trial: FrozenTrial) -> bool:
    """Whether its coordinator was killed, so that it counts for nothing."""
    known = trial.user_attrs.keys() & {"score", "rejected"}
    return trial.state == TrialState.FAIL and not known


def counts_for_nothing(trial: FrozenTrial) -> bool:
    """Whether a sampler should overlook it: interrupted, or turned down before training."""
    return is_interrupted(trial) or "rejected" in trial.user_attrs


def _job(trial: FrozenTrial, reference: bool) -> Job:
    attrs = trial.user_attrs
    arch = ArchConfig.from_dict(attrs["arch"])
    images = attrs.get("images")
    return Job(trial.number, arch, attrs["rung"], attrs["seed"], reference, images)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
