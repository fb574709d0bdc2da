"""``Regret``: what going on with a search would be worth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dnsearch.arrays import Floats


class Regret(NamedTuple):
    """By how much error (0 to 1) a network is worse than the best of its space within the limits,
    trained or not: the ``expected`` value, and the ``most`` that it is with this ``probability``.
    """

    expected: float
    most: float
    probability: float

    @classmethod
    def of(cls, draws: Floats, probability: float) -> Regret:
        """From draws (s,) of it."""
        most = np.quantile(draws, probability, method="higher")  # not exceeded by so many of them
        return cls(float(draws.mean()), float(most), probability)
