"""Latencies of a run's networks, measured afterwards where the search had measured none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dnsearch.analysis.candidates import finished
from dnsearch.search.devices import plan_workers
from dnsearch.search.latency import latency_setting

if TYPE_CHECKING:  # its module reads Optuna's storage
    from dnsearch.search.results import Results

MOST = 16
"""Architectures, each some seconds at most."""


def measure_latencies(results: Results) -> dict[str, float]:
    """Milliseconds of a forward pass by the key of an architecture, of up to ``MOST`` that have
    none, spread evenly over MACs.

    Measured on the study's first device, as its objectives say; unsteady ones stay unknown. Raises
    ConfigError where that device is not here.
    """
    from dnsearch.cost.device import latencies_of

    unknown = [c for c in finished(results.measured) if not math.isfinite(c.latency_ms)]
    archs = {c.key: c.arch for c in sorted(unknown, key=lambda c: c.cost.macs)}
    places = np.linspace(0, len(archs) - 1, min(MOST, len(archs))).round().astype(int)
    keys = [list(archs)[place] for place in dict.fromkeys(places)]
    plan = plan_workers(results.study.search, alone=True)
    shape, setting = tuple(results.data["shape"]), latency_setting(results.study, plan)
    measured = latencies_of([archs[key] for key in keys], shape, setting, plan.devices[0])
    return {
        key: latency.ms for key, latency in zip(keys, measured, strict=True) if not latency.unsteady
    }


def with_latencies(results: Results, latencies_ms: Mapping[str, float]) -> Results:
    """The same results with these latencies, by the key of an architecture."""
    measured = [
        replace(c, latency_ms=latencies_ms[c.key]) if c.key in latencies_ms else c
        for c in results.measured
    ]
    return replace(results, measured=measured)
