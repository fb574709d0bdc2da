"""``RungSampler``: what samplers that say how long to train have in common, towards Optuna."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from dnsearch.arch.space import SearchSpace
from dnsearch.search.parameters import distributions, rung_distribution
from dnsearch.search.samplers.history import History, Outcome


class RungSampler(BaseSampler):
    """Chooses a point of the space and the rung to train it to, from the outcomes of all trials.

    A choice is a function of the trials and the seed alone: nothing else is held in memory.
    """

    def __init__(
        self, space: SearchSpace, rungs: tuple[int, ...], seed: int, history: History
    ) -> None:
        self.space, self.rungs, self.seed, self.history = space, rungs, seed, history
        self._independent = RandomSampler(seed=seed)

    @abstractmethod
    def choose(self, outcomes: Sequence[Outcome]) -> Mapping[str, Any]:
        """The next trial's choice in every dimension of the space, and its ``rung``."""

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See ``optuna.samplers.BaseSampler``: all dimensions, and the rung."""
        return distributions(self.space) | rung_distribution(self.rungs)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See ``optuna.samplers.BaseSampler``: the choice in all dimensions together."""
        if not search_space:
            return {}
        chosen = self.choose(self.history.of(study, trial.number))
        return {name: chosen[name] for name in search_space}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See ``optuna.samplers.BaseSampler``: at random, of what is no dimension."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Nothing to do, as choices hold no random state."""
