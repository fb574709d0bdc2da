"""The pictures of what ``dnsearch confirm`` found: what they show, and how that is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from dnsearch.analysis.metrics import error_label, format_value
from dnsearch.arrays import Floats
from dnsearch.config import ErrorName
from dnsearch.confirm.certificate import Certificate, Signal, View
from dnsearch.confirm.findings import Confirmed, ConfirmedNetwork
from dnsearch.report.parts import error_interval, probability, share_cell
from dnsearch.report.style import (
    FRONT,
    LOOKS,
    OTHER,
    axis,
    error_bars,
    layout,
    log_axis,
    padded_range,
)
from dnsearch.report.verdict import signal_label
from dnsearch.training.measured import least_error

_LONGEST_NAME = 24
"""Letters beside a figure that is 400 pixels wide."""


class Marks(NamedTuple):
    """Points (n,): a cost, an error (0 to 1), and what each tells when pointed at."""

    costs: Floats
    errors: Floats
    hover: list[str]


class Group(NamedTuple):
    """Some networks: their mean test errors with the ends of the intervals (n,), NaN where unknown,
    the test errors of single training runs, and the validation errors that the search measured."""

    means: Marks
    low: Floats
    high: Floats
    runs: Marks
    searched: Marks


class ErrorSeries(NamedTuple):
    """Errors against one cost, of the networks with a test error and this cost; ``missing`` counts
    the others. ``floor`` stands for an error of 0, for which a log axis has no place. ``error``:
    the kind of all errors."""

    cost: str
    off_front: Group
    on_front: Group
    floor: float
    missing: int
    error: ErrorName

    @property
    def drawn(self) -> int:
        """How many networks are shown."""
        return len(self.off_front.means.costs) + len(self.on_front.means.costs)


def error_series(confirmed: Confirmed) -> ErrorSeries:
    """What the picture of test errors shows; 0 is drawn as half of the smallest error above it."""
    images = np.array(confirmed.class_images or [confirmed.test_images])
    cost, floor = confirmed.cost, least_error(confirmed.error, images)
    tested = [network for network in confirmed.networks if network.test.is_known]
    known = [n for n in tested if math.isfinite(n.candidate.figure(cost))]
    off, on = ([n for n in known if n.front is front] for front in (False, True))
    missing = len(confirmed.networks) - len(known)
    kind = confirmed.error
    off_front, on_front = (_group(networks, cost, floor, kind) for networks in (off, on))
    return ErrorSeries(cost, off_front, on_front, floor, missing, kind)


def _group(networks: Sequence[ConfirmedNetwork], cost: str, floor: float, kind: ErrorName) -> Group:
    def marks(points: Sequence[tuple[ConfirmedNetwork, float, str]]) -> Marks:
        known = [point for point in points if math.isfinite(point[1])]
        errors = np.maximum([error for _, error, _ in known], floor)
        costs = np.array([network.candidate.figure(cost) for network, _, _ in known])
        hover = [f"<b>{escape(network.name)}</b>{text}" for network, _, text in known]
        return Marks(costs, errors, hover)

    def told(what: str, error: float) -> str:
        return f"<br>{what}: {format_value('error', error)}"

    runs = [(n, e, told("one training run", e)) for n in networks for e in n.test_errors]
    searched = f"{error_label(kind)} in the search"
    return Group(
        means=marks([(n, n.test.value, _mean_text(n, cost, kind)) for n in networks]),
        low=np.maximum([network.test.low for network in networks], floor),
        high=np.array([network.test.high for network in networks]),
        runs=marks(runs),
        searched=marks([(n, n.error, told(searched, n.error)) for n in networks]),
    )


def _mean_text(network: ConfirmedNetwork, cost: str, kind: ErrorName) -> str:
    """What a mean tells behind the network's name, in plotly's little HTML."""
    return (
        f"  {escape(network.key)}<br>{error_label(kind, 'test')} "
        f"{error_interval(network.test)}<br>"
        f"{format_value(cost, network.candidate.figure(cost))}<br>"
        f"best with probability {probability(network.best_probability)}"
    )


def errors_figure(series: ErrorSeries) -> go.Figure:
    """Test errors against the cost, members of the search's front in another mark and colour."""
    figure = go.Figure(layout=layout(460, showlegend=True))
    figure.update_layout(legend_itemsizing="trace")
    groups = (series.off_front, series.on_front)
    x_low, x_high = padded_range(np.concatenate([g.means.costs for g in groups]), 0.06, 0.06)
    beside = (x_high / x_low) ** 0.01  # single runs stand where no interval hides them
    for group, name, colour, symbol in (
        (series.off_front, "off the front", OTHER, "square"),
        (series.on_front, "on the search's front", FRONT, "circle"),
    ):
        runs = group.runs._replace(costs=beside * group.runs.costs)
        _points(figure, runs, {"color": colour, "size": 4, "opacity": 0.7})
        hollow = {"color": colour, "size": 8, "symbol": f"{symbol}-open", "opacity": 0.8}
        _points(figure, group.searched, hollow)
        bars = error_bars(group.means.errors, group.low, group.high, colour, width=3)
        filled = {"color": colour, "size": 9, "symbol": symbol}
        shown = bool(len(group.means.costs))
        _points(figure, group.means, filled, name=name, error_y=bars, showlegend=shown)
    for name, symbol, size in (
        ("one training run", "circle", 4),
        ("in the search", "circle-open", 8),
    ):
        marker = {"color": OTHER, "symbol": symbol, "size": size}  # both groups', so told once
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=name, showlegend=True, marker=marker
        )
    y_low, y_high = padded_range(_errors(groups), 0.08, 0.08)
    figure.update_xaxes(log_axis(series.cost, x_low, x_high))
    figure.update_yaxes(log_axis("error", y_low, y_high, error_label(series.error, "test")))
    return figure


def _points(figure: go.Figure, marks: Marks, marker: dict[str, object], **more: object) -> None:
    figure.add_scatter(
        x=marks.costs,
        y=marks.errors,
        mode="markers",
        marker=marker,
        hovertext=marks.hover,
        hoverinfo="text",
        **{"showlegend": False, **more},
    )


def _errors(groups: Sequence[Group]) -> Floats:
    """Every error that is drawn, ends of intervals included."""
    parts = [
        part
        for group in groups
        for part in (
            group.means.errors, group.low, group.high, group.runs.errors, group.searched.errors
        )
    ]  # fmt: skip
    joined = np.concatenate(parts)
    return joined[np.isfinite(joined)]


class Shares(NamedTuple):
    """Pairs ranked correctly in one view, of the signals where that is known: their places from the
    top (n,), percentages with the ends of their intervals (n, 3), and what each tells."""

    places: Floats
    percent: Floats
    hover: list[str]


class SignalSeries(NamedTuple):
    """How well each signal ranks, a line each, at matched cost and over all costs."""

    labels: list[str]
    matched: Shares
    overall: Shares


def signal_series(certificate: Certificate) -> SignalSeries:
    """What the picture of the certificate shows."""
    rows = certificate.rows
    return SignalSeries(
        [signal_label(row) for row in rows],
        _shares(rows, View.MATCHED),
        _shares(rows, View.OVERALL),
    )


_VIEWS = {View.MATCHED: "at the same cost", View.OVERALL: "over all costs"}


def _shares(rows: Sequence[Signal], view: View) -> Shares:
    known = [(place, row) for place, row in enumerate(rows) if row.right(view).is_known]
    cells = [(signal_label(row), share_cell(row.right(view))) for _, row in known]
    return Shares(
        places=np.array([place for place, _ in known], np.float64),
        percent=100 * np.array([row.right(view) for _, row in known]).reshape(-1, 3),
        hover=[
            f"<b>{escape(label)}</b><br>{_VIEWS[view]}: {cell.text} of pairs right"
            f"<br>{''.join(cell.notes)}"
            for label, cell in cells
        ],
    )


def signals_figure(series: SignalSeries) -> go.Figure:
    """Horizontal intervals of pairs ranked correctly, a line a signal."""
    count = len(series.labels)
    figure = go.Figure(layout=layout(130 + 46 * count, showlegend=True))
    figure.add_vline(x=50, line={"color": OTHER, "width": 1, "dash": "dot"})
    other = LOOKS["least-error"].colour
    _intervals(figure, series.matched, -0.14, _VIEWS[View.MATCHED], FRONT, "circle")
    _intervals(figure, series.overall, 0.14, _VIEWS[View.OVERALL], other, "diamond-open")
    ends = np.concatenate([series.matched.percent, series.overall.percent], axis=None)
    least = min(50.0, *ends[np.isfinite(ends)])
    figure.update_xaxes(
        axis("share", title="pairs ranked correctly (%)"), range=[least - 3, 102], nticks=7
    )
    figure.update_yaxes(
        tickmode="array",
        tickvals=list(range(count)),
        ticktext=[escape(_shortened(label)) for label in series.labels],
        range=[count - 0.5, -0.5],
        automargin=True,
        showgrid=False,
        zeroline=False,
    )
    return figure


def _intervals(
    figure: go.Figure, shares: Shares, shift: float, name: str, colour: str, symbol: str
) -> None:
    """Values with error bars; a value without an interval is a mark alone."""
    value, low, high = shares.percent.T
    figure.add_scatter(
        x=value,
        y=shares.places + shift,
        mode="markers",
        name=name,
        marker={"color": colour, "symbol": symbol, "size": 10},
        error_x=error_bars(value, low, high, colour, thickness=2, width=4),
        hovertext=shares.hover,
        hoverinfo="text",
        showlegend=bool(len(value)),
    )


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1].rstrip()}…"
