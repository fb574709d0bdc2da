"""syne-tune's MO-ASHA: random networks, stopped at a rung unless among its best third.

Schmucker et al. 2021, arXiv:2106.12639; Salinas et al. 2021.
"""

from __future__ import annotations

from datetime import datetime

from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import randint
from syne_tune.optimizer.scheduler import SchedulerDecision
from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA
from task import Digits, Task

from dnsearch.arrays import Floats

EPOCH = "epoch"


class MoAsha:
    """The scheduler with its defaults, driven as its tuner would with one worker."""

    def __init__(self, task: Task) -> None:
        self.rungs, self.objectives = task.rungs, list(task.problem.objectives)
        self.names = [f"x{i}" for i in range(len(task.radices))]
        self.scheduler = MOASHA(
            {
                name: randint(0, radix - 1)
                for name, radix in zip(self.names, task.radices, strict=True)
            },
            metrics=self.objectives,
            time_attr=EPOCH,
            max_t=task.rungs[-1],
            grace_period=task.rungs[0],
            reduction_factor=task.rungs[1] / task.rungs[0] if len(task.rungs) > 1 else 3,
            random_seed=task.seed,
        )
        self.trial: Trial | None = None
        self.count, self.at = 0, 0

    def ask(self) -> tuple[Digits, int]:
        """See ``Rival``: the next rung of the network under way, or else a new one."""
        if self.trial is None:
            config = self.scheduler.suggest().config
            self.trial = Trial(self.count, config, datetime.now())
            self.scheduler.on_trial_add(self.trial)
            self.count, self.at = self.count + 1, 0
        return tuple(int(self.trial.config[name]) for name in self.names), self.rungs[self.at]

    def tell(self, trained: Digits, values: Floats) -> None:
        """See ``Rival``."""
        result = dict(zip(self.objectives, map(float, values), strict=True))
        decision = self.scheduler.on_trial_result(
            self.trial, {EPOCH: self.rungs[self.at], **result}
        )
        if decision == SchedulerDecision.CONTINUE:
            self.at += 1
        else:
            self.scheduler.on_trial_remove(self.trial)
            self.trial = None
