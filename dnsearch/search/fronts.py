"""The fronts of whole runs against each other: hypervolume, which is better where, and whether
further seeds of the same study would differ as much.

What a front is made of are the networks that its run recommends, and their errors are the predicted
ones, so that a lucky seed wins nothing. How sure that is follows from the draws of their errors: it
says how well these networks are known, not how another seed of the search would have done. Only
several runs of one study tell that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dnsearch.analysis import picks
from dnsearch.analysis.candidates import Candidate, figures
from dnsearch.analysis.comparison import (
    Difference,
    Lead,
    Permuted,
    attainment,
    difference,
    leads,
    permutation_test,
    unpaired,
    volumes,
    within,
)
from dnsearch.analysis.confidence import LEVEL, best_probability
from dnsearch.analysis.metrics import error_label
from dnsearch.analysis.pareto import Axis, hypervolume
from dnsearch.analysis.predictions import Predictions
from dnsearch.arrays import Floats
from dnsearch.config import StudyConfig, differences
from dnsearch.search.compared import Told, told_by, why_not_comparable
from dnsearch.search.results import Results
from dnsearch.seeds import derived_seed
from dnsearch.text import agreeing, listed

DRAWS = 500
"""Of hypervolumes: the ends of a 90 % interval are then known to some hundredths of its width."""

LEVELS = 5
"""Bounds of cost at which fronts are compared, evenly spread over what all have in common."""


class Front(NamedTuple):
    """A run's front: its networks, cheapest first; their hypervolume, with the ends of its 90 %
    interval, NaN where errors are only measured; how much larger than the first run's it is."""

    run: str
    members: tuple[Candidate, ...]
    volume: float
    low: float
    high: float
    difference: Difference | None


class Level(NamedTuple):
    """Within ``bound`` of the cost: the least predicted error of each run, infinite where it has no
    network, and the probability that it is the least, NaN where that is not known."""

    bound: float
    errors: tuple[float, ...]
    probability: tuple[float, ...]


class Group(NamedTuple):
    """Runs of the same study with other seeds: the mean and the standard deviation of their
    hypervolumes, NaN of one; the errors that one, half and all of them reach at ``Fronts.levels``;
    and a test against the first group, None of that itself. repeated: runs of the study with the
    seed of one of these, which tell nothing of other seeds and are not counted."""

    runs: tuple[str, ...]
    repeated: tuple[str, ...]
    mean: float
    sd: float
    best: tuple[float, ...]
    median: tuple[float, ...]
    worst: tuple[float, ...]
    test: Permuted | None


@dataclass(frozen=True)
class Fronts:
    """costs: those that all runs trade against error; the first is that of ``levels`` and
    ``leads``, whose runs are places. reference: by objective. error_name: of predicted errors."""

    costs: tuple[str, ...]
    axis: Axis
    reference: Mapping[str, float]
    error_name: str
    fronts: tuple[Front, ...]
    levels: tuple[Level, ...]
    leads: tuple[Lead, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...]


def compare_fronts(runs: Mapping[str, Results]) -> Fronts | str:
    """The fronts of two or more runs, by the names that they are told by; or why they are not
    compared."""
    names, results = list(runs), list(runs.values())
    if why := why_not_comparable(results):
        return why
    told, notes = told_by(results)
    costs = _shared_costs(results)
    reference = _shared_reference(results, costs)
    members = [tuple(picks.front(told[run].networks, costs)) for run in results]
    empty = [name for name, own in zip(names, members, strict=True) if not own]
    if empty:
        return f"{' and '.join(empty)} has no network on a front yet"
    axis: Axis = results[0].study.objectives.axis
    point = list(reference.values())
    draws = [
        _draws(told[run], own, place)
        for place, (run, own) in enumerate(zip(results, members, strict=True))
    ]
    drawn = [
        None if errors is None else volumes(errors, _costs(own, costs), point, axis)
        for errors, own in zip(draws, members, strict=True)
    ]
    volume = [hypervolume(picks.positions(own, costs), point, axis) for own in members]
    fronts = [
        Front(names[i], members[i], volume[i], *_ends(drawn[i]), _against(volume, drawn, i))
        for i in range(len(names))
    ]
    bounds = _bounds(members, costs[0], axis)
    levels = [_level(bound, members, draws, costs[0]) for bound in bounds]
    rng = np.random.default_rng(derived_seed("groups of runs", results[0].study.search.seed))
    groups = _groups(names, results, volume, levels, rng)
    return Fronts(
        costs,
        axis,
        reference,
        error_label(results[0].study.objectives.error, told[results[0]].split),
        tuple(fronts),
        tuple(levels),
        tuple(leads([(figures(o, costs[0]), figures(o, "predicted_error")) for o in members])),
        groups,
        (*notes, *_unlike(results, costs), *_repeated(groups)),
    )


def _shared_costs(runs: Sequence[Results]) -> tuple[str, ...]:
    """In the order of the first run; MACs where none is shared. A latency is a machine's."""
    machines = {(r.environment.get("processor"), r.environment.get("device_kind")) for r in runs}
    shared = [
        cost
        for cost in runs[0].study.objectives.costs
        if all(cost in run.study.objectives.costs for run in runs)
        and (cost != "latency_ms" or len(machines) == 1)
    ]
    return tuple(shared) or ("macs",)


def _shared_reference(runs: Sequence[Results], costs: tuple[str, ...]) -> dict[str, float]:
    """The farthest in every objective of the runs' own, which their studies fix."""
    points = [_reference(run, costs) for run in runs]
    return {name: max(point[name] for point in points) for name in ("error", *costs)}


def _reference(run: Results, costs: tuple[str, ...]) -> dict[str, float]:
    own = run.study.objectives
    given = {n: value for n, value in own.reference.items() if n in ("error", *costs)}
    objectives = own.model_copy(update={"costs": costs, "reference": given})
    return run.reference(objectives)


def _costs(members: Sequence[Candidate], costs: Sequence[str]) -> Floats:
    return np.stack([figures(members, name) for name in costs], axis=1)


def _draws(told: Told, members: Sequence[Candidate], place: int) -> Floats | None:
    """Of the errors of the front's networks, (``DRAWS``, m); None where not all are predicted.
    Those of another run are independent."""
    found: Predictions | None = told.predictions
    if found is None or any(member.key not in found.place for member in members):
        return None
    rng = np.random.default_rng(derived_seed("fronts", place))
    own = found.draws[:, [found.place[member.key] for member in members]]
    return unpaired(own, rng)[:DRAWS]


def _ends(drawn: Floats | None) -> tuple[float, float]:
    if drawn is None:
        return math.nan, math.nan
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _against(
    volume: Sequence[float], drawn: Sequence[Floats | None], place: int
) -> Difference | None:
    """From the first run's; ``smaller`` is the probability of less hypervolume."""
    if place == 0:
        return None
    ours, theirs = drawn[place], drawn[0]
    if ours is None or theirs is None:
        return Difference(volume[place] - volume[0])
    return difference(ours, theirs)


def _bounds(members: Sequence[Sequence[Candidate]], cost: str, axis: Axis) -> Floats:
    """Bounds of cost that every run has a network within, up to the dearest of any."""
    low = max(figures(own, cost).min() for own in members)
    high = max(figures(own, cost).max() for own in members)
    if high <= low:
        return np.array([low])
    space = np.geomspace if axis == "log" else np.linspace
    found = space(low, high, LEVELS)
    found[0], found[-1] = low, high  # not what rounding makes of them
    return found


def _level(
    bound: float,
    members: Sequence[Sequence[Candidate]],
    draws: Sequence[Floats | None],
    cost: str,
) -> Level:
    errors = [figures(own, "predicted_error") for own in members]
    places = [
        int(within(figures(own, cost), error, [bound])[0])
        for own, error in zip(members, errors, strict=True)
    ]
    least = [e[p] if p >= 0 else math.inf for e, p in zip(errors, places, strict=True)]
    known = [d[:, p] for d, p in zip(draws, places, strict=True) if d is not None and p >= 0]
    chance = np.full(len(members), math.nan)
    if len(known) == len(members):
        chance = best_probability(np.stack(known, axis=1), np.ones(len(known), bool))
    return Level(float(bound), tuple(map(float, least)), tuple(map(float, chance)))


_FREE = {
    "search.seed",
    "search.workers",
    "search.device",
    "search.timeout",
    "search.keep_checkpoints",
    "data.path",
}
"""What runs of one study may differ in; budgets are part of it here."""


def _groups(
    names: Sequence[str],
    runs: Sequence[Results],
    volume: Sequence[float],
    levels: Sequence[Level],
    rng: np.random.Generator,
) -> tuple[Group, ...]:
    """The runs by study."""
    grouped: list[list[int]] = []
    for place, run in enumerate(runs):
        home = next((g for g in grouped if _is_same(runs[g[0]].study, run.study)), None)
        if home is None:
            grouped.append([place])
        else:
            home.append(place)
    seeds = [_first_of_each_seed(own, runs) for own in grouped]
    first = [volume[i] for i in seeds[0]]
    found = []
    for number, (every, own) in enumerate(zip(grouped, seeds, strict=True)):
        values = [volume[i] for i in own]
        errors = np.array([[level.errors[i] for level in levels] for i in own])
        best, median, worst = (tuple(map(float, line)) for line in attainment(errors))
        found.append(
            Group(
                tuple(names[i] for i in own),
                tuple(names[i] for i in every if i not in own),
                float(np.mean(values)),
                float(np.std(values, ddof=1)) if len(own) > 1 else math.nan,
                best,
                median,
                worst,
                permutation_test(values, first, rng) if number else None,
            )
        )
    return tuple(found)


def _first_of_each_seed(places: Sequence[int], runs: Sequence[Results]) -> list[int]:
    found: dict[int, int] = {}
    for place in places:
        found.setdefault(runs[place].study.search.seed, place)
    return list(found.values())


def _is_same(ours: StudyConfig, theirs: StudyConfig) -> bool:
    return not differences(ours.model_dump(mode="json"), theirs.model_dump(mode="json"), _FREE)


def _unlike(runs: Sequence[Results], costs: Sequence[str]) -> list[str]:
    """What makes the comparison less than one of like with like."""
    notes = []
    if any(set(run.study.objectives.costs) != set(costs) for run in runs):
        notes.append(
            f"the runs trade different costs; compared by {', '.join(costs)}, which all know"
        )
    recipes = [run.study.training.model_dump(mode="json") for run in runs]
    if changed := [line for other in recipes[1:] for line in differences(recipes[0], other)]:
        notes.append(
            f"the runs train by other recipes ({'; '.join(dict.fromkeys(changed))}): the fronts "
            "differ by that, too"
        )
    return notes


def _repeated(groups: Sequence[Group]) -> list[str]:
    """Which runs are none of another seed."""
    names = [name for group in groups for name in group.repeated]
    if not names:
        return []
    has, is_ = agreeing(len(names), "has", "have"), agreeing(len(names), "is", "are")
    return [
        f"{listed(names)} {has} the search.seed of another run of the study and {is_} not counted "
        "as another seed"
    ]
