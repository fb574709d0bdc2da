"""Which candidates to recommend, and how a user names one: the same for report, export and CLI.

A pick is ``knee``, ``least-error`` or ``least-cost`` (of the Pareto front), a candidate's key, or
bounds joined by commas, such as ``macs<=50e6`` or ``macs<=50M,params<=1e5``: the least error
among the finished candidates within them. Picks follow predicted errors where there are any: the
least of many measured errors is a lucky one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from textwrap import shorten
from types import MappingProxyType

import numpy as np

from dnsearch.analysis import pareto
from dnsearch.analysis.candidates import Candidate, figures, finished, state_counts
from dnsearch.analysis.metrics import format_value
from dnsearch.errors import ConfigError, RunError, nearest

RULES: Mapping[str, Callable[[pareto.Floats], int]] = MappingProxyType(
    {
        "knee": pareto.knee,
        "least-error": pareto.least_error,
        "least-cost": pareto.least_cost,
    }
)
"""The picks a report recommends, by name; the first is the one it puts first."""

BOUNDED = ("params", "macs", "activations", "train_bytes", "latency_ms", "depth", "error")
"""What a query may bound."""

_BOUND = re.compile(r"\s*(?P<name>\w+)\s*<=\s*(?P<number>[^\s<>=]+?)\s*(?P<prefix>[kMGT]?)\s*")
_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_EXAMPLE = "write bounds such as 'macs<=50e6'"


def objective_values(candidates: Sequence[Candidate], costs: Sequence[str]) -> pareto.Floats:
    """The candidates' objectives, (n, 1 + costs), as ``dnsearch.analysis.pareto`` takes them."""
    return np.stack([figures(candidates, name) for name in ("error", *costs)], axis=1)


def front(candidates: Sequence[Candidate], costs: Sequence[str]) -> list[Candidate]:
    """The finished candidates that no other one dominates, cheapest first, an architecture once.

    An architecture that was trained with several seeds counts by their mean, lest one lucky seed
    stand for it; the candidate returned is its best.
    """
    done = _cheapest_first(finished(candidates), costs)
    values = objective_values(done, costs)
    values[:, 0] = _seed_means(done)
    best: dict[str, Candidate] = {}
    for member in np.flatnonzero(pareto.nondominated(values)):
        best.setdefault(done[member].key, done[member])
    return list(best.values())


def recommend(candidates: Sequence[Candidate], costs: Sequence[str]) -> dict[str, Candidate]:
    """The recommended candidates by the names of ``RULES``, of the front of predicted errors; empty
    while there is none."""
    done = _cheapest_first(finished(candidates), costs)
    values = objective_values(done, costs)
    values[:, 0] = _predicted(done)
    members = np.flatnonzero(pareto.nondominated(values))
    if not len(members):
        return {}
    return {name: done[members[rule(values[members])]] for name, rule in RULES.items()}


def _cheapest_first(candidates: Sequence[Candidate], costs: Sequence[str]) -> list[Candidate]:
    """By cost, then by error; what was not measured comes last."""
    keys = [figures(candidates, name) for name in ("error", *reversed(costs))]
    return [candidates[i] for i in np.lexsort(keys)]


def _seed_means(done: Sequence[Candidate]) -> pareto.Floats:
    return pareto.seed_means([candidate.key for candidate in done], figures(done, "error"))


def _predicted(done: Sequence[Candidate]) -> pareto.Floats:
    """The predicted error of each finished candidate, the mean over its seeds where there is
    none."""
    predicted = figures(done, "predicted_error")
    return np.where(np.isfinite(predicted), predicted, _seed_means(done))


def pick(candidates: Sequence[Candidate], costs: Sequence[str], query: str) -> Candidate:
    """The candidate a user names.

    Raises ConfigError for a query that cannot be read and RunError where no candidate answers it;
    either says what there is.
    """
    if query in RULES:
        recommended = recommend(candidates, costs)
        if not recommended:
            raise RunError(f"there is no {query} pick: {_why_none(candidates)}")
        return recommended[query]
    return _by_key(candidates, query) if is_key(query) else _within(candidates, costs, query)


def is_key(query: str) -> bool:
    """Whether a query names a candidate by its key, not by what is known of it."""
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
            bound = float(match["number"]) * _PREFIXES[match["prefix"]]
        except ValueError:
            raise ConfigError("pick", "must bound by a number", part.strip(), _EXAMPLE) from None
        bounds[name] = min(bound, bounds.get(name, bound))
    return bounds


def _within(candidates: Sequence[Candidate], costs: Sequence[str], query: str) -> Candidate:
    done = finished(candidates)
    predicted = dict(zip(done, _predicted(done), strict=True))
    left = done
    for name, bound in parse_bounds(query).items():
        inside = [candidate for candidate in left if candidate.figure(name) <= bound]
        if not inside:
            known = figures(left, name)
            known = known[np.isfinite(known)]
            reason = f"none has a known {name}" if left else _why_none(candidates)
            if len(known):
                reason = f"the least {name} left is {format_value(name, known.min())}"
            raise RunError(f"no finished candidate has {query}: {reason}")
        left = inside
    # A cost that was not measured must not rule out a candidate that is asked for by another.
    values = np.nan_to_num(objective_values(left, costs), nan=np.finfo(float).max)
    values[:, 0] = [predicted[candidate] for candidate in left]
    return left[pareto.least_error(values)]


def _by_key(candidates: Sequence[Candidate], key: str) -> Candidate:
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
