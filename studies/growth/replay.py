"""What a step of a search costs as its trials become 5,000, and how its memory grows.

The engine of every search on recorded trainings (the table evaluator), so that nothing is trained:
a step is a proposal, a look-up, and a tell. Once with the trials in memory, as `dnsearch replay`
has them, and once in a run's storage.

    OMP_NUM_THREADS=1 python studies/growth/replay.py
"""

from __future__ import annotations

import gc
import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from growth import fresh

from dnsearch.arch import SearchSpace
from dnsearch.arch.space import Points
from dnsearch.config import SearchConfig, parse_study
from dnsearch.replay.evaluator import TableEvaluator
from dnsearch.replay.run import problem_of
from dnsearch.replay.table import Table
from dnsearch.rundir import RunDir
from dnsearch.search import CostModel
from dnsearch.search.engine import Engine, Progress
from dnsearch.search.evaluators.base import Job
from dnsearch.search.feasible import feasible_points
from dnsearch.search.proposer import Proposer
from dnsearch.search.store import Record, StudyStore
from dnsearch.search.weights import Keeper
from dnsearch.training.score import Score

SIZES = 1000, 2000, 3000, 4000, 5000
AROUND = 100
"""Steps before each size, of which the median is told."""

STUDY = """
[data]
image_size = 14
[space]
growth_rate = {min = 4, max = 33}
block_config = [{min = 1, max = 8}, {min = 1, max = 8}, {min = 1, max = 8}]
[training]
rungs = [9]
"""
MOST_MB, MOST_SECONDS = 100, 0.05


class Size(NamedTuple):
    """With so many trials: CPU seconds of a tell and of a whole step, and bytes of memory."""

    trials: int
    tell: float
    step: float
    bytes: int


class Clocked(StudyStore):
    """Notes the CPU seconds of each tell."""

    last = 0.0

    def tell(
        self,
        job: Job,
        score: Score,
        values: Sequence[float] | None,
        constraints: Mapping[str, float],
        finished_after: float,
    ) -> Record:
        """As ``StudyStore`` does it."""
        began = time.process_time()
        record = super().tell(job, score, values, constraints, finished_after)
        self.last = time.process_time() - began
        return record


class Watched:
    """What an engine shows its progress to."""

    def __init__(self, store: Clocked, keeper: Keeper | None) -> None:
        self.store, self.keeper = store, keeper
        self.tells, self.steps = list[float](), list[float]()
        self.sizes: list[Size] = []
        self.began = time.process_time()

    def show(self, progress: Progress) -> None:
        """Takes the time since it was last told; with a run, its weights are tidied first."""
        tell = self.store.last
        if self.keeper is not None:
            began = time.process_time()
            self.keeper.tidy(self.store.records())
            tell += time.process_time() - began
        self.tells.append(tell)
        self.steps.append(time.process_time() - self.began)
        if progress.done in SIZES:
            gc.collect()
            tell, step = (float(np.median(each[-AROUND:])) for each in (self.tells, self.steps))
            self.sizes.append(Size(progress.done, tell, step, bytes_held()))
        self.began = time.process_time()


def bytes_held() -> int:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def table() -> Table:
    """Invented trainings of every network of a space."""
    study = parse_study(STUDY)
    model = CostModel((1, 14, 14))
    space: SearchSpace = study.space.build(1, 10)
    points, _ = feasible_points(space, model, np.random.default_rng(0))
    archs = {arch.key: arch for arch in Points.of(space, [*points])}
    errors = 0.1 + 0.2 * np.random.default_rng(1).random(len(archs))
    rows = pd.DataFrame({"key": [*archs], "seed": 0, "rung": 9, "error": errors})
    rows = rows.assign(loss=errors, train_loss=errors, seconds=60.0, failure="")
    return Table("invented", study, (1, 14, 14), 10, 12_000, (9,), archs, rows)


def searched(_: object, folder: str) -> list[Size]:
    """A search of random proposals, in memory, or in a folder."""
    recorded = table()
    problem = problem_of(recorded)
    run = RunDir(Path(folder)) if folder else None
    store = Clocked(run, problem.objectives)
    config = SearchConfig(sampler="random", trials=SIZES[-1], time=None)
    evaluator = TableEvaluator(recorded, np.random.default_rng(0))
    proposer = Proposer(store, problem, config, [])
    watched = Watched(store, Keeper(run, recorded.study) if run else None)
    engine = Engine(store, proposer, evaluator, problem, config, lambda: evaluator.now)
    engine.run(watched.show)
    return watched.sizes


def main() -> None:
    """Measures and prints."""
    with tempfile.TemporaryDirectory() as folder:
        for name, place in (("in memory", ""), ("in a run's storage", folder)):
            sizes = fresh(searched, place).found
            for size in sizes:
                print(
                    f"{name}, {size.trials:,} trials: a tell {1e3 * size.tell:.1f} ms, a step "
                    f"{1e3 * size.step:.1f} ms, {size.bytes / 1e6:.0f} MB",
                    flush=True,
                )
            grown = (sizes[-1].bytes - sizes[0].bytes) / 1e6
            longest = max(size.tell for size in sizes)
            kept = grown < MOST_MB and longest < MOST_SECONDS
            times = sizes[-1].tell / max(sizes[0].tell, math.ulp(0.0))
            print(
                f"{'kept' if kept else 'BROKEN'}: {name}, from {SIZES[0]:,} to {SIZES[-1]:,} "
                f"trials {grown:.0f} MB more (at most {MOST_MB}), a tell at most "
                f"{1e3 * longest:.1f} ms (at most {1e3 * MOST_SECONDS:.0f}), {times:.2f} times "
                "that of the first",
                flush=True,
            )


if __name__ == "__main__":
    main()
