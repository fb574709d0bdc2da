"""What replays of search strategies found, and with how much compute: arrays in, arrays out.

A replay is one run of one strategy on recorded trainings. It has found an architecture once it has
trained it to the top rung. What it found is valued at the true error, the mean over all recorded
seeds, not at the error of the one seed that the replay was shown, so seed noise wins nothing.
Shares are of the best known hypervolume, that of all architectures at their true errors. Compute
is in full trainings of mean size.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from dnsearch.analysis.pareto import Axis, hypervolume, hypervolume_curve
from dnsearch.arrays import Floats
from dnsearch.errors import RunError

COLUMNS = {
    "sampler": "name of the strategy",
    "seed": "seed of the replay",
    "step": "number of the segment in its replay",
    "key": "ArchConfig.key",
    "rung": "epochs trained at its end",
    "train_macs": "compute of this segment alone: 3 x macs x images x epochs newly trained",
    "seconds": "simulated seconds when its result was collected",
    "ask_seconds": "real seconds that the sampler took to propose it",
    "busy": "share of the workers' simulated time until then in which they trained",
}
"""Columns of trajectories, one row a finished training segment."""

AXES: tuple[Axis, ...] = ("log", "linear")
LEVELS = (0.90, 0.95, 0.99)
"""Shares of the best known hypervolume; measured is the compute that each takes."""

QUANTILES = (0.10, 0.25, 0.50, 0.75, 0.90)
"""Of the share found, over the replays of a strategy."""

TIE, NOBODY = "tie", "nobody"
"""Beside the strategies' names in ``wins``."""

_ROUNDING = 1e-12


class Replay(NamedTuple):
    """Compute spent, shares found and simulated seconds after each segment, all (segments,); none
    of them ever falls."""

    compute: Floats
    shares: Mapping[Axis, Floats]
    seconds: Floats = np.empty(0)

    @property
    def by_time(self) -> Replay:
        """The same, measured in simulated seconds wherever it was in compute."""
        return Replay(self.seconds, self.shares, self.seconds)

    @property
    def spent(self) -> float:
        """Compute of the whole replay."""
        return float(self.compute[-1]) if len(self.compute) else 0.0


Replays = Mapping[str, Sequence[Replay]]
"""By strategy one replay a seed, in the same order of seeds."""


class Bounded(NamedTuple):
    """A figure that is ``exact``, or else only a lower bound of it; NaN where nothing is known."""

    value: float
    exact: bool


class Needed(NamedTuple):
    """Compute to reach a level over all replays of a strategy; infinite where it was not reached.

    The ``median`` is infinite where half of the replays or more did not reach the level. Then
    ``at_least`` is a lower bound: the median with the compute that those replays spent in place of
    the compute that they would have needed.
    """

    replays: int
    reached: int
    q25: float
    median: float
    q75: float
    at_least: float

    @property
    def compute(self) -> Bounded:
        """The median, or its lower bound where it is infinite."""
        if math.isfinite(self.median):
            return Bounded(self.median, exact=True)
        return Bounded(self.at_least, exact=False)


def mean_training_macs(macs: ArrayLike, images: int, epochs: int) -> float:
    """The unit of compute: a full training of an architecture of mean size, in MACs.

    ``macs`` (n,) are those of one image, forward; forward and backward together take three times
    as many.
    """
    return float(3 * np.mean(np.asarray(macs, dtype=np.float64)) * images * epochs)


def best_hypervolumes(values: ArrayLike, reference: Mapping[str, float]) -> dict[Axis, float]:
    """The best known hypervolume by axis, of all architectures together.

    ``values`` is (n, 1 + costs), as ``reference`` names them. Raises RunError where no row is
    better than the reference.
    """
    point = list(reference.values())
    best: dict[Axis, float] = {axis: hypervolume(values, point, axis) for axis in AXES}
    if not min(best.values()) > 0:
        written = ", ".join(f"{name} {value:g}" for name, value in reference.items())
        raise RunError(
            f"no recorded architecture is better than the reference point ({written}); "
            "set objectives.reference"
        )
    return best


def measure(
    trajectories: pd.DataFrame,
    samplers: Sequence[str],
    seeds: Sequence[int],
    truth: pd.DataFrame,
    reference: Mapping[str, float],
    rung: int,
    unit: float,
    keys: Collection[str] | None = None,
) -> dict[str, list[Replay]]:
    """Every replay that was asked for, those without a row in ``trajectories`` (``COLUMNS``) too.

    truth: by key, with the columns that ``reference`` names, ``error`` first. rung: the top one.
    unit: MACs that count as 1 of compute. keys: only these architectures count as found and for
    the best hypervolume; compute is that of all. Raises RunError where no architecture is better
    than the reference.
    """
    counted = truth.index if keys is None else truth.index[truth.index.isin(list(keys))]
    known, point = truth.loc[counted, list(reference)].astype(np.float64), list(reference.values())
    best = best_hypervolumes(known, reference)
    segments = trajectories.groupby(["sampler", "seed"]).indices

    def replay(sampler: str, seed: int) -> Replay:
        trajectory = trajectories.take(segments.get((sampler, seed), []))
        trajectory = trajectory.sort_values(by="step", kind="stable")
        found = known.reindex(trajectory["key"]).to_numpy(copy=True)
        # A training to a lower rung finds nothing, but its compute counts.
        found[trajectory["rung"].to_numpy(np.float64) < rung] = np.nan
        return Replay(
            np.cumsum(trajectory["train_macs"].to_numpy(np.float64)) / unit,
            {axis: hypervolume_curve(found, point, axis) / best[axis] for axis in AXES},
            trajectory["seconds"].to_numpy(np.float64),
        )

    return {sampler: [replay(sampler, seed) for seed in seeds] for sampler in samplers}


def compute_to(replays: Sequence[Replay], axis: Axis, level: float) -> Floats:
    """Compute after which each replay has found this share, (replays,); infinite where it never
    has."""
    found = np.full(len(replays), math.inf)
    for position, replay in enumerate(replays):
        after = replay.compute[replay.shares[axis] >= level - _ROUNDING]
        if len(after):
            found[position] = after[0]
    return found


def needed(replays: Sequence[Replay], axis: Axis, level: float) -> Needed:
    """Quartiles of ``compute_to``, and how many replays reached the level at all."""
    compute = compute_to(replays, axis, level)
    spent = np.array([replay.spent for replay in replays])
    return Needed(
        replays=len(compute),
        reached=int(np.isfinite(compute).sum()),
        q25=quantile(compute, 0.25),
        median=quantile(compute, 0.5),
        q75=quantile(compute, 0.75),
        at_least=quantile(np.minimum(compute, spent), 0.5),
    )


def times(own: Needed, baseline: Needed) -> Bounded:
    """How many times the baseline's median this one is: a lower bound where this one is infinite,
    NaN where the baseline's is."""
    value, exact = own.compute
    return Bounded(value / baseline.median if math.isfinite(baseline.median) else math.nan, exact)


def quantile(values: ArrayLike, share: float) -> float:
    """A quantile of values (n,) by linear interpolation; infinite between a number and infinity.

    NumPy's is NaN between infinity and infinity.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    place = round(share * (len(ordered) - 1), 9)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return float(low if low == high else low + (high - low) * (place - math.floor(place)))


def wins(replays: Replays, axis: Axis, level: float) -> dict[str, int]:
    """With how many seeds each strategy reached the level with the least compute of all.

    Seeds where several did count for ``tie``, those where none reached the level for ``nobody``.
    """
    compute = np.array([compute_to(own, axis, level) for own in replays.values()])
    names = list(replays)
    won = dict.fromkeys([*names, TIE, NOBODY], 0)
    for seed in compute.T:
        first = np.flatnonzero(seed == seed.min())
        if math.isinf(seed.min()):
            won[NOBODY] += 1
        else:
            won[names[first[0]] if len(first) == 1 else TIE] += 1
    return won


def compute_grid(replays: Replays, points: int = 200) -> Floats:
    """Compute (points,) in even steps of its logarithm: from the first at which a replay found
    anything to the most that one spent; empty where none found anything."""
    finding = [
        float(compute)
        for own in replays.values()
        for replay in own
        for compute in replay.compute[(replay.shares["log"] > 0) & (replay.compute > 0)][:1]
    ]
    if not finding:
        return np.empty(0)
    last = max(replay.spent for own in replays.values() for replay in own)
    return np.unique(np.geomspace(min(finding), last, points))


def bands(replays: Sequence[Replay], axis: Axis, grid: Floats) -> Floats:
    """Quantiles of the share over replays at each compute of the grid, (QUANTILES, grid).

    A share is that after the last segment that had ended by then: 0 before the first one, and the
    last one's after the end of a replay.
    """
    shares = np.zeros((len(replays), len(grid)))
    for row, replay in enumerate(replays):
        ended = np.searchsorted(replay.compute, grid, side="right")
        shares[row] = np.concatenate([[0.0], replay.shares[axis]])[ended]
    return np.quantile(shares, QUANTILES, axis=0)
