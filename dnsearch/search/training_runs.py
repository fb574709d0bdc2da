"""From what is stored of training runs to candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dnsearch.analysis.candidates import Candidate, State
from dnsearch.config import ErrorName
from dnsearch.search.feasible import CostModel
from dnsearch.search.store import Record
from dnsearch.training.measured import binomial_standard_error
from dnsearch.training.score import Score


def latest(records: list[Record]) -> list[Record]:
    """Of each training the record that ended last, which holds what its lower rungs found too; but
    one whose worker died holds nothing, and stands beside the one before."""

    def empty(record: Record) -> bool:
        return record.score.failure is not None and not record.score.curve

    last = {(r.job.arch.key, r.job.seed): r for r in records if not empty(r)}
    return [r for r in records if empty(r) or last[r.job.arch.key, r.job.seed] is r]


def candidate_of(
    record: Record,
    model: CostModel,
    images: Mapping[str, int],
    preset_names: Mapping[str, str],
    kind: ErrorName,
) -> Candidate:
    """The training run that a record is of, on so many ``images`` a split; ``preset_names`` by key,
    ``kind`` of the error."""
    job, score = record.job, record.score
    cost = model.cost(job.arch)
    measured = (
        *("error", "top1_error", "loss", "train_loss"),
        *("latency_ms", "seconds", "images_per_second"),
    )
    known: dict[str, Any] = {name: getattr(score, name) for name in measured}
    return Candidate(
        arch=job.arch,
        cost=cost,
        state=_state(record),
        number=job.trial,
        rung=score.rung,
        seed=score.seed,
        images=job.images or images["train"],
        preset=preset_names.get(job.arch.key, ""),
        error_se=standard_error(score, images["validation"], kind),
        class_errors=score.class_errors,
        error_kind=kind,
        train_macs=3.0 * cost.macs * images["train"] * len(score.curve),
        finished_after=record.finished_after,
        failure=score.failure or "",
        curve=score.curve,
        zero_cost=score.zero_cost,
        accumulation_steps=score.accumulation_steps,
        **{name: value for name, value in known.items() if value is not None},
    )


def standard_error(score: Score, images: int, kind: ErrorName) -> float:
    """Of a score's validation error, by the choice of so many images: the one that was stored; of
    older scores and of recorded ones the binomial, NaN where that is another."""
    if score.error_se is not None:
        return score.error_se
    if score.error is None or kind == "balanced":
        return math.nan
    return float(binomial_standard_error(score.error, images))


def _state(record: Record) -> State:
    if record.score.failure:
        return State.FAILED
    if record.job.images is not None:
        return State.PARTIAL
    if record.values is None:
        return State.SCREENED
    return State.FINISHED if record.feasible else State.UNFIT
