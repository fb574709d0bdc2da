"""Samplers by their names in the study file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from dnsearch.search.problem import Problem
from dnsearch.search.samplers.asha import MoAshaSampler
from dnsearch.search.samplers.history import History
from dnsearch.search.samplers.known_cost import KnownCostSampler

NSGA2_POPULATION = 10
"""Optuna's default of 50 would make a search of 50 trials a purely random one."""


def sampler_for(
    name: str, problem: Problem, seed: int, ignore: Callable[[FrozenTrial], bool]
) -> Callable[[int], BaseSampler]:
    """What gives the sampler of a proposal, from that proposal's own seed.

    Proposals must be a function of the stored trials and the seed alone, since the state that
    samplers hold in memory would be lost with an interruption. Optuna's are made anew each time;
    ours hold no such state. ``ignore`` tells trials that count for nothing.
    """
    if name == "known-cost":
        known_cost = KnownCostSampler(
            problem.space,
            problem.model,
            problem.costs,
            problem.rungs,
            problem.axis,
            problem.reference,
            seed,
            problem.points,
            History(problem.rungs, ignore),
            problem.aim,
        )
        return lambda _: known_cost
    if name == "mo-asha":
        asha = MoAshaSampler(problem, seed, History(problem.rungs, ignore))
        return lambda _: asha
    return lambda own: _optunas(name, own)


def _optunas(name: str, seed: int) -> BaseSampler:
    samplers = optuna.samplers
    if name == "nsga2":
        return samplers.NSGAIISampler(seed=seed, population_size=NSGA2_POPULATION)
    if name == "gp":
        return samplers.GPSampler(seed=seed)
    if name == "tpe":
        return samplers.TPESampler(seed=seed)
    return samplers.RandomSampler(seed=seed)  # fixed designs ask for given points alone


def fixed_sampler(values: Mapping[str, Any], sampler: BaseSampler) -> BaseSampler:
    """One that always answers with these values, and otherwise does as ``sampler`` does: NSGA-II
    takes as parents only trials that it has counted into a generation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.PartialFixedSampler(dict(values), sampler)
