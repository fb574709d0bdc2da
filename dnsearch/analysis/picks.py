"""Which networks to recommend, and how a user names one: the same for report, export and CLI.

A pick is ``least-error`` (the least predicted error within the limits), ``as-good`` (the cheapest
that is shown to be as good within the noise), ``knee`` or ``least-cost`` of the Pareto front, a
network's key, or bounds joined by commas, such as ``macs<=50e6`` or ``macs<=50M,params<=1e5``: the
least predicted error among the finished networks within them.

Everywhere here ``networks`` are candidates joined by ``candidates.by_network``, and where a network
stands is its predicted error and its costs: of the front, of what is recommended, in tables and in
pictures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import NamedTuple

import numpy as np

from dnsearch.analysis import pareto
from dnsearch.analysis.candidates import Candidate, figures, finished, state_counts
from dnsearch.analysis.metrics import format_value
from dnsearch.analysis.predictions import Predictions
from dnsearch.config.values import parse_amount, parse_bytes, parse_milliseconds, parse_share
from dnsearch.errors import ConfigError, RunError, nearest

LEAST_ERROR, AS_GOOD, KNEE, LEAST_COST = RULES = ("least-error", "as-good", "knee", "least-cost")
"""The picks a report recommends, by name; the first is the answer."""

TOLERANCE = 0.01
"""Share of its own size by which an error may be larger and count as good, or the seed noise where
that is more."""

SHOWN = 0.8
"""The least probability of being as good. At one half not knowing would do: the less is known of a
network, the more of it may be below any margin. With four of five the error is within the margin
even 0.84 standard deviations above what is expected. Of networks with three fresh seeds each, where
the margin is the seed noise, 65 % of the equal ones pass, and 2 % of those that are worse by twice
the margin; at one half 89 and 11 % would."""

WORTH_SAVING = 0.1
"""Share of the first cost that what is named as good must save."""

NONE_BETTER = "none is shown to be better than always giving the same answer"

BOUNDED = ("params", "macs", "activations", "train_bytes", "latency_ms", "depth", "error")
"""What a query may bound."""

_BOUND = re.compile(r"\s*(?P<name>\w+)\s*<=\s*(?P<amount>[^<>=]*[^<>=\s])\s*")
_PARSED = {"train_bytes": parse_bytes, "latency_ms": parse_milliseconds, "error": parse_share}
_EXAMPLE = "write bounds such as 'macs<=50e6'"


def positions(networks: Sequence[Candidate], costs: Sequence[str]) -> pareto.Floats:
    """Where the networks stand, (n, 1 + costs), as ``dnsearch.analysis.pareto`` takes it: predicted
    errors and costs; NaN for what did not finish."""
    found = np.stack([figures(networks, name) for name in ("predicted_error", *costs)], axis=1)
    found[[not network.counts for network in networks]] = np.nan
    return found


def front(networks: Sequence[Candidate], costs: Sequence[str]) -> list[Candidate]:
    """The finished networks that no other one dominates, cheapest first."""
    ordered = _cheapest_first(finished(networks), costs)
    return [ordered[i] for i in np.flatnonzero(pareto.nondominated(positions(ordered, costs)))]


def is_better(network: Candidate, baseline: float) -> bool:
    """Whether its error on new images is shown to be below this baseline: its interval does not
    reach it."""
    return network.new_high < baseline


def recommend(
    networks: Sequence[Candidate],
    costs: Sequence[str],
    baseline: float = 1.0,
    predictions: Predictions | None = None,
    axis: pareto.Axis = "log",
) -> dict[str, Candidate]:
    """The recommended networks by the names of ``RULES``, all on the front and better than the
    ``baseline`` error; empty while there is none. There is an ``as-good`` one only where a cheaper
    one is shown to be (``as_good``); ``axis`` is that of the knee."""
    members = [each for each in front(networks, costs) if is_better(each, baseline)]
    if not members:
        return {}
    values = positions(members, costs)
    best = members[pareto.least_error(values)]
    cheaper = as_good(best, members, costs, predictions)
    return {
        LEAST_ERROR: best,
        **({AS_GOOD: cheaper.network} if cheaper else {}),
        KNEE: members[pareto.knee(values, axis)],
        LEAST_COST: members[pareto.least_cost(values)],
    }


class AsGood(NamedTuple):
    """A network that is cheaper than another and shown to be as good. probability: of an error at
    most 1 + tolerance times the other's."""

    network: Candidate
    probability: float
    tolerance: float


def as_good(
    best: Candidate,
    networks: Sequence[Candidate],
    costs: Sequence[str],
    predictions: Predictions | None = None,
) -> AsGood | None:
    """The cheapest of the networks that save ``WORTH_SAVING`` of the first cost of ``best``, cost
    no more in any other, and are shown to be as good: predicted to be, and with a probability of at
    least ``SHOWN``. None where there is none, and where no draws tell how sure that is.

    Once networks were confirmed only these may be named: what longer training makes of the others
    was not seen.
    """
    if predictions is None or best.key not in predictions.place:
        return None
    known = predictions.confirmed or predictions.place.keys()
    tolerance = max(TOLERANCE, predictions.seed_noise)
    own = np.array([best.figure(name) for name in costs])
    most = own * [1 - WORTH_SAVING, *[1.0] * (len(costs) - 1)]
    for other in _cheapest_first(networks, costs):
        if other.key not in known or not all(positions([other], costs)[0, 1:] <= most):
            continue
        probability = predictions.as_good(best.key, other.key, tolerance)
        allowed = (1 + tolerance) * best.predicted_error
        if other.predicted_error <= allowed and probability >= SHOWN:
            return AsGood(other, probability, tolerance)
    return None


def _cheapest_first(networks: Sequence[Candidate], costs: Sequence[str]) -> list[Candidate]:
    """By cost, then by error; what was not measured comes last."""
    keys = [figures(networks, name) for name in ("predicted_error", *reversed(costs))]
    return [networks[i] for i in np.lexsort(keys)]


def pick(
    networks: Sequence[Candidate],
    recommended: Mapping[str, Candidate],
    costs: Sequence[str],
    query: str,
) -> Candidate:
    """The network that a user names, among which are the ``recommended`` ones (``recommend``).

    Raises ConfigError for a query that cannot be read and RunError where no network answers it;
    either says what there is.
    """
    if query == AS_GOOD and recommended:
        return recommended.get(AS_GOOD, recommended[LEAST_ERROR])
    if query in RULES:
        if not recommended:
            why = NONE_BETTER if front(networks, costs) else _why_none(networks)
            raise RunError(f"there is no {query} pick: {why}")
        return recommended[query]
    return by_key(networks, query) if is_key(query) else _within(networks, costs, query)


def is_key(query: str) -> bool:
    """Whether a query names a network by its key, not by what is known of it."""
    return query not in RULES and not re.search("[<>=]", query)


def parse_bounds(query: str) -> dict[str, float]:
    """The bounds of a query such as ``macs<=50M,params<=1e5`` by name.

    Raises ConfigError for anything else.
    """
    bounds: dict[str, float] = {}
    for part in query.split(","):
        match = _BOUND.fullmatch(part)
        if match is None:
            raise ConfigError("pick", "must be bounds joined by commas", query, _EXAMPLE)
        name = match["name"]
        if name not in BOUNDED:
            raise ConfigError("pick", "bounds an unknown figure", name, nearest(name, BOUNDED))
        try:
            bound = float(_PARSED.get(name, parse_amount)(match["amount"]))
        except ValueError:
            raise ConfigError("pick", "must bound by a number", part.strip(), _EXAMPLE) from None
        bounds[name] = min(bound, bounds.get(name, bound))
    return bounds


def _within(networks: Sequence[Candidate], costs: Sequence[str], query: str) -> Candidate:
    left = finished(networks)
    for name, bound in parse_bounds(query).items():
        figure = "predicted_error" if name == "error" else name
        inside = [candidate for candidate in left if candidate.figure(figure) <= bound]
        if not inside:
            known = figures(left, figure)
            known = known[np.isfinite(known)]
            reason = f"none has a known {name}" if left else _why_none(networks)
            if len(known):
                reason = f"the least {name} left is {format_value(name, known.min())}"
            raise RunError(f"no finished candidate has {query}: {reason}")
        left = inside
    # A cost that was not measured must not rule out a candidate that is asked for by another.
    values = np.nan_to_num(positions(left, costs), nan=np.finfo(float).max)
    return left[pareto.least_error(values)]


def by_key(candidates: Sequence[Candidate], key: str) -> Candidate:
    """The network with this key, or the only one whose key begins so. Raises RunError where there
    is none, and where it failed."""
    found = [each for each in candidates if key and each.key.startswith(key)]
    if not found:
        raise RunError(
            f"no candidate is called {key!r}: name {', '.join(RULES)}, a key of the report's "
            "table, or bounds such as 'macs<=50e6'"
        )
    keys = {candidate.key for candidate in found}
    if len(keys) > 1:
        raise RunError(f"{key!r} begins the keys of {len(keys)} candidates: write more of it")
    trained = [candidate for candidate in found if np.isfinite(candidate.error)]
    if not trained:
        reason = shorten(found[0].failure, 200, placeholder=" ...")
        raise RunError(f"candidate {found[0].key} failed: {reason}")
    return max(trained, key=lambda candidate: candidate.rung)


def _why_none(candidates: Sequence[Candidate]) -> str:
    if not candidates:
        return "no candidate was trained yet"
    counts = state_counts(candidates)
    told = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    return f"of {len(candidates)} candidates none is finished with all its costs known ({told})"
