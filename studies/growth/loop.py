"""How busy the loop of a search keeps its workers, and how soon that finds the front.

First what a proposal of known-cost takes at 50,000 points (CPU seconds): the first one after a
result, for which all points are weighed anew, and each further one from the same weighing. Then
searches simulated with 1 to 256 workers: of 1,000 invented networks, each of which takes 10 s and
more to train, and of the recorded ones of ``bench:fashion14``. Their clock takes a second for
weighing anew, and that measured part of a second for a further proposal. ``free``: proposals take
no time. ``each result``: points are weighed anew after each result, and a further proposal takes
the .267 of a second that it did before. Until so many percent of the best hypervolume on the log
axis are found: medians over seeds of simulated seconds and of compute in full trainings.

    OMP_NUM_THREADS=1 python studies/growth/loop.py [SEEDS]
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
from growth import Watch, fresh
from proposal import COSTS, POINTS, RUNGS, outcome, space_of

from dnsearch.analysis.pareto import hypervolume
from dnsearch.config import parse_study
from dnsearch.replay.evaluator import Machine, TableEvaluator
from dnsearch.replay.files import read_table
from dnsearch.replay.run import Recorder, ReplayOver, engine_of, problem_of
from dnsearch.replay.table import COLUMNS, Table
from dnsearch.search import CostModel, KnownCostSampler
from dnsearch.search.engine import Engine, Progress
from dnsearch.search.problem import Problem
from dnsearch.search.samplers import known_cost
from dnsearch.search.samplers.history import Outcome

LEVELS, WORKERS, SEEDS = {"invented": (0.95, 0.98), "fashion14": (0.95, 0.99)}, (1, 16, 64, 256), 5
NETWORKS, LONG, SECONDS = 1_000, 3_000, 10.0
TRIALS, PENDING = 1_000, 256
SECOND, BEFORE = 1.0, 0.267


class Policy(NamedTuple):
    """Seconds that a proposal takes, from a new weighing and further ones, and when one is due."""

    anew: float
    further: float
    stale: float = known_cost.STALE


class Clock:
    """Read before and after each proposal: one that weighs all points ``anew`` takes so long, any
    ``further`` one so long."""

    def __init__(self, anew: float, further: float) -> None:
        self.anew, self.further, self.now = anew, further, 0.0

    def __call__(self) -> float:
        self.now += self.further
        return self.now

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Within this, weighing anew takes its time."""
        weighed_anew = KnownCostSampler._weighed_anew

        def timed(*arguments):
            self.now += self.anew - self.further
            return weighed_anew(*arguments)

        with patch.object(KnownCostSampler, "_weighed_anew", timed):
            yield


class Until(Recorder):
    """Ends a replay that has found the highest level; ``reached``: simulated seconds and compute,
    in full trainings, at which each was."""

    levels: tuple[float, ...] = ()

    def __init__(self, table: Table, problem: Problem, engine: Engine) -> None:
        super().__init__(table, problem, None, engine)
        self.unit = 3 * table.truth["macs"].mean() * table.images * table.rungs[-1]
        self.engine, self.reached = engine, dict[float, tuple[float, float]]()

    def _found_all(self) -> bool:
        found = list(self.found.values())
        share = hypervolume(found, self.reference, "log") / self.best["log"] if found else 0.0
        for level in self.levels:
            if share >= level:
                self.reached.setdefault(level, (self.engine.seconds, self.spent / self.unit))
        return len(self.reached) == len(self.levels)


def main(seeds: int = SEEDS) -> None:
    """Measures and prints."""
    anew, further = fresh(weighing, False).seconds, fresh(weighing, True).seconds / PENDING
    part = further / anew
    print(f"a proposal at {POINTS:,} points, {TRIALS} trials: {anew:.3f} s anew, {further:.3f} s")
    print(f"each of {PENDING} further ones: {100 * part:.1f} % of it")
    policies = {
        "free": Policy(0.0, 0.0, 0.0),
        "each result": Policy(SECOND, BEFORE, 0.0),
        "now": Policy(SECOND, part * SECOND),
    }
    measured = Policy(anew, further)
    print(f"\n{LONG // 2:,} trainings of {SECONDS:g} s, proposals take what they took above")
    for workers in WORKERS[1:]:
        share, pace = steady(workers, measured)
        print(f"{workers:>8} workers {100 * share:.0f} % busy, {pace:.1f} trainings a second")
    for table in (invented(), read_table("bench:fashion14")):
        levels = LEVELS[table.name.removeprefix("bench:")]
        print(f"\n{table.name}, {seeds} seeds, 1 s to weigh anew")
        heads = " ".join(f"{f's to {100 * level:.0f} %':>10} {'compute':>8}" for level in levels)
        print(f"{'proposals':>12} {'workers':>8} {'busy':>6} {heads}")
        for workers in WORKERS:
            for name, policy in policies.items():
                if workers == 1 and name == "each result":
                    continue  # as now
                found = [searched(table, levels, workers, seed, policy) for seed in range(seeds)]
                busy, *each = np.median(np.array(found), axis=0)
                told = " ".join(f"{s:>10.1f} {c:>8.2f}" for s, c in np.reshape(each, (-1, 2)))
                print(f"{name:>12} {workers:>8} {100 * busy:>4.0f} % {told}", flush=True)


def invented(networks: int = NETWORKS, rungs: tuple[int, ...] = RUNGS) -> Table:
    """Some points of a large space, trained by two seeds each."""
    space, model, rng = space_of(), CostModel((3, 32, 32)), np.random.default_rng(1)
    points = space.points(rng)
    points = points.take(np.sort(rng.permutation(len(points))[:networks]))
    archs = list(points)
    macs = model.of_points(points).macs
    rows = []
    for at, arch in enumerate(archs):
        truth = outcome(model, at, points.values(at), tops=True).signals
        for seed in range(2):
            luck = np.exp(rng.normal(0, 0.03))
            rows += [
                {name: figure * luck for name, figure in signals.items()}
                | {"key": arch.key, "seed": seed, "rung": rung, "failure": ""}
                | {"seconds": SECONDS * (1 + macs[at] / macs.mean()) * rung / RUNGS[-1]}
                for rung, signals in truth.items()
                if rung in rungs
            ]
    study = parse_study(
        f"[space]\ngrowth_rate = {list(space.growth_rate)}\n"
        f"block_config = {[list(choices) for choices in space.block_config]}\nbn_size = 0\n"
        f"[training]\nrungs = {list(rungs)}"
    )
    trainings = pd.DataFrame(rows, columns=list(COLUMNS))
    named = {arch.key: arch for arch in archs}
    return Table("invented", study, (3, 32, 32), 10, 40_000, rungs, named, trainings)


def steady(workers: int, policy: Policy) -> tuple[float, float]:
    """Of a long search whose networks all take about ten seconds to train, and none is screened,
    the share of time spent training, and how many trainings ended in a second, from its start until
    there is nothing more to hand out."""
    table, clock = invented(LONG, RUNGS[-1:]), Clock(policy.anew, policy.further)
    table.trainings["seconds"] = SECONDS * np.random.default_rng(0).uniform(
        0.8, 1.2, len(table.trainings)
    )
    machine = Machine(workers, charged=True, timer=clock)
    engine = engine_of(table, problem_of(table), "known-cost", 0, LONG // 2, machine=machine)
    found = 0.0, 0.0

    def show(progress: Progress) -> None:
        nonlocal found
        assert isinstance(engine.evaluator, TableEvaluator)
        if progress.done <= LONG // 2 - workers:  # the end has fewer and fewer
            found = engine.evaluator.busy, progress.done / progress.seconds

    with clock.running():
        engine.run(show)
    return found


def searched(
    table: Table, levels: tuple[float, ...], workers: int, seed: int, policy: Policy
) -> list[float]:
    """Of one simulated search the share of time spent training, and seconds and compute to each of
    the levels."""
    problem, clock = problem_of(table), Clock(policy.anew, policy.further)
    machine = Machine(workers, charged=True, timer=clock)
    engine = engine_of(table, problem, "known-cost", seed, machine=machine)
    recorder = Until(table, problem, engine)
    recorder.levels = levels
    rule = patch.object(known_cost, "STALE", policy.stale)
    with clock.running(), rule, contextlib.suppress(ReplayOver):
        engine.run(recorder.show)
    busy = recorder.trajectory("known-cost", seed)["busy"].tolist()[-1]
    return [busy, *(figure for level in levels for figure in recorder.reached[level])]


def weighing(watch: Watch, further: bool) -> None:
    """A proposal after a result; or some further ones, of which each is pending in the next."""
    space, rng, model = space_of(), np.random.default_rng(0), CostModel((3, 32, 32))
    points = space.points(rng)
    points = points.take(np.sort(rng.permutation(len(points))[:POINTS]))
    sampler = KnownCostSampler(space, model, COSTS[0], rungs=RUNGS, points=points)
    chosen = rng.choice(POINTS, TRIALS, replace=False)
    outcomes = [
        outcome(model, at, sampler.pool.points.values(int(place)), tops=False)
        for at, place in enumerate(chosen)
    ]
    sampler.choose(outcomes[:-1])  # with hyper-parameters fitted
    if not further:
        with watch:
            sampler.choose(outcomes)
        return
    for _ in range(1 + PENDING):
        first = len(outcomes) == TRIALS
        with contextlib.nullcontext() if first else watch:
            values = dict(sampler.choose(outcomes))
        rung = values.pop("rung")
        outcomes.append(Outcome(len(outcomes), values, rung, pending=True))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
