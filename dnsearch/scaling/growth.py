"""How the best value of a dimension moves with the budget: where a parabola of errors is lowest.

Dimensions of the best networks grow as powers of the budget (compound scaling: Tan & Le 2019,
arXiv:1905.11946; Dollár et al. 2021, arXiv:2103.06877). At one budget a network may be wide or
deep; the log error of all that were trained is taken for a trend in the budget and a parabola in
log dimension whose lowest point moves as a power of the budget (a response surface: Box & Wilson
1951, doi:10.1111/j.2517-6161.1951.tb00067.x). To ask how the dimension of the better half grows
mostly tells what the space offered: on invented trainings with a planted exponent of 0.35, where
all networks went with 0.50, it found 0.51 from 80 networks. The parabola found 0.35; of 24 networks
it could tell something in 6 of 12 cases, of 40 in 11, and all those intervals held 0.35.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from dnsearch.analysis.metrics import short_number
from dnsearch.analysis.trust import UNKNOWN, Interval
from dnsearch.scaling.powerlaw import Floats
from dnsearch.scaling.robust import (
    RESAMPLES,
    bootstrap,
    ends,
    huber_regression,
    positive_columns,
)

LEAST = 12
"""Networks; the surface has six coefficients."""

RANGE = 4.0
"""Least factor between the largest and the smallest budget."""

BEYOND = 1.5
"""How many times beyond what was tried a best value is still believed."""


@dataclass(frozen=True, eq=False)
class Growth:
    """One dimension as a power of the budget.

    exponent: with its 95 % interval. told: whether the points can tell it from 0; if not, reason.
    """

    name: str
    exponent: Interval
    told: bool
    reason: str
    _draws: Floats = field(repr=False)
    _middle: float = field(repr=False)

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
    widened by Student's t. Not told are exponents that may be 0, best values that are none, as
    more was never worse, and those that for the largest budget lie far from what was tried. Raises
    ConfigError for figures that are not finite and positive.
    """
    table = np.log(positive_columns({"budget": budget, "error": error, **dimensions}))
    x, y = table[:, 0], table[:, 1]
    return {
        name: _best(name, x, y, size, rng, resamples)
        for name, size in zip(dimensions, table[:, 2:].T, strict=True)
    }


def _best(
    name: str,
    x: Floats,
    y: Floats,
    size: Floats,
    rng: np.random.Generator,
    resamples: int,
) -> Growth:
    refusal = _too_little(x, size, name)
    if refusal:
        return Growth(name, UNKNOWN, False, refusal, np.full((1, 2), np.nan), 0.0)
    middle, centre = float(x.mean()), float(size.mean())
    b, d = x - middle, size - centre
    surface = np.column_stack([np.ones(len(b)), b, b**2, d, d**2, d * b])
    fits = bootstrap(huber_regression, surface, y, rng, resamples)
    bowl = fits[:, 4] > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = -0.5 * fits[:, [3, 5]] / fits[:, [4]] + [centre, 0.0]
    if not bowl[0] or bowl.mean() < 0.975:
        refusal = "no best value shows among what was tried"
        return Growth(name, UNKNOWN, False, refusal, np.full((1, 2), np.nan), 0.0)
    draws = draws[bowl]
    exponent = ends(draws[:, 1])
    best = math.exp(draws[0, 0] + draws[0, 1] * b.max())
    least, most = math.exp(size.min()), math.exp(size.max())
    if not least / BEYOND <= best <= most * BEYOND:
        refusal = (
            f"the best for the largest networks, {short_number(best)}, lies far from the "
            f"{short_number(least)} to {short_number(most)} that were tried"
        )
    elif exponent.low <= 0 <= exponent.high:
        refusal = f"the exponent of {name} cannot be told from 0"
    return Growth(name, exponent, not refusal, refusal, draws, middle)


def _too_little(log_budget: Floats, logs: Floats, name: str) -> str:
    if len(logs) < LEAST:
        return f"{len(logs)} networks are too few: it takes {LEAST}"
    span = math.exp(np.ptp(log_budget))
    if span < RANGE * (1 - 1e-9):
        return f"the budget spans a factor of {span:.1f}: an exponent takes {RANGE:g}"
    if np.ptp(logs) == 0:
        return f"{name} is {short_number(math.exp(logs[0]))} in all of them"
    return ""
