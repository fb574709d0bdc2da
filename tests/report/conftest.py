"""The states of a run that a report must show well."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dnsearch.search.results import Results

from . import synthetic


def _some_latencies() -> Results:
    found = synthetic.results(12, costs=("latency_ms",))
    return synthetic.changed(found, slice(None, None, 3), latency_ms=np.nan)


def _no_latencies() -> Results:
    found = synthetic.results(6, costs=("latency_ms",))
    return synthetic.changed(found, slice(None), latency_ms=np.nan)


def _perfect() -> Results:
    return synthetic.changed(synthetic.results(4), 0, error=0.0)


STATES: dict[str, Callable[[], Results]] = {
    "usual": lambda: synthetic.results(30, failed=2, trained_preset="densenet-40-12"),
    "empty": lambda: synthetic.results(0),
    "all failed": lambda: synthetic.results(4, failed=4, reason="line one\n" + "long " * 400),
    "none fit": lambda: synthetic.results(4, unfit=4),
    "one": lambda: synthetic.results(1),
    "front of two": lambda: synthetic.results(2, seed=3),
    "three costs": lambda: synthetic.results(20, costs=("macs", "params", "latency_ms"), unfit=2),
    "some latencies": _some_latencies,
    "no latencies": _no_latencies,
    "error of zero": _perfect,
    "no presets": lambda: synthetic.results(5, presets=synthetic.presets()[:0]),
}


@pytest.fixture(params=list(STATES))
def any_state(request) -> Results:
    return STATES[request.param]()
