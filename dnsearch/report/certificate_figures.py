"""The pictures of what ``dnsearch confirm`` found, and how their figures are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from dnsearch.analysis.frames import Candidate, records
from dnsearch.analysis.metrics import MISSING, format_value
from dnsearch.analysis.trust import Interval
from dnsearch.confirm.certificate import Certificate, Signal, signal_name
from dnsearch.report.style import FRONT, LOOKS, OTHER, axis, layout, log_axis, padded_range

Floats = NDArray[np.float64]

_LONGEST_NAME = 24
"""Letters beside a figure that is 400 pixels wide."""


class Cell(NamedTuple):
    """A figure, and in small print its interval."""

    text: str
    note: str = ""


def errors_figure(candidates: pd.DataFrame, cost: str, test_images: int) -> go.Figure:
    """Test errors against the cost, members of the search's front in another mark and colour.

    ``candidates`` as in ``Confirmed``.
    """
    floor = 0.5 / test_images  # a log axis has no place for 0
    known = [
        r for r in records(candidates) if math.isfinite(r[cost]) and math.isfinite(r["test_mean"])
    ]
    figure = go.Figure(layout=layout(460, showlegend=True))
    figure.update_layout(legend_itemsizing="trace")
    x_low, x_high = padded_range(np.array([row[cost] for row in known]), 0.06, 0.06)
    beside = (x_high / x_low) ** 0.01
    groups = [
        ([r for r in known if not r["front"]], "off the front", OTHER, "square"),
        ([r for r in known if r["front"]], "on the search's front", FRONT, "circle"),
    ]
    for group, name, colour, symbol in groups:
        _trainings(figure, group, cost, colour, floor, beside)
        _searched(figure, group, cost, colour, symbol, floor)
        _means(figure, group, cost, name, colour, symbol, floor)
    for name, symbol, size in (("one training", "circle", 4), ("in the search", "circle-open", 8)):
        figure.add_scatter(  # of both groups, so in the legend once
            x=[None],
            y=[None],
            mode="markers",
            name=name,
            showlegend=True,
            marker={"color": OTHER, "symbol": symbol, "size": size},
        )
    y_low, y_high = padded_range(_drawn_errors(known, floor), 0.08, 0.08)
    figure.update_xaxes(log_axis(cost, x_low, x_high))
    figure.update_yaxes(log_axis("error", y_low, y_high, "test error"))
    return figure


def _drawn_errors(known: Sequence[Candidate], floor: float) -> Floats:
    ends = ("test_mean", "test_low", "test_high", "error")
    values = [tests_of(row) for row in known] + [
        np.array([r[e] for e in ends], float) for r in known
    ]
    joined = np.concatenate(values)
    return np.maximum(joined[np.isfinite(joined)], floor)


def _trainings(
    figure: go.Figure,
    group: Sequence[Candidate],
    cost: str,
    colour: str,
    floor: float,
    beside: float,
) -> None:
    """A dot each, at this multiple of the cost, where no interval hides it."""
    points = [
        (beside * row[cost], max(float(error), floor), row["name"])
        for row in group
        for error in tests_of(row)
        if math.isfinite(error)
    ]
    hover = [
        f"<b>{escape(n)}</b><br>one training: {format_value('error', e)}" for _, e, n in points
    ]
    figure.add_scatter(
        x=[x for x, _, _ in points],
        y=[y for _, y, _ in points],
        mode="markers",
        marker={"color": colour, "size": 4, "opacity": 0.7},
        hovertext=hover,
        hoverinfo="text",
        showlegend=False,
    )


def _searched(
    figure: go.Figure,
    group: Sequence[Candidate],
    cost: str,
    colour: str,
    symbol: str,
    floor: float,
) -> None:
    known = [row for row in group if math.isfinite(row["error"])]
    figure.add_scatter(
        x=[row[cost] for row in known],
        y=[max(row["error"], floor) for row in known],
        mode="markers",
        marker={"color": colour, "size": 8, "symbol": f"{symbol}-open", "opacity": 0.8},
        hovertext=[
            f"<b>{escape(row['name'])}</b><br>validation error in the search: "
            f"{format_value('error', row['error'])}"
            for row in known
        ],
        hoverinfo="text",
        showlegend=False,
    )


def _means(
    figure: go.Figure,
    group: Sequence[Candidate],
    cost: str,
    name: str,
    colour: str,
    symbol: str,
    floor: float,
) -> None:
    means = np.array([max(row["test_mean"], floor) for row in group])
    low, high = (np.array([row[f"test_{end}"] for row in group], float) for end in ("low", "high"))
    figure.add_scatter(
        x=[row[cost] for row in group],
        y=means,
        mode="markers",
        name=name,
        marker={"color": colour, "size": 9, "symbol": symbol},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": np.nan_to_num(np.maximum(high - means, 0)),
            "arrayminus": np.nan_to_num(np.clip(means - low, 0, means - floor)),
            "color": colour,
            "thickness": 1.5,
            "width": 3,
        },
        hovertext=[_hover(row, cost) for row in group],
        hoverinfo="text",
        showlegend=bool(len(group)),
    )


def _hover(row: Candidate, cost: str) -> str:
    return (
        f"<b>{escape(row['name'])}</b>  {escape(row['key'])}<br>"
        f"test error {error_interval(row)}<br>{format_value(cost, row[cost])}<br>"
        f"best with probability {chance(row['best_probability'])}"
    )


def signals_figure(certificate: Certificate) -> go.Figure:
    """Horizontal intervals of pairs ranked right, at matched cost and over all, a line a signal."""
    count = len(certificate.rows)
    figure = go.Figure(layout=layout(130 + 46 * count, showlegend=True))
    figure.add_vline(x=50, line={"color": OTHER, "width": 1, "dash": "dot"})
    ends = [50.0, 100.0]
    for view, name, colour, symbol, shift in (
        ("matched", "at the same cost", FRONT, "circle", -0.14),
        ("overall", "over all costs", LOOKS["least-error"].colour, "diamond-open", 0.14),
    ):
        shares = [
            (place + shift, row, getattr(row.pairs_right, view))
            for place, row in enumerate(certificate.rows)
        ]
        shares = [share for share in shares if math.isfinite(share[2].value)]
        ends += [100 * v for *_, share in shares for v in share if math.isfinite(v)]
        _intervals(figure, shares, name, colour, symbol)
    figure.update_xaxes(
        axis("share", title="pairs ranked right (%)"), range=[min(ends) - 3, 102], nticks=7
    )
    figure.update_yaxes(
        tickmode="array",
        tickvals=list(range(count)),
        ticktext=[escape(_shortened(label_of(row))) for row in certificate.rows],
        range=[count - 0.5, -0.5],
        automargin=True,
        showgrid=False,
        zeroline=False,
    )
    return figure


def _intervals(
    figure: go.Figure,
    shares: Sequence[tuple[float, Signal, Interval]],
    name: str,
    colour: str,
    symbol: str,
) -> None:
    """Values with error bars; a value without an interval is a mark alone."""
    figure.add_scatter(
        x=[100 * share.value for *_, share in shares],
        y=[place for place, *_ in shares],
        mode="markers",
        name=name,
        marker={"color": colour, "symbol": symbol, "size": 10},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": np.array([100 * (s.high - s.value) for *_, s in shares]),
            "arrayminus": np.array([100 * (s.value - s.low) for *_, s in shares]),
            "color": colour,
            "thickness": 2,
            "width": 4,
        },
        hovertext=[
            f"<b>{escape(label_of(row))}</b><br>{name}: {share_cell(share).text} of pairs right"
            f"<br>{share_cell(share).note}"
            for _, row, share in shares
        ],
        hoverinfo="text",
        showlegend=bool(len(shares)),
    )


def label_of(row: Signal) -> str:
    return signal_name(row).removeprefix("the ")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1].rstrip()}…"


def error_interval(row: Candidate) -> str:
    mean = format_value("error", row["test_mean"])
    ends = between(row["test_low"], row["test_high"])
    return f"{mean} ({ends})" if ends else mean


def between(low: float, high: float) -> str:
    """``12.30 to 12.90 %``; empty where an end is unknown."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{format_value('error', low).removesuffix(' %')} to {format_value('error', high)}"


def tests_of(row: Candidate) -> Floats:
    return np.array(row["test_errors"], dtype=np.float64)


def chance(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else MISSING


def share_cell(interval: Interval) -> Cell:
    return cell(Interval(*(100 * v for v in interval)), ".0f", " %")


def cell(interval: Interval, spec: str, unit: str = "") -> Cell:
    value, low, high = interval
    if not math.isfinite(value):
        return Cell(MISSING)
    known = math.isfinite(low) and math.isfinite(high)
    note = f"{_signed(f'{low:{spec}}')} to {_signed(f'{high:{spec}}')}{unit}" if known else ""
    return Cell(f"{_signed(f'{value:{spec}}')}{unit}", note)


def _signed(number: str) -> str:
    """With a true minus sign, but none before a rounded zero."""
    return number.replace("-", "−" if float(number) else "")
