"""What each choice of the space is worth at equal cost: verdicts in words, distributions of errors,
and the figures behind them."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

import plotly.graph_objects as go

from dnsearch.analysis.choices import DesignSpace, Dimension, Value
from dnsearch.analysis.metrics import METRICS, dimension_label
from dnsearch.analysis.trust import Interval
from dnsearch.arrays import Floats
from dnsearch.report.digest import Digest
from dnsearch.report.parts import Cell, Choice, Picture, Row, Table, interval_cell, share_cell
from dnsearch.report.style import axis, colour_of, faint, layout
from dnsearch.text import agreeing, capitalised, listed


class ChoicesSection(NamedTuple):
    """What it is and how to read it, a verdict a dimension, those that differ first; the
    distributions; and the figures."""

    reading: str
    verdicts: list[str]
    picture: Picture
    table: Table


def choices_section(digest: Digest) -> ChoicesSection | None:
    """None while too little was trained to say anything."""
    found = digest.results.explore()
    if found is None:
        return None
    cost = METRICS[found.cost].short
    ordered = sorted(found.dimensions, key=lambda each: (not _differs(each), -each.share.value))
    return ChoicesSection(
        f"Networks of the whole space within the limits, compared at equal {cost}. Their errors "
        f"are predicted from all {len(digest.candidates)} training runs by the search's model; all "
        "intervals hold 90 %.",
        _verdicts(ordered, cost),
        _picture(found, ordered, cost),
        _table(ordered, cost),
    )


def _verdicts(dimensions: list[Dimension], cost: str) -> list[str]:
    told = [verdict(each, cost) for each in dimensions if _differs(each)]
    same = [dimension_label(each.name) for each in dimensions if not _differs(each)]
    if same:
        told.append(f"For {listed(same)}, the data cannot tell which value is best.")
    return told


def _differs(dimension: Dimension) -> bool:
    return any(value.is_worse for value in dimension.values)


def verdict(dimension: Dimension, cost: str) -> str:
    """Which values are worse than the best and by how much, and which may be as good."""
    label = capitalised(dimension_label(dimension.name))
    best = dimension.values[dimension.best]
    worse = sorted((v for v in dimension.values if v.is_worse), key=lambda v: -v.above.value)
    if not worse:
        return f"{label}: the data cannot tell which is better."
    worst, *others = worse
    told = (
        f"{label}: {worst.label} has {_share(worst.above)} more error than {best.label} at equal "
        f"{cost}"
    )
    if others:
        names = listed([each.label for each in others])
        told += f"; {names} {agreeing(len(others), 'is', 'are')} worse too"
    unsure = [each.label for each in dimension.values if each is not best and each not in worse]
    if unsure:
        told += f"; the data cannot tell {best.label} from {listed(unsure, 'or')}"
    return f"{told}."


def _share(share: Interval) -> str:
    value, low, high = (f"{100 * end:.1f}" for end in share)
    return f"{value} % ({low} to {high} %)"


def _picture(found: DesignSpace, dimensions: list[Dimension], cost: str) -> Picture:
    choices = [
        Choice(
            each.name,
            dimension_label(each.name),
            distribution_figure(found.grid, each, cost),
            verdict(each, cost),
        )
        for each in dimensions
    ]
    return Picture(
        anchor="choices-errors",
        title=f"Errors by choice, at equal {cost}",
        reading="How many of a choice's networks are below an error, which is relative to the "
        f"average network of the same {cost}. Further left is better; the bands hold 90 %.",
        figure=choices[0].figure,
        note=choices[0].note,
        choice="Choice",
        choices=choices,
    )


def distribution_figure(grid: Floats, dimension: Dimension, cost: str) -> go.Figure:
    """The distribution function of each value's errors, with its band; ``grid`` as shares."""
    figure = go.Figure(layout=layout(380, showlegend=True))
    x = 100 * grid
    for place, value in enumerate(dimension.values):
        colour = colour_of(place)
        middle, low, high = 100 * value.distribution.T
        band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
        group = f"{dimension.name} {value.label}"
        figure.add_scatter(x=x, y=low, legendgroup=group, **band)
        figure.add_scatter(
            x=x, y=high, fill="tonexty", fillcolor=faint(colour, 0.13), legendgroup=group, **band
        )
        figure.add_scatter(
            x=x,
            y=middle,
            mode="lines",
            line={"color": colour, "width": 2},
            name=escape(value.label),
            legendgroup=group,
            hovertemplate="%{y:.0f} % below %{x:+.1f} %<extra>" + escape(value.label) + "</extra>",
        )
    title = f"error relative to the average network of the same {cost} (%)"
    figure.update_xaxes(axis("depth", title=title, type="linear"))
    figure.update_yaxes(axis("depth", title="networks below (%)", type="linear", range=[0, 100]))
    return figure


def _table(dimensions: list[Dimension], cost: str) -> Table:
    rows = []
    for each in dimensions:
        label = dimension_label(each.name)
        for place, value in enumerate(each.values):
            cells = [Cell(str(value.trained)), _above(value, place == each.best)]
            cells.append(share_cell(each.share) if place == 0 else Cell(""))
            rows.append(Row(f"{label} {value.label}", cells))
    columns = ["choice", "trained", f"error above the best's, equal {cost}", "explains"]
    note = (
        "Explains: the share of what networks of equal cost differ by that this choice alone "
        "accounts for."
    )
    return Table(columns, rows, note)


def _above(value: Value, is_best: bool) -> Cell:
    return Cell("best") if is_best else interval_cell(value.above.scaled(100), "+.1f", " %")
