"""Noise and what is left at matched cost: against closed forms, and what was planted."""

import math

import numpy as np
import pytest
from scipy import stats

from dnsearch.analysis.trust import Noise, at_matched_cost, seed_noise

NAN = math.nan


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def planted(n, seeds, spread, noise, rng):
    """Errors (n, seeds) that fall with cost along a quadratic in logs, and the log costs (n,)."""
    log_cost = rng.uniform(11, 15, n)
    trend = -1.2 - 0.25 * (log_cost - 11) + 0.02 * (log_cost - 11) ** 2
    true = trend + rng.normal(0, spread, n)
    return np.exp(true[:, None] + rng.normal(0, noise, (n, seeds))), log_cost


def test_at_matched_cost_leaves_what_the_quadratic_does_not_explain(rng):
    x = rng.uniform(10, 15, 40)
    trend = np.exp(3 - 0.7 * x + 0.02 * x**2)
    assert at_matched_cost(trend, x) == pytest.approx(0, abs=1e-8)
    wiggle = rng.normal(0, 0.1, 40)
    found = at_matched_cost(trend * np.exp(wiggle), x)
    assert found == pytest.approx(wiggle - np.polyval(np.polyfit(x, wiggle, 2), x), abs=1e-8)


def test_at_matched_cost_of_equal_costs_is_the_distance_from_the_mean():
    errors = np.array([0.1, 0.2, 0.1, 0.2, 0.1, 0.2])
    expected = np.log(errors) - np.log(errors).mean()
    assert at_matched_cost(errors, np.full(6, 3.0)) == pytest.approx(expected, abs=1e-8)


def test_at_matched_cost_of_missing_few_and_zero_errors():
    x = np.arange(7.0)
    with_gap = at_matched_cost([0.5, 0.4, NAN, 0.3, 0.3, 0.2, 0.1], x)
    assert np.isnan(with_gap).tolist() == [False, False, True, False, False, False, False]
    assert np.isnan(at_matched_cost([0.4, 0.3, 0.2, 0.1], x[:4])).all()
    assert np.isfinite(at_matched_cost([0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0], x)).all()


def test_seed_noise_finds_what_was_planted(rng):
    errors, log_cost = planted(2000, 3, 0.08, 0.05, rng)
    found = seed_noise(errors, log_cost)
    assert found.seed_log_sd == pytest.approx(0.05, rel=0.05)
    assert found.seed_sd == pytest.approx(0.05 * np.sqrt((errors**2).mean()), rel=0.05)
    assert found.spread == pytest.approx(math.hypot(0.08, 0.05 / math.sqrt(3)), rel=0.05)
    assert found.true_spread == pytest.approx(0.08, rel=0.05)


def test_seed_noise_of_uneven_seeds(rng):
    errors, log_cost = planted(3000, 3, 0.08, 0.1, rng)
    errors[:1000, 1:], errors[1000:2000, 2] = NAN, NAN
    errors[::50] = NAN
    found = seed_noise(errors, log_cost)
    assert found.seed_log_sd == pytest.approx(0.1, rel=0.05)
    assert found.true_spread == pytest.approx(0.08, rel=0.1)


def test_trainings_for_a_ceiling_reach_it(rng):
    noise = Noise(0.01, seed_log_sd=0.07, spread=0.09, true_spread=0.05)
    assert noise.trainings_for(0.5) == 5  # 2.414 * (.07 / .05)^2 = 4.7
    many, log_cost = planted(1500, 10, 0.05, 0.07, rng)
    halves = (many[:, :5].mean(axis=1), many[:, 5:].mean(axis=1))
    tau = stats.kendalltau(*(at_matched_cost(half, log_cost) for half in halves)).statistic
    assert tau == pytest.approx(0.51, abs=0.03)
    assert Noise(0.01, 0.01, 0.1, true_spread=0.0).trainings_for() == math.inf
    assert Noise(0.01, 0.01, 0.1, true_spread=0.1).trainings_for() == 1


def test_one_seed_tells_nothing_of_noise(rng):
    errors, log_cost = planted(50, 1, 0.1, 0.1, rng)
    noise = seed_noise(errors, log_cost)
    assert np.isnan([noise.seed_sd, noise.seed_log_sd, noise.true_spread]).all()
    assert noise.spread > 0.1
    assert math.isnan(noise.trainings_for())


def test_a_single_architecture_has_no_spread():
    errors, log_cost = np.array([[0.1, 0.12]]), np.array([12.0])
    noise = seed_noise(errors, log_cost)
    assert noise.seed_sd == pytest.approx(0.02 / math.sqrt(2))
    assert math.isnan(noise.spread)
