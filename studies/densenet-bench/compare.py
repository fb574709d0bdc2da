"""Search strategies compared on recorded trainings: the figures that the README quotes.

python studies/densenet-bench/compare.py                     # prints what was replayed last
python studies/densenet-bench/compare.py --replay            # replays what is not there yet first
python studies/densenet-bench/compare.py --replay held-out   # or one part of it
python studies/densenet-bench/compare.py bench:fashion14-growth    # another table, never tuned on

Beside the whole table there are three harder comparisons: on the architectures that the sampler's
own constants were never tuned on (a fifth, chosen by key); with a tighter reference point, since
with the error of guessing the cheapest network alone has most of the hypervolume; and with Optuna's
samplers given the logarithm of the cost, the axis that hypervolume is measured on.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import pandas as pd

from dnsearch.machine import cpu_cores
from dnsearch.replay.comparison import Comparison, compare
from dnsearch.replay.files import BENCH, read_table
from dnsearch.replay.measures import AXES, LEVELS
from dnsearch.replay.run import replay, replays
from dnsearch.replay.table import Table
from dnsearch.report.strategies import amount, ratio
from dnsearch.search.engine import Engine

NAME, SEEDS, COMPUTE = "bench:fashion14", 20, 60.0
SAMPLERS = (
    "known-cost", "frontier", "mo-asha", "tpe", "nsga2", "random", "stratified",
    "gp",  # takes longest by far, and is replayed where it is named: --replay gp
)  # fmt: skip
OPTUNAS = ("tpe", "nsga2", "gp")
FOLDER = Path(__file__).parent / "replays"
TIGHT = {"cifar16": 0.65}
"""A reference error a little above that of the worst network, in place of the error of guessing:
what is found below it was worth finding. Of the others it is ``FASHION``."""

FASHION = 0.25

DEMANDED = (
    (0.95, ("tpe", "nsga2"), 10.0),
    (0.95, ("gp", "mo-asha"), 4.0),
    (0.99, tuple(name for name in SAMPLERS if name != "known-cost"), 3.0),
)
"""On the log axis: level, strategies, and how many times less compute known-cost should need."""

_values = Engine._values


def held_out(table: Table) -> list[str]:
    """The architectures that no constant of the sampler was tuned on."""
    return [key for key in table.archs if int(key, 16) % 5 == 0]


def only(table: Table, keys: list[str]) -> Table:
    """The table of these architectures."""
    trainings = table.trainings[table.trainings["key"].isin(keys)]
    return replace(table, trainings=trainings, archs={key: table.archs[key] for key in keys})


def tight(table: Table) -> Table:
    """The same trainings, measured against a lower reference error."""
    reference = {"error": TIGHT.get(table.name, FASHION)}
    objectives = table.study.objectives.model_copy(update={"reference": reference})
    return replace(table, study=table.study.model_copy(update={"objectives": objectives}))


def as_they_are(table: Table, sampler: str) -> pd.DataFrame:
    """Trajectories of a strategy as ``dnsearch replay`` runs it."""
    return replays(table, [sampler], SEEDS, COMPUTE, cpu_cores())


def given_logarithms(table: Table, sampler: str) -> pd.DataFrame:
    """Trajectories of Optuna's samplers given log costs; of the others, as they are."""
    if sampler not in OPTUNAS:
        return as_they_are(table, sampler)
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(cpu_cores(), get_context("spawn")) as pool:
        same = itertools.repeat(table), itertools.repeat(sampler)
        return pd.concat(pool.map(given_logarithm, *same, range(SEEDS)))


def given_logarithm(table: Table, sampler: str, seed: int) -> pd.DataFrame:
    """One trajectory of a sampler that is given log costs."""

    def logarithms(self, job, score):
        error, *costs = _values(self, job, score)
        return [error, *map(math.log10, costs)]

    with patch.object(Engine, "_values", logarithms):
        return replay(table, sampler, seed, COMPUTE)


Part = tuple[str, Callable[[Table], Table], Callable[[Table, str], pd.DataFrame]]
PARTS: dict[str, Part] = {
    "whole": ("all architectures, the default reference point", lambda t: t, as_they_are),
    "held-out": (
        "never tuned on, the default reference point",
        lambda t: only(t, held_out(t)),
        as_they_are,
    ),
    "tight": ("all architectures, a tight reference error", tight, as_they_are),
    "told-log": ("all architectures, Optuna given log costs", lambda t: t, given_logarithms),
}


def main(*arguments: str) -> None:
    """Replays what is missing, where asked to, and prints each part."""
    recorded = next((word for word in arguments if word.startswith(BENCH)), NAME)
    whole = read_table(recorded)
    folder = FOLDER if recorded == NAME else FOLDER / recorded.removeprefix(BENCH)
    asked = [word for word in arguments if word in PARTS]
    for name in asked or (PARTS if recorded == NAME else ("whole", "tight")):
        words, part, run = PARTS[name]
        table = part(whole)
        paths = {sampler: folder / f"{name}-{sampler}.parquet" for sampler in SAMPLERS}
        for sampler, path in paths.items():
            wanted = "--replay" in arguments and (sampler != "gp" or "gp" in arguments)
            if wanted and not path.is_file():
                folder.mkdir(exist_ok=True)
                run(table, sampler).to_parquet(path, index=False)
        done = [pd.read_parquet(path) for path in paths.values() if path.is_file()]
        if not done:
            print(f"\n{words}: not replayed yet, see --replay")
            continue
        rows = pd.concat(done)
        found = compare(table, rows, list(rows["sampler"].unique()), range(SEEDS), COMPUTE)
        if part is tight:
            words = f"{words}: {table.study.objectives.reference['error']:.0%}"
        print(f"\n{words}: {len(table.truth)} architectures, {SEEDS} replays each")
        show(found)


def show(found: Comparison) -> None:
    """Compute by strategy, axis and level, then what was demanded against what was found."""
    for axis in AXES:
        print(f"  median full trainings of mean size, {axis} axis")
        heads = [f"{level:.0%}" for level in LEVELS] + ["times at 95%"]
        print("    " + " " * 12 + "".join(f"{head:>16}" for head in heads))
        for sampler in found.samplers:
            needed = [found.needed[sampler, axis, level] for level in LEVELS]
            cells = [f"{amount(n, '>')} ({n.reached}/{SEEDS})" for n in needed]
            times = ratio(found, sampler, axis) if sampler != found.baseline else ""
            print(f"    {sampler:<12}" + "".join(f"{c:>16}" for c in cells) + f"{times:>16}")
    for level, samplers, demanded in DEMANDED:
        for sampler in samplers:
            if sampler not in found.samplers:
                continue
            met = "met" if found.times(sampler, "log", level).value >= demanded else "not met"
            times = ratio(found, sampler, "log", level) or "an unknown number of"
            print(f"  {level:.0%}: {sampler} needs {times} times as much; {demanded:g}: {met}")


if __name__ == "__main__":
    main(*sys.argv[1:])
