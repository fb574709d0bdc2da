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
        self.front = rows[nondominated(rows)]
        self.low, self.high, to_beat = _boxes(self.front, self.reference)
        self.thresholds, self.threshold = np.unique(to_beat, return_inverse=True)

    def bound(self, mean: Floats, sd: Floats, costs: Floats) -> Floats:
        """What ``improvement`` is at most, (n,), for far less work: as if the error to beat at the
        candidate's own cost, the highest it can beat, were that of all higher costs too."""
        front = self.front[np.argsort(-self.front[:, 0], kind="stable")]
        if costs.shape[1] == 1:
            steps = np.append(self.reference[0], front[:, 0])
            to_beat = steps[np.searchsorted(front[:, 1], costs[:, 0], side="right")]
        else:
            to_beat = np.full(len(costs), self.reference[0])
            for error, *least in front:
                beyond = [c >= most for c, most in zip(costs.T, least, strict=True)]
                to_beat[np.all(beyond, axis=0)] = error
        volume = np.maximum(self.reference[1:] - costs, 0.0).prod(axis=1)
        return expected_improvement(mean, sd, to_beat) * volume

    def improvement(self, mean: ArrayLike, sd: ArrayLike, costs: ArrayLike) -> Floats:
        """Expected hypervolume improvement of each candidate, (n,).

        mean, sd: (n,), of log error. costs: (n, costs), on the axis of the hypervolume.
        """
        mean, sd = np.asarray(mean, np.float64), np.asarray(sd, np.float64)
        costs = np.asarray(costs, np.float64)
        step = max(1, _CHUNK // len(self.low))
        parts = [
            self._improvement(mean[i : i + step], sd[i : i + step], costs[i : i + step])
            for i in range(0, len(mean), step)
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    def _improvement(self, mean: Floats, sd: Floats, costs: Floats) -> Floats:
        gain = expected_improvement(mean[:, None], sd[:, None], self.thresholds)
        total = gain[:, self.threshold]  # (n, boxes)
        for low, high, cost in zip(self.low.T, self.high.T, costs.T, strict=True):
            # The share of each box that a candidate of this cost dominates.
            total = total * np.maximum(high - np.maximum(low, cost[:, None]), 0.0)
        return total.sum(axis=-1)


def _boxes(front: Floats, reference: Floats) -> tuple[Floats, Floats, Floats]:
    """Boxes of all costs below the reference, without common points: low and high corners (n,
    costs), and the error to beat in each (n,).

    A point's error is that to beat where the costs are no less than its own, but for where they are
    no less than those of a point of less error. So there are far fewer boxes than cells in a grid
    of all costs, whose number is a power of the front's.
    """
    if len(reference) == 2:  # one cost: each step of the front goes on to the next
        front = front[np.argsort(front[:, 1], kind="stable")]
        ends = np.concatenate([[-np.inf], front[:, 1], reference[1:]])[:, None]
        return ends[:-1], ends[1:], np.append(reference[0], front[:, 0])
    least, most = (-np.inf,) * (len(reference) - 1), tuple(reference[1:].tolist())
    front = front[np.argsort(front[:, 0], kind="stable")]
    found = [(*box, reference[0]) for box in _free(front[:, 1:], least, most)]
    for place, (error, *costs) in enumerate(front.tolist()):
        better = np.maximum(front[:place, 1:], costs)
        found += [(*box, error) for box in _free(better, tuple(costs), most)]
    low, high, to_beat = (np.array(column) for column in zip(*found, strict=True))
    order = np.lexsort(low.T[::-1])
    return low[order], high[order], to_beat[order]


Corner = tuple[float, ...]


def _free(points: Floats, low: Corner, high: Corner) -> list[tuple[Corner, Corner]]:
    """Boxes, without common points, of what in the box from ``low`` to ``high`` is not at or above
    any of the points (n, d): low and high corners.

    The last coordinate is swept, so that a box of the others ends where a point cuts it.
    """
    found: list[tuple[Corner, Corner]] = []
    if len(low) == 1:
        top = min([*points[:, 0].tolist(), high[0]])
        return [(low, (top,))] if top > low[0] else found
    points = points[np.argsort(points[:, -1], kind="stable")]
    below = points[:0, :-1]
    begun: dict[tuple[Corner, Corner], float] = {}
    for box in _free(below, low[:-1], high[:-1]):
        begun[box] = low[-1]
    for *others, level in points.tolist():
        if (below <= others).all(axis=1).any():
            continue  # it cuts nothing off
        below = np.vstack([below[(below < others).any(axis=1)], others])
        left = dict.fromkeys(_free(below, low[:-1], high[:-1]))
        for (first, last), start in begun.items():
            if (first, last) not in left and level > start:
                found.append(((*first, start), (*last, level)))
        begun = {box: begun.get(box, float(level)) for box in left}
    for (first, last), start in begun.items():
        found.append(((*first, start), (*last, high[-1])))
    return found


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
