"""Search strategies compared on recorded trainings: the figures that the README quotes.

python studies/densenet-bench/compare.py                  # prints what was replayed last
python studies/densenet-bench/compare.py --replay         # replays first, for most of an hour

Beside the whole table it tells of the architectures that the sampler's own constants were never
tuned on (a seeded fifth, by key), and of a tighter reference point than the default: with the error
of guessing as reference, the cheapest network alone has most of the hypervolume.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

from dnsearch.analysis.replays import AXES, LEVELS
from dnsearch.report.comparison import Comparison, amount, compare, ratio
from dnsearch.rundir import cpu_cores
from dnsearch.search.replay import replays
from dnsearch.search.table import Table, read_table

NAME, SEEDS, COMPUTE = "bench:fashion14", 20, 40.0
SAMPLERS = ("known-cost", "mo-asha", "tpe", "nsga2", "gp", "random")
FOLDER = Path(__file__).parent / "replays"
TIGHT = 0.25
"""A reference error that only networks worth having are below."""

DEMANDED = (
    (0.95, ("tpe", "nsga2"), 10.0),
    (0.95, ("gp", "mo-asha"), 4.0),
    (0.99, tuple(name for name in SAMPLERS if name != "known-cost"), 3.0),
)
"""On the log axis: level, strategies, and how many times less compute known-cost should need."""


def held_out(table: Table) -> list[str]:
    """The architectures that no constant of the sampler was tuned on."""
    return [key for key in table.archs if int(key, 16) % 5 == 0]


def only(table: Table, keys: list[str]) -> Table:
    """The table of these architectures."""
    trainings = table.trainings[table.trainings["key"].isin(keys)]
    return replace(table, trainings=trainings, archs={key: table.archs[key] for key in keys})


def tight(table: Table) -> Table:
    """The same trainings, measured against a lower reference error."""
    objectives = table.study.objectives.model_copy(update={"reference": {"error": TIGHT}})
    return replace(table, study=table.study.model_copy(update={"objectives": objectives}))


def main(again: bool) -> None:
    whole = read_table(NAME)
    settings = {
        "whole": ("all architectures, the default reference point", whole),
        "held-out": (
            "never tuned on, the default reference point",
            only(whole, held_out(whole)),
        ),
        "tight": (f"all architectures, reference error {TIGHT:.0%}", tight(whole)),
    }
    for name, (words, table) in settings.items():
        path = FOLDER / f"{name}.parquet"
        if again:
            FOLDER.mkdir(exist_ok=True)
            replays(table, SAMPLERS, SEEDS, COMPUTE, cpu_cores()).to_parquet(path, index=False)
        found = compare(table, pd.read_parquet(path), SAMPLERS, range(SEEDS), COMPUTE)
        print(f"\n{words}: {len(table.truth)} architectures, {SEEDS} replays each")
        show(found)


def show(found: Comparison) -> None:
    """Compute by strategy, axis and level, then what was demanded against what was found."""
    for axis in AXES:
        print(f"  median full trainings of mean size, {axis} axis")
        print("    " + " " * 12 + "".join(f"{level:>16.0%}" for level in LEVELS))
        for sampler in found.samplers:
            needed = [found.needed[sampler, axis, level] for level in LEVELS]
            cells = [f"{amount(n, '>')} ({n.reached}/{SEEDS})" for n in needed]
            print(f"    {sampler:<12}" + "".join(f"{cell:>16}" for cell in cells))
    for level, samplers, demanded in DEMANDED:
        for sampler in samplers:
            times = found.times(sampler, "log", level)
            met = "met" if times >= demanded else "not met"
            print(
                f"  {level:.0%}: {sampler} needs {ratio(found, sampler, 'log', level)} "
                f"as much; {demanded:g} demanded: {met}"
            )


if __name__ == "__main__":
    main("--replay" in sys.argv[1:])
