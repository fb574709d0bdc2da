"""The laws of training runs: error by size and by images, the best shapes' growth, time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dnsearch.analysis.candidates import Candidate, figures
from dnsearch.arrays import Floats
from dnsearch.scaling.costlaw import LEAST, CostLaw, TooFewMeasured, fit_cost
from dnsearch.scaling.extrapolation import LawStudy, study_law
from dnsearch.scaling.growth import Growth, best_growth
from dnsearch.scaling.larger import layers, mean_growth
from dnsearch.scaling.trainings import by_architecture, chosen


def error_law(trainings: Sequence[Candidate], *sizes: str) -> LawStudy:
    """The law of the errors of these training runs in sizes by their names in ``METRICS``."""
    return study_law(
        np.column_stack([figures(trainings, name) for name in sizes]),
        figures(trainings, "error"),
        np.array([candidate.key for candidate in trainings]),
        sizes,
    )


def growth_of(full: Sequence[Candidate], cost: str, rng: np.random.Generator) -> dict[str, Growth]:
    """Of the best growth rate, layers and, among those with a bottleneck, its width.

    From all architectures trained on all images, good and bad: the bad ones show
    on which side the best lie.
    """
    groups = by_architecture(full)
    budget = figures((group[0] for group in groups), cost)
    error = np.exp([np.mean(np.log(figures(group, "error"))) for group in groups])
    archs = [group[0].arch for group in groups]
    rates = np.array([mean_growth(arch) for arch in archs])
    deep = np.array([layers(arch) for arch in archs])
    widths = np.array([max(arch.bn_sizes) for arch in archs])
    with_one = widths > 0
    return best_growth(budget, error, {"growth_rate": rates, "layers": deep}, rng) | best_growth(
        budget[with_one], error[with_one], {"bn_size": widths[with_one]}, rng
    )


def time_law(
    full: Sequence[Candidate], measured: Floats, rng: np.random.Generator
) -> CostLaw | TooFewMeasured:
    """Of a time measured in each training run, (runs,), those that are not finite and above 0 left
    out: by the median of each architecture's runs."""
    known = np.isfinite(measured) & (measured > 0)
    times = dict(zip(full, measured, strict=True))
    groups = by_architecture(chosen(full, known))
    if len(groups) < LEAST:
        return TooFewMeasured(len(groups))
    time = [np.median([times[candidate] for candidate in group]) for group in groups]
    costs = [group[0].cost for group in groups]
    activations, macs = [cost.activations for cost in costs], [cost.macs for cost in costs]
    return fit_cost(time, activations, macs, rng)
