"""How an Optuna trial carries a training: user attributes.

    job    arch, key, seed, rung; images where the training may not see all of them, learning_rate
           where it is not the recipe's
    score  score, values, constraints, finished_after, and ``checksum``: of these four, and of all
           else that is used of the trial: study, number, job, parameters and what they may be
    failed_before
           in place of score: that of a failed trial whose candidate gets another chance
    rejected, interrupted
           in place of score: why a finished trial has none

Before ``SCHEMA`` 2 the checksum, ``sha256``, was that of the four alone; at first there
was an attribute a figure instead: arch, key, seed, rung and images; score (as JSON text),
score_sha256, values and finished_after. These are read, and written anew by ``search.upgrade``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from dnsearch.arch.config import ArchConfig
from dnsearch.files import checksum
from dnsearch.search.evaluators.base import Job
from dnsearch.training.score import Score

SCHEMA = 2
"""How a storage holds what it holds: SQLite's user_version, in a server an attribute of each study.
Raised by whatever changes it, so that no version takes it for what it is not. 0 is a storage of
before."""

JOB, SCORE, FAILED_BEFORE, REJECTED = "job", "score", "failed_before", "rejected"
INTERRUPTED, CHECKSUM, OLD_CHECKSUM = "interrupted", "checksum", "sha256"
SECONDS = "seconds"
"""The user attribute of a study for the time spent on it."""

DUPLICATE, OVER_LIMIT, NOT_RECORDED = "duplicate", "over limit", "not recorded"
REJECTED_AS = {
    DUPLICATE: TrialState.FAIL,
    OVER_LIMIT: TrialState.PRUNED,
    NOT_RECORDED: TrialState.FAIL,
}
"""How a trial ends that was turned down."""


def job_attribute(job: Job) -> dict[str, Any]:
    """What is stored of a job before it is trained; its trial number and study are the trial's."""
    told = {"arch": job.arch.to_dict(), "key": job.arch.key, "seed": job.seed, "rung": job.rung}
    special = {"images": job.images, "learning_rate": job.learning_rate}
    return told | {name: value for name, value in special.items() if value is not None}


def job_of(trial: FrozenTrial, study: str) -> Job:
    """The job that a trial of this study carries."""
    told = trial.user_attrs.get(JOB, trial.user_attrs)
    arch = ArchConfig.from_dict(told["arch"])
    special = told.get("images"), told.get("learning_rate")
    return Job(trial.number, arch, told["rung"], told["seed"], study, *special)


def images_of(trial: FrozenTrial) -> int | None:
    """The training images that a trial was limited to; None is all."""
    told = trial.user_attrs.get(JOB)
    return (told if isinstance(told, Mapping) else trial.user_attrs).get("images")


def score_attribute(
    score: Score,
    values: Sequence[float] | None,
    constraints: Mapping[str, float],
    finished_after: float,
) -> dict[str, Any]:
    """What is stored of a score: all in one, so that whoever finds some of it finds the rest; to be
    ``sealed``."""
    return {
        "score": score.to_dict(),
        "values": None if values is None else list(values),
        "constraints": dict(constraints),
        "finished_after": finished_after,
    }


def sealed(
    told: Mapping[str, Any], trial: FrozenTrial | Trial, study: str, job: Any
) -> dict[str, Any]:
    """A trial's ``score_attribute`` with the checksum of all that is used of the trial, of which
    ``job`` is the ``job_attribute``."""
    allowed = {name: _choices(each) for name, each in trial.distributions.items()}
    used = study, trial.number, job, trial.params, allowed, dict(told)
    return {**told, CHECKSUM: checksum(used)}


def _choices(distribution: BaseDistribution) -> list[Any]:
    """What a parameter may be, in words that do not change with Optuna's version."""
    return [getattr(distribution, name, None) for name in ("low", "high", "step", "choices")]


def score_told(trial: FrozenTrial, attribute: str = SCORE) -> Mapping[str, Any] | None:
    """What ``score_attribute`` made, for old runs too; None where the trial carries no score, or
    one that a script noted under the same name."""
    told, attrs = trial.user_attrs.get(attribute), trial.user_attrs
    if isinstance(told, Mapping):
        sums = CHECKSUM, OLD_CHECKSUM
        known = any(name in told for name in sums)
        return {n: value for n, value in told.items() if n not in sums} if known else None
    if not isinstance(told, str) or "score_sha256" not in attrs:
        return None
    return {
        "score": json.loads(told),
        "values": attrs["values"],
        "constraints": trial.constraints,
        "finished_after": attrs["finished_after"],
    }


def damage(trial: FrozenTrial, study: str, is_old: bool = False) -> str:
    """What is wrong with a trial of this study, empty where nothing is.

    is_old: of a storage before schema 2, whose trials have a weaker checksum, and may have ended
    without a reason.
    """
    attrs, attribute = trial.user_attrs, FAILED_BEFORE
    if SCORE in attrs or FAILED_BEFORE not in attrs:
        attribute = SCORE
    if attribute not in attrs:
        return "" if is_old else _unexplained(trial)
    told = score_told(trial, attribute)
    if told is None or not _has_its_checksum(trial, attrs[attribute], told, study, is_old):
        return f"the score of trial {trial.number} does not match its checksum"
    if trial.state == TrialState.RUNNING and trial.datetime_complete is None:
        return ""  # to be told once more
    if (trial.state, trial.values) != expected_end(told) or trial.constraints != told[
        "constraints"
    ]:
        return f"trial {trial.number} has not ended as its score says"
    return ""


def expected_end(told: Mapping[str, Any]) -> tuple[TrialState, list[float] | None]:
    """The state and Optuna's values of a trial with this score."""
    if told["values"] is not None:
        return TrialState.COMPLETE, told["values"]
    failed = told["score"]["failure"] is not None
    return (TrialState.FAIL if failed else TrialState.PRUNED), None


def _has_its_checksum(
    trial: FrozenTrial, stored: Any, told: Mapping[str, Any], study: str, is_old: bool
) -> bool:
    if isinstance(stored, Mapping) and CHECKSUM in stored:
        return stored == sealed(told, trial, study, trial.user_attrs.get(JOB))
    if not is_old:
        return False
    if isinstance(stored, str):
        return hashlib.sha256(stored.encode()).hexdigest() == trial.user_attrs["score_sha256"]
    return checksum(told) == stored[OLD_CHECKSUM]


def _unexplained(trial: FrozenTrial) -> str:
    """What is wrong with a trial that has no score."""
    if trial.state == TrialState.RUNNING and trial.datetime_complete is None:
        return ""
    reason = trial.user_attrs.get(REJECTED)
    end = REJECTED_AS.get(reason) if reason else TrialState.FAIL
    if trial.state == end and (reason or INTERRUPTED in trial.user_attrs):
        return ""
    return f"trial {trial.number} has ended without a score and without a reason"


def noted(study: str, seconds: float) -> dict[str, Any]:
    """The time spent on a study, as its user attribute ``SECONDS``."""
    return {"value": seconds, CHECKSUM: checksum([study, SECONDS, seconds])}


def read_noted(study: str, stored: Any, is_old: bool) -> float:
    """What ``noted`` made, or the bare figure of an old storage. Raises ValueError."""
    if is_old and not isinstance(stored, Mapping):
        return float(stored)
    if stored != noted(study, stored["value"]):
        raise ValueError("the time spent does not match its checksum")
    return float(stored["value"])
