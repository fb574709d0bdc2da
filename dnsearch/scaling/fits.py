"""Laws of ``families`` fitted to log errors, all nested cuts and weightings of a curve at once.

The fit is the most probable one (Huber's loss of the standardised residuals and the priors), by
damped Gauss-Newton steps; what is known of the curve is the normal about it (Laplace).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnsearch.arrays import Bools, Floats
from dnsearch.scaling.families import Family
from dnsearch.scaling.huber import Slopes, huber_scale, huber_slopes, minimise

ROUNDS, STEPS = 4, 25
_SCALE = 0.03
"""Of the residuals, before the first fit."""


@dataclass(frozen=True, eq=False)
class Fits:
    """b fits of a family.

    theta: (b, p). covariance: (b, p, p). scale: standard deviation of the log error of one row,
    (b,). independent: how many of the rows say something of their own, as a share, (b,). origin:
    log size of the last row that was fitted, (b,). ends: (b, 2), as ``families.Curve`` takes them.
    """

    family: Family
    theta: Floats
    covariance: Floats
    scale: Floats
    independent: Floats
    origin: Floats
    ends: Floats

    def at(self, logs: Floats) -> tuple[Floats, Floats]:
        """Log errors at log sizes (places,) and their standard deviations, both (b, places)."""
        value, slope = self.family.curve(self.theta, logs - self.origin[:, None], self.ends)
        spread = ((slope @ self.covariance) * slope).sum(axis=2)
        return value, np.sqrt(np.maximum(spread, 0.0))

    def first(self, count: int) -> Fits:
        """The first so many of them."""
        parts = (self.theta, self.covariance, self.scale, self.independent, self.origin, self.ends)
        return Fits(self.family, *(part[:count] for part in parts))


def fit_family(
    family: Family, logs: Floats, log_error: Floats, sd: Floats, weights: Floats
) -> Fits:
    """The family fitted to rows with each of b weightings.

    logs, log_error: log size and log error of the rows, (n,), smallest first. sd: their standard
    deviations up to a factor, (n,). weights: (b, n), 0 for a row that is left out; the last row
    with a weight is the end of a fit.

    Neighbours on a curve err alike when they lie along one training. With rho the correlation of
    neighbouring residuals, a row counts as ``(1 - rho) / (1 + rho)`` of one (an autoregressive
    process of the first order).
    """
    kept = weights > 0
    last = weights.shape[1] - 1 - kept[:, ::-1].argmax(axis=1)
    first = kept.argmax(axis=1)
    origin = logs[last]
    highest = np.where(kept, log_error, -np.inf).max(axis=1)
    problem = _Problem(
        family=family,
        logs=logs - origin[:, None],
        log_error=log_error,
        ends=np.column_stack([origin - logs[first], highest]),
        sd=np.full(weights.shape, _SCALE) * sd,
        weights=weights,
        mean=np.column_stack([log_error[last], np.tile(family.mean[1:], (len(weights), 1))]),
    )
    theta, independent = problem.first(), np.ones(len(weights))
    for _ in range(ROUNDS - 1):
        residual = (log_error - problem.curve(theta)[0]) / sd
        scale = _scales(residual, weights, min(theta.shape[1], 3))
        independent = _independent(residual / scale[:, None], kept)
        problem.sd = scale[:, None] * sd
        problem.weights = weights * independent[:, None]
        theta, _ = problem.minimise(theta)
    _, square, _ = problem.slopes(theta)
    covariance = np.asarray(np.linalg.inv(square), np.float64)
    return Fits(
        family, theta, covariance, problem.sd[:, 0] / sd[0], independent, origin,
        problem.ends,
    )  # fmt: skip


@dataclass
class _Problem:
    """b fits to make. logs, sd, weights: (b, n). log_error: (n,). mean: of the priors, (b, p)."""

    family: Family
    logs: Floats
    log_error: Floats
    ends: Floats
    sd: Floats
    weights: Floats
    mean: Floats

    def curve(self, theta: Floats) -> tuple[Floats, Floats]:
        return self.family.curve(theta, self.logs, self.ends)

    def first(self) -> Floats:
        """The best from all starts, (b, p)."""
        starts, count = self.family.starts, len(self.weights)
        each = np.repeat(np.arange(count), len(starts))
        many = _Problem(
            self.family,
            self.logs[each],
            self.log_error,
            self.ends[each],
            self.sd[each],
            self.weights[each],
            self.mean[each],
        )
        theta, loss = many.minimise(self.mean[each] + np.tile(starts, (count, 1)))
        best = loss.reshape(count, -1).argmin(axis=1) + np.arange(count) * len(starts)
        return theta[best]

    def minimise(self, theta: Floats) -> tuple[Floats, Floats]:
        """Parameters (b, p) at a minimum near ``theta``, and the loss there, (b,)."""
        return minimise(self.slopes, theta, STEPS, 1e-6)

    def slopes(self, theta: Floats) -> Slopes:
        """With the priors."""
        value, slope = self.curve(theta)
        residual, off = (self.log_error - value) / self.sd, (theta - self.mean) / self.family.sd
        loss, square, push = huber_slopes(residual, slope / self.sd[..., None], self.weights)
        loss, square = loss + (off**2).sum(axis=1), square + np.diag(self.family.sd**-2)
        return loss, square, push - off / self.family.sd


def _scales(residual: Floats, weights: Floats, parameters: int) -> Floats:
    """Robust standard deviations of residuals (b, n), (b,): the rows count by their weights, and
    the parameters take theirs."""
    rows = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)
    share = np.maximum(1.0, rows - parameters) / rows
    return huber_scale(np.abs(residual), weights / weights.sum(axis=1, keepdims=True), share)


def _independent(residual: Floats, kept: Bools) -> Floats:
    """Of standardised residuals (b, n) along the curve, (b,)."""
    clipped = np.where(kept, np.clip(residual, -3, 3), 0.0)
    both = (clipped[:, 1:] * clipped[:, :-1]).sum(axis=1)
    rho = np.clip(both / np.maximum((clipped**2).sum(axis=1), 1e-12), 0.0, 0.95)
    return (1 - rho) / (1 + rho)
