"""What the figures show, as plain arrays: computed here, drawn in ``dnsearch.report.figures``."""

from __future__ import annotations

import math
from html import escape
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis import pareto
from dnsearch.analysis.frames import Candidate, column, records, rows, texts
from dnsearch.analysis.metrics import format_error, format_value
from dnsearch.report.digest import FIGURES, Digest

Floats = NDArray[np.float64]

_EXPECTED = ("predicted_error", "predicted_low", "predicted_high")

NEAR_DECADES = 0.4
"""Untrained presets farther beyond the candidates than this start hidden."""


class PresetLine(NamedTuple):
    """A preset that was not trained: only its cost is known."""

    name: str
    cost: float
    near: bool


class FrontSeries(NamedTuple):
    """Validation error (0 to 1) against one cost, of the finished candidates that have it.

    ``on_front`` marks the front of all objectives; ``step`` is (points, 2), cost and error, the
    front of these two alone, cheapest first. ``picks`` maps positions to the pick's names.
    ``presets`` maps positions of trained presets to their names. ``missing`` counts finished
    candidates without this cost. ``expected`` (n, 3): the error in the mean over seeds and the ends
    of its 90 % interval, NaN where nothing is predicted.
    """

    cost: str
    costs: Floats
    errors: Floats
    on_front: NDArray[np.bool_]
    hover: list[str]
    step: Floats
    picks: dict[int, list[str]]
    presets: dict[int, str]
    untrained: list[PresetLine]
    missing: int
    expected: Floats


class VolumeSeries(NamedTuple):
    """Hypervolume after each candidate against the compute spent by then, both (n + 1,) from 0."""

    train_macs: Floats
    volumes: Floats
    hover: list[str]


class Curve(NamedTuple):
    """Validation error after each epoch of one candidate; ``role`` is other, front or a pick."""

    name: str
    role: str
    epochs: list[int]
    errors: list[float]


class ImportanceSeries(NamedTuple):
    """Share of each objective's variance that each dimension explains, (dimensions, objectives)."""

    dimensions: list[str]
    objectives: list[str]
    shares: Floats


def hover_text(row: Candidate) -> str:
    """What a point tells when pointed at, in plotly's little HTML; the text in it is escaped."""
    shape = f"k={row['growth_rate']} blocks {row['block_config']}"
    known = [format_value(name, row[name]) for name in FIGURES if math.isfinite(row[name])]
    lines = [
        f"<b>{escape(str(row['name']))}</b>  {escape(str(row['key']))}",
        f"validation error {format_error(row['error'], row['error_se'])}",
        " · ".join(known[:2]),
        " · ".join(known[2:]),
        f"{format_value('rung', row['rung'])} in {format_value('seconds', row['seconds'])}",
    ]
    if row["preset"]:
        lines.insert(1, escape(shape))
    return "<br>".join(line for line in lines if line)


def front_series(digest: Digest, cost: str) -> FrontSeries:
    known = rows(digest.finished, np.isfinite(column(digest.finished, cost)))
    costs, errors = column(known, cost), column(known, "error")
    # A log axis has no place for 0: an error of no image is drawn as half an image.
    errors = np.maximum(errors, 0.5 / digest.validation_images)
    values = np.stack([errors, costs], axis=1)
    step = np.unique(values[pareto.nondominated(values)][:, ::-1], axis=0)
    positions = {number: position for position, number in enumerate(known["number"])}
    picks: dict[int, list[str]] = {}
    for name, row in digest.picks.items():
        picks.setdefault(positions[row["number"]], []).append(name)
    return FrontSeries(
        cost=cost,
        costs=costs,
        errors=errors,
        on_front=np.array(known["front"], dtype=bool),
        hover=[hover_text(row) for row in records(known)],
        step=step,
        picks=picks,
        presets={p: name for p, name in enumerate(texts(known, "preset")) if name},
        untrained=_untrained(digest, cost, costs),
        missing=len(digest.finished) - len(known),
        expected=np.stack([column(known, n) for n in _EXPECTED], axis=1),
    )


def _untrained(digest: Digest, cost: str, costs: Floats) -> list[PresetLine]:
    presets = digest.results.presets
    if cost not in presets or not len(costs):
        return []
    trained = set(digest.finished["key"])
    lines = [
        (str(name), float(value))
        for key, name, value in zip(presets["key"], presets["name"], presets[cost], strict=True)
        if key not in trained and math.isfinite(value)
    ]
    low, high = np.log10([costs.min(), costs.max()])
    nearest, farthest = 10 ** (low - NEAR_DECADES), 10 ** (high + NEAR_DECADES)
    return [
        PresetLine(name, value, bool(nearest <= value <= farthest))
        for name, value in sorted(lines, key=lambda line: line[1])
    ]


def volume_series(digest: Digest) -> VolumeSeries:
    spent = np.nancumsum(np.concatenate([[0.0], column(digest.candidates, "train_macs")]))
    volumes = np.concatenate([[0.0], digest.volumes])
    hover = ["start"]
    for row, volume, macs in zip(records(digest.candidates), volumes[1:], spent[1:], strict=True):
        hover.append(
            f"after candidate {row['number']} ({escape(str(row['name']))})<br>"
            f"hypervolume {format_value('hypervolume', volume)}<br>"
            f"{format_value('train_macs', macs)} of training<br>"
            f"{format_value('finished_after', row['finished_after'])} of search"
        )
    return VolumeSeries(spent, volumes, hover)


def curve_series(digest: Digest) -> list[Curve]:
    """The curves of finished candidates that have one: others first, then front, then picks."""
    roles: dict[int, str] = {row["number"]: name for name, row in [*digest.picks.items()][::-1]}
    curves = []
    for row in records(digest.finished):
        points = [p for p in row["curve"] if p["error"] is not None]
        role = roles.get(row["number"], "front" if row["front"] else "other")
        if points:
            epochs, errors = [p["epoch"] for p in points], [float(p["error"]) for p in points]
            curves.append(Curve(str(row["name"]), role, epochs, errors))
    drawn_last = {"other": 0, "front": 1}
    return sorted(curves, key=lambda curve: drawn_last.get(curve.role, 2))


def importance_series(digest: Digest) -> ImportanceSeries | None:
    """None where nothing is known yet; the most important dimension for error comes first."""
    known = {name: shares for name, shares in digest.results.importance.items() if shares}
    if not known:
        return None
    objectives = list(known)
    dimensions = list(dict.fromkeys(name for shares in known.values() for name in shares))
    shares = np.array([[known[o].get(d, 0.0) for o in objectives] for d in dimensions])
    order = np.lexsort([-shares[:, column] for column in reversed(range(len(objectives)))])
    return ImportanceSeries([_dimension(dimensions[i]) for i in order], objectives, shares[order])


def _dimension(name: str) -> str:
    """A dimension of the search space in words: ``depth3`` is the layers in block 3."""
    block = name.removeprefix("depth")
    words = {"bn_size": "bottleneck width", "norm": "kind of norm"}
    return (
        f"layers in block {block}" if block.isdigit() else words.get(name, name.replace("_", " "))
    )
