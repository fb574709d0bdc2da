import itertools

import numpy as np
import pytest

from dnsearch.search.design import grid, stratified, thinned

COST = np.exp(np.random.default_rng(0).normal(0, 2, 400))


def test_designs_take_every_point_once():
    rng = np.random.default_rng(1)
    assert sorted(grid(50, rng)) == list(range(50))
    assert sorted(stratified(COST[:50], rng)) == list(range(50))


@pytest.mark.parametrize("count", [4, 8, 16])
def test_a_stratified_beginning_covers_the_range_of_log_cost(count):
    chosen = list(itertools.islice(stratified(COST, np.random.default_rng(2)), count))
    share = np.sort((np.log(COST[chosen]) - np.log(COST).min()) / np.ptp(np.log(COST)))
    gaps = np.diff(np.concatenate([[0], share, [1]]))
    assert gaps.max() < 2.5 / count + 0.1


def test_thinning_evens_out_log_cost():
    rng = np.random.default_rng(3)
    cost = np.concatenate([np.full(10_000, 1.0), np.full(100, 10.0), np.full(100, 100.0)])
    cost *= rng.uniform(1, 1.001, len(cost))
    kept = thinned(cost, 300, rng)
    assert len(set(kept.tolist())) == 300
    assert np.sum(cost[kept] > 5) > 120  # 200 of 10,200 points hold two thirds of the weight
