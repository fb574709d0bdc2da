"""``Comparison``: every number and sentence that is told of replayed search strategies."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dnsearch.analysis.frames import column, rows
from dnsearch.analysis.metrics import format_value
from dnsearch.analysis.pareto import Axis
from dnsearch.analysis.reference import reference_point
from dnsearch.errors import RunError
from dnsearch.replay import measures
from dnsearch.replay.measures import AXES, LEVELS, Needed, Replays

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.replay.table import Table

BASELINE = "known-cost"
"""The strategy that the others are compared with, where it is among them."""

LEVEL = 0.95
"""Of the headline, the wins and the ratios."""


@dataclass(frozen=True)
class Comparison:
    """Strategies replayed against one table.

    ``replays`` has by strategy one replay a seed. ``reference`` is the point that hypervolume is
    measured against, ``unit`` the MACs of a full training of mean size, ``budget`` how many of
    these a replay may spend, None for no bound. ``keys`` are the architectures that count.
    """

    table: Table
    trajectories: pd.DataFrame
    replays: Replays
    seeds: Sequence[int]
    reference: Mapping[str, float]
    unit: float
    budget: float | None
    keys: Collection[str]

    @property
    def samplers(self) -> list[str]:
        return list(self.replays)

    @property
    def axis(self) -> Axis:
        """The one on which known-cost decides what to try."""
        return self.table.study.objectives.axis

    @cached_property
    def needed(self) -> Mapping[tuple[str, Axis, float], Needed]:
        """By strategy, axis and level."""
        return {
            (sampler, axis, level): measures.needed(own, axis, level)
            for sampler, own in self.replays.items()
            for axis in AXES
            for level in LEVELS
        }

    @cached_property
    def baseline(self) -> str:
        """``known-cost``, or else the strategy that reaches the level first."""
        if BASELINE in self.replays:
            return BASELINE
        return min(self.samplers, key=lambda sampler: self.needed[sampler, self.axis, LEVEL].median)

    def times(self, sampler: str, axis: Axis, level: float = LEVEL) -> float:
        """The median over the baseline's, as ``replay.measures.times``."""
        return measures.times(
            self.needed[sampler, axis, level], self.needed[self.baseline, axis, level]
        )

    def of(self, sampler: str) -> pd.DataFrame:
        """The trajectories of one strategy."""
        return rows(self.trajectories, self.trajectories["sampler"] == sampler)


def compare(
    table: Table,
    trajectories: pd.DataFrame,
    samplers: Sequence[str],
    seeds: Sequence[int],
    budget: float | None = None,
    keys: Collection[str] | None = None,
) -> Comparison:
    """What follows from these trajectories (``replay.measures.COLUMNS``).

    Only architectures of the study's space count: no strategy can propose another. keys: of these
    alone the truth, the best hypervolume and what is found. Raises RunError where a cost of the
    study is not known before training, or nothing recorded is better than the reference point.
    """
    known, rung = table.truth, table.rungs[-1]
    reference = reference_point(table.study, table.shape, table.classes)
    unmeasured = [name for name in reference if name not in known]
    if unmeasured:
        raise RunError(f"{table.name}: a replay needs costs that are exact, got {unmeasured[0]}")
    unit = measures.mean_training_macs(known["macs"], table.images, rung)
    space = table.study.space.build(table.shape[0], table.classes)
    inside = {key for key, arch in table.archs.items() if space.values_of(arch) is not None}
    counted = inside & set(known.index) & (inside if keys is None else set(keys))
    found = measures.measure(
        trajectories, samplers, seeds, known, reference, rung, unit, keys=counted
    )
    return Comparison(table, trajectories, found, seeds, reference, unit, budget, counted)


def verdict(comparison: Comparison, axis: Axis) -> str:
    """The medians of all strategies on this axis, the baseline's first."""
    if not any(replay.spent for own in comparison.replays.values() for replay in own):
        return "No replay trained anything."
    first, *others = sorted(comparison.samplers, key=lambda name: name != comparison.baseline)
    own = comparison.needed[first, axis, LEVEL]
    goal = f"{LEVEL:.0%} of the best hypervolume".replace("%", " %")
    text = f"With cost on a {axis} axis, "
    if math.isfinite(own.median):
        text += f"{first} reaches {goal} with {amount(own)} full trainings of mean size"
        text += "" if own.reached == own.replays else f" ({counted(own)})"
    else:
        text += f"{first} needs {amount(own)} full trainings of mean size for {goal} "
        text += f"({counted(own)})"
    told = [f"{name} needs {_against(comparison, name, axis)}" for name in others[:1]]
    told += [f"{name} {_against(comparison, name, axis)}" for name in others[1:]]
    return f"{text}; {', '.join(told)}." if told else f"{text}."


def _against(comparison: Comparison, sampler: str, axis: Axis) -> str:
    """Such as ``41 (13 times as many)`` or ``more than 100 (more than 32 times as many, ...)``."""
    own = comparison.needed[sampler, axis, LEVEL]
    factor = ratio(comparison, sampler, axis)
    notes = [f"{factor} times as many"] if factor else []
    notes += [] if own.reached == own.replays else [counted(own)]
    return f"{amount(own)} ({', '.join(notes)})" if notes else amount(own)


def amount(needed: Needed, over: str = "more than ") -> str:
    """A median in full trainings; that of an unreached level as what it is certainly over."""
    if math.isfinite(needed.median):
        return format_value("trainings", needed.median)
    return over + format_value("trainings", rounded_down(needed.at_least))


def counted(needed: Needed) -> str:
    """``reached in 13 of 20``."""
    return f"reached in {needed.reached} of {needed.replays}"


def ratio(
    comparison: Comparison, sampler: str, axis: Axis, level: float = LEVEL, over: str = "more than "
) -> str:
    """How many times the baseline's compute: ``13``, a lower bound as ``more than 13``; empty
    where nothing is known of it."""
    times = comparison.times(sampler, axis, level)
    if math.isfinite(comparison.needed[sampler, axis, level].median):
        return format_value("trainings", times) if math.isfinite(times) else ""
    return over + format_value("trainings", rounded_down(times)) if times > 1 else ""


def rounded_down(value: float) -> float:
    """To a whole number or two digits, never up: what is said to be exceeded must be."""
    if value <= 0:
        return 0.0
    step = min(1.0, 10.0 ** (math.floor(math.log10(value)) - 1))
    return math.floor(value / step) * step


def summary(comparison: Comparison) -> pd.DataFrame:
    """One row a strategy, axis and level; infinite where half of the replays did not reach it.

    ``times`` is over the baseline's median, a lower bound where the own is infinite; ``wins`` are
    seeds in which this strategy reached the level first; ``ask_seconds`` the median of a proposal.
    """
    won = {
        (axis, level): measures.wins(comparison.replays, axis, level)
        for axis in AXES
        for level in LEVELS
    }
    asked = {name: median_of(comparison.of(name), "ask_seconds") for name in comparison.samplers}
    return pd.DataFrame(
        {
            "sampler": sampler,
            "axis": axis,
            "level": level,
            **needed._asdict(),
            "times": comparison.times(sampler, axis, level),
            "wins": won[axis, level][sampler],
            "ask_seconds": asked[sampler],
        }
        for (sampler, axis, level), needed in comparison.needed.items()
    )


def per_replay(comparison: Comparison) -> pd.DataFrame:
    """Compute to each level in each replay, infinite where unreached, and all that it spent."""
    return pd.DataFrame(
        {
            "sampler": sampler,
            "seed": seed,
            "axis": axis,
            "level": level,
            "compute": compute,
            "spent": replay.spent,
        }
        for sampler, own in comparison.replays.items()
        for axis in AXES
        for level in LEVELS
        for seed, replay, compute in zip(
            comparison.seeds, own, measures.compute_to(own, axis, level), strict=True
        )
    )


def median_of(frame: pd.DataFrame, name: str) -> float:
    """The median of a column, NaN where there is none."""
    values = column(frame, name)
    return float(np.nanmedian(values)) if np.isfinite(values).any() else math.nan
