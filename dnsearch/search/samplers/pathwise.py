"""Draws of what the architectures that were trained truly score, from the surrogate's posterior.

Matheron's rule (Wilson et al. 2020, arXiv:2002.09309): a draw of function and noise from the prior,
corrected by what it misses the observed values by, is a draw from the posterior. So no posterior
covariance is computed; it takes two Cholesky factors of the prior's, one of the architectures' and
one of the rows'. The lines, whose variance is far larger, are drawn first and apart: what is left
is so well conditioned that single precision is enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.sparse import csr_array

from dnsearch.arrays import Floats, Indices
from dnsearch.search.samplers.covariance import CONSTANT, Parameters, Rows
from dnsearch.search.samplers.triangle import (
    Triangle,
    matern_triangle,
    solve_factor,
    sure_factor,
    times_factor,
)

Real = NDArray[Any]

SINGLE = 400
"""Rows from which on single precision is used."""

_NUGGET = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-8}
"""Share of its variance that a smooth function has of its own at each point, so that rounding does
not keep its Cholesky factor from existing."""


class TrainedErrors:
    """Draws of log error at the top rung, without noise, for the architecture of each row there."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows.take(np.argsort(rows.level, kind="stable"))
        self.surprise = self.rows.surprise[:, None]
        self._triangle = Triangle(self.rows)
        level, features = self.rows.level, self.rows.features
        self._archs = {each: _distinct(features[level == each]) for each in np.unique(level)}
        self._archs[0] = _distinct(features)  # all rungs measure the top rung's function
        runs, self._run = np.unique(self.rows.training, return_inverse=True)
        self._runs, at = len(runs), (self._run, np.arange(len(rows)))
        self._sum_by_run = csr_array((np.ones(len(rows), np.float32), at))

    def draw(
        self,
        p: Parameters,
        count: int,
        rng: np.random.Generator,
        precision: type[np.floating[Any]] | None = None,
    ) -> Real:
        """(count, rows at the top rung), in the order of these rows.

        ``precision``: of the large matrices; single for many rows unless given.
        """
        dtype = np.dtype(precision or (np.float32 if len(self.rows) >= SINGLE else np.float64))
        root = sure_factor(lambda of: self._triangle.matrix(p, of), dtype)
        level = self.rows.level
        of_run = (p.noise * p.shared)[level][:, None].astype(dtype)
        luck = _normals(self._runs, count, rng, dtype)  # of each training run
        missed = self.surprise - self._functions(p, root, count, rng, dtype)
        missed -= of_run * luck[self._run]
        lower = level > 0  # at the top rung all noise is the run's
        own = (p.noise * np.sqrt(1 - p.shared**2))[level[lower], None]
        missed[lower] -= own * _normals(len(own), count, rng, dtype)
        weights = solve_factor(root, solve_factor(root, missed.astype(dtype)), transposed=True)
        luck += self._sum_by_run @ (of_run * weights)
        return (self.rows.value[:, None] - of_run * luck[self._run])[~lower].T

    def _functions(
        self, p: Parameters, root: Real, count: int, rng: np.random.Generator, dtype: np.dtype[Any]
    ) -> Real:
        """Of each row draws of what it would be without noise, (n, count): lines that the values
        have told of, and deviations from them as the prior has them."""
        level, design = self.rows.level, self._design(p)
        found = design.astype(dtype) @ self._lines(root, design, count, rng).astype(dtype)
        archs, which = self._archs[0]
        smooth = _smooth(archs / p.scale, count, rng, dtype)
        found += (p.rho * p.deviation)[level][:, None].astype(dtype) * smooth[which]
        for each, (archs, which) in self._archs.items():
            if each:
                smooth = _smooth(archs / p.scale, count, rng, dtype)
                found[level == each] += dtype.type(p.offset[each]) * smooth[which]
        return found

    def _design(self, p: Parameters) -> Floats:
        """What constants and slopes, of unit variance, are multiplied by in each row: those of the
        top rung first, then those of each lower rung's offset, (n, levels x (1 + features))."""
        level, features = self.rows.level, self.rows.features
        line = np.column_stack([np.full(len(level), CONSTANT), self.rows.trend.sd * features])
        offsets = [(level == each)[:, None] * line for each in range(1, len(p.rho))]
        return np.hstack([p.rho[level][:, None] * line, *offsets])

    def _lines(self, root: Real, design: Floats, count: int, rng: np.random.Generator) -> Floats:
        """Draws of the constants and slopes given the values, whatever the rest of the function:
        (columns of the design, count)."""
        known = solve_factor(root, np.hstack([design, self.surprise]).astype(root.dtype))
        of_design, of_value = np.split(known.astype(np.float64), [-1], axis=1)
        precision = np.eye(design.shape[1]) + of_design.T @ of_design
        lower = cholesky(precision, lower=True)
        mean = cho_solve((lower, True), of_design.T @ of_value)
        luck = rng.standard_normal((len(lower), count))
        return mean + solve_triangular(lower, luck, lower=True, trans=1)


def _distinct(features: Floats) -> tuple[Floats, Indices]:
    """The rows without repetitions, and the position of each row among them, (n,)."""
    distinct, which = np.unique(features, axis=0, return_inverse=True)
    return distinct, which.ravel()


def _smooth(points: Floats, count: int, rng: np.random.Generator, dtype: np.dtype[Any]) -> Real:
    """Draws from the prior of a Matern 5/2 function of unit variance at distinct points, in units
    of its length scales: (n, count)."""

    def covariance(of: np.dtype[Any]) -> Real:
        matrix = matern_triangle(points, of)
        matrix[np.diag_indices_from(matrix)] += _NUGGET[of]
        return matrix

    root = sure_factor(covariance, dtype)
    return times_factor(root, _normals(len(points), count, rng, root.dtype)).astype(dtype)


def _normals(rows: int, count: int, rng: np.random.Generator, dtype: np.dtype[Any]) -> Real:
    return rng.standard_normal((rows, count), dtype=dtype)  # pyright: ignore
