"""What a study's trials say, for samplers that learn from rungs: a trial as an ``Outcome``.

dnsearch's own trials carry their score as a user attribute, with every epoch's figures. Trials of
any other script need none of that: the error is the first value of a COMPLETE trial, and those at
lower rungs are the user attribute ``errors``, a mapping of epochs to errors; a latency is the user
attribute ``latency_ms``. Trials with a user attribute ``images`` were trained on so many of them
alone, and have another error: they are left out. What else a script's study may hold is the concern
of ``samplers.scripts``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from dnsearch.search.layout import images_of, score_told
from dnsearch.search.parameters import RUNG
from dnsearch.training.score import Score


@dataclass(frozen=True)
class Outcome:
    """One trial of an architecture: the parameters asked for, and what came of it.

    ``seed`` is the training's, None where the trial does not tell. ``signals`` maps a rung to what
    was measured there: ``error``, and where known the validation ``loss`` and the ``train_loss``.
    ``latency_ms`` is None where it was not measured. ``feasible``: whether it meets a script's own
    constraints. ``finished``: when it did, in seconds of a clock that is the same for all trials of
    a study.
    """

    number: int
    params: Mapping[str, Any]
    rung: int
    pending: bool = False
    failed: bool = False
    seed: int | None = None
    latency_ms: float | None = None
    feasible: bool = True
    finished: float = 0.0
    signals: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    @property
    def key(self) -> tuple[tuple[str, Any], ...]:
        """The same for all trials of an architecture."""
        return tuple(sorted(self.params.items()))


def by_training(outcomes: Iterable[Outcome]) -> list[list[Outcome]]:
    """The outcomes of each training, in the order of their first ones. A promotion goes on with its
    seed; where trials tell none, those of an architecture are one training as long as rungs
    rise."""
    found: dict[tuple[Any, ...], list[Outcome]] = {}
    repeats: Counter[tuple[Any, ...]] = Counter()
    for outcome in outcomes:
        own = outcome.key, outcome.seed
        before = found.get((*own, repeats[own]), [])
        if outcome.seed is None and any(each.rung >= outcome.rung for each in before):
            repeats[own] += 1
        found.setdefault((*own, repeats[own]), []).append(outcome)
    return list(found.values())


class History:
    """Reads trials, each finished one once.

    ``rungs`` rise; ``ignore`` tells trials that count for nothing, such as interrupted ones.
    """

    def __init__(
        self, rungs: tuple[int, ...], ignore: Callable[[FrozenTrial], bool] | None = None
    ) -> None:
        self.rungs, self.ignore = rungs, ignore
        self._read: dict[tuple[str, int], Outcome | None] = {}

    def of(self, study: optuna.Study, current: int | None = None) -> list[Outcome]:
        """The outcomes in the order of their trials, without the trial being sampled now."""
        outcomes = []
        for trial in study.get_trials(deepcopy=False):
            if trial.number == current or (self.ignore and self.ignore(trial)):
                continue
            outcome = self._outcome_of(study, trial)
            if outcome is not None:
                outcomes.append(outcome)
        return outcomes

    def _outcome_of(self, study: optuna.Study, trial: FrozenTrial) -> Outcome | None:
        known = study.study_name, trial.number
        if known in self._read:
            return self._read[known]
        outcome = self.outcome(study, trial)
        if trial.state.is_finished():
            self._read[known] = outcome
        return outcome

    def outcome(self, study: optuna.Study, trial: FrozenTrial) -> Outcome | None:
        """What a trial says; None where it says nothing."""
        if not trial.params or images_of(trial) is not None:
            return None
        params = {name: value for name, value in trial.params.items() if name != RUNG}
        rung = int(trial.params.get(RUNG, self.rungs[-1]))
        if not trial.state.is_finished():
            return Outcome(trial.number, params, rung, pending=True)
        return self.told(trial, params, rung)

    def told(self, trial: FrozenTrial, params: Mapping[str, Any], rung: int) -> Outcome:
        """What a finished trial of these parameters measured up to this rung."""
        told = score_told(trial)
        score = Score.from_dict(told["score"]) if told else None
        ended = trial.datetime_complete.timestamp() if trial.datetime_complete else 0.0
        signals = _signals(trial, score, rung, self.rungs)
        return Outcome(
            number=trial.number,
            params=params,
            rung=rung,
            failed=trial.state == TrialState.FAIL or rung not in signals,
            seed=score.seed if score else None,
            latency_ms=score.latency_ms if score else trial.user_attrs.get("latency_ms"),
            finished=told["finished_after"] if told else ended,
            signals=signals,
        )


def _signals(
    trial: FrozenTrial, score: Score | None, rung: int, rungs: tuple[int, ...]
) -> Mapping[int, Mapping[str, float]]:
    if trial.state == TrialState.FAIL:
        return {}
    if score is not None:
        points = {p.epoch: vars(p) for p in score.curve} | {rung: vars(score)}
        return {
            epoch: {n: point[n] for n in ("error", "loss", "train_loss") if _sound(point[n])}
            for epoch, point in points.items()
            if epoch in rungs and epoch <= rung and _sound(point["error"])
        }
    errors = {int(epoch): error for epoch, error in trial.user_attrs.get("errors", {}).items()}
    if trial.state == TrialState.COMPLETE:
        errors[rung] = trial.values[0]
    return {e: {"error": float(v)} for e, v in errors.items() if e in rungs and _sound(v)}


def _sound(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value >= 0
