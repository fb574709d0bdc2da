"""How soon replayed searches find the least error within the limits.

    python studies/densenet-bench/least_error.py [bench:fashion14-growth]

The true error of the best network that was trained to the top so far, above that of the best one in
the table, in points: means of 20 replays, by compute in full trainings of mean size. The replays go
on when all hypervolume is found; ``known-cost, least-error`` is known-cost with that
``objectives.aim``.
"""

from __future__ import annotations

import itertools
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from unittest.mock import patch

import numpy as np

from dnsearch.arrays import Floats
from dnsearch.errors import DnsearchError
from dnsearch.machine import cpu_cores
from dnsearch.replay.files import read_table
from dnsearch.replay.measures import mean_training_macs
from dnsearch.replay.run import Recorder, replay
from dnsearch.replay.table import Table

SEEDS = 20
COMPUTE = (2, 4, 6, 8, 12, 16, 24)
AIM = "least-error"
SEARCHES = ("known-cost", f"known-cost, {AIM}", "frontier", "stratified", "tpe", "random")


def main(name: str = "bench:fashion14") -> None:
    """Prints a row a search."""
    table = read_table(name)
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    print(f"{table.name}: points above the least error, after so many full trainings")
    print(f"{'':26}" + "".join(f"{each:>7}" for each in COMPUTE))
    with ProcessPoolExecutor(cpu_cores(), get_context("spawn")) as pool:
        for search in SEARCHES:
            same = itertools.repeat(table), itertools.repeat(search)
            above = np.mean(list(pool.map(above_least, *same, range(SEEDS))), axis=0)
            print(f"{search:26}" + "".join(f"{100 * each:7.2f}" for each in above))


def above_least(table: Table, search: str, seed: int) -> Floats:
    """At each ``COMPUTE``, (n,); where nothing was trained it is the error of guessing."""
    sampler, _, aim = search.partition(", ")
    if aim:
        objectives = table.study.objectives.model_copy(update={"aim": aim})
        table = replace(table, study=table.study.model_copy(update={"objectives": objectives}))
    with patch.object(Recorder, "_found_all", lambda self: False):
        found = replay(table, sampler, seed, float(COMPUTE[-1]))
    truth, top = table.truth, table.rungs[-1]
    spent = found["train_macs"].to_numpy(np.float64).cumsum()
    spent /= mean_training_macs(truth["macs"], table.images, top)
    guessing = 1 - 1 / table.classes
    known = [
        key if rung == top else None for key, rung in zip(found["key"], found["rung"], strict=True)
    ]
    errors = truth["error"].reindex(known).fillna(guessing).to_numpy(np.float64)
    least = np.minimum.accumulate(np.concatenate([[guessing], errors]))
    return least[np.searchsorted(spent, COMPUTE, side="right")] - truth["error"].min()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except DnsearchError as error:
        sys.exit(f"error: {error}")
