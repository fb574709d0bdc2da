"""What choices are worth at equal cost, on design spaces whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from dnsearch.analysis.choices import GRID, Choices, design_space, grouped

EFFECT = np.log([1.0, 1.05, 1.2])
"""Of three values on the error, at equal cost."""


def space(seed=0, networks=600, spread=0.01, confounded=True):
    """Costs, draws of log error and choices of one dimension that matters and one that does not.
    Where it is confounded, the worst value is more frequent among the expensive networks."""
    rng = np.random.default_rng(seed)
    costs = 10 ** rng.uniform(5, 7, networks)
    share = (np.log10(costs) - 5) / 2
    odds = np.stack([1.2 - share, np.full(networks, 0.5), 0.2 + share * confounded], axis=1)
    of = (rng.random((networks, 1)) > (odds / odds.sum(axis=1)[:, None]).cumsum(axis=1)).sum(axis=1)
    other = rng.integers(0, 2, networks)
    truth = -1 - 0.3 * np.log(costs) + EFFECT[of]
    draws = truth + spread * rng.standard_normal((200, networks))
    trained = [3, 2, 1]
    return (
        costs,
        draws,
        [Choices("growth", "abc", of, trained), Choices("idle", "xy", other, [3, 3])],
    )


def test_effects_are_found_though_cost_and_choice_go_together():
    growth, idle = design_space("macs", *space()).dimensions
    assert growth.best == 0
    above = [value.above.value for value in growth.values]
    # Within a bin the costlier networks are the better ones, which biases it a little.
    assert above == pytest.approx(np.expm1(EFFECT), abs=0.01)
    assert [value.is_worse for value in growth.values] == [False, True, True]
    assert [value.trained for value in growth.values] == [3, 2, 1]
    assert growth.share.value > 0.7
    assert idle.share.value < 0.01
    assert all(abs(value.above.value) < 0.01 for value in idle.values)


def test_what_the_draws_cannot_tell_is_not_told():
    costs, draws, choices = space()
    rng = np.random.default_rng(1)
    shift = 0.3 * rng.standard_normal((len(draws), 3))[:, choices[0].of]
    growth, _ = design_space("macs", costs, draws + shift, choices).dimensions
    assert not any(value.is_worse for value in growth.values)


def test_the_interval_holds_what_the_draws_say():
    costs, draws, choices = space(confounded=False)
    rng = np.random.default_rng(2)
    moved = rng.normal(0.1, 0.02, len(draws))
    truth = draws.mean(axis=0) - EFFECT[choices[0].of]
    moving = truth + moved[:, None] * (choices[0].of == 2)
    growth, _ = design_space("macs", costs, moving, choices).dimensions
    value = next(v for v in growth.values if v.label == "c").above
    assert (value.value, value.low, value.high) == pytest.approx(
        np.expm1(np.quantile(moved, [0.5, 0.05, 0.95])), abs=0.01
    )


def test_distributions_against_counting():
    costs, draws, choices = space(networks=96, spread=0.05)
    found = design_space("macs", costs, draws, choices)
    idle = found.dimensions[1]
    order = np.argsort(costs)
    bins = np.empty(96, int)
    bins[order] = np.arange(96) * 12 // 96
    relative = (
        draws - np.stack([draws[:, bins == b].mean(axis=1) for b in range(12)], axis=1)[:, bins]
    )
    chosen = choices[1].of == 1
    weight = np.array([1 / (chosen & (bins == b)).sum() for b in bins[chosen]])
    for place in (5, GRID // 2, GRID - 6):
        below = relative[:, chosen] <= np.log1p(found.grid[place])
        share = (below * weight).sum(axis=1) / weight.sum()
        expected = np.quantile(share, [0.5, 0.05, 0.95])
        assert idle.values[1].distribution[place] == pytest.approx(expected, abs=1e-6)


def test_values_that_never_cost_the_same_are_not_compared():
    costs = np.concatenate([np.geomspace(1e5, 2e5, 100), np.geomspace(1e6, 2e6, 100)])
    of = np.repeat([0, 1], 100)
    draws = np.random.default_rng(0).standard_normal((50, 200))
    (only,) = design_space("macs", costs, draws, [Choices("k", "ab", of, [1, 1])]).dimensions
    other = only.values[1 - only.best]
    assert not other.above.is_known
    assert not other.is_worse


def test_many_values_are_grouped_with_their_neighbours():
    values = list(range(4, 44, 4))
    of = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    found = grouped("growth_rate", values, of, np.array([0, 0, 9]))
    assert found.labels == ["4 to 12", "16 to 24", "28 to 32", "36 to 40"]
    assert found.of.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
    assert found.trained == [2, 0, 0, 1]
    few = grouped("stem", ["cifar", "patch2", "unused"], np.array([0, 1, 1]), np.array([1]))
    assert few.labels == ["cifar", "patch2"]
    assert few.trained == [0, 1]
