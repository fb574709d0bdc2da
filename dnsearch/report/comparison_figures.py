"""The pictures of a comparison, drawn from what ``comparison_series`` prepared."""

from __future__ import annotations

from html import escape

import numpy as np
import plotly.graph_objects as go

from dnsearch.analysis.metrics import METRICS
from dnsearch.arrays import Floats
from dnsearch.report.comparison_series import Attained, FrontLine, FrontsSeries, StageSeries
from dnsearch.report.style import OTHER, axis, colour_of, error_bars, layout, log_axis, padded_range

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def fronts_figure(series: FrontsSeries) -> go.Figure:
    """Predicted error against one cost, both logarithmic: a line a run, as steps; runs of one study
    have its colour, and between what one and all of them reach lies a band."""
    figure = go.Figure(layout=layout(480, showlegend=True))
    shared = len({front.study for front in series.fronts}) > 1
    x = padded_range(np.concatenate([front.costs for front in series.fronts]), 0.06, 0.08)
    ends = [np.concatenate([f.errors, f.low, f.high]) for f in series.fronts]
    errors = np.concatenate(ends)
    y = padded_range(errors[np.isfinite(errors) & (errors > 0)], 0.08, 0.08)
    for attained in series.attained:
        _attained(figure, attained, colour_of(attained.study) if shared else OTHER, x[1])
    for place, front in enumerate(series.fronts):
        _front(figure, front, place, colour_of(front.study if shared else place), x[1])
    figure.update_xaxes(log_axis(series.cost, *x))
    figure.update_yaxes(log_axis("error", *y, series.error))
    return figure


def _front(figure: go.Figure, front: FrontLine, place: int, colour: str, right: float) -> None:
    name = escape(front.run)
    figure.add_scatter(
        x=[*front.costs, right],
        y=[*front.errors, front.errors[-1]],
        mode="lines",
        line={
            "shape": "hv",
            "color": colour,
            "width": 1.6,
            "dash": DASHES[place % len(DASHES)],
            "simplify": False,
        },
        hoverinfo="skip",
        legendgroup=name,
        showlegend=False,
    )
    figure.add_scatter(
        x=front.costs,
        y=front.errors,
        mode="markers",
        name=name,
        marker={"color": colour, "size": 8, "symbol": SYMBOLS[place % len(SYMBOLS)]},
        error_y=error_bars(front.errors, front.low, front.high, colour, thickness=1, width=0),
        hovertext=front.hover,
        hoverinfo="text",
        legendgroup=name,
    )


def _attained(figure: go.Figure, found: Attained, colour: str, right: float) -> None:
    """A band from what one of the runs reaches to what all reach, and a line where half do."""
    name, known = escape(found.runs), np.isfinite(found.worst)
    best, worst = (
        _stairs(found.costs[known], errors[known], right) for errors in (found.best, found.worst)
    )
    figure.add_scatter(
        x=np.concatenate([best[0], worst[0][::-1]]),
        y=np.concatenate([best[1], worst[1][::-1]]),
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=colour,
        opacity=0.16,
        name=f"from one to all of {name}",
        hoverinfo="skip",
        legendgroup=name,
    )
    half = np.isfinite(found.median)
    x, y = _stairs(found.costs[half], found.median[half], right)
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": colour, "width": 3},
        opacity=0.5,
        name=f"half of {name}",
        hoverinfo="skip",
        legendgroup=name,
    )


def _stairs(x: Floats, y: Floats, right: float) -> tuple[Floats, Floats]:
    """The corners of steps from each point (n,) to the next, the last up to ``right``: (2n,)."""
    return np.append(np.repeat(x, 2)[1:], right), np.repeat(y, 2)


def stage_figure(series: StageSeries) -> go.Figure:
    """Bars of one cost, a group a stage and a bar a network."""
    count = len(series.stages) * len(series.networks)
    figure = go.Figure(
        layout=layout(120 + 14 * len(series.stages) + 14 * count, barmode="group", showlegend=True)
    )
    for place, (name, amounts) in enumerate(zip(series.networks, series.amounts, strict=True)):
        figure.add_bar(
            x=amounts,
            y=series.stages,
            orientation="h",
            name=escape(name),
            marker={"color": colour_of(place)},
            hovertemplate="%{y}: %{x:.3s}<extra>" + escape(name) + "</extra>",
        )
    title = METRICS[series.cost].label
    figure.update_xaxes(axis(series.cost, title, type="linear", rangemode="tozero", nticks=6))
    figure.update_yaxes(autorange="reversed", automargin=True, title="", ticklabelstandoff=8)
    figure.update_layout(legend={"traceorder": "normal"}, margin={"t": 12})
    return figure
