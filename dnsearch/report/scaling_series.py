"""What the pictures of scaling laws show, as plain arrays: drawn in ``scaling_figures``."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis.candidates import Candidate, figures
from dnsearch.analysis.metrics import dimension_label, format_value
from dnsearch.arrays import Floats
from dnsearch.scaling.extrapolation import LawStudy
from dnsearch.scaling.heldout import HeldOut
from dnsearch.scaling.law import Band, Law

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.scaling.networks import Larger
    from dnsearch.scaling.study import Scaling


PLACES = 20
"""Points of a curve."""

LINES = 3
"""Sizes of network for which error against images is drawn."""


class Marks(NamedTuple):
    """Points at sizes or images ``x`` and errors ``y`` (0 to 1), both (n,), and what each says."""

    x: Floats
    y: Floats
    hover: list[str]


class Fit(NamedTuple):
    """A fitted curve with its band at ``x`` (places,), and what each place says."""

    x: Floats
    band: Band
    hover: list[str]


class Check(NamedTuple):
    """Means of what was held out, smallest first, and what the others said of them, (n,)."""

    means: Marks
    predicted: Floats


class Next(NamedTuple):
    """Predicted errors of the networks to train next, with the ends of the interval of one training
    run, (n,)."""

    marks: Marks
    low: Floats
    high: Floats


class LawSeries(NamedTuple):
    """Error against one size: training runs on all images, the fit, means that it is fitted to,
    what was held out, what is next; None for what there is not.

    frame: sizes and errors that must be inside the picture. error: what the error is called.
    """

    size: str
    runs: Marks
    fit: Fit | None
    fitted: Marks | None
    check: Check | None
    next: Next | None
    frame: tuple[Floats, Floats]
    error: str


class ImagesLine(NamedTuple):
    """Error against training images, for networks of about one size."""

    name: str
    fit: Fit
    means: Marks


class GrowthSeries(NamedTuple):
    """Exponents with the ends of their 95 % intervals, (n,); ``used`` marks those to be used."""

    names: list[str]
    value: Floats
    low: Floats
    high: Floats
    used: NDArray[np.bool_]


def law_series(scaling: Scaling, size: str) -> LawSeries:
    """What the picture of error against this size shows."""
    study = scaling.laws[size]
    known = [larger for larger in scaling.next if larger.error is not None]
    shown = known if size == scaling.cost else []
    runs = _runs(scaling.full, size)
    sizes = np.array([*runs.x, *(float(getattr(larger.cost, size)) for larger in shown)])
    fit = None if study.law is None else _curve(study, study.law, sizes)
    errors = [runs.y, *(np.array(larger.error) for larger in shown)]
    return LawSeries(
        size=size,
        runs=runs,
        fit=fit,
        fitted=None if study.law is None else _fitted(study.law, study.held_out),
        check=None if study.held_out is None else _check(study.held_out),
        next=_next(shown, size) if shown else None,
        frame=(sizes if fit is None else np.append(sizes, fit.x[-1]), np.concatenate(errors)),
        error=scaling.full[0].error_name,
    )


def _runs(full: Sequence[Candidate], size: str) -> Marks:
    hover = [
        f"<b>{escape(run.name)}</b><br>{format_value('error', run.error)}<br>"
        f"{format_value(size, run.figure(size))}"
        for run in full
    ]
    return Marks(figures(full, size), figures(full, "error"), hover)


def _curve(study: LawStudy, law: Law, sizes: Floats) -> Fit:
    """What predicts, no farther than its points where nothing does."""
    most = law.sizes.max()
    if study.averaged is None:
        places = np.geomspace(law.sizes.min(), most, PLACES)
        return _fit(places, law.mean(places), "95 %")
    places = np.geomspace(law.sizes.min(), max(sizes.max(), 2 * most), PLACES)
    return _fit(places, study.averaged.predict(places).mean, "90 %")


def _fit(x: Floats, band: Band, level: str) -> Fit:
    """A curve with its band of this level, drawn at ``x`` (places,)."""
    hover = [
        f"{format_value('error', v)}<br>{level}: {format_value('error', a)} to "
        f"{format_value('error', b)}"
        for v, a, b in zip(*band, strict=True)
    ]
    return Fit(x, band, hover)


def _fitted(law: Law, held_out: HeldOut | None) -> Marks:
    kept = np.ones(len(law.sizes), dtype=bool)
    if held_out is not None:
        kept = ~np.isin(law.sizes[:, 0], held_out.sizes[:, 0])
    errors = law.error[kept]
    hover = [f"fitted<br>{format_value('error', error)}" for error in errors]
    return Marks(law.sizes[kept, 0], errors, hover)


def _check(held_out: HeldOut) -> Check:
    order = np.argsort(held_out.sizes[:, 0], kind="stable")
    columns = (held_out.found, held_out.law, held_out.constant, held_out.line)
    hover = [
        f"held out: {format_value('error', found)}<br>predicted {format_value('error', law)}<br>"
        f"by a constant {format_value('error', constant)}<br>"
        f"by a log-log line {format_value('error', line)}"
        for found, law, constant, line in zip(*(each[order] for each in columns), strict=True)
    ]
    means = Marks(held_out.sizes[order, 0], held_out.found[order], hover)
    return Check(means, held_out.law[order])


def _next(shown: Sequence[Larger], size: str) -> Next:
    networks = [(each, each.training_error) for each in shown if each.training_error is not None]
    value, low, high = np.array([interval for _, interval in networks]).T
    hover = [
        f"<b>{escape(larger.arch.describe())}</b><br>{larger.times:g} times the largest<br>"
        f"one training run: {format_value('error', interval.low)} to "
        f"{format_value('error', interval.high)}"
        for larger, interval in networks
    ]
    sizes = np.array([float(getattr(larger.cost, size)) for larger, _ in networks])
    return Next(Marks(sizes, value, hover), low, high)


def images_series(scaling: Scaling, study: LawStudy) -> list[ImagesLine]:
    """Lines of error against images for ``LINES`` sizes of network, each point with the nearest;
    none where all networks saw as many images."""
    law = study.law
    if law is None or len(np.unique(law.sizes[:, 1])) < 2:
        return []
    sizes, images = law.sizes.T
    lines = np.quantile(np.log(np.unique(sizes)), np.linspace(0.1, 0.9, LINES))
    nearest = np.abs(np.log(sizes)[:, None] - lines).argmin(axis=1)
    beyond = 2.0 if study.verdict.trusted else 1.0
    x = np.geomspace(images.min(), beyond * images.max(), PLACES)
    return [
        ImagesLine(
            name=f"about {format_value(scaling.cost, float(size))}",
            fit=_fit(x, law.mean(np.column_stack([np.full(PLACES, size), x])), "95 %"),
            means=_means(law, scaling.cost, nearest == number),
        )
        for number, size in enumerate(np.exp(lines))
    ]


def _means(law: Law, cost: str, rows: NDArray[np.bool_]) -> Marks:
    """The fitted means of some rows (n,) against images."""
    sizes, images, errors = *law.sizes[rows].T, law.error[rows]
    hover = [
        f"{format_value(cost, s)}, {format_value('images', d)}<br>{format_value('error', e)}"
        for s, d, e in zip(sizes, images, errors, strict=True)
    ]
    return Marks(images, errors, hover)


def growth_series(scaling: Scaling) -> GrowthSeries | None:
    """The exponents that could be estimated; None where none could."""
    known = {n: growth for n, growth in scaling.growth.items() if growth.exponent.is_known}
    if not known:
        return None
    value, low, high = np.array([growth.exponent for growth in known.values()]).T
    used = np.array([growth.is_known for growth in known.values()])
    return GrowthSeries([dimension_label(name) for name in known], value, low, high, used)
