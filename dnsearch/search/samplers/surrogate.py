"""The surrogate: a Gaussian process on log error, over architectures and rungs (``covariance``)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dnsearch.arrays import Floats
from dnsearch.search.samplers.covariance import (
    JITTER,
    Parameters,
    Rows,
    between,
    matern,
    squared_distances,
)
from dnsearch.search.samplers.growing import GrowingFactor
from dnsearch.search.samplers.triangle import Triangle, solve_factor, sure_factor

ROUGH = 1 / 8
"""Part of the rows by which standard deviations are estimated roughly, for a 64th of the work."""

_CHUNK = 1000
"""Points predicted at a time, so that their covariances stay in the processor's cache."""


class Surrogate:
    """The posterior, given rows and hyper-parameters. ``growing``: of these parameters, which keeps
    most of the factor for the next surrogate."""

    def __init__(
        self,
        rows: Rows,
        parameters: Parameters,
        growing: GrowingFactor | None = None,
    ) -> None:
        self.rows, self.parameters = rows.take(np.argsort(rows.level, kind="stable")), parameters
        self.centre = rows.centre
        if growing is None:
            self.root = sure_factor(self._matrix, np.dtype(np.float64))
        else:
            self.root = growing.of(self.rows)
        known = solve_factor(self.root, self.rows.surprise)
        self.weights = solve_factor(self.root, known, transposed=True)

    def mean(self, features: Floats) -> Floats:
        """Of log error at the top rung, (n,), in far less time than ``predict``."""
        mean = np.empty(len(features))
        for part in _parts(len(features)):
            mean[part] = self._mean(features[part], self._cross(features[part], 0))
        return mean

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of log error at the top rung, without noise: (n,), (n,)."""
        return self._predict(features, self.root)

    def roughly(self, features: Floats) -> tuple[Floats, Floats]:
        """The same mean, and a standard deviation that is as large or larger, in far less time
        where rows are many: what the first ``ROUGH`` of them leave unknown. Each row of the factor
        adds to what is known."""
        rows = math.ceil(len(self.rows) * ROUGH)
        return self._predict(features, np.ascontiguousarray(self.root[:rows, :rows]))

    def _predict(self, features: Floats, root: Floats) -> tuple[Floats, Floats]:
        mean, explained = np.empty(len(features)), np.empty(len(features))
        for part in _parts(len(features)):
            cross = self._cross(features[part], 0)
            mean[part] = self._mean(features[part], cross)
            known = solve_factor(root, cross[:, : len(root)].T)
            explained[part] = np.einsum("ij,ij->j", known, known)
        variance = self._prior_variance(features, 0, 0) - explained
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def joint(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean (n,) and covariance (n, n) of log error at the top rung, without noise, of these
        points together."""
        p, trend = self.parameters, self.rows.trend
        cross = between(features, 0, self.rows, p)
        mean = self.centre + trend.expected(features) + cross @ self.weights
        known = solve_factor(self.root, cross.T)
        return mean, self._prior_covariance(features, features) - known.T @ known

    def known(self, features: Floats, level: int = 0) -> Floats:
        """What the rows tell of these points at a level, (rows, n): their covariances with the
        rows, by the inverse of the factor."""
        return solve_factor(self.root, self._cross(features, level).T)

    def explained(self, features: Floats, level: int, top: Floats | None = None) -> Floats:
        """Share of the remaining variance of log error that a result at this level would explain,
        (n,), from 0 to 1. ``top``: what is ``known`` of the points, computed unless given."""
        top = self.known(features) if top is None else top
        low = self.known(features, level)
        variance = self._prior_variance(features, 0, 0) - np.einsum("ij,ij->j", top, top)
        of_low = self._prior_variance(features, level, level) - np.einsum("ij,ij->j", low, low)
        of_low += self.parameters.noise[level] ** 2
        shared = self._prior_variance(features, 0, level) - np.einsum("ij,ij->j", top, low)
        share = shared**2 / np.maximum(variance * of_low, 1e-12)
        return np.clip(share, 0.0, 1.0)

    def _mean(self, features: Floats, cross: Floats) -> Floats:
        return self.centre + self.rows.trend.expected(features) + cross @ self.weights

    def _cross(self, features: Floats, level: int) -> Floats:
        return between(features, level, self.rows, self.parameters)

    def _matrix(self, precision: np.dtype[Any]) -> NDArray[Any]:
        matrix = Triangle(self.rows, with_lines=True).matrix(self.parameters, precision)
        matrix[np.diag_indices_from(matrix)] += JITTER
        return matrix

    def _prior_covariance(self, a: Floats, b: Floats) -> Floats:
        """Of the top rung, without noise, at points (n, d) and (m, d): (n, m)."""
        p = self.parameters
        smooth = matern(np.sqrt(squared_distances(a / p.scale, b / p.scale)))
        return self.rows.trend.covariance(a, b) + p.deviation**2 * smooth

    def _prior_variance(self, features: Floats, a: int, b: int) -> Floats:
        p, trend = self.parameters, self.rows.trend.variance(features)
        variance = p.rho[a] * p.rho[b] * (trend + p.deviation**2)
        return variance + (trend + p.offset[a] ** 2 if a == b > 0 else 0.0)


class Narrowing:
    """The standard deviations of some points, as results at the top rung are believed to come out
    as a surrogate predicts them (the kriging believer of Ginsbourger et al. 2010,
    doi:10.1007/978-3-642-10701-6_6): means stay as they are, and standard deviations fall.

    The rows of the believed are appended to the surrogate's factor, but only what they add is kept:
    so each further one takes time in the points and the rows, not in the square of the rows.
    """

    def __init__(self, surrogate: Surrogate) -> None:
        rows, features = surrogate.rows.features.shape
        self._surrogate = surrogate
        self._believed, self._points = np.empty((0, features)), np.empty((0, features))
        self._known_believed, self._known = np.empty((rows, 0)), np.empty((rows, 0))
        self._root, self._shared = np.empty((0, 0)), np.empty((0, 0))
        self._before = np.empty(0)
        self._column: dict[bytes, int] = {}

    @property
    def sd(self) -> Floats:
        """Of log error at the top rung, without noise, of the points so far: (n,)."""
        variance = self._before - np.einsum("ij,ij->j", self._shared, self._shared)
        return np.sqrt(np.maximum(variance, 1e-12))

    def look_at(self, features: Floats) -> None:
        """More points, (n, d)."""
        known = self._surrogate.known(features)
        shared = self._posterior(self._believed, self._known_believed, features, known)
        if len(shared):
            shared = solve_factor(self._root, shared)
        before = self._surrogate._prior_variance(features, 0, 0)
        before -= np.einsum("ij,ij->j", known, known)
        start = len(self._points)
        self._column |= {point.tobytes(): start + at for at, point in enumerate(features)}
        self._points = np.vstack([self._points, features])
        self._known = np.hstack([self._known, known])
        self._shared = np.hstack([self._shared, shared])
        self._before = np.concatenate([self._before, before])

    def known(self, features: Floats) -> Floats:
        """As of the surrogate, of points that were mostly looked at before."""
        columns = [self._column.get(point.tobytes(), -1) for point in features]
        return self._surrogate.known(features) if -1 in columns else self._known[:, columns]

    def believe(self, features: Floats) -> None:
        """Results for these, (k, d)."""
        count, known = len(self._believed), self.known(features)
        own = self._posterior(features, known, features, known)
        own[np.diag_indices_from(own)] += self._surrogate.parameters.noise[0] ** 2 + JITTER
        new = self._posterior(features, known, self._points, self._known)
        root = np.zeros((count + len(features),) * 2)
        if count:
            across = self._posterior(self._believed, self._known_believed, features, known)
            across = solve_factor(self._root, across)
            own -= across.T @ across
            new -= across.T @ self._shared
            root[:count, :count], root[count:, :count] = self._root, across.T
        corner = sure_factor(lambda _: own, np.dtype(np.float64))
        root[count:, count:] = np.tril(corner)
        self._shared = np.vstack([self._shared, solve_factor(corner, new)])
        self._believed = np.vstack([self._believed, features])
        self._known_believed, self._root = np.hstack([self._known_believed, known]), root

    def _posterior(self, a: Floats, known_a: Floats, b: Floats, known_b: Floats) -> Floats:
        """Covariance of points given the surrogate's rows alone, (n, m)."""
        return self._surrogate._prior_covariance(a, b) - known_a.T @ known_b


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))
