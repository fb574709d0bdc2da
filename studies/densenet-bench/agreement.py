"""How signals rank architectures by their final error: of another seed, of half of the seeds, of a
cost alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike

from dnsearch.analysis.trust import (
    RESAMPLES,
    UNKNOWN,
    Agreement,
    Interval,
    Pairs,
    at_matched_cost,
    mean_correlation,
    weighted_taus,
)


def kendall_tau(x: ArrayLike, y: ArrayLike) -> float:
    """Kendall's tau-b of two arrays (n,); rows with a NaN are left out.

    NaN where fewer than two rows are left, or all of one side are equal.
    """
    left, right = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    return float(weighted_taus(left, right, np.ones((1, len(left))))[0])


def rank_correlations(
    signal: ArrayLike,
    top: ArrayLike,
    log_cost: ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> list[Agreement]:
    """For each rung, how a signal of one seed ranks architectures by the error of another seed.

    ``signal`` is (n, seeds, rungs), such as errors or losses; ``top`` (n, seeds) the errors at the
    top rung, ``log_cost`` (n,); NaN where missing. Taus are means over the ordered pairs of seeds:
    of one seed with itself they would be too high: both share initialisation and order of images.
    Where ``signal`` is the error, the last entry is the noise ceiling: full training against full
    training. Intervals are of bootstraps over architectures, the trend in cost held fixed.
    """
    signals, tops = np.asarray(signal, dtype=np.float64), np.asarray(top, dtype=np.float64)
    seeds = range(tops.shape[1])
    found = []
    for rung in range(signals.shape[2]):
        pairs = [(signals[:, s, rung], tops[:, t]) for s in seeds for t in seeds if s != t]
        found.append(_agreement(pairs, log_cost, rng, resamples))
    return found


def averages_agreement(
    top: ArrayLike, log_cost: ArrayLike, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Agreement:
    """How the mean of half of the seeds ranks architectures by the mean of the other half.

    ``top`` is (n, seeds), ``log_cost`` (n,). Taus are means over the ways to halve the seeds (of an
    odd number each half leaves one out); unknown with fewer than four. A table's truth is the mean
    of all its seeds, so this is a lower bound of how well it agrees with another such table.
    """
    tops = np.asarray(top, dtype=np.float64)
    seeds = range(tops.shape[1])
    size = len(seeds) // 2
    if size < 2:
        return Agreement(UNKNOWN, UNKNOWN)
    pairs = [
        (tops[:, half].mean(axis=1), tops[:, other].mean(axis=1))
        for half, other in itertools.combinations(itertools.combinations(seeds, size), 2)
        if not set(half) & set(other)
    ]
    return _agreement(pairs, log_cost, rng, resamples)


def cost_baseline(
    cost: ArrayLike,
    top: ArrayLike,
    log_cost: ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Agreement:
    """How "the costlier, the better" alone ranks architectures: what any signal has to beat.

    ``cost`` and ``log_cost`` are (n,), ``top`` (n, seeds). At matched cost the answer is NaN where
    both are the same cost.
    """
    signal = 1 / np.asarray(cost, dtype=np.float64)
    tops = np.asarray(top, dtype=np.float64)
    return _agreement([(signal, seed) for seed in tops.T], log_cost, rng, resamples)


def _agreement(
    pairs: Pairs, log_cost: ArrayLike, rng: np.random.Generator, resamples: int
) -> Agreement:
    matched = [(at_matched_cost(x, log_cost), at_matched_cost(y, log_cost)) for x, y in pairs]
    return Agreement(_mean_tau(pairs, rng, resamples), _mean_tau(matched, rng, resamples))


def _mean_tau(pairs: Pairs, rng: np.random.Generator, resamples: int) -> Interval:
    """The mean of the taus that are known, with its percentile interval."""
    known = [pair for pair in pairs if math.isfinite(kendall_tau(*pair))]
    if not known:
        return UNKNOWN
    count = len(known[0][0])
    weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)
    mean, draws = mean_correlation(known, weighted_taus, weights)
    low, high = np.quantile(draws, [0.025, 0.975]) if len(draws) else (math.nan, math.nan)
    return Interval(mean, float(low), float(high))
