"""The surrogate: a Gaussian process on log error, over architectures and rungs.

The top rung's log error f is a constant plus a linear trend (a power law in every feature that is a
logarithm) plus a smooth deviation, Matern 5/2 with one length scale a feature. A lower rung l is

    z_l(x) = rho_l f(x) + offset_l(x),

an autoregressive model as of Kennedy & O'Hagan (2000, doi:10.1093/biomet/87.1.1), whose offset has
its own constant, trend and deviation. Each rung has its noise: what another seed would change.
Rungs of one training share a part of it, so a lucky start is not taken for a good architecture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

CONSTANT, TREND = 1.0, 0.2
"""Prior standard deviations of the constants, and of the change of log error a standard deviation
of a feature: few networks are three times as good as others of their space."""

JITTER = 1e-8
STARTS = 2
ITERATIONS = 60
MOST_FITTED = 160
"""Rows that hyper-parameters are fitted to; predictions use all of them."""

STEPS = 30
"""Between two draws of hyper-parameters, so that they hardly depend on each other."""

_ROOT5 = np.sqrt(5.0)
_CHUNK = 1000
"""Points predicted at a time, so that their covariances stay in the processor's cache."""


@dataclass(frozen=True)
class Rows:
    """What was observed. ``features`` (n, d), ``level`` (n,): 0 for the top rung, 1, 2, ... for
    lower ones; ``training`` (n,): which rows come from one training; ``value`` (n,): log error, or
    a lower rung's signal of it."""

    features: Floats
    level: Ints
    training: Ints
    value: Floats

    def __len__(self) -> int:
        return len(self.value)

    def take(self, rows: NDArray[np.bool_] | Ints) -> Rows:
        return Rows(self.features[rows], self.level[rows], self.training[rows], self.value[rows])

    def and_also(self, features: Floats, value: Floats) -> Rows:
        """These rows, and further ones at the top rung, each a training of its own."""
        new = len(features)
        after = 1 + self.training.max(initial=-1)
        return Rows(
            np.vstack([self.features, features]),
            np.concatenate([self.level, np.zeros(new, np.intp)]),
            np.concatenate([self.training, np.arange(after, after + new)]),
            np.concatenate([self.value, value]),
        )


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
        lower = vector[features + 2 :].reshape(-1, 4)
        return cls(
            scale=np.exp(vector[:features]),
            deviation=float(np.exp(vector[features])),
            noise=np.exp(np.append(vector[features + 1], lower[:, 0])),
            rho=np.append(1.0, lower[:, 1]),
            offset=np.append(0.0, np.exp(lower[:, 2])),
            shared=np.append(1.0, np.tanh(lower[:, 3])),
        )


def _prior(features: int, lower: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the packed hyper-parameters' normal prior.

    Length scales grow with the square root of the dimension (Hvarfner et al. 2024,
    arXiv:2402.02229). Deviations and noise are shares of the error: 10 and 4 % beforehand.
    """
    mean = [0.5 + 0.5 * np.log(features)] * features + [np.log(0.1), np.log(0.04)]
    sd = [0.8] * features + [0.7, 0.7]
    mean += [np.log(0.08), 1.0, np.log(0.08), 0.3] * lower
    sd += [0.7, 0.5, 0.7, 0.4] * lower
    return np.array(mean), np.array(sd)


class Surrogate:
    """The posterior, given rows and hyper-parameters."""

    def __init__(self, rows: Rows, parameters: Parameters) -> None:
        self.rows, self.parameters = rows, parameters
        matrix = _Covariance(rows, len(parameters.noise)).matrix(parameters)
        self.root = cholesky(matrix, lower=True)
        self.centre = _centre(rows)
        self.weights = cho_solve((self.root, True), rows.value - self.centre)

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of log error at the top rung, without noise: (n,), (n,)."""
        mean, explained = np.empty(len(features)), np.empty(len(features))
        for start in range(0, len(features), _CHUNK):
            part = slice(start, start + _CHUNK)
            cross = _between(features[part], 0, self.rows, self.parameters)
            mean[part] = self.centre + cross @ self.weights
            known = solve_triangular(self.root, cross.T, lower=True, check_finite=False)
            explained[part] = np.einsum("ij,ij->j", known, known)
        variance = self._prior_variance(features, 0, 0) - explained
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def joint(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean (n,) and covariance (n, n) of log error at the top rung, without noise."""
        p, mean = self.parameters, self.predict(features)[0]
        known = self._known(features, 0)
        scaled = features / p.scale
        distance = np.sqrt(_squared_distances(scaled, scaled))
        np.fill_diagonal(distance, 0.0)
        trend = CONSTANT**2 + TREND**2 * features @ features.T
        return mean, trend + p.deviation**2 * _matern(distance) - known.T @ known

    def explained(self, features: Floats, level: int) -> Floats:
        """Share of the remaining variance of log error that a result at this level would explain,
        (n,), from 0 to 1."""
        top = self._known(features, 0)
        low = self._known(features, level)
        variance = self._prior_variance(features, 0, 0) - np.einsum("ij,ij->j", top, top)
        of_low = self._prior_variance(features, level, level) - np.einsum("ij,ij->j", low, low)
        of_low += self.parameters.noise[level] ** 2
        shared = self._prior_variance(features, 0, level) - np.einsum("ij,ij->j", top, low)
        share = shared**2 / np.maximum(variance * of_low, 1e-12)
        return np.clip(share, 0.0, 1.0)

    def believing(self, features: Floats) -> Surrogate:
        """As if the top rung of these had come out as predicted (the kriging believer of
        Ginsbourger et al. 2010, doi:10.1007/978-3-642-10701-6_6)."""
        if not len(features):
            return self
        mean, _ = self.predict(features)
        return Surrogate(self.rows.and_also(features, mean), self.parameters)

    def _known(self, features: Floats, level: int) -> Floats:
        cross = _between(features, level, self.rows, self.parameters)
        return solve_triangular(self.root, cross.T, lower=True)

    def _prior_variance(self, features: Floats, a: int, b: int) -> Floats:
        p, trend = self.parameters, CONSTANT**2 + TREND**2 * (features**2).sum(axis=1)
        variance = p.rho[a] * p.rho[b] * (trend + p.deviation**2)
        return variance + (trend + p.offset[a] ** 2 if a == b > 0 else 0.0)


def _centre(rows: Rows) -> float:
    """A level for log error to vary about; the constant's prior is wide, so it hardly matters."""
    top = rows.value[rows.level == 0]
    return float(np.mean(top if len(top) else rows.value))


def _matern(distance: Floats) -> Floats:
    scaled = _ROOT5 * distance
    return (1 + scaled * (1 + scaled / 3)) * np.exp(-scaled)


def _between(features: Floats, level: int, rows: Rows, p: Parameters) -> Floats:
    """Covariance of these points at one level with the rows, (n, rows)."""
    squared = _squared_distances(features / p.scale, rows.features / p.scale)
    matern = _matern(np.sqrt(squared))
    trend = CONSTANT**2 + TREND**2 * features @ rows.features.T
    cross = (p.rho[level] * p.rho[rows.level]) * (trend + p.deviation**2 * matern)
    if level:
        cross += (rows.level == level) * (trend + p.offset[level] ** 2 * matern)
    return cross


def _squared_distances(a: Floats, b: Floats) -> Floats:
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.maximum(squared, 0.0)


class _Covariance:
    """The covariance of the rows and its derivatives, with what does not change computed once."""

    def __init__(self, rows: Rows, levels: int) -> None:
        self.level, self.levels = rows.level, levels
        self.squares = (rows.features[:, None, :] - rows.features[None, :, :]) ** 2
        self.trend = CONSTANT**2 + TREND**2 * rows.features @ rows.features.T
        self.same_training = rows.training[:, None] == rows.training
        self.same_lower = (rows.level[:, None] == rows.level) & (rows.level > 0)

    def matrix(self, p: Parameters) -> Floats:
        return self._parts(p)[0]

    def _parts(self, p: Parameters) -> tuple[Floats, ...]:
        distance = np.sqrt(self.squares @ p.scale**-2)
        matern = _matern(distance)
        rho = p.rho[self.level]
        of_top = self.trend + p.deviation**2 * matern
        offset = self.same_lower * p.offset[self.level] ** 2
        noise = self._noise(p)
        matrix = np.outer(rho, rho) * of_top + self.same_lower * self.trend + offset * matern
        matrix += noise
        matrix[np.diag_indices_from(matrix)] += JITTER
        return matrix, distance, matern, of_top, offset, noise

    def _noise(self, p: Parameters) -> Floats:
        shared = (p.noise * p.shared)[self.level]
        noise = self.same_training * np.outer(shared, shared)
        noise[np.diag_indices_from(noise)] = p.noise[self.level] ** 2
        return noise

    def likelihood(self, p: Parameters, value: Floats) -> float:
        """Log density of the values, but for a constant."""
        try:
            root = cholesky(self.matrix(p), lower=True)
        except np.linalg.LinAlgError:
            return -np.inf
        known = solve_triangular(root, value, lower=True)
        return float(-0.5 * known @ known - np.log(np.diag(root)).sum())

    def loss(self, vector: Floats, value: Floats) -> tuple[float, Floats]:
        """Negative log posterior density of packed hyper-parameters, and its gradient."""
        count = self.squares.shape[2]
        p = Parameters.unpack(vector, count)
        matrix, distance, matern, of_top, offset, noise = self._parts(p)
        mean, sd = _prior(count, self.levels - 1)
        penalty = (vector - mean) / sd
        try:
            root = cholesky(matrix, lower=True)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(vector)
        inverse = cho_solve((root, True), np.eye(len(value)))
        weights = inverse @ value
        loss = 0.5 * value @ weights + np.log(np.diag(root)).sum() + 0.5 * penalty @ penalty
        slope = 0.5 * (inverse - np.outer(weights, weights))  # of the loss in the matrix
        rho = p.rho[self.level]
        smooth = np.outer(rho, rho) * p.deviation**2
        # The derivative of Matern 5/2 in log scale is 5/3 (1 + sqrt5 r) exp(-sqrt5 r) times the
        # squared scaled difference.
        bend = 5 / 3 * (1 + _ROOT5 * distance) * np.exp(-_ROOT5 * distance)
        gradient = np.empty_like(vector)
        inner = slope * (smooth + offset) * bend
        gradient[:count] = np.einsum("ij,ijd->d", inner, self.squares) * p.scale**-2
        gradient[count] = 2 * (slope * smooth * matern).sum()
        by_row = 2 * (slope * noise).sum(axis=1)
        gradient[count + 1] = by_row[self.level == 0].sum()
        tops, diagonal = slope * of_top, np.diag_indices_from(noise)
        noise[diagonal] = 0.0
        apart = 2 * (slope * noise).sum(axis=1)
        for lower in range(1, self.levels):
            rows = self.level == lower
            change = 1 - p.shared[lower] ** 2  # of tanh
            gradient[count + 4 * lower - 2 : count + 4 * lower + 2] = (
                by_row[rows].sum(),
                2 * (tops[rows] @ rho).sum(),
                2 * (slope * (offset * rows) * matern).sum(),
                apart[rows].sum() * change / p.shared[lower] if p.shared[lower] else 0.0,
            )
        return float(loss), gradient + penalty / sd


class _Posterior:
    """Of packed hyper-parameters, given rows. ``levels`` that have no rows yet keep their prior.
    More than ``MOST_FITTED`` rows are thinned to a random part of the trainings."""

    def __init__(self, rows: Rows, rng: np.random.Generator, levels: int) -> None:
        if len(rows) > MOST_FITTED:
            trainings = np.unique(rows.training)
            few = max(1, int(len(trainings) * MOST_FITTED / len(rows)))
            rows = rows.take(np.isin(rows.training, rng.choice(trainings, few, replace=False)))
        self.rng, self.features = rng, rows.features.shape[1]
        self.covariance = _Covariance(rows, levels)
        self.value = rows.value - _centre(rows)
        self.mean, self.sd = _prior(self.features, levels - 1)

    def greatest(self) -> Floats:
        """Where the density is greatest, by the best of several starts."""
        mean, sd = self.mean, self.sd
        starts = [mean, *(mean + sd * self.rng.standard_normal((STARTS - 1, len(mean))))]
        bounds = np.column_stack([mean - 4 * sd, mean + 4 * sd])
        found = [
            minimize(
                self.covariance.loss, start, (self.value,), jac=True, method="L-BFGS-B",
                bounds=bounds, options={"maxiter": ITERATIONS},
            )
            for start in np.clip(starts, bounds[:, 0], bounds[:, 1])
        ]  # fmt: skip
        return min(found, key=lambda result: result.fun).x

    def step(self, vector: Floats) -> Floats:
        """A step of elliptical slice sampling (Murray et al. 2010, arXiv:1001.0175), which asks for
        a normal prior and has nothing to tune."""
        least = self._likelihood(vector) - self.rng.exponential()
        here, other = vector - self.mean, self.sd * self.rng.standard_normal(len(vector))
        angle = self.rng.uniform(0, 2 * np.pi)
        low, high = angle - 2 * np.pi, angle
        while True:
            new = self.mean + here * np.cos(angle) + other * np.sin(angle)
            if self._likelihood(new) >= least:
                return new
            low, high = (angle, high) if angle < 0 else (low, angle)
            angle = self.rng.uniform(low, high)

    def _likelihood(self, vector: Floats) -> float:
        return self.covariance.likelihood(Parameters.unpack(vector, self.features), self.value)


def fit(rows: Rows, rng: np.random.Generator, levels: int = 1) -> Parameters:
    """Hyper-parameters by maximum a posteriori marginal likelihood."""
    posterior = _Posterior(rows, rng, levels)
    return Parameters.unpack(posterior.greatest(), posterior.features)


def sample(rows: Rows, rng: np.random.Generator, levels: int, count: int) -> list[Parameters]:
    """Hyper-parameters drawn from their posterior, ``STEPS`` of a Markov chain apart."""
    posterior = _Posterior(rows, rng, levels)
    vector, found = posterior.greatest(), []
    for _ in range(count):
        for _ in range(STEPS):
            vector = posterior.step(vector)
        found.append(Parameters.unpack(vector, posterior.features))
    return found
