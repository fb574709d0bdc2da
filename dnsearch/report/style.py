"""Colours, axes and layout that all figures share.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), moved a little so that each keeps a
contrast of 3:1 on white and on the dark page; marks differ in shape as well. Text and grid lines
get their colour from the page's style sheet, so that one figure serves both schemes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dnsearch.analysis.metrics import METRICS, metric, short_number

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
FRONT, OTHER, PRESET = "#2b83c6", "#8b929c", "#99813a"


_MOST_STEPS = 5
"""Round steps on an axis."""


def faint(colour: str, opacity: float) -> str:
    """A colour as ``#2b83c6`` that is seen through, for CSS."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


class Look(NamedTuple):
    """How a recommended network is shown everywhere."""

    label: str
    colour: str
    symbol: str


LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "least-error": Look("least error", "#0a9370", "star"),
        "as-good": Look("as good, cheaper", "#7a6ff0", "hexagon"),
        "knee": Look("knee", "#d55e00", "diamond"),
        "least-cost": Look("least cost", "#b8578f", "square"),
    }
)

COLOURS = (FRONT, "#d55e00", "#0a9370", "#b8578f", "#7a6ff0", PRESET)
"""Of networks, runs or choices that are told apart by colour, in their order."""


def colour_of(place: int) -> str:
    """Of the network, run or choice at this place."""
    return COLOURS[place % len(COLOURS)]


BARS = (FRONT, "#d55e00", "#0a9370", "#b8578f", OTHER)


class Stroke(NamedTuple):
    """How a search strategy's line is drawn everywhere."""

    colour: str
    dash: str


STROKES: Mapping[str, Stroke] = MappingProxyType(
    {
        "known-cost": Stroke(FRONT, "solid"),
        "gp": Stroke("#0a9370", "longdash"),
        "tpe": Stroke("#d55e00", "dash"),
        "mo-asha": Stroke("#b8578f", "dashdot"),
        "nsga2": Stroke(PRESET, "longdashdot"),
        "random": Stroke(OTHER, "dot"),
        "frontier": Stroke("#6b4fa3", "solid"),
        "stratified": Stroke("#8c7a00", "dot"),
    }
)
"""By the strategies' names."""


def stroke_of(sampler: str) -> Stroke:
    """How this strategy is drawn, grey where it is none of ``STROKES``."""
    return STROKES.get(sampler, Stroke(OTHER, "solid"))


CONFIG = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtons": [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
}
"""For ``Plotly.newPlot``."""


def layout(height: int, **more: Any) -> dict[str, Any]:
    """A figure's layout; ``more`` overrides."""
    return {
        "height": height,
        "template": "none",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13},
        "margin": {"l": 58, "r": 14, "t": 34, "b": 52},
        "hovermode": "closest",
        "hoverlabel": {
            "align": "left",
            "bgcolor": "#24292f",
            "bordercolor": "#59626e",
            "font": {"family": FONT, "size": 12, "color": "#ffffff"},
        },
        "legend": {
            "itemsizing": "constant",
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
        },
        **more,
    }


def error_bars(
    value: ArrayLike, low: ArrayLike, high: ArrayLike, colour: str, **more: Any
) -> dict[str, Any]:
    """``error_x`` or ``error_y`` of points (n,) from low to high, none where an end is NaN."""
    middle = np.asarray(value, np.float64)
    above, below = np.asarray(high, np.float64) - middle, middle - np.asarray(low, np.float64)
    return {
        "type": "data",
        "symmetric": False,
        "array": np.nan_to_num(np.maximum(above, 0)),
        "arrayminus": np.nan_to_num(np.maximum(below, 0)),
        "color": colour,
        "thickness": 1.5,
        **more,
    }


def axis(name: str, title: str | None = None, **more: Any) -> dict[str, Any]:
    """An axis for this metric."""
    return {
        "title": {"text": title or METRICS[name].title, "standoff": 8},
        "type": "log" if metric(name).log else "linear",
        "zeroline": False,
        "showgrid": True,
        "automargin": True,
        **more,
    }


def log_axis(name: str, low: float, high: float, title: str | None = None) -> dict[str, Any]:
    """A logarithmic axis for this metric with these ends."""
    ends = np.log10([low, high]).tolist()
    return axis(name, title, **log_ticks(low, high, name), range=ends)


def padded_range(values: NDArray[np.float64], before: float, behind: float) -> tuple[float, float]:
    """The ends of a log axis around these values, with shares of their span added at each end."""
    low, high = np.log10([values.min(), values.max()])
    width = max(high - low, 0.15)
    return float(10 ** (low - before * width)), float(10 ** (high + behind * width))


def linear_ticks(low: float, high: float, name: str) -> dict[str, Any]:
    """Ticks at round values, written with their prefixes."""
    if high <= low:
        return {}
    return _ticks(_round_values(low, high, _round_step(high - low)), name)


def _round_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, of which at most ``_MOST_STEPS`` go into this span."""
    least = span / _MOST_STEPS
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


def _round_values(low: float, high: float, step: float) -> list[float]:
    """The multiples of ``step`` from ``low`` to ``high``."""
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def log_ticks(low: float, high: float, name: str) -> dict[str, Any]:
    """Ticks at round values of a log axis, beyond its ends too: a reader may zoom out."""
    decades = math.log10(high / low)
    if decades < 0.5:
        return _ticks(_round_values(low / 2, high * 2, _round_step(high - low)), name)
    mantissas = next(m for most, m in _MANTISSAS if decades <= most)
    first, last = math.floor(math.log10(low)) - 2, math.ceil(math.log10(high)) + 2
    return _ticks([m * 10.0**power for power in range(first, last) for m in mantissas], name)


_MANTISSAS = (
    (0.7, (1, 1.5, 2, 3, 4, 5, 6, 8)),
    (1.3, (1, 2, 3, 5, 7)),
    (2.0, (1, 2, 5)),
    (3.2, (1, 3)),
    (math.inf, (1,)),
)


def _ticks(values: list[float], name: str) -> dict[str, Any]:
    return {"tickmode": "array", "tickvals": values, "ticktext": [_tick(name, v) for v in values]}


def _tick(name: str, value: float) -> str:
    if name == "error":
        return f"{100 * value:.3g} %"
    if name in ("latency_ms", "trainings"):
        return f"{value:.3g}"
    return short_number(value)
