"""The proxy certificate: against scipy on explicit resamples, brute force, and planted worlds."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
from scipy import stats

from dnsearch.analysis.trust import (
    at_matched_cost,
    correlation_interval,
    weighted_rhos,
    weighted_taus,
)
from dnsearch.confirm.certificate import CEILING, Kind, View, certify
from dnsearch.confirm.topk import top_k
from dnsearch.confirm.verdict import judge
from dnsearch.errors import ConfigError

from .invented import NAN, ODD, SPREAD, odd, world


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def row(certificate, name):
    return next(row for row in certificate.rows if row.name == name)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("weighted", "scipys"), [(weighted_taus, stats.kendalltau), (weighted_rhos, stats.spearmanr)]
)
def test_bootstraps_are_scipys_of_explicit_resamples(weighted, scipys, ties, rng):
    x, y = rng.normal(size=(2, 16))
    if ties:
        x, y = np.round(x), np.round(y)
    x[3], y[5] = NAN, NAN
    drawn = rng.integers(16, size=(40, 16))
    weights = np.stack([np.bincount(rows, minlength=16) for rows in drawn]).astype(float)
    found = weighted(x, y, weights)
    for value, rows in zip(found, drawn, strict=True):
        expected = scipys(x[rows], y[rows], nan_policy="omit").statistic
        assert value == pytest.approx(expected, abs=1e-12)


def test_correlations_are_means_over_ordered_pairs_of_different_seeds(rng):
    short, full, cost, baselines = world(20, rng)
    short[3][2, 1], full[7, 2] = NAN, NAN
    found = certify(short, full, cost, baselines, rng, resamples=20)
    own, log_cost = row(found, "3 epochs"), np.log(cost)
    proxy = short[3]
    pairs = [(s, t) for s in range(4) for t in (1, 2, 3) if s != t]
    left = [at_matched_cost(proxy[:, s], log_cost) for s in range(4)]
    right = [at_matched_cost(full[:, t], log_cost) for t in range(4)]
    for part, scipys in (("tau", stats.kendalltau), ("rho", stats.spearmanr)):
        overall = [scipys(proxy[:, s], full[:, t], nan_policy="omit").statistic for s, t in pairs]
        matched = [scipys(left[s], right[t], nan_policy="omit").statistic for s, t in pairs]
        assert getattr(own, part).overall.value == pytest.approx(np.mean(overall))
        assert getattr(own, part).matched.value == pytest.approx(np.mean(matched))
    ceiling = [
        stats.kendalltau(full[:, s], full[:, t], nan_policy="omit").statistic
        for s, t in itertools.permutations((1, 2, 3), 2)
    ]
    assert row(found, CEILING).tau.overall.value == pytest.approx(np.mean(ceiling))
    alone = [stats.kendalltau(-cost, full[:, t], nan_policy="omit").statistic for t in (1, 2, 3)]
    assert row(found, "MACs alone").tau.overall.value == pytest.approx(np.mean(alone))
    assert own.pairs_right.matched.value == pytest.approx((1 + own.tau.matched.value) / 2)
    assert [r.kind for r in found.rows] == [Kind.PROXY, Kind.BASELINE, Kind.BASELINE, Kind.CEILING]
    assert [r.rung for r in found.rows] == [3, None, None, None]
    assert (found.architectures, found.pairs, found.seeds, found.k) == (20, 190, 3, 5)


def test_a_seeds_proxy_never_meets_its_own_full_training(rng):
    luck = rng.uniform(0.1, 0.2, (200, 3))  # nothing but luck, which the same seed's proxy knows
    cost = np.exp(rng.normal(size=200))
    found = row(certify({3: luck}, luck, cost, {}, rng, 20), "3 epochs")
    assert abs(found.tau.overall.value) < 0.1
    assert abs(found.tau.matched.value) < 0.1
    assert abs(found.rho.matched.value) < 0.1
    assert found.precision.value == pytest.approx(0.25, abs=0.1)
    assert found.regret.low <= found.regret.value <= found.regret.high


def brute_force(signal, truth, k):
    """Means over all orders in which ties of either may be broken."""
    rows = [i for i in range(len(signal)) if np.isfinite(signal[i]) and np.isfinite(truth[i])]
    if len(rows) <= k:
        return NAN, NAN
    best = min(truth[i] for i in rows)
    orders = list(itertools.permutations(rows))
    chosen = [sorted(order, key=lambda i: signal[i])[:k] for order in orders]
    true = [sorted(order, key=lambda i: truth[i])[:k] for order in orders]
    regret = np.mean([min(truth[i] for i in taken) - best for taken in chosen])
    chance = [
        np.mean([[i in taken for i in range(len(signal))] for taken in s], 0)
        for s in (chosen, true)
    ]
    return regret, float(np.dot(*chance)) / k


@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k_is_brute_force(k, rng):
    for ties in (0, 1, 2):
        signal, truth = np.round(rng.normal(size=(2, 6)), ties)
        signal[rng.integers(6)] = NAN if ties else 0.0
        found = top_k(signal, truth, k)
        assert found == pytest.approx(brute_force(signal, truth, k), abs=1e-12, nan_ok=True)


def test_regret_and_precision_are_means_over_seeds_against_the_others(rng):
    short, full, cost, baselines = world(12, rng, noise=0.1)
    found = certify(short, full, cost, baselines, rng, resamples=20)
    assert found.k == 3
    for name, signal, seeds in (
        ("3 epochs", short[3], range(4)),
        (CEILING, full, range(1, 4)),
    ):
        regrets, shares = [], []
        for s in seeds:
            truth = np.mean([full[:, t] for t in range(1, 4) if t != s], axis=0)
            taken = np.argsort(signal[:, s])[:3]
            regrets.append(truth[taken].min() - truth.min())
            shares.append(len(set(taken) & set(np.argsort(truth)[:3])) / 3)
        assert row(found, name).regret.value == pytest.approx(np.mean(regrets))
        assert row(found, name).precision.value == pytest.approx(np.mean(shares))


def coverage(n, certificates, rng):
    """The share of certificates whose interval of pairs at matched cost holds the truth: of a
    proxy, and of the ceiling."""
    expected = {}
    for name, slope in (("3 epochs", 0.8), (CEILING, 1.0)):
        signal = slope * SPREAD
        ratio = signal / math.hypot(signal, 0.04) * SPREAD / math.hypot(SPREAD, 0.04)
        expected[name] = (1 + 2 / math.pi * math.asin(ratio)) / 2  # of two normal variables
    held = dict.fromkeys(expected, 0)
    for _ in range(certificates):
        short, full, cost, _ = world(n, rng)
        found = certify(short, full, cost, {}, rng, resamples=200)
        for name, truth in expected.items():
            _, low, high = row(found, name).pairs_right.matched
            held[name] += low <= truth <= high
    return {name: count / certificates for name, count in held.items()}


def test_intervals_at_matched_cost_cover(rng):
    found = coverage(16, 200, rng)
    print(f"coverage of 95 % intervals, 16 candidates: {found}")
    assert all(0.88 <= share <= 0.98 for share in found.values()), found


def test_a_perfect_ranking_of_few_is_not_certain(rng):
    found = correlation_interval(1.0, np.ones(100), 16)
    assert found.high == 1
    assert (1 + found.low) / 2 == pytest.approx(0.025 ** (1 / 8))
    assert np.isnan(correlation_interval(1.0, np.ones(100), 4)[1:]).all()
    assert correlation_interval(-1.0, -np.ones(100), 16).high == -found.low
    lows = [correlation_interval(1.0, np.ones(100), count).low for count in range(5, 17)]
    assert lows == sorted(lows)
    assert (lows[0], lows[7]) == (0, pytest.approx(2 * 0.025 ** (1 / 6) - 1))


def test_a_proxy_that_only_knows_the_cost_is_exposed_at_matched_cost(rng):
    _, full, cost, baselines = world(40, rng)
    pure = cost[:, None] ** -0.1 * rng.lognormal(0, 0.01, (40, 4))
    exact = np.repeat(1 / cost, 4).reshape(40, 4)
    found = certify({1: pure, 3: exact}, full, cost, baselines, rng, resamples=200)
    overall, matched = row(found, "1 epoch").pairs_right
    assert overall.low > 0.7
    assert matched.low < 0.5 < matched.high
    assert np.isnan(row(found, "3 epochs").tau.matched).all()
    assert np.isnan(row(found, "MACs alone").tau.matched).all()
    one, three = judge(found).proxies
    assert one.beats_chance is False
    assert [view for _, view in one.beaten_by][:1] == [View.OVERALL]
    assert three.beats_chance is None


def test_scores_below_zero_are_matched_as_they_are(rng):
    _, full, cost, _ = world(300, rng, spread=0.2)
    left = at_matched_cost(full[:, 1], np.log(cost))
    scores = {"knows": -left, "knows little": -1e-12 * left, "flat": np.zeros(300)}
    found = certify({}, full, cost, scores, rng, resamples=50)
    assert row(found, "knows").tau.matched.value > 0.8
    tiny = row(found, "knows little").tau.matched.value
    assert tiny == pytest.approx(row(found, "knows").tau.matched.value)
    assert np.isnan(row(found, "flat").tau.overall).all()


@pytest.mark.parametrize("name", ODD)
def test_odd_data_raises_nothing_and_stays_within_bounds(name, rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = certify(*odd(name, rng), rng, resamples=50)
    for signal in found.rows:
        for value, low, high in (*signal.tau, *signal.rho, signal.precision):
            assert math.isnan(value) or math.isnan(low) or -1 <= low <= high <= 1


@pytest.mark.parametrize("n", range(1, 7))
def test_few_networks_have_nothing_at_matched_cost(n, rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = certify(*world(n, rng), rng, resamples=50)
    assert np.isnan(row(found, "3 epochs").tau.matched.value) == (n < 5)


def test_what_does_not_fit_is_refused(rng):
    short, full, cost, baselines = world(8, rng)
    with pytest.raises(ConfigError, match=r"full must be errors \(architectures, seeds\)"):
        certify(short, full[:, 0], cost, baselines, rng)
    with pytest.raises(ConfigError, match=r"cost must have the shape \(8,\)"):
        certify(short, full, cost[:3], baselines, rng)
    with pytest.raises(ConfigError, match=r"proxies\[3\] must have the shape \(8, 4\)"):
        certify({3: full[:, :2]}, full, cost, baselines, rng)
    with pytest.raises(ConfigError, match=r"baselines\['b'\] must have the shape"):
        certify(short, full, cost, {"b": full}, rng)
    for bad in (0.0, -1.0, NAN, math.inf):
        cost[2] = bad
        with pytest.raises(ConfigError, match="cost must be positive and finite, got"):
            certify(short, full, cost, baselines, rng)


def test_the_same_generator_gives_the_same_certificate(rng):
    given = world(10, rng)
    one, two = (certify(*given, np.random.default_rng(3), resamples=50) for _ in range(2))
    assert repr(one) == repr(two)
