"""Laws averaged: the curves are those of the papers, fits are the minimum, cuts, weights and bands
are as computed by hand."""

import math

import numpy as np
import pytest
from scipy import optimize
from scipy.special import expit

from dnsearch.scaling.averaged import FAVOUR, Cut, _Members, average, cuts_of
from dnsearch.scaling.families import BROKEN, FAMILIES, FROM_CHANCE, SATURATING
from dnsearch.scaling.fits import _independent, fit_family
from dnsearch.scaling.rows import rows_of

from .curves import SIZES, about

LOGS = np.linspace(-3, 1, 9)
ENDS = np.array([[3.0, math.log(0.9)]])
"""A range of 3 behind the end, and the largest error."""


def averaged(sizes, error, owner):
    return average(rows_of(sizes, error, owner, ["params"]))


# The curves, by the formulas of the papers


def test_saturating_law():
    theta = np.array([[math.log(0.2), math.log(0.4), 0.3]])
    floor = 0.2 * expit(0.3)
    expected = floor + (0.2 - floor) * np.exp(LOGS) ** -0.4
    np.testing.assert_allclose(np.exp(SATURATING.curve(theta, LOGS[None], ENDS)[0][0]), expected)


def test_law_from_chance():
    """M4: ``(y - E) / (c - y)^k`` is a power of size."""
    theta = np.array([[math.log(0.2), math.log(0.7), -0.5, math.log(1.6), math.log(0.1)]])
    error = np.exp(FROM_CHANCE.curve(theta, LOGS[None], ENDS)[0][0])
    floor, chance = 0.2 * expit(-0.5), 0.9 * 1.1
    left = np.log(error - floor) - 1.6 * np.log(chance - error)
    np.testing.assert_allclose(left - left[-1], -0.7 * (LOGS - LOGS[-1]), atol=1e-6)
    assert np.interp(0.0, LOGS, error) == pytest.approx(0.2, rel=0.01)


def test_broken_law():
    alpha, before, place, soft = 0.6, 0.3, 0.4, 0.5
    theta = np.array([[math.log(0.2), math.log(alpha), 0.1, math.log(before), place, 0.0]])
    theta[0, 5] = math.log(soft)
    sizes, at = np.exp(LOGS), math.exp(-place * 3)
    first = alpha * before
    power = sizes**-first * (1 + (sizes / at) ** (1 / soft)) ** ((first - alpha) * soft)
    at_end = (1 + (1 / at) ** (1 / soft)) ** ((first - alpha) * soft)
    floor = 0.2 * expit(0.1)
    expected = floor + (0.2 - floor) * power / at_end
    np.testing.assert_allclose(np.exp(BROKEN.curve(theta, LOGS[None], ENDS)[0][0]), expected)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_gradients_are_those_of_finite_differences(family):
    theta = family.mean + 0.3 * np.random.default_rng(0).normal(size=len(family.mean))
    theta[0] = -1.0
    found = family.curve(theta[None], LOGS[None], ENDS)[1][0]
    for place in range(len(LOGS)):
        expected = optimize.approx_fprime(
            theta, lambda t, place=place: family.curve(t[None], LOGS[None], ENDS)[0][0, place]
        )
        np.testing.assert_allclose(found[place], expected, atol=1e-5)


# The fits


def test_fit_is_the_minimum_that_another_optimiser_finds():
    sizes, error, _ = about(SIZES, seeds=1)
    logs, log_error, ones = np.log(sizes), np.log(error), np.ones((1, 30))
    fits = fit_family(SATURATING, logs, log_error, ones[0], ones)
    own = fits.theta[0]
    mean = SATURATING.mean + np.array([log_error[-1], 0, 0])

    def loss(theta):
        value = SATURATING.curve(theta[None], (logs - logs[-1])[None], fits.ends)[0][0]
        far = np.abs((log_error - value) / fits.scale)
        huber = np.where(far <= 1.345, far**2, 2 * 1.345 * far - 1.345**2)
        return fits.independent[0] * huber.sum() + (((theta - mean) / SATURATING.sd) ** 2).sum()

    found = optimize.minimize(loss, own + 0.1, method="Nelder-Mead", options={"fatol": 1e-10})
    assert loss(own) == pytest.approx(found.fun, abs=1e-3)
    np.testing.assert_allclose(own, found.x, atol=0.02)


def test_rows_that_err_alike_count_as_fewer():
    rng, kept = np.random.default_rng(0), np.ones((1, 4000), dtype=bool)
    luck = rng.normal(size=(1, 4000))
    assert _independent(luck, kept)[0] == pytest.approx(1.0, abs=0.1)
    along = luck.copy()
    for place in range(1, 4000):
        along[0, place] = 0.8 * along[0, place - 1] + 0.6 * luck[0, place]
    assert _independent(along, kept)[0] == pytest.approx(0.2 / 1.8, abs=0.03)


# Cuts, weights, growth


def test_cuts_keep_enough_and_predict_up_to_twice_their_size():
    logs = np.log(np.geomspace(1, 64, 25))  # four a doubling
    cuts = cuts_of(logs)
    np.testing.assert_allclose([cut.top for cut in cuts], logs[22:7:-2])
    assert [cut.tail.tolist() for cut in cuts[:3]] == [
        [23, 24],
        [21, 22, 23, 24],
        [19, 20, 21, 22],
    ]
    assert cuts_of(np.log(np.geomspace(1, 4, 20))) == ()  # without the end it spans less than 4


def members(values):
    """Members whose log errors at the last of three sizes, each cut's tail, are these (members,);
    what was found there is 0."""
    count = len(values)
    told = np.zeros((2, count, 3))
    told[1, :, 2] = values
    cuts = (Cut(math.log(2), np.array([2])),)
    flat = np.full((2, count), 0.01)
    return _Members(
        np.log([1.0, 2.0, 4.0]), np.zeros(3), cuts, (), told, np.zeros_like(told), flat, flat * 100
    )


def test_members_weigh_by_what_they_predicted():
    """One prediction: inverse standard deviations, of which the scatter of the rows is a part."""
    weights = members([0.01, 0.1]).weights()
    assert weights[0] / weights[1] == pytest.approx(math.sqrt((0.1**2 + 1e-4) / (2e-4)))


def test_growth_is_what_the_cuts_were_off_by():
    """By 0.1 beyond the luck of one row, 0.01, a doubling ahead."""
    assert members([0.1]).drift() == pytest.approx(math.sqrt(0.1**2 - 1e-4) / math.log(2))
    assert members([0.005]).drift() == 0.0  # no more than luck


# What is predicted


def test_errors_without_noise_are_foretold():
    law = averaged(*about(SIZES, noise=0.0))
    truth = 0.05 + 30.0 * np.array([1.28e7, 2.56e7]) ** -0.45
    found = law.predict([1.28e7, 2.56e7]).mean
    np.testing.assert_allclose(found.value, truth, rtol=0.01)
    assert ((found.low < truth) & (truth < found.high)).all()


def test_a_bend_beyond_the_points_that_were_fitted_widens_the_band():
    sizes, error, owner = about(SIZES, noise=0.005)
    straight = averaged(sizes, error, owner).predict([1.28e7]).mean
    bent = averaged(sizes, error * np.where(sizes > 1.6e6, 1.15, 1.0), owner)
    band = bent.predict([1.28e7]).mean
    assert bent.drift > 0
    assert np.log(band.high / band.low) > 1.5 * np.log(straight.high / straight.low)


def test_one_training_is_less_certain_than_the_mean_and_farther_is_less_than_near():
    mean, one = averaged(*about(SIZES)).predict([1.28e7, 5.12e7])
    np.testing.assert_allclose(mean.value, one.value)
    assert (one.low < mean.low).all()
    assert (one.high > mean.high).all()
    assert np.diff(np.log(mean.high / mean.low)) > 0


def test_units_do_not_matter():
    sizes, error, owner = about(SIZES, noise=0.01)
    found = [averaged(times * sizes, error, owner).predict([times * 1e7]) for times in (1, 1e3)]
    np.testing.assert_allclose(found[0].training, found[1].training, rtol=1e-4)


def test_few_networks_over_a_narrow_range_have_no_checks():
    law = averaged(*about(np.geomspace(1e5, 1e6, 6), noise=0.01))
    assert law.cuts == ()
    assert law.tested(2.0) == 0
    assert len(law.weights) == len(FAMILIES) * len(FAVOUR)
    np.testing.assert_allclose(law.weights, 1 / len(law.weights))
    assert np.isfinite(law.predict([2e6]).training).all()
