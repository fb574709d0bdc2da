"""Which candidates to recommend, and how a user names one: the same for report, export and CLI.

A pick is ``knee``, ``least-error`` or ``least-cost`` (of the Pareto front), a candidate's key, or
bounds joined by commas, such as ``macs<=50e6`` or ``macs<=50M,params<=1e5``: the least error
among the finished candidates within them. Picks follow the errors believed of candidates, where
there are any: the least of many measured errors is a lucky one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from textwrap import shorten
from types import MappingProxyType

import numpy as np
import pandas as pd

from dnsearch.analysis import pareto
from dnsearch.analysis.frames import Candidate, column, records, rows, texts
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


def finished(candidates: pd.DataFrame) -> pd.DataFrame:
    """The candidates that count: trained to the end and within all limits."""
    done = np.array(texts(candidates, "state")) == "finished"
    return rows(candidates, done & np.isfinite(column(candidates, "error")))


def objective_values(candidates: pd.DataFrame, costs: Sequence[str]) -> pareto.Floats:
    """The candidates' objectives, (n, 1 + costs), as ``dnsearch.analysis.pareto`` takes them."""
    return np.stack([column(candidates, name) for name in ("error", *costs)], axis=1)


def front(candidates: pd.DataFrame, costs: Sequence[str]) -> pd.DataFrame:
    """The finished candidates that no other one dominates, cheapest first.

    An architecture that was trained with several seeds counts by their mean, lest one lucky seed
    stand for it; the row is that of its best.
    """
    done = finished(candidates).sort_values(by=[*costs, "error"], kind="stable")
    values = objective_values(done, costs)
    values[:, 0] = pareto.seed_means(texts(done, "key"), values[:, 0])
    return rows(done, pareto.nondominated(values)).drop_duplicates("key")


def recommend(candidates: pd.DataFrame, costs: Sequence[str]) -> dict[str, Candidate]:
    """The recommended candidates by the names of ``RULES``, of the front of expected errors; empty
    while there is none."""
    done = finished(candidates).sort_values(by=[*costs, "error"], kind="stable")
    values = objective_values(done, costs)
    values[:, 0] = _expected(done)
    members = np.flatnonzero(pareto.nondominated(values))
    if not len(members):
        return {}
    found = records(done.iloc[members])
    return {name: found[rule(values[members])] for name, rule in RULES.items()}


def _expected(done: pd.DataFrame) -> pareto.Floats:
    """The error to expect of each finished training's architecture: what is believed of it, else
    the mean of its seeds."""
    means = pareto.seed_means(texts(done, "key"), column(done, "error"))
    if "believed_error" not in done:
        return means
    believed = column(done, "believed_error")
    return np.where(np.isfinite(believed), believed, means)


def pick(candidates: pd.DataFrame, costs: Sequence[str], query: str) -> Candidate:
    """The candidate a user names.

    Raises ConfigError for a query that cannot be read and RunError where no candidate answers it;
    either says what there is.
    """
    if query in RULES:
        recommended = recommend(candidates, costs)
        if not recommended:
            raise RunError(f"there is no {query} pick: {_why_none(candidates)}")
        return recommended[query]
    if re.search("[<>=]", query):
        return _within(candidates, costs, query)
    return _by_key(candidates, query)


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


def _within(candidates: pd.DataFrame, costs: Sequence[str], query: str) -> Candidate:
    done = finished(candidates)
    left = done.assign(expected=_expected(done))
    for name, bound in parse_bounds(query).items():
        figures = column(left, name)
        inside = rows(left, figures <= bound)
        if inside.empty:
            known = figures[np.isfinite(figures)]
            reason = _why_none(candidates) if left.empty else f"none has a known {name}"
            if len(known):
                reason = f"the least {name} left is {format_value(name, known.min())}"
            raise RunError(f"no finished candidate has {query}: {reason}")
        left = inside
    # A cost that was not measured must not rule out a candidate that is asked for by another.
    values = np.nan_to_num(objective_values(left, costs), nan=np.finfo(float).max)
    values[:, 0] = column(left, "expected")
    return records(left.drop(columns="expected"))[pareto.least_error(values)]


def _by_key(candidates: pd.DataFrame, key: str) -> Candidate:
    found = [row for row in records(candidates) if key and str(row["key"]).startswith(key)]
    if not found:
        raise RunError(
            f"no candidate is called {key!r}: name {', '.join(RULES)}, a key of the report's "
            "table, or bounds such as 'macs<=50e6'"
        )
    keys = {row["key"] for row in found}
    if len(keys) > 1:
        raise RunError(f"{key!r} begins the keys of {len(keys)} candidates: write more of it")
    trained = [row for row in found if np.isfinite(row["error"])]
    if not trained:
        reason = shorten(str(found[0]["failure"]), 200, placeholder=" ...")
        raise RunError(f"candidate {found[0]['key']} failed: {reason}")
    return max(trained, key=lambda row: row["rung"])


def _why_none(candidates: pd.DataFrame) -> str:
    if candidates.empty:
        return "no candidate was trained yet"
    told = ", ".join(f"{n} {state}" for state, n in Counter(texts(candidates, "state")).items())
    return f"of {len(candidates)} candidates none is finished with all its costs known ({told})"
