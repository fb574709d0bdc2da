"""How an Optuna trial carries a training: two user attributes, each written by one commit.

    job    arch, key, seed, rung; images where the training may not see all of them, learning_rate
           where it is not the recipe's
    score  score, values, constraints, finished_after, and sha256, the checksum of the other four
    failed_before
           in place of score: that of a failed trial whose candidate gets another chance

Older runs have one attribute a figure instead: arch, key, seed, rung and images; score (as JSON
text), score_sha256, values and finished_after. Both are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from dnsearch.arch.config import ArchConfig
from dnsearch.search.evaluators.base import Job
from dnsearch.training.score import Score

JOB, SCORE, FAILED_BEFORE, CHECKSUM = "job", "score", "failed_before", "sha256"


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
    """What is stored of a score: all in one, so that whoever finds some of it finds the rest."""
    told = {
        "score": score.to_dict(),
        "values": None if values is None else list(values),
        "constraints": dict(constraints),
        "finished_after": finished_after,
    }
    return {**told, CHECKSUM: _checksum(json.dumps(told, sort_keys=True))}


def score_told(trial: FrozenTrial) -> Mapping[str, Any] | None:
    """What ``score_attribute`` made, for old runs too; None where the trial carries no score, or
    one that a script noted under the same name."""
    told, attrs = trial.user_attrs.get(SCORE), trial.user_attrs
    if isinstance(told, Mapping):
        return told if CHECKSUM in told else None
    if not isinstance(told, str) or "score_sha256" not in attrs:
        return None
    return {
        "score": json.loads(told),
        "values": attrs["values"],
        "constraints": trial.constraints,
        "finished_after": attrs["finished_after"],
    }


def is_unchanged(trial: FrozenTrial) -> bool:
    """Whether the score that a trial carries matches its checksum."""
    told = trial.user_attrs[SCORE]
    if isinstance(told, str):
        return _checksum(told) == trial.user_attrs.get("score_sha256")
    rest = {name: value for name, value in told.items() if name != CHECKSUM}
    return _checksum(json.dumps(rest, sort_keys=True)) == told.get(CHECKSUM)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
