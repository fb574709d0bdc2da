"""Search strategies tried on recorded trainings: the engine of every search, on a virtual clock.

For each architecture a strategy is shown the scores of one recorded seed, drawn at random. What
its search has found are the architectures that it trained to the top rung, each valued at the true
error, the mean over all recorded seeds (``replay.measures``).

Time is simulated: of so many workers, each takes the recorded seconds of what it trains, and a
proposal takes the seconds that it really took (``Machine``).
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from dnsearch.analysis.pareto import hypervolume
from dnsearch.arch.space import Points
from dnsearch.config import SearchConfig
from dnsearch.cost.formula import BYTES_FP32
from dnsearch.errors import DnsearchError, MachineError, RunError, one_line
from dnsearch.processes import START_SECONDS, Died, Worker, wait_for
from dnsearch.replay.evaluator import TIMELESS, Machine, TableEvaluator
from dnsearch.replay.measures import AXES, COLUMNS, LEVELS, best_hypervolumes, mean_training_macs
from dnsearch.replay.table import Table
from dnsearch.search.engine import POLL_SECONDS, Engine, Progress, Proposes
from dnsearch.search.evaluators.base import Job
from dnsearch.search.faults import cannot_start
from dnsearch.search.feasible import CostModel
from dnsearch.search.problem import Problem
from dnsearch.search.proposer import Proposer
from dnsearch.search.samplers.imported import imported_sampler, is_import_path
from dnsearch.search.stopping import stopping_rule
from dnsearch.search.store import Record, StudyStore
from dnsearch.seeds import derived_seed

_ONE_THREAD: Mapping[str, str] = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
"""A process for every core needs no more threads."""


class Timed:
    """A proposer on the clock of the evaluator. ``asked``: the seconds that each proposal took, by
    the study and the number of its trial."""

    def __init__(self, proposer: Proposes, evaluator: TableEvaluator, machine: Machine) -> None:
        self._proposer, self.evaluator, self._machine = proposer, evaluator, machine
        self.asked: dict[tuple[str, int], float] = {}

    def propose(self) -> Job | None:
        """See ``engine.Proposes``."""
        began = self._machine.timer()
        job = self._proposer.propose()
        seconds = self._machine.timer() - began
        if self._machine.charged:
            self.evaluator.wait(seconds)
        if job is not None:
            self.asked[job.study, job.trial] = seconds
        return job


def replays(
    table: Table,
    samplers: Sequence[str],
    seeds: int,
    compute: float | None,
    processes: int,
    show: Callable[[int, int], None] = lambda done, total: None,
    machine: Machine = TIMELESS,
) -> pd.DataFrame:
    """Trajectories (``measures.COLUMNS``) of every strategy with each of the seeds 0, 1, ...

    A replay ends when it has found the highest of ``LEVELS`` on both axes, or spent ``compute``, in
    full trainings of mean size; None is no bound. So many ``processes`` run them. ``show`` is
    called with how many replays are done, and how many there are. ``machine``: what is simulated.
    Raises RunError for a table that cannot be replayed.
    """
    Recorder(table, problem_of(table), compute)  # raises here, not in a process, what is wrong
    tasks = [(sampler, seed) for sampler in samplers for seed in range(seeds)]
    show(0, len(tasks))
    found: dict[int, pd.DataFrame] = {}
    started = _started(min(processes, len(tasks)), table, compute, machine)
    with _environment(_ONE_THREAD), started as running:
        left = enumerate(tasks)
        under_way: dict[Worker, int] = {}
        while len(found) < len(tasks):
            for worker in running:
                if worker not in under_way and (task := next(left, None)) is not None:
                    under_way[worker] = task[0]
                    worker.give(*task[1])
            wait_for(running, POLL_SECONDS)
            for worker in running:
                if (frame := _frame(worker)) is not None:
                    found[under_way.pop(worker)] = frame
                    show(len(found), len(tasks))
    return pd.concat([found[number] for number in range(len(tasks))], ignore_index=True)


@contextlib.contextmanager
def _started(number: int, *told: Any) -> Iterator[list[Worker]]:
    processes: list[Worker] = []
    try:
        processes.extend(Worker(_told, told, _replay) for _ in range(number))
        yield processes
    except OSError as error:
        raise cannot_start(error) from error
    finally:
        for worker in processes:
            worker.kill()


def _frame(worker: Worker) -> pd.DataFrame | None:
    """The trajectory that a worker has just finished, None where it has not. Raises what a replay
    raised, and MachineError where the process has died or never came to life."""
    if worker.is_late:
        raise cannot_start(f"nothing was heard of one for {START_SECONDS:g} s")
    for said in worker.heard():
        if isinstance(said, Died):
            raise MachineError(said.reason) if said.ready else cannot_start(said)
        if said.kind == "error":
            raise said.value
        if said.kind == "result":
            return said.value
    return None


def replay(
    table: Table,
    sampler: str,
    seed: int,
    compute: float | None = None,
    machine: Machine = TIMELESS,
) -> pd.DataFrame:
    """The trajectory of one strategy with one seed; see ``replays``."""
    problem = problem_of(table)
    engine = engine_of(table, problem, sampler, seed, machine=machine)
    recorder = Recorder(table, problem, compute, engine)
    try:
        engine.run(recorder.show)
    except ReplayOver:
        pass
    except DnsearchError:
        raise
    except Exception as error:
        if not is_import_path(sampler):
            raise
        raise RunError(f"{sampler}: cannot replay {table.name}: {one_line(error)}") from error
    return recorder.trajectory(sampler, seed)


def engine_of(
    table: Table,
    problem: Problem,
    sampler: str,
    seed: int,
    trials: int = 10**9,
    kind: type[Engine] = Engine,
    machine: Machine = TIMELESS,
) -> Engine:
    """A search held in memory whose trainings are looked up in the table, on a virtual clock.

    ``sampler`` is a name of the study file's, or an import path (``samplers.imported``): such a
    sampler is made once and kept, since it may hold its state in memory. The search ends after so
    many ``trials``, when the strategy proposes nothing more, or as the table's ``search.until``
    says.
    """
    store = StudyStore(None, problem.objectives)
    evaluator = TableEvaluator(table, np.random.default_rng(derived_seed(seed)), machine.workers)
    make = None
    if is_import_path(sampler):
        kept = imported_sampler(sampler, seed)
        make, named = (lambda _: kept), {}
    else:
        named = {"sampler": sampler}
    until = table.study.search.until
    config = SearchConfig(seed=seed, trials=trials, until=until, **named)  # pyright: ignore
    proposer = Timed(Proposer(store, problem, config, [], make), evaluator, machine)
    enough = stopping_rule(store, problem, config, math.inf)  # what it was measured on is unknown
    return kind(store, proposer, evaluator, problem, config, lambda: evaluator.now, enough=enough)


def problem_of(table: Table) -> Problem:
    """The search that can be replayed on a table: of the architectures it has recorded.

    Raises RunError where the study trades or limits a latency, which is not recorded, or where no
    recorded architecture lies in the study's space.
    """
    study = table.study
    if study.measures_latency:
        raise RunError(
            f"{table.name}: trades or limits latency_ms, and no latency is recorded; replay a run "
            "whose costs are known before training"
        )
    space = study.space.build(table.shape[0], table.classes)
    # One that was only screened could be proposed, but not trained to the top rung.
    ended = {*table.truth.index, *table.trainings.loc[table.trainings["failure"] != "", "key"]}
    points = Points.of(space, [arch for key, arch in table.archs.items() if key in ended])
    if not len(points):
        raise RunError(f"{table.name}: has no recorded training inside its search space")
    saved = table.environment.get("activation_bytes", BYTES_FP32)
    model = CostModel.of(study, table.shape, saved)
    return Problem(
        points=points,
        model=model,
        costs=study.objectives.costs,
        rungs=table.rungs,
        axis=study.objectives.axis,
        reference=table.reference,
        images=table.images,
        closed=True,
        aim=study.objectives.aim,
    )


class ReplayOver(Exception):
    """Ends a replay that has found the highest level, or spent its budget."""


class Recorder:
    """Turns an engine's progress into the rows of a trajectory, and says when it is enough.

    engine: of ``engine_of``, which tells how long its proposals took and how busy its workers are.
    """

    def __init__(
        self, table: Table, problem: Problem, compute: float | None, engine: Engine | None = None
    ) -> None:
        self.rows: list[tuple[Any, ...]] = []
        proposer = engine.proposer if engine else None
        self.timed = proposer if isinstance(proposer, Timed) else None
        self.table, self.problem = table, problem
        unit = mean_training_macs(table.truth["macs"], table.images, table.rungs[-1])
        self.budget = math.inf if compute is None else compute * unit
        self.reference = list(problem.reference.values())
        inside = [arch.key for arch in problem.points]
        self.truth = table.truth.reindex(inside)[list(problem.reference)].dropna()
        self.best = best_hypervolumes(self.truth.to_numpy(), problem.reference)
        self.found: dict[str, list[float]] = {}
        self.epochs: dict[tuple[str, int], int] = {}
        self.spent = 0.0

    def show(self, progress: Progress) -> None:
        """Takes what the engine tells. Raises ReplayOver when the replay is over."""
        for record in progress.finished:
            self._note(record)
        if self.spent >= self.budget or (progress.finished and self._found_all()):
            raise ReplayOver

    def trajectory(self, sampler: str, seed: int) -> pd.DataFrame:
        """The rows so far, ``measures.COLUMNS``, as those of this strategy and seed."""
        frame = pd.DataFrame(self.rows, columns=list(COLUMNS)[2:])
        frame.insert(0, "sampler", sampler)
        frame.insert(1, "seed", seed)
        return frame

    def _note(self, record: Record) -> None:
        job, asked, busy = record.job, math.nan, math.nan
        if self.timed is not None:
            asked = self.timed.asked[job.study, job.trial]
            busy = self.timed.evaluator.busy
        epochs, spent = self._trained(record)
        self.spent += spent
        if record.values is not None and job.arch.key in self.truth.index:
            self.found[job.arch.key] = list(self.truth.loc[job.arch.key])
        step = len(self.rows)
        self.rows.append((step, job.arch.key, epochs, spent, record.finished_after, asked, busy))

    def _trained(self, record: Record) -> tuple[int, float]:
        """Epochs at the end of a segment, and MACs of those that were not trained before it."""
        job, curve = record.job, record.score.curve
        epochs = job.rung if record.score.failure is None else curve[-1].epoch if curve else 0
        before = self.epochs.get((job.arch.key, job.seed), 0)
        self.epochs[job.arch.key, job.seed] = max(before, epochs)
        macs = self.problem.model.cost(job.arch).macs
        return epochs, 3.0 * macs * self.table.images * max(0, epochs - before)

    def _found_all(self) -> bool:
        found = list(self.found.values())
        return bool(found) and all(
            hypervolume(found, self.reference, axis) >= max(LEVELS) * self.best[axis]
            for axis in AXES
        )


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for the processes that are started within."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _told(*told: Any) -> tuple[Any, ...]:
    """What a process replays, once it has started."""
    return told


def _replay(
    told: tuple[Table, float | None, Machine], sampler: str, seed: int, note: object
) -> pd.DataFrame:
    table, compute, machine = told
    return replay(table, sampler, seed, compute, machine)
