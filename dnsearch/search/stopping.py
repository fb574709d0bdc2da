"""When a search knows enough to end (``search.until``)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from dnsearch.analysis.regret import Regret
from dnsearch.config import SearchConfig, UntilConfig
from dnsearch.search.predictions import LEAST, SETTINGS
from dnsearch.search.problem import Problem
from dnsearch.search.regret import Feasible, ended_trials
from dnsearch.search.samplers.history import History, Outcome
from dnsearch.search.store import StudyStore, counts_for_nothing

FEW = 5
"""Settings of the hyper-parameters by which a regret is looked at first: where it is too large with
a probability of a half, there is no need of the others, which take most of a second."""

GROWTH = 1.1
"""Whether enough is known is asked anew when there are so many times as many full trainings."""


class Enough:
    """Whether a search knows enough to end; called, it says why, or returns None.

    Asked for again and again, it answers by the trials as they were when so many full trainings had
    finished as is a step of a schedule: a resumed search is told what an uninterrupted one is.
    """

    def __init__(self, store: StudyStore, feasible: Feasible, until: UntilConfig) -> None:
        self.store, self.feasible, self.until = store, feasible, until
        self._history = History(feasible.rungs, counts_for_nothing)
        self._answered: tuple[int, str | None] = (0, None)

    def __call__(self) -> str | None:
        ended = ended_trials(self.store, self._history)
        full = [
            place
            for place, each in enumerate(ended)
            if each.rung == self.feasible.rungs[-1] and not each.failed
        ]
        step = scheduled(len(full))
        if step != self._answered[0]:
            self._answered = step, self._reason(ended[: full[step - 1] + 1]) if step else None
        return self._answered[1]

    def _reason(self, outcomes: Sequence[Outcome]) -> str | None:
        records = [r for r in self.store.records() if r.finished_after <= outcomes[-1].finished]
        regret, probability = self.until.regret, self.until.probability
        for settings, level in ((FEW, 0.5), (SETTINGS, probability)):
            errors = self.feasible.errors(outcomes, records, settings)
            if errors is None or 100 * Regret.of(errors.regret(errors.least), level).most > regret:
                return None
        return (
            f"further candidates are expected to gain less than {regret:g} "
            f"point{'s' * (regret != 1)} ({100 * probability:g} % sure)"
        )


def stopping_rule(
    store: StudyStore, problem: Problem, config: SearchConfig, images: float
) -> Callable[[], str | None]:
    """Why what a store knows is enough by ``search.until``, None while it is not, and always where
    nothing was asked for; ``images`` as of ``Feasible``."""
    if config.until is None:
        return lambda: None
    return Enough(store, Feasible.of(problem, images, config.seed), config.until)


def scheduled(count: int) -> int:
    """The greatest step of the schedule that is not above ``count``, 0 for none: every number from
    ``LEAST`` on, later every ``GROWTH`` times the one before."""
    step, following = 0, LEAST
    while following <= count:
        step, following = following, max(following + 1, math.ceil(following * GROWTH))
    return step
