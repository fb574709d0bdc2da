"""The pictures of scaling laws, drawn from what ``scaling_series`` prepared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dnsearch.analysis.metrics import METRICS
from dnsearch.report.scaling_series import (
    Check,
    Fit,
    GrowthSeries,
    ImagesLine,
    LawSeries,
    Marks,
    Next,
)
from dnsearch.report.style import (
    BARS,
    FRONT,
    LOOKS,
    OTHER,
    axis,
    error_bars,
    faint,
    layout,
    log_axis,
    padded_range,
)

HELD_OUT, NEXT = LOOKS["knee"], LOOKS["least-error"]
SYMBOLS = ("circle", "square", "diamond")


def law_figure(series: LawSeries) -> go.Figure:
    """Error against one size: training runs, means, fit with band, what was held out, what is
    next."""
    figure = go.Figure(layout=layout(460, showlegend=True))
    _points(figure, series.runs, "one training run", color=OTHER, size=5, opacity=0.35)
    if series.fit is not None:
        _fit(figure, series.fit, "fit and its band", FRONT, 0.2)
    if series.check is not None:
        _check(figure, series.check)
    if series.fitted is not None:
        _points(figure, series.fitted, "fitted", color=FRONT, size=8)
    if series.next is not None:
        _next(figure, series.next)
    sizes, errors = series.frame
    figure.update_xaxes(log_axis(series.size, *padded_range(sizes, 0.04, 0.06)))
    figure.update_yaxes(log_axis("error", *padded_range(errors, 0.12, 0.08), series.error))
    return figure


def images_figure(lines: Sequence[ImagesLine], error: str) -> go.Figure:
    """Error, which is called ``error``, against training images, a line a size; each point has the
    colour of the nearest."""
    figure = go.Figure(layout=layout(420, showlegend=True))
    for line, colour, symbol in zip(lines, BARS, SYMBOLS, strict=False):
        _fit(figure, line.fit, line.name, colour, 0.14)
        looks = {"color": colour, "symbol": symbol, "size": 7, "opacity": 0.8}
        _points(figure, line.means, line.name, **looks)
        figure.data[-1].update(showlegend=False, legendgroup=line.name)
    errors = np.concatenate([line.means.y for line in lines])
    span = padded_range(lines[0].fit.x, 0.05, 0.05)
    figure.update_xaxes(log_axis("images", *span, "training images"))
    figure.update_yaxes(log_axis("error", *padded_range(errors, 0.15, 0.08), error))
    return figure


def growth_figure(series: GrowthSeries, cost: str) -> go.Figure:
    """Exponents of this cost as intervals, one row a dimension."""
    figure = go.Figure(layout=layout(120 + 44 * len(series.names), showlegend=False))
    ends = zip(series.value, series.low, series.high, strict=True)
    figure.add_scatter(
        x=series.value,
        y=series.names,
        mode="markers",
        marker={"size": 10, "color": [FRONT if used else OTHER for used in series.used]},
        error_x=error_bars(series.value, series.low, series.high, FRONT, thickness=2),
        hovertext=[f"{value:.2f} ({low:.2f} to {high:.2f})" for value, low, high in ends],
        hoverinfo="text",
    )
    title = f"exponent of {METRICS[cost].short}"
    figure.update_xaxes(axis("depth", title=title, zeroline=True, rangemode="tozero"))
    figure.update_xaxes(zerolinecolor=OTHER, zerolinewidth=1)
    figure.update_yaxes(autorange="reversed", automargin=True, title="", ticklabelstandoff=8)
    return figure


def _points(figure: go.Figure, marks: Marks, name: str, **marker: Any) -> None:
    figure.add_scatter(
        x=marks.x,
        y=marks.y,
        mode="markers",
        name=name,
        marker=marker,
        hovertext=marks.hover,
        hoverinfo="text",
    )


def _fit(figure: go.Figure, fit: Fit, name: str, colour: str, opacity: float) -> None:
    """The curve in this colour on its band in the same, paler."""
    figure.add_scatter(
        x=np.concatenate([fit.x, fit.x[::-1]]),
        y=np.concatenate([fit.band.low, fit.band.high[::-1]]),
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=faint(colour, opacity),
        hoverinfo="skip",
        legendgroup=name,
        showlegend=False,
    )
    figure.add_scatter(
        x=fit.x,
        y=fit.band.value,
        mode="lines",
        line={"color": colour, "width": 2},
        name=name,
        legendgroup=name,
        hovertext=fit.hover,
        hoverinfo="text",
    )


def _check(figure: go.Figure, check: Check) -> None:
    """What was left out, and the curve that was to predict it."""
    colour, symbol = HELD_OUT.colour, f"{HELD_OUT.symbol}-open"
    _points(figure, check.means, "mean, held out", color=colour, symbol=symbol, size=10)
    figure.add_scatter(
        x=check.means.x,
        y=check.predicted,
        mode="lines",
        line={"color": colour, "width": 2, "dash": "dash"},
        name="predicted for these",
        hovertext=check.means.hover,
        hoverinfo="text",
    )


def _next(figure: go.Figure, following: Next) -> None:
    colour, symbol = NEXT.colour, NEXT.symbol
    _points(figure, following.marks, "next, one training run", color=colour, symbol=symbol, size=13)
    bars = error_bars(following.marks.y, following.low, following.high, colour)
    figure.data[-1].update(error_y=bars)
