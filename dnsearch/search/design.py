"""Fixed designs: the order in which a grid, or a sample spread evenly over cost, is trained."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

STRATA = 100
_GOLDEN = (np.sqrt(5) - 1) / 2


def grid(count: int, rng: np.random.Generator) -> Iterator[int]:
    """Every point once, in random order, so that what was done when time ran out is a fair sample
    of the space."""
    yield from map(int, rng.permutation(count))


def stratified(cost: NDArray[np.number], rng: np.random.Generator) -> Iterator[int]:
    """Every point once, each prefix spread evenly over log cost.

    ``cost`` is (n,), positive. Each step takes the point nearest to the next number of the additive
    golden-ratio sequence (Schretter et al. 2012, doi:10.1080/2151237X.2012.641867), stretched over
    the range of log cost; equals are taken in random order.
    """
    log = np.log(np.asarray(cost, dtype=np.float64))
    low, width = log.min(), np.ptp(log)
    shuffled = rng.permutation(len(log))
    left = shuffled[np.argsort(log[shuffled], kind="stable")]
    position = rng.random()
    while len(left):
        target = low + width * position
        nearest = int(np.argmin(np.abs(log[left] - target)))
        yield int(left[nearest])
        left = np.delete(left, nearest)
        position = (position + _GOLDEN) % 1.0


def thinned(cost: NDArray[np.number], most: int, rng: np.random.Generator) -> Indices:
    """``most`` different points, spread evenly over log cost as far as there are enough of them.

    Weighted sampling without replacement (Efraimidis & Spirakis 2006,
    doi:10.1016/j.ipl.2005.11.003), a point's weight the inverse of how many cost about the same.
    """
    log = np.log(np.asarray(cost, dtype=np.float64))
    share = (log - log.min()) / max(np.ptp(log), 1e-9)
    stratum = np.minimum((share * STRATA).astype(np.intp), STRATA - 1)
    crowd = np.bincount(stratum, minlength=STRATA)[stratum]
    keys = rng.exponential(size=len(log)) * crowd
    return np.sort(np.argpartition(keys, most - 1)[:most])
