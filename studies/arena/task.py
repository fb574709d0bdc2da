"""What a rival is asked to do, and how it is run by the engine of every search.

A rival names networks by the positions of their choices, ``digits``, one a dimension with more than
one choice: numbers in their order, so that whatever a library makes of an integer is open to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from dnsearch.arch.space import Points
from dnsearch.arrays import Floats, Indices
from dnsearch.config import SearchConfig
from dnsearch.replay.evaluator import TIMELESS, TableEvaluator
from dnsearch.replay.run import Timed
from dnsearch.replay.table import Table
from dnsearch.search.engine import Engine
from dnsearch.search.evaluators.base import SEARCH, Job
from dnsearch.search.problem import Problem
from dnsearch.search.store import StudyStore
from dnsearch.seeds import derived_seed

MOST_KNOWN = 5
"""Networks in a row that a rival may ask for although they are trained, before the most similar one
that is not is trained: as often as dnsearch lets Optuna's samplers repeat themselves."""

FAILED_ERROR = 1.0
"""What a rival is told of a training that failed."""

Digits = tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """A search that can be replayed, in a rival's terms. Everything is minimised.

    ``log``: costs are told as their decimal logarithm.
    """

    problem: Problem
    seed: int
    log: bool

    @cached_property
    def _columns(self) -> list[int]:
        choices = self.problem.space.dimensions.values()
        return [i for i, each in enumerate(choices) if len(each) > 1]

    @cached_property
    def digits(self) -> Indices:
        """Every recorded point, (points, dimensions)."""
        return self.problem.points.digits[:, self._columns].astype(np.int64)

    @property
    def radices(self) -> list[int]:
        """How many choices there are in each dimension."""
        sizes = [len(each) for each in self.problem.space.dimensions.values()]
        return [sizes[i] for i in self._columns]

    @property
    def is_ordered(self) -> list[bool]:
        """Whether the choices of a dimension are numbers that rise."""
        every = list(self.problem.space.dimensions.values())
        return [_rise(every[i]) for i in self._columns]

    @cached_property
    def costs(self) -> Floats:
        """Of every point as they are told, (points, costs)."""
        return self._told([vars(self._known)[name] for name in self.problem.costs]).T

    @property
    def macs(self) -> Floats:
        """Of every point, (points,): what training it costs, whatever the objectives are."""
        return self._known.macs.astype(np.float64)

    @property
    def reference(self) -> Floats:
        """The reference point as costs are told, (1 + costs,)."""
        error, *costs = self.problem.reference.values()
        return np.array([error, *self._told(costs)])

    @property
    def rungs(self) -> tuple[int, ...]:
        """Epochs, rising."""
        return self.problem.rungs

    @cached_property
    def _known(self):
        return self.problem.model.of_points(self.problem.points)

    def _told(self, costs: Sequence[float]) -> Floats:
        values = np.array(costs, np.float64)
        return np.log10(values) if self.log else values


class Rival(Protocol):
    """Somebody else's search, asked and told in turns."""

    def ask(self) -> tuple[Digits, int]:
        """A network, which need not be recorded, and the rung to train it to. Raises StopIteration
        where it has nothing more to ask for."""
        ...

    def tell(self, trained: Digits, values: Floats) -> None:
        """Error and costs (1 + costs,) of what it asked for last.

        ``trained`` is the recorded network that they are of: the one asked for, or else the most
        similar one. A library whose trials have a name of their own takes it for the one it asked.
        """
        ...


class RivalProposer:
    """Gives the engine what a rival asks for, and tells the rival what came of it.

    A network that was never recorded stands for the recorded one most like it that was not trained
    yet, from then on. What is trained already is told at once and costs nothing.
    """

    def __init__(self, store: StudyStore, task: Task, rival: Rival) -> None:
        self.store, self.task, self.rival = store, task, rival
        self.points: Points = task.problem.points
        self._rows = {tuple(map(int, row)): i for i, row in enumerate(task.digits)}
        self._stands_for: dict[Digits, int] = {}
        self._errors: dict[int, dict[int, float]] = {}  # by point and epoch
        self._under_way: tuple[int, int] | None = None
        self._rng = np.random.default_rng(derived_seed(task.seed, 1))

    def propose(self) -> Job | None:
        """See ``search.engine.Proposes``."""
        self._take_result()
        for left in reversed(range(MOST_KNOWN)):
            try:
                asked, rung = self.rival.ask()
            except StopIteration:
                return None
            point = self._point(asked, rung)
            if left == 0 and self._is_known(point, rung):
                point = self._nearest(asked, rung)
            if point is None:
                return None
            if not self._is_known(point, rung):
                return self._job(point, rung)
            self._tell(point, rung)
        return None

    def _point(self, asked: Digits, rung: int) -> int | None:
        if asked in self._rows:
            return self._rows[asked]
        if asked not in self._stands_for:
            nearest = self._nearest(asked, rung)
            if nearest is None:
                return None
            self._stands_for[asked] = nearest
        return self._stands_for[asked]

    def _nearest(self, asked: Digits, rung: int) -> int | None:
        """The recorded point most like it that was not trained so far; None where all were. Among
        equals any, with equal chance."""
        steps = np.array(self.task.radices) - 1
        distance = (np.abs(self.task.digits - np.array(asked)) / steps).sum(axis=1)
        order = self._rng.permutation(len(distance))
        order = order[np.argsort(distance[order], kind="stable")]
        return next((int(point) for point in order if not self._is_known(int(point), rung)), None)

    def _is_known(self, point: int | None, rung: int) -> bool:
        return point is not None and rung in self._errors.get(point, {})

    def _job(self, point: int, rung: int) -> Job:
        arch = self.points.config(point)
        trial = self.store.logs[SEARCH].study.ask()
        job = Job(trial.number, arch, rung, derived_seed(self.task.seed, int(arch.key, 16)))
        self.store.accept(trial, job)
        self._under_way = point, rung
        return job

    def _take_result(self) -> None:
        if self._under_way is None:
            return
        point, rung = self._under_way
        score = self.store.logs[SEARCH].records()[-1].score
        known = self._errors.setdefault(point, {})
        known.update({each.epoch: each.error for each in score.curve})
        known[rung] = FAILED_ERROR if score.error is None else score.error
        self._under_way = None
        self._tell(point, rung)

    def _tell(self, point: int, rung: int) -> None:
        values = np.array([self._errors[point][rung], *self.task.costs[point]])
        self.rival.tell(tuple(map(int, self.task.digits[point])), values)


def engine_for(table: Table, task: Task, rival: Rival, trials: int) -> Engine:
    """A search of the rival's on the table, as ``replay.run.engine_of`` makes dnsearch's own: the
    same scores of the same seeds, on a virtual clock."""
    store = StudyStore(None, task.problem.objectives)
    evaluator = TableEvaluator(table, np.random.default_rng(derived_seed(task.seed)))
    config = SearchConfig(seed=task.seed, trials=trials)
    proposer = Timed(RivalProposer(store, task, rival), evaluator, TIMELESS)
    return Engine(store, proposer, evaluator, task.problem, config, lambda: evaluator.now)


def _rise(choices: Sequence[object]) -> bool:
    numbers = [each for each in choices if isinstance(each, int | float)]
    return len(numbers) == len(choices) and numbers == sorted(numbers)
