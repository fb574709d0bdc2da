"""What a network costs in time or memory on a machine, from its activations and MACs.

Time and memory follow activations at least as much as MACs (Dollár et al. 2021, arXiv:2103.06877;
Radosavovic et al. 2020, arXiv:2003.13678).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from dnsearch.arrays import Floats
from dnsearch.errors import ConfigError
from dnsearch.scaling.law import Band
from dnsearch.scaling.robust import (
    RESAMPLES,
    bootstrap,
    huber_regressions,
    huber_weights,
    positive_columns,
)

LEAST = 6
"""Networks."""

Form = Literal["linear", "power"]


class TooFewMeasured(NamedTuple):
    """Why there is no law of a cost: it was measured of so many networks, and a law takes more."""

    networks: int
    needed: int = LEAST


@dataclass(frozen=True, eq=False)
class CostLaw:
    """Seconds or bytes from activations and MACs.

    form: ``linear``, ``c + a activations + m MACs`` with nothing below 0, or ``power``,
    ``c activations^a MACs^m``: whichever predicted the largest third better from the others.
    coefficients: (3,), logs of the first for ``power``. off: its mean relative error there.
    scatter: standard deviation of log cost about it, the larger of that of the points and that of
    the third left out: so far beyond the points the form may be wrong, too.
    """

    form: Form
    coefficients: Floats
    off: float
    scatter: float
    _draws: Floats = field(repr=False)

    def predict(self, activations: ArrayLike, macs: ArrayLike) -> Band:
        """Cost of networks with these activations and MACs, each (places,), with 95 % intervals."""
        known = positive_columns({"activations": activations, "macs": macs})
        centre = _log_cost(self.coefficients, known, self.form)
        spread = np.std([_log_cost(draw, known, self.form) for draw in self._draws], axis=0)
        wide = 1.96 * np.hypot(spread, self.scatter)
        return Band(np.exp(centre), np.exp(centre - wide), np.exp(centre + wide))


def fit_cost(
    cost: ArrayLike,
    activations: ArrayLike,
    macs: ArrayLike,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> CostLaw:
    """Measured cost, such as seconds a step or bytes, as a law of activations and MACs, all (n,).

    Raises ConfigError for fewer than ``LEAST`` networks and figures that are not finite and
    positive.
    """
    table = positive_columns({"activations": activations, "macs": macs, "cost": cost})
    if len(table) < LEAST:
        raise ConfigError("networks", f"must be at least {LEAST} to fit a cost", len(table))
    known, logs = table[:, :2], np.log(table[:, 2])
    misses = _misses(known, logs)
    form = min(misses, key=lambda name: float(np.abs(misses[name]).mean()))
    draws = bootstrap(partial(_fits, form=form), known, logs, rng, resamples)
    left = logs - _log_cost(draws[0], known, form)
    scatter = math.sqrt(max((left**2).sum() / (len(logs) - 3), (misses[form] ** 2).mean()))
    off = float(np.abs(np.expm1(-misses[form])).mean())
    return CostLaw(form, draws[0], off, scatter, draws)


def _misses(known: Floats, logs: Floats) -> dict[Form, Floats]:
    """By form the log errors on the third of most MACs, predicted from the rest."""
    order = np.argsort(known[:, 1], kind="stable")
    rest, largest = np.split(order, [len(order) - max(2, len(order) // 3)])
    forms: tuple[Form, ...] = ("linear", "power")
    fitted = {form: _fits(known[rest][None], logs[rest][None], form)[0] for form in forms}
    return {form: logs[largest] - _log_cost(fitted[form], known[largest], form) for form in forms}


def _fits(known: Floats, logs: Floats, form: Form) -> Floats:
    """Coefficients (b, 3) for activations and MACs (b, n, 2) and log costs (b, n)."""
    if form == "power":
        terms = np.concatenate([np.ones((*logs.shape, 1)), np.log(known)], axis=2)
        return huber_regressions(terms, logs)
    return _linear_fits(known, np.exp(logs))


def _linear_fits(known: Floats, cost: Floats) -> Floats:
    """Coefficients (b, 3), none below 0, that make the relative errors least in Huber's loss."""
    terms = np.concatenate([np.ones((*cost.shape, 1)), known], axis=2) / cost[..., None]
    size = terms.mean(axis=1, keepdims=True)
    terms /= size
    weight, found = np.ones(cost.shape), np.zeros((len(cost), 3))
    for _ in range(5):
        root = np.sqrt(weight)
        each = zip(terms * root[..., None], root, strict=True)
        found = np.array([optimize.nnls(left, right)[0] for left, right in each])
        weight = huber_weights(1 - (terms @ found[..., None])[..., 0])
    return found / size[:, 0]


def _log_cost(coefficients: Floats, known: Floats, form: Form) -> Floats:
    """Log cost of networks of ``known`` activations and MACs, (places, 2)."""
    if form == "power":
        return coefficients[0] + np.log(known) @ coefficients[1:]
    cost = coefficients[0] + known @ coefficients[1:]
    return np.log(np.maximum(cost, 1e-300))
