"""The picture of the share of the best hypervolume that strategies find with how much compute."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from dnsearch.analysis.metrics import METRICS, format_value
from dnsearch.arrays import Floats
from dnsearch.replay.comparison import Shares
from dnsearch.replay.measures import LEVELS, QUANTILES
from dnsearch.report.style import OTHER, Stroke, axis, layout, log_ticks, stroke_of

_MOST = 0.999
"""The highest share that the axis shows; higher ones are drawn here."""

_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, _MOST)


def share_figure(found: Sequence[Shares], spent: str = "trainings") -> go.Figure:
    """Medians as lines, with bands between the quartiles, over the metric ``spent``.

    The vertical axis is the logarithm of the share that is still missing, since strategies differ
    between 90 and 99 %.
    """
    figure = go.Figure(layout=layout(440, showlegend=True))
    for series in found:
        _band(figure, series, stroke_of(series.sampler))
    for series in found:
        _median(figure, series, stroke_of(series.sampler), spent)
    for level in LEVELS:
        figure.add_hline(y=_height(level), line={"color": OTHER, "width": 1, "dash": "dot"})
    _axes(figure, np.concatenate([series.spent[[0, -1]] for series in found]), spent)
    return figure


def _axes(figure: go.Figure, ends: Floats, spent: str) -> None:
    low, high = float(ends.min()), float(ends.max())
    figure.update_xaxes(
        axis(spent, title=METRICS[spent].unit if spent == "trainings" else METRICS[spent].title),
        **log_ticks(low, max(high, 1.1 * low), spent),
    )
    figure.update_yaxes(
        axis("share", title=METRICS["share"].label),
        tickmode="array",
        tickvals=_height(_TICKS),
        ticktext=[f"{'≥ ' * (share == _MOST)}{100 * share:g} %" for share in _TICKS],
        range=[0, _height(_MOST) + 0.05],
    )


def _height(share: ArrayLike) -> Floats:
    """Decades of what is missing: 0 at nothing found, 1 at 90 %, 2 at 99 %."""
    return -np.log10(1 - np.minimum(np.asarray(share, dtype=np.float64), _MOST))


def _band(figure: go.Figure, series: Shares, stroke: Stroke) -> None:
    low, high = (_height(series.shares[QUANTILES.index(q)]) for q in (0.25, 0.75))
    figure.add_scatter(
        x=np.concatenate([series.spent, series.spent[::-1]]),
        y=np.concatenate([low, high[::-1]]),
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=stroke.colour,
        opacity=0.13,
        hoverinfo="skip",
        legendgroup=series.sampler,
        showlegend=False,
    )


def _median(figure: go.Figure, series: Shares, stroke: Stroke, spent: str) -> None:
    middle = QUANTILES.index(0.5)
    hover = [
        f"<b>{escape(series.sampler)}</b><br>{format_value('share', shares[middle])} after "
        f"{format_value(spent, value)}{' full trainings' * (spent == 'trainings')}<br>"
        f"80 % of replays between {format_value('share', shares[0])} and "
        f"{format_value('share', shares[-1])}"
        for value, shares in zip(series.spent, series.shares.T, strict=True)
    ]
    figure.add_scatter(
        x=series.spent,
        y=_height(series.shares[middle]),
        mode="lines",
        name=escape(series.sampler),
        line={"color": stroke.colour, "width": 2.2, "dash": stroke.dash, "shape": "hv"},
        hovertext=hover,
        hoverinfo="text",
        legendgroup=series.sampler,
        showlegend=True,
    )
