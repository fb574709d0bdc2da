"""What a larger budget is best spent on, and what a larger network will cost in time and memory.

Dimensions of the best networks grow as powers of the budget (compound scaling: Tan & Le 2019,
arXiv:1905.11946; Dollár et al. 2021, arXiv:2103.06877). Time and memory follow activations at least
as much as MACs (Dollár et al.; Radosavovic et al. 2020, arXiv:2003.13678).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from dnsearch.analysis.metrics import short_number
from dnsearch.analysis.powerlaw import HUBER, Floats
from dnsearch.analysis.scaling import Band
from dnsearch.analysis.trust import UNKNOWN, Interval
from dnsearch.errors import ConfigError

LEAST = 6
"""Networks for an exponent."""

RANGE = 4.0
"""Least factor between the largest and the smallest budget."""

RESAMPLES = 400
Form = Literal["linear", "power"]


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
        ends = _ends(self._draws[:, 0] + self._draws[:, 1] * log)
        return Interval(*map(math.exp, ends))


@dataclass(frozen=True, eq=False)
class CostLaw:
    """Seconds or bytes from activations and MACs.

    form: ``linear``, ``c + a activations + m MACs`` with nothing below 0, or ``power``,
    ``c activations^a MACs^m``: whichever predicted the largest third better from the others.
    coefficients: (3,), logs of the first for ``power``. off: its mean relative error there.
    scatter: standard deviation of log cost about it, the larger of that of the points and that of
    the third left out: so far beyond the points the form may be wrong, too.
    """

    form: Form
    coefficients: Floats
    off: float
    scatter: float
    _draws: Floats = field(repr=False)

    def predict(self, activations: ArrayLike, macs: ArrayLike) -> Band:
        """Cost of networks with these activations and MACs, each (places,), with 95 % intervals."""
        known = _table({"activations": activations, "macs": macs})
        centre = _log_cost(self.coefficients, known, self.form)
        spread = np.std([_log_cost(draw, known, self.form) for draw in self._draws], axis=0)
        wide = 1.96 * np.hypot(spread, self.scatter)
        return Band(np.exp(centre), np.exp(centre - wide), np.exp(centre + wide))


def grow(
    budget: ArrayLike,
    dimensions: Mapping[str, ArrayLike],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> dict[str, Growth]:
    """For each dimension the power of the budget with which it grows over networks near the front.

    budget: (n,), such as MACs. dimensions: growth rate, layers, bn_size, each (n,), one row an
    architecture. Huber regression of logs; intervals of a bootstrap over networks, widened about
    the estimate by Student's t and the parameters' share of the points, without which few points
    cover too little. Raises ConfigError for figures that are not finite and positive.
    """
    table = np.log(_table({"budget": budget, **dimensions}))
    log_budget = table[:, 0]
    found = {}
    for name, logs in zip(dimensions, table[:, 1:].T, strict=True):
        refusal = _too_little(log_budget, logs, name)
        if refusal:
            found[name] = Growth(name, UNKNOWN, False, refusal, np.full((1, 2), np.nan), 0.0)
            continue
        middle = float(log_budget.mean())
        terms = np.column_stack([np.ones(len(logs)), log_budget - middle])
        draws = _bootstrap(_huber, terms, logs, rng, resamples)
        exponent = _ends(draws[:, 1])
        told = exponent.low > 0 or exponent.high < 0
        reason = "" if told else f"the exponent of {name} cannot be told from 0"
        found[name] = Growth(name, exponent, told, reason, draws, middle)
    return found


def fit_cost(
    cost: ArrayLike,
    activations: ArrayLike,
    macs: ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> CostLaw:
    """Measured cost, such as seconds a step or bytes, as a law of activations and MACs, all (n,).

    Raises ConfigError for fewer than ``LEAST`` networks and figures that are not finite and
    positive.
    """
    table = _table({"activations": activations, "macs": macs, "cost": cost})
    if len(table) < LEAST:
        raise ConfigError("networks", f"must be at least {LEAST} to fit a cost", len(table))
    known, logs = table[:, :2], np.log(table[:, 2])
    order = np.argsort(known[:, 1], kind="stable")
    rest, largest = np.split(order, [len(order) - max(2, len(order) // 3)])
    misses: dict[Form, Floats] = {
        form: logs[largest] - _log_cost(_fit(known[rest], logs[rest], form), known[largest], form)
        for form in ("linear", "power")
    }
    form = min(misses, key=lambda name: float(np.abs(misses[name]).mean()))
    best = _fit(known, logs, form)
    draws = _bootstrap(partial(_fit, form=form), known, logs, rng, resamples)
    left = logs - _log_cost(best, known, form)
    scatter = math.sqrt(max((left**2).sum() / (len(logs) - 3), (misses[form] ** 2).mean()))
    return CostLaw(form, best, float(np.abs(np.expm1(-misses[form])).mean()), scatter, draws)


def _table(columns: Mapping[str, ArrayLike]) -> Floats:
    """Columns side by side, (n, columns)."""
    table = [np.asarray(values, dtype=np.float64).reshape(-1) for values in columns.values()]
    for name, values in zip(columns, table, strict=True):
        bad = values[~(np.isfinite(values) & (values > 0))]
        if len(bad):
            raise ConfigError(name, "must be finite and above 0", float(bad[0]))
        if len(values) != len(table[0]):
            raise ConfigError(name, f"must have {len(table[0])} rows like the others", len(values))
    return np.column_stack(table)


def _too_little(log_budget: Floats, logs: Floats, name: str) -> str:
    if len(logs) < LEAST:
        return f"{len(logs)} networks near the front are too few: it takes {LEAST}"
    span = math.exp(np.ptp(log_budget))
    if span < RANGE * (1 - 1e-9):
        return f"the budget spans a factor of {span:.1f}: an exponent takes {RANGE:g}"
    if np.ptp(logs) == 0:
        return f"{name} is {short_number(math.exp(logs[0]))} in all of them"
    return ""


def _bootstrap(
    fit: Callable[[Floats, Floats], Floats],
    terms: Floats,
    values: Floats,
    rng: np.random.Generator,
    resamples: int,
) -> Floats:
    """The fit to all points, then to resamples, widened about the first, (1 + resamples, p)."""
    count, best = len(values), fit(terms, values)
    picks = rng.integers(0, count, (resamples, count))
    draws = np.array([fit(terms[pick], values[pick]) for pick in picks])
    free = count - len(best)
    wider = float(stats.t.ppf(0.975, free)) / 1.96 * math.sqrt(count / free)
    return np.vstack([best, best + wider * (draws - best)])


def _ends(draws: Floats) -> Interval:
    """The first draw, which is the estimate, and the middle 95 % of the others."""
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return Interval(float(draws[0]), float(low), float(high))


def _huber(terms: Floats, values: Floats) -> Floats:
    """Coefficients (p,) of a regression with Huber's loss, by reweighted least squares."""
    weight = np.ones(len(values))
    found = np.zeros(terms.shape[1])
    for _ in range(15):
        root = np.sqrt(weight)
        found[:] = np.linalg.lstsq(terms * root[:, None], values * root, rcond=1e-9)[0]
        weight = _weights(values - terms @ found)
    return found


def _weights(left: Floats) -> Floats:
    far = np.abs(left)
    # where most points lie on the line, the others set the scale
    scale = 1.4826 * np.median(far) or far.mean() or 1.0
    return np.minimum(1.0, HUBER * scale / np.maximum(far, 1e-12))


def _fit(known: Floats, logs: Floats, form: Form) -> Floats:
    if form == "power":
        return _huber(np.column_stack([np.ones(len(logs)), np.log(known)]), logs)
    cost = np.exp(logs)
    terms = np.column_stack([np.ones(len(logs)), known]) / cost[:, None]
    size = terms.mean(axis=0)
    weight, found = np.ones(len(logs)), np.zeros(3)
    for _ in range(5):
        root = np.sqrt(weight)
        found, _ = optimize.nnls(terms / size * root[:, None], root)
        weight = _weights(1 - terms / size @ found)
    return found / size


def _log_cost(coefficients: Floats, known: Floats, form: Form) -> Floats:
    """Log cost of networks of ``known`` activations and MACs, (places, 2)."""
    if form == "power":
        return coefficients[0] + np.log(known) @ coefficients[1:]
    cost = coefficients[0] + known @ coefficients[1:]
    return np.log(np.maximum(cost, 1e-300))
