"""Differences, fronts and permutations against closed forms, brute force and other libraries."""

from __future__ import annotations

import math

import moocore
import numpy as np
import pytest
from scipy import stats

from dnsearch.analysis.comparison import (
    attainment,
    difference,
    leads,
    permutation_test,
    unpaired,
    volumes,
    within,
)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_difference_of_normal_errors(rng):
    """N(1, 1) less N(0, 1) is N(1, 2)."""
    found = difference(rng.normal(1, 1, 200_000), rng.normal(0, 1, 200_000))
    truth = stats.norm(1, math.sqrt(2))
    expected = (truth.ppf(0.5), truth.ppf(0.05), truth.ppf(0.95), truth.cdf(0))
    assert found == pytest.approx(expected, abs=0.02)


def test_what_two_networks_have_in_common_cancels(rng):
    shared = rng.normal(0, 1, 4000)
    found = difference(shared + 0.1, shared)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
    assert found.smaller == 0
    assert difference(shared, shared).smaller == 0.5


def test_draws_of_two_runs_are_independent_though_one_generator_made_both(rng):
    shared = rng.normal(0, 1, (4000, 2)) @ np.array([[1.0, 0.9], [0.0, 0.4]])
    other = unpaired(shared, rng)
    assert abs(np.corrcoef(other[:, 0], shared[:, 0])[0, 1]) < 0.06
    of_one_run = np.corrcoef(other.T)[0, 1]  # stays
    assert of_one_run == pytest.approx(np.corrcoef(shared.T)[0, 1])


def test_volumes_are_those_of_the_stairs(rng):
    cost = np.array([1e3, 1e4, 1e5])
    draws = np.sort(rng.uniform(0.1, 0.5, (20, 3)), axis=1)[:, ::-1]
    width = np.log10([1e4, 1e5, 1e6]) - np.log10(cost)
    by_hand = ((0.9 - draws) * width).sum(axis=1)
    assert volumes(draws, cost[:, None], [0.9, 1e6]) == pytest.approx(by_hand)


def test_least_error_within_a_bound(rng):
    cost, error = rng.integers(1, 9, 30), rng.integers(1, 9, 30)
    for bound, place in zip(range(10), within(cost, error, range(10)), strict=True):
        inside = [(e, c, i) for i, (c, e) in enumerate(zip(cost, error, strict=True)) if c <= bound]
        assert place == (min(inside)[2] if inside else -1)


@pytest.mark.parametrize("seed", range(20))
def test_leads_against_every_cost_there_is(seed):
    rng = np.random.default_rng(seed)
    fronts = [(rng.integers(1, 20, 6), rng.integers(1, 9, 6)) for _ in range(3)]
    found = leads(fronts)
    lowest = min(cost.min() for cost, _ in fronts)
    assert found[0].low == lowest
    assert [lead.high for lead in found[:-1]] == [lead.low for lead in found[1:]]
    for bound in range(lowest, 25):
        least = [errors[costs <= bound].min(initial=99) for costs, errors in fronts]
        best = [i for i, error in enumerate(least) if error == min(least)]
        lead = next(lead for lead in found if lead.low <= bound < lead.high)
        assert lead.run == (best[0] if len(best) == 1 else None)


@pytest.mark.parametrize("runs", [1, 2, 3, 4, 5])
def test_attainment_is_moocores(runs, rng):
    points = [rng.uniform(1, 9, (6, 2)) for _ in range(runs)]  # cost, error
    bounds = np.linspace(2, 10, 7)
    errors = np.array(
        [[own[own[:, 0] <= b, 1].min(initial=math.inf) for b in bounds] for own in points]
    )
    sets = np.repeat(np.arange(runs), 6)
    for level, line in zip((0, 50, 100), attainment(errors), strict=True):
        surface = moocore.eaf(np.vstack(points), sets, percentiles=[level])
        expected = [surface[surface[:, 0] <= b, 1].min(initial=math.inf) for b in bounds]
        assert line == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [(2, 2), (3, 4), (4, 4), (5, 6)])
def test_permutation_test_is_scipys(sizes, rng):
    ours, theirs = rng.normal(0.7, 1, sizes[0]), rng.normal(0, 1, sizes[1])
    found = permutation_test(ours, theirs, rng)
    reference = stats.permutation_test(
        (ours, theirs), lambda a, b: abs(a.mean() - b.mean()), alternative="greater"
    )
    assert found.p == pytest.approx(reference.pvalue)


def test_few_runs_cannot_tell(rng):
    """Whatever they measure: the least p is that of groups that don't overlap at all."""
    for sizes, can_tell in (((1, 1), False), ((2, 2), False), ((3, 3), False), ((4, 4), True)):
        apart = permutation_test(np.arange(sizes[0]), 100 + np.arange(sizes[1]), rng)
        assert apart.p == pytest.approx(apart.least)
        assert apart.can_tell == can_tell
    assert permutation_test([1.0, 2.0], [10.0, 11.0, 12.0, 13.0], rng).least == pytest.approx(
        1 / 15
    )


def test_many_runs_are_sampled(rng):
    same = rng.normal(0, 1, 24)
    apart = permutation_test(same[:12], same[12:] + 5, rng)
    assert 0 < apart.p < 0.001
    assert permutation_test(same[::2], same[1::2], rng).p > 0.05
