"""The laws that are averaged: curves of log error against log size, with weak priors.

Each is written about its last point, at log size 0, so that the same priors fit every unit and
every range. The parameters that all share are the log error there, the log of the exponent, and
the logit of the share of that error that no size takes off (E).

``saturating``  ``E + A x^-alpha`` (Rosenfeld et al. 2020, arXiv:1909.12673).
``from_chance`` ``(y - E) / (c - y)^k = A x^-alpha``: the errors begin at c, those of a network that
                has learnt nothing (M4 of Alabdulmohsin et al. 2022, arXiv:2209.06640).
``broken``      ``E + A x^-alpha0 (1 + (x / d)^(1 / f))^((alpha0 - alpha) f)``: the exponent changes
                once, at d (Caballero et al. 2022, arXiv:2210.14891).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from dnsearch.arrays import Floats

Curve = Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]
"""Parameters (b, p), log sizes (b, n) and ends (b, 2) to log errors (b, n) and their gradient
(b, n, p)."""


class Family(NamedTuple):
    """A law of p parameters with normal priors on them.

    curve: as ``Curve``. mean, sd: of the priors, (p,); the first, of the log error at the last
    point, is about the ``Ends`` of each fit, and so are the places of a break. starts: where fits
    begin, about the prior, (starts, p).
    """

    name: str
    curve: Curve
    mean: Floats
    sd: Floats
    starts: Floats


def _saturating(theta: Floats, logs: Floats, ends: Floats) -> tuple[Floats, Floats]:
    top, share, alpha = theta[:, :1], expit(theta[:, 2:3]), np.exp(theta[:, 1:2])
    return _about_the_end(top, share, -alpha * logs, [-alpha * logs])


def _broken(theta: Floats, logs: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """theta: log error at the end, log alpha, logit of E's share, log of alpha0 / alpha, place of
    the break as a share of the range behind the end, log f."""
    top, share, alpha = theta[:, :1], expit(theta[:, 2:3]), np.exp(theta[:, 1:2])
    before, place, soft = np.exp(theta[:, 3:4]), theta[:, 4:5], np.exp(theta[:, 5:6])
    span = ends[:, :1]
    at = (logs + place * span) / soft
    zero = place * span / soft
    bent = soft * (np.logaddexp(0, at) - np.logaddexp(0, zero))
    on, on_zero = expit(at), expit(zero)
    # log of the power part, 0 at the end
    power = -alpha * (before * logs + (1 - before) * bent)
    by_place = -alpha * (1 - before) * span * (on - on_zero)
    by_soft = -alpha * (1 - before) * (bent - soft * (on * at - on_zero * zero))
    return _about_the_end(
        top, share, power, [power, -alpha * before * (logs - bent), by_place, by_soft]
    )


def _about_the_end(
    top: Floats, share: Floats, power: Floats, slopes: list[Floats]
) -> tuple[Floats, Floats]:
    """Log of ``exp(top) (share + (1 - share) exp(power))`` and its gradient by log error, the first
    slope's parameter, the share's logit and the other slopes' parameters."""
    grown = np.exp(np.minimum(power, 50.0))
    whole = share + (1 - share) * grown
    part = (1 - share) * grown / whole
    by_share = share * (1 - share) * (1 - grown) / whole
    first, *others = (part * slope for slope in slopes)
    gradient = np.stack([np.ones_like(power), first, by_share, *others], axis=2)
    return top + np.log(whole), gradient


def _from_chance(theta: Floats, logs: Floats, ends: Floats) -> tuple[Floats, Floats]:
    """theta: log error at the end, log alpha, logit of E's share, log k, and log of how far c lies
    above the largest error, as a share of it.

    With z the logit of the error between E and c, ``(y - E) / (c - y)^k`` is up to a factor
    ``exp(h(z))`` for ``h(z) = k log(1 + e^z) - log(1 + e^-z)``, which Newton's steps invert.
    """
    end, share, alpha = np.exp(theta[:, :1]), expit(theta[:, 2:3]), np.exp(theta[:, 1:2])
    k, beyond = np.exp(theta[:, 3:4]), np.exp(theta[:, 4:5] + ends[:, 1:2])
    chance, floor = np.exp(ends[:, 1:2]) + beyond, share * end
    room = np.maximum(chance - end, 1e-9)
    z_end = np.log(end - floor) - np.log(room)
    wanted = k * np.logaddexp(0, z_end) - np.logaddexp(0, -z_end) - alpha * logs
    z = np.where(wanted < 0, wanted, wanted / np.maximum(k, 0.05))
    for _ in range(12):
        off = k * np.logaddexp(0, z) - np.logaddexp(0, -z) - wanted
        z = z - np.clip(off / (expit(-z) + k * expit(z)), -20, 20)
    on, steep = expit(z), expit(-z) + k * expit(z)
    error = floor + (chance - floor) * on
    steep_end = expit(-z_end) + k * expit(z_end)
    of_k = k * (np.logaddexp(0, z_end) - np.logaddexp(0, z))
    ends_by = [1 + end / room, np.zeros_like(end), -share, np.zeros_like(end), -beyond / room]
    moved = [0.0, -alpha * logs, 0.0, of_k, 0.0]
    floor_by = [floor, 0.0, floor * (1 - share), 0.0, 0.0]
    chance_by = [0.0, 0.0, 0.0, 0.0, beyond]
    gradient = np.empty((*logs.shape, 5))
    for i in range(5):
        by_z = (steep_end * ends_by[i] + moved[i]) / steep
        slope = floor_by[i] * (1 - on) + chance_by[i] * on
        gradient[..., i] = (slope + (chance - floor) * on * (1 - on) * by_z) / error
    return np.log(error), gradient


def _starts(*others: tuple[float, ...]) -> Floats:
    """Exponents and shares of E, and each of them with all of the other parameters' starts."""
    each = [(0.0, a, s) for a in (-0.7, 0.7) for s in (-1.0, 1.0)]
    return np.array([(*first, *rest) for first in each for rest in (others or ((),))])


_SHARED_MEAN, _SHARED_SD = [0.0, np.log(0.5), 0.0], [1.0, 0.7, 1.5]
"""Of the log error at the end, the log exponent and the logit of E's share."""

SATURATING = Family(
    "saturating", _saturating, np.array(_SHARED_MEAN), np.array(_SHARED_SD), _starts()
)
FROM_CHANCE = Family(
    "from chance",
    _from_chance,
    np.array([*_SHARED_MEAN, 0.0, -1.0]),
    np.array([*_SHARED_SD, 1.0, 1.5]),
    _starts((0.0, 0.0)),
)
BROKEN = Family(
    "broken",
    _broken,
    np.array([*_SHARED_MEAN, 0.0, 0.5, np.log(0.5)]),
    np.array([*_SHARED_SD, 1.0, 0.3, 0.7]),
    _starts((-0.7, -0.2, 0.0), (0.7, 0.2, 0.0)),
)
FAMILIES = (SATURATING, FROM_CHANCE, BROKEN)
