"""How long it takes to find what is within the limits of spaces of up to 7.2e8 points.

Growth rates of 4 to 48, four blocks of 1 to 48 layers, three kinds of bottleneck; 14x14 images.

    OMP_NUM_THREADS=1 python studies/growth/spaces.py
"""

from __future__ import annotations

from typing import Any

import numpy as np
from growth import Watch, exponent, fresh, line

from dnsearch.arch import SearchSpace
from dnsearch.config import LimitsConfig
from dnsearch.errors import SpaceError
from dnsearch.search import CostModel
from dnsearch.search.feasible import feasible_points

MOST_LAYERS = 14, 20, 28, 48
LIMITS = 1e5, 7e5, 2e6, 1e7, 1e9, None


def main() -> None:
    """Measures and prints."""
    sizes, seconds = [], []
    for layers in MOST_LAYERS:
        grown = fresh(found, layers, 2e6)
        sizes.append(space_of(layers).size)
        seconds.append(grown.seconds)
        line(f"{sizes[-1]:.2g} points, 2e6 MACs", grown, grown.found)
    print(f"seconds grow with points to the {exponent(sizes, seconds):.2f}")
    for macs in LIMITS:
        grown = fresh(found, MOST_LAYERS[-1], macs)
        line(f"7.2e+08 points, {macs or np.inf:.0e} MACs", grown, grown.found)


def space_of(layers: int) -> SearchSpace:
    """Blocks of up to so many layers."""
    depths = (tuple(range(1, layers + 1)),) * 4
    return SearchSpace(growth_rate=tuple(range(4, 49)), block_config=depths, bn_size=(0, 2, 4))


def found(watch: Watch, layers: int, macs: float | None) -> Any:
    """What is said of this space with this limit."""
    limits = LimitsConfig(max_macs=None if macs is None else int(macs))
    with watch:
        try:
            points, costs = feasible_points(
                space_of(layers), CostModel((1, 14, 14), limits=limits), np.random.default_rng(0)
            )
        except SpaceError as error:
            return str(error)
    return f"{len(points):,} points, {costs.macs.min():.3g} to {costs.macs.max():.3g} MACs"


if __name__ == "__main__":
    main()
