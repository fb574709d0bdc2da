"""HEBO's optimiser for several objectives: one Gaussian process of all of them, an evolutionary
search for the front of its lower confidence bounds, of which the greatest gain of hypervolume is
taken (Cowen-Rivers et al. 2022, arXiv:2012.03826).
"""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import pandas as pd
from hebo.design_space.design_space import DesignSpace
from hebo.optimizers.general import GeneralBO
from task import Digits, Task

from dnsearch.arrays import Floats


class General:
    """``GeneralBO`` with its defaults and the reference point; everything trains to the top."""

    def __init__(self, task: Task) -> None:
        self.top = task.rungs[-1]
        self.names = [f"x{i}" for i in range(len(task.radices))]
        kinds = [
            {"name": name, "type": "int", "lb": 0, "ub": radix - 1}
            if is_ordered
            else {"name": name, "type": "cat", "categories": list(range(radix))}
            for name, radix, is_ordered in zip(
                self.names, task.radices, task.is_ordered, strict=True
            )
        ]
        self.optimizer = GeneralBO(
            DesignSpace().parse(kinds), num_obj=len(task.reference), ref_point=task.reference
        )

    def ask(self) -> tuple[Digits, int]:
        """See ``Rival``."""
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # it prints
            warnings.simplefilter("ignore")
            row = self.optimizer.suggest(n_suggestions=1).iloc[0]
        return tuple(int(row[name]) for name in self.names), self.top

    def tell(self, trained: Digits, values: Floats) -> None:
        """See ``Rival``."""
        row = pd.DataFrame([trained], columns=self.names)
        self.optimizer.observe_new_data(row, np.array([values]))
