"""Sums of power laws, fitted robustly to errors, with intervals: what ``law`` is built on.

The curve is ``E + sum_k A_k x_k^-alpha_k``. Its logarithm is a logsumexp of terms in ``log E``,
``log A_k`` and ``alpha_k`` (Hoffmann et al. 2022, arXiv:2203.15556, section 3.3); it is fitted to
log errors with Huber's loss by damped Gauss-Newton steps, from several starts, many fits at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

from dnsearch.arrays import Floats, Ints
from dnsearch.scaling.huber import (
    CLIPPED,
    HUBER,
    Slopes,
    huber_loss,
    huber_scale,
    huber_slopes,
    minimise,
)

Figure = Callable[[Floats], tuple[Floats, Floats]]
"""Parameters (b, p) to a figure (b,) and its gradient (b, p); rows cycle through its places."""

ALPHA = (0.01, 10.0)
"""Exponents that are looked at: beyond them the curve is flat, or a step with a flat behind it."""

FLOOR = 7.0
"""An E this far below the least error, in logs (a thousandth of it), is 0."""

_STARTS = (0.1, 0.25, 0.5, 1.0, 2.0)


class Pin(NamedTuple):
    """Draws a figure to values (b,) as if they had been measured with weights ``stiff`` (b,)."""

    figure: Figure
    wanted: Floats
    stiff: Floats


def curve(theta: Floats, logs: Floats) -> tuple[Floats, Floats]:
    """Log error (b, n) and its gradient (b, n, p) at log sizes (n, k) or (b, n, k).

    ``theta`` is (b, p): log E, then log A and log alpha of each size.
    """
    slope = np.exp(theta[:, None, 2::2]) * logs
    terms = np.empty((*slope.shape[:2], 1 + slope.shape[2]))  # (b, n, 1 + k)
    terms[..., 0] = theta[:, :1]
    np.subtract(theta[:, None, 1::2], slope, out=terms[..., 1:])
    top = terms.max(axis=2, keepdims=True)
    shares = np.exp(terms - top)
    total = shares.sum(axis=2, keepdims=True)
    shares /= total
    gradient = np.empty((*terms.shape[:2], theta.shape[1]))
    gradient[..., 0] = shares[..., 0]
    gradient[..., 1::2] = shares[..., 1:]
    gradient[..., 2::2] = -shares[..., 1:] * slope
    return (top + np.log(total))[..., 0], gradient


@dataclass(frozen=True)
class Problem:
    """Log errors to fit.

    logs: log sizes (n, k) about their middle. log_error: (n,). sd: standard deviations of the
    rows up to a factor, (n,). scale: that factor. clusters: rows of the same number share their
    architecture, (n,).
    """

    logs: Floats
    log_error: Floats
    sd: Floats
    clusters: Ints
    scale: float = 0.05

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Of the parameters, each (p,)."""
        least, most = self.log_error.min() - FLOOR, self.log_error.max() + 0.5
        steepest = most + 3 * np.abs(self.logs).max()
        sizes = self.logs.shape[1]
        low = [least, *[least, np.log(ALPHA[0])] * sizes]
        high = [most, *[steepest, np.log(ALPHA[1])] * sizes]
        return np.array(low), np.array(high)

    def starts(self) -> Floats:
        """For each grid of exponents the best E and A, by least squares of relative errors."""
        error, sizes = np.exp(self.log_error), self.logs.shape[1]
        found = np.empty((len(_STARTS) ** sizes, 1 + 2 * sizes))
        for row, alpha in zip(found, itertools.product(_STARTS, repeat=sizes), strict=True):
            terms = np.column_stack([np.ones(len(error)), np.exp(-np.array(alpha) * self.logs)])
            factors, _ = optimize.nnls(terms / error[:, None], np.ones(len(error)))
            factors = np.log(np.maximum(factors, error.min() / 50))
            row[0], row[1::2], row[2::2] = factors[0], factors[1:], np.log(alpha)
        return found

    def loss(self, theta: Floats, counts: Floats | float = 1.0) -> Floats:
        """Twice Huber's loss of the standardised residuals, (b,)."""
        return (counts * huber_loss(self._residual(curve(theta, self.logs)[0]))).sum(axis=1)

    def minimise(
        self,
        theta: Floats,
        counts: Floats | float = 1.0,
        pin: Pin | None = None,
        steps: int = 60,
    ) -> tuple[Floats, Floats]:
        """Parameters (b, p) at a minimum near ``theta``, and the loss there without the pin, (b,).

        counts: how often each row counts, (b, n).
        """
        theta, total = minimise(
            lambda at: self._slopes(at, counts, pin), theta, steps, 1e-7, *self.bounds
        )
        return theta, total if pin is None else self.loss(theta, counts)

    def solve(self) -> Solution:
        """The best fit from all starts, and the scale of its residuals."""
        problem, theta = self, self.starts()
        for _ in range(4):
            theta, loss = problem.minimise(theta)
            best = theta[loss.argmin()]
            problem = replace(problem, scale=problem._scale_at(best))
        theta, loss = problem.minimise(theta)
        return Solution(problem, theta[loss.argmin()], float(loss.min()))

    def _residual(self, fitted: Floats) -> Floats:
        return (self.log_error - fitted) / (self.sd * self.scale)

    def _slopes(self, theta: Floats, counts: Floats | float, pin: Pin | None) -> Slopes:
        fitted, slope = curve(theta, self.logs)
        slope = slope / (self.sd * self.scale)[:, None]
        total, square, push = huber_slopes(self._residual(fitted), slope, counts)
        if pin is not None:
            value, gradient = pin.figure(theta)
            short = pin.stiff * (pin.wanted - value)
            total = total + short * (pin.wanted - value)
            square += pin.stiff[:, None, None] * gradient[:, :, None] * gradient[:, None, :]
            push += short[:, None] * gradient
        return total, square, push

    def _scale_at(self, theta: Floats) -> float:
        """Huber's proposal 2: that of which the clipped squares have the expected mean.

        It takes the parameters off the degrees of freedom, which a median of residuals cannot.
        """
        rest = np.abs(self.log_error - curve(theta[None], self.logs)[0]) / self.sd
        count = rest.shape[1]
        free = max(1, count - len(theta)) / count
        return float(huber_scale(rest, np.full(rest.shape, 1 / count), np.array([free]))[0])


@dataclass(frozen=True)
class Solution:
    """A fit: parameters ``theta`` (p,), and twice the loss there."""

    problem: Problem
    theta: Floats
    loss: float

    @property
    def free(self) -> int:
        """Degrees of freedom: architectures, not rows, that the parameters leave."""
        return len(np.unique(self.problem.clusters)) - len(self.theta)

    def log_error(self, logs: Floats) -> Floats:
        """At log sizes (n, k), (n,)."""
        return curve(self.theta[None], logs)[0][0]

    def interval(self, figure: Figure, places: int = 1) -> tuple[Floats, Floats, Floats]:
        """A figure at its places and the ends of its 95 % profile likelihood interval, (places,).

        All values of the figure belong to it for which some curve with that value fits nearly as
        well as the best: with Huber's loss ``l`` in the scale of the residuals, where
        ``2 (l - l_best) <= t^2 mean(psi^2) / mean(psi')`` (the robust likelihood ratio test,
        Heritier & Ronchetti 1994, doi:10.1080/01621459.1994.10476822), ``t`` being Student's
        quantile for architectures less parameters. Where E and alpha can be traded for each other
        it runs along their valley to the end, to E = 0 if need be: it is the test of E = 0, too.
        Percentiles of a bootstrap over architectures cover as well from 20 architectures on and
        less evenly with 8 to 12 (``studies/scaling_coverage.py``); this one draws nothing.

        Rows of one architecture at several amounts of data are not independent. The threshold grows
        by what that adds to the variance of the figure: the ratio of the clustered to the plain
        sandwich estimate, never below 1 (after Chandler & Bate 2007, doi:10.1093/biomet/asm015).
        """
        start = np.repeat(self.theta[None], 2 * places, axis=0)
        centre, gradient = figure(start)
        threshold, spread = self._threshold(gradient)
        goal, sign = np.sqrt(threshold), np.repeat([-1.0, 1.0], places)
        near, far = np.zeros((2, len(start))), np.full((2, len(start)), np.inf)  # distance, root
        step, at = goal * spread, start
        for _ in range(12):
            pin = Pin(figure, centre + sign * step, 100 / spread**2)
            trial, loss = self.problem.minimise(at, pin=pin, steps=40)
            # wherever the pin left it, no better curve has this value: a point of the profile
            found = np.array(
                [
                    sign * (figure(trial)[0] - centre),
                    np.sqrt(np.maximum(loss - self.loss, 0.0)),
                ]
            )
            inner = (found[1] <= goal) & (found[0] > near[0])
            outer = (found[1] > goal) & (found[0] < far[0])
            near, far = np.where(inner, found, near), np.where(outer, found, far)
            at = np.where(inner[:, None], trial, at)
            wider = np.clip(goal / np.maximum(found[1], 1e-9) - 1, 0.3, 2.0) * step
            with np.errstate(invalid="ignore"):
                share = np.clip((goal - near[1]) / (far[1] - near[1]), 0.05, 0.95)
                between = near[0] + share * (far[0] - near[0])
            step = np.where(np.isfinite(far[0]), between, np.maximum(near[0], step) + wider)
            if np.all(np.abs(near[1] - goal) < 0.01 * goal):
                break
        end = centre + sign * np.where(np.isfinite(far[0]), step, near[0])
        return centre[:places], end[:places], end[places:]

    def _threshold(self, gradient: Floats) -> tuple[Floats, Floats]:
        """How much worse than the best may be, and the figures' standard deviations, (b,)."""
        problem = self.problem
        fitted, slope = curve(self.theta[None], problem.logs)
        slope = slope[0] / (problem.sd * problem.scale)[:, None]
        residual = problem._residual(fitted)[0]
        square = slope.T @ slope
        square += 1e-6 * (np.diag(np.diag(square)) + np.eye(len(square)))
        pull = gradient @ np.linalg.inv(square)  # (b, p)
        spread = np.clip(np.sqrt((pull * gradient).sum(axis=1)), 1e-4, 2.0)
        psi, inliers = np.clip(residual, -HUBER, HUBER), np.mean(np.abs(residual) <= HUBER)
        goal = stats.t.ppf(0.975, max(1, self.free)) ** 2 * CLIPPED / max(inliers, 0.1)
        count = int(problem.clusters.max()) + 1
        if count == len(residual):
            return np.full(len(pull), goal), spread
        influence = (pull @ slope.T) * psi  # (b, n)
        together = influence @ np.eye(count)[problem.clusters]
        plain = np.maximum((influence**2).sum(axis=1), 1e-300)
        ratio = (together**2).sum(axis=1) / plain * count / max(1, count - 1)
        return goal * np.maximum(1.0, ratio), spread
