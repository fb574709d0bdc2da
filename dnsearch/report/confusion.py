"""The picture of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go

from dnsearch.report.style import COLOURS, FRONT, faint, layout

_LONGEST_NAME = 18
"""Letters beside a figure that may be 400 pixels wide."""

_ROW = 30
"""Pixels."""

_MISTAKES = [
    [0.0, faint(COLOURS[1], 0.0)],
    [0.15, faint(COLOURS[1], 0.35)],
    [1.0, faint(COLOURS[1], 0.85)],
]
_RIGHT = [[end, faint(FRONT, 0.22)] for end in (0.0, 1.0)]
"""Seen through on both schemes of the page, whose text has to stay readable on them."""


def confusion_figure(names: Sequence[str], confusion: np.ndarray) -> go.Figure:
    """Images by true (rows, the first on top) and by predicted class, (classes, classes).

    Classes that neither occur nor are ever predicted are left out. Mistakes are coloured by their
    share of the row, on a scale of their own: beside what is right they would all look alike.
    """
    shown = np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1)).tolist()
    counts = confusion[np.ix_(shown, shown)]
    names = [names[place] for place in shown]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(shown), dtype=bool)
    figure = go.Figure(layout=layout(110 + _ROW * len(shown), showlegend=False))
    for cells, colours in ((right, _RIGHT), (~right & (counts > 0), _MISTAKES)):
        figure.add_heatmap(
            z=np.where(cells, shares, np.nan),
            text=[
                [f"{n:,}" if on else "" for n, on in zip(row, line, strict=True)]
                for row, line in zip(counts, cells, strict=True)
            ],
            hovertext=_hover(names, counts, shares),
            texttemplate="%{text}",
            textfont={"size": 11},
            hoverinfo="text",
            colorscale=colours,
            zmin=0,
            zmax=1,
            showscale=False,
            xgap=1,
            ygap=1,
        )
    ticks = {
        "tickmode": "array",
        "tickvals": list(range(len(shown))),
        "ticktext": [escape(_short(name)) for name in names],
        "showgrid": False,
        "zeroline": False,
        "automargin": True,
    }
    figure.update_xaxes(title={"text": "taken for", "standoff": 8}, tickangle=-45, **ticks)
    figure.update_yaxes(title={"text": "class", "standoff": 8}, autorange="reversed", **ticks)
    return figure


def _hover(names: Sequence[str], counts: np.ndarray, shares: np.ndarray) -> list[list[str]]:
    told = [escape(name) for name in names]
    return [
        [
            f"{counts[a, b]:,} of {counts[a].sum():,} images of {told[a]} "
            f"{'are right' if a == b else f'were taken for {told[b]}'} ({100 * shares[a, b]:.0f} %)"
            for b in range(len(told))
        ]
        for a in range(len(told))
    ]


def _short(name: str) -> str:
    """Cut in the middle: names that begin alike often end differently."""
    if len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2
    return f"{name[: half - 1].rstrip()}…{name[-half:].lstrip()}"
