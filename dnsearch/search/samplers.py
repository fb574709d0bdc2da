"""Optuna's samplers by their names in the study file, and the space in Optuna's terms."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from dnsearch.arch.space import Choice, SearchSpace

NSGA2_POPULATION = 10
"""Optuna's default of 50 would make a search of 50 trials a purely random one."""


def make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """A fresh sampler for one proposal.

    A new one each time keeps proposals a function of the stored trials and the seed alone: the
    state that samplers hold in memory would be lost with an interruption.
    """
    samplers = optuna.samplers
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    if name == "nsga2":
        return samplers.NSGAIISampler(seed=seed, population_size=NSGA2_POPULATION)
    if name == "gp":
        return samplers.GPSampler(seed=seed)
    return samplers.TPESampler(seed=seed)


def fixed_sampler(values: dict[str, Any]) -> optuna.samplers.BaseSampler:
    """One that always answers with these values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.PartialFixedSampler(values, optuna.samplers.RandomSampler())


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


def suggest(trial: optuna.Trial, space: SearchSpace) -> dict[str, Any]:
    """The sampler's choice in every dimension of the space."""
    values: dict[str, Any] = {name: choices[0] for name, choices in space.dimensions.items()}
    for name, distribution in distributions(space).items():
        if isinstance(distribution, IntDistribution):
            low, high, step = distribution.low, distribution.high, distribution.step
            values[name] = trial.suggest_int(name, low, high, step=step)
        elif isinstance(distribution, CategoricalDistribution):
            values[name] = trial.suggest_categorical(name, distribution.choices)
    return values
