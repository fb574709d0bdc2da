"""What the figures show, as plain arrays: computed here, drawn in ``dnsearch.report.figures``."""

from __future__ import annotations

import math
from html import escape
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis import pareto
from dnsearch.analysis.baseline import Baseline
from dnsearch.analysis.candidates import COSTS, Candidate, State, figures
from dnsearch.analysis.metrics import (
    METRICS,
    dimension_label,
    error_ends,
    format_error,
    format_value,
)
from dnsearch.analysis.picks import positions
from dnsearch.arrays import Floats
from dnsearch.report.digest import Digest

_INTERVAL = ("predicted_low", "predicted_high")

NEAR_DECADES = 0.4
"""Untrained presets farther beyond the candidates than this start hidden."""


class PresetLine(NamedTuple):
    """A preset that was not trained: only its cost is known."""

    name: str
    cost: float
    near: bool


class Screened(NamedTuple):
    """Cost and error after a lower rung (n,) of what was not trained further, with its keys."""

    costs: Floats
    errors: Floats
    keys: list[str]
    hover: list[str]


class FrontSeries(NamedTuple):
    """Predicted error (0 to 1) against one cost, of the finished networks that have it.

    ``on_front`` marks the front of all objectives; ``step`` is (points, 2), cost and error, the
    front of these two alone, cheapest first. ``picks`` maps positions to the pick's names.
    ``presets`` maps positions of trained presets to their names. ``missing`` counts finished
    networks without this cost. ``interval`` (n, 2): the ends of the 90 % interval on the images
    that were measured, NaN where there is none. ``band`` (points, 3): cost, and the ends of the
    90 % interval of the least error at that cost or less, cheapest first. ``screened``: of what
    stopped at a lower rung, by the rung. ``title``: of the errors' axis.
    """

    cost: str
    costs: Floats
    errors: Floats
    on_front: NDArray[np.bool_]
    hover: list[str]
    keys: list[str]
    step: Floats
    picks: dict[int, list[str]]
    presets: dict[int, str]
    untrained: list[PresetLine]
    missing: int
    interval: Floats
    band: Floats
    screened: dict[int, Screened]
    baseline: Baseline
    title: str


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


def hover_text(candidate: Candidate, error_name: str = "validation error") -> str:
    """What a point tells when pointed at, in plotly's little HTML; the text in it is escaped."""
    arch = candidate.arch
    shape = arch.describe()
    values = [(name, candidate.figure(name)) for name in COSTS]
    known = [format_value(name, value) for name, value in values if math.isfinite(value)]
    lines = [
        f"<b>{escape(candidate.name)}</b>  {escape(candidate.key)}",
        _predicted(candidate, error_name),
        _measured(candidate),
        " · ".join(known[:2]),
        " · ".join(known[2:]),
        f"{format_value('rung', candidate.rung)} in {format_value('seconds', candidate.seconds)}",
    ]
    if candidate.preset:
        lines.insert(1, escape(shape))
    return "<br>".join(line for line in lines if line)


def _predicted(candidate: Candidate, error_name: str) -> str:
    if not candidate.is_predicted:
        return ""
    told = format_value("error", candidate.predicted_error)
    low, high = candidate.predicted_low, candidate.predicted_high
    return f"predicted {error_name} {told} ({error_ends(low, high)})"


def _measured(candidate: Candidate) -> str:
    told = format_error(candidate.error, candidate.error_se)
    seeds = f" (mean of {candidate.seeds} seeds)" if candidate.seeds > 1 else ""
    return f"measured {candidate.error_name} {told}{seeds}"


def front_series(digest: Digest, cost: str) -> FrontSeries:
    """What the picture of predicted error against this cost shows."""
    known = [each for each in digest.finished if math.isfinite(each.figure(cost))]
    values = positions(known, [cost])
    least = digest.least_error  # a log axis has no place for 0
    step = np.unique(values[pareto.nondominated(values)][:, ::-1], axis=0)
    step[:, 1] = np.maximum(step[:, 1], least)
    errors, costs = np.maximum(values[:, 0], least), values[:, 1]
    picks: dict[int, list[str]] = {}
    places = {each.key: place for place, each in enumerate(known)}
    for name, candidate in digest.picks.items():
        if candidate.key in places:
            picks.setdefault(places[candidate.key], []).append(name)
    return FrontSeries(
        cost=cost,
        costs=costs,
        errors=errors,
        on_front=np.array([each in digest.on_front for each in known], dtype=bool),
        hover=[hover_text(each, digest.error_name) for each in known],
        keys=[each.key for each in known],
        step=step,
        picks=picks,
        presets={place: each.preset for place, each in enumerate(known) if each.preset},
        untrained=_untrained(digest, cost, costs),
        missing=len(digest.finished) - len(known),
        interval=np.stack([figures(known, name) for name in _INTERVAL], axis=1),
        band=_band(digest, known, costs),
        screened=_screened(digest, cost),
        baseline=digest.baseline,
        title=error_title(digest),
    )


def _band(digest: Digest, known: list[Candidate], costs: Floats) -> Floats:
    joint = digest.results.joint
    if joint is None or any(each.key not in joint.place for each in known) or not known:
        return np.empty((0, 3))
    order = np.argsort(costs, kind="stable")
    places = [joint.place[known[i].key] for i in order]
    least = np.minimum.accumulate(joint.draws[:, places], axis=1)
    low, high = np.maximum(np.quantile(least, [0.05, 0.95], axis=0), digest.least_error)
    band = np.stack([costs[order], low, high], axis=1)
    changed = np.any(np.diff(band[:, 1:], axis=0) != 0, axis=1)
    return np.vstack([band[:1], band[1:][changed], band[-1:]])


def _screened(digest: Digest, cost: str) -> dict[int, Screened]:
    found: dict[int, Screened] = {}
    runs = [each for each in digest.networks if each.state is State.SCREENED]
    known = [each for each in runs if math.isfinite(each.figure(cost) + each.error)]
    for rung in sorted({int(each.rung) for each in known}):
        some = [each for each in known if each.rung == rung]
        found[rung] = Screened(
            figures(some, cost),
            np.maximum(figures(some, "error"), digest.least_error),
            [each.key for each in some],
            [hover_text(each, digest.error_name) for each in some],
        )
    return found


def error_title(digest: Digest) -> str:
    """What a network's error is, such as ``predicted validation error``."""
    predicted = any(network.is_predicted for network in digest.finished)
    return f"{'predicted ' if predicted else ''}{digest.error_name}"


def _untrained(digest: Digest, cost: str, costs: Floats) -> list[PresetLine]:
    if not len(costs):
        return []
    trained = {candidate.key for candidate in digest.finished}
    lines = [
        (network.name, float(getattr(network.cost, cost)))
        for network in digest.results.presets
        if network.key not in trained and hasattr(network.cost, cost)
    ]
    low, high = np.log10([costs.min(), costs.max()])
    nearest, farthest = 10 ** (low - NEAR_DECADES), 10 ** (high + NEAR_DECADES)
    return [
        PresetLine(name, value, bool(nearest <= value <= farthest))
        for name, value in sorted(lines, key=lambda line: line[1])
    ]


def volume_series(digest: Digest) -> VolumeSeries:
    """Hypervolume against compute, from nothing spent on."""
    compute = figures(digest.candidates, "train_macs")
    spent = np.nancumsum(np.concatenate([[0.0], compute]))
    volumes = np.concatenate([[0.0], digest.volumes])
    hover = ["start"]
    for candidate, volume, macs in zip(digest.candidates, volumes[1:], spent[1:], strict=True):
        hover.append(
            f"after candidate {candidate.number} ({escape(candidate.name)})<br>"
            f"hypervolume {format_value('hypervolume', volume)}<br>"
            f"{format_value('train_macs', macs)} of training<br>"
            f"{format_value('finished_after', candidate.finished_after)} of search"
        )
    return VolumeSeries(spent, volumes, hover)


def curve_series(digest: Digest) -> list[Curve]:
    """The curves of finished candidates that have one: others first, then front, then picks."""
    roles = {candidate: name for name, candidate in [*digest.picks.items()][::-1]}
    curves = []
    for candidate in digest.finished:
        role = roles.get(candidate, "front" if candidate in digest.on_front else "other")
        if candidate.curve:
            epochs = [point.epoch for point in candidate.curve]
            errors = [point.error for point in candidate.curve]
            curves.append(Curve(candidate.name, role, epochs, errors))
    drawn_last = {"other": 0, "front": 1}
    return sorted(curves, key=lambda curve: drawn_last.get(curve.role, 2))


def importance_series(digest: Digest) -> ImportanceSeries | None:
    """None where nothing is known yet; the most important dimension for error comes first."""
    known = {name: shares for name, shares in digest.results.importance.items() if shares}
    found = digest.results.explore()
    if known and found is not None:
        matched = {each.name: each.share.value for each in found.dimensions}
        known[f"error at equal {METRICS[found.cost].short}"] = matched
    if not known:
        return None
    objectives = list(known)
    dimensions = list(dict.fromkeys(name for shares in known.values() for name in shares))
    shares = np.array([[known[o].get(d, 0.0) for o in objectives] for d in dimensions])
    order = np.lexsort([-shares[:, column] for column in reversed(range(len(objectives)))])
    return ImportanceSeries(
        [dimension_label(dimensions[i]) for i in order], objectives, shares[order]
    )
