"""``summary.json``: a run for other programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dnsearch.analysis.candidates import Candidate
from dnsearch.report.answer import answer
from dnsearch.report.columns import row_of
from dnsearch.report.digest import Digest


def summary(digest: Digest) -> dict[str, Any]:
    """The run for other programs: JSON types alone, a missing figure is None."""
    results = digest.results
    counts = {str(state): number for state, number in digest.counts.items()}
    told = {
        "run": results.name,
        "answer": answer(digest),
        "baseline": {"error": digest.baseline.error, "answer": digest.baseline.answer},
        "going_on": None if digest.going_on is None else digest.going_on._asdict(),
        "changed_by_confirm": digest.changed_from is not None,
        "objectives": ["error", *digest.costs],
        "error_kind": results.study.objectives.error,
        "hypervolume": digest.hypervolume,
        "hypervolume_axis": results.study.objectives.axis,
        "reference_point": digest.reference,
        "counts": {"candidates": len(digest.candidates), **counts},
        "latency": _latency(digest),
        "errors": {"measured_on": digest.measured_on, "images": digest.images},
        "front": [_record(candidate, digest) for candidate in digest.front],
        "picks": {name: _record(candidate, digest) for name, candidate in digest.picks.items()},
        "search_seconds": results.seconds,
        "train_macs": digest.train_macs,
        "data": json.loads(json.dumps(dict(results.data), default=str)),
        "environment": json.loads(json.dumps(dict(results.environment), default=str)),
    }
    return plain(told)


def _latency(digest: Digest) -> dict[str, Any] | None:
    """How latencies are measured, and how well they are predicted."""
    known = digest.results.latencies
    if known is None:
        return None
    held_out = known.held_out and known.held_out._asdict()
    return {"setting": known.setting, "profiled": known.networks, "held_out": held_out}


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
