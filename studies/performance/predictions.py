"""How long predictions of many candidates take, computed and read from their file.

    python studies/performance/predictions.py

Candidates of an invented error surface, trained to rungs of 1, 3 and 9 epochs; the last line has
600 others besides, stopped at a lower rung. Brute force, as front probabilities were computed
until November 2026, sets every candidate against all that cost no more, in every draw.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import optuna
from measure import Record
from numpy.typing import NDArray
from optuna.trial import TrialState, create_trial

from dnsearch.analysis.confidence import front_probability
from dnsearch.arch.space import SearchSpace
from dnsearch.search import CostModel
from dnsearch.search.evaluators.base import SEARCH
from dnsearch.search.parameters import RUNG, distributions, rung_distribution
from dnsearch.search.predictions import predict_errors
from dnsearch.search.store import StudyStore

SIZES = ((300, 0), (1_000, 0), (2_000, 0), (2_000, 600))
"""Candidates trained to the top rung, and others stopped at a lower one."""

BRUTE_FORCE = 300
COSTS = ("macs", "params")
RUNGS = (1, 3, 9)
MODEL = CostModel((3, 32, 32))
IMAGES = 4000
SPACE = SearchSpace(
    growth_rate=tuple(range(4, 33, 4)),
    block_config=(tuple(range(1, 13)),) * 4,
    bn_size=(0, 2, 4),
    in_channels=3,
)

Floats = NDArray[np.float64]
T = TypeVar("T")


def main() -> None:
    """Prints seconds by the number of candidates, then the ratio to brute force."""
    record = Record("predictions", "python studies/performance/predictions.py")
    record("seconds   predictions        their figures and front probabilities")
    record("          computed  read     one cost  two costs     in all, one cost")
    for finished, screened in SIZES:
        record(measured(finished, screened))
    record()
    draws, cost = np.random.default_rng(0).random((4000, BRUTE_FORCE)), np.arange(BRUTE_FORCE)
    slow, expected = timed(lambda: brute_force(draws, cost[:, None]))
    fast, found = timed(lambda: front_probability(draws, cost[:, None]))
    assert np.allclose(found, expected)
    record(f"front probabilities of {BRUTE_FORCE}: {slow / fast:.0f} times faster than brute force")
    record.write()


def measured(finished: int, screened: int) -> str:
    """A line of the table: predictions of a search with so many candidates."""
    store = searched(finished, screened)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.npz"
        computed, found = timed(lambda: predict_errors(store, SPACE, MODEL, RUNGS, IMAGES, 0, file))
        read, _ = timed(lambda: predict_errors(store, SPACE, MODEL, RUNGS, IMAGES, 0, file))
    assert found is not None
    points = SPACE.points(np.random.default_rng(0), finished + screened)
    by_key = {points.config(i).key: i for i in range(len(points))}
    known = MODEL.of_points(points.take(np.array([by_key[key] for key in found.keys])))
    costs = np.stack([getattr(known, name) for name in COSTS], axis=1).astype(np.float64)
    one, _ = timed(lambda: found.described(found.keys, costs[:, :1]))
    two, _ = timed(lambda: found.described(found.keys, costs))
    named = f"{finished:,}" + (f" + {screened}" if screened else "")
    return f"{named:<12}{computed:6.2f}{read:6.2f}{one:13.2f}{two:11.2f}{computed + one:21.2f}"


def searched(finished: int, screened: int) -> StudyStore:
    """A search in memory: power laws of MACs with the noise of a seed, lower rungs 0.5 / epochs
    worse in log error."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    store, rng = StudyStore(None, ("error", *COSTS)), np.random.default_rng(1)
    points = SPACE.points(np.random.default_rng(0), finished + screened)
    macs = MODEL.of_points(points).macs
    of_space = distributions(SPACE)
    for i in rng.permutation(len(points)):
        rung = RUNGS[-1] if i < finished else RUNGS[i % 2]
        level = -1 - 0.2 * np.log(macs[i] / 1e6)
        errors = {r: float(np.exp(level + 0.5 / r + rng.normal(0, 0.05))) for r in RUNGS}
        values = points.values(int(i))
        trial = create_trial(
            state=TrialState.COMPLETE if rung == RUNGS[-1] else TrialState.PRUNED,
            params={name: values[name] for name in of_space} | {RUNG: rung},
            distributions=of_space | rung_distribution(RUNGS),
            values=[errors[rung], 1.0, 1.0] if rung == RUNGS[-1] else None,
            user_attrs={"errors": {r: error for r, error in errors.items() if r <= rung}},
        )
        store.logs[SEARCH].study.add_trial(trial)
    return store


def brute_force(errors: Floats, costs: Floats) -> Floats:
    """``front_probability``, candidate by candidate."""
    chance = np.ones(errors.shape[1])
    for i in range(errors.shape[1]):
        no_dearer = (costs <= costs[i]).all(axis=1)
        cheaper = no_dearer & (costs < costs[i]).any(axis=1)
        no_dearer[i] = False
        beaten = (errors[:, no_dearer] < errors[:, [i]]).any(axis=1)
        beaten |= (errors[:, cheaper] <= errors[:, [i]]).any(axis=1)
        chance[i] = 1 - beaten.mean()
    return chance


def timed(what: Callable[[], T]) -> tuple[float, T]:
    """Seconds that it takes, and what it gives."""
    started = time.perf_counter()
    found = what()
    return time.perf_counter() - started, found


if __name__ == "__main__":
    main()
