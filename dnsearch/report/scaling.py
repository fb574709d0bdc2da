"""The section of a report on what a larger budget buys: sentences and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from dnsearch.analysis.frames import column, records
from dnsearch.analysis.metrics import METRICS, format_value
from dnsearch.report.forecast import WORDS, Said, spaced, told
from dnsearch.report.parts import Picture
from dnsearch.report.style import BARS, FRONT, LOOKS, OTHER, axis, layout, log_axis, padded_range
from dnsearch.scaling.extrapolation import LawStudy
from dnsearch.scaling.growth import Growth
from dnsearch.scaling.law import Band

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.scaling.study import Larger, Scaling

Floats = NDArray[np.float64]

BAND = "rgba(43, 131, 198, 0.2)"
HELD_OUT, NEXT = LOOKS["knee"], LOOKS["least-error"]
PLACES = 20
LINES = 3
"""Sizes of network for which error against images is drawn."""


class Section(NamedTuple):
    """lead: the answer, a sentence each. more: what follows from it, and what it rests on."""

    lead: list[str]
    more: list[str]
    notes: list[str]
    pictures: list[Picture]


def section(scaling: Scaling) -> Section:
    """What ``scaling.html.j2`` shows."""
    said = told(scaling)
    laws = [_law_picture(scaling, size) for size in scaling.laws]
    data = [] if scaling.data is None else [_data_picture(scaling, scaling.data)]
    return Section(
        lead=_texts(said, "from", "refused", "next"),
        more=_texts(said, "worth", "grow"),
        notes=_texts(said, "laws", "cost", "note"),
        pictures=[laws[0], *data, *_growth_pictures(scaling), *laws[1:]],
    )


def _texts(said: Sequence[Said], *labels: str) -> list[str]:
    return [text for label, text in said if label in labels]


def _law_picture(scaling: Scaling, size: str) -> Picture:
    study, label = scaling.laws[size], METRICS[size].label
    reading = "Grey are all trainings on all images."
    if study.law is not None:
        reading += (
            " The line is the curve fitted to the blue points, the band where its mean lies with "
            "95 %."
        )
    if study.held_out is not None:
        reading += (
            " Diamonds are the largest networks, predicted by the dashed line from all smaller "
            "ones: where they lie off it, so may the curve beyond the last point."
        )
    return Picture(
        f"scaling-{size}",
        f"How error falls with {label}",
        reading,
        law_figure(scaling, size),
        _distrust(study),
    )


def _distrust(study: LawStudy) -> str:
    return "" if study.verdict.trusted else f"Not to be trusted: {spaced(study.verdict.reason)}."


def law_figure(scaling: Scaling, size: str) -> go.Figure:
    """Error against one size: trainings, means, fit with band, what was held out, what is next."""
    study = scaling.laws[size]
    law, held_out = study.law, study.held_out
    figure = go.Figure(layout=layout(460, showlegend=True))
    full = scaling.full
    x, y = column(full, size), column(full, "error")
    hover = [
        f"<b>{escape(str(row['name']))}</b><br>{format_value('error', row['error'])}<br>"
        f"{format_value(size, row[size])}"
        for row in records(full)
    ]
    _points(figure, x, y, "one training", OTHER, "circle", 5, 0.35, hover)
    shown = [larger for larger in scaling.next if larger.error is not None]
    shown = shown if size == scaling.cost else []
    ends = [x, np.array([float(getattr(larger.cost, size)) for larger in shown])]
    every = np.concatenate(ends)
    if law is not None:
        trusted = study.verdict.trusted
        end = max(every.max(), 2 * law.sizes.max()) if trusted else law.sizes.max()
        places = np.geomspace(law.sizes.min(), end, PLACES)
        _band(figure, places, law.mean(places), "fit and its 95 % band")
        kept = np.ones(len(law.sizes), dtype=bool)
        if held_out is not None:
            kept = ~np.isin(law.sizes[:, 0], held_out.sizes[:, 0])
            _held_out(figure, study)
        means = [f"fitted<br>{format_value('error', e)}" for e in law.error[kept]]
        sizes = law.sizes[kept, 0]
        _points(figure, sizes, law.error[kept], "fitted", FRONT, "circle", 8, 1, means)
        every = np.append(every, end)
    _next(figure, shown, size)
    low, high = padded_range(every, 0.04, 0.06)
    errors = np.concatenate([y, *(larger.error or () for larger in shown)], axis=None)
    bottom, top = padded_range(errors, 0.12, 0.08)
    figure.update_xaxes(log_axis(size, low, high))
    figure.update_yaxes(log_axis("error", bottom, top, "validation error"))
    return figure


def _points(
    figure: go.Figure,
    x: Floats,
    y: Floats,
    name: str,
    colour: str,
    symbol: str,
    size: int,
    opacity: float,
    hover: list[str],
) -> None:
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        name=name,
        marker={"color": colour, "symbol": symbol, "size": size, "opacity": opacity},
        hovertext=hover,
        hoverinfo="text",
    )


def _band(
    figure: go.Figure, x: Floats, band: Band, name: str, colour: str = FRONT, fill: str = BAND
) -> None:
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([band.low, band.high[::-1]]),
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=fill,
        hoverinfo="skip",
        legendgroup=name,
        showlegend=False,
    )
    figure.add_scatter(
        x=x,
        y=band.value,
        mode="lines",
        line={"color": colour, "width": 2},
        name=name,
        legendgroup=name,
        hovertext=[
            f"{format_value('error', v)}<br>95 %: {format_value('error', a)} to "
            f"{format_value('error', b)}"
            for v, a, b in zip(*band, strict=True)
        ],
        hoverinfo="text",
    )


def _held_out(figure: go.Figure, study: LawStudy) -> None:
    """What was left out, and the curve that was to predict it."""
    held_out = study.held_out
    assert held_out is not None
    order = np.argsort(held_out.sizes[:, 0], kind="stable")
    x = held_out.sizes[order, 0]
    told_of = [
        f"held out: {format_value('error', found)}<br>predicted {format_value('error', law)}<br>"
        f"by a constant {format_value('error', constant)}<br>"
        f"by a log-log line {format_value('error', line)}"
        for found, law, constant, line in zip(
            held_out.found[order],
            held_out.law[order],
            held_out.constant[order],
            held_out.line[order],
            strict=True,
        )
    ]
    colour, symbol = HELD_OUT.colour, f"{HELD_OUT.symbol}-open"
    _points(figure, x, held_out.found[order], "mean, held out", colour, symbol, 10, 1, told_of)
    figure.add_scatter(
        x=x,
        y=held_out.law[order],
        mode="lines",
        line={"color": colour, "width": 2, "dash": "dash"},
        name="predicted for these",
        hovertext=told_of,
        hoverinfo="text",
    )


def _next(figure: go.Figure, shown: Sequence[Larger], size: str) -> None:
    if not shown:
        return
    bars = [larger.training for larger in shown if larger.training is not None]
    figure.add_scatter(
        x=[getattr(larger.cost, size) for larger in shown],
        y=[bar.value for bar in bars],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [bar.high - bar.value for bar in bars],
            "arrayminus": [bar.value - bar.low for bar in bars],
            "color": NEXT.colour,
            "thickness": 1.5,
        },
        mode="markers",
        name="next, one training",
        marker={"color": NEXT.colour, "symbol": NEXT.symbol, "size": 13},
        hovertext=[
            f"<b>{escape(larger.arch.describe())}</b><br>{larger.times:g} times the largest<br>"
            f"one training: {format_value('error', bar.low)} to {format_value('error', bar.high)}"
            for larger, bar in zip(shown, bars, strict=True)
        ],
        hoverinfo="text",
    )


def _data_picture(scaling: Scaling, study: LawStudy) -> Picture:
    known = study.law is not None and len(np.unique(study.law.sizes[:, 1])) > 1
    return Picture(
        "scaling-images",
        "How error falls with training images",
        "Networks trained on part of the images for as many steps, and on all of them; a line for "
        "each of three sizes of network, by the curve fitted to all of them together.",
        data_figure(scaling, study) if known else None,
        _distrust(study),
    )


def data_figure(scaling: Scaling, study: LawStudy) -> go.Figure:
    """Error against training images, a line a size; each point has the colour of the nearest."""
    law = study.law
    assert law is not None
    sizes, images = law.sizes.T
    lines = np.quantile(np.log(np.unique(sizes)), np.linspace(0.1, 0.9, LINES))
    nearest = np.abs(np.log(sizes)[:, None] - lines).argmin(axis=1)
    beyond = 2.0 if study.verdict.trusted else 1.0
    places = np.geomspace(images.min(), beyond * images.max(), PLACES)
    figure = go.Figure(layout=layout(420, showlegend=True))
    for number, size in enumerate(np.exp(lines)):
        colour, rows = BARS[number], nearest == number
        symbol = ("circle", "square", "diamond")[number]
        name = f"about {format_value(scaling.cost, float(size))}"
        hover = [
            f"{format_value(scaling.cost, s)}, {format_value('images', d)}<br>"
            f"{format_value('error', e)}"
            for s, d, e in zip(sizes[rows], images[rows], law.error[rows], strict=True)
        ]
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        band = law.mean(np.column_stack([np.full(PLACES, size), places]))
        _band(figure, places, band, name, colour, f"rgba({red}, {green}, {blue}, 0.14)")
        _points(figure, images[rows], law.error[rows], name, colour, symbol, 7, 0.8, hover)
        figure.data[-1].update(showlegend=False, legendgroup=name)
    low, high = padded_range(places, 0.05, 0.05)
    bottom, top = padded_range(law.error, 0.15, 0.08)
    figure.update_xaxes(log_axis("images", low, high, "training images"))
    figure.update_yaxes(log_axis("error", bottom, top, "validation error"))
    return figure


def _growth_pictures(scaling: Scaling) -> list[Picture]:
    """One, or none where no exponent could be estimated, of which the sentences tell."""
    if not _estimated(scaling):
        return []
    cost = METRICS[scaling.cost].short
    return [
        Picture(
            "scaling-growth",
            "What grows with the budget",
            f"Exponents of {cost} for the best value at each budget, with 95 % intervals: at 0.5 "
            "four times the budget goes with twice as much. Grey ones are not to be used.",
            growth_figure(scaling),
            "",
        )
    ]


def _estimated(scaling: Scaling) -> list[Growth]:
    return [g for g in scaling.growth.values() if np.isfinite(g.exponent.value)]


def growth_figure(scaling: Scaling) -> go.Figure:
    """Exponents as intervals, one row a dimension."""
    known = _estimated(scaling)
    figure = go.Figure(layout=layout(120 + 44 * len(known), showlegend=False))
    value, low, high = np.array([g.exponent for g in known]).T
    names = [WORDS[g.name] for g in known]
    figure.add_scatter(
        x=value,
        y=names,
        mode="markers",
        marker={"size": 10, "color": [FRONT if g.told else OTHER for g in known]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": high - value,
            "arrayminus": value - low,
            "color": FRONT,
            "thickness": 2,
        },
        hovertext=[
            f"{v:.2f} ({a:.2f} to {b:.2f})" for v, a, b in zip(value, low, high, strict=True)
        ],
        hoverinfo="text",
    )
    title = f"exponent of {METRICS[scaling.cost].short}"
    figure.update_xaxes(axis("depth", title=title, zeroline=True, rangemode="tozero"))
    figure.update_xaxes(zerolinecolor=OTHER, zerolinewidth=1)
    figure.update_yaxes(autorange="reversed", automargin=True, title="", ticklabelstandoff=8)
    return figure
