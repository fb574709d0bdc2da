"""What the pictures of a comparison show, as plain arrays: drawn in ``comparison_figures``."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dnsearch.analysis.candidates import Candidate, figures
from dnsearch.analysis.comparison import attainment
from dnsearch.analysis.metrics import METRICS, error_ends, format_value
from dnsearch.arrays import Floats
from dnsearch.report.comparison import LETTERS
from dnsearch.report.drawings import PARTS, stages_of
from dnsearch.text import listed

if TYPE_CHECKING:
    from dnsearch.search.compared import Compared
    from dnsearch.search.fronts import Fronts


class FrontLine(NamedTuple):
    """A run's front: costs and predicted errors (0 to 1) of its networks, cheapest first, with the
    ends of their intervals, NaN where there is none, (n,) each. ``study``: the place of its study
    among those that are compared."""

    run: str
    study: int
    costs: Floats
    errors: Floats
    low: Floats
    high: Floats
    hover: list[str]


class Attained(NamedTuple):
    """Of several runs of one study: the errors (0 to 1) that one, half and all of them reach within
    ``costs``, (m,) each, infinite where too few have a network."""

    runs: str
    study: int
    costs: Floats
    best: Floats
    median: Floats
    worst: Floats


class FrontsSeries(NamedTuple):
    """Fronts against one cost. ``error``: what the error is called."""

    cost: str
    error: str
    fronts: list[FrontLine]
    attained: list[Attained]


class StageSeries(NamedTuple):
    """One cost of every network (n) by stage (m): ``amounts`` (n, m), NaN where a network lacks the
    stage."""

    cost: str
    stages: list[str]
    networks: list[str]
    amounts: Floats


def fronts_series(found: Fronts, cost: str) -> FrontsSeries:
    """What the picture of all fronts against this cost shows."""
    study = {
        run: place
        for place, group in enumerate(found.groups)
        for run in (*group.runs, *group.repeated)
    }
    members = {front.run: front.members for front in found.fronts}
    return FrontsSeries(
        cost,
        f"predicted {found.error_name}",
        [_front(run, study[run], own, cost) for run, own in members.items()],
        [
            _attained(place, group.runs, [members[run] for run in group.runs], cost)
            for place, group in enumerate(found.groups)
            if len(group.runs) > 1
        ],
    )


def _front(run: str, study: int, members: Sequence[Candidate], cost: str) -> FrontLine:
    own = sorted(members, key=lambda each: each.figure(cost))
    hover = [
        f"<b>{escape(each.name)}</b>  {escape(each.key)}<br>{escape(run)}: "
        f"{format_value('error', each.predicted_error)} "
        f"({error_ends(each.predicted_low, each.predicted_high)})<br>"
        f"{format_value(cost, each.figure(cost))}"
        for each in own
    ]
    names = (cost, "predicted_error", "predicted_low", "predicted_high")
    costs, errors, low, high = (figures(own, name) for name in names)
    return FrontLine(run, study, costs, errors, low, high, hover)


def _attained(
    study: int, runs: Sequence[str], members: Sequence[Sequence[Candidate]], cost: str
) -> Attained:
    """At every cost at which one of the runs has a network."""
    known = [(figures(own, cost), figures(own, "predicted_error")) for own in members]
    bounds = np.unique(np.concatenate([costs for costs, _ in known]))
    errors = [
        [errors[costs <= bound].min(initial=np.inf) for bound in bounds] for costs, errors in known
    ]
    return Attained(listed(runs), study, bounds, *attainment(errors))


def stage_series(found: Compared) -> list[StageSeries]:
    """Where the costs of the networks lie, one for each of ``PARTS``."""
    subjects = [row.subject for row in found.rows]
    drawn = [stages_of([each.arch], *each.shape[1:])[0] for each in subjects]
    known = [{name: [*amounts] for name, _, _, _, *amounts in stages} for stages in drawn]
    names = max(known, key=len)  # a shallower network's stages are among a deeper one's
    networks = [
        f"{letter}  {row.subject.name}" for letter, row in zip(LETTERS, found.rows, strict=False)
    ]
    return [
        StageSeries(
            cost,
            list(names),
            networks,
            np.array([[own[n][place] if n in own else np.nan for n in names] for own in known]),
        )
        for place, cost in enumerate(PARTS)
    ]


def part_title(cost: str) -> str:
    """Such as ``MACs by stage``."""
    return f"{METRICS[cost].short} by stage"
