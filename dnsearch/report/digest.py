"""``Digest``: every number that a report, its summary and the command line tell of a run."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dnsearch.analysis import picks, reference
from dnsearch.analysis.confidence import best_probability, expected_regret
from dnsearch.analysis.frames import Candidate, column, records, rows, texts
from dnsearch.analysis.metrics import format_error, format_value
from dnsearch.analysis.pareto import hypervolume_curve
from dnsearch.analysis.trust import binomial_standard_error

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.results import Results

FIGURES = ("params", "macs", "activations", "train_bytes", "latency_ms")
"""The costs told of a candidate, objective or not."""


@dataclass(frozen=True)
class Digest:
    """A run's results with what follows from them.

    ``candidates`` is ``Results.candidates`` with the columns ``front`` (bool) and ``error_se``
    (binomial standard error of ``error``). ``finished`` and ``front`` are parts of it, ``front``
    cheapest first; ``picks`` maps the names of ``analysis.picks.RULES`` to rows of it, which
    ``number`` tells apart.
    ``volumes`` is the hypervolume after each row of ``candidates``, up to ``reference``.
    """

    results: Results
    candidates: pd.DataFrame
    finished: pd.DataFrame
    front: pd.DataFrame
    picks: Mapping[str, Candidate]
    reference: Mapping[str, float]
    volumes: NDArray[np.float64]

    @property
    def costs(self) -> tuple[str, ...]:
        return self.results.study.objectives.costs

    @property
    def counts(self) -> dict[str, int]:
        """Candidates in all, and by state."""
        states = texts(self.candidates, "state")
        names = ("finished", "screened", "partial", "failed", "unfit")
        return {"candidates": len(states), **{name: states.count(name) for name in names}}

    @property
    def hypervolume(self) -> float:
        return float(self.volumes[-1]) if len(self.volumes) else 0.0

    @property
    def train_macs(self) -> float:
        return float(np.nansum(column(self.candidates, "train_macs")))

    def sureness(self) -> tuple[float, float, int] | None:
        """How sure it is that the least-error pick is the best of the candidates that something is
        believed of: the probability, the error by which it is expected to miss the best, and how
        many they are. None where nothing is believed of it."""
        beliefs = self.results.beliefs
        if beliefs is None or "least-error" not in self.picks:
            return None
        keys, chosen = list(beliefs.keys), self.picks["least-error"]["key"]
        if chosen not in keys:
            return None
        allowed = np.isin(keys, texts(self.finished, "key"))
        chances = best_probability(beliefs.draws, allowed)
        place = keys.index(chosen)
        regret = expected_regret(beliefs.draws, allowed, place)
        return float(chances[place]), regret, int(allowed.sum())

    @property
    def budget(self) -> str:
        """The study's limits in words, such as ``50 M MACs``; empty where there is none."""
        limits = self.results.study.limits.model_dump()
        known = [(name.removeprefix("max_"), bound) for name, bound in limits.items()]
        return " and ".join(format_value(n, bound) for n, bound in known if bound is not None)

    @property
    def validation_images(self) -> int:
        return int(self.results.data["images"]["validation"])


def digest(results: Results) -> Digest:
    """What follows from these results.

    Of ``results.data`` it reads ``classes``, ``shape`` (channels, height, width) and
    ``images["validation"]``, as ``PreparedData.describe`` gives them.
    """
    costs = results.study.objectives.costs
    candidates = results.candidates.reset_index(drop=True)
    images = int(results.data["images"]["validation"])
    spread = binomial_standard_error(column(candidates, "error"), images)
    members = candidates.index.isin(picks.front(candidates, costs).index)
    candidates = candidates.assign(front=members, error_se=spread)
    done = picks.finished(candidates)
    point = _reference(results, done)
    values = picks.objective_values(candidates, costs)
    values[~candidates.index.isin(done.index)] = np.nan
    return Digest(
        results=results,
        candidates=candidates,
        finished=done,
        front=picks.front(candidates, costs),
        picks=picks.recommend(candidates, costs),
        reference=point,
        volumes=hypervolume_curve(
            values,
            list(point.values()),
            results.study.objectives.axis,
            keys=texts(candidates, "key"),
        ),
    )


def _reference(results: Results, done: pd.DataFrame) -> dict[str, float]:
    channels, height, width = results.data["shape"]
    classes = len(results.data["classes"])
    space = results.study.space.build(channels, classes)
    inside = rows(done, np.array([results.archs[key] in space for key in texts(done, "key")], bool))
    ended = zip(column(inside, "finished_after"), column(inside, "latency_ms"), strict=True)
    first = reference.first_latency(ended)
    return reference.reference_point(results.study, (channels, height, width), classes, first)


def error_of(candidate: Candidate) -> str:
    """The validation error to expect of a candidate with its 90 % interval, in the mean over seeds
    where that is believed, else as measured ± its standard error."""
    if math.isfinite(candidate["believed_error"]):
        ends = ("believed_error", "believed_low", "believed_high")
        value, low, high = (format_value("error", candidate[end]) for end in ends)
        return f"{value} ({low.removesuffix(' %')} to {high}) expected validation error"
    return f"{format_error(candidate['error'], candidate['error_se'])} validation error"


def figures_of(candidate: Candidate, costs: tuple[str, ...] = ()) -> str:
    """A candidate's error and costs as text: those asked for, params always."""
    names = dict.fromkeys((*costs, "params"))
    told = ", ".join(format_value(n, candidate[n]) for n in names if math.isfinite(candidate[n]))
    return f"{error_of(candidate)} at {told}"


def answer(digest: Digest) -> str:
    """The run's answer in a sentence: the knee, and the least error where that is another."""
    counts = digest.counts
    if not counts["candidates"]:
        return "No candidate has finished yet."
    if not digest.picks:
        if counts["failed"] == counts["candidates"]:
            return f"All {counts['failed']} candidates failed: there is no network to recommend."
        why = (
            "has all its costs measured" if counts["finished"] else "is finished within all limits"
        )
        return f"No candidate {why}: there is no network to recommend yet."
    knee, best = digest.picks["knee"], digest.picks["least-error"]
    text = f"Take {knee['name']}: {figures_of(knee, digest.costs)}."
    if knee["key"] != best["key"]:
        text += f" If only error counts, {best['name']}: {figures_of(best, digest.costs)}"
        how_sure = sureness_of(digest)
        text += f", {how_sure}." if how_sure else "."
    return text


def sureness_of(digest: Digest) -> str:
    """Such as ``the best of 21 networks trained within 4 M MACs with probability 0.6; expected
    regret 0.3 points``, of the least-error pick; empty where nothing is believed of it."""
    found = digest.sureness()
    if found is None:
        return ""
    chance, regret, count = found
    within = f" within {digest.budget}" if digest.budget else ""
    return (
        f"the best of {count} networks trained{within} {sure(chance)}; expected regret "
        f"{100 * regret:.1f} points"
    )


def sure(chance: float) -> str:
    """Such as ``with probability 0.93``; of draws no more is known than this."""
    return "almost surely" if chance > 0.99 else f"with probability {chance:.2f}"


def export_command(run: str, pick: str) -> str:
    """The command that exports this pick of this run."""
    quoted, folder = shlex.quote(run), shlex.quote(f"{run}-{pick}")
    return f"dnsearch export {quoted} --pick {pick} --to {folder}"


def summary(digest: Digest) -> dict[str, Any]:
    """The run for other programs: JSON types alone, a missing figure is None."""
    results = digest.results
    return {
        "run": results.name,
        "answer": answer(digest),
        "objectives": ["error", *digest.costs],
        "hypervolume": digest.hypervolume,
        "hypervolume_axis": digest.results.study.objectives.axis,
        "reference_point": {n: _number(v) for n, v in digest.reference.items()},
        "counts": digest.counts,
        "front": [candidate_record(row) for row in records(digest.front)],
        "picks": {name: candidate_record(row) for name, row in digest.picks.items()},
        "search_seconds": _number(results.seconds),
        "train_macs": digest.train_macs,
        "data": json.loads(json.dumps(dict(results.data), default=str)),
        "environment": json.loads(json.dumps(dict(results.environment), default=str)),
    }


def candidate_record(row: Candidate) -> dict[str, Any]:
    """One candidate for JSON, without its curve."""
    record = {name: plain(value) for name, value in row.items() if name != "curve"}
    record["error_standard_error"] = record.pop("error_se")
    return record


def plain(value: Any) -> Any:
    """Nested figures in JSON's types alone; those that are not finite are None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
