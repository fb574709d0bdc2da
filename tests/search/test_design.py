import itertools

import numpy as np
import pytest

from dnsearch.cost.formula import CostArrays
from dnsearch.errors import SpaceError
from dnsearch.search.design import (
    FIRST_FRONTIER,
    SHARES,
    SIZES,
    cost_and_size,
    frontier,
    grid,
    scaling,
    stratified,
    thinned,
)

COST = np.exp(np.random.default_rng(0).normal(0, 2, 400))


def test_designs_take_every_point_once():
    rng = np.random.default_rng(1)
    assert sorted(grid(50, rng)) == list(range(50))
    assert sorted(stratified(COST[:50], rng)) == list(range(50))
    assert sorted(frontier(COST[:50], np.flip(COST)[:50])) == list(range(50))
    assert sorted(frontier(np.ones(5), np.ones(5))) == list(range(5))


def along_a_frontier():
    """Costs, and sizes that grow with them, each shape at the same cost by another amount."""
    rng = np.random.default_rng(6)
    cost = np.exp(rng.uniform(0, 5, 400))
    return cost, cost**0.8 * rng.lognormal(0, 0.2, len(cost))


def test_a_frontier_comes_cheap_first_and_evenly_in_log_cost():
    cost, size = along_a_frontier()
    best = {i for i in range(len(cost)) if not np.any((cost <= cost[i]) & (size > size[i]))}
    order = list(frontier(cost, size))
    assert set(order[: len(best)]) == best
    log, members = np.log(cost), np.array(sorted(best, key=lambda i: cost[i]))
    for round_, targets in ((order[:FIRST_FRONTIER], 10), (order[FIRST_FRONTIER:19], 19)):
        assert np.all(np.diff(cost[round_]) > 0)
        even = np.linspace(log[members[0]], log[members[-1]], targets)
        nearest = {int(members[np.argmin(np.abs(log[members] - target))]) for target in even}
        assert set(round_) <= nearest
    assert nearest <= set(order[:19])


def test_behind_a_frontier_come_the_others_by_what_they_lack_of_its_size():
    cost, size = along_a_frontier()
    order = list(frontier(cost, size))
    lacking = [np.log(size[cost <= cost[i]].max() / size[i]) for i in order]
    of_frontier = sum(each == 0 for each in lacking)
    assert 19 < of_frontier < 200
    assert np.all(np.diff(lacking[of_frontier:]) >= -1e-12)


def test_what_a_frontier_runs_along_is_the_first_cost_known_beforehand():
    known = CostArrays(*(np.array([each]) for each in (1, 2, 3, 4)))
    for costs, expected in (
        (("macs",), (2, 1)), (("params",), (1, 2)), (("activations", "macs"), (3, 1)),
        (("latency_ms",), (2, 1)), (("latency_ms", "params"), (1, 2)),
    ):  # fmt: skip
        assert tuple(int(each[0]) for each in cost_and_size(known, costs)) == expected


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


def any_of(places):
    """Stands for what a search believes best: any."""
    return int(places[-1])


def test_a_scaling_design_goes_in_rounds_of_sizes_shares_and_seeds():
    cost = np.exp(np.random.default_rng(4).uniform(np.log(1e3), np.log(1e6), 3000))
    plan = list(itertools.islice(scaling(cost, np.random.default_rng(5), any_of), 9 * SIZES))
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
    plan = list(scaling(small, np.random.default_rng(0), any_of))
    assert len(plan) == 3 * 30
    assert {each.point for each in plan} == set(range(30))
    with pytest.raises(SpaceError, match="over 16 times in MACs, these span 9; offer"):
        list(scaling(np.geomspace(1, 9, 30), np.random.default_rng(0), any_of))


def test_a_scaling_design_takes_any_shapes_first_and_then_those_believed_best():
    rng = np.random.default_rng(7)
    cost = np.exp(rng.uniform(np.log(1e3), np.log(64e3), 800))
    worth = rng.permutation(800)
    plan = scaling(cost, np.random.default_rng(8), lambda p: int(p[worth[p].argmin()]))
    whole = [p.point for p in itertools.islice(plan, 9 * SIZES) if (p.share, p.times) == (1, 1)]
    assert len(whole) == 3 * SIZES
    log, step = np.log(cost), np.log(64) / (SIZES - 1)
    size = np.rint((log - log.max()) / step + SIZES - 1)
    for round_, points in enumerate(np.reshape(whole, (3, SIZES))):
        for number, point in enumerate(points):
            of_size = np.flatnonzero(np.abs(size - number) < 0.1)
            better = {int(each) for each in of_size if worth[each] < worth[point]}
            assert not round_ or better <= set(whole[: round_ * SIZES])
    assert np.mean(worth[whole[:SIZES]]) > 100  # any: the best of 100 would be about 8
    assert np.mean(worth[whole[SIZES:]]) < 40


def test_a_scaling_design_goes_on_with_what_it_has_trained():
    cost = np.exp(np.random.default_rng(9).uniform(np.log(1e3), np.log(64e3), 800))
    whole = list(itertools.islice(scaling(cost, np.random.default_rng(1), any_of), 60))
    trained = list(dict.fromkeys(each.point for each in whole if each.share == 1))

    def not_asked(places):
        raise AssertionError("all of these rounds were trained")

    again = scaling(cost, np.random.default_rng(1), not_asked, trained)
    assert list(itertools.islice(again, 60)) == whole
