"""What each part of known-cost is worth, on the architectures its constants were tuned on.

python studies/densenet-bench/ablations.py

The held-out fifth (see compare.py) is left aside. Prints the median compute, in full trainings of
mean size, to 95 and 99 % of the best known hypervolume on the log axis, default reference point.
"""

from __future__ import annotations

import itertools
import math
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from multiprocessing import get_context
from unittest.mock import patch

import numpy as np
import pandas as pd
from compare import NAME, held_out, only

from dnsearch.machine import cpu_cores
from dnsearch.replay.comparison import compare
from dnsearch.replay.files import read_table
from dnsearch.replay.measures import LEVELS
from dnsearch.replay.run import replay
from dnsearch.replay.table import FIGURES, Table
from dnsearch.report.strategies import amount
from dnsearch.search.design import stratified
from dnsearch.search.samplers import learner, weighing
from dnsearch.search.samplers.known_cost import KnownCostSampler

SEEDS, COMPUTE = 10, 25.0
_proposed = KnownCostSampler._proposed


def one_signal(name: str) -> AbstractContextManager[object]:
    """Lower rungs are judged by this figure alone, not by the mean of the logs of all three."""
    return patch.object(learner, "signal", lambda measured: math.log(max(measured[name], 1e-4)))


def design_first(count: int) -> AbstractContextManager[object]:
    """The first so many trials are stratified over log MACs, after the cheapest."""

    def proposed(self, outcomes):
        if len(outcomes) < count:
            macs, rng = self.pool.known.macs, np.random.default_rng(self.learner.seed)
            cheapest = int(np.argmin(macs))
            order = (i for i in stratified(macs, rng) if i != cheapest)
            first = [cheapest, *itertools.islice(order, count - 1)]
            return self.pool, first[len(outcomes)], self.rungs[-1]
        return _proposed(self, outcomes)

    return patch.object(KnownCostSampler, "_proposed", proposed)


def no_screening() -> AbstractContextManager[object]:
    """Everything is trained straight to the top."""
    return patch.object(weighing, "CAUTION", math.inf)


def caution(value: float) -> AbstractContextManager[object]:
    """Screening by another ``CAUTION``."""
    return patch.object(weighing, "CAUTION", value)


def no_lower_rungs() -> AbstractContextManager[object]:
    """The surrogate does not even see what lower rungs measured."""
    return patch.object(learner.Learner, "lower", {})


VARIANTS = {
    "as it is": nullcontext,
    "a stratified design first: 2 trials": lambda: design_first(2),
    "a stratified design first: 4 trials": lambda: design_first(4),
    "a stratified design first: 8 trials": lambda: design_first(8),
    "never screens": no_screening,
    "screens without caution": lambda: caution(1.0),
    "lower rungs unseen": no_lower_rungs,
    "lower rungs: validation error alone": lambda: one_signal("error"),
    "lower rungs: validation loss alone": lambda: one_signal("loss"),
    "lower rungs: training loss alone": lambda: one_signal("train_loss"),
}


NOISE_VARIANTS = ("as it is", "screens without caution", "never screens")


def noise_below_the_top(table: Table) -> Table:
    """The table with lower rungs that say nothing about the top one."""
    rows, rng = table.trainings.copy(), np.random.default_rng(0)
    lower = rows["rung"] < table.rungs[-1]
    for name in FIGURES:
        rows.loc[lower, name] = np.exp(rng.normal(-1, 0.3, int(lower.sum())))
    return replace(table, trainings=rows)


def main() -> None:
    """Prints a line for each variant."""
    whole = read_table(NAME)
    out = set(held_out(whole))
    table = only(whole, [key for key in whole.archs if key not in out])
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # there is a process for every core
    with ProcessPoolExecutor(cpu_cores(), get_context("spawn")) as pool:
        for words, tried, variants in (
            ("as recorded", table, list(VARIANTS)),
            ("lower rungs replaced by noise", noise_below_the_top(table), NOISE_VARIANTS),
        ):
            print(f"\n{words}: {len(table.truth)} architectures, {SEEDS} replays each")
            levels = "".join(f"{level:>8.0%}" for level in LEVELS[1:])
            print(f"{'':<38}{levels}   trainings   compute below the top rung")
            for line in pool.map(measured, itertools.repeat(tried), variants):
                print(line, flush=True)


def measured(table: Table, name: str) -> str:
    """The line of one variant: compute to each level, trainings, and the share of compute below the
    top rung."""
    with VARIANTS[name]():
        rows = pd.concat([replay(table, "known-cost", seed, COMPUTE) for seed in range(SEEDS)])
    found = compare(table, rows, ("known-cost",), range(SEEDS), COMPUTE)
    needed = [found.needed["known-cost", "log", level] for level in LEVELS[1:]]
    figures = "".join(f"{amount(n, '>'):>8}" for n in needed)
    trainings = rows.groupby("seed").size().median()
    screened = rows.loc[rows["rung"] < table.rungs[-1], "train_macs"].sum()
    share = screened / rows["train_macs"].sum()
    return f"{name:<38}{figures}{trainings:>12.0f}{share:>29.1%}"


if __name__ == "__main__":
    main()
