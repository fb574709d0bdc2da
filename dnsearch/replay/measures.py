"""What replays of search strategies found, and with how much compute: arrays in, arrays out.

A replay is one strategy run once against recorded trainings. It has found an architecture when it
has trained it to the top rung, and what it found counts by its truth, the mean error over all
recorded seeds, whatever the replay saw itself: luck is not rewarded. Shares are of the best known
hypervolume, that of all truths together. Compute is in full trainings of mean size.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from dnsearch.analysis.frames import column, rows
from dnsearch.analysis.pareto import Axis, hypervolume, hypervolume_curve
from dnsearch.errors import RunError

Floats = NDArray[np.float64]

COLUMNS = {
    "sampler": "name of the strategy",
    "seed": "seed of the replay",
    "step": "number of the segment in its replay",
    "key": "ArchConfig.key",
    "rung": "epochs trained at its end",
    "train_macs": "compute of this segment alone: 3 x macs x images x epochs newly trained",
    "seconds": "virtual seconds at its end",
    "ask_seconds": "real seconds that the sampler took to propose it",
}
"""Columns of trajectories, one row a finished training segment."""

AXES: tuple[Axis, ...] = ("log", "linear")
LEVELS = (0.90, 0.95, 0.99)
"""Shares of the best known hypervolume whose compute is told."""

QUANTILES = (0.10, 0.25, 0.50, 0.75, 0.90)
TIE, NOBODY = "tie", "nobody"
_ROUNDING = 1e-12


class Replay(NamedTuple):
    """Compute spent and shares found after each segment, all (segments,); both never fall."""

    compute: Floats
    shares: Mapping[Axis, Floats]

    @property
    def spent(self) -> float:
        return float(self.compute[-1]) if len(self.compute) else 0.0


Replays = Mapping[str, Sequence[Replay]]
"""By strategy one replay a seed, in the same order of seeds."""


class Needed(NamedTuple):
    """Compute to reach a level over all replays of a strategy; infinite where it was not reached.

    Half of the replays or more without the level make an infinite ``median``. ``at_least`` is what
    the median cannot be below: that with what was spent in place of what would have been needed.
    """

    replays: int
    reached: int
    q25: float
    median: float
    q75: float
    at_least: float


def mean_training_macs(macs: ArrayLike, images: int, epochs: int) -> float:
    """The unit of compute: a full training of an architecture of mean size, in MACs.

    ``macs`` is that of one image, (n,); forward and backward cost three times as much.
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
        told = ", ".join(f"{name} {value:g}" for name, value in reference.items())
        raise RunError(
            f"no recorded architecture is better than the reference point ({told}); "
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
    """Every replay that was asked for, one without any row in ``trajectories`` too.

    truth: by key, with the columns that ``reference`` names, ``error`` first. rung: the top one.
    unit: MACs that count as 1 of compute. keys: truth and what is found are restricted to these
    architectures; compute is not. Raises RunError where no truth is better than the reference.
    """
    known = truth if keys is None else rows(truth, truth.index.isin(list(keys)))
    known, point = known[list(reference)].astype(np.float64), list(reference.values())
    best = best_hypervolumes(known, reference)
    segments = trajectories.groupby(["sampler", "seed"]).indices

    def replay(sampler: str, seed: int) -> Replay:
        trajectory = trajectories.take(segments.get((sampler, seed), []))
        trajectory = trajectory.sort_values(by="step", kind="stable")
        found = known.reindex(trajectory["key"]).to_numpy(copy=True)
        found[column(trajectory, "rung") < rung] = np.nan  # a screening finds nothing by itself
        return Replay(
            np.cumsum(column(trajectory, "train_macs")) / unit,
            {axis: hypervolume_curve(found, point, axis) / best[axis] for axis in AXES},
        )

    return {sampler: [replay(sampler, seed) for seed in seeds] for sampler in samplers}


def compute_to(replays: Sequence[Replay], axis: Axis, level: float) -> Floats:
    """Compute after which each replay has this share, (replays,); infinite where it never has."""
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


def times(own: Needed, baseline: Needed) -> float:
    """How many times the baseline's median this one is.

    Where this median is infinite it is a lower bound, by ``at_least``; where the baseline's is,
    nothing is known, and it is NaN.
    """
    if not math.isfinite(baseline.median):
        return math.nan
    return (own.median if math.isfinite(own.median) else own.at_least) / baseline.median


def quantile(values: ArrayLike, share: float) -> float:
    """By linear interpolation; anything between a number and infinity is infinite.

    NumPy's quantile is NaN between infinity and infinity.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    place = round(share * (len(ordered) - 1), 9)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return float(low if low == high else low + (high - low) * (place - math.floor(place)))


def wins(replays: Replays, axis: Axis, level: float) -> dict[str, int]:
    """In how many seeds each strategy reached the level with the least compute of all.

    Seeds with several such strategies count for ``tie``, those that none reached for ``nobody``.
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
    """Compute at even steps of its logarithm, from the first that found anything to the last."""
    finding = [
        float(compute)
        for own in replays.values()
        for replay in own
        for compute in replay.compute[replay.shares["log"] > 0][:1]
    ]
    if not finding:
        return np.empty(0)
    last = max(replay.spent for own in replays.values() for replay in own)
    return np.unique(np.geomspace(min(finding), last, points))


def bands(replays: Sequence[Replay], axis: Axis, grid: Floats) -> Floats:
    """Quantiles of the share over replays at each compute of the grid, (QUANTILES, grid).

    A share is that after the last segment that had ended by then: 0 before the first, and a
    replay that is over keeps its last.
    """
    shares = np.zeros((len(replays), len(grid)))
    for row, replay in enumerate(replays):
        ended = np.searchsorted(replay.compute, grid, side="right")
        shares[row] = np.concatenate([[0.0], replay.shares[axis]])[ended]
    return np.quantile(shares, QUANTILES, axis=0)
