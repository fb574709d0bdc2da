"""How sure a front is: probabilities from draws of what every candidate's error may truly be."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.9
"""The probability that an interval of an error holds the true one, wherever one is told."""

DRAWS = 4000
"""Of what the errors may truly be."""

Floats = NDArray[np.float64]


def front_probability(draws: ArrayLike, costs: ArrayLike) -> Floats:
    """The chance of each candidate to be on the front of all of them, (n,).

    ``draws`` (s, n) are errors, one row a possible truth; ``costs`` (n, d) are known. A candidate
    is off the front in a draw where another costs no more in any cost and has a lower error, or the
    same error and costs less.
    """
    errors, known = np.asarray(draws, np.float64), np.asarray(costs, np.float64)
    chance = np.ones(errors.shape[1])
    for i in range(errors.shape[1]):
        no_dearer = (known <= known[i]).all(axis=1)
        cheaper = no_dearer & (known < known[i]).any(axis=1)
        no_dearer[i] = False
        beaten = (errors[:, no_dearer] < errors[:, [i]]).any(axis=1)
        beaten |= (errors[:, cheaper] <= errors[:, [i]]).any(axis=1)
        chance[i] = 1 - beaten.mean()
    return chance


def best_probability(draws: ArrayLike, allowed: ArrayLike) -> Floats:
    """The chance of each candidate to have the least error of those ``allowed`` (n,), such as
    those within a budget: (n,), 0 for the others. All are 0 where none is allowed."""
    errors, inside = np.asarray(draws, np.float64), np.flatnonzero(allowed)
    chance = np.zeros(errors.shape[1])
    if len(inside):
        least = inside[errors[:, inside].argmin(axis=1)]
        chance += np.bincount(least, minlength=len(chance)) / len(errors)
    return chance


def expected_regret(draws: ArrayLike, allowed: ArrayLike, chosen: int) -> float:
    """By how much error the ``chosen`` candidate is expected to miss the best of the ``allowed``:
    the mean over draws of its error less the least one."""
    errors = np.asarray(draws, np.float64)
    inside = np.asarray(allowed, bool)
    return float((errors[:, chosen] - errors[:, inside].min(axis=1)).mean())
