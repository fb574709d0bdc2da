"""Robust fits: Huber's loss, minimised by damped Gauss-Newton steps, many fits at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dnsearch.arrays import Bools, Floats

Slopes = tuple[Floats, Floats, Floats]
"""Of b fits of p parameters: twice the loss (b,), its Gauss-Newton matrix (b, p, p) and the
downhill direction (b, p)."""

HUBER = 1.345
"""Standard deviations beyond which a residual counts by its size, not its square (Huber 1964)."""

CLIPPED = 0.7101645
"""Mean of squared normal residuals that are clipped at ``HUBER``."""

_LEAST_SCALE = 1e-4  # errors without any noise must not divide by 0


def minimise(
    slopes: Callable[[Floats], Slopes],
    theta: Floats,
    steps: int,
    settled: float,
    low: Floats | float = -np.inf,
    high: Floats | float = np.inf,
) -> tuple[Floats, Floats]:
    """Parameters (b, p) at a minimum near ``theta``, from ``low`` to ``high``, and the loss there,
    (b,). It ends after so many ``steps``, or once losses change by no larger a share than
    ``settled``."""
    theta = _between(theta, low, high)
    loss, square, push = slopes(theta)
    damping = np.full(len(theta), 1e-2)
    for _ in range(steps):
        # a parameter that is pushed over its bound stays there while the others move
        stuck = ((theta <= low) & (push < 0)) | ((theta >= high) & (push > 0))
        step = _damped_step(square, push, damping, stuck)
        trial = _between(theta + _between(step, -1.5, 1.5), low, high)
        new = slopes(trial)
        better, same = new[0] < loss, np.abs(new[0] - loss) <= settled * (1 + loss)
        theta[better], loss[better] = trial[better], new[0][better]
        square[better], push[better] = new[1][better], new[2][better]
        damping = _between(damping * np.where(better, 0.2, 6.0), 1e-9, 1e9)
        if (same | (damping > 1e8)).all():
            break
    return theta, loss


def huber_loss(residual: Floats) -> Floats:
    """Twice Huber's loss of standardised residuals, each by itself."""
    far = np.abs(residual)
    return np.where(far <= HUBER, far**2, 2 * HUBER * far - HUBER**2)


def huber_slopes(residual: Floats, slope: Floats, weights: Floats | float) -> Slopes:
    """Of standardised residuals (b, n) of curves with these slopes (b, n, p), where rows count by
    their ``weights`` (b, n)."""
    far = np.abs(residual)
    weight = weights * np.minimum(1.0, HUBER / np.maximum(far, 1e-12))
    loss = (weight * far * np.where(far <= HUBER, far, 2 * far - HUBER)).sum(axis=1)
    weighted = slope * weight[..., None]
    square = np.swapaxes(weighted, 1, 2) @ slope
    return loss, square, (weighted * residual[..., None]).sum(axis=1)


def huber_scale(far: Floats, weights: Floats, free: Floats) -> Floats:
    """Standard deviations (b,) of distances ``far`` (b, n) by Huber's proposal 2: of the clipped
    squares the mean is as expected. weights: (b, n), of sum 1. free: the share of the rows that the
    parameters leave, (b,)."""
    scale = np.sqrt((weights * far**2).sum(axis=1) / free)
    for _ in range(50):
        clipped = np.minimum(far, HUBER * scale[:, None]) ** 2
        scale = np.sqrt((weights * clipped).sum(axis=1) / (free * CLIPPED))
    return np.maximum(scale, _LEAST_SCALE)


def _damped_step(square: Floats, push: Floats, damping: Floats, stuck: Bools) -> Floats:
    """Steps (b, p) of damped Gauss-Newton, 0 for parameters that are stuck.

    square: (b, p, p). push, stuck: (b, p). damping: (b,).
    """
    left = np.where(stuck[:, :, None] | stuck[:, None, :], 0.0, square)
    size = push.shape[1]
    diagonal = square.reshape(len(square), -1)[:, :: size + 1]
    ridge = damping[:, None] * (diagonal + 1e-6)
    left.reshape(len(left), -1)[:, :: size + 1] += ridge + 1e-9 + stuck
    return np.linalg.solve(left, np.where(stuck, 0.0, push)[..., None])[..., 0]


def _between(values: Floats, low: Floats | float, high: Floats | float) -> Floats:
    """As ``np.clip``, which is slow for small arrays."""
    return np.minimum(np.maximum(values, low), high)
