"""May a scaling law be used beyond what was trained? Always by leaving the largest sizes out.

``study_law`` fits a law, predicts the largest sizes from the others, and says whether it is to be
trusted: if not, why not, and what data would settle it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dnsearch.analysis.metrics import short_number
from dnsearch.scaling.law import Law, Rows, law_of, parameter, rows_of
from dnsearch.scaling.powerlaw import Figure, Floats, Pin, curve

LEAST = 8
"""Architectures: three to leave out, and five for three parameters and some idea of the noise."""

RANGE = 8.0
"""Least factor between the largest and the smallest size."""

KEPT_RANGE = 4.0
"""The same without the sizes left out."""

LEFT_OUT = 3
"""Least architectures left out, within a factor of ``LEFT_OUT_RANGE`` in size."""

LEFT_OUT_RANGE = (2.0, 4.0)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The largest sizes, predicted from the others.

    rule: what was left out. sizes: (rows, k). found: errors there; law, constant and line: what was
    predicted, all (rows,). The constant is the geometric mean of the three largest rows that were
    kept: the best of them would be a lucky one. The line is plain least squares in logs.
    missed: the law is off on average by more than its interval and the scatter allow.
    """

    rule: str
    sizes: Floats
    found: Floats
    law: Floats
    constant: Floats
    line: Floats
    missed: bool

    def error_of(self, predicted: Floats) -> float:
        """Mean relative error of a prediction, as a share."""
        return float(np.mean(np.abs(predicted / self.found - 1)))


@dataclass(frozen=True)
class Verdict:
    """Whether a law may be used beyond its points.

    reason: why not, one line. settle: what data would tell. notes: what to know even so.
    """

    trusted: bool
    reason: str = ""
    settle: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class LawStudy:
    """A law, where one could be fitted, its held-out check, where one could be made, a verdict."""

    law: Law | None
    held_out: HeldOut | None
    verdict: Verdict


def study_law(
    sizes: ArrayLike, error: ArrayLike, architecture: ArrayLike, names: Sequence[str]
) -> LawStudy:
    """The law, what it would have said of the largest sizes, and whether to trust it beyond them.

    Arguments as in ``fit_law``; raises ConfigError only for figures that are not finite and
    positive. It is trusted if there are at least ``LEAST`` architectures over ``RANGE`` in each
    size, the errors fall, the held-out predictions beat both baselines and do not miss, and E is
    identified: E = 0, a plain power law, lies outside the 95 % profile interval of E. Otherwise the
    curve may level off anywhere below the points.
    """
    rows = rows_of(sizes, error, architecture, names)
    notes = () if math.isfinite(rows.seed_sd) else ("one seed each: the noise of seeds is unknown",)
    enough = rows.architectures >= 2 + 2 * len(rows.names)
    spread = all(low < high for low, high in map(rows.span, range(len(rows.names))))
    law = law_of(rows) if enough and spread else None
    refusal = _bad_data(rows) or _bad_split(rows, _limits(rows))
    if law is None or refusal:
        return LawStudy(law, None, Verdict(False, *(refusal or ("", "")), notes=notes))
    held_out = _held_out(rows, _limits(rows))
    refusal = _bad_fit(rows, law, held_out)
    return LawStudy(law, held_out, Verdict(refusal is None, *(refusal or ()), notes=notes))


def _mean_over(logs: Floats) -> Figure:
    """Mean log error of places (places, k)."""

    def figure(theta: Floats) -> tuple[Floats, Floats]:
        value, gradient = curve(theta, logs)
        return value.mean(axis=1), gradient.mean(axis=1)

    return figure


Refusal = tuple[str, str] | None
"""The reason, and what would settle it."""


def _bad_data(rows: Rows) -> Refusal:
    """Too little of it, or nothing that falls."""
    count, names = rows.architectures, rows.names
    for size, name in enumerate(names):
        low, high = rows.span(size)
        if low == high:
            told = f"all {count} networks have the same {name} ({short_number(low)})"
            return told, _train(rows, size, LEAST, low / 4, low * 4)
    if count < LEAST:
        low, high = rows.span(0)
        told = f"{count} networks are too few for a curve: it takes {LEAST}"
        return told, _train(rows, 0, LEAST - count, low, max(high, 16 * low))
    for size, name in enumerate(names):
        low, high = rows.span(size)
        if high < RANGE * low * (1 - 1e-9):
            told = f"{name} span a factor of {high / low:.1f}: a curve takes {RANGE:g}"
            return told, _train(rows, size, 6, high, 16 * low)
    slopes = _slopes(np.log(rows.sizes), rows.log_error, count)
    for size, name in enumerate(names):
        low, high = rows.span(size)
        if not slopes[1][size] < -1e-9:
            return f"errors do not fall with {name}", _train(rows, size, 6, low / 8, low)
    return _rising(rows) if len(names) == 1 else None


def _rising(rows: Rows) -> Refusal:
    """Do errors rise over the larger half of the sizes?"""
    large = rows.sizes[:, 0] >= np.median(rows.sizes[:, 0])
    slopes = _slopes(np.log(rows.sizes[large]), rows.log_error[large], int(large.sum()))
    if not slopes[0][0] > 0:
        return None
    start = f"{short_number(float(rows.sizes[large].min()))} {rows.names[0]}"
    return f"errors rise from {start} on", f"train those above {start} longer, two more seeds each"


def _bad_split(rows: Rows, limits: Floats) -> Refusal:
    """Too little on either side of the limits."""
    for size, name in enumerate(rows.names):
        high, large = rows.span(size)[1], rows.sizes[:, size] >= limits[size]
        left = len(np.unique(rows.clusters[large]))
        if left < LEFT_OUT:
            told = f"{left} networks in the largest {LEFT_OUT_RANGE[1]:g}x of {name} are too few to"
            start = high / LEFT_OUT_RANGE[1]
            return f"{told} check the curve on", _train(rows, size, LEFT_OUT - left, start, high)
    kept = (rows.sizes < limits).all(axis=1)
    left, least = len(np.unique(rows.clusters[kept])), 3 + 2 * len(rows.names)
    if left < least:
        low, high = rows.span(0)
        told = f"without the largest, {left} networks are left to fit: it takes {least}"
        return told, _train(rows, 0, least - left, low, float(limits[0]))
    rest = rows.keep(kept)
    for size, name in enumerate(rows.names):
        low, high = rest.span(size)
        if high < KEPT_RANGE * low * (1 - 1e-9):
            told = f"without the largest, {name} span a factor of {high / low:.1f}: "
            return f"{told}a curve takes {KEPT_RANGE:g}", _train(rows, size, 6, low / 4, low)
    return None


def _bad_fit(rows: Rows, law: Law, held_out: HeldOut) -> Refusal:
    """No better than the baselines, wrong beyond its points, or E not identified."""
    own = held_out.error_of(held_out.law)
    for name, predicted in (
        ("a constant", held_out.constant),
        ("a plain log-log line", held_out.line),
    ):
        other = held_out.error_of(predicted)
        if not own < other:
            told = f"on the sizes left out the curve was off by {own:.1%}, {name} by {other:.1%}"
            return told, _settle(rows, law)
    if held_out.missed:
        told = f"the curve missed the sizes left out by {own:.1%}, more than its interval allows"
        return told, _settle(rows, law)
    if law.floor.low == 0:
        told = "E is not identified: a plain power law that never levels off fits as well"
        return told, _settle(rows, law)
    return None


def _limits(rows: Rows) -> Floats:
    """Sizes from which on a row is left out, (k,).

    Left out is the top factor of half the root of the range, 2 to 4; or the three largest
    architectures, where fewer are in it, if those are within 4.
    """
    limits = np.empty(len(rows.names))
    for size in range(len(rows.names)):
        low, high = rows.span(size)
        factor = float(np.clip(math.sqrt(high / low) / 2, *LEFT_OUT_RANGE))
        largest = np.zeros(rows.clusters.max() + 1)
        np.maximum.at(largest, rows.clusters, rows.sizes[:, size])
        third = np.sort(largest)[-LEFT_OUT]
        limits[size] = max(min(high / factor * (1 + 1e-9), third), high / LEFT_OUT_RANGE[1])
    return limits


def _held_out(rows: Rows, limits: Floats) -> HeldOut:
    rest = rows.keep((rows.sizes < limits).all(axis=1))
    left = rows.keep((rows.sizes >= limits).any(axis=1))
    solution, middle = rest.solve()
    logs, here = np.log(rest.sizes), np.log(left.sizes)
    last = np.argsort(logs.sum(axis=1))[-LEFT_OUT:]
    line = np.linalg.lstsq(_with_one(logs), rest.log_error, rcond=None)[0]
    places = here - middle
    centre, low, high = (float(end[0]) for end in solution.interval(_mean_over(places)))
    off = float(left.log_error.mean()) - centre
    width = high - centre if off > 0 else centre - low
    luck = stats.t.ppf(0.975, max(1, solution.free)) * solution.problem.scale
    constant = np.full(len(here), rest.log_error[last].mean())
    told = " or ".join(
        f"above {short_number(rest.span(size)[1])} {name}" for size, name in enumerate(rows.names)
    )
    return HeldOut(
        rule=told,
        sizes=left.sizes,
        found=np.exp(left.log_error),
        law=np.exp(solution.log_error(places)),
        constant=np.exp(constant),
        line=np.exp(_with_one(here) @ line),
        missed=abs(off) > math.hypot(width, luck / math.sqrt(left.architectures)),
    )


def _settle(rows: Rows, law: Law) -> str:
    """How many networks, up to four times as large, would tell E from 0 four times in five.

    If the curve is right: they are put on it, and the loss of the best plain power law is compared.
    """
    top = rows.span(0)[1]
    count = next((n for n in (6, 12, 24) if _tells(rows, law, n)), "at least 24")
    return _train(rows, 0, count, top, 4 * top)


def _tells(rows: Rows, law: Law, count: int) -> bool:
    """Would so many larger networks do? Where the best E is 0, half of what it may be is taken."""
    solution, problem = law._solution, law._solution.problem
    theta = solution.theta[None]
    if law.floor.value == 0:
        likely = max(law.floor.high / 2, law.error.min() / 100)
        theta, _ = problem.minimise(theta, pin=_held(math.log(likely), 1))
    new = np.tile(problem.logs.max(axis=0), (count, 1))
    new[:, 0] += np.linspace(0, math.log(4), count + 1)[1:]
    logs = np.vstack([problem.logs, new])
    expected = curve(theta, logs)[0][0]
    trial = replace(
        problem,
        logs=logs,
        log_error=expected,
        sd=np.concatenate([problem.sd, np.ones(count)]),
        clusters=np.concatenate([problem.clusters, rows.architectures + np.arange(count)]),
    )
    starts = trial.starts()
    plain = float(trial.minimise(starts, pin=_held(trial.bounds[0][0], len(starts)))[1].min())
    free = len(np.unique(trial.clusters)) - len(solution.theta)
    return math.sqrt(plain) > float(stats.t.ppf(0.975, free)) + 0.84


def _held(log_floor: float, fits: int) -> Pin:
    """Keeps E of so many fits where it is told to be."""
    return Pin(parameter(0), np.full(fits, log_floor), np.full(fits, 1e6))


def _slopes(logs: Floats, log_error: Floats, count: int) -> tuple[Floats, Floats]:
    """Ends of the 95 % intervals of plain least squares slopes, each (k,)."""
    terms = _with_one(logs)
    found = np.linalg.lstsq(terms, log_error, rcond=None)[0]
    free = max(1, count - terms.shape[1])
    variance = ((log_error - terms @ found) ** 2).sum() / max(1, len(logs) - terms.shape[1])
    sd = np.sqrt(np.diag(np.linalg.pinv(terms.T @ terms)) * variance)
    width = stats.t.ppf(0.975, free) * sd
    return (found - width)[1:], (found + width)[1:]


def _with_one(logs: Floats) -> Floats:
    return np.column_stack([np.ones(len(logs)), logs])


def _train(rows: Rows, size: int, count: int | str, low: float, high: float) -> str:
    """Sizes behind the first are of the data."""
    more = f"train {count} more network{'' if count == 1 else 's'}"
    first, last = short_number(low), f"{short_number(high)} {rows.names[size]}"
    return f"{more} on {first} to {last}" if size else f"{more} between {first} and {last}"
