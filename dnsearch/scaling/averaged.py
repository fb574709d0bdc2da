"""Several laws averaged by how well they have predicted, with a band that held where they did.

No law is right for all curves: on published ones (``studies/scaling_curves.py``) the best changes
from curve to curve, and the interval of any single one holds far less than it says. So the laws of
``families``, each fitted to all sizes alike and to sizes in proportion (a bend far below the end
then counts little), predict the end of the curve from its beginning, several times over. From that
come their weights and the width of the band beyond the last point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import softmax

from dnsearch.arrays import Floats, Ints
from dnsearch.scaling.families import FAMILIES
from dnsearch.scaling.fits import Fits, fit_family
from dnsearch.scaling.law import Band, logs_of
from dnsearch.scaling.rows import Rows

LEVEL = 0.9
"""Of bands."""

TAIL = 2.0
"""Each cut is to predict the sizes up to this factor above it."""

STEP = math.sqrt(2.0)
"""Between cuts."""

LEAST_ROWS, LEAST_RANGE = 6, 4.0
"""What a cut must keep: rows, and the factor between the largest and the smallest of them."""

FAVOUR = (0.0, 1.0)
"""Powers of size by which rows count."""


class Prediction(NamedTuple):
    """Errors at some sizes: the mean over architectures and seeds, and that of one training run."""

    mean: Band
    training: Band


class Cut(NamedTuple):
    """From the sizes up to ``top`` (log) the rows ``tail`` (rows,) are predicted."""

    top: float
    tail: Ints


@dataclass(frozen=True, eq=False)
class Averaged:
    """The averaged law of one size.

    logs, log_error: of the rows, smallest first, (n,). weights: of the members, (members,), by
    family and within it by ``FAVOUR``. cuts: from the largest to the smallest. drift: what the
    mean over a cut's tail was off by beyond what the members' spread explains, root mean square for
    each unit of log size that it lay beyond the cut; 0 without cuts. scatter: standard deviation of
    the log error of one training run about the curve.
    """

    logs: Floats
    log_error: Floats
    weights: Floats
    cuts: tuple[Cut, ...]
    drift: float
    scatter: float
    _fits: Sequence[Fits] = field(repr=False)

    @property
    def top(self) -> float:
        """Log of the largest size."""
        return float(self.logs[-1])

    def tested(self, times: float) -> float:
        """How many predictions over a factor of ``times`` (above 1) that share no data fit between
        the smallest cut and the largest size."""
        return _tested(self.top, self.cuts, math.log(times))

    def predict(self, sizes: ArrayLike, level: float = LEVEL) -> Prediction:
        """Errors at ``sizes`` (places,) with bands of this level.

        The curve's standard deviation is that of the members about their mean, or what the cuts
        were off by beyond that, grown in proportion to log size, whichever is more. The band is
        Student's, with a degree of freedom for every prediction of ``TAIL`` times the size that
        shares no data with the others, and at least one. Raises ConfigError for sizes that have no
        logarithm.
        """
        logs = logs_of(sizes, 1)[:, 0]
        values, spreads = (
            np.concatenate(part)
            for part in zip(*(fits.at(logs) for fits in self._fits), strict=True)
        )
        value, variance = _mixed(values, spreads, self.weights)
        beyond = np.maximum(0.0, logs - self.top)
        spread = np.maximum(np.sqrt(variance), self.drift * beyond)
        t = stats.t.ppf(0.5 + level / 2, max(1.0, self.tested(TAIL)))
        mean, training = t * spread, t * np.hypot(spread, self.scatter)
        return Prediction(
            *(Band(*np.exp([value, value - wide, value + wide])) for wide in (mean, training))
        )


def average(rows: Rows) -> Averaged:
    """The averaged law of rows of one size that differ in it."""
    order = np.argsort(rows.sizes[:, 0], kind="stable")
    logs, log_error = np.log(rows.sizes[order, 0]), rows.log_error[order]
    noise = float(np.std(np.diff(log_error))) / math.sqrt(2)
    members = _Members.of(logs, log_error, rows.sd_of(noise)[order], cuts_of(logs))
    weights = members.weights()
    scale = float(weights @ members.scales[0])
    seeds = rows.seed_sd if math.isfinite(rows.seed_sd) else 0.0
    return Averaged(
        logs=logs,
        log_error=log_error,
        weights=weights,
        cuts=members.cuts,
        drift=members.drift(),
        scatter=math.sqrt(scale**2 + seeds**2 * float(1 - (1 / rows.seeds).mean())),
        _fits=[fits.first(len(FAVOUR)) for fits in members.fits],
    )


def cuts_of(logs: Floats) -> tuple[Cut, ...]:
    """The cuts of sorted log sizes (n,): every ``STEP`` below the largest that keeps enough and has
    a size to predict."""
    found: list[Cut] = []
    for line in np.arange(logs[-1] - math.log(STEP), logs[0], -math.log(STEP)):
        kept = logs[logs <= line + 1e-9]
        if len(kept) < LEAST_ROWS or kept[-1] - kept[0] < math.log(LEAST_RANGE) - 1e-9:
            break
        tail = np.flatnonzero((logs > kept[-1]) & (logs <= kept[-1] + math.log(TAIL) + 1e-9))
        if len(tail) and not (found and found[-1].top == kept[-1]):
            found.append(Cut(float(kept[-1]), tail))
    return tuple(found)


def _tested(top: float, cuts: Sequence[Cut], ahead: float = math.log(TAIL)) -> float:
    return (top - cuts[-1].top) / ahead if cuts else 0.0


@dataclass(frozen=True, eq=False)
class _Members:
    """All members fitted to all rows and to each cut, and what they say of the rows.

    values, spreads: log errors and their standard deviations, (1 + cuts, members, n). scales,
    independent: as in ``Fits``, (1 + cuts, members).
    """

    logs: Floats
    log_error: Floats
    cuts: tuple[Cut, ...]
    fits: Sequence[Fits]
    values: Floats
    spreads: Floats
    scales: Floats
    independent: Floats

    @classmethod
    def of(cls, logs: Floats, log_error: Floats, sd: Floats, cuts: tuple[Cut, ...]) -> _Members:
        tops = [logs[-1], *(cut.top for cut in cuts)]
        each = [(top, power) for top in tops for power in FAVOUR]
        weights = np.array([np.exp(power * (logs - top)) * (logs <= top) for top, power in each])
        fits = [fit_family(family, logs, log_error, sd, weights) for family in FAMILIES]
        told = [fit.at(logs) for fit in fits]
        return cls(
            logs,
            log_error,
            cuts,
            fits,
            values=_by_cut([value for value, _ in told]),
            spreads=_by_cut([spread for _, spread in told]),
            scales=_by_cut([fit.scale for fit in fits]),
            independent=_by_cut([fit.independent for fit in fits]),
        )

    def weights(self, without: int | None = None) -> Floats:
        """By held-out likelihood (members,): normal errors of one unknown deviation a member, of
        which each prediction that shares no data with the others is one; ``without`` one cut.

        That deviation is no less than the scatter of the rows: what lies below is luck.
        """
        off = [
            np.mean((self.values[place][:, cut.tail] - self.log_error[cut.tail]) ** 2, axis=1)
            for place, cut in enumerate(self.cuts, start=1)
            if place != without
        ]
        if not off:
            return np.full(self.scales.shape[1], 1 / self.scales.shape[1])
        checks = _tested(float(self.logs[-1]), self.cuts)
        variance = np.mean(off, axis=0) + np.median(self.scales[0]) ** 2
        return softmax(-checks / 2 * np.log(variance))

    def drift(self) -> float:
        """As ``Averaged.drift``, each cut predicted by the weights from the others.

        Of a tail's mean error the luck of its rows and what the spread of the members explains are
        taken off: what is left no member knows of.
        """
        more, reach = [], []
        for place, cut in enumerate(self.cuts, start=1):
            weights = self.weights(without=place)
            value, variance = _mixed(
                self.values[place][:, cut.tail], self.spreads[place][:, cut.tail], weights
            )
            scale, own = weights @ self.scales[place], weights @ self.independent[place]
            luck = scale**2 / max(1.0, own * len(cut.tail))
            off = float(np.mean(value - self.log_error[cut.tail]))
            more.append(max(0.0, off**2 - luck - float(np.mean(np.sqrt(variance))) ** 2))
            reach.append(float(np.mean(self.logs[cut.tail])) - cut.top)
        return math.sqrt(sum(more) / sum(np.square(reach))) if more else 0.0


def _mixed(values: Floats, spreads: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Mean and variance (places,) of members (members, places) of these weights together."""
    mean = weights @ values
    return mean, weights @ (spreads**2 + (values - mean) ** 2)


def _by_cut(parts: Sequence[Floats]) -> Floats:
    """Figures of each family's fits (cuts x powers, ...) as (cuts, members, ...)."""
    powers = len(FAVOUR)
    split = [part.reshape(len(part) // powers, powers, *part.shape[1:]) for part in parts]
    return np.concatenate(split, axis=1)
