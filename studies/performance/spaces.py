"""How long it takes to enumerate a space of 9.6 million points, and to sample a larger one.

OMP_NUM_THREADS=1 python studies/performance/spaces.py
"""

from __future__ import annotations

import resource
import time

import numpy as np

from dnsearch.arch import SearchSpace


def main() -> None:
    """Measures and prints."""
    for depths in (10, 20):
        space = SearchSpace(
            growth_rate=tuple(range(4, 44, 2)),
            block_config=(tuple(range(1, depths + 1)),) * 4,
            bn_size=tuple(range(8)),
            compression=(0.25, 0.5, 0.7, 0.8, 0.9, 1.0),
        )
        started = time.perf_counter()
        points = space.points(np.random.default_rng(0))
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{len(points):,} of {space.size:,} points: {seconds:.1f} s, peak {peak:.2f} GB")


if __name__ == "__main__":
    main()
