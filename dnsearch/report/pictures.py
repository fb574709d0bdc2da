"""The report's figures with the words around them."""

from __future__ import annotations

import math

from dnsearch.analysis.candidates import COSTS, State
from dnsearch.analysis.metrics import METRICS, error_label, format_value
from dnsearch.analysis.reference import rules
from dnsearch.report import figures
from dnsearch.report.digest import Digest
from dnsearch.report.front import FAR_PRESETS, front_figure
from dnsearch.report.parts import Choice, Picture
from dnsearch.report.series import (
    FrontSeries,
    curve_series,
    front_series,
    importance_series,
    volume_series,
)
from dnsearch.text import agreeing, capitalised, counted, listed, sentence


def pictures(digest: Digest) -> list[Picture]:
    """All of a report's figures; none while no candidate has finished."""
    if not digest.finished:
        return []
    return [_front(digest), _progress(digest), _curves(digest), _importance(digest)]


def _front(digest: Digest) -> Picture:
    """Error against the study's first cost; against the others by choice."""
    known = [each for each in digest.finished if math.isfinite(each.predicted_error)]
    costs = [
        cost
        for cost in dict.fromkeys((*digest.costs, *COSTS))
        if any(math.isfinite(each.figure(cost)) for each in known)
    ]
    every = [front_series(digest, cost) for cost in costs] or [
        front_series(digest, digest.costs[0])
    ]
    first, *_ = every
    band = ", and the band holds 90 % of where it may be" if len(first.band) else ""
    reading = (
        f"Lower and further left is better; no network lies below the line{band}. Click a network "
        "to open it; select an area to see its networks in the other views."
    )
    choices = [
        Choice(
            series.cost,
            METRICS[series.cost].label,
            front_figure(series),
            _left_out(digest, series),
        )
        for series in every
        if len(series.costs)
    ]
    return Picture(
        anchor="front",
        title=capitalised(f"{first.title} against cost"),
        reading=reading,
        figure=choices[0].figure if choices else None,
        note=_left_out(digest, first),
        choice="Cost",
        choices=choices,
        scales=True,
    )


def _left_out(digest: Digest, series: FrontSeries) -> str:
    counts = digest.counts
    notes = [
        f"{counted(count, what)} {why} and {agreeing(count, 'is', 'are')} not drawn"
        for count, what, why in (
            (counts[State.PARTIAL], "training run", "saw only part of the images"),
            (counts[State.FAILED], "training run", "failed"),
            (series.missing, "candidate", "finished without this cost"),
        )
        if count
    ]
    if (series.cost,) != digest.costs:
        notes.append("blue points off the line are on the front through another cost")
    if counts[State.UNFIT]:
        notes.append(f"{counts[State.UNFIT]} over a measured limit not drawn")
    if count := counts[State.SCREENED]:
        stopped = f"{counted(count, 'training run')} that stopped at a lower rung"
        notes.append(f"the legend shows or hides {stopped}")
    hidden = [line.name for line in series.untrained if not line.near]
    if hidden:
        notes.append(f"{FAR_PRESETS!r} in the legend shows or hides {listed(hidden)}")
    return sentence("; ".join(notes))


def _progress(digest: Digest) -> Picture:
    words = rules(digest.results.study)
    log = digest.results.study.objectives.axis == "log"
    unit = "decades of cost (log axis)" if log else "cost (linear axis)"
    error = error_label(digest.results.study.objectives.error)
    point = ", ".join(
        f"{error if name == 'error' else METRICS[name].label} {format_value(name, value)} "
        f"({words[name]})"
        for name, value in digest.reference.items()
    )
    reading = "The line rises whenever a candidate improves the front."
    if digest.going_on is not None:
        reading += " What more searching would bring is said with the answer."
    return Picture(
        "progress",
        "Progress of the search",
        reading,
        figures.volume_figure(volume_series(digest)),
        f"Hypervolume is the part of the space that the front dominates, in error times {unit}, "
        f"up to a reference point that no later result moves: {point}.",
    )


def _curves(digest: Digest) -> Picture:
    curves, error = curve_series(digest), error_label(digest.results.study.objectives.error)
    reading = (
        "Curves that still fall at their end belong to networks that longer training would help."
    )
    if digest.results.study.training.decay:
        reading += " The last fall of all of them is the learning rate's decay."
    return Picture(
        "curves",
        "Error over epochs",
        reading,
        figures.curves_figure(curves, error) if curves else None,
        "" if curves else "No candidate has recorded its epochs.",
    )


def _importance(digest: Digest) -> Picture:
    series = importance_series(digest)
    return Picture(
        "importance",
        "What matters",
        "The longer the bar, the more of the differences between candidates this choice explains: "
        "between all that were trained, which differ in cost, and between networks of equal cost.",
        figures.importance_figure(series) if series else None,
        "Estimated from the finished candidates; with few of them, only large differences count."
        if series
        else "Not estimated yet: it takes several finished candidates.",
    )
