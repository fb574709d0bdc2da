"""The network proposed for a larger budget, from those near the front."""

import numpy as np
import pytest

from dnsearch.arch.config import ArchConfig
from dnsearch.scaling.growth import best_growth
from dnsearch.scaling.larger import larger, mean_growth
from dnsearch.search.feasible import CostModel

MODEL = CostModel((3, 32, 32))
RATES = (4, 6, 8, 12, 16)


@pytest.mark.parametrize(
    ("bn_sizes", "wanted"),
    [
        ((4, 4, 4, 4, 4), 4),
        ((2, 4, 4, 4, 0), 4),  # the largest third has none, most of the larger half has one
        ((0, 0, 2, 2, 2), 2),
        ((4, 4, 4, 0, 0), 0),
    ],
)
def test_the_budget_is_spent_whichever_have_a_bottleneck(bn_sizes, wanted):
    """Too few networks for how the best grow: the typical one of those near the front is taken."""
    near = [
        ArchConfig(k, (3, 3, 3), 2 * k, bn_size=bn_size, stem="cifar")
        for k, bn_size in zip(RATES, bn_sizes, strict=True)
    ]
    macs = [MODEL.cost(arch).macs for arch in near]
    assert macs == sorted(macs)
    tried = {"growth_rate": RATES, "layers": [9] * 5, "bn_size": [4] * 5}
    growth = best_growth(macs, np.linspace(0.5, 0.3, 5), tried, np.random.default_rng(0))
    found = larger(near, growth, MODEL, "macs", budget := 4 * macs[-1])
    assert 0.9 * budget <= MODEL.cost(found).macs <= budget
    assert mean_growth(found) > RATES[-1]
    assert found.bn_sizes[0] == pytest.approx(wanted, rel=0.3)
