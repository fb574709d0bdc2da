"""Rank correlations of studies/densenet-bench: against scipy, closed forms, what was planted."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.analysis.test_trust import planted

FILE = Path(__file__).parents[1] / "studies" / "densenet-bench" / "agreement.py"
SPEC = importlib.util.spec_from_file_location("agreement", FILE)
assert SPEC is not None
assert SPEC.loader is not None
MODULE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MODULE)
averages_agreement, cost_baseline = MODULE.averages_agreement, MODULE.cost_baseline
kendall_tau, rank_correlations = MODULE.kendall_tau, MODULE.rank_correlations

NAN = math.nan


@pytest.fixture
def rng():
    return np.random.default_rng(0)


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


def test_means_of_halves_agree_as_their_correlation_says(rng):
    """Of four seeds with noise as large as the spread: correlation 1 / (1 + 1/2)."""
    top, log_cost = planted(3000, 4, 0.05, 0.05, rng)
    expected = 2 / math.pi * math.asin(2 / 3)
    found = averages_agreement(top, log_cost, rng, resamples=20).matched
    assert found.value == pytest.approx(expected, abs=0.02)
    assert found.low < expected < found.high
    three = averages_agreement(top[:, :3], log_cost, rng, resamples=20)
    assert math.isnan(three.matched.value)


@pytest.mark.parametrize("shape", [(50, 1), (1, 2)])
def test_one_seed_or_one_architecture_tells_nothing_of_ranks(shape, rng):
    errors, log_cost = planted(*shape, 0.1, 0.1, rng)
    (found,) = rank_correlations(errors[:, :, None], errors, log_cost, rng)
    assert np.isnan(found.overall).all()
