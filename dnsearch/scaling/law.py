"""How error falls with the size of the network and of the data.

``E + A x^-alpha``, or ``E + A N^-alpha + B D^-beta`` in network and data (Rosenfeld et al. 2020,
arXiv:1909.12673; Hoffmann et al. 2022, arXiv:2203.15556). Errors are shares (0 to 1) or losses;
sizes are params, MACs, activations, images. ``extrapolation`` says whether to trust a law.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dnsearch.analysis.trust import Interval
from dnsearch.arrays import Floats
from dnsearch.errors import ConfigError
from dnsearch.scaling.powerlaw import Figure, Solution, curve
from dnsearch.scaling.rows import Rows, rows_of


class Band(NamedTuple):
    """Figures and the ends of their intervals, all (places,)."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Law:
    """``E + sum_k A_k x_k^-alpha_k`` with 95 % intervals (``powerlaw.Solution.interval``).

    The intervals are those of a curve of this form. That it may bend is not in them, so that beyond
    its points a law of one size does not predict: ``averaged`` does.

    names: of the sizes. floor: E; a lower end of 0 means that a plain power law is not ruled out.
    factors: A by size. exponents: alpha by size; an end at 0.01 or 10 means unbounded. sizes: of
    the fitted rows, one an architecture and amount of data, (n, k). error: theirs, (n,). seed_sd:
    standard deviation of log error between seeds, NaN from one seed each. scatter: that of a row
    about the curve. solution: the fit, of log sizes about ``middle`` (k,).
    """

    names: tuple[str, ...]
    floor: Interval
    factors: tuple[Interval, ...]
    exponents: tuple[Interval, ...]
    architectures: int
    trainings: int
    seed_sd: float
    scatter: float
    sizes: Floats
    error: Floats
    solution: Solution = field(repr=False)
    middle: Floats = field(repr=False)

    def mean(self, sizes: ArrayLike) -> Band:
        """The curve at ``sizes`` (places,) or (places, k): mean over architectures and seeds, with
        95 % intervals."""
        logs = self.logs_of(sizes)
        return Band(*np.exp(self.solution.interval(_curve_at(logs), len(logs))))

    def logs_of(self, sizes: ArrayLike) -> Floats:
        """Log sizes about ``middle``, (places, k). Raises ConfigError for what has no logarithm."""
        return logs_of(sizes, len(self.names)) - self.middle


def logs_of(sizes: ArrayLike, kinds: int) -> Floats:
    """Logs of sizes (places,) or (places, kinds), (places, kinds). Raises ConfigError for what has
    no logarithm."""
    rows = np.asarray(sizes, dtype=np.float64).reshape(-1, kinds)
    if not (np.isfinite(rows).all() and (rows > 0).all()):
        raise ConfigError("sizes", "must be finite and above 0")
    return np.log(rows)


@dataclass(frozen=True)
class Worth:
    """Error points (percent) that twice the data and twice the network would each take off.

    ratio: the data's gain over the network's. better: the name of the size that is worth more;
    empty where the interval of the ratio holds 1.
    """

    network: Interval
    data: Interval
    ratio: Interval
    better: str


def fit_law(
    sizes: ArrayLike, error: ArrayLike, architecture: ArrayLike, names: Sequence[str]
) -> Law:
    """The law of training runs' errors: described, not judged as by ``extrapolation.study_law``.

    sizes: of each run, (n,) or (n, k) for the k ``names``, the network's first. error: (n,).
    architecture: what runs of one network share, (n,). Raises ConfigError for figures that are not
    finite and positive, for a size that is the same in all, and for fewer architectures than
    ``least_architectures``.
    """
    rows = rows_of(sizes, error, architecture, names)
    least = least_architectures(len(rows.names))
    if rows.architectures < least:
        raise ConfigError("architectures", f"must be at least {least} to fit", rows.architectures)
    for size, name in enumerate(rows.names):
        if len(set(rows.span(size))) == 1:
            raise ConfigError(name, "must differ between networks", rows.span(size)[0])
    return law_of(rows)


def least_architectures(sizes: int) -> int:
    """How many it takes to fit a law of so many sizes: its parameters and one."""
    return 2 + 2 * sizes


def worth(law: Law, network: float, images: float) -> Worth:
    """What twice the data and twice the network would each take off the mean error.

    law: of network size and data, in this order. network, images: where to start from. Raises
    ConfigError for a law of other sizes.
    """
    if len(law.names) != 2:
        raise ConfigError("law", "must be of network size and data", ", ".join(law.names))
    here = law.logs_of([[network, images]])[0]
    larger, longer = here + math.log(2) * np.eye(2)

    def both(theta: Floats) -> tuple[Floats, Floats]:
        (a, slope_a), (b, slope_b) = _gain(here, longer)(theta), _gain(here, larger)(theta)
        return a - b, slope_a - slope_b

    of_network, of_data, ratio = (
        Interval(*(float(np.exp(end[0])) for end in law.solution.interval(figure)))
        for figure in (_gain(here, larger), _gain(here, longer), both)
    )
    better = law.names[1] if ratio.low > 1 else law.names[0] if ratio.high < 1 else ""
    return Worth(of_network.scaled(100), of_data.scaled(100), ratio, better)


def law_of(rows: Rows) -> Law:
    """The law of checked rows."""
    solution, middle = rows.solve()
    sizes = range(len(rows.names))
    return Law(
        names=rows.names,
        floor=_floor(solution),
        factors=tuple(_exp(solution, _factor(size, middle[size])) for size in sizes),
        exponents=tuple(_exp(solution, parameter(2 + 2 * size)) for size in sizes),
        architectures=rows.architectures,
        trainings=len(rows.each),
        seed_sd=rows.seed_sd,
        scatter=solution.problem.scale,
        sizes=rows.sizes,
        error=np.exp(rows.log_error),
        solution=solution,
        middle=middle,
    )


def _floor(solution: Solution) -> Interval:
    """E, where what is as good as 0 is 0."""
    ends = [float(end[0]) for end in solution.interval(parameter(0))]
    nothing = solution.problem.bounds[0][0] + 0.05
    return Interval(*(0.0 if end < nothing else math.exp(end) for end in ends))


def _exp(solution: Solution, figure: Figure) -> Interval:
    return Interval(*(float(np.exp(end[0])) for end in solution.interval(figure)))


# Figures: of parameters (b, p) their value (b,) and gradient (b, p)


def parameter(index: int) -> Figure:
    """One of the parameters, in logs."""

    def figure(theta: Floats) -> tuple[Floats, Floats]:
        gradient = np.zeros_like(theta)
        gradient[:, index] = 1.0
        return theta[:, index], gradient

    return figure


def _factor(size: int, middle: float) -> Figure:
    """log A for sizes as they are, not about their middle."""

    def figure(theta: Floats) -> tuple[Floats, Floats]:
        alpha = np.exp(theta[:, 2 + 2 * size])
        gradient = np.zeros_like(theta)
        gradient[:, 1 + 2 * size] = 1.0
        gradient[:, 2 + 2 * size] = alpha * middle
        return theta[:, 1 + 2 * size] + alpha * middle, gradient

    return figure


def _curve_at(logs: Floats) -> Figure:
    """Log error at places (places, k)."""

    def figure(theta: Floats) -> tuple[Floats, Floats]:
        place = logs[np.arange(len(theta)) % len(logs)]
        value, gradient = curve(theta, place[:, None, :])
        return value[:, 0], gradient[:, 0]

    return figure


def _gain(here: Floats, there: Floats) -> Figure:
    """Log of what the error falls between two places (k,)."""

    def figure(theta: Floats) -> tuple[Floats, Floats]:
        logs, gradient = curve(theta, np.array([here, there]))
        error = np.exp(logs)
        slope = gradient * error[..., None]
        gain = np.maximum(error[:, 0] - error[:, 1], 1e-12)
        return np.log(gain), (slope[:, 0] - slope[:, 1]) / gain[:, None]

    return figure
