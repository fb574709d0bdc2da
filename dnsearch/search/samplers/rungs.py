"""``RungSampler``: what samplers that say how long to train have in common, towards Optuna."""

from __future__ import annotations

import copy
import threading
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from dnsearch.arch.space import SearchSpace
from dnsearch.search.parameters import distributions, rung_distribution
from dnsearch.search.samplers.history import History, Outcome
from dnsearch.search.samplers.scripts import ScriptHistory


class RungSampler(BaseSampler):
    """Chooses a point of the space and the rung to train it to, from the outcomes of all trials.

    A choice is a function of the trials and the seed alone, where nothing else is under way; else
    what was held in memory before may count, too, and, in a script's study, what was chosen for
    trials under way. Threads ask one after another.
    """

    def __init__(
        self, space: SearchSpace, rungs: tuple[int, ...], seed: int, history: History
    ) -> None:
        self.space, self.rungs, self.seed, self.history = space, rungs, seed, history
        self._independent = RandomSampler(seed=seed)
        self._asking = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """How it is pickled and copied: a lock cannot be."""
        return {name: value for name, value in vars(self).items() if name != "_asking"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _asking=threading.RLock())

    @abstractmethod
    def choose(self, outcomes: Sequence[Outcome]) -> Mapping[str, Any] | None:
        """The next trial's choice in every dimension of the space, and its ``rung``; None where
        every point was tried or is under way."""

    def is_left(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether there is a point that a new trial could train."""
        return True

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See ``optuna.samplers.BaseSampler``: all dimensions, and the rung."""
        return distributions(self.space) | rung_distribution(self.rungs)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See ``optuna.samplers.BaseSampler``: the choice in all dimensions together."""
        history = self.history
        if not isinstance(history, ScriptHistory):
            chosen = self.choose(history.of(study, trial.number)) if search_space else None
            return {name: chosen[name] for name in search_space} if chosen else {}
        with self._asking:
            outcomes = history.of(study, trial.number)
            self._end_if_exhausted(study, history, outcomes)
            chosen = self.choose(outcomes) or {}
            history.claim(study, trial.number, chosen)
        return {name: chosen[name] for name in search_space if chosen}

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """See ``optuna.samplers.BaseSampler``: stops a script's study where no point is left."""
        history = self.history
        if not isinstance(history, ScriptHistory):
            return
        ended = copy.copy(trial)  # the storage does not know yet how it ended
        ended.state, ended.values = state, values if state == TrialState.COMPLETE else None
        with self._asking:
            outcomes = history.of(study, trial.number)
            last = history.outcome(study, ended)
            self._end_if_exhausted(study, history, [*outcomes, *([last] if last else [])])

    def _end_if_exhausted(
        self, study: optuna.Study, history: ScriptHistory, outcomes: Sequence[Outcome]
    ) -> None:
        """Ends a script's study once nothing is left, not even a training that may be promoted or a
        trial that was enqueued."""
        goes_on = any(o.pending and o.rung < self.rungs[-1] for o in outcomes)
        if not goes_on and not self.is_left(outcomes) and not _waiting(study):
            history.end(study)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See ``optuna.samplers.BaseSampler``: at random, of what is no dimension. Raises
        TrialPruned for a script's trial that no point was left for."""
        if isinstance(self.history, ScriptHistory):
            self.history.require_choice(study, trial.number)
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Nothing to do, as choices hold no random state."""


def _waiting(study: optuna.Study) -> bool:
    return bool(study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))
