import itertools

import numpy as np
import pytest

from dnsearch.errors import SpaceError
from dnsearch.search.design import SHARES, SIZES, grid, scaling, stratified, thinned

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


def test_a_scaling_design_goes_in_rounds_of_sizes_shares_and_seeds():
    cost = np.exp(np.random.default_rng(4).uniform(np.log(1e3), np.log(1e6), 3000))
    plan = list(itertools.islice(scaling(cost, np.random.default_rng(5)), 9 * SIZES))
    for round_ in range(3):
        first, parts, again = (
            plan[start : start + SIZES]
            for start in range(3 * SIZES * round_, 3 * SIZES * (round_ + 1), SIZES)
        )
        points = [each.point for each in first]
        assert [each.point for each in parts] == [each.point for each in again] == points
        assert {(each.share, each.times) for each in first} == {(1.0, 1)}
        assert {(each.share, each.times) for each in again} == {(1.0, 2)}
        steps = np.diff(np.log(np.sort(cost[points])))
        assert np.all(steps > 0)
        assert np.isclose(steps.mean(), np.log(64) / (SIZES - 1), rtol=0.2)
    shapes = [each.point for each in plan if each.share == 1 and each.times == 1]
    assert len(set(shapes)) == 3 * SIZES
    shares = {}
    for each in plan:
        if each.share < 1:
            size = round(float(np.log(cost.max() / cost[each.point]) / (np.log(64) / (SIZES - 1))))
            shares.setdefault(size, set()).add(each.share)
    assert all(found == set(SHARES) for found in shares.values())  # each size on each share


def test_a_scaling_design_ends_and_wants_a_range():
    small = np.geomspace(1, 20, 30)
    plan = list(scaling(small, np.random.default_rng(0)))
    assert len(plan) == 3 * 30
    assert {each.point for each in plan} == set(range(30))
    with pytest.raises(SpaceError, match="over 16 times in MACs, these span 9; offer"):
        list(scaling(np.geomspace(1, 9, 30), np.random.default_rng(0)))
