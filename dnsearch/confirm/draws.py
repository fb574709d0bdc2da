"""How good each confirmed network may truly be, from the test errors of a few seeds each."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dnsearch.analysis.confidence import DRAWS, LEVEL, best_probability, front_probability
from dnsearch.analysis.trust import seed_noise
from dnsearch.arrays import Bools, Floats

PRIOR = 4
"""Degrees of freedom that the search's seed noise counts for: one or two pairs of seeds alone would
say anything."""


class Sureness(NamedTuple):
    """Of each network, (n,): the ends of the ``LEVEL`` interval of its mean error over seeds, and
    the probabilities to be on the front and to have the least error of all; NaN where unknown."""

    low: Floats
    high: Floats
    front_probability: Floats
    best_probability: Floats


def mean_draws(
    errors: Floats, least_error: float, search_noise: float, rng: np.random.Generator
) -> Floats:
    """Draws (``DRAWS``, n) of what the mean over seeds of each network may be, from ``errors``
    (n, seeds), NaN where missing.

    Log errors are normal, with one variance over seeds for all networks: that within networks,
    pooled with ``search_noise``, the standard deviation of log error that one seed adds by the
    search's surrogate (NaN where unknown), so that means follow Student's t. An error of 0 counts
    as ``least_error``. All are NaN where too little is known of the seed noise.
    """
    logs = np.log(np.maximum(errors, least_error))  # none wrong is no proof of 0
    count = np.isfinite(logs).sum(axis=1)
    free = int((count[count > 1] - 1).sum())
    squares = seed_noise(errors, np.zeros(len(errors))).seed_log_sd ** 2 * free if free else 0.0
    if math.isfinite(search_noise):
        squares, free = squares + PRIOR * search_noise**2, free + PRIOR
    if free < PRIOR:
        return np.full((DRAWS, len(count)), math.nan)
    spread = np.sqrt(squares / rng.chisquare(free, DRAWS))[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.nansum(logs, axis=1) / count
        draws = np.exp(mean + spread * rng.standard_normal((DRAWS, len(mean))) / np.sqrt(count))
    return np.minimum(draws, 1.0)


def sureness(draws: Floats, costs: Floats, known: Bools) -> Sureness:
    """What ``draws`` (s, n) say of the ``known`` (n,) networks with these ``costs`` (n, d), among
    each other."""
    found = Sureness(*(np.full(len(known), math.nan) for _ in Sureness._fields))
    if known.any():
        own = draws[:, known]
        low, high = np.quantile(own, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        best = best_probability(own, np.ones(own.shape[1], bool))
        for into, values in zip(
            found, (low, high, front_probability(own, costs[known]), best), strict=True
        ):
            into[known] = values
    return found
