"""The Pareto front's picture: predicted error against one cost, both logarithmic."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dnsearch.analysis.metrics import format_value
from dnsearch.arrays import Floats
from dnsearch.report import labels
from dnsearch.report.series import FrontSeries, PresetLine, Screened
from dnsearch.report.style import (
    FRONT,
    LOOKS,
    OTHER,
    PRESET,
    axis,
    error_bars,
    faint,
    layout,
    log_axis,
    log_ticks,
    padded_range,
)
from dnsearch.text import counted

_EXTENTS = ((300, 330), (960, 380))
"""Plot areas in pixels, on a telephone and on a desk, for which labels are placed."""

_HEIGHT = 500
_SPACING = 0.02
"""Of points along a line, as a share of the plot."""

NEAR_PRESETS = "published network, not trained here"
FAR_PRESETS = "published networks, far off"
LINEAR_TICKS = {"latency_ms": "~r"}
"""d3's format of a cost's ticks where the reader makes its axis linear; with an SI prefix but of a
unit that has one."""

_SHAPES = {"least-error": 15, "as-good": 13, "knee": 12, "least-cost": 11}


def front_figure(series: FrontSeries) -> go.Figure:
    """Predicted error against one cost, both logarithmic."""
    figure = go.Figure(layout=layout(_HEIGHT, showlegend=True))
    spans = _spans(series)
    other = ~series.on_front
    dense = len(series.costs) > 400
    _points(figure, series, other, "network", OTHER, 4 if dense else 7, 0.35 if dense else 0.55)
    _frame(figure, spans)
    _band(figure, series.band, spans)
    _step_line(figure, series.step, spans)
    _points(figure, series, series.on_front, "Pareto front", FRONT, 7 if dense else 9, 1.0)
    _intervals(figure, series)
    _baseline(figure, series, spans)
    _trained_presets(figure, series)
    for rung, screened in series.screened.items():
        _screened(figure, rung, screened)
    for position, names in series.picks.items():
        _pick(figure, series, position, names)
    _preset_lines(figure, series.untrained, spans)
    (x_low, x_high), (y_low, y_high) = spans
    linear = {"tickformat": LINEAR_TICKS.get(series.cost, "~s")}
    figure.update_xaxes(axis(series.cost, **linear), **log_ticks(x_low, x_high, series.cost))
    figure.update_yaxes(log_axis("error", y_low, y_high, series.title))
    _annotate(figure, series, spans)
    return figure


Spans = tuple[tuple[float, float], tuple[float, float]]


def _spans(series: FrontSeries) -> Spans:
    """The axes' ends around the networks, with room for labels below and beside the front; the
    baseline has no say, for it would press them together."""
    shown = [line.cost for line in series.untrained if line.near]
    costs = np.concatenate([series.costs, shown])
    return padded_range(costs, 0.12, 0.08), padded_range(series.errors, 0.22, 0.1)


def _points(
    figure: go.Figure,
    series: FrontSeries,
    rows: Any,
    name: str,
    colour: str,
    size: int,
    opacity: float,
) -> None:
    chosen = np.flatnonzero(rows)
    figure.add_scatter(
        x=series.costs[chosen],
        y=series.errors[chosen],
        mode="markers",
        name=name,
        marker={"color": colour, "size": size, "opacity": opacity},
        hovertext=[series.hover[i] for i in chosen],
        customdata=[series.keys[i] for i in chosen],
        hoverinfo="text",
        showlegend=bool(len(chosen)),
    )


def _intervals(figure: go.Figure, series: FrontSeries) -> None:
    """Of the front, the interval of each error."""
    chosen = np.flatnonzero(series.on_front & np.isfinite(series.interval[:, 0]))
    if not len(chosen):
        return
    low, high = series.interval[chosen].T
    errors = series.errors[chosen]
    figure.add_scatter(
        x=series.costs[chosen],
        y=errors,
        mode="markers",
        name="90 % interval on these images",
        marker={"color": FRONT, "size": 8, "symbol": "line-ew-open"},
        error_y=error_bars(errors, low, high, FRONT, thickness=1, width=0),
        opacity=0.6,
        hoverinfo="skip",
    )


def _baseline(figure: go.Figure, series: FrontSeries, spans: Spans) -> None:
    """The baseline as a line, or where that is above the picture as a note at its top."""
    (left, right), (_, top) = spans
    found = series.baseline
    words = f"{escape(found.words)}: {format_value('error', found.error)}"
    if found.error <= top:
        figure.add_scatter(
            x=[left, right],
            y=[found.error] * 2,
            mode="lines",
            line={"color": OTHER, "width": 1.5, "dash": "dash"},
            name=words,
            hovertext=words,
            hoverinfo="text",
        )
        return
    figure.add_annotation(
        x=0,
        y=1,
        xref="paper",
        yref="paper",
        text=f"{words} ↑",
        showarrow=False,
        xanchor="left",
        yanchor="bottom",  # above the points, beside the buttons
        font={"size": 12},
    )


def _frame(figure: go.Figure, spans: Spans) -> None:
    """An unseen line from corner to corner, so that autorange keeps room around the points.

    A fixed range would not widen when a hidden preset is shown from the legend, and
    ``autorangeoptions.include`` shrinks log axes (plotly 7.1).
    """
    figure.add_scatter(
        x=spans[0], y=spans[1], mode="lines", opacity=0, hoverinfo="skip", showlegend=False
    )


def _step_line(figure: go.Figure, step: Floats, spans: Spans) -> None:
    """The front as steps, from the top of the picture to its right edge."""
    if not len(step):
        return
    (_, right), (_, top) = spans
    figure.add_scatter(
        x=[step[0, 0], *step[:, 0], right],
        y=[top, *step[:, 1], step[-1, 1]],
        mode="lines",
        line={"shape": "hv", "color": FRONT, "width": 1.5, "simplify": False},
        hoverinfo="skip",
        showlegend=False,
    )


def _band(figure: go.Figure, band: Floats, spans: Spans) -> None:
    """Where the front's line may truly be."""
    if not len(band):
        return
    (_, right), _ = spans
    cost, low, high = np.vstack([band, [right, *band[-1, 1:]]]).T
    shape = {"shape": "hv", "width": 0, "simplify": False}
    group: dict[str, Any] = {"mode": "lines", "line": shape, "hoverinfo": "skip"}
    group |= {"legendgroup": "band"}
    figure.add_scatter(x=cost, y=low, showlegend=False, **group)
    figure.add_scatter(
        x=cost,
        y=high,
        fill="tonexty",
        fillcolor=faint(FRONT, 0.16),
        name="90 % band of the front",
        **group,
    )


def _screened(figure: go.Figure, rung: int, screened: Screened) -> None:
    """What stopped at a lower rung, hidden at first: its errors are no match for the others."""
    figure.add_scatter(
        x=screened.costs,
        y=screened.errors,
        mode="markers",
        name=f"stopped after {counted(rung, 'epoch')}",
        marker={"color": OTHER, "size": 7, "symbol": "circle-open"},
        hovertext=screened.hover,
        customdata=screened.keys,
        hoverinfo="text",
        visible="legendonly",
    )


def _trained_presets(figure: go.Figure, series: FrontSeries) -> None:
    if not series.presets:
        return
    chosen = list(series.presets)
    figure.add_scatter(
        x=series.costs[chosen],
        y=series.errors[chosen],
        mode="markers",
        name="published network, trained",
        marker={"color": PRESET, "size": 13, "symbol": "triangle-up"},
        hovertext=[series.hover[i] for i in chosen],
        customdata=[series.keys[i] for i in chosen],
        hoverinfo="text",
    )


def _pick(figure: go.Figure, series: FrontSeries, position: int, names: list[str]) -> None:
    look = LOOKS[names[0]]
    figure.add_scatter(
        x=[series.costs[position]],
        y=[series.errors[position]],
        mode="markers",
        name=", ".join(LOOKS[name].label for name in names),
        marker={"color": look.colour, "size": _SHAPES[names[0]], "symbol": look.symbol},
        hovertext=[series.hover[position]],
        customdata=[series.keys[position]],
        hoverinfo="text",
    )


def _preset_lines(figure: go.Figure, lines: list[PresetLine], spans: Spans) -> None:
    """Untrained presets: one entry in the legend for the near ones, one for the others."""
    entered: set[bool] = set()
    for rank, line in enumerate(lines):
        _preset_line(figure, line, rank, spans, showlegend=line.near not in entered)
        entered.add(line.near)


def _preset_line(
    figure: go.Figure, line: PresetLine, rank: int, spans: Spans, showlegend: bool
) -> None:
    """A thin vertical line at an untrained preset's cost, its name at one of four heights."""
    (left, right), (low, high) = spans
    height = float(10 ** (np.log10(high) - (0.04 + 0.065 * (rank % 4)) * np.log10(high / low)))
    beyond = np.log10(line.cost) > (np.log10(left) + np.log10(right)) / 2
    hover = f"<b>{escape(line.name)}</b><br>not trained here; only its cost is known"
    figure.add_scatter(
        x=[line.cost] * 3,
        y=[low, height, high],
        mode="lines+text",
        text=["", f" {escape(line.name)} ", ""],
        textposition="middle left" if beyond else "middle right",
        textfont={"size": 11},
        line={"color": PRESET, "width": 1, "dash": "dot"},
        name=NEAR_PRESETS if line.near else FAR_PRESETS,
        legendgroup=str(line.near),
        showlegend=showlegend,
        visible=True if line.near else "legendonly",
        hovertext=hover,
        hoverinfo="text",
    )


def _annotate(figure: go.Figure, series: FrontSeries, spans: Spans) -> None:
    """Names beside the picks and the trained presets, clear of the points."""
    texts = {p: ", ".join(LOOKS[n].label for n in names) for p, names in series.picks.items()}
    texts |= {p: name for p, name in series.presets.items() if p not in texts}
    if not texts:
        return
    where = list(texts)
    anchors = _shares(np.stack([series.costs[where], series.errors[where]], axis=1), spans)
    sizes = np.array([[7.0 * len(texts[p]) + 8, 18.0] for p in where])
    obstacles = _shares(np.stack([series.costs, series.errors], axis=1), spans)
    obstacles = np.vstack([obstacles, _along(_shares(series.step, spans))])
    obstacles = np.vstack([obstacles, *(_upright(line, spans) for line in series.untrained)])
    offsets = labels.place(anchors, sizes, obstacles, _EXTENTS)
    for position, (dx, dy) in zip(where, offsets, strict=True):
        figure.add_annotation(
            x=np.log10(series.costs[position]),
            y=np.log10(series.errors[position]),
            text=escape(texts[position]),
            ax=dx,
            ay=-dy,
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            arrowcolor=OTHER,
            standoff=7,
            borderpad=1,
            font={"size": 12},
        )


def _shares(points: Floats, spans: Spans) -> Floats:
    """Points (n, 2) as shares of the plot's width and height."""
    ends = np.log10(np.array(spans))
    return (np.log10(points) - ends[:, 0]) / (ends[:, 1] - ends[:, 0])


def _upright(line: PresetLine, spans: Spans) -> Floats:
    """Points along a preset's vertical line."""
    (_, _), (low, high) = spans
    heights = np.geomspace(low, high, 40)
    return _shares(np.stack([np.full(40, line.cost), heights], axis=1), spans)


def _along(step: Floats) -> Floats:
    """Points along the step line, at most ``_SPACING`` apart, so that labels keep off it."""
    corners = [(b[0], a[1]) for a, b in pairwise(step)]
    path = [p for pair in zip(step[:-1].tolist(), corners, strict=True) for p in pair]
    path = np.array([*path, *step[-1:].tolist(), *([1.0, y] for y in step[-1:, 1])]).reshape(-1, 2)
    pieces = [np.linspace(a, b, 2 + int(np.abs(b - a).max() / _SPACING)) for a, b in pairwise(path)]
    return np.vstack(pieces) if pieces else path
