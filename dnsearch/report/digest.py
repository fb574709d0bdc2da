"""``Digest``: what a report, its summary and the command line tell of a run."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dnsearch.analysis import picks, reference
from dnsearch.analysis.baseline import baseline
from dnsearch.analysis.candidates import Candidate, State, figures, finished, state_counts
from dnsearch.analysis.confidence import best_probability, expected_regret
from dnsearch.analysis.metrics import format_error, format_value
from dnsearch.analysis.pareto import hypervolume_curve
from dnsearch.report.columns import row_of
from dnsearch.text import counted

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.results import Results


class Sureness(NamedTuple):
    """How sure it is that the least-error pick is the best of so many ``candidates``: the
    probability, and the expected regret (0 to 1), the error by which it is expected to miss the
    best."""

    probability: float
    regret: float
    candidates: int


@dataclass(frozen=True, eq=False)
class Digest:
    """A run's results with what follows from them.

    finished: the candidates that may be recommended. front: those on the Pareto front of measured
    errors, cheapest first, an architecture once. picks: by the names of ``analysis.picks.RULES``.
    volumes: the hypervolume after each candidate, up to ``reference``.
    """

    results: Results
    finished: Sequence[Candidate]
    front: Sequence[Candidate]
    picks: Mapping[str, Candidate]
    reference: Mapping[str, float]
    volumes: NDArray[np.float64]

    @property
    def candidates(self) -> Sequence[Candidate]:
        """All training runs, in the order they finished."""
        return self.results.candidates

    @cached_property
    def on_front(self) -> frozenset[Candidate]:
        """The members of the front."""
        return frozenset(self.front)

    @property
    def costs(self) -> tuple[str, ...]:
        """Names of the costs that the study trades against error."""
        return self.results.study.objectives.costs

    @cached_property
    def counts(self) -> dict[State, int]:
        """Candidates by state."""
        return state_counts(self.candidates)

    @property
    def hypervolume(self) -> float:
        """Of the front; 0 while there is none."""
        return float(self.volumes[-1]) if len(self.volumes) else 0.0

    @property
    def train_macs(self) -> float:
        """Compute of all training runs, in MACs."""
        return float(np.nansum(figures(self.candidates, "train_macs")))

    @cached_property
    def sureness(self) -> Sureness | None:
        """None where nothing is predicted of the least-error pick."""
        predictions = self.results.predictions
        if predictions is None or "least-error" not in self.picks:
            return None
        keys, chosen = list(predictions.keys), self.picks["least-error"].key
        if chosen not in keys:
            return None
        allowed = np.isin(keys, [candidate.key for candidate in self.finished])
        place = keys.index(chosen)
        return Sureness(
            float(best_probability(predictions.draws, allowed)[place]),
            expected_regret(predictions.draws, allowed, place),
            int(allowed.sum()),
        )

    @property
    def budget(self) -> str:
        """The study's limits in words, such as ``50 M MACs``; empty where there is none."""
        limits = self.results.study.limits.model_dump()
        known = [(name.removeprefix("max_"), bound) for name, bound in limits.items()]
        return " and ".join(format_value(n, bound) for n, bound in known if bound is not None)


def digest(results: Results) -> Digest:
    """What follows from these results.

    Of ``results.data`` it reads ``classes``, ``shape`` (channels, height, width) and
    ``images["validation"]``, as ``PreparedData.describe`` gives them.
    """
    costs, candidates = results.study.objectives.costs, results.candidates
    done = finished(candidates)
    point = _reference(results, done)
    values = picks.objective_values(candidates, costs)
    values[[not candidate.counts for candidate in candidates]] = np.nan
    return Digest(
        results=results,
        finished=done,
        front=picks.front(candidates, costs),
        picks=picks.recommend(candidates, costs),
        reference=point,
        volumes=hypervolume_curve(
            values,
            list(point.values()),
            results.study.objectives.axis,
            keys=[candidate.key for candidate in candidates],
        ),
    )


def _reference(results: Results, done: Sequence[Candidate]) -> dict[str, float]:
    channels, height, width = results.data["shape"]
    classes = len(results.data["classes"])
    space = results.study.space.build(channels, classes)
    ended = [(c.finished_after, c.latency_ms) for c in done if c.arch in space]
    first = reference.first_latency(ended)
    least = baseline(results.data).error
    return reference.reference_point(
        results.study, (channels, height, width), classes, first, least
    )


def error_of(candidate: Candidate) -> str:
    """A candidate's predicted error with its 90 % interval, or else the measured one ± its standard
    error."""
    if candidate.is_predicted:
        ends = ("predicted_error", "predicted_low", "predicted_high")
        value, low, high = (format_value("error", candidate.figure(end)) for end in ends)
        return f"{value} ({low.removesuffix(' %')} to {high}) predicted validation error"
    return f"{format_error(candidate.error, candidate.error_se)} validation error"


def figures_of(candidate: Candidate, costs: tuple[str, ...] = ()) -> str:
    """A candidate's error and costs as text: those asked for, params always."""
    known = [(name, candidate.figure(name)) for name in dict.fromkeys((*costs, "params"))]
    told = ", ".join(format_value(name, value) for name, value in known if math.isfinite(value))
    return f"{error_of(candidate)} at {told}"


def answer(digest: Digest) -> str:
    """The run's answer in a sentence: the knee, and the least error where that is another."""
    count, counts = len(digest.candidates), digest.counts
    if not count:
        return "No candidate has finished yet."
    if not digest.picks:
        if counts[State.FAILED] == count:
            return f"All {counted(count, 'candidate')} failed: there is no network to recommend."
        why = (
            "has all its costs measured"
            if counts[State.FINISHED]
            else "is finished within all limits"
        )
        return f"No candidate {why}: there is no network to recommend yet."
    knee, best = digest.picks["knee"], digest.picks["least-error"]
    text = f"Take {knee.name}: {figures_of(knee, digest.costs)}."
    if knee.key != best.key:
        text += f" If only error counts, {best.name}: {figures_of(best, digest.costs)}"
        how_sure = sureness_of(digest)
        text += f", {how_sure}." if how_sure else "."
    return text


def sureness_of(digest: Digest) -> str:
    """Such as ``the best of 21 networks trained within 4 M MACs with probability 0.6; expected
    regret 0.3 points``, of the least-error pick; empty where nothing is predicted of it."""
    found = digest.sureness
    if found is None:
        return ""
    within = f" within {digest.budget}" if digest.budget else ""
    return (
        f"the best of {found.candidates} networks trained{within} {sure(found.probability)}; "
        f"expected regret {100 * found.regret:.1f} points"
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
    counts = {str(state): number for state, number in digest.counts.items()}
    told = {
        "run": results.name,
        "answer": answer(digest),
        "objectives": ["error", *digest.costs],
        "hypervolume": digest.hypervolume,
        "hypervolume_axis": results.study.objectives.axis,
        "reference_point": digest.reference,
        "counts": {"candidates": len(digest.candidates), **counts},
        "front": [_record(candidate, digest) for candidate in digest.front],
        "picks": {name: _record(candidate, digest) for name, candidate in digest.picks.items()},
        "search_seconds": results.seconds,
        "train_macs": digest.train_macs,
        "data": json.loads(json.dumps(dict(results.data), default=str)),
        "environment": json.loads(json.dumps(dict(results.environment), default=str)),
    }
    return plain(told)


def _record(candidate: Candidate, digest: Digest) -> dict[str, Any]:
    """One candidate for JSON, without its curve."""
    row = row_of(candidate)
    del row["curve"]
    front = candidate in digest.on_front
    return {**row, "front": front, "error_standard_error": candidate.error_se}


def plain(value: Any) -> Any:
    """Nested figures in JSON's types alone; those that are not finite are None."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
