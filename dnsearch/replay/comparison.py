"""``Comparison``: what replays of search strategies found, against each other."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from dnsearch.analysis.pareto import Axis
from dnsearch.arrays import Floats
from dnsearch.errors import RunError
from dnsearch.replay import measures
from dnsearch.replay.evaluator import TIMELESS, Machine
from dnsearch.replay.measures import AXES, COLUMNS, LEVELS, Bounded, Needed, Replays
from dnsearch.replay.table import Table

BASELINE = "known-cost"
"""The strategy that the others are compared with, where it is among them."""

LEVEL = 0.95
"""The level by which strategies are compared, one of ``LEVELS``."""


class Shares(NamedTuple):
    """Quantiles of the share that a strategy's replays had found, (QUANTILES, points), at
    ``spent`` (points,), in full trainings or simulated seconds."""

    sampler: str
    spent: Floats
    shares: Floats


class Proposals(NamedTuple):
    """What the replays of a strategy were made of.

    median_seconds, longest_seconds: of the time that a proposal took, NaN without any. full,
    screened: segments that ended at the top rung and at lower ones. spent: compute. These three are
    means over replays. busy: the share of the workers' time in which they trained, median over
    replays, NaN where it is not known.
    """

    median_seconds: float
    longest_seconds: float
    full: float
    screened: float
    spent: float
    busy: float


@dataclass(frozen=True)
class Comparison:
    """Strategies replayed on one table.

    trajectories: ``measures.COLUMNS``. replays: of each strategy, one for each of ``seeds``.
    reference: the point that hypervolume is measured against. unit: MACs of a full training of mean
    size. budget: how many of these a replay may spend, None for no bound. keys: the architectures
    that count. machine: what was simulated.
    """

    table: Table
    trajectories: pd.DataFrame
    replays: Replays
    seeds: Sequence[int]
    reference: Mapping[str, float]
    unit: float
    budget: float | None
    keys: Collection[str]
    machine: Machine = TIMELESS

    @property
    def samplers(self) -> list[str]:
        """Names of the strategies."""
        return list(self.replays)

    @property
    def axis(self) -> Axis:
        """The study's axis of cost, on which known-cost decides what to try."""
        return self.table.study.objectives.axis

    @property
    def is_empty(self) -> bool:
        """Whether no replay trained anything."""
        return not any(replay.spent for own in self.replays.values() for replay in own)

    @cached_property
    def needed(self) -> Mapping[tuple[str, Axis, float], Needed]:
        """Compute to reach a level, by strategy, axis and level."""
        return _needed(self.replays)

    @cached_property
    def needed_seconds(self) -> Mapping[tuple[str, Axis, float], Needed]:
        """Simulated seconds to reach a level, by strategy, axis and level."""
        return _needed(self._by_time)

    @cached_property
    def _by_time(self) -> Replays:
        return {name: [each.by_time for each in own] for name, own in self.replays.items()}

    @cached_property
    def wins(self) -> Mapping[tuple[Axis, float], Mapping[str, int]]:
        """``measures.wins`` by axis and level."""
        return {
            (axis, level): measures.wins(self.replays, axis, level)
            for axis in AXES
            for level in LEVELS
        }

    @cached_property
    def proposals(self) -> Mapping[str, Proposals]:
        """By strategy."""
        return {sampler: self._proposals(sampler) for sampler in self.samplers}

    @cached_property
    def baseline(self) -> str:
        """``known-cost``, or else the strategy that needs the least compute to reach ``LEVEL``."""
        if BASELINE in self.replays:
            return BASELINE
        return min(self.samplers, key=lambda sampler: self.needed[sampler, self.axis, LEVEL].median)

    def times(self, sampler: str, axis: Axis, level: float = LEVEL) -> Bounded:
        """How many times the baseline's median compute this strategy needs."""
        return measures.times(
            self.needed[sampler, axis, level], self.needed[self.baseline, axis, level]
        )

    def shares(self, axis: Axis, by_time: bool = False) -> list[Shares]:
        """By strategy, on one grid of compute or of simulated seconds, each up to the end of its
        longest replay; empty where no replay found anything."""
        replays = self._by_time if by_time else self.replays
        grid = measures.compute_grid(replays)
        found = []
        for sampler, own in replays.items():
            until = grid[grid <= max((replay.spent for replay in own), default=0.0)]
            found.append(Shares(sampler, until, measures.bands(own, axis, until)))
        return [each for each in found if len(each.spent)]

    def _proposals(self, sampler: str) -> Proposals:
        own = self.trajectories.loc[self.trajectories["sampler"] == sampler]
        asked = own["ask_seconds"].to_numpy(np.float64)
        asked = asked[np.isfinite(asked)]
        full = int((own["rung"].to_numpy(np.float64) >= self.table.rungs[-1]).sum())
        count = len(self.seeds)
        return Proposals(
            median_seconds=float(np.median(asked)) if len(asked) else math.nan,
            longest_seconds=float(asked.max()) if len(asked) else math.nan,
            full=full / count,
            screened=(len(own) - full) / count,
            spent=sum(replay.spent for replay in self.replays[sampler]) / count,
            busy=float(own.groupby("seed")["busy"].last().median()),
        )


def _needed(replays: Replays) -> Mapping[tuple[str, Axis, float], Needed]:
    return {
        (sampler, axis, level): measures.needed(own, axis, level)
        for sampler, own in replays.items()
        for axis in AXES
        for level in LEVELS
    }


def compare(
    table: Table,
    trajectories: pd.DataFrame,
    samplers: Sequence[str],
    seeds: Sequence[int],
    budget: float | None = None,
    keys: Collection[str] | None = None,
    machine: Machine = TIMELESS,
) -> Comparison:
    """What follows from these trajectories (``measures.COLUMNS``); ``machine`` is the one they
    were simulated on.

    Only architectures of the study's space count, since no strategy can propose another, and of
    these only ``keys`` where they are given. Raises RunError where a cost of the study is not known
    before training, or no recorded training is better than the reference point.
    """
    trajectories = trajectories.reindex(columns=list(COLUMNS))  # older files lack what is new
    truth, rung = table.truth, table.rungs[-1]
    reference = table.reference
    unmeasured = [name for name in reference if name not in truth]
    if unmeasured:
        raise RunError(f"{table.name}: a replay needs costs that are exact, got {unmeasured[0]}")
    unit = measures.mean_training_macs(truth["macs"], table.images, rung)
    space = table.study.space.build(table.shape[0], table.classes)
    inside = {key for key in truth.index if space.values_of(table.archs[key]) is not None}
    counted = inside if keys is None else inside & set(keys)
    replays = measures.measure(
        trajectories, samplers, seeds, truth, reference, rung, unit, keys=counted
    )
    return Comparison(
        table=table,
        trajectories=trajectories,
        replays=replays,
        seeds=seeds,
        reference=reference,
        unit=unit,
        budget=budget,
        keys=counted,
        machine=machine,
    )
