"""The space in Optuna's terms: one parameter a dimension."""

from __future__ import annotations

import itertools
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from dnsearch.arch.space import Choice, SearchSpace

RUNG = "rung"
"""The parameter that says how long a trial trains, where the sampler decides on that."""


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Dimensions with more than one choice; whole numbers at even steps keep their order."""
    return {
        name: _distribution(choices)
        for name, choices in space.dimensions.items()
        if len(choices) > 1
    }


def _distribution(choices: tuple[Choice, ...]) -> BaseDistribution:
    whole = [choice for choice in choices if isinstance(choice, int)]
    steps = {b - a for a, b in itertools.pairwise(whole)}
    if len(whole) == len(choices) and len(steps) == 1 and min(steps) > 0:
        return IntDistribution(whole[0], whole[-1], step=steps.pop())
    return CategoricalDistribution(choices)


def suggest(trial: optuna.Trial, space: SearchSpace, rungs: tuple[int, ...] = ()) -> dict[str, Any]:
    """The sampler's choice in every dimension of the space; with several ``rungs`` also ``rung``,
    the epochs to train."""
    values: dict[str, Any] = {name: choices[0] for name, choices in space.dimensions.items()}
    for name, distribution in (distributions(space) | rung_distribution(rungs)).items():
        if isinstance(distribution, IntDistribution):
            low, high, step = distribution.low, distribution.high, distribution.step
            values[name] = trial.suggest_int(name, low, high, step=step)
        elif isinstance(distribution, CategoricalDistribution):
            values[name] = trial.suggest_categorical(name, distribution.choices)
    return values


def rung_distribution(rungs: tuple[int, ...]) -> dict[str, BaseDistribution]:
    """The further parameter of samplers that say how long to train."""
    return {RUNG: CategoricalDistribution(rungs)} if len(rungs) > 1 else {}
