"""How the best shapes grow with the budget, and what networks cost: planted laws come back."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from dnsearch.errors import ConfigError
from dnsearch.scaling.costlaw import fit_cost
from dnsearch.scaling.growth import Cause, best_growth
from dnsearch.scaling.robust import bootstrap, huber_regressions


def wide_or_deep(rng, count, exponent=0.3):
    """Errors of networks whose best growth rate is 4 at 1 M MACs and grows with this exponent."""
    budget = np.exp(rng.uniform(math.log(1e6), math.log(64e6), count))
    rate = 4 * (budget / 1e6) ** 0.5 * rng.lognormal(0, 0.5, count)  # what the space offers
    off = np.log(rate / (4 * (budget / 1e6) ** exponent))
    error = (0.05 + 0.1 * (budget / 1e6) ** -0.4) * np.exp(0.1 * off**2)
    return budget, rate, error * rng.lognormal(0, 0.02, count)


def test_growth_finds_planted_exponents():
    rng, inside, known = np.random.default_rng(0), 0, 0
    for _ in range(40):
        budget, rate, error = wide_or_deep(rng, 40)
        growth = best_growth(budget, error, {"growth_rate": rate}, rng, 100)["growth_rate"]
        known += growth.is_known
        inside += growth.is_known and growth.exponent.low <= 0.3 <= growth.exponent.high
    assert known >= 20
    assert inside >= 0.87 * known


def test_best_growth_is_not_that_of_what_was_tried():
    """All networks go with budget^0.6; the best at each budget with budget^0.3."""
    rng = np.random.default_rng(0)
    budget = np.exp(rng.uniform(0, 5, 60))
    width = budget**0.6 * rng.lognormal(0, 0.6, 60)
    error = 0.1 * budget**-0.2 * np.exp(0.1 * np.log(width / (3 * budget**0.3)) ** 2)
    error *= rng.lognormal(0, 0.01, 60)
    found = best_growth(budget, error, {"width": width}, rng)["width"]
    assert found.is_known
    assert found.exponent.low < 0.3 < found.exponent.high < 0.45


def test_the_best_value_at_a_budget():
    rng = np.random.default_rng(0)
    budget, rate, error = wide_or_deep(rng, 40)
    at = best_growth(budget, error, {"growth_rate": rate}, rng)["growth_rate"].at(64e6)
    assert at.low < at.value < at.high
    assert at.value == pytest.approx(4 * 64**0.3, rel=0.3)


def obstacle(budget, error, rate):
    found = best_growth(budget, error, {"layers": rate}, np.random.default_rng(0))["layers"]
    assert not found.is_known
    return found.obstacle


def test_growth_says_when_there_is_too_little():
    budget, rate, error = wide_or_deep(np.random.default_rng(0), 40)
    assert obstacle(budget[:11], error[:11], rate[:11])[:3] == (Cause.TOO_FEW, 11, 12)
    narrow = obstacle(budget**0.3, error, rate)
    assert narrow[:3] == (Cause.NARROW, pytest.approx(np.exp(0.3 * np.ptp(np.log(budget)))), 4)
    same = obstacle(budget, error, np.full(40, 4))
    assert same[:2] == (Cause.CONSTANT, pytest.approx(4))
    with pytest.raises(ConfigError, match="layers must be finite and above 0, got nan"):
        best_growth(budget, error, {"layers": np.full(40, np.nan)}, np.random.default_rng(0))


def test_growth_says_when_there_is_no_best_value_to_use():
    rng = np.random.default_rng(0)
    budget, rate, _ = wide_or_deep(rng, 40)
    never_worse = best_growth(budget, budget**-0.2 * rate**-0.3, {"layers": rate}, rng)["layers"]
    assert never_worse.obstacle is not None
    assert never_worse.obstacle.cause is Cause.NO_BEST
    assert math.isnan(never_worse.exponent.value)
    steady = 0.1 * (budget / 1e6) ** -0.2 * np.exp(0.1 * np.log(rate / 12) ** 2)
    assert obstacle(budget, steady * rng.lognormal(0, 0.01, 40), rate).cause is Cause.MAYBE_ZERO
    # the best lies 20 times above what was tried, where no network says anything of it
    above = 0.1 * (budget / 1e6) ** -0.2 * np.exp(0.1 * np.log(rate / (20 * rate.max())) ** 2)
    far = obstacle(budget, above * rng.lognormal(0, 1e-4, 40), rate)
    assert far.cause is Cause.FAR
    assert far.found == pytest.approx(20 * rate.max(), rel=0.1)
    assert far.tried == pytest.approx((rate.min(), rate.max()))


def test_huber_regressions_are_those_of_scipy():
    """Each of a batch by itself, at the scale that it ends with."""
    rng = np.random.default_rng(0)
    terms = np.concatenate([np.ones((3, 30, 1)), rng.normal(size=(3, 30, 2))], axis=2)
    values = terms @ [1.0, 2.0, -0.5] + rng.normal(0, 0.1, (3, 30))
    values[:, ::7] += 3
    for own, value, found in zip(terms, values, huber_regressions(terms, values), strict=True):
        scale = 1.345 * 1.4826 * np.median(np.abs(value - own @ found))
        best = optimize.least_squares(
            lambda x, own=own, value=value: value - own @ x,
            found + 0.1,
            loss="huber",
            f_scale=scale,
        )
        np.testing.assert_allclose(found, best.x, atol=2e-3)


def test_a_bootstrap_of_a_mean_is_as_wide_as_students_t():
    """Of a mean the standard error is known."""
    values = np.random.default_rng(0).normal(5, 2, 8)

    def means(terms, values):
        return values.mean(axis=1, keepdims=True)

    found = bootstrap(means, np.ones((8, 1)), values, np.random.default_rng(1), 20_000)[:, 0]
    standard_error = values.std(ddof=1) / np.sqrt(8)
    assert found[0] == pytest.approx(values.mean())
    assert found[1:].std() == pytest.approx(stats.t.ppf(0.975, 7) / 1.96 * standard_error, rel=0.02)


@pytest.mark.parametrize(
    ("form", "law"),
    [
        ("linear", lambda a, m: 2e-3 + 3e-8 * a + 2e-9 * m),
        ("power", lambda a, m: 1e-6 * a**0.5 * m**0.2),
    ],
)
def test_cost_of_a_larger_network(form, law):
    rng = np.random.default_rng(0)
    macs = np.exp(rng.uniform(math.log(1e6), math.log(3e7), 25))
    activations = macs**0.8 * rng.lognormal(0, 0.3, 25)
    seconds = law(activations, macs) * rng.lognormal(0, 0.04, 25)
    seconds[3] *= 1.5
    found = fit_cost(seconds, activations, macs, rng, 100)
    assert found.form == form
    assert found.off < 0.1
    larger = found.predict([1.2e8**0.8], [1.2e8])
    truth = law(1.2e8**0.8, 1.2e8)
    assert larger.low[0] < truth < larger.high[0]
    assert larger.value[0] == pytest.approx(truth, rel=0.15)
    with pytest.raises(ConfigError, match="networks must be at least 6 to fit a cost, got 3"):
        fit_cost(seconds[:3], activations[:3], macs[:3], rng)
