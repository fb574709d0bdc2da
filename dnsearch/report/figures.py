"""The report's further figures, drawn from what ``dnsearch.report.series`` prepared."""

from __future__ import annotations

from html import escape

import numpy as np
import plotly.graph_objects as go

from dnsearch.analysis.metrics import METRICS, format_value
from dnsearch.report.series import Curve, ImportanceSeries, VolumeSeries
from dnsearch.report.style import (
    BARS,
    FRONT,
    LOOKS,
    OTHER,
    axis,
    layout,
    linear_ticks,
    log_axis,
    padded_range,
)


def volume_figure(series: VolumeSeries) -> go.Figure:
    """Hypervolume against training compute, as steps."""
    figure = go.Figure(layout=layout(340, showlegend=False))
    figure.add_scatter(
        x=series.train_macs,
        y=series.volumes,
        mode="lines",
        line={"shape": "hv", "color": FRONT, "width": 2, "simplify": False},
        hovertext=series.hover,
        hoverinfo="text",
    )
    ticks = linear_ticks(0.0, float(series.train_macs[-1]), "train_macs")
    figure.update_xaxes(axis("train_macs", title="training compute spent (MACs)", **ticks))
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(axis("hypervolume", rangemode="tozero"))
    return figure


def curves_figure(curves: list[Curve], error: str) -> go.Figure:
    """The error, called ``error``, after each epoch; the front stands out, the others are faint."""
    figure = go.Figure(layout=layout(420))
    _curves(figure, [c for c in curves if c.role == "other"], "candidate", OTHER, 1, 0.4)
    _curves(figure, [c for c in curves if c.role == "front"], "Pareto front", FRONT, 1.3, 0.75)
    for curve in curves:
        if curve.role in LOOKS:
            look = LOOKS[curve.role]
            label = f"{look.label}: {escape(curve.name)}"
            _curves(figure, [curve], label, look.colour, 2.5, 1.0, look.symbol)
    errors = np.concatenate([c.errors for c in curves])
    errors = errors[errors > 0]
    low, high = padded_range(errors, 0.05, 0.05) if len(errors) else (0.01, 1.0)
    longest = max(max(curve.epochs) for curve in curves)
    ticks = {"dtick": 1} if longest <= 10 else {"nticks": 10}
    figure.update_xaxes(axis("rung", title="epochs trained", **ticks))
    figure.update_yaxes(log_axis("error", low, high, error))
    return figure


def _curves(
    figure: go.Figure,
    curves: list[Curve],
    name: str,
    colour: str,
    width: float,
    opacity: float,
    symbol: str | None = None,
) -> None:
    """Many curves in one trace with gaps between them: thousands of traces would be slow."""
    if not curves:
        return
    x: list[float | None] = []
    y: list[float | None] = []
    hover: list[str] = []
    for curve in curves:
        x += [*curve.epochs, None]
        y += [*curve.errors, None]
        told = (
            f"{format_value('error', e)} after epoch {n}"
            for n, e in zip(curve.epochs, curve.errors, strict=True)
        )
        hover += [*(f"<b>{escape(curve.name)}</b><br>{text}" for text in told), ""]
    single = all(len(curve.epochs) == 1 for curve in curves)
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+markers" if symbol or single else "lines",
        marker={"symbol": symbol or "circle", "size": 8 if symbol else 5},
        line={"color": colour, "width": width},
        opacity=opacity,
        name=name,
        hovertext=hover,
        hoverinfo="text",
        showlegend=True,
    )


def importance_figure(series: ImportanceSeries) -> go.Figure:
    """Bars of the share of variance explained, a group an objective."""
    rows = len(series.dimensions) * len(series.objectives)
    figure = go.Figure(layout=layout(110 + 34 * len(series.dimensions) + 8 * rows, barmode="group"))
    for column, objective in enumerate(series.objectives):
        label = METRICS[objective].label if objective in METRICS else objective
        figure.add_bar(
            x=100 * series.shares[:, column],
            y=series.dimensions,
            orientation="h",
            name=escape(label),
            marker={"color": BARS[column % len(BARS)]},
            hovertemplate="%{y}: %{x:.0f} %<extra>" + escape(label) + "</extra>",
            showlegend=True,
        )
    figure.update_xaxes(axis("depth", title="share of variance explained (%)", rangemode="tozero"))
    figure.update_yaxes(autorange="reversed", automargin=True, title="", ticklabelstandoff=8)
    return figure
