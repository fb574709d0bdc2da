"""A study that a script of somebody's own made, as samplers read it.

Unlike the studies of dnsearch's own searches it may hold anything: other directions, errors in
percent, trials of another space, trials that were enqueued. What would mislead the sampler is an
error in one line; what it cannot learn from is left out, and said once.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from dnsearch.arch.space import SearchSpace
from dnsearch.errors import ConfigError
from dnsearch.search.layout import images_of, score_told
from dnsearch.search.parameters import RUNG, distributions, rung_distribution
from dnsearch.search.samplers.history import History, Outcome
from dnsearch.text import agreeing, counted, listed

_SHARE = "must be a share between 0 and 1"
_PERCENT = "divide errors in percent by 100; of an accuracy give 1 - accuracy"


class ScriptHistory(History):
    """Reads the trials of a script's study.

    space, costs, rungs: those of its sampler, which minimises the error, then ``costs``. An outcome
    has the dimensions of the space alone, whatever else a trial suggests. Left out, with one
    warning, are trials that are no point of the space and those of another rung.
    """

    def __init__(self, space: SearchSpace, costs: tuple[str, ...], rungs: tuple[int, ...]) -> None:
        super().__init__(rungs)
        self.space, self.costs = space, costs
        self._asked = {*distributions(space), *rung_distribution(rungs)}
        self._claims: dict[tuple[str, int], Mapping[str, Any]] = {}
        self._left_out: dict[int, str] = {}
        self._warned: set[str] = set()

    def of(self, study: optuna.Study, current: int | None = None) -> list[Outcome]:
        """See ``History``. Raises ConfigError for a study of other objectives, and for a trial
        whose errors are no shares."""
        self._require_objectives(study)
        outcomes = super().of(study, current)
        if self._left_out:
            number, reason = next(iter(self._left_out.items()))
            trials = counted(len(self._left_out), "trial")
            are = agreeing(len(self._left_out), "is", "are")
            self.warn_once(
                "left out", f"{trials} of the study {are} not learnt from: trial {number} {reason}"
            )
        return outcomes

    def outcome(self, study: optuna.Study, trial: FrozenTrial) -> Outcome | None:
        """See ``History``. A trial that is under way or enqueued is pending as soon as it is known
        what it will train."""
        if not trial.state.is_finished():
            enqueued = trial.system_attrs.get("fixed_params", {})
            claimed = self._claims.get((study.study_name, trial.number), {})
            point = self._point({**claimed, **enqueued, **trial.params})
            return None if isinstance(point, str) else Outcome(trial.number, *point, pending=True)
        if not trial.params and self._asked:
            return None  # it ended before it was asked what to train
        point = self._point(trial.params)
        if images_of(trial) is not None:
            point = "was trained on part of the images (user attribute images)"
        if isinstance(point, str):
            if trial.state != TrialState.FAIL:
                self._left_out[trial.number] = point
            return None
        params, rung = point
        return self._finished(trial, params, rung)

    def claim(self, study: optuna.Study, number: int, params: Mapping[str, Any]) -> None:
        """Notes what was chosen for a trial: with ``n_jobs`` others ask before it has told all."""
        self._claims[study.study_name, number] = params

    def require_choice(self, study: optuna.Study, number: int) -> None:
        """Raises TrialPruned for a trial that was asked when no point was left to choose."""
        if self._claims.get((study.study_name, number)) == {}:
            raise optuna.TrialPruned("every point of the space was tried or is under way")

    def end(self, study: optuna.Study) -> None:
        """Stops the study, with a warning, as no point is left."""
        self.warn_once("end", "every point of the space was tried, so there is nothing left to ask")
        try:
            study.stop()
        except RuntimeError:  # ask-and-tell: the loop is the script's
            return

    def warn_once(self, topic: str, text: str) -> None:
        """A warning, unless there was one of this topic."""
        if topic not in self._warned:
            self._warned.add(topic)
            warnings.warn(f"known-cost: {text}", stacklevel=2)

    def _require_objectives(self, study: optuna.Study) -> None:
        wanted = listed(["the error", *self.costs])
        number = 1 + len(self.costs)
        if len(study.directions) != number:
            given = f"{counted(len(study.directions), 'objective')}"
            hint = f"pass directions={['minimize'] * number} and return as many values"
            raise ConfigError(f"the study (it has {given})", f"must minimise {wanted}", hint=hint)
        for position, direction in enumerate(study.directions):
            if direction != StudyDirection.MINIMIZE:
                name = ("error", *self.costs)[position]
                hint = "pass 'minimize', and of an accuracy return 1 - accuracy"
                rule = f"must be 'minimize': the study minimises {wanted}"
                got = direction.name.lower()
                raise ConfigError(f"directions[{position}], of the {name},", rule, got, hint)

    def _point(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], int] | str:
        """The choices and the rung that these parameters mean, or why they are no point."""
        params: dict[str, Any] = {}
        for name, choices in self.space.dimensions.items():
            if name not in values:
                if len(choices) > 1:
                    return f"has no {name}"
                continue
            if values[name] not in choices:
                return f"has {name} = {values[name]!r}, which is no choice of the space"
            if len(choices) > 1:
                params[name] = choices[choices.index(values[name])]
        rung = values.get(RUNG, self.rungs[-1])
        if rung not in self.rungs:
            return f"has rung = {rung!r}, which is none of the sampler's"
        return params, int(rung)

    def _finished(self, trial: FrozenTrial, params: dict[str, Any], rung: int) -> Outcome:
        if score_told(trial) is None and trial.state != TrialState.FAIL:
            _require_shares(trial)
        outcome = self.told(trial, params, rung)
        latency = outcome.latency_ms
        if latency is None and trial.state == TrialState.COMPLETE and "latency_ms" in self.costs:
            latency = trial.values[1 + self.costs.index("latency_ms")]
        if latency is not None and not (_is_number(latency) and 0 < latency < math.inf):
            field = f"trial {trial.number}: latency_ms"
            raise ConfigError(field, "must be milliseconds above 0", latency)
        feasible = all(value <= 0 for value in trial.constraints.values())
        return replace(outcome, latency_ms=latency, feasible=feasible)


def _require_shares(trial: FrozenTrial) -> None:
    """Raises ConfigError for errors that are none, but not for those of a training that diverged:
    infinite, or not a number."""
    told = trial.user_attrs.get("errors", {})
    if not isinstance(told, Mapping) or not all(str(epoch).isdecimal() for epoch in told):
        field = f"trial {trial.number}: user attribute errors"
        raise ConfigError(field, "must map epochs to errors", told, "such as {1: 0.4, 3: 0.3}")
    errors: Iterable[tuple[str, Any]] = ((f"errors[{epoch}]", e) for epoch, e in told.items())
    if trial.state == TrialState.COMPLETE:
        errors = [("the error, its first value,", trial.values[0]), *errors]
    for name, error in errors:
        diverged = isinstance(error, float) and (math.isnan(error) or error == math.inf)
        if not (diverged or (_is_number(error) and 0 <= error <= 1)):
            raise ConfigError(f"trial {trial.number}: {name}", _SHARE, error, _PERCENT)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
