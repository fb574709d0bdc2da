"""Rank correlations and noise: against scipy, closed forms, and what was planted."""

import math

import numpy as np
import pytest
from scipy import stats

from dnsearch.analysis.trust import (
    Noise,
    at_matched_cost,
    averages_agreement,
    cost_baseline,
    kendall_tau,
    rank_correlations,
    seed_noise,
)

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


@pytest.mark.parametrize("ties", [False, True])
def test_kendall_tau_is_scipys(ties, rng):
    for n in (2, 3, 7, 50):
        x, y = rng.normal(size=(2, n))
        if ties:
            x, y = np.round(x), np.round(y)
        found = kendall_tau(x, y)
        assert found == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12, nan_ok=True)


def test_kendall_tau_by_hand():
    assert kendall_tau([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)  # one swap: 5 - 1 of 6
    assert kendall_tau([1, 2, NAN, 3], [3, 2, 9, 1]) == -1


@pytest.mark.parametrize(
    ("x", "y"), [([], []), ([1], [2]), ([1, 1, 1], [1, 2, 3]), ([1, NAN],) * 2]
)
def test_kendall_tau_of_too_little_is_nan(x, y):
    assert math.isnan(kendall_tau(x, y))


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


def test_rank_correlations_leave_out_the_seed_itself(rng):
    top = rng.uniform(0.1, 0.2, (60, 2))  # nothing but luck: only a seed with itself agrees
    signal = np.stack([top[:, ::-1], top], axis=2)  # rung 0 knows the other seed, rung 1 its own
    knows, ceiling = rank_correlations(signal, top, rng.normal(size=60), rng, resamples=50)
    assert knows.overall.value == pytest.approx(1)
    assert knows.matched.value == pytest.approx(1)
    assert abs(ceiling.overall.value) < 0.3


def test_rank_correlations_are_means_over_ordered_pairs_of_seeds(rng):
    signal, top = rng.uniform(0.1, 0.2, (30, 3, 1)), rng.uniform(0.1, 0.2, (30, 3))
    signal[3, 1], top[7, 2] = NAN, NAN
    (found,) = rank_correlations(signal, top, rng.normal(size=30), rng, resamples=50)
    taus = [
        stats.kendalltau(signal[:, s, 0], top[:, t], nan_policy="omit").statistic
        for s, t in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    ]
    assert found.overall.value == pytest.approx(np.mean(taus))


@pytest.mark.parametrize(("spread", "noise"), [(0.1, 0.1), (0.1, 0.03), (0.0, 0.1)])
def test_the_noise_ceiling_at_matched_cost_is_that_of_what_was_planted(spread, noise, rng):
    errors, log_cost = planted(1500, 2, spread, noise, rng)
    (ceiling,) = rank_correlations(errors[:, :, None], errors, log_cost, rng, resamples=20)
    correlation = spread**2 / (spread**2 + noise**2)
    expected = 2 / math.pi * math.asin(correlation)  # of two normal variables
    assert ceiling.matched.value == pytest.approx(expected, abs=0.04)
    assert ceiling.overall.value > ceiling.matched.value


@pytest.mark.parametrize(("n", "half_width"), [(20, 0.22), (40, 0.13), (80, 0.09)])
def test_intervals_are_as_wide_as_taus_vary(n, half_width, rng):
    """Half-widths for tau near .68, found by simulation elsewhere."""
    widths = []
    for _ in range(30):
        x = rng.normal(size=n)
        y = 0.875 * x + math.sqrt(1 - 0.875**2) * rng.normal(size=n)  # tau 2/pi asin(.875) = .68
        found = cost_baseline(np.exp(-x), np.exp(y)[:, None], x, rng, resamples=300).overall
        assert found.low < found.value < found.high
        widths.append((found.high - found.low) / 2)
    assert np.mean(widths) == pytest.approx(half_width, abs=0.03)


def test_a_cost_says_nothing_at_matched_values_of_itself(rng):
    errors, log_cost = planted(200, 2, 0.05, 0.05, rng)
    found = cost_baseline(np.exp(log_cost), errors, log_cost, rng, resamples=50)
    assert found.overall.value > 0.6
    assert np.isnan(found.matched).all()


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
    means = np.stack([many[:, :5].mean(axis=1), many[:, 5:].mean(axis=1)], axis=1)
    (ceiling,) = rank_correlations(means[:, :, None], means, log_cost, rng, resamples=20)
    assert ceiling.matched.value == pytest.approx(0.51, abs=0.03)
    assert Noise(0.01, 0.01, 0.1, true_spread=0.0).trainings_for() == math.inf
    assert Noise(0.01, 0.01, 0.1, true_spread=0.1).trainings_for() == 1


def test_means_of_halves_agree_as_their_correlation_says(rng):
    """Of four seeds with noise as large as the spread: correlation 1 / (1 + 1/2)."""
    top, log_cost = planted(3000, 4, 0.05, 0.05, rng)
    expected = 2 / math.pi * math.asin(2 / 3)
    found = averages_agreement(top, log_cost, rng, resamples=20).matched
    assert found.value == pytest.approx(expected, abs=0.02)
    assert found.low < expected < found.high
    three = averages_agreement(top[:, :3], log_cost, rng, resamples=20)
    assert math.isnan(three.matched.value)


def test_one_seed_tells_nothing_of_noise(rng):
    errors, log_cost = planted(50, 1, 0.1, 0.1, rng)
    (found,) = rank_correlations(errors[:, :, None], errors, log_cost, rng)
    assert np.isnan(found.overall).all()
    noise = seed_noise(errors, log_cost)
    assert np.isnan([noise.seed_sd, noise.seed_log_sd, noise.true_spread]).all()
    assert noise.spread > 0.1
    assert math.isnan(noise.trainings_for())


def test_a_single_architecture_tells_nothing_of_ranks(rng):
    errors, log_cost = np.array([[0.1, 0.12]]), np.array([12.0])
    (found,) = rank_correlations(errors[:, :, None], errors, log_cost, rng)
    assert np.isnan(found.overall).all()
    noise = seed_noise(errors, log_cost)
    assert noise.seed_sd == pytest.approx(0.02 / math.sqrt(2))
    assert math.isnan(noise.spread)
