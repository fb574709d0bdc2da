"""Covariances of many rows, fast: lower triangles alone, part by part in the processor's cache.

The same figures as ``covariance.Covariance``, without derivatives. Matrices here are (n, n) in C
order with only their lower triangle valid; in single precision (the dtype is the caller's) a
Cholesky factor takes half the time, and so do the passes over memory that it is computed in.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.linalg import get_blas_funcs, get_lapack_funcs

from dnsearch.arrays import Floats, Indices
from dnsearch.search.samplers.covariance import ROOT5, Parameters, Rows

Real = NDArray[Any]
"""Of single or double precision."""

_PART = 64
"""Rows computed at a time: with 2,000 columns what is held of them fits a second-level cache."""


class Triangle:
    """The covariance of rows that are sorted by level, with their noise; without the constants and
    linear trends unless ``with_lines``."""

    def __init__(self, rows: Rows, with_lines: bool = False) -> None:
        self.rows = rows
        self._ends = np.searchsorted(rows.level, np.arange(1, rows.level.max(initial=0) + 2))
        self._pairs = _pairs(rows.training)
        self._with_lines = with_lines

    def matrix(self, p: Parameters, dtype: DTypeLike = np.float64) -> Real:
        """(n, n)."""
        rows, level, lower = (
            self.rows,
            self.rows.level,
            np.diag(np.arange(len(p.rho)) > 0).astype(np.float64),
        )
        found = matern_triangle(self.rows.features / p.scale, np.dtype(dtype))
        lines = np.outer(p.rho, p.rho) + lower  # by two rows' levels, what multiplies the trend
        smooth = np.outer(p.rho, p.rho) * p.deviation**2 + lower * p.offset**2
        for start, end in self._parts():
            each, part = level[start], found[start:end, :end]
            part *= smooth[each, level[:end]].astype(dtype)
            if self._with_lines:
                trend = rows.trend.covariance(rows.features[start:end], rows.features[:end])
                trend *= lines[each, level[:end]]
                part += trend
        self._add_noise(found, p)
        return found

    def _parts(self) -> Iterator[tuple[int, int]]:
        """Rows of one level, a few at a time."""
        for first, last in itertools.pairwise([0, *self._ends.tolist()]):
            for start in range(first, last, _PART):
                yield start, min(start + _PART, last)

    def _add_noise(self, matrix: Real, p: Parameters) -> None:
        level, (later, earlier) = self.rows.level, self._pairs
        shared = (p.noise * p.shared)[level]
        matrix[later, earlier] += shared[later] * shared[earlier]
        matrix.reshape(-1)[:: len(matrix) + 1] += p.noise[level] ** 2


def matern_triangle(scaled: Floats, dtype: np.dtype[Any]) -> Real:
    """Matern 5/2 correlations of points (n, d) in units of length scales, (n, n)."""
    points, count = ROOT5 * scaled, len(scaled)
    squares, ones = (points**2).sum(axis=1), np.ones(count)
    # |a - b|^2 as one matrix product: (a, |a|^2, 1) (-2 b, 1, |b|^2).
    left = np.column_stack([points, squares, ones])
    right = np.ascontiguousarray(np.column_stack([-2 * points, ones, squares]).T)
    found = np.zeros((count, count), dtype)
    scratch = (
        np.empty(_PART * count),
        np.empty(_PART * count, dtype),
        np.empty(_PART * count, dtype),
    )
    for start in range(0, count, _PART):
        end = min(start + _PART, count)
        shape = end - start, end
        squared, distance, factor = (each[: math.prod(shape)].reshape(shape) for each in scratch)
        np.matmul(left[start:end], right[:, :end], out=squared)
        distance[...] = np.maximum(squared, 0.0, out=squared)
        np.sqrt(distance, out=distance)
        np.multiply(distance, 1 / 3, out=factor)
        factor += 1
        factor *= distance
        factor += 1
        np.exp(np.negative(distance, out=distance), out=distance)
        np.multiply(factor, distance, out=found[start:end, :end])
    return found


def factor(matrix: Real) -> Real | None:
    """The Cholesky factor, (n, n), in the place of the matrix; None where that is not positive
    definite."""
    found, failed = _blas("potrf", matrix.dtype)(
        matrix.T, lower=0, overwrite_a=1, clean=0
    )  # in Fortran's order, so .T
    return None if failed else found.T


def sure_factor(matrix: Callable[[np.dtype[Any]], Real], dtype: np.dtype[Any]) -> Real:
    """The Cholesky factor of the matrix that is computed in this precision, or, where rounding has
    made that indefinite, in double precision.

    Raises LinAlgError where it is indefinite in that too.
    """
    root = factor(matrix(dtype))
    if root is None and dtype != np.float64:
        root = factor(matrix(np.dtype(np.float64)))
    if root is None:
        raise np.linalg.LinAlgError("a covariance of the surrogate is not positive definite")
    return root


def solve_factor(root: Real, values: Real, transposed: bool = False) -> Real:
    """root^-1 values, or root^-T values; (n,) or (n, k)."""
    columns, trsm = values.reshape(len(values), -1), _blas("trsm", root.dtype)
    return trsm(1.0, root.T, columns, lower=0, trans_a=not transposed).reshape(values.shape)


def times_factor(root: Real, values: Real) -> Real:
    """root values, (n, k)."""
    return _blas("trmm", root.dtype)(1.0, root.T, values, lower=0, trans_a=1)


@functools.cache
def _blas(name: str, dtype: np.dtype[Any]) -> Callable[..., Any]:
    """A function of BLAS or LAPACK for this precision."""
    find = get_lapack_funcs if name == "potrf" else get_blas_funcs
    return find([name], dtype=dtype)[0]


def _pairs(training: Indices) -> tuple[Indices, Indices]:
    """Positions of any two rows of one training, the later first."""
    order = np.argsort(training, kind="stable")
    later, earlier = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for apart in range(1, len(order)):
        same = training[order[apart:]] == training[order[:-apart]]
        if not same.any():
            break
        later.append(order[apart:][same])
        earlier.append(order[:-apart][same])
    return np.concatenate(later), np.concatenate(earlier)
