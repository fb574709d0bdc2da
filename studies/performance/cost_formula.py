"""How long the closed form takes for a million architectures on one core.

OMP_NUM_THREADS=1 python studies/performance/cost_formula.py
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from dnsearch.arch import ArchConfig, SearchSpace
from dnsearch.cost.formula import cost_of, costs

SPACE = SearchSpace(
    growth_rate=tuple(range(4, 44, 2)),
    block_config=(tuple(range(1, 11)),) * 4,
    bn_size=(0, 1, 2, 4, 8),
)
REPEATS = 7


def seconds_of(function, *arguments) -> float:
    """Wall-clock time of one call."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def main() -> None:
    """Measures and prints."""
    archs = SPACE.points(np.random.default_rng(0)).arrays()
    together = statistics.median(seconds_of(costs, archs, 32, 32) for _ in range(REPEATS))
    sample: list[ArchConfig] = [archs.config(i) for i in range(0, len(archs), len(archs) // 200)]
    one = statistics.median(seconds_of(cost_of, config, 32, 32) for config in sample)
    print(f"{len(archs):,} architectures together   {together:.2f} s (median of {REPEATS})")
    print(f"one architecture alone             {one * 1e3:.2f} ms")
    print(f"together, a piece, is              {one * len(archs) / together:,.0f} times faster")


if __name__ == "__main__":
    main()
