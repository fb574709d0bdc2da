"""How busy the loop of a search keeps its workers, and how soon that finds the front.

First what a proposal of known-cost takes at 50,000 points (CPU seconds): the first one after a
result, for which all points are weighed anew, and each further one until more is known. Then
searches of 1,000 invented networks, each of which takes 10 s and more to train, simulated with 1,
4, 16 and 64 workers until they have found 98 % of the best hypervolume on the log axis. Their clock
takes a second for weighing anew, and that measured part of a second for a further proposal.
``before``: every free worker gets a job before one result is collected, and every proposal takes a
second. Medians over seeds; ``times 1`` is how many times as soon as with one worker.

    OMP_NUM_THREADS=1 python studies/growth/loop.py
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
from growth import Watch, fresh
from proposal import COSTS, POINTS, RUNGS, outcome, space_of

from dnsearch.analysis.pareto import hypervolume
from dnsearch.config import parse_study
from dnsearch.replay.evaluator import Machine
from dnsearch.replay.run import Enough, Recorder, engine_of, problem_of
from dnsearch.replay.table import COLUMNS, Table
from dnsearch.search import CostModel, KnownCostSampler
from dnsearch.search.engine import POLL_SECONDS, Engine, Progress
from dnsearch.search.samplers.history import Outcome

LEVEL, WORKERS, SEEDS = 0.98, (1, 64, 16, 4), 2
NETWORKS, SECONDS = 1_000, 10.0
TRIALS, PENDING = 1_000, 16
SECOND = 1.0


class Before(Engine):
    """The loop as it was: all free workers get jobs, then what has ended is collected."""

    def _step(self, show: Callable[[Progress], None]) -> str | None:
        while len(self.evaluator.running()) < self.evaluator.capacity:
            job = self._next(len(self.evaluator.running()))
            if job is None:
                break
            self.evaluator.submit(job)
        ended = self.evaluator.completed(POLL_SECONDS)
        self._exhausted &= not ended
        finished = [self._judged(job, score) for job, score in ended]
        show(self._progress(tuple(record for record in finished if record)))
        return self._end()


class NothingAhead(Engine):
    """The loop without proposals ahead of need."""

    _ahead = 0


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
    """Ends a replay that has found the level."""

    def _found_all(self) -> bool:
        found = list(self.found.values())
        return bool(found) and (
            hypervolume(found, self.reference, "log") >= LEVEL * self.best["log"]
        )


class Found(NamedTuple):
    """Of one search: simulated seconds, compute in full trainings, share of time spent training,
    trainings."""

    seconds: float
    compute: float
    busy: float
    trained: float


def main() -> None:
    """Measures and prints."""
    anew, further = fresh(weighing, False).seconds, fresh(weighing, True).seconds / PENDING
    print(f"a proposal at {POINTS:,} points, {TRIALS} trials: {anew:.3f} s anew, {further:.3f} s")
    part = further / anew
    print(f"each of {PENDING} further ones: {100 * part:.1f} % of it\n")
    table = invented()
    policies = {
        "free": (Engine, 0.0, 0.0),
        "before": (Before, SECOND, SECOND),
        "now": (Engine, SECOND, part * SECOND),
        "nothing ahead": (NothingAhead, SECOND, part * SECOND),
    }
    print(f"known-cost to {100 * LEVEL:.0f} %, {SEEDS} seeds, 1 s to weigh anew")
    print(f"{'loop':>14} {'workers':>8} {'busy':>6} {'seconds':>9} {'times 1':>8} {'compute':>8}")
    alone: dict[str, float] = {}
    for workers in WORKERS:
        for name, policy in policies.items():
            if name == "nothing ahead" and workers != 16:
                alone[name] = alone.get("now", 0.0)
                continue
            each = [searched(table, workers, seed, *policy) for seed in range(SEEDS)]
            found = Found(*np.median(np.array(each), axis=0))
            one = alone.setdefault(name, found.seconds)
            print(
                f"{name:>14} {workers:>8} {100 * found.busy:>4.0f} % {found.seconds:>9.1f} "
                f"{one / found.seconds:>8.1f} {found.compute:>8.2f}",
                flush=True,
            )


def invented() -> Table:
    """Some points of a large space, trained by two seeds each."""
    space, model, rng = space_of(), CostModel((3, 32, 32)), np.random.default_rng(1)
    points = space.points(rng)
    points = points.take(np.sort(rng.permutation(len(points))[:NETWORKS]))
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
            ]
    study = parse_study(
        f"[space]\ngrowth_rate = {list(space.growth_rate)}\n"
        f"block_config = {[list(choices) for choices in space.block_config]}\nbn_size = 0\n"
        f"[training]\nrungs = {list(RUNGS)}"
    )
    trainings = pd.DataFrame(rows, columns=list(COLUMNS))
    named = {arch.key: arch for arch in archs}
    return Table("invented", study, (3, 32, 32), 10, 40_000, RUNGS, named, trainings)


def searched(
    table: Table, workers: int, seed: int, kind: type[Engine], anew: float, further: float
) -> Found:
    """One simulated search."""
    problem, clock = problem_of(table), Clock(anew, further)
    machine = Machine(workers, charged=True, timer=clock)
    engine = engine_of(table, problem, "known-cost", seed, kind=kind, machine=machine)
    recorder = Until(table, problem, None, engine)
    with clock.running(), contextlib.suppress(Enough):
        engine.run(recorder.show)
    rows = recorder.trajectory("known-cost", seed)
    unit = 3 * table.truth["macs"].mean() * table.images * table.rungs[-1]
    return Found(
        seconds=float(rows["seconds"].iloc[-1]),
        compute=recorder.spent / unit,
        busy=float(rows["busy"].iloc[-1]),
        trained=len(rows),
    )


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
    main()
