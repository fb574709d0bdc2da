"""Scaling laws fitted: planted coefficients come back, their intervals are honest, published curves
are described."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

from dnsearch.errors import ConfigError
from dnsearch.scaling.law import fit_law, parameter, worth
from dnsearch.scaling.powerlaw import curve

from .curves import SIZES, about, grid
from .published import PAPER_ERROR, PAPER_PARAMS, TORCHVISION_ERROR, TORCHVISION_PARAMS

COVERAGE = runpy.run_path(
    str(Path(__file__).parents[2] / "studies" / "scaling_coverage.py"), run_name="coverage"
)


# The curve and the fit


@pytest.mark.parametrize("sizes", [1, 2])
def test_gradient_is_that_of_finite_differences(sizes):
    rng = np.random.default_rng(0)
    theta, logs = rng.normal(0, 0.5, 1 + 2 * sizes), rng.normal(0, 1, (4, sizes))
    for place in range(4):
        found = curve(theta[None], logs)[1][0, place]
        expected = optimize.approx_fprime(
            theta, lambda t, place=place: curve(t[None], logs)[0][0, place]
        )
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_errors_without_noise_give_their_law_back():
    law = fit_law(*about(SIZES, noise=0.0), ["params"])
    assert law.floor.value == pytest.approx(0.05, rel=1e-3)
    assert law.factors[0].value == pytest.approx(30, rel=1e-2)
    assert law.exponents[0].value == pytest.approx(0.45, rel=1e-3)
    assert law.mean([2.56e7]).value[0] == pytest.approx(0.05 + 30 * 2.56e7**-0.45, rel=1e-3)


def test_fit_is_the_minimum_that_another_optimiser_finds():
    law = fit_law(*about(SIZES), ["params"])
    solution = law.solution
    found = optimize.minimize(
        lambda theta: solution.problem.loss(theta[None])[0],
        solution.theta + 0.1,
        method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-10, "maxiter": 10_000, "maxfev": 10_000},
    )
    assert solution.loss == pytest.approx(found.fun, abs=1e-4)
    np.testing.assert_allclose(solution.theta, found.x, atol=0.02)


def test_ends_of_an_interval_are_where_the_constrained_fit_is_just_too_bad():
    """E held at the ends, the rest optimised by SciPy: the loss is the threshold above the best."""
    solution = fit_law(*about(SIZES), ["params"]).solution
    _, low, high = solution.interval(parameter(0))
    goal, _ = solution._threshold(np.array([[1.0, 0.0, 0.0]]))
    for end in (low[0], high[0]):
        rest = optimize.minimize(
            lambda free, end=end: solution.problem.loss(np.array([[end, *free]]))[0],
            solution.theta[1:],
            method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-10},
        )
        assert rest.fun - solution.loss == pytest.approx(goal[0], rel=0.05)


def test_outliers_hardly_move_the_law():
    sizes, error, owner = about(SIZES)
    clean = fit_law(sizes, error, owner, ["params"])
    error[::15] *= 1.6
    spoilt = fit_law(sizes, error, owner, ["params"])
    plain = np.polyfit(np.log(sizes), np.log(error), 1)
    assert abs(spoilt.mean([1e7]).value[0] / clean.mean([1e7]).value[0] - 1) < 0.03
    assert spoilt.scatter < 2 * clean.scatter
    assert np.std(np.log(error) - np.polyval(plain, np.log(sizes))) > 2 * clean.scatter


def test_seeds_of_one_architecture_are_not_points_of_their_own():
    """The same error thrice says no more than once."""
    sizes, error, owner = about(SIZES, seeds=1)
    once = fit_law(sizes, error, owner, ["params"])
    thrice = fit_law(np.tile(sizes, 3), np.tile(error, 3), np.tile(owner, 3), ["params"])
    np.testing.assert_allclose(once.floor, thrice.floor, rtol=1e-6)
    assert (thrice.architectures, thrice.trainings) == (30, 90)
    assert math.isnan(once.seed_sd)
    assert thrice.seed_sd == pytest.approx(0, abs=1e-12)


def test_units_and_order_do_not_matter():
    sizes, error, owner = about(SIZES)
    law = fit_law(sizes, error, owner, ["params"])
    turned = fit_law(sizes[::-1] * 1e3, error[::-1], 7 - owner[::-1], ["MACs"])
    np.testing.assert_allclose(law.floor, turned.floor, rtol=1e-3)
    np.testing.assert_allclose(law.exponents, turned.exponents, rtol=1e-3)
    np.testing.assert_allclose(law.mean([1e7]), turned.mean([1e10]), rtol=1e-3)


# Honesty


def test_planted_coefficients_lie_in_their_intervals():
    """A small piece of studies/scaling_coverage.py, which draws 500."""
    rng, found = np.random.default_rng(3), []
    for _ in range(100):
        drawn = COVERAGE["draw"](rng)
        law = fit_law(drawn.sizes, drawn.error, drawn.architecture, ["params"])
        found.append(COVERAGE["covered"](law, drawn))
    for name in found[0]:
        # at 95 % fewer than 88 of 100 are less likely than 1 in 200, and 100 of 100 are too good
        assert 88 <= sum(row[name] for row in found) <= 99, name


def test_a_narrow_range_leaves_e_open():
    law = fit_law(*about(np.geomspace(1e6, 3e6, 20)), ["params"])
    assert law.floor.low == 0
    assert law.exponents[0].high > 3 * law.exponents[0].low


# Published curves


def test_densenet_bc_on_cifar10_is_described():
    law = fit_law(PAPER_PARAMS, PAPER_ERROR, range(6), ["params"])
    np.testing.assert_allclose(law.mean(PAPER_PARAMS).value, PAPER_ERROR, rtol=0.06)
    assert law.floor.low == 0  # six points over 33x cannot tell


def test_densenet_bc_predicts_its_largest_network():
    """The 3.46 % of 25.6 M params from the five smaller networks."""
    law = fit_law(PAPER_PARAMS[:5], PAPER_ERROR[:5], range(5), ["params"])
    found = law.mean([PAPER_PARAMS[5]])
    assert found.value[0] == pytest.approx(PAPER_ERROR[5], rel=0.05)
    assert found.low[0] < PAPER_ERROR[5] < found.high[0]


def test_torchvision_on_imagenet_is_described():
    law = fit_law(TORCHVISION_PARAMS, TORCHVISION_ERROR, range(4), ["params"])
    np.testing.assert_allclose(law.mean(TORCHVISION_PARAMS).value, TORCHVISION_ERROR, rtol=0.02)
    assert law.floor.low == 0
    assert law.exponents[0].low < 0.011  # nothing is known of it
    assert law.exponents[0].high > 9


# Bad input


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -0.1])
def test_impossible_figures_are_refused_in_one_line(bad):
    sizes, error, owner = about(SIZES)
    with pytest.raises(ConfigError, match=r"^error must be finite and above 0, got "):
        fit_law(sizes, np.append(error[:-1], bad), owner, ["params"])
    with pytest.raises(ConfigError, match=r"^params must be finite and above 0, got "):
        fit_law(np.append(sizes[:-1], bad), error, owner, ["params"])
    with pytest.raises(ConfigError, match=r"^sizes must be finite and above 0$"):
        fit_law(sizes, error, owner, ["params"]).mean([bad])


def test_impossible_shapes_are_refused():
    with pytest.raises(ConfigError, match="one row a training run"):
        fit_law([1e5, 1e6], [0.1], [0], ["params"])
    with pytest.raises(ConfigError, match="at least one training run"):
        fit_law([], [], [], ["params"])
    with pytest.raises(ConfigError, match="architectures must be at least 4 to fit, got 3"):
        fit_law([1e5, 1e6, 1e7], [0.3, 0.2, 0.1], [0, 1, 2], ["params"])
    with pytest.raises(ConfigError, match="params must differ between networks, got 1000000"):
        fit_law([1e6] * 8, [0.1] * 8, range(8), ["params"])


# Network and data


def test_joint_law():
    sizes, error, owner = grid()
    law = fit_law(sizes, error, owner, ["params", "images"])
    assert law.floor.low <= 0.05 <= law.floor.high
    assert law.exponents[0].low <= 0.5 <= law.exponents[0].high
    assert law.exponents[1].low <= 0.4 <= law.exponents[1].high
    truth = 0.05 + 0.15 * 128**-0.5 + 0.2 * 8**-0.4
    found = law.mean([[1.28e7, 12000]])
    assert found.low[0] <= truth <= found.high[0]
    assert found.value[0] == pytest.approx(truth, rel=0.1)


def test_what_is_worth_more():
    law = fit_law(*grid(), ["params", "images"])
    gain = worth(law, 3.2e6, 12000)
    of_network = 100 * 0.15 * 32**-0.5 * (1 - 2**-0.5)
    of_data = 100 * 0.2 * 8**-0.4 * (1 - 2**-0.4)
    assert gain.network.low <= of_network <= gain.network.high
    assert gain.data.low <= of_data <= gain.data.high
    assert gain.ratio.low <= of_data / of_network <= gain.ratio.high
    assert gain.better == "images"
    assert worth(law, 1e5, 12000).better == "params"
    alone = fit_law(*about(SIZES), ["params"])
    with pytest.raises(ConfigError, match="must be of network size and data, got 'params'"):
        worth(alone, 1e6, 12000)


def test_shared_noise_of_an_architecture_widens_the_joint_law():
    """Four rows with the same noise are less than four with their own."""
    sizes, error, owner = grid(noise=0.0)
    rng = np.random.default_rng(0)
    shared = error * np.repeat(rng.lognormal(0, 0.04, 20), 4)
    shared = shared * rng.lognormal(0, 0.01, 80)
    names = ["params", "images"]
    together = fit_law(sizes, shared, owner, names)
    apart = fit_law(sizes, shared, np.arange(80), names)
    widths = [np.log(b.high / b.low) for b in (x.mean([[3.2e6, 6000]]) for x in (together, apart))]
    assert widths[0][0] > 1.2 * widths[1][0]
