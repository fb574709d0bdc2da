"""Regression with Huber's loss, and intervals by resampling: for growth and cost laws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dnsearch.analysis.trust import Interval
from dnsearch.errors import ConfigError
from dnsearch.scaling.powerlaw import HUBER, Floats

RESAMPLES = 400


def positive_columns(columns: Mapping[str, ArrayLike]) -> Floats:
    """Columns side by side, (n, columns)."""
    table = [np.asarray(values, dtype=np.float64).reshape(-1) for values in columns.values()]
    for name, values in zip(columns, table, strict=True):
        bad = values[~(np.isfinite(values) & (values > 0))]
        if len(bad):
            raise ConfigError(name, "must be finite and above 0", float(bad[0]))
        if len(values) != len(table[0]):
            raise ConfigError(name, f"must have {len(table[0])} rows like the others", len(values))
    return np.column_stack(table)


def bootstrap(
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


def ends(draws: Floats) -> Interval:
    """The first draw, which is the estimate, and the middle 95 % of the others."""
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return Interval(float(draws[0]), float(low), float(high))


def huber_regression(terms: Floats, values: Floats) -> Floats:
    """Coefficients (p,) of a regression with Huber's loss, by reweighted least squares."""
    weight = np.ones(len(values))
    found = np.zeros(terms.shape[1])
    for _ in range(15):
        root = np.sqrt(weight)
        found[:] = np.linalg.lstsq(terms * root[:, None], values * root, rcond=1e-9)[0]
        weight = huber_weights(values - terms @ found)
    return found


def huber_weights(left: Floats) -> Floats:
    far = np.abs(left)
    # where most points lie on the line, the others set the scale
    scale = 1.4826 * np.median(far) or far.mean() or 1.0
    return np.minimum(1.0, HUBER * scale / np.maximum(far, 1e-12))
