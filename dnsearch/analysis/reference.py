"""The reference point of hypervolume: fixed by the study before its first result.

The study may name it (``objectives.reference``); what it leaves open follows these rules. A point
chosen from the results, such as 1.1 times the worst, moves while a search runs, and with it
every volume already reported. Here the error is that of always giving the same answer
(``analysis.baseline``), and each cost is 1.1 times the largest that the study allows: its limit, or
the most expensive architecture of its space. Latency alone is unknown before it is measured;
without a limit its reference is 10 times ``first_latency``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace

from dnsearch.analysis.baseline import baseline
from dnsearch.arch.space import Points, SearchSpace
from dnsearch.config import StudyConfig
from dnsearch.cost.formula import CostArrays, costs

MARGIN = 1.1
"""So that a candidate at the limit itself still counts."""

FIRST_LATENCIES = 10.0

_NOT_RISING = ("bn_size", "num_init_features", "norm", "transition", "stem")
"""Dimensions over which a cost need not rise with the choice."""

LEAST_REFERENCE = 1e-4
"""Where all validation images are of one class, always naming that is never wrong."""


def reference_point(
    study: StudyConfig,
    image_shape: tuple[int, int, int],
    classes: int,
    first_latency_ms: float = math.nan,
    baseline_error: float | None = None,
) -> dict[str, float]:
    """The reference by objective, ``error`` first, then the study's costs in their order.

    ``image_shape`` is (channels, height, width). A latency not yet known is NaN. baseline_error:
    ``analysis.baseline``'s; unless given, where so many ``classes`` are equally common.
    """
    channels, height, width = image_shape
    largest = largest_costs(study.space.build(channels, classes), height, width)
    if baseline_error is None:
        baseline_error = baseline({"classes": range(classes)}, study.objectives.error).error
    point = {"error": max(baseline_error, LEAST_REFERENCE)}
    for name in study.objectives.costs:
        limit = getattr(study.limits, f"max_{name}")
        if name == "latency_ms":
            most = MARGIN * limit if limit else FIRST_LATENCIES * first_latency_ms
        else:
            most = MARGIN * min(largest[name], limit or math.inf)
        point[name] = most
    return point | study.objectives.reference


def first_latency(finished: Iterable[tuple[float, float | None]]) -> float:
    """The latency that the reference follows, in milliseconds; NaN while none was measured.

    It is that of the training that finished first, of those of the space's architectures that went
    on to the top rung; later ones never move it. ``finished``: when each of these finished, and
    its latency, None or NaN where it was not measured.
    """
    known = [(when, ms) for when, ms in finished if ms is not None and math.isfinite(ms)]
    return min(known, key=lambda each: each[0], default=(0.0, math.nan))[1]


def largest_costs(space: SearchSpace, height: int, width: int) -> dict[str, int]:
    """Each cost's largest value over the space, without enumerating it; with ``bn_cap`` what it
    would be without the cap.

    Every cost rises with growth rates, depths, initial features and compression; over the other
    dimensions it need not, so their choices are all tried.
    """
    space = replace(space, bn_cap=(0.0,))
    tried = {
        name: choices if name.startswith(_NOT_RISING) else (max(choices),)
        for name, choices in space.dimensions.items()
    }
    corners = Points.at(
        space, [dict(zip(tried, each, strict=True)) for each in itertools.product(*tried.values())]
    )
    found: CostArrays = costs(corners.arrays(), height, width)
    return {name: int(column.max()) for name, column in vars(found).items()}


def rules(study: StudyConfig) -> dict[str, str]:
    """How each figure of the reference point was chosen, in words."""
    words = {"error": "that of always giving the same answer"}
    for name in study.objectives.costs:
        if name in study.objectives.reference:
            continue
        limited = getattr(study.limits, f"max_{name}") is not None
        if name == "latency_ms" and not limited:
            words[name] = (
                f"{FIRST_LATENCIES:g} times that of the first candidate of the space that finished"
            )
            continue
        words[name] = f"{MARGIN:g} times "
        words[name] += f"limits.max_{name}" if limited else "the largest in the search space"
        if limited and name != "latency_ms":
            words[name] += " or the largest in the search space, the lesser of them"
    return words | dict.fromkeys(study.objectives.reference, "as the study file says")
