"""Regression with Huber's loss, and intervals by resampling: for growth and cost laws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dnsearch.analysis.trust import Interval
from dnsearch.arrays import Floats
from dnsearch.errors import ConfigError
from dnsearch.scaling.huber import HUBER

RESAMPLES = 400

Fits = Callable[[Floats, Floats], Floats]
"""Terms (b, n, p) and values (b, n) to the coefficients of b fits, (b, p)."""


def positive_columns(columns: Mapping[str, ArrayLike]) -> Floats:
    """Columns side by side, (n, columns).

    Raises ConfigError for a figure that is not finite and positive and for columns that differ in
    length.
    """
    table = [np.asarray(values, dtype=np.float64).reshape(-1) for values in columns.values()]
    for name, values in zip(columns, table, strict=True):
        bad = values[~(np.isfinite(values) & (values > 0))]
        if len(bad):
            raise ConfigError(name, "must be finite and above 0", float(bad[0]))
        if len(values) != len(table[0]):
            raise ConfigError(name, f"must have {len(table[0])} rows like the others", len(values))
    return np.column_stack(table)


def bootstrap(
    fits: Fits, terms: Floats, values: Floats, rng: np.random.Generator, resamples: int
) -> Floats:
    """Coefficients fitted to all points, then to resamples of them, (1 + resamples, p).

    terms: (n, p). values: (n,). The resamples' are spread about the first by what Student's t and
    the degrees of freedom ask for: the percentiles of a plain bootstrap of few points are too
    narrow.
    """
    count = len(values)
    best = fits(terms[None], values[None])[0]
    picks = rng.integers(0, count, (resamples, count))
    draws = fits(terms[picks], values[picks])
    free = count - len(best)
    wider = float(stats.t.ppf(0.975, free)) / 1.96 * math.sqrt(count / free)
    return np.vstack([best, best + wider * (draws - best)])


def ends(draws: Floats) -> Interval:
    """The first draw, which is the estimate, and the middle 95 % of the others."""
    low, high = np.quantile(draws[1:], [0.025, 0.975])
    return Interval(float(draws[0]), float(low), float(high))


def huber_regressions(terms: Floats, values: Floats) -> Floats:
    """Coefficients (b, p) of regressions with Huber's loss, by reweighted least squares.

    terms: (b, n, p). values: (b, n). A regression whose terms are not independent gets the
    coefficients of least norm.
    """
    weight = np.ones(values.shape)
    found = np.zeros((len(values), terms.shape[2]))
    for _ in range(15):
        root = np.sqrt(weight)
        inverse = np.linalg.pinv(terms * root[..., None], rcond=1e-9)
        found = (inverse @ (values * root)[..., None])[..., 0]
        weight = huber_weights(values - (terms @ found[..., None])[..., 0])
    return found


def huber_weights(residuals: Floats) -> Floats:
    """Weights (..., n) of Huber's loss, the scale taken from each row of residuals itself."""
    far = np.abs(residuals)
    scale = 1.4826 * np.median(far, axis=-1, keepdims=True)
    # where most points lie on the line, the others set the scale
    scale = np.where(scale > 0, scale, far.mean(axis=-1, keepdims=True))
    scale = np.where(scale > 0, scale, 1.0)
    return np.minimum(1.0, HUBER * scale / np.maximum(far, 1e-12))
