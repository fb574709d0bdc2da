"""Latencies of a run's networks, measured afterwards where the search had measured none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dnsearch.analysis.frames import column, rows, texts
from dnsearch.analysis.picks import finished
from dnsearch.search.devices import plan_workers

if TYPE_CHECKING:  # its module reads Optuna's storage
    from dnsearch.search.results import Results

MOST = 16
"""Architectures, each up to two seconds."""


def with_latencies(results: Results) -> Results:
    """The same results with the latency of up to ``MOST`` architectures, spread evenly over MACs.

    Measured on the study's first device with torch's own modules, as an export is used, in batches
    of objectives.latency_batch; unsteady ones stay unknown. Raises ConfigError where that device is
    not here.
    """
    from dnsearch.cost.device import latencies_of

    known = finished(results.candidates).sort_values(by="macs", kind="stable")
    unknown = rows(known, ~np.isfinite(column(known, "latency_ms")))
    keys = list(dict.fromkeys(texts(unknown, "key")))
    places = np.linspace(0, len(keys) - 1, min(MOST, len(keys))).round().astype(int)
    keys = [keys[place] for place in dict.fromkeys(places)]
    plan = plan_workers(results.study.search, alone=True)
    archs = [results.archs[key] for key in keys]
    shape, batch = tuple(results.data["shape"]), results.study.objectives.latency_batch
    measured = latencies_of(archs, shape, batch, plan.devices[0], plan.threads)
    table = results.candidates.copy()
    for key, latency in zip(keys, measured, strict=True):
        if not latency.unsteady:
            table.loc[table["key"] == key, "latency_ms"] = latency.ms
    return replace(results, candidates=table)
