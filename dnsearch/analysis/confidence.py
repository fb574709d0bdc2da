"""How sure a front is: probabilities from draws of what every candidate's error may truly be."""

from __future__ import annotations

from typing import Any

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from dnsearch.arrays import Floats

LEVEL = 0.9
"""The probability that an interval of an error holds the true one, wherever one is told."""

DRAWS = 4000
"""Of what the errors may truly be."""


def front_probability(draws: ArrayLike, costs: ArrayLike) -> Floats:
    """The chance of each candidate to be on the front of all of them, (n,).

    ``draws`` (s, n) are errors, one row a possible truth; ``costs`` (n, d) are known. A candidate
    is off the front in a draw where another costs no more in any cost and has a lower error, or the
    same error and costs less. All figures must be finite.
    """
    errors, known = np.asarray(draws, np.float64), np.asarray(costs, np.float64)
    if known.shape[1] == 1:
        return _along_one_cost(errors, known[:, 0])
    chance = np.zeros(errors.shape[1])
    possible = _may_be_on_the_front(errors, known)
    values = np.column_stack([errors[0, possible], known[possible]])
    for each in errors[:, possible]:
        values[:, 0] = each
        chance[possible] += moocore.is_nondominated(values, keep_weakly=True)
    return chance / len(errors)


def best_probability(draws: ArrayLike, allowed: ArrayLike) -> Floats:
    """The chance of each candidate to have the least error of those ``allowed`` (n,), such as
    those within a budget: (n,), 0 for the others. All are 0 where none is allowed."""
    errors, inside = np.asarray(draws, np.float64), np.flatnonzero(allowed)
    chance = np.zeros(errors.shape[1])
    if len(inside):
        least = inside[errors[:, inside].argmin(axis=1)]
        chance += np.bincount(least, minlength=len(chance)) / len(errors)
    return chance


def expected_opportunity_loss(draws: ArrayLike, allowed: ArrayLike, chosen: int) -> float:
    """By how much error the ``chosen`` candidate is expected to miss the best of the ``allowed``:
    the mean over draws of its error less the least one. Networks that were not trained are no part
    of it, as they are of ``analysis.regret``."""
    errors = np.asarray(draws, np.float64)
    inside = np.asarray(allowed, bool)
    return float((errors[:, chosen] - errors[:, inside].min(axis=1)).mean())


def binomial_interval(error: ArrayLike, images: ArrayLike, level: float) -> tuple[Any, Any]:
    """Between which ends the error on new images lies, given the share ``error`` (0 to 1) that is
    wrong of so many ``images``, whole number or not: Clopper and Pearson's (1934,
    doi:10.1093/biomet/26.4.404), which holds the true one with at least this probability."""
    n = np.asarray(images, np.float64)
    wrong = np.clip(np.asarray(error, np.float64), 0, 1) * n
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(wrong > 0, betaincinv(np.maximum(wrong, 1e-9), n - wrong + 1, tail), 0.0)
        right = np.maximum(n - wrong, 1e-9)
        high = np.where(wrong < n, betaincinv(wrong + 1, right, 1 - tail), 1.0)
    return low, high


def on_new_images(
    error: ArrayLike, low: ArrayLike, high: ArrayLike, images: ArrayLike, level: float = LEVEL
) -> tuple[Floats, Floats]:
    """The interval (n,) and (n,) of each error on new images, from its interval on so many
    ``images`` that were measured: how far either end is away is joined with how far it is for the
    choice of images, as a sum of squares (Zou and Donner 2008, doi:10.1002/sim.3095)."""
    middle = np.asarray(error, np.float64)
    least, most = binomial_interval(middle, images, level)
    below = np.hypot(middle - np.asarray(low), middle - np.minimum(least, middle))
    above = np.hypot(np.asarray(high) - middle, np.maximum(most, middle) - middle)
    return np.maximum(middle - below, 0.0), np.minimum(middle + above, 1.0)


def _along_one_cost(errors: Floats, cost: Floats) -> Floats:
    """The same for one cost (n,): from the cheapest up, against the least error so far."""
    chance, least = np.empty(len(cost)), np.full(len(errors), np.inf)
    order = np.argsort(cost, kind="stable")
    for equal in np.split(order, 1 + np.flatnonzero(np.diff(cost[order]))):
        own = errors[:, equal]
        best = own.min(axis=1)
        chance[equal] = ((own < least[:, None]) & (own == best[:, None])).mean(axis=0)
        least = np.minimum(least, best)
    return chance


def _may_be_on_the_front(errors: Floats, costs: Floats) -> NDArray[np.bool_]:
    """Which candidates are on the front in some draw, or nearly, (n,).

    The others each have a rival that costs no more and is better in its worst draw than they are in
    their best. That rival beats whatever they beat, so the front of a draw is the same without
    them; and they are most of all candidates.
    """
    least, most = errors.min(axis=0), errors.max(axis=0)
    beaten = most < least[:, None]  # [i, j]: j beats i
    for cost in costs.T:
        beaten &= cost <= cost[:, None]
    return ~beaten.any(axis=1)
