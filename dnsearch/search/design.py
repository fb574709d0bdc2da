"""Fixed designs: the order in which a grid, a sample spread evenly over cost, the frontier of what
size buys, or what a scaling law is fitted to is trained."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis.pareto import nondominated
from dnsearch.arrays import Indices
from dnsearch.cost.formula import CostArrays
from dnsearch.errors import SpaceError

STRATA = 100
_GOLDEN = (np.sqrt(5) - 1) / 2

FIRST_FRONTIER = 10
"""Networks of a frontier trained before the gaps between them are halved."""

SIZES = 8
SPAN = 64.0
"""Times the largest cost over the smallest in a scaling design; networks far below the largest say
little of what lies above it."""

LEAST_SPAN = 16.0
SHARES = (1 / 2, 1 / 4, 1 / 8)
"""Of the training images, besides all of them."""


class Planned(NamedTuple):
    """A training of a design: the point, its share of the training images, and how many such
    trainings there are to be of it, this one included."""

    point: int
    share: float = 1.0
    times: int = 1


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


def cost_and_size(
    known: CostArrays, costs: Sequence[str]
) -> tuple[NDArray[np.number], NDArray[np.number]]:
    """What a frontier runs along, (n,), and what it has most of at each value of that, (n,).

    That is the first of the objectives ``costs`` that is known before training, MACs where none is
    (a latency grows with them), and parameters; where the cost is the parameters, MACs.
    """
    cost = next((name for name in costs if hasattr(known, name)), "macs")
    size = "macs" if cost == "params" else "params"
    return getattr(known, cost), getattr(known, size)


def frontier(cost: NDArray[np.number], size: NDArray[np.number]) -> Iterator[int]:
    """Every point once: first those of the frontier (cost down, size up), evenly in log cost.

    ``cost`` and ``size`` are (n,), positive, such as MACs and parameters. First come
    ``FIRST_FRONTIER`` of the frontier, cheap first, then those halfway between, and so on until it
    is exhausted; then all others, those nearest to the frontier's size at their cost first.
    """
    log = np.log(np.asarray(cost, dtype=np.float64))
    log_size = np.log(np.asarray(size, dtype=np.float64))
    members = np.flatnonzero(nondominated(np.column_stack([-log_size, log])))
    _, distinct = np.unique(log[members], return_index=True)  # equals come with the others
    members = members[distinct]
    yield from (int(members[place]) for place in _refined(log[members]))
    others = np.setdiff1d(np.arange(len(log)), members)
    below = np.searchsorted(log[members], log[others], side="right") - 1
    short = log_size[members][below] - log_size[others]
    yield from map(int, others[np.lexsort((log[others], short))])


def _refined(position: NDArray[np.float64]) -> Iterator[int]:
    """Each of the rising positions (n,) once: those nearest to ``FIRST_FRONTIER`` even targets in
    rising order, then those nearest to targets twice as dense."""
    left = np.ones(len(position), bool)
    targets = FIRST_FRONTIER
    while left.any():
        even = np.linspace(position[0], position[-1], targets)
        above = np.searchsorted(position, even).clip(max=len(position) - 1)
        below = np.maximum(above - 1, 0)
        nearest = np.where(even - position[below] <= position[above] - even, below, above)
        chosen = [place for place in dict.fromkeys(map(int, nearest)) if left[place]]
        if targets > STRATA * len(position):  # what is left lies closer together than it matters
            chosen = [int(place) for place in np.flatnonzero(left)]
        yield from chosen
        left[chosen] = False
        targets = 2 * targets - 1


def scaling(
    cost: NDArray[np.number],
    rng: np.random.Generator,
    best: Callable[[Indices], int],
    before: Sequence[int] = (),
) -> Iterator[Planned]:
    """Points of ``SIZES`` sizes log-spaced over at least ``LEAST_SPAN``, in rounds of a new shape
    each: trained on all images, on one of ``SHARES`` of them, and on all with another seed.

    The first round takes any shapes, the others those that ``best`` picks by what was trained so
    far, so that the law is one of good networks. ``cost`` is (n,), positive, such as MACs.
    ``before``: points that the design has trained on all images so far, in their order, with which
    it goes on where it was. Rounds end where no size has a point left that is nearer to it than to
    the next. Raises SpaceError where the costs span less.
    """
    require_span(cost)
    log = np.log(np.asarray(cost, dtype=np.float64))
    sizes = np.linspace(max(log.min(), log.max() - np.log(SPAN)), log.max(), SIZES)
    nearest = np.abs(log[:, None] - sizes).argmin(axis=1)
    nearest[log < sizes[0] - (sizes[1] - sizes[0]) / 2] = SIZES  # too small for any
    left = [rng.permutation(np.flatnonzero(nearest == size)) for size in range(SIZES)]
    known = [[place for place in before if nearest[place] == size] for size in range(SIZES)]
    number = 0
    for round_ in itertools.count():
        chosen: list[int] = []
        for size, places in enumerate(left):
            if not len(places):
                continue
            if len(known[size]) > round_:
                point = known[size][round_]
            else:
                point = best(places) if round_ else int(places[0])
            left[size] = places[places != point]
            chosen.append(point)
            yield Planned(point)
        if not chosen:
            return
        for point in chosen:
            yield Planned(point, SHARES[number % len(SHARES)])
            number += 1
        yield from (Planned(point, times=2) for point in chosen)


def require_span(cost: NDArray[np.number]) -> None:
    """Raises SpaceError where costs (n,) are too alike for a scaling design."""
    span = float(cost.max() / cost.min())
    if span < LEAST_SPAN:
        raise SpaceError(
            f"a scaling design takes networks over {LEAST_SPAN:g} times in MACs, these span "
            f"{span:.3g}; offer smaller or larger choices in [space], or raise the limits"
        )


def thinned(cost: NDArray[np.number], most: int, rng: np.random.Generator) -> Indices:
    """``most`` different points, spread evenly over log cost as far as there are enough of them.

    Weighted sampling without replacement (Efraimidis & Spirakis 2006,
    doi:10.1016/j.ipl.2005.11.003), a point's weight the inverse of how many cost about the same.
    """
    stratum = strata(cost)
    crowd = np.bincount(stratum, minlength=STRATA)[stratum]
    keys = rng.exponential(size=len(cost)) * crowd
    return np.sort(np.argpartition(keys, most - 1)[:most])


def strata(cost: NDArray[np.number]) -> Indices:
    """Of each cost its stratum of log cost, (n,), all of one width."""
    log = np.log(np.asarray(cost, dtype=np.float64))
    share = (log - log.min()) / max(np.ptp(log), 1e-9)
    return np.minimum((share * STRATA).astype(np.intp), STRATA - 1)
