"""Do statements of so much per cent hold as often? Searches replayed on recorded trainings.

python studies/densenet-bench/calibration.py [bench:fashion14]

A search is stopped after some trainings; what it then predicts of its candidates is held against
their record, the mean over the seeds that it was not shown. That mean has luck of its own, as large
as the table's seeds say, whatever the search predicts: it is added to the draws, so that what is
judged are predictions of the record. How far off they are without that luck is told beside. That
hyper-parameters are drawn was decided on the architectures that are tuned on; those never tuned on,
a fifth (see compare.py), are told apart.
"""

from __future__ import annotations

import itertools
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from compare import NAME, held_out, only

from dnsearch.analysis.confidence import best_probability, expected_regret, front_probability
from dnsearch.replay.files import read_table
from dnsearch.replay.run import engine_of, problem_of
from dnsearch.replay.table import Table
from dnsearch.rundir import cpu_cores
from dnsearch.search.predictions import predict_errors

SEARCHES, TRAININGS = 20, (15, 30, 60)
SAMPLERS = ("known-cost", "random")
LEVELS = (0.5, 0.7, 0.9)
BUDGETS = (0.25, 0.5, 1.0)
"""Quantiles of the candidates' MACs that "the best within a budget" is asked for."""

BINS = ((0.0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.0))


@dataclass(frozen=True)
class Found:
    """Of one stopped search: one row a statement, what was said and what is true. ``keys`` are the
    candidates'; a flattery is the log of an error over the true one."""

    keys: np.ndarray  # (candidates,)
    inside: np.ndarray  # (candidates, levels): whether the truth lies in each interval
    squares: np.ndarray  # (candidates, 2): variance of log error, predicted and found
    on_front: np.ndarray  # (candidates, 2): probability, truth
    best: np.ndarray  # (candidates and budgets, 2)
    regret: np.ndarray  # (budgets, 2): expected, found
    flattery: np.ndarray  # (candidates, 2): of the measured error, of the predicted
    front: np.ndarray  # (measured front,): positions among the candidates
    least: np.ndarray  # (budgets,): of the least measured error


def luck_of(table: Table) -> float:
    """The standard deviation of log error over the seeds of one architecture."""
    errors = np.log(table.replicates("error")[:, :, -1])
    freedom = np.isfinite(errors).sum() - len(errors)
    return float(np.sqrt(np.nansum((errors - np.nanmean(errors, 1, keepdims=True)) ** 2) / freedom))


def stopped(table: Table, luck: float, sampler: str, seed: int, trainings: int) -> Found | None:
    """None where most trainings ended at a lower rung, so that nothing is said."""
    problem = problem_of(table)
    engine = engine_of(table, problem, sampler, seed, trainings)
    engine.run(lambda progress: None)
    store = engine.store
    predictions = predict_errors(store, problem.space, problem.model, problem.rungs, seed)
    if predictions is None:
        return None
    rows = table.truth.loc[list(predictions.keys)]
    macs = rows[["macs"]].to_numpy(dtype=float)
    scores = {r.job.arch.key: r.score.error for r in store.records() if r.values}
    measured = np.array([scores[key] for key in predictions.keys], dtype=float)
    others = rows["seeds"].to_numpy() - 1
    truth = (rows["error"].to_numpy() * (others + 1) - measured) / others
    own = luck / np.sqrt(others)  # of the truth
    rng = np.random.default_rng(seed)
    recorded = predictions.draws * np.exp(own * rng.standard_normal(predictions.draws.shape))
    spans = [np.quantile(recorded, [(1 - p) / 2, (1 + p) / 2], axis=0) for p in LEVELS]
    inside = np.stack([(low <= truth) & (truth <= high) for low, high in spans], axis=1)
    flattery = np.log(np.stack([measured, predictions.error], axis=1) / truth[:, None])
    squares = np.stack(
        [np.log(predictions.draws).var(axis=0), flattery[:, 1] ** 2 - own**2], axis=1
    )
    on_front = np.stack([front_probability(each, macs) for each in (recorded, truth[None])], axis=1)
    best, regret, least = [], [], []
    for share in BUDGETS:
        allowed = macs[:, 0] <= np.quantile(macs, share)
        says, is_so = (best_probability(each, allowed) for each in (recorded, truth[None]))
        best.append(np.stack([says, is_so], axis=1)[allowed])
        within = np.flatnonzero(allowed)
        chosen = int(within[predictions.error[within].argmin()])
        regret.append([expected_regret(each, allowed, chosen) for each in (recorded, truth[None])])
        least.append(int(within[measured[within].argmin()]))
    return Found(
        keys=np.array(predictions.keys),
        inside=inside,
        squares=squares,
        on_front=on_front,
        best=np.concatenate(best),
        regret=np.array(regret),
        flattery=flattery,
        front=np.flatnonzero(front_probability(measured[None], macs)),
        least=np.array(least),
    )


def main(name: str = NAME) -> None:
    whole = read_table(name)
    luck, held = luck_of(whole), held_out(whole)
    print(f"luck of a seed: {luck:.2%} of the error")
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(cpu_cores(), get_context("spawn")) as pool:
        tuned = only(whole, [key for key in whole.archs if key not in held])
        parts = (("tuned on", tuned), ("never tuned on", only(whole, held)))
        for (words, table), sampler in itertools.product(parts, SAMPLERS):
            counts = [count for count in TRAININGS if count < len(table.truth)]
            tasks = list(itertools.product(range(SEARCHES), counts))
            same = (itertools.repeat(each) for each in (table, luck, sampler))
            every = pool.map(stopped, *same, *zip(*tasks, strict=True))
            found = [each for each in every if each is not None]
            print(
                f"\n{words}: {len(table.truth)} architectures, {sampler}, {len(found)} searches "
                f"stopped after {', '.join(map(str, counts))} trainings"
            )
            show(found)


def show(found: list[Found]) -> None:
    keys = np.concatenate([each.keys for each in found])
    inside = np.concatenate([each.inside for each in found])
    shares = (f"{p:.0%}: {mean(inside[:, i], keys)}" for i, p in enumerate(LEVELS))
    print(
        f"  the record inside its interval, %   {', '.join(shares)}   ({len(inside):,} statements)"
    )
    predicted, real = np.concatenate([each.squares for each in found]).mean(axis=0)
    wide = f"{np.sqrt(real / predicted):.2f}" if real > 0 else "no"
    print(f"  without the record's luck, misses are {wide} times as wide as predicted")
    for words, name in (("on the front", "on_front"), ("best within a budget", "best")):
        pairs = np.concatenate([getattr(each, name) for each in found])
        print(f"  {words}: said, and found true (statements)")
        for low, high in BINS:
            some = (pairs[:, 0] >= low) & ((pairs[:, 0] < high) | (high == 1.0))
            if some.any():
                said, true = pairs[some].mean(axis=0)
                print(f"    {said:>6.1%} {true:>7.1%}   ({some.sum():,})")
    expected, real = np.concatenate([each.regret for each in found]).mean(axis=0)
    print(f"  regret of the pick: {100 * expected:.2f} points expected, {100 * real:.2f} found")
    for words, name in (("measured front's errors", "front"), ("least error measured", "least")):
        rows = [
            (each.flattery[getattr(each, name)], each.keys[getattr(each, name)]) for each in found
        ]
        off, keys = (np.concatenate(column) for column in zip(*rows, strict=True))
        print(
            f"  % off the truth, {words}: measured {mean(off[:, 0], keys, '+.2f')}, "
            f"predicted {mean(off[:, 1], keys, '+.2f')}"
        )


def mean(values: np.ndarray, keys: np.ndarray, form: str = ".1f") -> str:
    """In per cent, with a standard error that counts an architecture once: searches come back to
    the same ones, whose record is the same."""
    centre = values.mean()
    _, place = np.unique(keys, return_inverse=True)
    error = np.sqrt((np.bincount(place, values - centre) ** 2).sum()) / len(values)
    return f"{100 * centre:{form}} ± {100 * error:{form.removeprefix('+')}}"


if __name__ == "__main__":
    main(*sys.argv[1:])
