"""The Cholesky factor of a covariance that gets a few more rows from proposal to proposal."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnsearch.arrays import Floats
from dnsearch.search.samplers.covariance import JITTER, Parameters, Rows, between
from dnsearch.search.samplers.triangle import Triangle, factor, solve_factor

BLOCK = 32
"""Rows that are appended to what is kept together. Fewer stay with those that change."""

Real = NDArray[Any]


class GrowingFactor:
    """Of rows sorted by level: those at the top rung only become more, those at lower rungs change.

    ``first``: how many of the top rung's rows are factored at once; blocks of the others are
    appended. So the factor is the same to the bit whether it has grown or is made anew: what is
    kept is a cache.
    """

    def __init__(self, parameters: Parameters, first: int) -> None:
        self.parameters, self.first = parameters, first
        self._root, self._features = np.empty((0, 0)), np.empty((0, 0))

    def of(self, rows: Rows) -> Real:
        """The factor (n, n), of which the lower triangle counts, with ``JITTER``.

        Raises LinAlgError where the covariance is indefinite.
        """
        tops = int(np.searchsorted(rows.level, 0, side="right"))
        lasting = self.first + max(0, tops - self.first) // BLOCK * BLOCK
        kept = len(self._root)
        known = kept and kept <= lasting and np.array_equal(self._features, rows.features[:kept])
        if not known:
            kept = min(self.first, tops)
            self._root = _appended(np.empty((0, 0)), rows.take(np.arange(kept)), self.parameters)
        for end in range(kept + BLOCK, lasting + 1, BLOCK):
            self._root = _appended(self._root, rows.take(np.arange(end)), self.parameters)
        self._features = rows.features[: len(self._root)]
        return _appended(self._root, rows, self.parameters)


def _appended(root: Real, rows: Rows, p: Parameters) -> Real:
    """The factor of these rows, given that of the first of them."""
    start, count = len(root), len(rows)
    if start == count:
        return root
    found = np.empty((count, count))
    if start:
        last = _last(rows, start, p)
        found[:start, :start] = root
        found[start:, :start] = solve_factor(root, np.ascontiguousarray(last[:, :start].T)).T
        rest = last[:, start:] - found[start:, :start] @ found[start:, :start].T
    else:
        rest = Triangle(rows, with_lines=True).matrix(p)
        rest[np.diag_indices_from(rest)] += JITTER
    corner = factor(np.ascontiguousarray(rest))
    if corner is None:
        raise np.linalg.LinAlgError("a covariance of the surrogate is not positive definite")
    found[start:, start:] = corner
    return found


def _last(rows: Rows, start: int, p: Parameters) -> Floats:
    """The covariance of the rows from ``start`` on with all, with noise, (m, n)."""
    level, training = rows.level[start:], rows.training[start:, None]
    found = np.vstack(
        [between(rows.features[start:][level == each], each, rows, p) for each in np.unique(level)]
    )
    shared = p.noise * p.shared
    same = training == rows.training
    found += same * np.outer(shared[level], shared[rows.level])
    at = np.arange(len(found))
    found[at, start + at] += p.noise[level] ** 2 - shared[level] ** 2 + JITTER
    return found
