"""SMAC3's multi-objective multi-fidelity: Hyperband, a random forest, ParEGO's scalarisation.

Lindauer et al. 2022, arXiv:2109.09831. ParEGO (Knowles 2006, doi:10.1109/TEVC.2005.851274) in place
of the facade's mean of the objectives, which would look for one trade-off only.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ConfigSpace import Categorical, ConfigurationSpace, Integer
from smac import MultiFidelityFacade, Scenario
from smac.main.exceptions import ConfigurationSpaceExhaustedException
from smac.multi_objective.parego import ParEGO
from smac.runhistory.dataclasses import TrialInfo, TrialValue
from task import Digits, Task

from dnsearch.arrays import Floats

TRIALS = 500
"""What SMAC is told that it may ask for; it sets the size of its initial design."""


class ParegoHyperband:
    """The facade of SMAC's documentation, asked and told."""

    def __init__(self, task: Task) -> None:
        self.names = [f"x{i}" for i in range(len(task.radices))]
        space = ConfigurationSpace(seed=task.seed)
        for name, radix, is_ordered in zip(self.names, task.radices, task.is_ordered, strict=True):
            choices = list(range(radix))
            space.add(Integer(name, (0, radix - 1)) if is_ordered else Categorical(name, choices))
        self._folder = tempfile.TemporaryDirectory()
        scenario = Scenario(
            space,
            objectives=list(task.problem.objectives),
            min_budget=task.rungs[0],
            max_budget=task.rungs[-1],
            n_trials=TRIALS,
            deterministic=True,
            seed=task.seed,
            output_directory=Path(self._folder.name),
        )
        eta = round(task.rungs[1] / task.rungs[0]) if len(task.rungs) > 1 else 3
        self.rungs = task.rungs
        self.smac = MultiFidelityFacade(
            scenario,
            lambda config, seed, budget: 0.0,  # never called: trainings are told
            multi_objective_algorithm=ParEGO(scenario),
            intensifier=MultiFidelityFacade.get_intensifier(
                scenario,
                eta=eta,
                # its default fails (2.4.1) once two networks are best at different budgets
                incumbent_selection="highest_budget",
            ),
            logging_level=False,
            overwrite=True,
        )
        self.asked: TrialInfo | None = None

    def ask(self) -> tuple[Digits, int]:
        """See ``Rival``."""
        try:
            self.asked = self.smac.ask()
        except ConfigurationSpaceExhaustedException:
            raise StopIteration from None
        digits = tuple(int(self.asked.config[name]) for name in self.names)
        budget = self.asked.budget
        return digits, min(self.rungs, key=lambda rung: abs(rung - budget))

    def tell(self, trained: Digits, values: Floats) -> None:
        """See ``Rival``."""
        self.smac.tell(self.asked, TrialValue(cost=[float(value) for value in values]), save=False)
