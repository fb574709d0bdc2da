"""What ``search.until`` saves, and how often its statement holds, tried on replayed searches.

python studies/densenet-bench/until.py [bench:fashion14] [--regrets 0.2 0.5 1] [--parts halves]

A replay ends once it is 90 % sure that no recorded architecture has an error of more than so many
points below that of the one it would recommend. Compute is in full trainings of mean size, so that
training every architecture once takes as many as there are. On a whole table all replays are after
the same few best networks, so how often they are right is hardly more than one trial; among random
halves of its architectures, another half for each replay, the best is another one each time.

Whether that holds cannot be read off the table: its errors are means of two to four seeds, and the
least of some hundred noisy means is lower than the least true error, by more than the regrets that
are asked about here, so a true statement would often count as false. The better estimate is the
probability that it holds given *all* recorded trainings, of all architectures and all seeds, by the
surrogate's posterior: where a search states 90 % rightly, that is 90 % in the mean over searches.
It shares the surrogate's assumptions, so what the recorded means say is printed beside it.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
from compare import NAME, only, tight

from dnsearch.config import UntilConfig
from dnsearch.machine import cpu_cores
from dnsearch.replay.files import read_table
from dnsearch.replay.run import engine_of, problem_of
from dnsearch.replay.table import FIGURES, Table
from dnsearch.search.predictions import SETTINGS
from dnsearch.search.regret import Errors, Feasible
from dnsearch.search.samplers.history import Outcome
from dnsearch.search.stopping import Enough
from dnsearch.search.store import Record
from dnsearch.seeds import derived_seed

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
    feasible = Remembering.of(problem, math.inf, seed)
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
    macs = dict(table.truth["macs"].items())
    spent = sum(macs[key] * length for (key, _), length in epochs.items())
    return float(spent / (table.truth["macs"].mean() * table.rungs[-1]))


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
    errors = Feasible.of(problem, math.inf, 0).errors(outcomes)
    assert errors is not None
    return errors


def half(table: Table, seed: int) -> Table:
    """A random half of the architectures."""
    rng = np.random.default_rng(derived_seed("half of a table", seed))
    keys = sorted(table.archs)
    return only(table, [keys[i] for i in np.sort(rng.permutation(len(keys))[: len(keys) // 2])])


PARTS: dict[str, tuple[str, Callable[[Table, int], Table]]] = {
    "whole": ("the default reference point", lambda table, _: table),
    "tight": ("a tight reference error", lambda table, _: tight(table)),
    "halves": ("a random half each, a tight reference error", lambda t, s: half(tight(t), s)),
}


def main() -> None:
    """Replays the searches on a table, and prints what was saved and how often it held."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("table", nargs="?", default=NAME)
    asked.add_argument("--replays", type=int, default=SEEDS)
    asked.add_argument("--regrets", type=float, nargs="+", default=REGRETS)
    asked.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    chosen = asked.parse_args()
    table = read_table(chosen.table)
    whole = known(table)
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name in chosen.parts:
        words, part = PARTS[name]
        tables = [part(table, seed) for seed in range(chosen.replays)]
        with ProcessPoolExecutor(cpu_cores(), get_context("spawn")) as pool:
            same = itertools.repeat(tuple(chosen.regrets))
            found = list(pool.map(replayed, tables, same, range(chosen.replays)))
        print(f"{table.name}: {len(table.truth)} architectures, {words}, {len(found)} replays")
        for regret in chosen.regrets:
            ended = [
                Ended.of(stop, of, whole)
                for of, stops in zip(tables, found, strict=True)
                for stop in stops
                if stop.regret == regret
            ]
            show(regret, ended, chosen.replays)


class Ended(NamedTuple):
    """A stop against the truth: ``share`` of the compute that training every architecture once
    takes; the probability that its statement holds by all trainings, and whether it does by the
    recorded means; the regret (points) by either."""

    stop: Stop
    share: float
    held: float
    held_raw: bool
    regret: float
    regret_raw: float

    @classmethod
    def of(cls, stop: Stop, table: Table, whole: Errors) -> Ended:
        """Of a stop of a replay on this table."""
        among = [whole.keys.index(key) for key in table.truth.index]
        least = whole.draws[:, among].min(axis=1)
        regret = 100 * (whole.draws[:, whole.keys.index(stop.key)] - least)
        raw = 100 * float(table.truth.loc[stop.key, "error"] - table.truth["error"].min())
        held = float((regret <= stop.regret).mean())
        held_raw = raw <= stop.regret + 1e-9
        return cls(stop, stop.compute / len(among), held, held_raw, float(regret.mean()), raw)


def show(regret: float, ended: Sequence[Ended], replays: int) -> None:
    """Prints what it took to state this regret, and how often that was right."""
    print(f"  regret {regret:g}, probability {PROBABILITY:g}: stated in {len(ended)} of {replays}")
    if not ended:
        return
    trained, compute, sure = (
        np.array([getattr(each.stop, name) for each in ended])
        for name in ("trainings", "compute", "stated")
    )
    shares = 100 * np.array([each.share for each in ended])
    print(
        f"    full trainings {spread(trained, '.0f')}; compute {spread(compute, '.1f')} full "
        f"trainings of mean size, {spread(shares, '.1f')} % of training every architecture once"
    )
    held, raw, true, recorded = np.mean([each[2:] for each in ended], axis=0)
    print(
        f"    stated {100 * sure.mean():.1f} % sure; held by all trainings {100 * held:.1f} %, by "
        f"recorded means {100 * raw:.1f} %; mean regret {true:.2f} points by all trainings, "
        f"{recorded:.2f} by recorded means"
    )


def spread(values: np.ndarray, form: str) -> str:
    """The median and the range."""
    return f"{np.median(values):{form}} ({values.min():{form}} to {values.max():{form}})"


if __name__ == "__main__":
    main()
