"""Is one answer from search and confirmation together better than either alone?

python studies/densenet-bench/confirmed.py [bench:fashion14]

Searches are replayed with trainings of 3 epochs, then stopped. 16 networks, the front and a sample
spread over cost, are "confirmed": their 9-epoch errors with two other seeds are read from the
table. What is chosen and predicted then is compared with 9-epoch errors of seeds that nobody was
shown. The test images are those of validation here, as no others were recorded.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
from calibration import seed_noise_of
from compare import NAME

from dnsearch.analysis.confidence import LEVEL, front_probability
from dnsearch.machine import cpu_cores
from dnsearch.replay.files import read_table
from dnsearch.replay.run import engine_of, problem_of
from dnsearch.replay.table import Table
from dnsearch.search.confirmed import with_confirmed
from dnsearch.search.predictions import predict_errors

SEARCHES, TRAININGS, CONFIRMED, SEEDS = 20, (15, 30), 16, 2
SHORT = (1, 3)
IMAGES = 4000


class Found(NamedTuple):
    """inside: whether the unseen seed's error lies in the 90 % interval, of confirmed networks and
    of the others. regret: in points, of the choice by the search, by the confirmed seeds alone, and
    by both together; and of the least measured error of the search, the simplest rule."""

    inside: tuple[list[bool], list[bool]]
    regret: tuple[float, float, float, float]


def shortened(table: Table) -> Table:
    """The same trainings, to 3 epochs."""
    training = table.study.training.model_copy(update={"rungs": SHORT})
    study = table.study.model_copy(update={"training": training})
    rows = table.trainings[table.trainings["rung"] <= SHORT[-1]]
    return replace(table, study=study, rungs=SHORT, trainings=rows)


def with_all_seeds(table: Table) -> Table:
    """Of the architectures with four full trainings, so that one is left that nobody was shown."""
    full = table.trainings[table.trainings["rung"] == table.rungs[-1]]
    count = full[np.isfinite(full["error"])].groupby("key").size()
    rows = table.trainings[table.trainings["key"].isin(count.index[count >= SEEDS + 2])]
    return replace(table, trainings=rows)


def tried(table: Table, seed: int, trainings: int) -> Found | None:
    """One search with its confirmation."""
    short, noise = shortened(table), seed_noise_of(table)
    problem = problem_of(short)
    engine = engine_of(short, problem, "known-cost", seed, trainings)
    engine.run(lambda progress: None)
    store = engine.store
    before = predict_errors(store, problem.space, problem.model, SHORT, IMAGES, seed)
    if before is None:
        return None
    full = table.trainings[table.trainings["rung"] == table.rungs[-1]].set_index("key")
    seen = {r.job.arch.key: r for r in store.records() if r.values}
    macs = np.array([table.truth.loc[key, "macs"] for key in before.keys], dtype=float)
    rng = np.random.default_rng(seed)
    others = {key: _others(full, key, seen[key].job.seed, rng) for key in before.keys}
    front = np.flatnonzero(front_probability(before.error[None], macs[:, None]))
    rest = np.setdiff1d(np.argsort(macs), front)
    some = [*front[: CONFIRMED // 2], *_spread(rest, CONFIRMED - min(len(front), CONFIRMED // 2))]
    tests = {before.keys[i]: others[before.keys[i]][:SEEDS] for i in some}
    joint = with_confirmed(before, tests, np.log(macs), IMAGES, table.rungs[-1], rng)
    unseen = np.array([np.mean(others[key][SEEDS:]) for key in before.keys])
    spread = noise / np.sqrt([len(others[key]) - SEEDS for key in before.keys])
    draws = joint.draws * np.exp(spread * rng.standard_normal(joint.draws.shape))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    inside = (low <= unseen) & (unseen <= high)
    is_confirmed = np.isin(np.arange(len(unseen)), some)
    measured = np.array([seen[key].score.error for key in before.keys])
    means = [np.mean(tests[before.keys[i]]) for i in some]
    choices = before.error.argmin(), some[int(np.argmin(means))], joint.error.argmin()
    regret = [100 * (unseen[i] - unseen.min()) for i in (*choices, measured.argmin())]
    return Found((list(inside[is_confirmed]), list(inside[~is_confirmed])), tuple(regret))


def _others(full, key: str, seed: int, rng: np.random.Generator) -> np.ndarray:
    """The full errors of the seeds that the search was not shown, in random order."""
    rows = full.loc[[key]]
    errors = rows["error"][rows["seed"] != seed].to_numpy(dtype=float)
    return rng.permutation(errors[np.isfinite(errors)])


def _spread(places: np.ndarray, count: int) -> list[int]:
    if not len(places):
        return []
    return list(places[np.unique(np.linspace(0, len(places) - 1, count).round().astype(int))])


def main(name: str = NAME) -> None:
    """Replays all searches and prints coverage and regret."""
    table = with_all_seeds(read_table(name))
    with ProcessPoolExecutor(cpu_cores(), get_context("spawn")) as pool:
        for trainings in TRAININGS:
            jobs = [pool.submit(tried, table, seed, trainings) for seed in range(SEARCHES)]
            found = [each for job in jobs if (each := job.result()) is not None]
            inside = [np.mean(np.concatenate([each.inside[i] for each in found])) for i in (0, 1)]
            regret = np.array([each.regret for each in found])
            error = regret.std(axis=0) / np.sqrt(len(found))
            print(f"{trainings} trainings of a search, {len(found)} searches")
            print(
                f"  90 % intervals hold {100 * inside[0]:.0f} % of confirmed networks, "
                f"{100 * inside[1]:.0f} % of the others"
            )
            names = ("search alone", "confirmed alone", "together", "least measured error")
            for label, mean, own in zip(names, regret.mean(axis=0), error, strict=True):
                print(f"  regret of {label:21} {mean:.2f} ± {own:.2f} points")


if __name__ == "__main__":
    main(*sys.argv[1:])
