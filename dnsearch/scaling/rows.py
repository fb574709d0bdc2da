"""Training runs as rows to fit: one an architecture and amount of data, its seeds' mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from dnsearch.arrays import Floats, Ints
from dnsearch.errors import ConfigError
from dnsearch.scaling.powerlaw import Problem, Solution


@dataclass(frozen=True, eq=False)
class Rows:
    """Training runs, and their means by architecture and sizes.

    names: of the sizes. sizes: (rows, k). log_error, seeds, clusters: (rows,), rows of one
    architecture in the same cluster. each: log error of every training run, of: its row,
    (trainings,).
    """

    names: tuple[str, ...]
    sizes: Floats
    log_error: Floats
    seeds: Ints
    clusters: Ints
    each: Floats
    of: Ints

    @property
    def architectures(self) -> int:
        """How many there are."""
        return len(np.unique(self.clusters))

    @property
    def seed_sd(self) -> float:
        """Standard deviation of log error between seeds; NaN from one seed each."""
        more = len(self.each) - len(self.seeds)
        rest = self.each - self.log_error[self.of]
        return math.sqrt((rest**2).sum() / more) if more else math.nan

    def span(self, size: int) -> tuple[float, float]:
        """The least and the largest of a size, by its number."""
        return float(self.sizes[:, size].min()), float(self.sizes[:, size].max())

    def keep(self, rows: ArrayLike) -> Rows:
        """Some of the rows, by a mask (rows,), with their training runs."""
        rows = np.asarray(rows, dtype=np.bool_)
        number = np.cumsum(rows) - 1
        trainings = rows[self.of]
        clusters = np.unique(self.clusters[rows], return_inverse=True)[1]
        return replace(
            self,
            sizes=self.sizes[rows],
            log_error=self.log_error[rows],
            seeds=self.seeds[rows],
            clusters=clusters,
            each=self.each[trainings],
            of=number[self.of[trainings]],
        )

    def with_means(self, sizes: Floats, log_error: Floats) -> Rows:
        """These rows and new architectures of one training run each, at ``sizes`` (new, k)."""
        new = np.arange(len(log_error))
        return replace(
            self,
            sizes=np.vstack([self.sizes, sizes]),
            log_error=np.concatenate([self.log_error, log_error]),
            seeds=np.concatenate([self.seeds, np.ones_like(new)]),
            clusters=np.concatenate([self.clusters, self.clusters.max() + 1 + new]),
            each=np.concatenate([self.each, log_error]),
            of=np.concatenate([self.of, len(self.seeds) + new]),
        )

    def solve(self) -> tuple[Solution, Floats]:
        """The fit, and the middle of the log sizes it is made about, (k,).

        A mean of more seeds is worth more, as far as the scatter is the seeds'.
        """
        logs = np.log(self.sizes)
        middle = (logs.min(axis=0) + logs.max(axis=0)) / 2
        problem = Problem(
            logs - middle, self.log_error, np.ones(len(self.log_error)), self.clusters
        )
        solution = problem.solve()
        sd = self.sd_of(solution.problem.scale)
        if len(set(sd)) > 1:
            solution = replace(problem, sd=sd).solve()
        return solution, middle

    def sd_of(self, scale: float) -> Floats:
        """Standard deviations of the rows about a curve up to a factor, (rows,), where that of all
        together is ``scale``."""
        if not math.isfinite(self.seed_sd):
            return np.ones(len(self.seeds))
        of_seeds = self.seed_sd**2 / self.seeds
        variance = max(0.0, scale**2 - of_seeds.mean()) + of_seeds
        return np.sqrt(variance / variance.mean()) if variance.any() else np.ones(len(variance))


def rows_of(
    sizes: ArrayLike, error: ArrayLike, architecture: ArrayLike, names: Sequence[str]
) -> Rows:
    """Training runs as ``law.fit_law`` takes them, checked.

    Raises ConfigError for none at all, for lengths that differ, and for a figure that is not finite
    and positive.
    """
    errors = np.asarray(error, dtype=np.float64)
    table = np.asarray(sizes, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    keys = np.asarray(architecture)
    if table.shape != (len(errors), len(names)) or keys.shape != errors.shape:
        raise ConfigError("sizes, error and architecture", "must have one row a training run")
    if not len(errors):
        raise ConfigError("error", "must hold at least one training run")
    for name, values in (("error", errors), *zip(names, table.T, strict=True)):
        bad = values[~(np.isfinite(values) & (values > 0))]
        if len(bad):
            raise ConfigError(name, "must be finite and above 0", float(bad[0]))
    return _grouped(table, np.log(errors), keys, tuple(names))


def _grouped(sizes: Floats, logs: Floats, keys: np.ndarray, names: tuple[str, ...]) -> Rows:
    """Means of log errors (trainings,) over those of the same key and sizes (trainings, k)."""
    numbers = np.unique(keys, return_inverse=True)[1]
    cells = np.column_stack([numbers.astype(np.float64), sizes])
    cells, of = np.unique(cells, axis=0, return_inverse=True)
    of = of.ravel()
    seeds = np.bincount(of)
    means = np.bincount(of, weights=logs) / seeds
    return Rows(names, cells[:, 1:], means, seeds, cells[:, 0].astype(np.int64), logs, of)
