"""What each choice of a study's space is worth at equal cost, by all of its training runs.

Comparing the trained networks alone would compare what a search wanted to see, which is neither
even nor much. So errors are drawn from the surrogate's joint posterior, at points of the space that
lie evenly over log cost.
"""

from __future__ import annotations

import numpy as np

from dnsearch.analysis.choices import Choices, DesignSpace, design_space, grouped
from dnsearch.arch.space import Points
from dnsearch.search.design import thinned
from dnsearch.search.predictions import LEAST, SETTINGS
from dnsearch.search.regret import Scope, draws_at, ended_trials
from dnsearch.search.samplers.blas import one_thread
from dnsearch.search.samplers.history import History
from dnsearch.search.store import StudyStore, counts_for_nothing
from dnsearch.seeds import derived_seed

MOST = 1_000
"""Points whose errors are drawn together."""

DRAWS = 20
"""For each setting of the hyper-parameters."""


def explore(store: StudyStore, scope: Scope, cost: str) -> DesignSpace | None:
    """What the search's training runs say of each dimension, networks matched in ``cost``; None
    while fewer than ``LEAST`` were trained to the top rung, or where there is little to choose."""
    outcomes = ended_trials(store, History(scope.rungs, counts_for_nothing))
    done = [each for each in outcomes if not (each.failed or each.pending)]
    full = {each.key: each.params for each in done if each.rung == scope.rungs[-1]}
    if len(full) < LEAST:
        return None
    pool = scope.feasible.pool
    rng = np.random.default_rng(derived_seed("design space", scope.seed))
    if len(pool) > MOST:
        pool = pool.take(thinned(getattr(pool.known, cost), MOST, rng))
    choices = _choices(pool.points, Points.at(scope.space, list(full.values())))
    if not any(len(each.labels) > 1 for each in choices):
        return None
    with one_thread():
        surrogates = scope.feasible.surrogates(done, rng, SETTINGS)
        draws = np.vstack([draws_at(each, pool.features, rng, DRAWS) for each in surrogates])
    return design_space(cost, getattr(pool.known, cost).astype(float), draws, choices)


def _choices(points: Points, trained: Points) -> list[Choices]:
    return [
        grouped(name, values, points.digits[:, at].astype(int), trained.digits[:, at].astype(int))
        for at, (name, values) in enumerate(points.space.dimensions.items())
    ]
