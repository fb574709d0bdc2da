"""The training runs that scaling laws are fitted to, of one or several searches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dnsearch.analysis.candidates import Candidate, State, figures, finished
from dnsearch.analysis.metrics import format_value
from dnsearch.arrays import Bools
from dnsearch.config import differences
from dnsearch.errors import RunError
from dnsearch.scaling.extrapolation import LEAST
from dnsearch.text import agreeing

if TYPE_CHECKING:  # its module reads Optuna's storage, which a report has no need of
    from dnsearch.search.results import Results

MORE = "train more with `dnsearch run STUDY --scaling`"


def trainings_of(results: Sequence[Results]) -> tuple[Candidate, ...]:
    """The training runs that ended with a known error on all images, or on part of them; one that
    two searches share counts once.

    An error of 0 counts as half of the smallest one above it: logs have no place for 0.
    """
    least = results[0].least_error
    found: dict[tuple[str, int, int], Candidate] = {}
    for each in results:
        parts = [c for c in each.candidates if c.state is State.PARTIAL and math.isfinite(c.error)]
        for candidate in (*finished(each.candidates), *parts):
            found.setdefault((candidate.key, candidate.seed, candidate.images), candidate)
    return tuple(c if c.error >= least else replace(c, error=least) for c in found.values())


def on_all_images(trainings: Iterable[Candidate]) -> Bools:
    """Which training runs saw all images, (n,)."""
    return np.array([candidate.state is State.FINISHED for candidate in trainings], dtype=bool)


def by_architecture(trainings: Iterable[Candidate]) -> list[list[Candidate]]:
    """The training runs of each architecture, in the order of their keys."""
    found: dict[str, list[Candidate]] = {}
    for candidate in trainings:
        found.setdefault(candidate.key, []).append(candidate)
    return [found[key] for key in sorted(found)]


def chosen(trainings: Iterable[Candidate], which: Bools) -> list[Candidate]:
    """The training runs where the mask (n,) is true."""
    return [candidate for candidate, one in zip(trainings, which, strict=True) if one]


def require_alike(results: Sequence[Results]) -> None:
    """Raises RunError naming the first difference in images, recipe or kind of device."""
    first, *others = results
    for other in others:
        found = differences(_conditions(first), _conditions(other))
        if found:
            raise RunError(
                f"{first.name} and {other.name} cannot be fitted together: they differ in "
                f"{found[0]}"
            )


def require_enough(full: Sequence[Candidate], cost: str, names: Iterable[str]) -> None:
    """Raises RunError for too few architectures trained on all images, and for architectures that
    all have the same cost. names: of the searches."""
    count, of = len({candidate.key for candidate in full}), ", ".join(names)
    if count < LEAST:
        what = agreeing(
            count, "architecture trained in full is", "architectures trained in full are"
        )
        raise RunError(
            f"{of}: {count or 'no'} {what} too few for a scaling law: it takes {LEAST}; {MORE}"
        )
    sizes = figures(full, cost)
    if sizes.min() == sizes.max():
        same = format_value(cost, float(sizes[0]))
        raise RunError(f"{of}: all {count} architectures have the same cost, {same}; {MORE}")


def _conditions(results: Results) -> Mapping[str, Any]:
    """What must be the same for errors to be compared."""
    known = ("name", "shape", "classes", "images", "fingerprint")
    return {
        "data": {name: results.data[name] for name in known if name in results.data},
        "training": results.study.training.model_dump(mode="json"),
        "objectives": {"error": results.study.objectives.error},
        "environment": {"device_kind": results.environment.get("device_kind")},
    }
