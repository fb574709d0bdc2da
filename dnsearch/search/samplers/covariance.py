"""What the surrogate assumes: observed rows, hyper-parameters, and the covariance they imply.

The top rung's log error is m + f: m is what mean slopes say beforehand, and f is a constant plus a
linear trend (a power law in every feature that is a logarithm) plus a smooth deviation, Matern 5/2
with one length scale a feature. A lower rung l is

    z_l(x) = m(x) + rho_l f(x) + offset_l(x),

an autoregressive model as of Kennedy & O'Hagan (2000, doi:10.1093/biomet/87.1.1), whose offset has
its own constant, trend and deviation. Each rung has its noise: what another seed would change.
Rungs of one training share a part of it, so a lucky start is not taken for a good architecture.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnsearch.arrays import Floats, Indices

CONSTANT, TREND = 1.0, 0.2
"""Prior standard deviations of the constants, and of slopes in scaled features of which nothing is
known: few networks are three times as good as others of their space."""

JITTER = 1e-8
"""Added to variances of rows, so that equal rows without noise have a Cholesky factor."""

ROOT5 = np.sqrt(5.0)


@dataclass(frozen=True)
class Trend:
    """The normal prior of the slopes of log error, by feature: ``mean`` and standard deviation
    ``sd``, each (d,) or the same for all features. Offsets of lower rungs have the same ``sd``
    about no slope."""

    mean: Floats | float = 0.0
    sd: Floats | float = TREND

    def expected(self, features: Floats) -> Floats:
        """What the mean slopes add to log error at these points (n, d): (n,)."""
        return (features * self.mean).sum(axis=1)

    def covariance(self, a: Floats, b: Floats) -> Floats:
        """Of the lines' values at points a (n, d) and b (m, d), (n, m), their constants' too."""
        return CONSTANT**2 + (a * self.sd) @ (b * self.sd).T

    def variance(self, features: Floats) -> Floats:
        """Of the lines' values at points (n, d), (n,)."""
        return CONSTANT**2 + ((features * self.sd) ** 2).sum(axis=1)


@dataclass(frozen=True)
class Rows:
    """What was observed. ``features`` (n, d), ``level`` (n,): 0 for the top rung, 1, 2, ... for
    lower ones; ``training`` (n,): which rows come from one training; ``value`` (n,): log error, or
    a lower rung's signal of it; ``trend``: what is believed of slopes beforehand."""

    features: Floats
    level: Indices
    training: Indices
    value: Floats
    trend: Trend = Trend()

    def __len__(self) -> int:
        return len(self.value)

    def take(self, rows: NDArray[np.bool_] | Indices) -> Rows:
        """These of the rows, by a mask or by their positions."""
        return Rows(
            self.features[rows],
            self.level[rows],
            self.training[rows],
            self.value[rows],
            self.trend,
        )

    @property
    def checksum(self) -> str:
        """Of all that a surrogate is made from but its hyper-parameters."""
        found = hashlib.sha256()
        own = self.features, self.level, self.training, self.value
        for each in (*own, self.trend.mean, self.trend.sd):
            found.update(np.ascontiguousarray(each).tobytes())
        return found.hexdigest()

    @property
    def centre(self) -> float:
        """A level for log error to vary about the mean slopes; the constant's prior is wide, so it
        hardly matters."""
        left, top = self.value - self.trend.expected(self.features), self.level == 0
        return float(np.mean(left[top] if top.any() else left))

    @property
    def surprise(self) -> Floats:
        """What is left of the values once centre and mean slopes are taken off, (n,): what the
        covariance is of."""
        return self.value - self.centre - self.trend.expected(self.features)


@dataclass(frozen=True)
class Parameters:
    """Hyper-parameters. ``scale`` (d,) are length scales in standard deviations of a feature,
    ``deviation`` the standard deviation of f about its trend; by level, (levels,), the top rung at
    0: ``noise``, ``rho``, ``offset`` (deviation of the offset) and ``shared``, the correlation of
    its noise with that of the top rung of the same training."""

    scale: Floats
    deviation: float
    noise: Floats
    rho: Floats
    offset: Floats
    shared: Floats

    @classmethod
    def unpack(cls, vector: Floats, features: int) -> Parameters:
        """From the vector that they are fitted as, (features + 2 + 4 x lower levels,): unbounded,
        so logarithms of what is positive."""
        positive = np.exp(vector)
        deviation, noise, *_ = positive[features:]
        lower, logs = vector[features + 2 :].reshape(-1, 4), positive[features + 2 :].reshape(-1, 4)
        return cls(
            scale=positive[:features],
            deviation=float(deviation),
            noise=np.array([noise, *logs[:, 0]]),
            rho=np.array([1.0, *lower[:, 1]]),
            offset=np.array([0.0, *logs[:, 2]]),
            shared=np.array([1.0, *np.tanh(lower[:, 3])]),
        )


def matern(distance: Floats) -> Floats:
    """Matern 5/2 correlation at these scaled distances, of any shape."""
    scaled = ROOT5 * distance
    factor = scaled / 3  # in place from here on: of many points most of the time goes to memory
    factor += 1
    factor *= scaled
    factor += 1
    factor *= np.exp(np.negative(scaled, out=scaled), out=scaled)
    return factor


def squared_distances(a: Floats, b: Floats) -> Floats:
    """Of each of ``a`` (n, d) to each of ``b`` (m, d), (n, m)."""
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)
    squared -= 2 * a @ b.T
    return np.maximum(squared, 0.0, out=squared)


def between(features: Floats, level: int, rows: Rows, p: Parameters) -> Floats:
    """Covariance of these points (n, d) at one level with the rows, (n, rows)."""
    distance = squared_distances(features / p.scale, rows.features / p.scale)
    correlation = matern(np.sqrt(distance, out=distance))
    trend = rows.trend.covariance(features, rows.features)
    same = np.flatnonzero(rows.level == level) if level else np.empty(0, np.intp)
    own = trend[:, same] + p.offset[level] ** 2 * correlation[:, same]
    correlation *= p.deviation**2
    trend += correlation
    trend *= p.rho[level] * p.rho[rows.level]
    trend[:, same] += own
    return trend


class Parts(NamedTuple):
    """A covariance of rows and what it was made of, each (n, n)."""

    matrix: Floats
    distance: Floats
    matern: Floats
    of_top: Floats
    offset: Floats
    noise: Floats


class Covariance:
    """The covariance of the rows, with what does not depend on hyper-parameters computed once."""

    def __init__(self, rows: Rows, levels: int) -> None:
        self.level, self.levels = rows.level, levels
        self.squares = (rows.features[:, None, :] - rows.features[None, :, :]) ** 2
        self.trend = rows.trend.covariance(rows.features, rows.features)
        self.same_training = rows.training[:, None] == rows.training
        self.same_lower = (rows.level[:, None] == rows.level) & (rows.level > 0)

    def matrix(self, p: Parameters) -> Floats:
        """With noise, (n, n)."""
        return self.parts(p).matrix

    def parts(self, p: Parameters) -> Parts:
        """The same with its parts, for derivatives."""
        distance = np.sqrt(self.squares @ p.scale**-2)
        correlation = matern(distance)
        rho = p.rho[self.level]
        of_top = self.trend + p.deviation**2 * correlation
        offset = self.same_lower * p.offset[self.level] ** 2
        noise = self._noise(p)
        matrix = np.outer(rho, rho) * of_top + self.same_lower * self.trend + offset * correlation
        matrix += noise
        matrix[np.diag_indices_from(matrix)] += JITTER
        return Parts(matrix, distance, correlation, of_top, offset, noise)

    def _noise(self, p: Parameters) -> Floats:
        shared = (p.noise * p.shared)[self.level]
        noise = self.same_training * np.outer(shared, shared)
        noise[np.diag_indices_from(noise)] = p.noise[self.level] ** 2
        return noise
