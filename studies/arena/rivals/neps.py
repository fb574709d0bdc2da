"""NePS' PriMO: MO-ASHA first, then Bayesian optimisation of a scalarised objective, guided by a
belief about each objective (Basu et al. 2025, "PriMO").

What is believed is what everybody knows beforehand: the smallest choices cost least and the largest
err least, each with a confidence of a half.
"""

from __future__ import annotations

import neps
from neps.optimizers.algorithms import primo
from task import Digits, Task

from dnsearch.arrays import Floats

EPOCHS, CONFIDENCE = "epochs", 0.5


class Primo:
    """The optimiser with its defaults, asked and told."""

    def __init__(self, task: Task) -> None:
        self.rungs = task.rungs
        self.names = [f"x{i}" for i in range(len(task.radices))]
        choices = dict(zip(self.names, task.radices, strict=True))
        space = neps.SearchSpace(
            {name: neps.HPOInteger(0, radix - 1) for name, radix in choices.items()}
            | {EPOCHS: neps.HPOInteger(task.rungs[0], task.rungs[-1], is_fidelity=True)}
        )
        error, *costs = task.problem.objectives
        centers = {error: {name: radix - 1 for name, radix in choices.items()}}
        centers |= {cost: dict.fromkeys(choices, 0) for cost in costs}
        sure = {objective: dict.fromkeys(choices, CONFIDENCE) for objective in centers}
        eta = round(task.rungs[1] / task.rungs[0]) if len(task.rungs) > 1 else 3
        self.optimizer = neps.AskAndTell(
            primo(space, eta=eta, prior_centers=centers, prior_confidences=sure)
        )
        self.trial = None

    def ask(self) -> tuple[Digits, int]:
        """See ``Rival``."""
        self.trial = self.optimizer.ask()
        config = self.trial.config
        epochs = config[EPOCHS]
        rung = min(self.rungs, key=lambda rung: abs(rung - epochs))
        return tuple(int(config[name]) for name in self.names), rung

    def tell(self, trained: Digits, values: Floats) -> None:
        """See ``Rival``."""
        self.optimizer.tell(self.trial, {"objective_to_minimize": [float(v) for v in values]})
