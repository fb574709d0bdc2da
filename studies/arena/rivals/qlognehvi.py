"""BoTorch's qLogNEHVI over the recorded networks, which knows every cost: its model is a look-up.

Noisy expected hypervolume improvement (Daulton et al. 2021, arXiv:2105.08195), on its logarithm
(Ament et al. 2023, arXiv:2310.20708). The Gaussian process of the error and all options are
BoTorch's defaults; it begins with 2 (dimensions + 1) random networks, as BoTorch's tutorials do.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from botorch import fit_gpytorch_mll
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.models import SingleTaskGP
from botorch.models.deterministic import GenericDeterministicModel
from botorch.models.model import ModelList
from gpytorch.mlls import ExactMarginalLogLikelihood
from task import Digits, Task

from dnsearch.arrays import Floats

BATCH = 64


class KnownCost:
    """The greatest expected improvement is trained next, to the top rung."""

    def __init__(self, task: Task) -> None:
        self.task, self.rng = task, np.random.default_rng(task.seed)
        self.x = torch.tensor(task.digits / (np.array(task.radices) - 1), dtype=torch.double)
        # All objectives to be maximised, 0 at the reference point and of the order of 1.
        self.worst = task.reference
        self.scale = self.worst - np.array([0.0, *task.costs.min(axis=0)])
        self.known = torch.tensor((self.worst[1:] - task.costs) / self.scale[1:])
        self.rows = {tuple(map(int, row)): i for i, row in enumerate(task.digits)}
        self.trained: list[int] = []
        self.gains: list[float] = []
        first = 2 * (task.digits.shape[1] + 1)
        self.first = list(self.rng.permutation(len(task.digits))[:first])

    def ask(self) -> tuple[Digits, int]:
        """See ``Rival``."""
        free = [i for i in range(len(self.x)) if i not in set(self.trained)]
        if not free:
            raise StopIteration
        index = self.first.pop(0) if self.first else free[int(np.argmax(self.utility(free)))]
        return tuple(map(int, self.task.digits[index])), self.task.rungs[-1]

    def tell(self, trained: Digits, values: Floats) -> None:
        """See ``Rival``."""
        self.trained.append(self.rows[trained])
        self.gains.append((self.worst[0] - values[0]) / self.scale[0])

    def utility(self, free: list[int]) -> Floats:
        """Log expected improvement of the points not trained yet, (free,)."""
        torch.manual_seed(self.task.seed + len(self.trained))
        x = self.x[self.trained]
        error = SingleTaskGP(x, torch.tensor(self.gains, dtype=torch.double)[:, None])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit_gpytorch_mll(ExactMarginalLogLikelihood(error.likelihood, error))
            cost = GenericDeterministicModel(self._look_up, num_outputs=self.known.shape[1])
            acquisition = qLogNoisyExpectedHypervolumeImprovement(
                ModelList(error, cost),
                torch.zeros(len(self.worst)).tolist(),
                x,
                prune_baseline=True,
            )
            with torch.no_grad():
                parts = [acquisition(part[:, None]) for part in self.x[free].split(BATCH)]
        return torch.cat(parts).numpy()

    def _look_up(self, x: torch.Tensor) -> torch.Tensor:
        index = torch.cdist(x.reshape(-1, x.shape[-1]), self.x).argmin(dim=-1)
        return self.known[index].reshape(*x.shape[:-1], -1)


class PerMac(KnownCost):
    """The same, but improvement per MAC of training, BoTorch's inverse cost weighting; so the
    cheapest network comes first, as nothing is known beforehand."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.first = list(np.argsort(task.macs)[: 2 * (task.digits.shape[1] + 1)])

    def utility(self, free: list[int]) -> Floats:
        """Log expected improvement per MAC."""
        return super().utility(free) - np.log(self.task.macs[free])
