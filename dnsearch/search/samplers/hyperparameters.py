"""The surrogate's hyper-parameters: the likeliest for a search, draws of them for predictions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize

from dnsearch.arrays import Floats
from dnsearch.search.samplers.blas import one_thread
from dnsearch.search.samplers.covariance import ROOT5, Covariance, Parameters, Parts, Rows
from dnsearch.search.samplers.triangle import Triangle, factor, solve_factor

STARTS = 2
ITERATIONS = 60
MOST_FITTED = 160
"""Rows that hyper-parameters are fitted to; predictions use all of them."""

STEPS = 6
"""Pairs of steps between two draws of hyper-parameters, so that they hardly depend on each other:
one about the prior, which mixes well where rows are few, one about the mode, which does where they
are many. With 160 rows 30 of the first kind alone do less, at four times the cost."""


class Normal:
    """A normal distribution of vectors (d,): ``root`` (d, d) times its transpose is the
    covariance."""

    def __init__(self, centre: Floats, root: Floats) -> None:
        self.centre, self.root = centre, root
        self._whiten = np.linalg.inv(root)

    def draw(self, rng: np.random.Generator) -> Floats:
        """Of the distance from the centre, (d,)."""
        return self.root @ rng.standard_normal(len(self.centre))

    def log_density(self, vector: Floats) -> float:
        """But for a constant."""
        distance = self._whiten @ (vector - self.centre)
        return float(-0.5 * distance @ distance)


class State(NamedTuple):
    """Where a Markov chain of packed hyper-parameters is, and their likelihood there."""

    vector: Floats
    likelihood: float


def prior(features: int, lower: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the packed hyper-parameters' normal prior.

    Length scales grow with the square root of the dimension (Hvarfner et al. 2024,
    arXiv:2402.02229). Deviations and noise are shares of the error: 10 and 4 % beforehand.
    """
    mean = [0.5 + 0.5 * np.log(features)] * features + [np.log(0.1), np.log(0.04)]
    sd = [0.8] * features + [0.7, 0.7]
    mean += [np.log(0.08), 1.0, np.log(0.08), 0.3] * lower
    sd += [0.7, 0.5, 0.7, 0.4] * lower
    return np.array(mean), np.array(sd)


class Posterior:
    """Of packed hyper-parameters, given rows. ``levels`` that have no rows yet keep their prior.
    More than ``MOST_FITTED`` rows are thinned to a random part of the trainings."""

    def __init__(self, rows: Rows, rng: np.random.Generator, levels: int) -> None:
        if len(rows) > MOST_FITTED:
            trainings = np.unique(rows.training)
            few = max(1, int(len(trainings) * MOST_FITTED / len(rows)))
            rows = rows.take(np.isin(rows.training, rng.choice(trainings, few, replace=False)))
        self.rng, self.rows, self.levels = rng, rows, levels
        self.features = rows.features.shape[1]
        self.value = rows.surprise
        self.covariance = Covariance(rows, levels)
        self.mean, self.sd = prior(self.features, levels - 1)
        self.prior = Normal(self.mean, np.diag(self.sd))
        order = np.argsort(rows.level, kind="stable")
        self._triangle = Triangle(rows.take(order), with_lines=True)
        self._sorted_value = self.value[order]

    def greatest(self) -> Floats:
        """Where the density is greatest, by the best of several starts."""
        mean, sd = self.mean, self.sd
        starts = [mean, *(mean + sd * self.rng.standard_normal((STARTS - 1, len(mean))))]
        bounds = np.column_stack([mean - 4 * sd, mean + 4 * sd])
        found = [
            minimize(
                self.loss, start, jac=True, method="L-BFGS-B",
                bounds=bounds, options={"maxiter": ITERATIONS},
            )
            for start in np.clip(starts, bounds[:, 0], bounds[:, 1])
        ]  # fmt: skip
        return min(found, key=lambda result: result.fun).x

    def loss(self, vector: Floats) -> tuple[float, Floats]:
        """Negative log density of packed hyper-parameters but for a constant, and its gradient."""
        p = Parameters.unpack(vector, self.features)
        parts = self.covariance.parts(p)
        penalty = (vector - self.mean) / self.sd
        try:
            root = cholesky(parts.matrix, lower=True)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(vector)
        inverse = cho_solve((root, True), np.eye(len(self.value)))
        weights = inverse @ self.value
        loss = 0.5 * self.value @ weights + np.log(np.diag(root)).sum() + 0.5 * penalty @ penalty
        slope = 0.5 * (inverse - np.outer(weights, weights))  # of the loss in the matrix
        return float(loss), self._gradient(p, parts, slope) + penalty / self.sd

    def _gradient(self, p: Parameters, parts: Parts, slope: Floats) -> Floats:
        """Of the likelihood's part of the loss in packed hyper-parameters, by the chain rule."""
        count, level = self.features, self.rows.level
        gradient = np.empty(len(self.mean))
        rho = p.rho[level]
        smooth = np.outer(rho, rho) * p.deviation**2
        # The derivative of Matern 5/2 in log scale is 5/3 (1 + sqrt5 r) exp(-sqrt5 r) times the
        # squared scaled difference.
        bend = 5 / 3 * (1 + ROOT5 * parts.distance) * np.exp(-ROOT5 * parts.distance)
        inner = slope * (smooth + parts.offset) * bend
        gradient[:count] = np.einsum("ij,ijd->d", inner, self.covariance.squares) * p.scale**-2
        gradient[count] = 2 * (slope * smooth * parts.matern).sum()
        by_row = 2 * (slope * parts.noise).sum(axis=1)
        gradient[count + 1] = by_row[level == 0].sum()
        tops, apart = slope * parts.of_top, _off_diagonal(parts.noise)
        of_shared = 2 * (slope * apart).sum(axis=1)
        for lower in range(1, self.levels):
            rows = level == lower
            change = 1 - p.shared[lower] ** 2  # of tanh
            gradient[count + 4 * lower - 2 : count + 4 * lower + 2] = (
                by_row[rows].sum(),
                2 * (tops[rows] @ rho).sum(),
                2 * (slope * (parts.offset * rows) * parts.matern).sum(),
                of_shared[rows].sum() * change / p.shared[lower] if p.shared[lower] else 0.0,
            )
        return gradient

    def near(self, mode: Floats) -> Normal:
        """A normal about the mode: as wide as the prior where the rows say nothing, and with half
        the curvature of their likelihood, so that its tails are no lighter than the posterior's."""

        def slope(distance: Floats) -> Floats:  # in standard deviations of the prior
            return self.loss(mode + self.sd * distance)[1] * self.sd

        step, here = 1e-4, slope(np.zeros(len(mode)))
        curvature = np.array([slope(each) - here for each in step * np.eye(len(mode))]) / step
        of_rows = (curvature + curvature.T) / 2 - np.eye(len(mode))
        values, vectors = np.linalg.eigh(of_rows)
        spread = 1 / np.sqrt(1 + np.maximum(values, 0.0) / 2)
        return Normal(mode, self.sd[:, None] * vectors * spread)

    def step(self, state: State, around: Normal) -> State:
        """A step of elliptical slice sampling (Murray et al. 2010, arXiv:1001.0175) about any
        normal (Nishihara et al. 2014, arXiv:1210.7477); there is nothing to tune."""

        def height(state: State) -> float:
            own = self.prior.log_density(state.vector) - around.log_density(state.vector)
            return state.likelihood + own

        least = height(state) - self.rng.exponential()
        here, other = state.vector - around.centre, around.draw(self.rng)
        angle = self.rng.uniform(0, 2 * np.pi)
        low, high = angle - 2 * np.pi, angle
        while True:
            vector = around.centre + here * np.cos(angle) + other * np.sin(angle)
            new = State(vector, self.likelihood(vector))
            if height(new) >= least:
                return new
            low, high = (angle, high) if angle < 0 else (low, angle)
            angle = self.rng.uniform(low, high)

    def likelihood(self, vector: Floats) -> float:
        """Log density of the values but for a constant, (), in a fraction of the time of ``loss``;
        -inf where rounding leaves the covariance indefinite."""
        p = Parameters.unpack(vector, self.features)
        root = factor(self._triangle.matrix(p))
        if root is None:
            return -np.inf
        known = solve_factor(root, self._sorted_value)
        return float(-0.5 * known @ known - np.log(np.diag(root)).sum())


def fit(rows: Rows, rng: np.random.Generator, levels: int = 1) -> Parameters:
    """Hyper-parameters by maximum a posteriori marginal likelihood."""
    posterior = Posterior(rows, rng, levels)
    with one_thread():
        return Parameters.unpack(posterior.greatest(), posterior.features)


def sample(rows: Rows, rng: np.random.Generator, levels: int, count: int) -> Iterator[Parameters]:
    """Hyper-parameters drawn from their posterior by a Markov chain that begins at the likeliest,
    ``count`` of them, ``STEPS`` pairs of its steps apart."""
    posterior = Posterior(rows, rng, levels)
    mode = posterior.greatest()
    near, state = posterior.near(mode), State(mode, posterior.likelihood(mode))
    for _ in range(count):
        for _ in range(STEPS):
            state = posterior.step(state, posterior.prior)
            state = posterior.step(state, near)
        yield Parameters.unpack(state.vector, posterior.features)


def _off_diagonal(matrix: Floats) -> Floats:
    """The same with zeros on its diagonal."""
    apart = matrix.copy()
    apart[np.diag_indices_from(apart)] = 0.0
    return apart
