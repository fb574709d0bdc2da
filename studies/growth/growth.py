"""How figures grow: each size measured in a process of its own, and the exponent of a power law."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np


class Grown(NamedTuple):
    """CPU seconds, peak memory in bytes above that of the start, and what the work returned."""

    seconds: float
    peak_bytes: int
    found: Any


class Watch:
    """Times what is done within it, in a process that does nothing else."""

    seconds = 0.0

    def __enter__(self) -> Watch:
        self._start = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self._start


def fresh(work: Callable[..., Any], *arguments: Any) -> Grown:
    """``work(watch, *arguments)`` in a new process; what it does within ``watch`` is timed."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, work, arguments).result()


def _measured(work: Callable[..., Any], arguments: Sequence[Any]) -> Grown:
    watch, before = Watch(), _peak_bytes()
    found = work(watch, *arguments)
    return Grown(watch.seconds, _peak_bytes() - before, found)


def _peak_bytes() -> int:
    scale = 1 if sys.platform == "darwin" else 1024
    return scale * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Of the power of the size that the seconds grow with, by least squares of logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(seconds, 1e-6)), 1)[0])


def line(size: str, grown: Grown, told: str = "") -> None:
    """Prints a size's figures."""
    print(
        f"{size:>28}  {grown.seconds:8.3f} s  {grown.peak_bytes / 1e6:7.0f} MB  {told}", flush=True
    )
