"""What ``search.until`` saves, and how often its statement holds, tried on replayed searches.

python studies/densenet-bench/until.py [bench:fashion14 [replays [points ...]]]

A replay ends once it is 90 % sure that no recorded architecture has an error of more than so many
points (by default 0.2, 0.5 and 1) below that of the one it would recommend. Compute is in full trainings of mean size, so that
training every architecture once takes as many as there are.

Whether that holds cannot be read off the table: its errors are means of two to four seeds, and the
least of some hundred noisy means is lower than the least true error, by more than the regrets that
are asked about here, so a true statement would often count as false. The better estimate is the
probability that it holds given *all* recorded trainings, of all architectures and all seeds, by the
surrogate's posterior: where a search states 90 % rightly, that is 90 % in the mean over searches.
It shares the surrogate's assumptions, so what the recorded means say is printed beside it.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
from compare import NAME, TIGHT, tight

from dnsearch.config import UntilConfig
from dnsearch.replay.files import read_table
from dnsearch.replay.run import engine_of, problem_of
from dnsearch.replay.table import FIGURES, Table
from dnsearch.rundir import cpu_cores
from dnsearch.search.regret import SETTINGS, Enough, Errors, Feasible
from dnsearch.search.samplers.history import Outcome
from dnsearch.search.store import Record

SAMPLER, SEEDS, PROBABILITY = "known-cost", 20, 0.9
REGRETS = (0.2, 0.5, 1.0)
"""Points of error."""


class Stop(NamedTuple):
    """Where a replay ended: the regret that it was to state (points), the full trainings and the
    compute by then, the network it would recommend, and the probability that it was sure with."""

    regret: float
    trainings: int
    compute: float
    key: str
    stated: float


class Remembering(Feasible):
    """Errors are computed once for all regrets that are asked about."""

    def errors(
        self,
        outcomes: Sequence[Outcome],
        records: Sequence[Record] = (),
        settings: int = SETTINGS,
    ) -> Errors | None:
        """See ``Feasible``."""
        if (len(outcomes), settings) != getattr(self, "asked", None):
            self.asked = len(outcomes), settings
            self.found = super().errors(outcomes, records, settings)
        return self.found


def replayed(table: Table, regrets: Sequence[float], seed: int) -> list[Stop]:
    """One replay, until the last of the regrets can be stated; those that never can are missing."""
    problem = problem_of(table)
    engine = engine_of(table, problem, SAMPLER, seed)
    feasible = Remembering(problem, math.inf, seed)
    left = {
        regret: Enough(engine.store, feasible, UntilConfig(regret=regret, probability=PROBABILITY))
        for regret in sorted(regrets, reverse=True)
    }
    stops: list[Stop] = []

    def enough() -> str | None:
        for regret, asked in list(left.items()):
            if asked() is not None:
                del left[regret]
                errors = feasible.found
                assert errors is not None
                sure = float((100 * errors.regret(errors.least) <= regret).mean())
                records = engine.store.records()
                full = sum(record.values is not None for record in records)
                stops.append(Stop(regret, full, spent(records, table), errors.least, sure))
        return None if left else "all are stated"

    engine.enough = enough
    engine.run(lambda progress: None)
    return stops


def spent(records: Sequence[Record], table: Table) -> float:
    """Compute of these trainings, in full trainings of mean size; a promotion goes on with what was
    trained before it."""
    epochs: dict[tuple[str, int], int] = {}
    for record in records:
        training = record.job.arch.key, record.job.seed
        epochs[training] = max(epochs.get(training, 0), record.job.rung)
    macs = table.truth["macs"]
    unit = macs.mean() * table.rungs[-1]
    return float(sum(macs[key] * length for (key, _), length in epochs.items()) / unit)


def known(table: Table) -> Errors:
    """What all recorded trainings together say of all architectures."""
    problem = problem_of(table)
    trainings = [
        (arch, seed, rungs)
        for arch in problem.points
        for seed, rungs in table.scores[arch.key].items()
        if table.rungs[-1] in rungs and rungs[table.rungs[-1]].failure is None
    ]
    outcomes = [
        Outcome(
            number,
            problem.space.values_of(arch) or {},
            table.rungs[-1],
            seed=seed,
            signals={
                rung: {name: getattr(score, name) for name in FIGURES}
                for rung, score in rungs.items()
            },
        )
        for number, (arch, seed, rungs) in enumerate(trainings)
    ]
    errors = Feasible(problem, math.inf, 0).errors(outcomes)
    assert errors is not None
    return errors


def main(name: str = NAME, seeds: str = str(SEEDS), *points: str) -> None:
    """Replays the searches on a table, and prints what was saved and how often it held."""
    table, regrets = read_table(name), [*map(float, points)] or REGRETS
    whole = known(table)
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    parts = (("the default reference point", table), (f"reference error {TIGHT:.0%}", tight(table)))
    for words, part in parts:
        with ProcessPoolExecutor(cpu_cores(), get_context("spawn")) as pool:
            same = itertools.repeat(part), itertools.repeat(regrets)
            found = list(pool.map(replayed, *same, range(int(seeds))))
        print(f"{table.name}: {len(table.truth)} architectures, {words}, {len(found)} replays")
        for regret in regrets:
            show(regret, [s for stops in found for s in stops if s.regret == regret], table, whole)


def show(regret: float, stops: Sequence[Stop], table: Table, whole: Errors) -> None:
    """Prints one line for those that could state this regret, and one for what came of it."""
    print(f"  regret {regret:g}, probability {PROBABILITY:g}: stated in {len(stops)} replays")
    if not stops:
        return
    compute = np.array([stop.compute for stop in stops])
    shares = 100 * compute / len(table.truth)
    trained = np.array([stop.trainings for stop in stops])
    print(
        f"    full trainings {spread(trained, '.0f')}; compute {spread(compute, '.1f')} full "
        f"trainings of mean size, {spread(shares, '.1f')} % of training every architecture once"
    )
    true = [100 * whole.regret(stop.key) for stop in stops]
    held = np.mean([(each <= regret).mean() for each in true])
    recorded = 100 * (table.truth["error"] - table.truth["error"].min())
    raw = np.array([recorded[stop.key] for stop in stops])
    print(
        f"    stated {100 * np.mean([stop.stated for stop in stops]):.1f} % sure; held by all "
        f"trainings {100 * held:.1f} %, by recorded means {100 * (raw <= regret + 1e-9).mean():.1f}"
        f" %; regret {np.mean(true):.2f} points by all trainings, {raw.mean():.2f} by recorded "
        "means (means)"
    )


def spread(values: np.ndarray, form: str) -> str:
    """The median and the range."""
    return f"{np.median(values):{form}} ({values.min():{form}} to {values.max():{form}})"


if __name__ == "__main__":
    main(*sys.argv[1:])
