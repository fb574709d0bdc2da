"""The largest sizes predicted from the others: what a law says of networks that it has not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from dnsearch.arrays import Floats
from dnsearch.scaling.averaged import average
from dnsearch.scaling.powerlaw import Figure, curve
from dnsearch.scaling.rows import Rows

LEFT_OUT = 3
"""Least architectures left out, within a factor of ``LEFT_OUT_RANGE`` in size."""

LEFT_OUT_RANGE = (2.0, 4.0)

ROUNDED = 0.01
"""By so large a share sizes may miss a factor: parts of the images are rounded to whole ones."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The largest sizes, predicted from the others.

    above: by size the largest that was kept; what lay above any of them was left out. sizes:
    (rows, k). found: errors there; law, constant and line: what was predicted, all (rows,). The
    constant is the geometric mean of the three largest rows that were kept: the best of them would
    be biased low. The line is plain least squares in logs. missed: a law of two sizes is off on
    average by more than its interval and the scatter allow.
    """

    above: tuple[tuple[str, float], ...]
    sizes: Floats
    found: Floats
    law: Floats
    constant: Floats
    line: Floats
    missed: bool

    def error_of(self, predicted: Floats) -> float:
        """Mean relative error of a prediction, as a share."""
        return float(np.mean(np.abs(predicted / self.found - 1)))


def limits_of(rows: Rows) -> Floats:
    """Sizes from which on a row is left out, (k,).

    Left out is the top factor of half the root of the range, 2 to 4; or the three largest
    architectures, where fewer are in it, if those are within 4.
    """
    limits = np.empty(len(rows.names))
    for size in range(len(rows.names)):
        low, high = rows.span(size)
        factor = float(np.clip(math.sqrt(high / low) / 2, *LEFT_OUT_RANGE))
        largest = np.zeros(rows.clusters.max() + 1)
        np.maximum.at(largest, rows.clusters, rows.sizes[:, size])
        third = np.sort(largest)[-LEFT_OUT]
        limits[size] = max(min(high / factor * (1 + ROUNDED), third), high / LEFT_OUT_RANGE[1])
    return limits


def kept(rows: Rows) -> Rows:
    """The rows below all limits."""
    return rows.keep((rows.sizes < limits_of(rows)).all(axis=1))


def hold_out(rows: Rows) -> HeldOut:
    """The rows at or above a limit, predicted from those below."""
    rest = kept(rows)
    left = rows.keep((rows.sizes >= limits_of(rows)).any(axis=1))
    logs, here = np.log(rest.sizes), np.log(left.sizes)
    last = np.argsort(logs.sum(axis=1))[-LEFT_OUT:]
    line = np.linalg.lstsq(with_one(logs), rest.log_error, rcond=None)[0]
    predicted, missed = _averaged(rest, left) if len(rows.names) == 1 else _one_law(rest, left)
    return HeldOut(
        above=tuple((name, rest.span(size)[1]) for size, name in enumerate(rows.names)),
        sizes=left.sizes,
        found=np.exp(left.log_error),
        law=predicted,
        constant=np.full(len(here), np.exp(rest.log_error[last].mean())),
        line=np.exp(with_one(here) @ line),
        missed=missed,
    )


def _averaged(rest: Rows, left: Rows) -> tuple[Floats, bool]:
    """What the averaged laws of ``rest`` say of ``left``, and that their own band judges them."""
    return average(rest).predict(left.sizes[:, 0]).mean.value, False


def _one_law(rest: Rows, left: Rows) -> tuple[Floats, bool]:
    """What the law of ``rest`` says of ``left``, and whether it misses."""
    solution, middle = rest.solve()
    places = np.log(left.sizes) - middle
    centre, low, high = (float(end[0]) for end in solution.interval(_mean_over(places)))
    off = float(left.log_error.mean()) - centre
    width = high - centre if off > 0 else centre - low
    scatter = stats.t.ppf(0.975, max(1, solution.free)) * solution.problem.scale
    missed = abs(off) > math.hypot(width, scatter / math.sqrt(left.architectures))
    return np.exp(solution.log_error(places)), missed


def with_one(logs: Floats) -> Floats:
    """Terms of a line (n, 1 + k): a constant and the logs (n, k)."""
    return np.column_stack([np.ones(len(logs)), logs])


def _mean_over(logs: Floats) -> Figure:
    """Mean log error of places (places, k)."""

    def figure(theta: Floats) -> tuple[Floats, Floats]:
        value, gradient = curve(theta, logs)
        return value.mean(axis=1), gradient.mean(axis=1)

    return figure
