"""Share of the best hypervolume against compute: the numbers, and their picture."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from dnsearch.analysis.metrics import METRICS, format_value
from dnsearch.analysis.pareto import Axis
from dnsearch.replay.comparison import Comparison
from dnsearch.replay.measures import LEVELS, QUANTILES, bands, compute_grid
from dnsearch.report.style import OTHER, STROKES, Stroke, axis, layout, log_ticks

Floats = NDArray[np.float64]

_MOST = 0.999
"""What is nearer to all of it is drawn here."""

_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, _MOST)


class ShareSeries(NamedTuple):
    """Quantiles of the share over the replays of a strategy, (QUANTILES, points), at ``compute``
    (points,) in full trainings."""

    sampler: str
    compute: Floats
    shares: Floats


def share_series(comparison: Comparison, axis: Axis) -> list[ShareSeries]:
    """By strategy, on one grid of compute; empty where no replay found anything.

    A strategy's line ends with the last of its replays.
    """
    grid = compute_grid(comparison.replays)
    found = []
    for sampler, own in comparison.replays.items():
        until = grid <= max((replay.spent for replay in own), default=0.0)
        found.append(ShareSeries(sampler, grid[until], bands(own, axis, grid[until])))
    return [series for series in found if len(series.compute)]


def share_figure(found: list[ShareSeries]) -> go.Figure:
    """Medians as lines, with bands between the quartiles.

    Upwards, equal steps are equal factors of what is still missing to all of the hypervolume: what
    divides strategies lies between 90 and 99 %.
    """
    figure = go.Figure(layout=layout(440, showlegend=True))
    for series in found:
        _band(figure, series, STROKES.get(series.sampler, Stroke(OTHER, "solid")))
    for series in found:
        _median(figure, series, STROKES.get(series.sampler, Stroke(OTHER, "solid")))
    for level in LEVELS:
        figure.add_hline(y=_height(level), line={"color": OTHER, "width": 1, "dash": "dot"})
    ends = np.concatenate([series.compute[[0, -1]] for series in found])
    low, high = float(ends.min()), float(ends.max())
    figure.update_xaxes(
        axis("trainings", title=METRICS["trainings"].unit),
        **log_ticks(low, max(high, 1.1 * low), "trainings"),
    )
    figure.update_yaxes(
        axis("share", title=METRICS["share"].label),
        tickmode="array",
        tickvals=_height(_TICKS),
        ticktext=[f"{'≥ ' * (share == _MOST)}{100 * share:g} %" for share in _TICKS],
        range=[0, _height(_MOST) + 0.05],
    )
    return figure


def _height(share: ArrayLike) -> Floats:
    """Decades of what is missing: 0 at nothing found, 1 at 90 %, 2 at 99 %."""
    return -np.log10(1 - np.minimum(np.asarray(share, dtype=np.float64), _MOST))


def _band(figure: go.Figure, series: ShareSeries, stroke: Stroke) -> None:
    low, high = (_height(series.shares[QUANTILES.index(q)]) for q in (0.25, 0.75))
    figure.add_scatter(
        x=np.concatenate([series.compute, series.compute[::-1]]),
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


def _median(figure: go.Figure, series: ShareSeries, stroke: Stroke) -> None:
    middle = QUANTILES.index(0.5)
    hover = [
        f"<b>{escape(series.sampler)}</b><br>{format_value('share', shares[middle])} after "
        f"{format_value('trainings', compute)} full trainings<br>"
        f"80 % of replays between {format_value('share', shares[0])} and "
        f"{format_value('share', shares[-1])}"
        for compute, shares in zip(series.compute, series.shares.T, strict=True)
    ]
    figure.add_scatter(
        x=series.compute,
        y=_height(series.shares[middle]),
        mode="lines",
        name=escape(series.sampler),
        line={"color": stroke.colour, "width": 2.2, "dash": stroke.dash, "shape": "hv"},
        hovertext=hover,
        hoverinfo="text",
        legendgroup=series.sampler,
        showlegend=True,
    )
