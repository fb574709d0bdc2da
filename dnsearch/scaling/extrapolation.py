"""May a scaling law be used beyond what was trained? Always by leaving the largest sizes out.

``study_law`` fits a law, predicts the largest sizes from the others, and says whether it is to be
trusted: if not, why not, and what data would settle it. What lies beyond is predicted by several
laws averaged (``averaged``) where there is one size, and by the law itself where there are two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dnsearch.arrays import Floats
from dnsearch.scaling.averaged import LEAST_RANGE, LEAST_ROWS, Averaged, average
from dnsearch.scaling.heldout import (
    LEFT_OUT,
    LEFT_OUT_RANGE,
    ROUNDED,
    HeldOut,
    hold_out,
    kept,
    limits_of,
    with_one,
)
from dnsearch.scaling.law import Law, law_of, least_architectures, parameter
from dnsearch.scaling.powerlaw import Pin, curve
from dnsearch.scaling.rows import Rows, rows_of
from dnsearch.scaling.verdict import LongerTraining, MoreNetworks, Reason, Refusal, Verdict

LEAST = 8
"""Architectures: three to leave out, and five for three parameters and some idea of the noise."""

RANGE = 8.0
"""Least factor between the largest and the smallest size."""

KEPT_RANGE = 4.0
"""The same without the sizes left out."""

NEAR = 0.05
"""A prediction is trusted where the 90 % band of the mean reaches no farther, as a share."""

CHECKS = 3.0
"""And where the sizes allow so many predictions as far ahead that share no data."""

TRUSTED_BEYOND = 2.0
"""A law is trusted if its prediction at so many times the largest size is."""

FARTHEST = 1000.0
"""Times the largest size up to which it is looked how far predictions are trusted."""

MORE, MOST = 6, 24
"""Networks that are advised where no fit says how many it would take, and the most that are
tried."""


@dataclass(frozen=True, eq=False)
class LawStudy:
    """A law, where one could be fitted, its held-out check, where one could be made, a verdict.

    averaged: what predicts, of one size; None where the data do not allow it, and of two sizes.
    """

    law: Law | None
    averaged: Averaged | None
    held_out: HeldOut | None
    verdict: Verdict

    @property
    def reach(self) -> float:
        """Times the largest size up to which predictions are trusted; 0 for none."""
        if self.averaged is None or not self.verdict.trusted:
            return 0.0
        times = np.geomspace(TRUSTED_BEYOND, FARTHEST, 200)
        wide = _half_width(self.averaged, times) > NEAR
        few = np.array([self.averaged.tested(each) for each in times]) < CHECKS - 1e-6
        return float(times[np.argmax(wide | few) - 1]) if (wide | few).any() else FARTHEST


def study_law(
    sizes: ArrayLike, error: ArrayLike, architecture: ArrayLike, names: Sequence[str]
) -> LawStudy:
    """The law, what it would have said of the largest sizes, and whether to trust it beyond them.

    Arguments as in ``fit_law``; raises ConfigError only for figures that are not finite and
    positive. Both take at least ``LEAST`` architectures over ``RANGE`` in each size, and errors
    that fall. A law of one size is trusted if the averaged laws have been tested ``CHECKS`` times
    over ``TRUSTED_BEYOND`` and their band so far beyond the largest size is no wider than ``NEAR``.

    A law of two sizes is trusted if the held-out predictions beat both baselines and do not miss,
    and E is identified: E = 0, a plain power law, lies outside the 95 % profile interval of E.
    Otherwise the curve may level off anywhere below the points.
    """
    rows = rows_of(sizes, error, architecture, names)
    one_seed = not math.isfinite(rows.seed_sd)
    law = law_of(rows) if _can_be_fitted(rows) else None
    refusal = next(filter(None, (gate(rows) for gate in _GATES)), None)
    if law is None or refusal:
        return LawStudy(law, None, None, Verdict(refusal, one_seed))
    held_out = hold_out(rows)
    if len(names) > 1:
        return LawStudy(law, None, held_out, Verdict(_bad_fit(rows, law, held_out), one_seed))
    averaged = average(rows)
    return LawStudy(law, averaged, held_out, Verdict(_not_near(rows, averaged), one_seed))


def _can_be_fitted(rows: Rows) -> bool:
    ends = map(rows.span, range(len(rows.names)))
    enough = rows.architectures >= least_architectures(len(rows.names))
    return enough and all(low < high for low, high in ends)


# Gates that data must pass before the largest sizes are predicted


def _same_size(rows: Rows) -> Refusal | None:
    for size, name in enumerate(rows.names):
        low, high = rows.span(size)
        if low == high:
            advice = MoreNetworks(LEAST, False, low / 4, low * 4, name)
            return Refusal(Reason.SAME_SIZE, advice, name, rows.architectures, value=low)
    return None


def _too_few(rows: Rows) -> Refusal | None:
    count = rows.architectures
    if count >= LEAST:
        return None
    low, high = rows.span(0)
    advice = MoreNetworks(LEAST - count, False, low, max(high, 16 * low), rows.names[0])
    return Refusal(Reason.TOO_FEW, advice, networks=count, limit=LEAST)


def _narrow(rows: Rows) -> Refusal | None:
    for size, name in enumerate(rows.names):
        low, high = rows.span(size)
        if high < RANGE * low * (1 - ROUNDED):
            advice = MoreNetworks(MORE, False, high, 16 * low, name)
            return Refusal(Reason.NARROW, advice, name, value=high / low, limit=RANGE)
    return None


def _flat(rows: Rows) -> Refusal | None:
    slopes = _slopes(np.log(rows.sizes), rows.log_error, rows.architectures)
    for size, name in enumerate(rows.names):
        low, _ = rows.span(size)
        if not slopes.high[size] < -1e-9:
            return Refusal(Reason.FLAT, MoreNetworks(MORE, False, low / 8, low, name), name)
    return None


def _rising(rows: Rows) -> Refusal | None:
    """Errors over the larger half of the sizes."""
    if len(rows.names) != 1:
        return None
    large = rows.sizes[:, 0] >= np.median(rows.sizes[:, 0])
    slopes = _slopes(np.log(rows.sizes[large]), rows.log_error[large], int(large.sum()))
    if not slopes.low[0] > 0:
        return None
    name, start = rows.names[0], float(rows.sizes[large].min())
    return Refusal(Reason.RISING, LongerTraining(start, name, seeds=2), name, value=start)


def _few_large(rows: Rows) -> Refusal | None:
    limits, factor = limits_of(rows), LEFT_OUT_RANGE[1]
    for size, name in enumerate(rows.names):
        high = rows.span(size)[1]
        count = len(np.unique(rows.clusters[rows.sizes[:, size] >= limits[size]]))
        if count < LEFT_OUT:
            advice = MoreNetworks(LEFT_OUT - count, False, high / factor, high, name)
            return Refusal(Reason.FEW_LARGE, advice, name, count, factor, LEFT_OUT)
    return None


def _few_kept(rows: Rows) -> Refusal | None:
    count, least = kept(rows).architectures, least_architectures(len(rows.names)) + 1
    if count >= least:
        return None
    low, high = rows.span(0)[0], float(limits_of(rows)[0])
    advice = MoreNetworks(least - count, False, low, high, rows.names[0])
    return Refusal(Reason.FEW_KEPT, advice, networks=count, limit=least)


def _narrow_kept(rows: Rows) -> Refusal | None:
    rest = kept(rows)
    for size, name in enumerate(rows.names):
        low, high = rest.span(size)
        if high < KEPT_RANGE * low * (1 - ROUNDED):
            advice = MoreNetworks(MORE, False, low / 4, low, name)
            return Refusal(Reason.NARROW_KEPT, advice, name, value=high / low, limit=KEPT_RANGE)
    return None


_GATES = (_same_size, _too_few, _narrow, _flat, _rising, _few_large, _few_kept, _narrow_kept)
"""In this order: what a later one computes takes what an earlier one asks for."""


class _Slopes(NamedTuple):
    """Ends of 95 % intervals, each (k,)."""

    low: Floats
    high: Floats


def _slopes(logs: Floats, log_error: Floats, count: int) -> _Slopes:
    """Plain least squares slopes of log error in log sizes, of so many architectures."""
    terms = with_one(logs)
    found = np.linalg.lstsq(terms, log_error, rcond=None)[0]
    free = max(1, count - terms.shape[1])
    variance = ((log_error - terms @ found) ** 2).sum() / max(1, len(logs) - terms.shape[1])
    sd = np.sqrt(np.diag(np.linalg.pinv(terms.T @ terms)) * variance)
    width = stats.t.ppf(0.975, free) * sd
    return _Slopes((found - width)[1:], (found + width)[1:])


# The gates behind it, of one size


def _half_width(averaged: Averaged, times: ArrayLike) -> Floats:
    """Of the band of the mean at multiples (places,) of the largest size, as a share."""
    mean = averaged.predict(math.exp(averaged.top) * np.asarray(times)).mean
    return mean.high / mean.value - 1


def _not_near(rows: Rows, averaged: Averaged) -> Refusal | None:
    """Tested too little, or too wide a band."""
    checks = averaged.tested(TRUSTED_BEYOND)
    if checks < CHECKS - 1e-6:
        low, high = rows.span(0)
        start = high / TRUSTED_BEYOND**CHECKS
        advice = MoreNetworks(
            LEAST_ROWS, False, min(low, start / LEAST_RANGE), start, rows.names[0]
        )
        return Refusal(Reason.FEW_CHECKS, advice, rows.names[0], value=checks, limit=CHECKS)
    width = float(_half_width(averaged, [TRUSTED_BEYOND])[0])
    if width > NEAR:
        top = rows.span(0)[1]
        count = next((n for n in (MORE, 2 * MORE, MOST) if _would_be_near(rows, averaged, n)), None)
        advice = MoreNetworks(count or MOST, count is None, top, 4 * top, rows.names[0])
        return Refusal(Reason.WIDE, advice, rows.names[0], value=width, limit=NEAR)
    return None


def _would_be_near(rows: Rows, averaged: Averaged, count: int) -> bool:
    """Whether so many networks, up to four times as large, would make the band at twice the present
    largest size narrow enough, if the curve is right: they are put on it."""
    top = rows.span(0)[1]
    sizes = top * np.geomspace(1, 4, count + 1)[1:]
    more = rows.with_means(sizes[:, None], np.log(averaged.predict(sizes).mean.value))
    mean = average(more).predict([TRUSTED_BEYOND * top]).mean
    return float(mean.high[0] / mean.value[0]) - 1 <= NEAR


# And of two


def _bad_fit(rows: Rows, law: Law, held_out: HeldOut) -> Refusal | None:
    """No better than the baselines, wrong beyond its points, or E not identified."""
    own = held_out.error_of(held_out.law)
    for reason, predicted in (
        (Reason.WORSE_THAN_CONSTANT, held_out.constant),
        (Reason.WORSE_THAN_LINE, held_out.line),
    ):
        other = held_out.error_of(predicted)
        if not own < other:
            return Refusal(reason, _larger_networks(rows, law), value=own, limit=other)
    if held_out.missed:
        return Refusal(Reason.MISSED, _larger_networks(rows, law), value=own)
    if law.floor.low == 0:
        return Refusal(Reason.FLOOR_UNKNOWN, _larger_networks(rows, law))
    return None


def _larger_networks(rows: Rows, law: Law) -> MoreNetworks:
    """How many networks, up to four times as large, would show four times in five that E is not 0.

    If the curve is right: they are put on it, and the loss of the best plain power law is compared.
    """
    top = rows.span(0)[1]
    count = next((n for n in (MORE, 2 * MORE, MOST) if _suffice(rows, law, n)), None)
    return MoreNetworks(count or MOST, count is None, top, 4 * top, rows.names[0])


def _suffice(rows: Rows, law: Law, count: int) -> bool:
    """Whether so many larger networks would. Where the best E is 0, half of its upper end is
    taken."""
    solution, problem = law.solution, law.solution.problem
    theta = solution.theta[None]
    if law.floor.value == 0:
        likely = max(law.floor.high / 2, law.error.min() / 100)
        theta, _ = problem.minimise(theta, pin=_held(math.log(likely), 1))
    new = np.tile(problem.logs.max(axis=0), (count, 1))
    new[:, 0] += np.linspace(0, math.log(4), count + 1)[1:]
    logs = np.vstack([problem.logs, new])
    trial = replace(
        problem,
        logs=logs,
        log_error=curve(theta, logs)[0][0],
        sd=np.concatenate([problem.sd, np.ones(count)]),
        clusters=np.concatenate([problem.clusters, rows.architectures + np.arange(count)]),
    )
    starts = trial.starts()
    plain = float(trial.minimise(starts, pin=_held(trial.bounds[0][0], len(starts)))[1].min())
    free = len(np.unique(trial.clusters)) - len(solution.theta)
    return math.sqrt(plain) > float(stats.t.ppf(0.975, free)) + 0.84


def _held(log_floor: float, fits: int) -> Pin:
    """Keeps E of so many fits at this value."""
    return Pin(parameter(0), np.full(fits, log_floor), np.full(fits, 1e6))
