"""Do statements of so much per cent hold as often? Searches replayed on recorded trainings.

python studies/densenet-bench/calibration.py [bench:fashion14]

A search is stopped after some trainings; what it then believes of its candidates is held against
their truth, the mean over the recorded seeds that it was not shown. Nothing of the surrogate was
tuned on these statements; the held-out fifth (see compare.py) is told apart all the same.
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
from dnsearch.rundir import cpu_cores
from dnsearch.search.beliefs import believe
from dnsearch.search.replay import engine_of, problem_of
from dnsearch.search.table import Table, read_table

SEARCHES, TRAININGS = 15, (15, 30, 60)
SAMPLERS = ("known-cost", "random")
LEVELS = (0.5, 0.7, 0.9)
BUDGETS = (0.25, 0.5, 1.0)
"""Quantiles of the candidates' MACs that "the best within a budget" is asked for."""

BINS = ((0.0, 0.1), (0.1, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.95), (0.95, 1.0))


@dataclass(frozen=True)
class Found:
    """Of one stopped search: one row a statement, what was said and what is true."""

    inside: np.ndarray  # (candidates, levels): whether the truth lies in each interval
    on_front: np.ndarray  # (candidates, 2): probability, truth
    best: np.ndarray  # (candidates and budgets, 2)
    regret: np.ndarray  # (budgets, 2): expected, found
    flattery: np.ndarray  # (measured front, 2): log of measured, and of believed, over true error


def stopped(table: Table, sampler: str, seed: int, trainings: int) -> Found | None:
    """None where most trainings ended at a lower rung, so that nothing is said."""
    problem = problem_of(table)
    engine = engine_of(table, problem, sampler, seed, trainings)
    engine.run(lambda progress: None)
    store = engine.store
    beliefs = believe(store, problem.space, problem.model, problem.rungs, seed)
    if beliefs is None:
        return None
    rows = table.truth.loc[list(beliefs.keys)]
    macs = rows[["macs"]].to_numpy(dtype=float)
    scores = {r.job.arch.key: r.score.error for r in store.records() if r.values}
    measured = np.array([scores[key] for key in beliefs.keys], dtype=float)
    others = rows["seeds"].to_numpy() - 1
    truth = (rows["error"].to_numpy() * (others + 1) - measured) / others
    rng = np.random.default_rng(seed)
    # That truth is itself the mean of a few seeds, with luck of its own.
    luck = beliefs.noise / np.sqrt(others) * rng.standard_normal(beliefs.draws.shape)
    recorded = beliefs.draws * np.exp(luck)
    spans = [np.quantile(recorded, [(1 - p) / 2, (1 + p) / 2], axis=0) for p in LEVELS]
    inside = np.stack([(low <= truth) & (truth <= high) for low, high in spans], axis=1)
    on_front = np.stack(
        [front_probability(recorded, macs), front_probability(truth[None], macs)], axis=1
    )
    best, regret = [], []
    for share in BUDGETS:
        allowed = macs[:, 0] <= np.quantile(macs, share)
        says = best_probability(recorded, allowed)[allowed]
        best.append(np.stack([says, best_probability(truth[None], allowed)[allowed]], axis=1))
        chosen = int(np.flatnonzero(allowed)[beliefs.error[allowed].argmin()])
        regret.append([expected_regret(d, allowed, chosen) for d in (recorded, truth[None])])
    front = front_probability(measured[None], macs) == 1
    flattery = np.log(np.stack([measured, beliefs.error], axis=1) / truth[:, None])[front]
    return Found(inside, on_front, np.concatenate(best), np.array(regret), flattery)


def main(name: str = NAME) -> None:
    whole = read_table(name)
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(cpu_cores(), get_context("spawn")) as pool:
        parts = (("all", whole), ("never tuned on", only(whole, held_out(whole))))
        for (words, table), sampler in itertools.product(parts, SAMPLERS):
            counts = [count for count in TRAININGS if count < len(table.truth)]
            tasks = list(itertools.product(range(SEARCHES), counts))
            same = itertools.repeat(table), itertools.repeat(sampler)
            every = pool.map(stopped, *same, *zip(*tasks, strict=True))
            found = [each for each in every if each is not None]
            print(
                f"\n{words}: {len(table.truth)} architectures, {sampler}, {len(found)} searches "
                f"stopped after {', '.join(map(str, counts))} trainings"
            )
            show(found)


def show(found: list[Found]) -> None:
    inside = np.concatenate([each.inside for each in found])
    shares = ", ".join(
        f"{level:.0%}: {share:.1%}"
        for level, share in zip(LEVELS, inside.mean(axis=0), strict=True)
    )
    print(f"  true error inside its interval   {shares}   ({len(inside):,} statements)")
    for words, name in (("on the front", "on_front"), ("best within a budget", "best")):
        pairs = np.concatenate([getattr(each, name) for each in found])
        print(f"  {words}: said, and found true (statements)")
        for low, high in BINS:
            inside = (pairs[:, 0] >= low) & ((pairs[:, 0] < high) | (high == 1.0))
            if inside.any():
                said, true = pairs[inside].mean(axis=0)
                print(f"    {said:>6.1%} {true:>7.1%}   ({inside.sum():,})")
    expected, real = np.concatenate([each.regret for each in found]).mean(axis=0)
    print(f"  regret of the pick: {100 * expected:.2f} points expected, {100 * real:.2f} found")
    measured, believed = np.concatenate([each.flattery for each in found]).mean(axis=0)
    print(
        f"  the measured front's errors are {100 * measured:+.2f} % off the truth, what is "
        f"believed of them {100 * believed:+.2f} %"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
