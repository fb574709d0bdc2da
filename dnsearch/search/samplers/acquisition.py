"""What a training is expected to gain, in closed form, since every cost is known before it.

Only the error of a candidate is uncertain: log error is normal with a mean and a standard deviation
(``sd``). So the hypervolume a candidate would add is a sum over the cells of a grid in cost space,
each with its own error to beat: the cell's volume times a one-dimensional expected improvement
(the general case, where all objectives are uncertain: Emmerich et al. 2011,
doi:10.1109/CEC.2011.5949880).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from dnsearch.analysis.pareto import nondominated
from dnsearch.arrays import Floats

_CHUNK = 1_000_000
"""Numbers held at a time, to bound memory."""

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
"""Gauss-Hermite quadrature of a standard normal."""


def expected_improvement(mean: ArrayLike, sd: ArrayLike, threshold: ArrayLike) -> Floats:
    """E[max(0, threshold - error)] where log error is normal; the shapes broadcast.

    With d = (log threshold - mean) / sd: threshold Phi(d) - exp(mean + sd^2 / 2) Phi(d - sd).
    """
    mean, threshold = np.asarray(mean, np.float64), np.asarray(threshold, np.float64)
    sd = np.maximum(np.asarray(sd, np.float64), 1e-9)
    distance = (np.log(threshold) - mean) / sd
    gain = threshold * ndtr(distance) - np.exp(mean + sd**2 / 2) * ndtr(distance - sd)
    return np.maximum(gain, 0.0)


class Staircase:
    """The errors to beat at every cost: of a front, up to the reference point.

    rows: (n, 1 + costs), error first, costs on the axis of the hypervolume; those that others
    dominate or that lie beyond the reference count for nothing. reference: (1 + costs,), on that
    axis too.
    """

    def __init__(self, rows: ArrayLike, reference: ArrayLike) -> None:
        self.reference = np.asarray(reference, np.float64)
        rows = np.asarray(rows, np.float64).reshape(-1, len(self.reference))
        rows = rows[(rows < self.reference).all(axis=1)]
        rows = rows[nondominated(rows)]
        # Cell i of a cost lies between edges i and i + 1; the first is open to the left.
        self.edges = [
            np.concatenate([[-np.inf], np.unique(column), [most]])
            for column, most in zip(rows[:, 1:].T, self.reference[1:], strict=True)
        ]
        shape = tuple(len(edges) - 1 for edges in self.edges)
        to_beat = np.full(shape, self.reference[0])
        for error, *costs in rows:
            first = tuple(
                slice(int(np.searchsorted(edges, cost)), None)
                for edges, cost in zip(self.edges, costs, strict=True)
            )
            to_beat[first] = np.minimum(to_beat[first], error)
        self.thresholds, self.cells = np.unique(to_beat, return_inverse=True)
        self.cells = self.cells.reshape(shape)

    def bound(self, mean: Floats, sd: Floats, costs: Floats) -> Floats:
        """What ``improvement`` is at most, (n,), for far less work: as if the error to beat at the
        candidate's own cost, the highest it can beat, were that of all higher costs too."""
        cells = tuple(
            np.clip(np.searchsorted(edges, cost, side="right") - 1, 0, len(edges) - 2)
            for edges, cost in zip(self.edges, costs.T, strict=True)
        )
        volume = np.maximum(self.reference[1:] - costs, 0.0).prod(axis=1)
        return expected_improvement(mean, sd, self.thresholds[self.cells[cells]]) * volume

    def improvement(self, mean: ArrayLike, sd: ArrayLike, costs: ArrayLike) -> Floats:
        """Expected hypervolume improvement of each candidate, (n,).

        mean, sd: (n,), of log error. costs: (n, costs), on the axis of the hypervolume.
        """
        mean, sd = np.asarray(mean, np.float64), np.asarray(sd, np.float64)
        costs = np.asarray(costs, np.float64)
        step = max(1, _CHUNK // (self.cells.size + len(self.thresholds)))
        parts = [
            self._improvement(mean[i : i + step], sd[i : i + step], costs[i : i + step])
            for i in range(0, len(mean), step)
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    def _improvement(self, mean: Floats, sd: Floats, costs: Floats) -> Floats:
        total = expected_improvement(mean[:, None], sd[:, None], self.thresholds)[:, self.cells]
        for edges, cost in zip(reversed(self.edges), costs.T[::-1], strict=True):
            # The share of each cell that a candidate of this cost dominates.
            width = np.maximum(edges[1:] - np.maximum(edges[:-1], cost[:, None]), 0.0)
            width = width.reshape(len(width), *[1] * (total.ndim - 2), -1)
            total = (total * width).sum(axis=-1)
        return total


def screening_rate(
    staircase: Staircase,
    mean: Floats,
    sd: Floats,
    costs: Floats,
    explained: Floats,
    screen: Floats,
    rest: Floats,
    rate: float,
) -> Floats:
    """Expected gain per compute of training to a lower rung first, (n,).

    explained: share of the variance of log error that the lower rung's result will explain, 0 to 1.
    screen, rest: compute to the lower rung, and from there to the top. rate: gain per compute of
    the best alternative, which a candidate must beat for the rest to be spent on it. Integrated
    over the lower rung's result by quadrature.
    """
    gain, spent = np.zeros(len(mean)), screen.copy()
    left = sd * np.sqrt(1 - explained)
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        after = staircase.improvement(mean + node * sd * np.sqrt(explained), left, costs)
        goes_on = after >= rate * rest
        gain += weight * after * goes_on
        spent += weight * rest * goes_on
    return gain / spent
